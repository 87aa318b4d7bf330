//! Finding the host that a client is.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::hash::HashMap;
use ipnet::Ipv4Net;
use pnet_base::MacAddr;

use crate::config::{Host, HostKey, masked};

/// Hosts with one key: on each subnet at most one of them counts.
type Named = Vec<Arc<Host>>;

/// The configured hosts by their keys. Finding one takes as many steps as there
/// are different sets of wildcards, however many hosts there are.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    by_client_id: HashMap<Vec<u8>, Named>,
    by_mac: HashMap<MacAddr, Named>,
    by_name: HashMap<Box<str>, Named>,
    /// By the number of wildcards and the octets that count.
    by_pattern: BTreeMap<(usize, [u8; 6]), HashMap<[u8; 6], Named>>,
    addresses: Vec<Ipv4Addr>,
}

/// What the configuration knows of a client.
#[derive(Debug)]
pub(crate) enum Known {
    /// This host, if it has an address it is one of the client's subnet.
    Here(Arc<Host>),
    /// A host whose address is of another subnet than the client is on.
    Elsewhere,
    /// Nothing.
    No,
}

impl Hosts {
    /// Those of a configuration.
    pub(crate) fn new(hosts: &[Host]) -> Self {
        let mut index = Self::default();
        for host in hosts {
            let shared = Arc::new(host.clone());
            index.addresses.extend(host.address);
            for key in &host.keys {
                index.named(key).push(Arc::clone(&shared));
            }
        }
        index
    }

    fn named(&mut self, key: &HostKey) -> &mut Named {
        match key {
            HostKey::ClientId(id) => self.by_client_id.entry(id.clone()).or_default(),
            HostKey::Name(name) => {
                let name = name.to_ascii_lowercase();
                self.by_name.entry(name.into()).or_default()
            }
            HostKey::Mac(pattern) => match pattern.exact() {
                Some(mac) => self.by_mac.entry(mac).or_default(),
                None => {
                    let mask = pattern.mask();
                    let wildcards = mask.iter().filter(|octet| **octet == 0).count();
                    let hosts = self.by_pattern.entry((wildcards, mask)).or_default();
                    hosts.entry(pattern.octets()).or_default()
                }
            },
        }
    }

    /// The host that a client on `subnet` is, by its client identifier, its
    /// MAC, the name that it gives itself, or a pattern for MACs: the order is
    /// dnsmasq's.
    pub(crate) fn find(
        &self,
        subnet: Ipv4Net,
        mac: MacAddr,
        client_id: Option<&[u8]>,
        name: Option<&str>,
    ) -> Known {
        // As in dnsmasq, text is known with type 0 in front (RFC 2132 §9.14) too.
        let untyped = client_id.and_then(|id| id.strip_prefix(&[0]));
        let mut ids = client_id.into_iter().chain(untyped);
        let by_id = ids.find_map(|id| self.by_client_id.get(id));
        let by_name = || {
            let name = name.filter(|_| !self.by_name.is_empty())?;
            self.by_name.get(name.to_ascii_lowercase().as_str())
        };
        let by_pattern = self
            .by_pattern
            .iter()
            .filter_map(|((_, mask), hosts)| hosts.get(&masked(mac, *mask)));
        let found = by_id
            .into_iter()
            .chain(self.by_mac.get(&mac))
            .chain(std::iter::once_with(by_name).flatten())
            .chain(by_pattern);
        let mut known = Known::No;
        for host in found.flatten() {
            if host.address.is_none_or(|address| subnet.contains(&address)) {
                return Known::Here(Arc::clone(host));
            }
            known = Known::Elsewhere;
        }
        known
    }

    /// The addresses that belong to a host.
    pub(crate) fn addresses(&self) -> &[Ipv4Addr] {
        &self.addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr(0x52, 0x54, 0, 0, 0, 1);

    fn host(name: &str, keys: &[&str], address: Option<&str>) -> Host {
        let keys = keys.iter().map(|key| match key.split_once('=') {
            Some(("id", id)) => HostKey::ClientId(id.as_bytes().to_vec()),
            Some((_, name)) => HostKey::Name(name.to_owned()),
            None => HostKey::Mac(key.parse().unwrap()),
        });
        Host {
            keys: keys.collect(),
            name: Some(name.to_owned()),
            address: address.map(|a| a.parse().unwrap()),
            ..Host::new(MAC.into())
        }
    }

    /// The name of the host that is found on 10.0.0.0/24, or what else is said.
    fn found(hosts: &[Host], mac: MacAddr, id: Option<&str>, name: Option<&str>) -> String {
        let subnet = "10.0.0.0/24".parse().unwrap();
        match Hosts::new(hosts).find(subnet, mac, id.map(str::as_bytes), name) {
            Known::Here(host) => host.name.clone().unwrap(),
            Known::Elsewhere => "elsewhere".into(),
            Known::No => "no".into(),
        }
    }

    #[test]
    fn the_firmest_key_counts() {
        let mut hosts = vec![
            host("any", &["*:*:*:*:*:*"], None),
            host("vendor", &["52:54:00:*:*:*"], None),
            host("name", &["name=Web"], None),
            host("mac", &["52:54:00:00:00:02", "52:54:00:00:00:01"], None),
            host("id", &["id=x"], None),
        ];
        for want in ["id", "mac", "name", "vendor", "any"] {
            assert_eq!(found(&hosts, MAC, Some("x"), Some("wEB")), want);
            hosts.pop();
        }
        assert_eq!(found(&hosts, MAC, Some("x"), Some("web")), "no");
    }

    #[test]
    fn a_host_counts_on_the_subnet_of_its_address() {
        let hosts = [
            host("there", &["52:54:00:00:00:01"], Some("10.1.0.9")),
            host("here", &["52:54:00:00:00:01"], Some("10.0.0.9")),
        ];
        assert_eq!(found(&hosts, MAC, None, None), "here");
        assert_eq!(found(&hosts[..1], MAC, None, None), "elsewhere");
    }
}
