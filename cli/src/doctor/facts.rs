//! What the host is like: asked for once, before anything is judged.

mod addresses;
mod kernel;
mod name_servers;
mod status;
#[cfg(test)]
pub(super) mod values;

use super::Finding;
use super::ask::{self, Asked, Offer};
use super::others::{OtherNetwork, others};
use crate::args::Place;
use crate::config::{Address, Config, Loaded};
use crate::daemon::CONNECT;
use crate::daemon::leftovers::Leftovers;
use crate::firewall::obstacle::{Obstacle, obstacles};
use crate::firewall::survey::Survey;
use crate::firewall::{self, Wanted};
use crate::host::link::Link;
use crate::model::StatusView;
use addresses::Stack;
pub(super) use addresses::{HostAddress, HostRoute};
use ipnet::Ipv4Net;
pub(super) use kernel::{Capabilities, Kernel};
use name_servers::host_resolvers;
use status::{Unanswered, status_of};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

/// The most that is read of one file, in bytes.
const LONGEST: u64 = 1 << 20;

/// What the host is like.
#[derive(Debug)]
pub(super) struct Facts {
    /// The network's configuration.
    pub(super) config: Config,
    /// The running network; else why there is none.
    pub(super) status: Result<StatusView, String>,
    /// What the last run has left, if it was killed.
    pub(super) leftovers: Leftovers,
    /// Other networks that were killed and have left something.
    pub(super) left_by_others: Vec<String>,
    /// Every netdev of the host.
    pub(super) netdevs: Vec<Link>,
    /// The host's IPv4 addresses.
    pub(super) addresses: Vec<HostAddress>,
    /// The host's IPv4 routes.
    pub(super) routes: Vec<HostRoute>,
    /// Other networks that are configured on this host.
    pub(super) others: Vec<OtherNetwork>,
    /// The capabilities that this process has, and so `vmlan run` would have.
    pub(super) capabilities: Capabilities,
    /// The kernel and its programs.
    pub(super) kernel: Kernel,
    /// What of other firewalls is in the network's way; else why that is not
    /// known.
    pub(super) firewall: Result<Vec<Obstacle>, String>,
    /// What DHCP servers on the segment offer, where vmlan's own is off; else
    /// why they were not asked.
    pub(super) offers: Result<Vec<Offer>, String>,
    /// The name servers that clients are told, and how they answer.
    pub(super) resolvers: Vec<(Ipv4Addr, Asked)>,
    /// The host's own name servers that are no loopback addresses.
    pub(super) host_resolvers: Vec<Ipv4Addr>,
}

impl Facts {
    /// Asks the host, and the network if it runs.
    pub(super) async fn gather(place: &Place, loaded: Loaded) -> anyhow::Result<Self> {
        let config = loaded.config;
        let status = status_of(place, &config.name).await;
        let leftovers = match &status {
            Err(Unanswered { ended: true, .. }) => {
                Leftovers::find(&place.run_dir().join(config.name.as_str()))
            }
            _ => Leftovers::default(),
        };
        let status = status.map_err(|unanswered| unanswered.why);
        let left_by_others = Leftovers::of_others(&place.run_dir(), config.name.as_str());
        let Stack {
            netdevs,
            addresses,
            routes,
        } = Stack::ask().await?;
        let mut facts = Self {
            addresses,
            routes,
            others: others(&config.name),
            capabilities: Capabilities::own(),
            kernel: Kernel::look(&netdevs),
            resolvers: Vec::new(),
            host_resolvers: host_resolvers(),
            firewall: Ok(Vec::new()),
            offers: Err("the network is not running".to_owned()),
            netdevs,
            status,
            leftovers,
            left_by_others,
            config,
        };
        facts.kernel.nft = facts.try_rules().await;
        facts.firewall = facts.survey().await;
        facts.ask_servers(place).await;
        Ok(facts)
    }

    /// What the network wants of the firewall. One without a gateway yet stands
    /// with any: that of others is in no rule.
    fn wanted(&self) -> Option<Wanted> {
        let gateway = self.gateway().unwrap_or_default();
        Wanted::of(&self.config, Some(gateway), &[])
    }

    async fn try_rules(&self) -> Result<(), String> {
        let wanted = self.wanted();
        // Without the right, only that could be learnt.
        let wanted = wanted.filter(|_| self.capabilities.net_admin);
        let tried = firewall::trial(wanted.as_ref()).await;
        tried.map_err(|error| error.to_string())
    }

    async fn survey(&self) -> Result<Vec<Obstacle>, String> {
        let Some(wanted) = self.wanted() else {
            return Ok(Vec::new());
        };
        match Survey::take(&wanted.network, Some(&wanted)).await {
            Ok(survey) => Ok(obstacles(&survey, &wanted)),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn ask_servers(&mut self, place: &Place) {
        if self.status.is_err() {
            return;
        }
        let mut told = self.told_name_servers();
        if !self.config.dhcp.enabled {
            let run = place.run_dir().join(self.config.name.as_str());
            let socket = run.join(CONNECT);
            self.offers = self.ask_for_offers(&socket).await;
            let offers = self.offers.iter().flatten();
            told.extend(offers.flat_map(|offer| offer.name_servers.clone()));
        }
        told.sort_unstable();
        told.dedup();
        for server in told {
            let answer = ask::resolver(server).await;
            self.resolvers.push((server, answer));
        }
    }

    async fn ask_for_offers(&self, socket: &Path) -> Result<Vec<Offer>, String> {
        let is_there = |name: &str| self.netdevs.iter().any(|link| link.name == name);
        if let Some(uplink) = self
            .config
            .uplink
            .as_ref()
            .filter(|it| !is_there(it.as_str()))
        {
            return Err(format!("the uplink {uplink} is not there"));
        }
        let asked = ask::dhcp_servers(socket).await;
        asked.map_err(|error| format!("cannot ask by {}: {error}", socket.display()))
    }

    /// The gateway's address with its prefix: the running network's, else the
    /// configured one.
    pub(super) fn gateway(&self) -> Option<Ipv4Net> {
        let running = self.status.as_ref().ok();
        if let Some(address) = running.and_then(|status| status.address.as_ref()) {
            return address.parse().ok();
        }
        match self.config.address {
            Address::Fixed(address) => Some(address),
            Address::Auto | Address::None => None,
        }
    }

    /// Whether `netdev` is the network's own host interface.
    pub(super) fn is_own(&self, netdev: &str) -> bool {
        let own = self.config.interface.as_ref();
        own.is_some_and(|interface| interface.as_str() == netdev)
    }
}

/// Whether the network runs.
pub(super) fn running(facts: &Facts) -> Vec<Finding> {
    let name = &facts.config.name;
    vec![match &facts.status {
        Ok(_) => Finding::fine("network", format!("{name} is running")),
        Err(why) => Finding::unknown("network", why.clone()).help(format!(
            "`vmlan run --network {name}` starts it; DHCP and name servers are checked once it runs"
        )),
    }]
}

/// The text of a file, as far as it is read.
pub(super) fn read(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    fs::File::open(path)?
        .take(LONGEST)
        .read_to_string(&mut text)?;
    Ok(text)
}
