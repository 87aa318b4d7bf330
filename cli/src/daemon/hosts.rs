//! Known stations that are added and deleted while the network runs.
//!
//! They are kept beside the configuration, which is never written: what stands
//! there goes before, and a live host that contradicts it is left out, with a
//! warning, for as long as it does.

use super::network::{Network, chain};
use crate::config::{Config, ConfigError, HostEntry, Source, served};
use crate::model::{ApiError, HostOrigin, HostView};
use ipnet::Ipv4Net;
use vmlan_dhcp::Host;

/// What is served by `config` beside `gateway`, with the hosts added `live` that
/// go with it.
///
/// # Errors
/// Those of [`served::dhcp`]; a live host causes none.
pub(super) fn served(
    config: &Config,
    gateway: Option<Ipv4Net>,
    live: &[HostEntry],
    source: Option<&Source>,
) -> Result<Option<vmlan_dhcp::Config>, ConfigError> {
    let mut served = served::dhcp(config, gateway, source)?;
    if let Some(served) = &mut served {
        let free = live.iter().filter_map(|entry| {
            let host = entry.host().ok()?;
            match rival(&config.dhcp.hosts, &host) {
                None => Some((entry, host)),
                Some(what) => {
                    left_out(entry, &format!("{what} stands in the configuration"));
                    None
                }
            }
        });
        admit(served, &free.collect::<Vec<_>>());
    }
    Ok(served)
}

/// Adds `hosts` to what is served. One that the server would refuse is left out,
/// as where the subnet is another one since it was added.
fn admit(served: &mut vmlan_dhcp::Config, hosts: &[(&HostEntry, Host)]) {
    let before = served.hosts.len();
    served
        .hosts
        .extend(hosts.iter().map(|(_, host)| host.clone()));
    let Err(error) = served.validate() else {
        return;
    };
    served.hosts.truncate(before);
    if let [(entry, _)] = hosts {
        return left_out(entry, &error.to_string());
    }
    // Whichever it is, it is in one of the halves.
    let (first, second) = hosts.split_at(hosts.len() / 2);
    admit(served, first);
    admit(served, second);
}

fn left_out(entry: &HostEntry, why: &str) {
    tracing::warn!(
        "the host {entry}, added while the network ran, is left out: {why}; \
         `vmlan host del {entry}` forgets it"
    );
}

/// What of `host` one of `hosts` has already.
fn rival(hosts: &[Host], host: &Host) -> Option<String> {
    hosts.iter().find_map(|other| {
        let key = host.keys.iter().find(|key| other.keys.contains(key));
        let address = host.address.filter(|_| host.address == other.address);
        let name = host.name.as_ref().filter(|_| host.name == other.name);
        key.map(ToString::to_string)
            .or_else(|| address.map(|address| format!("the address {address}")))
            .or_else(|| name.map(|name| format!("the name {name}")))
    })
}

impl Network {
    /// Every known station: those of the configuration first.
    pub(super) fn host_views(&self) -> Vec<HostView> {
        let hosts = &self.config.dhcp.hosts;
        let configured = hosts.iter().map(|host| HostView {
            host: host.into(),
            origin: HostOrigin::Config,
            rival: None,
        });
        let live = self.hosts.entries().iter().map(|entry| HostView {
            host: entry.clone(),
            origin: HostOrigin::Live,
            rival: entry.host().ok().and_then(|host| rival(hosts, &host)),
        });
        configured.chain(live).collect()
    }

    /// Adds a host, in place of live ones with one of its keys.
    pub(super) fn add_host(&mut self, entry: HostEntry) -> Result<String, ApiError> {
        let host = entry.host()?;
        if let Some(what) = rival(&self.config.dhcp.hosts, &host) {
            return Err(
                ApiError::input(format!("{what} stands in the configuration"))
                    .help("change it there, then `vmlan reload`"),
            );
        }
        let same = |other: &HostEntry| {
            let other = other.host().ok();
            other.is_some_and(|other| other.keys.iter().any(|key| host.keys.contains(key)))
        };
        let mut hosts = self.hosts.entries().to_vec();
        let before = hosts.len();
        hosts.retain(|other| !same(other));
        let done = if hosts.len() < before {
            "changed"
        } else {
            "added"
        };
        let said = format!("host {entry} {done}");
        let others: Vec<Host> = hosts.iter().filter_map(|other| other.host().ok()).collect();
        if let Some(what) = rival(&others, &host) {
            return Err(
                ApiError::input(format!("{what} belongs to another host already"))
                    .help("`vmlan host list` shows them; `vmlan host del` takes one out"),
            );
        }
        let mut served = self.served_with(&hosts)?;
        served.hosts.push(host);
        served.validate().map_err(ApiError::input)?;
        hosts.push(entry);
        self.serve_hosts(served, hosts)?;
        Ok(said)
    }

    /// Deletes the live host that `which` names: a MAC, client identifier,
    /// address or name of it.
    pub(super) fn delete_host(&mut self, which: &str) -> Result<String, ApiError> {
        let which = which.to_ascii_lowercase();
        let mut hosts = self.hosts.entries().to_vec();
        let place = hosts.iter().position(|entry| is_named(entry, &which));
        let Some(place) = place else {
            let mut configured = self.config.dhcp.hosts.iter().map(HostEntry::from);
            return Err(if configured.any(|entry| is_named(&entry, &which)) {
                ApiError::input(format!("the host {which} stands in the configuration"))
                    .help("take it out there, then `vmlan reload`")
            } else {
                ApiError::not_found(format!("there is no host {which}"))
                    .help("`vmlan host list` shows them; give the MAC, address or name of one")
            });
        };
        let gone = hosts.remove(place);
        let served = self.served_with(&hosts)?;
        self.serve_hosts(served, hosts)?;
        Ok(format!("host {gone} deleted"))
    }

    /// What is served with the live `hosts`.
    fn served_with(&self, hosts: &[HostEntry]) -> Result<vmlan_dhcp::Config, ApiError> {
        served(&self.config, self.gateway, hosts, None)
            .map_err(|error| ApiError::input(error.one_line()))?
            .ok_or_else(|| {
                ApiError::input("the network has no DHCP server")
                    .help("set enabled = true under [dhcp]")
            })
    }

    /// Keeps the live `hosts`, and serves what comes of them from now on.
    fn serve_hosts(
        &mut self,
        served: vmlan_dhcp::Config,
        hosts: Vec<HostEntry>,
    ) -> Result<(), ApiError> {
        self.hosts
            .replace(hosts)
            .map_err(|error| ApiError::runtime(chain(error)))?;
        self.dhcp
            .configure(Some(served))
            .map_err(|error| ApiError::runtime(chain(error)))?;
        self.serve_names()
            .map_err(|error| ApiError::runtime(chain(error)))
    }
}

/// Whether `which`, in lower case, is a key, the address or the name of a host.
fn is_named(entry: &HostEntry, which: &str) -> bool {
    let Ok(host) = entry.host() else {
        return false;
    };
    let named = host.name.as_deref() == Some(which);
    let addressed = host
        .address
        .is_some_and(|address| address.to_string() == which);
    let key = |key: &vmlan_dhcp::HostKey| {
        let text = key.to_string();
        text == which || text.strip_prefix("client-id ") == Some(which)
    };
    named || addressed || host.keys.iter().any(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;

    fn entry(mac: &str, address: &str) -> HostEntry {
        HostEntry {
            mac: std::iter::once(mac.to_owned()).collect(),
            address: Some(address.parse().unwrap()),
            ..HostEntry::default()
        }
    }

    #[test]
    fn live_hosts_that_do_not_fit_any_more_are_left_out_and_the_others_served() {
        let text = "address = \"192.168.50.1/24\"\nforward = \"isolated\"\n\
            [[dhcp.host]]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.168.50.9\"\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let config = Loaded::read(file.path(), None).unwrap().config;
        let live = [
            entry("52:54:00:00:00:02", "192.168.122.10"),
            entry("52:54:00:00:00:03", "192.168.50.10"),
            entry("52:54:00:00:00:04", "192.168.50.9"),
            entry("52:54:00:00:00:05", "192.168.50.1"),
            entry("52:54:00:00:00:06", "192.168.50.11"),
            entry("52:54:00:00:00:06", "192.168.50.12"),
        ];
        let gateway = "192.168.50.1/24".parse().unwrap();
        let served = served(&config, Some(gateway), &live, None)
            .unwrap()
            .unwrap();
        let last = |host: &Host| host.address.unwrap().octets()[3];
        let served: Vec<u8> = served.hosts.iter().map(last).collect();
        assert_eq!(served, [9, 10, 11]);
    }
}
