//! Whether a configuration can be served, and if not, why.

use std::net::Ipv4Addr;

use crate::hash::{HashMap, HashSet};
use ipnet::Ipv4Net;
use thiserror::Error;

use super::{Condition, Config, Host, HostKey, LeaseTime, MIN_LEASE_SECONDS, Range};
use crate::hostname;
use crate::options::{self, Boot, BootError, SettingError};

/// Why a configuration cannot be served, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the message says what each one is")]
pub enum ConfigError {
    #[error(
        "the leases of {0} and {1} would be of one client by the new key, which can have one only: change it when one of them has ended"
    )]
    OneClient(Ipv4Addr, Ipv4Addr),
    #[error("subnet {0} has no room for clients: take a prefix of /8 to /30")]
    SubnetSize(Ipv4Net),
    #[error("subnets {0} and {1} overlap: make them the same, or apart from each other")]
    SubnetsOverlap(Ipv4Net, Ipv4Net),
    #[error(
        "server address {server} is not a host address of subnet {subnet}: take one between its network and broadcast address"
    )]
    Server { server: Ipv4Addr, subnet: Ipv4Net },
    #[error("router {router} is outside the subnet {subnet}: no client could reach it there")]
    Router { router: Ipv4Addr, subnet: Ipv4Net },
    #[error(
        "range {first} to {last} is of the server's own subnet, which has one router for all: leave its router out"
    )]
    RouterOfOwn { first: Ipv4Addr, last: Ipv4Addr },
    #[error("subnet {subnet} has the routers {first} and {second}: take one for all its ranges")]
    RouterDiffers {
        subnet: Ipv4Net,
        first: Ipv4Addr,
        second: Ipv4Addr,
    },
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
    #[error(
        "range {first} to {last} overlaps the one from {other_first} to {other_last}: part them"
    )]
    RangesOverlap {
        first: Ipv4Addr,
        last: Ipv4Addr,
        other_first: Ipv4Addr,
        other_last: Ipv4Addr,
    },
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
    #[error(
        "a match asks for nothing, so that it would hold for every client: give it a condition"
    )]
    MatchEmpty,
    #[error("a host has no key: say by which MAC, client-id or name it is recognised")]
    HostNoKey,
    #[error(
        "host {0} has an unusable key: take the MAC of one station, a client-id of 1 to 255 bytes, or a host name"
    )]
    HostKey(HostKey),
    #[error("host {0} is there twice: keep one, or give each an address of another subnet")]
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
        let subnets = self.validate_subnets()?;
        let (server, subnet) = (self.server, self.subnet);
        if !is_host_address(server, subnet) {
            return Err(ConfigError::Server { server, subnet });
        }
        if let Some(router) = self.router.filter(|r| !subnet.contains(r)) {
            return Err(ConfigError::Router { router, subnet });
        }
        self.validate_ranges()?;
        validate_time(Some(self.lease_time))?;
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
        let always = |c: &Condition| matches!(c, Condition::Tags(tags) if tags.is_always());
        if self.matches.iter().any(|m| m.conditions.iter().all(always)) {
            return Err(ConfigError::MatchEmpty);
        }
        self.validate_hosts(&subnets)
    }

    /// The subnets, ordered, each once: apart from each other, so that each
    /// address is of one.
    fn validate_subnets(&self) -> Result<Vec<Ipv4Net>, ConfigError> {
        let mut subnets: Vec<Ipv4Net> = self.subnets().collect();
        if let Some(subnet) = subnets.iter().find(|s| !(8..=30).contains(&s.prefix_len())) {
            return Err(ConfigError::SubnetSize(*subnet));
        }
        subnets.sort_unstable();
        subnets.dedup();
        // Ordered by address, then prefix: what overlaps stands side by side.
        for (a, b) in subnets.iter().zip(subnets.iter().skip(1)) {
            if a.contains(b) {
                return Err(ConfigError::SubnetsOverlap(*a, *b));
            }
        }
        Ok(subnets)
    }

    fn validate_ranges(&self) -> Result<(), ConfigError> {
        let never = self.never_served();
        let mut routers: HashMap<Ipv4Net, Ipv4Addr> = HashMap::default();
        for range in &self.ranges {
            let (first, last) = (*range.addresses.start(), *range.addresses.end());
            let subnet = self.subnet_of(range);
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
            let span = u64::from(u32::from(last) - u32::from(first)) + 1;
            let excluded = never
                .iter()
                .filter(|a| range.addresses.contains(*a))
                .count();
            if excluded as u64 >= span {
                return Err(ConfigError::RangeEmpty { first, last });
            }
            validate_time(range.lease_time)?;
            let Some(router) = range.router else { continue };
            if subnet == self.subnet.trunc() {
                return Err(ConfigError::RouterOfOwn { first, last });
            }
            if !subnet.contains(&router) {
                return Err(ConfigError::Router { router, subnet });
            }
            match routers.insert(subnet, router) {
                Some(first) if first != router => {
                    return Err(ConfigError::RouterDiffers {
                        subnet,
                        first,
                        second: router,
                    });
                }
                _ => {}
            }
        }
        let mut ordered: Vec<&Range> = self.ranges.iter().collect();
        ordered.sort_by_key(|range| *range.addresses.start());
        for (a, b) in ordered.iter().zip(ordered.iter().skip(1)) {
            if b.addresses.start() <= a.addresses.end() {
                return Err(ConfigError::RangesOverlap {
                    first: *b.addresses.start(),
                    last: *b.addresses.end(),
                    other_first: *a.addresses.start(),
                    other_last: *a.addresses.end(),
                });
            }
        }
        Ok(())
    }

    fn validate_hosts(&self, subnets: &[Ipv4Net]) -> Result<(), ConfigError> {
        // Of one key there may be a host on each subnet, or one for all.
        let mut keys: HashMap<&HostKey, Vec<Option<Ipv4Net>>> = HashMap::default();
        let never = self.never_served();
        let mut addresses: HashMap<Ipv4Addr, &HostKey> = HashMap::default();
        for host in &self.hosts {
            let first_key = host.keys.first().ok_or(ConfigError::HostNoKey)?;
            validate_time(host.lease_time)?;
            if let Some(name) = host.name.as_ref().filter(|n| !hostname::is_label(n)) {
                return Err(ConfigError::HostName {
                    host: first_key.clone(),
                    name: name.clone(),
                });
            }
            let mut subnet = None;
            if let Some(address) = host.address {
                subnet = Some(self.validate_host_address(first_key, address, subnets, &never)?);
                if let Some(first) = addresses.insert(address, first_key) {
                    return Err(ConfigError::HostAddressTwice {
                        first: first.clone(),
                        second: first_key.clone(),
                        address,
                    });
                }
            }
            validate_keys(host)?;
            for key in &host.keys {
                let others = keys.entry(key).or_default();
                let rival = |other: &Option<Ipv4Net>| other.is_none() || *other == subnet;
                if others.iter().any(rival) || (subnet.is_none() && !others.is_empty()) {
                    return Err(ConfigError::HostTwice(key.clone()));
                }
                others.push(subnet);
            }
        }
        Ok(())
    }

    /// The subnet that a host's address is of.
    fn validate_host_address(
        &self,
        host: &HostKey,
        address: Ipv4Addr,
        subnets: &[Ipv4Net],
        never: &HashSet<Ipv4Addr>,
    ) -> Result<Ipv4Net, ConfigError> {
        let subnet = subnets.iter().find(|s| s.contains(&address));
        let Some(subnet) = subnet else {
            return Err(ConfigError::HostOutside {
                host: host.clone(),
                address,
                subnet: self.subnet,
            });
        };
        let what = match address {
            a if a == self.server => "server's",
            a if a == subnet.network() => "network address",
            a if a == subnet.broadcast() => "broadcast address",
            a if never.contains(&a) => "router's",
            _ => return Ok(*subnet),
        };
        Err(ConfigError::HostReserved {
            host: host.clone(),
            address,
            what,
        })
    }
}

/// The keys of a host have to be ones, each once.
fn validate_keys(host: &Host) -> Result<(), ConfigError> {
    let mut seen = HashSet::default();
    for key in &host.keys {
        let usable = match key {
            HostKey::Mac(mac) => mac.is_station(),
            HostKey::ClientId(id) => (1..=255).contains(&id.len()),
            HostKey::Name(name) => hostname::is_label(name),
        };
        if !usable {
            return Err(ConfigError::HostKey(key.clone()));
        }
        if !seen.insert(key) {
            return Err(ConfigError::HostTwice(key.clone()));
        }
    }
    Ok(())
}

fn validate_time(time: Option<LeaseTime>) -> Result<(), ConfigError> {
    match time {
        Some(LeaseTime::Seconds(seconds)) if seconds < MIN_LEASE_SECONDS => {
            Err(ConfigError::LeaseTime(seconds))
        }
        _ => Ok(()),
    }
}

/// Whether `address` is of the subnet, and not its network or broadcast
/// address.
fn is_host_address(address: Ipv4Addr, subnet: Ipv4Net) -> bool {
    subnet.contains(&address) && address != subnet.network() && address != subnet.broadcast()
}
