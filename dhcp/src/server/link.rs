//! The subnets that clients are on: the server's own, and those behind relay
//! agents.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;

use crate::config::Config;

/// A subnet that clients are on, and what those on it are told of it.
#[derive(Debug)]
pub(super) struct Link {
    /// Gives mask and broadcast address.
    pub(super) subnet: Ipv4Net,
    /// Whether it is the one that the server is on.
    pub(super) is_own: bool,
    /// The default router (option 3) that is configured.
    pub(super) router: Option<Ipv4Addr>,
    /// The places of its ranges in the configuration, in the order in which
    /// they are tried: those that ask for tags before those for everybody.
    pub(super) ranges: Vec<usize>,
}

/// Every subnet.
#[derive(Debug)]
pub(super) struct Links {
    own: Arc<Link>,
    /// By address; none overlaps another.
    ordered: Vec<Arc<Link>>,
}

impl Links {
    /// Those of a configuration that is valid.
    pub(super) fn new(config: &Config) -> Self {
        let mut subnets: Vec<Ipv4Net> = config.subnets().collect();
        subnets.sort_unstable();
        subnets.dedup();
        let ordered: Vec<_> = subnets
            .into_iter()
            .map(|subnet| Arc::new(Link::new(config, subnet)))
            .collect();
        let own = ordered.iter().find(|link| link.is_own).map(Arc::clone);
        Self {
            own: own.unwrap_or_else(|| Arc::new(Link::new(config, config.subnet.trunc()))),
            ordered,
        }
    }

    /// The one that the server is on.
    pub(super) fn own(&self) -> &Arc<Link> {
        &self.own
    }

    /// The one that `address` is of.
    pub(super) fn find(&self, address: Ipv4Addr) -> Option<&Arc<Link>> {
        let after = self
            .ordered
            .partition_point(|link| link.subnet.network() <= address);
        let link = self.ordered.get(after.checked_sub(1)?)?;
        link.subnet.contains(&address).then_some(link)
    }
}

impl Link {
    fn new(config: &Config, subnet: Ipv4Net) -> Self {
        let is_own = subnet == config.subnet.trunc();
        let here = config.ranges.iter().enumerate();
        let here: Vec<_> = here
            .filter(|(_, range)| config.subnet_of(range) == subnet)
            .collect();
        let router = here.iter().find_map(|(_, range)| range.router);
        let (asking, open): (Vec<_>, Vec<_>) = here
            .into_iter()
            .partition(|(_, range)| !range.tags.is_always());
        Self {
            subnet,
            is_own,
            router: if is_own { config.router } else { router },
            ranges: asking
                .into_iter()
                .chain(open)
                .map(|(place, _)| place)
                .collect(),
        }
    }
}
