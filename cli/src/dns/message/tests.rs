use super::*;
use hickory_proto::op::MessageType;
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{Name, RData};
use proptest::prelude::*;

fn query(kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii("Db.vm.").unwrap(), kind));
    message
}

fn with_edns(payload: u16) -> Message {
    let mut message = query(RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

fn request(message: &Message) -> Request {
    match parse(&message.to_vec().unwrap()) {
        Parsed::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

fn refused(message: &Message) -> (Refusal, ResponseCode) {
    match parse(&message.to_vec().unwrap()) {
        Parsed::Refused(refusal, bytes) => {
            let answer = Message::from_vec(&bytes).unwrap();
            assert_eq!(answer.metadata.id, 7);
            assert_eq!(answer.metadata.message_type, MessageType::Response);
            (refusal, answer.metadata.response_code)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_question_is_a_request() {
    let request = request(&query(RecordType::A));
    assert_eq!(request.query.name().to_ascii(), "Db.vm.");
    assert!(request.wants_recursion() && !request.wants_dnssec());
    assert_eq!(request.datagram(), 512);
}

#[test]
fn the_size_of_a_datagram_is_what_the_asker_takes_within_bounds() {
    for (said, most) in [(0, 512), (512, 512), (1000, 1000), (4096, DATAGRAM)] {
        assert_eq!(request(&with_edns(said)).datagram(), most, "{said}");
    }
}

#[test]
fn what_is_no_plain_question_is_answered_by_its_error() {
    let mut two = query(RecordType::A);
    two.add_query(Query::query(Name::root(), RecordType::A));
    assert_eq!(refused(&two), (Refusal::Questions, ResponseCode::FormErr));
    let mut none = query(RecordType::A);
    none.queries.clear();
    assert_eq!(refused(&none), (Refusal::Questions, ResponseCode::FormErr));
    let mut notify = query(RecordType::SOA);
    notify.metadata.op_code = OpCode::Notify;
    assert_eq!(refused(&notify), (Refusal::Opcode, ResponseCode::NotImp));
    let mut chaos = query(RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(refused(&chaos), (Refusal::Class, ResponseCode::Refused));
    let transfer = query(RecordType::AXFR);
    assert_eq!(refused(&transfer), (Refusal::Kind, ResponseCode::Refused));
    let mut later = with_edns(1232);
    if let Some(edns) = &mut later.edns {
        edns.set_version(1);
    }
    let (refusal, code) = refused(&later);
    assert_eq!(refusal, Refusal::Version);
    // The number of BADVERS, of which a signature has made another use.
    assert_eq!(u16::from(code), 16);
}

#[test]
fn an_answer_is_never_answered() {
    let mut answer = query(RecordType::A);
    answer.metadata.message_type = MessageType::Response;
    let parsed = parse(&answer.to_vec().unwrap());
    assert!(
        matches!(parsed, Parsed::Ignored(Refusal::NotAQuery)),
        "{parsed:?}"
    );
    assert!(matches!(
        parse(&[0; 11]),
        Parsed::Ignored(Refusal::Malformed)
    ));
}

fn texts(count: usize) -> Answer {
    let text = "x".repeat(200);
    let data = RData::TXT(TXT::from_bytes(vec![text.as_bytes()]));
    let record = Record::from_rdata(Name::root(), 60, data);
    Answer {
        authoritative: true,
        answers: vec![record; count],
        ..Answer::error(ResponseCode::NoError)
    }
}

#[test]
fn what_does_not_fit_is_truncated_and_says_so() {
    let request = request(&query(RecordType::TXT));
    let answer = Message::from_vec(&request.respond(&texts(3), 512)).unwrap();
    assert!(answer.metadata.truncation && answer.answers.is_empty());
    assert_eq!(answer.queries.len(), 1);
    let whole = Message::from_vec(&request.respond(&texts(3), u16::MAX)).unwrap();
    assert!(!whole.metadata.truncation && whole.metadata.authoritative);
    assert_eq!(whole.answers.len(), 3);
}

#[test]
fn what_belongs_to_an_answer_goes_before_the_answer() {
    let request = request(&query(RecordType::TXT));
    let mut answer = texts(2);
    answer.additionals = texts(2).answers;
    let short = Message::from_vec(&request.respond(&answer, 512)).unwrap();
    assert!(!short.metadata.truncation);
    assert_eq!((short.answers.len(), short.additionals.len()), (2, 0));
}

#[test]
fn edns_is_answered_by_edns_and_only_then() {
    let answer = Answer::error(ResponseCode::NoError);
    let plain = request(&query(RecordType::A)).respond(&answer, 512);
    assert!(Message::from_vec(&plain).unwrap().edns.is_none());
    let with = request(&with_edns(4096)).respond(&answer, 512);
    let edns = Message::from_vec(&with).unwrap().edns.unwrap();
    assert_eq!((edns.version(), edns.max_payload()), (0, DATAGRAM));
}

proptest! {
    /// Any bytes, and any change of a right message.
    #[test]
    fn no_message_makes_it_panic_and_every_reply_is_an_answer_that_fits(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((0..80usize, any::<u8>()), 0..6),
        keep in any::<bool>(),
    ) {
        let mut bytes = if keep { with_edns(1232).to_vec().unwrap() } else { noise };
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let reply = match parse(&bytes) {
            Parsed::Request(request) => {
                let answer = Answer {
                    answers: vec![Record::from_rdata(
                        request.query.name().clone(), 1, RData::A(A::new(10, 0, 0, 1)),
                    )],
                    ..Answer::error(ResponseCode::NoError)
                };
                let reply = request.respond(&answer, request.datagram());
                prop_assert!(reply.len() <= usize::from(request.datagram()));
                reply
            }
            Parsed::Refused(_, reply) => reply,
            Parsed::Ignored(_) => return Ok(()),
        };
        prop_assert_eq!(&reply[..2], &bytes[..2]);
        prop_assert_eq!(reply[2] & 0x80, 0x80);
        prop_assert!(reply.len() <= usize::from(DATAGRAM));
    }
}
