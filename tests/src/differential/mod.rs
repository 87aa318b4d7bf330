//! The DHCP server beside a real dnsmasq: the same messages to both, and what
//! differs between their replies.
//!
//! [`case`] reads the messages from the files in `tests/corpus/dhcp`,
//! [`dnsmasq`] and [`ours`] answer them, [`reply`] is what can differ, and
//! [`known`] what may: each kind of it with the words of the documentation that
//! give its reason.

pub mod case;
pub mod dnsmasq;
pub mod known;
pub mod ours;
pub mod reply;

use anyhow::{Context, Result};
use case::{Case, Message};
use reply::Reply;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// The server's address, on either side.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(172, 20, 0, 1);

/// A DHCP server that is asked.
pub trait Peer {
    /// The reply to the DHCP message `bytes`, if there is one.
    ///
    /// # Errors
    /// The server has ended.
    fn ask(&mut self, message: &Message, bytes: &[u8]) -> Result<Option<Vec<u8>>>;
}

/// What `peer` replies to the messages of `case`, which is the `number`-th.
///
/// # Errors
/// As [`Peer::ask`].
pub fn replies(peer: &mut impl Peer, case: &Case, number: u16) -> Result<Vec<Option<Reply>>> {
    let mut addresses: HashMap<u8, Ipv4Addr> = HashMap::new();
    case.messages
        .iter()
        .map(|message| {
            let own = addresses.get(&message.client).copied();
            let bytes = message.bytes(number, own.unwrap_or(case::NO_ADDRESS))?;
            let reply = peer
                .ask(message, &bytes)
                .with_context(|| format!("{}: {}", case.name, message.text))?;
            let Some(reply) = reply else { return Ok(None) };
            let given = reply::address(&reply);
            if let Some(given) = given {
                addresses.insert(message.client, given);
            }
            Ok(Some(Reply::read(&reply, &bytes, own)))
        })
        .collect()
}

/// One thing in which two replies differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The case's name.
    pub case: String,
    /// The message, as it stands in the corpus.
    pub message: String,
    /// What differs: `reply`, the name of a field, or `option CODE`.
    pub what: String,
    /// What we say of it, `-` for nothing.
    pub ours: String,
    /// What dnsmasq says of it.
    pub theirs: String,
}

/// All in which `ours` and `theirs`, the replies to `case`, differ.
#[must_use]
pub fn differences(
    case: &Case,
    ours: &[Option<Reply>],
    theirs: &[Option<Reply>],
) -> Vec<Difference> {
    let mut all = Vec::new();
    for ((message, ours), theirs) in case.messages.iter().zip(ours).zip(theirs) {
        for (what, ours, theirs) in reply::compare(ours.as_ref(), theirs.as_ref()) {
            all.push(Difference {
                case: case.name.clone(),
                message: message.text.clone(),
                what,
                ours,
                theirs,
            });
        }
    }
    all
}
