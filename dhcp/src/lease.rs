//! What a client holds, and how it is shown.

use std::net::Ipv4Addr;

use pnet_base::MacAddr;

/// An address given to a client: what a lease file line says, no more.
///
/// A lease that ran out or was released is kept, so that its client gets the
/// same address again (RFC 2131 §4.3.1), until its address or its place in the
/// table is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The client's hardware address, which keys the lease.
    pub mac: MacAddr,
    /// The address given.
    pub address: Ipv4Addr,
    /// When it ends, in seconds of the Unix epoch; 0 means never.
    pub expiry: u64,
    /// The client's name: one label (RFC 1123 §2.1).
    pub hostname: Option<Box<str>>,
    /// The client identifier as it came in option 61, its type byte first.
    pub client_id: Option<Box<[u8]>>,
}

impl Lease {
    /// Whether the client may use the address at `now` (epoch seconds).
    #[must_use]
    pub fn is_live(&self, now: u64) -> bool {
        self.expiry == 0 || self.expiry > now
    }
}

/// What an address is held for, the firmest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseState {
    /// A client has it.
    Bound,
    /// Offered to a client that has not asked for it yet.
    Offered,
    /// A client found it in use by somebody else and declined it, or a probe did.
    Declined,
    /// It ran out or was released, and is remembered for its client.
    Expired,
}

impl LeaseState {
    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Offered => "offered",
            Self::Declined => "declined",
            Self::Expired => "expired",
        }
    }
}

/// One line of `vmlan leases`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseView<'a> {
    /// When this state ends, or ended, in epoch seconds; 0 means never.
    pub expiry: u64,
    /// The client; for a declined address the one that declined it,
    /// or that answered the probe for it.
    pub mac: MacAddr,
    /// The address.
    pub address: Ipv4Addr,
    /// The client's name, where it has a lease and gave one.
    pub hostname: Option<&'a str>,
    /// The client identifier, where it has a lease and gave one.
    pub client_id: Option<&'a [u8]>,
    /// What the address is held for.
    pub state: LeaseState,
}
