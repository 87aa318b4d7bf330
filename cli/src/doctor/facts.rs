//! What the host is like: asked for once, before anything is judged.

use super::Finding;
use super::ask::{self, Asked, Offer};
use super::leftovers::Leftovers;
use super::others::{OtherNetwork, others};
use crate::args::Place;
use crate::client::{Client, ClientError};
use crate::config::{Address, Config, Loaded, NetworkName, served};
use crate::firewall::obstacle::{Obstacle, obstacles};
use crate::firewall::survey::Survey;
use crate::firewall::{self, Wanted};
use crate::host::link::{Link, Links};
use crate::host::uplink::is_wireless;
use crate::model::StatusView;
use ipnet::Ipv4Net;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use vmlan_dhcp::options::{Scope, Setting};
use vmlan_dhcp::tag::TagMatch;

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

/// An IPv4 address of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostAddress {
    /// With the prefix length of its subnet.
    pub(super) address: Ipv4Net,
    /// The netdev that has it.
    pub(super) netdev: String,
}

/// An IPv4 route of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostRoute {
    /// Where to; 0.0.0.0/0 for a default route.
    pub(super) to: Ipv4Net,
    /// The netdev that it leads out of, if one.
    pub(super) netdev: Option<String>,
}

/// Capabilities (capabilities(7)) that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) net_admin: bool,
    pub(super) net_raw: bool,
}

/// The kernel, and programs that speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kernel {
    /// As `6.1.0-13-amd64`.
    pub(super) release: String,
    /// Whether `/dev/net/tun` can be opened; else why not.
    pub(super) tun: Result<(), String>,
    /// Whether `nft` runs, and the kernel would take the network's rules; else
    /// why not.
    pub(super) nft: Result<(), String>,
    /// `kernel.io_uring_disabled`: 0 where it is not there.
    pub(super) io_uring_disabled: u8,
    /// `net.ipv4.ip_forward`.
    pub(super) ip_forward: Option<bool>,
    /// `net.ipv4.conf.NETDEV.rp_filter`, of `all` and of each netdev.
    pub(super) rp_filter: Vec<(String, u8)>,
    /// Netdevs by which nothing comes in that is to be forwarded:
    /// `net.ipv4.conf.NETDEV.forwarding` is 0.
    pub(super) not_forwarding: Vec<String>,
    /// Netdevs without a wire.
    pub(super) wireless: Vec<String>,
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
        let links = Links::new()?;
        let netdevs = links.all().await?;
        let name = |index: u32| {
            let link = netdevs.iter().find(|link| link.index == index);
            link.map_or_else(|| format!("netdev number {index}"), |l| l.name.clone())
        };
        let addresses = links.ipv4_addresses_by_netdev().await?;
        let addresses = addresses
            .into_iter()
            .map(|(netdev, address)| HostAddress { address, netdev });
        let routes = links.ipv4_routes_by_netdev().await?;
        let routes = routes.into_iter().map(|(index, to)| HostRoute {
            to,
            netdev: index.map(name),
        });
        let mut facts = Self {
            addresses: addresses.collect(),
            routes: routes.collect(),
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
            config,
        };
        facts.kernel.nft = facts.try_rules().await;
        facts.firewall = facts.survey().await;
        facts.ask_servers().await;
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
        match Survey::take(&wanted.network, &wanted.interface).await {
            Ok(survey) => Ok(obstacles(&survey, &wanted)),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn ask_servers(&mut self) {
        if self.status.is_err() {
            return;
        }
        let mut told = self.told_name_servers();
        if !self.config.dhcp.enabled {
            self.offers = self.ask_for_offers().await;
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

    async fn ask_for_offers(&self) -> Result<Vec<Offer>, String> {
        let own = self.netdevs.iter().find(|link| self.is_own(&link.name));
        match own.and_then(|link| Some((&link.name, link.mac?))) {
            Some((name, mac)) => ask::dhcp_servers(name, mac)
                .await
                .map_err(|error| format!("cannot ask by {name}: {error}")),
            None => Err("the network has no host interface to ask by".to_owned()),
        }
    }

    /// The name servers that the embedded DHCP server tells clients, whatever
    /// tags they have.
    fn told_name_servers(&self) -> Vec<Ipv4Addr> {
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
        Err(why) => Finding::unknown("network", why.clone())
            .help("what depends on the running network is not checked"),
    }]
}

/// Why a network says nothing of itself.
struct Unanswered {
    why: String,
    /// It is not served.
    ended: bool,
}

async fn status_of(place: &Place, name: &NetworkName) -> Result<StatusView, Unanswered> {
    let place = place.of(name);
    // The client has a runtime of its own.
    let asked = tokio::task::spawn_blocking(move || Client::new(&place).get("/v1/status")).await;
    let (why, ended) = match asked {
        Ok(Ok(status)) => return Ok(status),
        Ok(Err(ClientError::NotRunning { .. })) => (format!("{name} is not running"), true),
        Ok(Err(error)) => (error.to_string().replace("\nhelp: ", ": "), false),
        Err(error) => (error.to_string(), false),
    };
    Err(Unanswered { why, ended })
}

impl Capabilities {
    fn own() -> Self {
        let sets = rustix::thread::capabilities(None);
        let has = |flag| {
            sets.as_ref()
                .is_ok_and(|sets| sets.effective.contains(flag))
        };
        Self {
            net_admin: has(rustix::thread::CapabilitySet::NET_ADMIN),
            net_raw: has(rustix::thread::CapabilitySet::NET_RAW),
        }
    }
}

impl Kernel {
    fn look(netdevs: &[Link]) -> Self {
        let tun = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/net/tun");
        let names = ["all"].into_iter();
        let names = names.chain(netdevs.iter().map(|link| link.name.as_str()));
        let of_netdev = |name: &str, key| {
            let path = ["/proc/sys/net/ipv4/conf", name, key];
            number(&path.iter().collect::<std::path::PathBuf>())
        };
        let rp_filter =
            names.filter_map(|name| Some((name.to_owned(), of_netdev(name, "rp_filter")?)));
        let names = netdevs.iter().map(|link| link.name.as_str());
        let not_forwarding = names.clone();
        let not_forwarding = not_forwarding.filter(|name| of_netdev(name, "forwarding") == Some(0));
        Self {
            release: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            tun: tun.map(drop).map_err(|error| error.to_string()),
            nft: Ok(()),
            io_uring_disabled: number(Path::new("/proc/sys/kernel/io_uring_disabled")).unwrap_or(0),
            ip_forward: number(Path::new("/proc/sys/net/ipv4/ip_forward")).map(|v| v != 0),
            rp_filter: rp_filter.collect(),
            not_forwarding: not_forwarding.map(str::to_owned).collect(),
            wireless: names
                .filter(|name| is_wireless(name))
                .map(str::to_owned)
                .collect(),
        }
    }
}

fn number(path: &Path) -> Option<u8> {
    read(path).ok()?.trim().parse().ok()
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

/// The host's name servers that others can reach too. Where systemd-resolved
/// runs, /etc/resolv.conf has its own address on the loopback netdev, and
/// another file those that it asks.
fn host_resolvers() -> Vec<Ipv4Addr> {
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
pub(super) mod tests {
    use super::*;
    use crate::model::{FdbFill, Fill};

    /// A host without faults, with the network of the configuration `text`,
    /// which is not running.
    pub(crate) fn facts(text: &str) -> Facts {
        let loaded = Loaded::parse(Path::new("x.toml"), text, None).unwrap();
        Facts {
            config: loaded.config,
            status: Err("default is not running".into()),
            leftovers: Leftovers::default(),
            netdevs: Vec::new(),
            addresses: Vec::new(),
            routes: vec![route("0.0.0.0/0", "eth0")],
            others: Vec::new(),
            capabilities: Capabilities {
                net_admin: true,
                net_raw: true,
            },
            kernel: Kernel {
                release: "6.1.0".into(),
                tun: Ok(()),
                nft: Ok(()),
                io_uring_disabled: 0,
                ip_forward: Some(true),
                rp_filter: Vec::new(),
                not_forwarding: Vec::new(),
                wireless: Vec::new(),
            },
            firewall: Ok(Vec::new()),
            offers: Err("the network is not running".into()),
            resolvers: Vec::new(),
            host_resolvers: Vec::new(),
        }
    }

    pub(crate) fn address(address: &str, netdev: &str) -> HostAddress {
        HostAddress {
            address: address.parse().unwrap(),
            netdev: netdev.into(),
        }
    }

    pub(crate) fn route(to: &str, netdev: &str) -> HostRoute {
        HostRoute {
            to: to.parse().unwrap(),
            netdev: Some(netdev.into()),
        }
    }

    pub(crate) fn other(name: &str, interface: &str, subnet: &str) -> OtherNetwork {
        OtherNetwork {
            name: name.into(),
            interface: Some(interface.into()),
            subnets: vec![subnet.parse().unwrap()],
            attach: Vec::new(),
            adopt: None,
        }
    }

    /// A NIC that is up.
    pub(crate) fn netdev(name: &str) -> Link {
        Link {
            index: 2,
            name: name.into(),
            mac: None,
            mtu: 1500,
            ethernet: true,
            up: true,
            carrier: true,
            master: None,
            base: None,
            kind: None,
        }
    }

    /// The network running.
    pub(crate) fn running() -> StatusView {
        StatusView {
            network: "default".into(),
            interface: Some("vmlan0".into()),
            address: None,
            mac: None,
            mtu: 1500,
            forward: "nat".into(),
            uplink: None,
            ports: 1,
            fdb: FdbFill {
                used: 0,
                size: 8192,
                refused: 0,
            },
            leases: Fill { used: 0, size: 0 },
            dhcp: None,
            tftp: None,
            uptime: 1,
            version: "0".into(),
        }
    }

    #[test]
    fn name_servers_are_read_as_the_resolver_reads_them() {
        let text = "# nameserver 1.1.1.1\nnameserver 127.0.0.53\n nameserver\t9.9.9.9 x\n\
                    nameserver ::1\nsearch vm\nnameserver\n";
        let found: Vec<_> = name_servers(text).map(|ip| ip.to_string()).collect();
        assert_eq!(found, ["127.0.0.53", "9.9.9.9"]);
    }
}
