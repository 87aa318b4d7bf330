//! Whether a configuration can be served, and if not, why.

use std::net::Ipv4Addr;

use foldhash::{HashMap, HashSet};
use ipnet::Ipv4Net;
use thiserror::Error;

use super::{Config, Host, HostKey, LeaseTime, MIN_LEASE_SECONDS};
use crate::hostname;
use crate::options::{self, Boot, BootError, SettingError};

/// Why a configuration cannot be served, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the message says what each one is")]
pub enum ConfigError {
    #[error("subnet {0} has no room for clients: take a prefix of /8 to /30")]
    SubnetSize(Ipv4Net),
    #[error(
        "server address {server} is not a host address of subnet {subnet}: take one between its network and broadcast address"
    )]
    Server { server: Ipv4Addr, subnet: Ipv4Net },
    #[error("router {router} is outside the subnet {subnet}: no client could reach it there")]
    Router { router: Ipv4Addr, subnet: Ipv4Net },
    #[error("range {first} to {last} ends before it starts: swap the two addresses")]
    RangeReversed { first: Ipv4Addr, last: Ipv4Addr },
    #[error("range {first} to {last} leaves the subnet {subnet}: take both ends from the subnet")]
    RangeOutside {
        first: Ipv4Addr,
        last: Ipv4Addr,
        subnet: Ipv4Net,
    },
    #[error(
        "range {first} to {last} has nothing to hand out beside the gateway, network and broadcast address: widen it"
    )]
    RangeEmpty { first: Ipv4Addr, last: Ipv4Addr },
    #[error("lease time of {0} s is too short: take {MIN_LEASE_SECONDS} s or more")]
    LeaseTime(u32),
    #[error("domain '{0}' is not a domain name: take labels of letters, digits and inner hyphens")]
    Domain(String),
    #[error("MTU {0} is below 68, the least that IPv4 allows")]
    Mtu(u16),
    #[error(transparent)]
    Option(#[from] SettingError),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error("max_leases is 0, so that nobody could be served: take 1 or more")]
    MaxLeases,
    #[error("host {0} has neither an address nor a name: give it one, or leave it out")]
    HostEmpty(HostKey),
    #[error(
        "host {0} has an unusable key: take the MAC of one station, or a client-id of 1 to 255 bytes"
    )]
    HostKey(HostKey),
    #[error("host {0} is there twice: keep one")]
    HostTwice(HostKey),
    #[error("host {host} has the address {address}, which is outside the subnet {subnet}")]
    HostOutside {
        host: HostKey,
        address: Ipv4Addr,
        subnet: Ipv4Net,
    },
    #[error("host {host} has the address {address}, which is the {what}: take another one")]
    HostReserved {
        host: HostKey,
        address: Ipv4Addr,
        what: &'static str,
    },
    #[error("hosts {first} and {second} both have the address {address}: give one of them another")]
    HostAddressTwice {
        first: HostKey,
        second: HostKey,
        address: Ipv4Addr,
    },
    #[error(
        "name '{name}' of host {host} is not a host name: take 1 to 63 letters, digits and inner hyphens"
    )]
    HostName { host: HostKey, name: String },
}

impl Config {
    /// Checks that this can be served.
    ///
    /// # Errors
    ///
    /// The first thing that cannot, by name, with the way to mend it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let subnet = self.subnet;
        if !(8..=30).contains(&subnet.prefix_len()) {
            return Err(ConfigError::SubnetSize(subnet));
        }
        let server = self.server;
        if !self.is_host_address(server) {
            return Err(ConfigError::Server { server, subnet });
        }
        if let Some(router) = self.router.filter(|r| !subnet.contains(r)) {
            return Err(ConfigError::Router { router, subnet });
        }
        self.validate_range()?;
        if let LeaseTime::Seconds(seconds) = self.lease_time
            && seconds < MIN_LEASE_SECONDS
        {
            return Err(ConfigError::LeaseTime(seconds));
        }
        if let Some(domain) = self.domain.as_ref().filter(|d| !hostname::is_domain(d)) {
            return Err(ConfigError::Domain(domain.clone()));
        }
        if let Some(mtu) = self.mtu.filter(|m| *m < 68) {
            return Err(ConfigError::Mtu(mtu));
        }
        if self.max_leases == 0 {
            return Err(ConfigError::MaxLeases);
        }
        options::check(&self.options)?;
        self.boots.iter().try_for_each(Boot::check)?;
        self.validate_hosts()
    }

    fn validate_range(&self) -> Result<(), ConfigError> {
        let (first, last, subnet) = (*self.range.start(), *self.range.end(), self.subnet);
        if first > last {
            return Err(ConfigError::RangeReversed { first, last });
        }
        if !subnet.contains(&first) || !subnet.contains(&last) {
            return Err(ConfigError::RangeOutside {
                first,
                last,
                subnet,
            });
        }
        let span = u32::from(last) - u32::from(first) + 1;
        let excluded = self.never_served();
        let excluded = excluded.iter().filter(|a| self.range.contains(*a)).count();
        if excluded >= span as usize {
            return Err(ConfigError::RangeEmpty { first, last });
        }
        Ok(())
    }

    fn validate_hosts(&self) -> Result<(), ConfigError> {
        let mut keys = HashSet::default();
        let mut addresses: HashMap<Ipv4Addr, &HostKey> = HashMap::default();
        for Host { key, address, name } in &self.hosts {
            let usable = match key {
                HostKey::Mac(mac) => mac.is_unicast() && !mac.is_zero(),
                HostKey::ClientId(id) => (1..=255).contains(&id.len()),
            };
            if !usable {
                return Err(ConfigError::HostKey(key.clone()));
            }
            if !keys.insert(key) {
                return Err(ConfigError::HostTwice(key.clone()));
            }
            if address.is_none() && name.is_none() {
                return Err(ConfigError::HostEmpty(key.clone()));
            }
            if let Some(name) = name.as_ref().filter(|n| !hostname::is_label(n)) {
                return Err(ConfigError::HostName {
                    host: key.clone(),
                    name: name.clone(),
                });
            }
            let Some(address) = *address else { continue };
            self.validate_host_address(key, address)?;
            if let Some(first) = addresses.insert(address, key) {
                return Err(ConfigError::HostAddressTwice {
                    first: first.clone(),
                    second: key.clone(),
                    address,
                });
            }
        }
        Ok(())
    }

    fn validate_host_address(&self, host: &HostKey, address: Ipv4Addr) -> Result<(), ConfigError> {
        let what = match address {
            a if !self.subnet.contains(&a) => {
                return Err(ConfigError::HostOutside {
                    host: host.clone(),
                    address,
                    subnet: self.subnet,
                });
            }
            a if a == self.server => "server's",
            a if Some(a) == self.router => "router's",
            a if a == self.subnet.network() => "network address",
            a if a == self.subnet.broadcast() => "broadcast address",
            _ => return Ok(()),
        };
        Err(ConfigError::HostReserved {
            host: host.clone(),
            address,
            what,
        })
    }

    /// Whether `address` is of the subnet, and not its network or broadcast
    /// address.
    fn is_host_address(&self, address: Ipv4Addr) -> bool {
        self.subnet.contains(&address)
            && address != self.subnet.network()
            && address != self.subnet.broadcast()
    }
}
