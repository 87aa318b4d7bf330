//! Addresses that the gateway had before, while clients have leases from then.
//!
//! A client knows the gateway by what its lease says, until it renews: so the
//! former address stays in use until each of those leases is renewed, replaced
//! or over.

use super::{DhcpService, State};
use ipnet::Ipv4Net;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use vmlan_dhcp::Event;

/// One such address.
#[derive(Debug)]
pub(super) struct Former {
    /// With the prefix length of its subnet.
    gateway: Ipv4Net,
    /// The leases from then.
    owed: BTreeSet<Ipv4Addr>,
}

impl DhcpService {
    /// Takes note that the gateway had the addresses `gateways` before, and no
    /// others. Those that are new among them concern the leases of now. To be
    /// called before [`configure`](Self::configure), which makes it known.
    pub(in crate::daemon) fn set_former(&self, gateways: &[Ipv4Net]) {
        let mut state = self.state();
        let now = state.keeper.now();
        let mut former = std::mem::take(&mut state.former);
        former.retain(|it| gateways.contains(&it.gateway));
        for gateway in gateways {
            if !former.iter().any(|it| it.gateway == *gateway) {
                let leases = state.bound(now).into_iter().map(|(address, _)| address);
                former.push(Former {
                    gateway: *gateway,
                    owed: leases.filter(|it| gateway.contains(it)).collect(),
                });
            }
        }
        state.former = former;
    }

    /// How many leases from its time each former address is kept for.
    pub(in crate::daemon) fn owed(&self) -> Vec<(Ipv4Net, usize)> {
        let mut state = self.state();
        let now = state.keeper.now();
        let live: BTreeSet<_> = state.bound(now).into_iter().map(|(it, _)| it).collect();
        let former = state.former.iter_mut().map(|former| {
            former.owed.retain(|address| live.contains(address));
            (former.gateway, former.owed.len())
        });
        former.collect()
    }
}

impl State {
    /// The former addresses.
    pub(super) fn former(&self) -> Vec<Ipv4Net> {
        self.former.iter().map(|former| former.gateway).collect()
    }

    /// Takes note of leases whose clients know the present gateway from now on.
    pub(super) fn note_told(&mut self, events: &[Event]) {
        if self.former.is_empty() {
            return;
        }
        for event in events {
            if let Event::Renewed { address, .. } | Event::Bound { address, .. } = event {
                for former in &mut self.former {
                    former.owed.remove(address);
                }
            }
        }
    }
}
