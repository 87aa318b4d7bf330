//! What others have answered, for as long as they allow.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{LowerName, RData, RecordType};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The longest that an answer is kept (RFC 8767 §4: a TTL beyond a week is a
/// mistake; nobody misses what is asked for once a day).
const LONGEST: u32 = 86_400;
/// The longest that is kept that there is nothing (RFC 2308 §5).
const LONGEST_NOTHING: u32 = 3600;
/// Bytes of answers that are kept, at most.
const MOST_BYTES: usize = 8 << 20;

/// A question to others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The name that is asked for, of class IN.
    pub(crate) name: LowerName,
    /// The type.
    pub(crate) kind: RecordType,
    /// Whether signatures are wanted.
    pub(crate) dnssec: bool,
    /// Whether they need not be right.
    pub(crate) unchecked: bool,
}

#[derive(Debug)]
struct Kept {
    /// As it came.
    bytes: Box<[u8]>,
    since: Instant,
    until: Instant,
    /// Which entry of the queue is of this one.
    number: u64,
}

/// Answers by their questions. When there are too many, the oldest one goes.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    kept: HashMap<Key, Kept>,
    /// In the order in which they came. One that was replaced since is of
    /// another number.
    queue: VecDeque<(u64, Key)>,
    bytes: usize,
    next: u64,
}

impl Cache {
    /// Keeps `answer`, which came as `bytes`, among `most` of them, if it says for
    /// how long.
    pub(crate) fn keep(
        &mut self,
        key: Key,
        answer: &Message,
        bytes: &[u8],
        most: usize,
        now: Instant,
    ) {
        let Some(seconds) = lifetime(answer).filter(|seconds| *seconds > 0) else {
            return;
        };
        if most == 0 || answer.metadata.truncation {
            return;
        }
        self.forget(&key);
        let kept = Kept {
            bytes: bytes.into(),
            since: now,
            until: now + Duration::from_secs(seconds.into()),
            number: self.next,
        };
        self.bytes += bytes.len();
        self.queue.push_back((self.next, key.clone()));
        self.kept.insert(key, kept);
        self.next += 1;
        while self.kept.len() > most || self.bytes > MOST_BYTES || self.queue.len() > 2 * most {
            let Some((number, key)) = self.queue.pop_front() else {
                break;
            };
            if self.kept.get(&key).is_some_and(|it| it.number == number) {
                self.forget(&key);
            }
        }
    }

    /// The answer to the question, if it may still be given, with what is left of
    /// its times.
    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<Message> {
        let kept = self.kept.get(key).filter(|kept| kept.until > now)?;
        let mut message = Message::from_vec(&kept.bytes).ok()?;
        let age = now.saturating_duration_since(kept.since).as_secs();
        let age = u32::try_from(age).unwrap_or(u32::MAX);
        let sections = [
            &mut message.answers,
            &mut message.authorities,
            &mut message.additionals,
        ];
        for record in sections.into_iter().flatten() {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(message)
    }

    /// How many answers are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn forget(&mut self, key: &Key) {
        if let Some(gone) = self.kept.remove(key) {
            self.bytes -= gone.bytes.len();
        }
    }
}

/// How long `answer` may be kept, in seconds: as long as each of its records, and
/// that there is nothing as long as its SOA record says (RFC 2308 §5). `None`: not
/// at all.
fn lifetime(answer: &Message) -> Option<u32> {
    let sections = || answer.answers.iter().chain(&answer.authorities);
    let shortest = sections().map(|record| record.ttl).min();
    let soa = answer.authorities.iter().find_map(|it| match &it.data {
        RData::SOA(soa) => Some(soa.minimum.min(LONGEST_NOTHING)),
        _ => None,
    });
    match answer.metadata.response_code {
        ResponseCode::NoError if !answer.answers.is_empty() => {
            // A chain of aliases may end at nothing.
            let most = soa.unwrap_or(LONGEST);
            shortest.map(|ttl| ttl.min(most))
        }
        ResponseCode::NoError | ResponseCode::NXDomain => {
            shortest.zip(soa).map(|(ttl, most)| ttl.min(most))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::rdata::{A, SOA};
    use hickory_proto::rr::{Name, Record};
    use proptest::prelude::*;

    fn key(n: u16) -> Key {
        Key {
            name: Name::from_ascii(format!("n{n}.example.")).unwrap().into(),
            kind: RecordType::A,
            dnssec: false,
            unchecked: false,
        }
    }

    fn answer(ttls: &[u32]) -> Message {
        let mut message = Message::response(7, OpCode::Query);
        for ttl in ttls {
            let data = RData::A(A::new(192, 0, 2, 1));
            message.add_answer(Record::from_rdata(Name::root(), *ttl, data));
        }
        message
    }

    fn nothing(code: ResponseCode, ttl: u32, minimum: u32) -> Message {
        let mut message = Message::error_msg(7, OpCode::Query, code);
        let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, minimum);
        message.add_authority(Record::from_rdata(Name::root(), ttl, RData::SOA(soa)));
        message
    }

    fn keep(cache: &mut Cache, n: u16, answer: &Message, most: usize, now: Instant) {
        cache.keep(key(n), answer, &answer.to_vec().unwrap(), most, now);
    }

    #[test]
    fn an_answer_is_given_for_as_long_as_each_of_its_records_with_what_is_left() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        keep(&mut cache, 1, &answer(&[300, 60]), 9, now);
        let after = |seconds| cache.get(&key(1), now + Duration::from_secs(seconds));
        let ttls: Vec<u32> = after(10).unwrap().answers.iter().map(|it| it.ttl).collect();
        assert_eq!(ttls, [290, 50]);
        assert!(after(60).is_none());
        let other = Key {
            dnssec: true,
            ..key(1)
        };
        assert!(cache.get(&other, now).is_none());
    }

    #[test]
    fn that_there_is_nothing_is_kept_as_the_soa_record_says() {
        assert_eq!(
            lifetime(&nothing(ResponseCode::NXDomain, 300, 60)),
            Some(60)
        );
        assert_eq!(lifetime(&nothing(ResponseCode::NoError, 30, 60)), Some(30));
        assert_eq!(
            lifetime(&nothing(ResponseCode::NXDomain, 99_999, 99_999)),
            Some(3600)
        );
        assert_eq!(lifetime(&nothing(ResponseCode::ServFail, 300, 60)), None);
        assert_eq!(lifetime(&answer(&[])), None);
    }

    proptest! {
        #[test]
        fn the_cache_keeps_to_its_size(
            steps in prop::collection::vec((0..40u16, 0..3u32), 0..200),
            most in 0..8usize,
        ) {
            let (mut cache, now) = (Cache::default(), Instant::now());
            for (n, ttl) in steps {
                keep(&mut cache, n, &answer(&[ttl]), most, now);
                prop_assert!(cache.len() <= most);
                prop_assert!(cache.queue.len() <= 2 * most);
                let bytes: usize = cache.kept.values().map(|kept| kept.bytes.len()).sum();
                prop_assert_eq!(bytes, cache.bytes);
                prop_assert_eq!(cache.get(&key(n), now).is_some(), cache.kept.contains_key(&key(n)));
            }
        }
    }
}
