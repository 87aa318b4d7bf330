//! What a request is marked for.

use super::MacPattern;
use crate::options::Architecture;
use crate::tag::{Tag, TagMatch};

/// Marks requests, or has them passed over in silence, where all of some
/// conditions hold.
///
/// They are looked at in the order in which they stand, so that one can build
/// on the tags that those before it have set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// What must hold, all of it.
    pub conditions: Vec<Condition>,
    /// What the request is then marked with.
    pub set: Vec<Tag>,
    /// Whether it then gets no answer.
    pub ignore: bool,
}

/// One thing that can be asked of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Tags set so far.
    Tags(TagMatch),
    /// The name of the port that it came by fits this, where `*` stands for any
    /// characters and `?` for one.
    Port(String),
    /// The client's hardware address.
    Mac(MacPattern),
    /// The vendor class (option 60) has this in it.
    VendorClass(String),
    /// One of the user classes (option 77) has this in it.
    UserClass(String),
    /// The relay agent's circuit id (RFC 3046 §3.1) is this.
    CircuitId(Vec<u8>),
    /// The relay agent's remote id (RFC 3046 §3.2) is this.
    RemoteId(Vec<u8>),
    /// The relay agent's subscriber id (RFC 3993) is this.
    SubscriberId(Vec<u8>),
    /// The client can boot as this architecture (option 93, RFC 4578 §2.1).
    Architecture(Architecture),
    /// The client sends this option.
    Option {
        /// Its code.
        code: u8,
        /// What it has in it, in wire form; empty for whatever it has.
        value: Vec<u8>,
    },
}
