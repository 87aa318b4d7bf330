//! Finding the static host that a client is.

use std::net::Ipv4Addr;
use std::sync::Arc;

use foldhash::HashMap;
use pnet_base::MacAddr;

use crate::config::{Host, HostKey};

/// The static hosts by their keys.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    by_mac: HashMap<MacAddr, Arc<Host>>,
    by_client_id: HashMap<Vec<u8>, Arc<Host>>,
}

impl Hosts {
    /// Those of a configuration.
    pub(crate) fn new(hosts: &[Host]) -> Self {
        let mut index = Self::default();
        for host in hosts {
            let shared = Arc::new(host.clone());
            match &host.key {
                HostKey::Mac(mac) => index.by_mac.insert(*mac, shared),
                HostKey::ClientId(id) => index.by_client_id.insert(id.clone(), shared),
            };
        }
        index
    }

    /// The host that a client is; what a client identifier says goes before
    /// what the MAC says, as in dnsmasq.
    pub(crate) fn find(&self, mac: MacAddr, client_id: Option<&[u8]>) -> Option<&Arc<Host>> {
        client_id
            .and_then(|id| self.by_client_id.get(id))
            .or_else(|| self.by_mac.get(&mac))
    }

    /// The addresses that belong to a host.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.by_mac
            .values()
            .chain(self.by_client_id.values())
            .filter_map(|host| host.address)
    }
}
