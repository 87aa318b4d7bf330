//! Known stations that are added and deleted while the network runs.
//!
//! They are kept beside the configuration, which is never written: what stands
//! there goes before, and a live host that contradicts it is left out, with a
//! warning, for as long as it does.

use super::network::{Network, chain};
use crate::config::{Config, HostEntry, served};
use crate::model::{ApiError, HostOrigin, HostView};
use vmlan_dhcp::Host;

/// The live hosts that go with `config`, for the server.
pub(super) fn beside(config: &Config, live: &[HostEntry]) -> Vec<Host> {
    let hosts = live.iter().filter_map(|entry| {
        let host = entry.host().ok()?;
        match rival(&config.dhcp.hosts, &host) {
            None => Some(host),
            Some(what) => {
                tracing::warn!(
                    "the host {entry}, added while the network ran, is left out: {what} stands in \
                     the configuration; `vmlan host del {entry}` forgets it"
                );
                None
            }
        }
    });
    hosts.collect()
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
        hosts.push(entry);
        self.serve_hosts(hosts)?;
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
        self.serve_hosts(hosts)?;
        Ok(format!("host {gone} deleted"))
    }

    /// Serves the live `hosts` from now on, and keeps them.
    fn serve_hosts(&mut self, hosts: Vec<HostEntry>) -> Result<(), ApiError> {
        let served = served::dhcp(&self.config, self.gateway, &[], None)
            .map_err(|error| ApiError::runtime(error.one_line()))?;
        let Some(mut served) = served else {
            return Err(ApiError::input("the network has no DHCP server")
                .help("set enabled = true under [dhcp]"));
        };
        served.hosts.extend(beside(&self.config, &hosts));
        // By itself: the place of a mistake is the request, not the configuration.
        served
            .validate()
            .map_err(|error| ApiError::input(error.to_string()))?;
        self.hosts
            .replace(hosts)
            .map_err(|error| ApiError::runtime(chain(error)))?;
        self.dhcp
            .configure(Some(served))
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
