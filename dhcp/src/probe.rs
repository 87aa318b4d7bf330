//! Conflict probes: before an address goes to a client that does not have it
//! yet, the segment is asked whether somebody uses it unasked (RFC 2131 §3.1,
//! step 2), by ARP as in RFC 5227. The caller asks; this keeps which addresses
//! are being asked for, and which nobody answered for lately.

use std::net::Ipv4Addr;

use pnet_base::MacAddr;

use crate::hold::{Hold, Holds};
use crate::sender::Origin;

/// How long an address counts as unused once nobody has answered for it, in
/// seconds: as long as dnsmasq remembers a ping.
const FREE_SECONDS: u64 = 30;
/// Addresses that are remembered as unused, at most.
const MAX_FREE: usize = 1024;
/// Probes under way at a time, at most.
const MAX_UNDER_WAY: usize = 64;
/// Those among them for clients of one origin.
const MAX_OF_ORIGIN: usize = MAX_UNDER_WAY / 4;
/// When a probe is given up that the caller has not come back from, in seconds.
const LOST_SECONDS: u64 = 5;

/// An address that the segment is to be asked for: see
/// [`Answer::Probe`](crate::Answer::Probe).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The address.
    pub address: Ipv4Addr,
    /// How many addresses were found in use for the same message before.
    pub(crate) found: usize,
}

/// Who answered a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimant {
    /// The hardware address that it says it has the address at.
    pub mac: MacAddr,
    /// Where its answer came by.
    pub origin: Origin,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Probes {
    under_way: Holds,
    free: Holds,
}

impl Probes {
    /// None, and nothing known.
    pub(crate) fn new() -> Self {
        Self {
            under_way: Holds::lasting(LOST_SECONDS),
            free: Holds::lasting(FREE_SECONDS),
        }
    }

    /// Forgets what is outdated at `now`.
    pub(crate) fn advance(&mut self, now: u64) {
        for holds in [&mut self.under_way, &mut self.free] {
            while let Some(address) = holds.over(now) {
                holds.remove(address);
            }
        }
    }

    /// Whether nobody answered for `address` lately.
    pub(crate) fn is_free(&self, address: Ipv4Addr) -> bool {
        self.free.get(address).is_some()
    }

    /// Forgets that nobody answered for `address`: somebody may use it.
    pub(crate) fn forget(&mut self, address: Ipv4Addr) {
        self.free.remove(address);
    }

    /// Whether `address` is being asked for.
    pub(crate) fn is_under_way(&self, address: Ipv4Addr) -> bool {
        self.under_way.get(address).is_some()
    }

    /// Whether as many are under way as may be, for `origin` or for all.
    pub(crate) fn are_many(&self, origin: Origin) -> bool {
        self.under_way.len() >= MAX_UNDER_WAY || self.under_way.of_origin(origin) >= MAX_OF_ORIGIN
    }

    /// Notes that `address` is being asked for on behalf of the client `mac`.
    pub(crate) fn start(&mut self, address: Ipv4Addr, mac: MacAddr, origin: Origin, now: u64) {
        self.under_way.insert(address, mac, origin, now);
    }

    /// Ends the probe for `address`; on whose behalf it was, if there was one.
    pub(crate) fn end(&mut self, address: Ipv4Addr) -> Option<Hold> {
        self.under_way.remove(address)
    }

    /// Notes that nobody but the client that it was for answered the `probe`
    /// for `address`.
    pub(crate) fn found_free(&mut self, address: Ipv4Addr, probe: Hold, now: u64) {
        if self.free.len() >= MAX_FREE
            && let Some(oldest) = self.free.oldest()
        {
            self.free.remove(oldest);
        }
        self.free.insert(address, probe.mac, probe.origin, now);
    }
}
