//! What a reply says, in a form that two servers' replies can be compared in.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;

const LEASE_TIME: u8 = 51;
const OVERLOAD: u8 = 52;
const T1: u8 = 58;
const T2: u8 = 59;

/// A reply's fields by name, and its options wherever they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    fields: BTreeMap<&'static str, String>,
    /// Its options by their codes, wherever they stand in it.
    pub options: BTreeMap<u8, Vec<u8>>,
}

/// The address that the reply `bytes` gives its client.
#[must_use]
pub fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    at(bytes, 16).filter(|address| !address.is_unspecified())
}

impl Reply {
    /// The reply `bytes` to `message`, of a client that was given `own` before.
    /// Which free address a client gets is each server's own choice; of it only
    /// counts whether it is the client's own, the one asked for, or another.
    #[must_use]
    pub fn read(bytes: &[u8], message: &[u8], own: Option<Ipv4Addr>) -> Self {
        let part = |range: Range<usize>| bytes.get(range).unwrap_or_default();
        let mut options = BTreeMap::new();
        add(part(240..bytes.len()), &mut options);
        let overload = options.remove(&OVERLOAD).and_then(|v| v.first().copied());
        let mut text = |flag: u8, field: &[u8]| {
            if overload.unwrap_or_default() & flag != 0 {
                add(field, &mut options);
                return String::new();
            }
            let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(text).into_owned()
        };
        let (file, sname) = (text(1, part(108..236)), text(2, part(44..108)));
        let mut asked = BTreeMap::new();
        add(message.get(240..).unwrap_or_default(), &mut asked);
        let asked = asked.get(&50).and_then(|value| at(value, 0));
        let yiaddr = match address(bytes) {
            None => "none".to_owned(),
            Some(address) if own == Some(address) => "its own".to_owned(),
            Some(address) if asked == Some(address) => "the one asked for".to_owned(),
            Some(address) if [254, 255].contains(&address.octets()[2]) => address.to_string(),
            Some(address) => format!("one of {}", Ipv4Addr::from(u32::from(address) & !0xffff)),
        };
        let hex = |range| format!("{:02x?}", part(range));
        let address = |place| at(bytes, place).map_or_else(String::new, |a| a.to_string());
        let ciaddr = match at(bytes, 12) {
            Some(address) if own == Some(address) => "its own".to_owned(),
            _ => address(12),
        };
        let fields = BTreeMap::from([
            ("op, htype, hlen", hex(0..3)),
            ("xid", hex(4..8)),
            ("flags", hex(10..12)),
            ("ciaddr", ciaddr),
            ("yiaddr", yiaddr),
            ("siaddr", address(20)),
            ("giaddr", address(24)),
            ("chaddr", hex(28..44)),
            ("sname", sname),
            ("file", file),
        ]);
        Self { fields, options }
    }

    fn seconds(&self, code: u8) -> Option<u32> {
        let value = self.options.get(&code)?.as_slice();
        Some(u32::from_be_bytes(value.try_into().ok()?))
    }

    /// dnsmasq takes up to a sixteenth of the lease off both times, at random.
    fn about_equal(&self, theirs: &Self, code: u8) -> bool {
        let lease = theirs.seconds(LEASE_TIME).unwrap_or_default();
        let times = self.seconds(code).zip(theirs.seconds(code));
        times.is_some_and(|(ours, theirs)| theirs <= ours && ours - theirs <= lease / 16 + 1)
    }
}

/// What differs: its name, what we say and what they say.
#[must_use]
pub fn compare(ours: Option<&Reply>, theirs: Option<&Reply>) -> Vec<(String, String, String)> {
    let (ours, theirs) = match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours, theirs),
        (None, None) => return Vec::new(),
        (ours, theirs) => {
            let kind = |reply: Option<&Reply>| reply.map_or("silence", Reply::kind).to_owned();
            return vec![("reply".to_owned(), kind(ours), kind(theirs))];
        }
    };
    let fields = ours.fields.iter().zip(theirs.fields.values());
    let fields =
        fields.map(|((name, ours), theirs)| ((*name).to_owned(), ours.clone(), theirs.clone()));
    let options = (1..=254u8)
        .filter(|code| ![T1, T2].contains(code) || !ours.about_equal(theirs, *code))
        .map(|code| {
            let show = |reply: &Reply| {
                let value = reply.options.get(&code);
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:02x?}"))
            };
            (format!("option {code}"), show(ours), show(theirs))
        });
    fields
        .chain(options)
        .filter(|(_, ours, theirs)| ours != theirs)
        .collect()
}

impl Reply {
    fn kind(&self) -> &'static str {
        match self.options.get(&53).map(Vec::as_slice) {
            Some([2]) => "offer",
            Some([5]) => "ack",
            Some([6]) => "nak",
            _ => "another message",
        }
    }
}

fn at(bytes: &[u8], place: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(place..place + 4)?.try_into().ok()?;
    Some(octets.into())
}

/// Adds the options of one field.
fn add(mut field: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) {
    loop {
        field = match field {
            [0, rest @ ..] => rest,
            [code @ 1..=254, len, rest @ ..] => {
                let (value, rest) = rest.split_at(usize::from(*len).min(rest.len()));
                options.entry(*code).or_default().extend(value);
                rest
            }
            _ => return,
        };
    }
}
