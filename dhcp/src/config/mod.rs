//! What is to be served.

mod condition;
mod host;
mod range;
mod validate;

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crate::hash::HashSet;
use ipnet::Ipv4Net;

use crate::options::{Boot, Setting};
use crate::tag::Tag;

pub use condition::{Condition, Match};
pub(crate) use host::masked;
pub use host::{Host, HostKey, MacPattern, MacPatternError};
pub use range::Range;
pub use validate::ConfigError;

/// The shortest lease time, in seconds: dnsmasq's.
pub const MIN_LEASE_SECONDS: u32 = 120;

/// dnsmasq's limit on leases.
pub const DEFAULT_MAX_LEASES: usize = 1000;

/// What a [`Server`](crate::Server) serves on one subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The server's own address: the server identifier (RFC 2132 §9.7).
    pub server: Ipv4Addr,
    /// The subnet that the server is on; gives mask and broadcast address.
    pub subnet: Ipv4Net,
    /// Addresses that the server had before, each with its subnet, and that
    /// clients may still know it by. Who has an address of such a subnet, and
    /// not of one that is served, is told so by the address that it knows.
    pub former: Vec<Ipv4Net>,
    /// Where clients without an address of their own are served from. None
    /// overlaps another.
    pub ranges: Vec<Range>,
    /// What a lease belongs to.
    pub identity: Identity,
    /// Whether the lowest free address of a range is taken, not the one that
    /// the client's hardware address leads to.
    pub sequential: bool,
    /// Whether clients that are none of the [`hosts`](Self::hosts) get no
    /// answer.
    pub known_only: bool,
    /// How long a lease lasts.
    pub lease_time: LeaseTime,
    /// The default router (option 3).
    pub router: Option<Ipv4Addr>,
    /// Name servers (option 6).
    pub dns: Vec<Ipv4Addr>,
    /// The domain name (option 15).
    pub domain: Option<String>,
    /// The interface MTU in bytes (option 26).
    pub mtu: Option<u16>,
    /// Further options. They override those above; an empty value means that
    /// the option is not sent.
    pub options: Vec<Setting>,
    /// What clients boot from the network.
    pub boots: Vec<Boot>,
    /// Whether a client that asks for it gets an ACK to its DISCOVER (RFC
    /// 4039): for networks where no other server could offer too.
    pub rapid_commit: bool,
    /// Whether a client is offered an address that it does not have only after
    /// the segment was asked for it: see [`Answer::Probe`](crate::Answer::Probe).
    pub probe: bool,
    /// Hosts that are known.
    pub hosts: Vec<Host>,
    /// What every request is marked with: the name of the server's interface.
    pub set: Vec<Tag>,
    /// What further tags requests get, in this order.
    pub matches: Vec<Match>,
    /// The most leases that are recorded, live and remembered together; it
    /// bounds the server's memory. As many offers, and as many declined
    /// addresses, may stand beside them.
    pub max_leases: usize,
}

impl Config {
    /// The plainest configuration for a subnet: served by `server`, which is
    /// router and name server too, from `range`, with dnsmasq's defaults: one
    /// hour, 1,000 leases. No probes: whoever owns the server has to make them.
    #[must_use]
    pub fn new(server: Ipv4Addr, subnet: Ipv4Net, range: RangeInclusive<Ipv4Addr>) -> Self {
        Self {
            server,
            subnet,
            former: Vec::new(),
            ranges: vec![Range::new(range)],
            identity: Identity::default(),
            sequential: false,
            known_only: false,
            lease_time: LeaseTime::default(),
            router: Some(server),
            dns: vec![server],
            domain: None,
            mtu: None,
            options: Vec::new(),
            boots: Vec::new(),
            rapid_commit: false,
            probe: false,
            hosts: Vec::new(),
            set: Vec::new(),
            matches: Vec::new(),
            max_leases: DEFAULT_MAX_LEASES,
        }
    }

    /// The subnet that the addresses of `range` are of.
    pub(crate) fn subnet_of(&self, range: &Range) -> Ipv4Net {
        range.subnet.unwrap_or(self.subnet).trunc()
    }

    /// Every subnet that is served, the server's own first.
    pub(crate) fn subnets(&self) -> impl Iterator<Item = Ipv4Net> + '_ {
        let ranges = self.ranges.iter().map(|range| self.subnet_of(range));
        std::iter::once(self.subnet.trunc()).chain(ranges)
    }

    /// The addresses that no client ever gets.
    pub(crate) fn never_served(&self) -> HashSet<Ipv4Addr> {
        let ends = self.subnets().flat_map(|s| [s.network(), s.broadcast()]);
        let routers = self.ranges.iter().filter_map(|range| range.router);
        ends.chain(routers)
            .chain(self.router)
            .chain([self.server])
            .collect()
    }
}

/// What a lease belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Identity {
    /// The client's hardware address. Two clients that send one client
    /// identifier, as clones of one image do, get an address each.
    #[default]
    Mac,
    /// The client identifier (RFC 2131 §4.2), or the hardware address of a
    /// client that sends none, as in dnsmasq. Whoever sends a client's
    /// identifier is that client.
    ClientId,
}

/// A renewal sooner than this after the last one is not written down.
const RENEWAL_SECONDS: u32 = 60;

/// How long a lease lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseTime {
    /// For ever.
    Infinite,
    /// For this many seconds, at least [`MIN_LEASE_SECONDS`].
    Seconds(u32),
}

impl Default for LeaseTime {
    /// One hour.
    fn default() -> Self {
        Self::Seconds(3600)
    }
}

impl LeaseTime {
    /// What a client gets that asks for `requested` seconds (option 51, all
    /// ones meaning for ever): the shorter of both, within the minimum.
    pub(crate) fn shortened_to(self, requested: Option<u32>) -> Self {
        match (self, requested) {
            (Self::Infinite, Some(s)) if s != u32::MAX => Self::Seconds(s.max(MIN_LEASE_SECONDS)),
            (Self::Seconds(own), Some(s)) => Self::Seconds(own.min(s.max(MIN_LEASE_SECONDS))),
            _ => self,
        }
    }

    /// What is left at `now` of a lease that was recorded with `expiry`, if that
    /// is so close to what a new one of this length would have that it need not
    /// be written down again: within an eighth of it, and within a minute.
    pub(crate) fn left_of(self, expiry: u64, now: u64) -> Option<Self> {
        let Self::Seconds(length) = self else {
            return (expiry == 0).then_some(self);
        };
        let left = u32::try_from(expiry.checked_sub(now)?).ok()?;
        let passed = length.checked_sub(left)?;
        (passed < RENEWAL_SECONDS.min(length / 8)).then_some(Self::Seconds(left))
    }

    /// The expiry of a lease that starts at `now`, as a lease records it.
    pub(crate) fn expiry(self, now: u64) -> u64 {
        match self {
            Self::Infinite => 0,
            Self::Seconds(s) => now.saturating_add(s.into()),
        }
    }
}
