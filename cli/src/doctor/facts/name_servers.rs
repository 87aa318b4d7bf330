//! The name servers that guests are told, and those of the host.

use super::{Facts, read};
use crate::config::served;
use std::net::Ipv4Addr;
use std::path::Path;
use vmlan_dhcp::options::{Scope, Setting};
use vmlan_dhcp::tag::TagMatch;

impl Facts {
    /// The name servers that the embedded DHCP server tells clients, whatever
    /// tags they have.
    pub(super) fn told_name_servers(&self) -> Vec<Ipv4Addr> {
        let served = served::dhcp(&self.config, self.gateway(), None);
        let Ok(Some(served)) = served else {
            return Vec::new();
        };
        let is_dns = |setting: &&Setting| setting.code == 6 && setting.scope == Scope::Message;
        let settings: Vec<_> = served.options.iter().filter(is_dns).collect();
        let addresses = settings.iter().flat_map(|setting| {
            let (addresses, _) = setting.value.as_chunks::<4>();
            addresses.iter().map(|octets| Ipv4Addr::from(*octets))
        });
        let mut told: Vec<_> = addresses.collect();
        // An option for all takes the place of the server's own.
        if settings
            .iter()
            .all(|setting| setting.tags != TagMatch::default())
        {
            told.extend(served.dns);
        }
        told
    }
}

/// The host's name servers that others can reach too. Where systemd-resolved
/// runs, /etc/resolv.conf has its own address on the loopback netdev, and
/// another file those that it asks.
pub(super) fn host_resolvers() -> Vec<Ipv4Addr> {
    let files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
    let mut found = Vec::new();
    for file in files {
        for server in name_servers(&read(Path::new(file)).unwrap_or_default()) {
            if !server.is_loopback() && !found.contains(&server) {
                found.push(server);
            }
        }
    }
    found
}

/// The IPv4 name servers in the text of a resolv.conf (resolv.conf(5)).
fn name_servers(text: &str) -> impl Iterator<Item = Ipv4Addr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_as_the_resolver_reads_them() {
        let text = "# nameserver 1.1.1.1\nnameserver 127.0.0.53\n nameserver\t9.9.9.9 x\n\
                    nameserver ::1\nsearch vm\nnameserver\n";
        let found: Vec<_> = name_servers(text).map(|ip| ip.to_string()).collect();
        assert_eq!(found, ["127.0.0.53", "9.9.9.9"]);
    }
}
