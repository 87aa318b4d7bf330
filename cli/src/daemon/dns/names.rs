//! The names that are there now: what the configuration says, and who has a
//! lease. The DHCP server changes the leases while the name server reads them.

use crate::dns::lease_names::{Claim, LeaseNames};
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;
use vmlan_dhcp::Lease;

/// The names of leases, for both servers.
#[derive(Debug, Clone, Default)]
pub(in crate::daemon) struct Names {
    leases: Arc<RwLock<LeaseNames>>,
}

impl Names {
    /// The names at this moment. Whoever holds them keeps the DHCP server from
    /// going on: not over anything that takes time.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, LeaseNames> {
        self.leases.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has become of the leases of some addresses: each with the lease that
    /// is live now, if one is, and when that ends (`None`: never).
    pub(in crate::daemon) fn set<'a>(
        &self,
        leases: impl IntoIterator<Item = (Ipv4Addr, Option<(&'a Lease, Option<Instant>)>)>,
    ) {
        let mut names = self.leases.write().unwrap_or_else(PoisonError::into_inner);
        for (address, lease) in leases {
            let claim = lease.and_then(|(lease, ends)| {
                Some(Claim {
                    label: lease.hostname.as_deref()?.to_ascii_lowercase().into(),
                    mac: lease.mac,
                    client_id: lease.client_id.clone(),
                    ends,
                })
            });
            names.set(address, claim);
        }
    }

    /// No address is leased any more.
    pub(in crate::daemon) fn clear(&self) {
        let mut names = self.leases.write().unwrap_or_else(PoisonError::into_inner);
        names.clear();
    }
}
