//! The corpus: one case a line, `NAME | MESSAGE ; MESSAGE ; …`.
//!
//! A message is a kind (`discover`, `request`, `decline`, `release`, `inform`,
//! a number for another message type, `bootp` for none) and words:
//!
//! | word | means |
//! |---|---|
//! | `CODE=VALUE` | an option, in this order |
//! | `ciaddr=`, `giaddr=`, `yiaddr=`, `siaddr=` | an address |
//! | `op=`, `htype=`, `hlen=`, `hops=`, `secs=` | a number |
//! | `mac=VALUE` | the field `chaddr`; default: the case's own |
//! | `sname=VALUE`, `file=VALUE` | the start of these fields |
//! | `broadcast` | the flag |
//! | `unicast` | sent to the server's address, from `ciaddr` or `giaddr` |
//! | `client=N` | another client of the case, 1 to 9 |
//! | `cut=N` | cut off after N bytes |
//! | `bare` | without end marker and padding |
//! | `cookie=VALUE` | in place of the DHCP cookie |
//! | `raw=VALUE` | bytes among the options |
//!
//! A value is `"text"`, addresses with dots, `x` and hex, numbers of one byte
//! with commas, `@` for the address that this client was given last (by the
//! server that is asked), or nothing.

use super::SERVER;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// What `@` is where the client was given no address.
pub const NO_ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 20, 99, 99);

const OP: usize = 0;
const CIADDR: usize = 12;
const CHADDR: usize = 28;
const SNAME: usize = 44;
const FILE: usize = 108;
const COOKIE: usize = 236;
/// The least that a BOOTP message has (RFC 1542 §2.1).
const SHORTEST: usize = 300;

/// Messages of one client, or of a few, in their order.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is about; no other has that name.
    pub name: String,
    /// At least one.
    pub messages: Vec<Message>,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// As it stands in the file.
    pub text: String,
    /// Which of the case's clients sends it.
    pub client: u8,
    /// Whether it goes to the server's own address.
    pub unicast: bool,
    kind: Option<u8>,
    words: Vec<(String, Bytes)>,
}

/// A value, where it may hang on what was answered before.
#[derive(Debug, Clone)]
enum Bytes {
    Given(Vec<u8>),
    Address,
}

/// All cases of the files in `folder`, in the order of their names.
///
/// # Errors
/// A file cannot be read, or a line is no case.
pub fn read(folder: &Path) -> Result<Vec<Case>> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|e| e == "cases"));
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        for line in fs::read_to_string(&file)?.lines() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let case = Case::parse(line).with_context(|| format!("{}: {line}", file.display()))?;
            let twice = cases.iter().any(|other| other.name == case.name);
            ensure!(!twice, "two cases are called '{}'", case.name);
            cases.push(case);
        }
    }
    Ok(cases)
}

impl Case {
    /// The case in a line of a file.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(line: &str) -> Result<Self> {
        let (name, messages) = line.split_once('|').context("no '|'")?;
        let messages = messages.split(';').map(message).collect::<Result<_>>()?;
        Ok(Self {
            name: name.trim().to_owned(),
            messages,
        })
    }
}

fn message(text: &str) -> Result<Message> {
    let mut words = split(text).into_iter();
    let kind = match words.next().context("no kind")?.as_str() {
        "bootp" => None,
        "discover" => Some(1),
        "request" => Some(3),
        "decline" => Some(4),
        "release" => Some(7),
        "inform" => Some(8),
        other => Some(other.parse().context("not a kind of message")?),
    };
    let mut message = Message {
        text: text.trim().to_owned(),
        client: 1,
        unicast: false,
        kind,
        words: Vec::new(),
    };
    for word in words {
        let (key, text) = word.split_once('=').unwrap_or((&word, ""));
        match key {
            "client" => message.client = text.parse()?,
            "unicast" => message.unicast = true,
            _ => message.words.push((key.to_owned(), value(text)?)),
        }
    }
    Ok(message)
}

/// The words of `text`; quotes keep a blank from ending one.
fn split(text: &str) -> Vec<String> {
    let mut quoted = false;
    text.split(|c: char| {
        quoted ^= c == '"';
        c.is_whitespace() && !quoted
    })
    .filter(|word| !word.is_empty())
    .map(str::to_owned)
    .collect()
}

fn value(text: &str) -> Result<Bytes> {
    let given = if text == "@" {
        return Ok(Bytes::Address);
    } else if text.is_empty() {
        Vec::new()
    } else if let Some(quoted) = text.strip_prefix('"') {
        quoted.trim_end_matches('"').into()
    } else if let Some(hex) = text.strip_prefix('x') {
        ensure!(hex.len().is_multiple_of(2), "half a byte in {text}");
        let pairs = (0..hex.len()).step_by(2);
        pairs
            .map(|place| Ok(u8::from_str_radix(&hex[place..place + 2], 16)?))
            .collect::<Result<_>>()?
    } else if text.contains('.') {
        let addresses = text.split(',').map(str::parse::<Ipv4Addr>);
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        addresses.iter().flat_map(Ipv4Addr::octets).collect()
    } else {
        text.split(',')
            .map(|n| n.parse().with_context(|| format!("no byte in '{text}'")))
            .collect::<Result<_>>()?
    };
    Ok(Bytes::Given(given))
}

impl Message {
    /// The message in the case `number`, of a client whose address is `own`.
    ///
    /// # Errors
    /// A word is none, or an option too long.
    pub fn bytes(&self, number: u16, own: Ipv4Addr) -> Result<Vec<u8>> {
        let mut bytes = vec![0; COOKIE];
        let [high, low] = number.to_be_bytes();
        put(&mut bytes, OP, &[1, 1, 6, 0, 9, self.client, high, low]);
        put(&mut bytes, CHADDR, &[0x52, 0x54, 0, self.client, high, low]);
        let (mut cookie, mut bare, mut cut) = (vec![99, 130, 83, 99], false, usize::MAX);
        let mut options = Vec::new();
        if let Some(kind) = self.kind {
            options.extend([53, 1, kind]);
        }
        for (key, value) in &self.words {
            let value = match value {
                Bytes::Given(value) => value.clone(),
                Bytes::Address => own.octets().to_vec(),
            };
            match key.as_str() {
                "op" => put(&mut bytes, OP, &value),
                "htype" => put(&mut bytes, 1, &value),
                "hlen" => put(&mut bytes, 2, &value),
                "hops" => put(&mut bytes, 3, &value),
                "xid" => put(&mut bytes, 4, &value),
                "secs" => put(&mut bytes, 8, &value),
                "broadcast" => put(&mut bytes, 10, &[0x80]),
                "ciaddr" => put(&mut bytes, CIADDR, &value),
                "yiaddr" => put(&mut bytes, CIADDR + 4, &value),
                "siaddr" => put(&mut bytes, CIADDR + 8, &value),
                "giaddr" => put(&mut bytes, CIADDR + 12, &value),
                "mac" => put(&mut bytes, CHADDR, &value),
                "sname" => put(&mut bytes, SNAME, &value),
                "file" => put(&mut bytes, FILE, &value),
                "cookie" => cookie = value,
                "bare" => bare = true,
                "cut" => cut = value.iter().fold(0, |n, b| n * 256 + usize::from(*b)),
                "raw" => options.extend(value),
                code => {
                    let code: u8 = code.parse().with_context(|| format!("no word: {code}"))?;
                    options.extend([code, u8::try_from(value.len())?]);
                    options.extend(value);
                }
            }
        }
        bytes.extend(cookie);
        bytes.extend(options);
        if !bare {
            bytes.push(255);
            bytes.resize(bytes.len().max(SHORTEST), 0);
        }
        bytes.truncate(cut);
        Ok(bytes)
    }

    /// Where its packet comes from: the relay agent, the client's own address,
    /// or nowhere.
    #[must_use]
    pub fn source(&self, bytes: &[u8]) -> Ipv4Addr {
        [CIADDR + 12, CIADDR]
            .into_iter()
            .filter_map(|at| bytes.get(at..at + 4)?.try_into().ok())
            .map(|octets: [u8; 4]| Ipv4Addr::from(octets))
            .find(|address| !address.is_unspecified())
            .filter(|_| self.unicast)
            .unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// Where its packet goes.
    #[must_use]
    pub fn destination(&self) -> Ipv4Addr {
        if self.unicast {
            SERVER
        } else {
            Ipv4Addr::BROADCAST
        }
    }
}

/// Writes `value` over the bytes from `at` on, as far as there are any.
fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (byte, value) in bytes.iter_mut().skip(at).zip(value) {
        *byte = *value;
    }
}

/// An INFORM that every server answers, with the `xid` given.
#[must_use]
pub fn last(xid: [u8; 4]) -> Message {
    Message {
        text: "the last".to_owned(),
        client: 9,
        unicast: false,
        kind: Some(8),
        words: vec![
            ("ciaddr".to_owned(), Bytes::Given(vec![172, 20, 255, 250])),
            ("xid".to_owned(), Bytes::Given(xid.into())),
        ],
    }
}
