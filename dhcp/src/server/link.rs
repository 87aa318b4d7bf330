//! A subnet that clients are on.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::config::Config;

/// A subnet that clients are on, and what those on it are told of it.
#[derive(Debug)]
pub(super) struct Link {
    /// Gives mask and broadcast address.
    pub(super) subnet: Ipv4Net,
    /// The default router (option 3).
    pub(super) router: Option<Ipv4Addr>,
}

impl Link {
    /// The server's own.
    pub(super) fn own(config: &Config) -> Self {
        Self {
            subnet: config.subnet,
            router: config.router,
        }
    }
}
