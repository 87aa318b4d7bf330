//! Ranges of addresses.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;

use super::LeaseTime;
use crate::tag::{Tag, TagMatch};

/// Addresses for clients without one of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first and the last. Network, broadcast, server and router address
    /// and those of hosts may stand in it and are left out.
    pub addresses: RangeInclusive<Ipv4Addr>,
    /// The subnet that they are of: `None` for the server's own, another for
    /// clients behind a relay agent.
    pub subnet: Option<Ipv4Net>,
    /// The default router (option 3) of another subnet; by default the relay
    /// agent. The server's own has [`Config::router`](super::Config::router).
    pub router: Option<Ipv4Addr>,
    /// Whom it serves. Ranges that ask for tags are tried before those that do
    /// not.
    pub tags: TagMatch,
    /// What its clients are marked with.
    pub set: Vec<Tag>,
    /// Whether it serves configured hosts alone.
    pub known_only: bool,
    /// How long a lease lasts, where not as everywhere.
    pub lease_time: Option<LeaseTime>,
}

impl Range {
    /// `addresses` of the server's own subnet, for everybody.
    #[must_use]
    pub fn new(addresses: RangeInclusive<Ipv4Addr>) -> Self {
        Self {
            addresses,
            subnet: None,
            router: None,
            tags: TagMatch::default(),
            set: Vec::new(),
            known_only: false,
            lease_time: None,
        }
    }
}
