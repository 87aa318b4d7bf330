//! Messages: what may be asked, and how an answer is put into bytes.

use super::refusal::Refusal;
use hickory_proto::op::{Edns, Message, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Record, RecordType};

/// The most that we send in a datagram, and want of others: no packet of that
/// size is cut into fragments, on paths that matter (DNS Flag Day 2020).
pub(crate) const DATAGRAM: u16 = 1232;

/// The most that anybody takes in a datagram who does not say (RFC 1035 §4.2.1).
const LEAST_DATAGRAM: u16 = 512;

/// The length of a header (RFC 1035 §4.1.1).
const HEADER: usize = 12;

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    metadata: Metadata,
    /// What is asked.
    pub(crate) query: Query,
    /// The OPT record, if there is one.
    edns: Option<Edns>,
}

/// What a message comes to.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A question.
    Request(Request),
    /// An error to be answered.
    Refused(Refusal, Vec<u8>),
    /// Nothing is answered.
    Ignored(Refusal),
}

/// Looks at `bytes`, which came from anybody.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    const RESPONSE: u8 = 0x80;
    let (Some(header), Some(flags)) = (bytes.get(..HEADER), bytes.get(2)) else {
        return Parsed::Ignored(Refusal::Malformed);
    };
    // To answer an answer could go on for ever.
    if flags & RESPONSE != 0 {
        return Parsed::Ignored(Refusal::NotAQuery);
    }
    let id = match header {
        [high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    let error = |refusal, code| {
        let message = Message::error_msg(id, OpCode::from_u8(flags >> 3 & 0x0f), code);
        Parsed::Refused(refusal, message.to_vec().unwrap_or_default())
    };
    if flags >> 3 & 0x0f != u8::from(OpCode::Query) {
        return error(Refusal::Opcode, ResponseCode::NotImp);
    }
    let Ok(mut message) = Message::from_vec(bytes) else {
        return error(Refusal::Malformed, ResponseCode::FormErr);
    };
    let (Some(query), true) = (message.queries.pop(), message.queries.is_empty()) else {
        return error(Refusal::Questions, ResponseCode::FormErr);
    };
    let request = Request {
        metadata: message.metadata,
        query,
        edns: message.edns,
    };
    let refused = |refusal, code| {
        let answer = Answer::error(code);
        Parsed::Refused(refusal, request.respond(&answer, DATAGRAM))
    };
    if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return refused(Refusal::Version, ResponseCode::BADVERS);
    }
    if request.query.query_class() != DNSClass::IN {
        return refused(Refusal::Class, ResponseCode::Refused);
    }
    match request.query.query_type() {
        RecordType::AXFR | RecordType::IXFR => refused(Refusal::Kind, ResponseCode::Refused),
        RecordType::OPT | RecordType::TSIG | RecordType::ZERO => {
            refused(Refusal::Kind, ResponseCode::FormErr)
        }
        _ => Parsed::Request(request),
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// How it went.
    pub(crate) code: ResponseCode,
    /// Whether it is of our own names.
    pub(crate) authoritative: bool,
    /// Its records.
    pub(crate) answers: Vec<Record>,
    /// Whose they are, or who says that there are none.
    pub(crate) authorities: Vec<Record>,
    /// What belongs to them.
    pub(crate) additionals: Vec<Record>,
}

impl Answer {
    /// An answer without records.
    pub(crate) fn error(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }
}

impl Request {
    /// Whether others may be asked.
    pub(crate) fn wants_recursion(&self) -> bool {
        self.metadata.recursion_desired
    }

    /// Whether signatures are wanted (RFC 3225).
    pub(crate) fn wants_dnssec(&self) -> bool {
        self.edns.as_ref().is_some_and(|it| it.flags().dnssec_ok)
    }

    /// Whether an answer is wanted that does not stand up to a check of its
    /// signatures (RFC 4035 §3.2.2).
    pub(crate) fn checking_disabled(&self) -> bool {
        self.metadata.checking_disabled
    }

    /// The most bytes that a datagram to the asker may have.
    pub(crate) fn datagram(&self) -> u16 {
        let said = self.edns.as_ref().map(Edns::max_payload);
        said.unwrap_or(LEAST_DATAGRAM)
            .clamp(LEAST_DATAGRAM, DATAGRAM)
    }

    /// `answer` as a message of `most` bytes. One that does not fit has no records
    /// and says so, by which the asker knows to come by TCP (RFC 2181 §9).
    pub(crate) fn respond(&self, answer: &Answer, most: u16) -> Vec<u8> {
        let mut message = Message::new(0, self.metadata.message_type, self.metadata.op_code);
        message.metadata = Metadata::response_from_request(&self.metadata);
        message.metadata.recursion_available = true;
        message.metadata.authoritative = answer.authoritative;
        message.metadata.response_code = answer.code;
        message.add_query(self.query.clone());
        message.answers.clone_from(&answer.answers);
        message.authorities.clone_from(&answer.authorities);
        message.additionals.clone_from(&answer.additionals);
        if self.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(DATAGRAM);
            edns.set_dnssec_ok(self.wants_dnssec());
            message.set_edns(edns);
        }
        let fits = |bytes: &Vec<u8>| bytes.len() <= usize::from(most);
        if let Some(bytes) = message.to_vec().ok().filter(fits) {
            return bytes;
        }
        // What belongs to the answer can be asked for; the answer cannot be cut.
        message.additionals.clear();
        if let Some(bytes) = message.to_vec().ok().filter(fits) {
            return bytes;
        }
        message.truncate().to_vec().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
