//! The configuration of a network: one TOML file, or the built-in one.
//!
//! [`Loaded`] is the way in. It reads the file with [`section`] key by key
//! ([`network`], [`port`]), then checks what keys mean together ([`check`]).
//! All that is wrong is found in one go and shown with its place by
//! [`Source`]; [`explain`] says in words what network a file makes.

mod check;
mod dhcp_boot;
pub mod dhcp_host;
mod dhcp_match;
mod dhcp_option;
mod dhcp_pool;
mod dhcp_tags;
pub mod dns;
mod dns_explain;
mod dns_tables;
mod events;
pub mod explain;
mod files;
mod forward;
pub mod glob;
mod hook;
mod host_entry;
mod libvirt;
mod names;
mod network;
mod places;
mod port;
mod problem;
mod section;
pub mod served;
mod source;
mod tftp;
pub mod value;
mod vlan;

pub use dhcp_option::DhcpOption;
pub use dns::Dns;
pub use events::Events;
pub use forward::{Forward, Nat};
pub use glob::Pattern;
pub use hook::Hook;
pub use host_entry::{HostEntry, Texts};
pub use libvirt::Libvirt;
pub use names::{InterfaceName, MAX_NAME, NetworkName, PortName};
pub use places::Places;
pub use port::{Port, PortKind, PortSettings, key_value};
pub use problem::Problem;
pub use source::{ConfigError, Located, Source};
pub use tftp::Tftp;
pub use value::{LeaseTime, Value};
pub use vlan::Vlan;

use crate::log::LogFilter;
use ipnet::Ipv4Net;
use pnet_base::MacAddr;
use section::Findings;
use std::fs::File;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::DeTable;
use vmlan_dhcp::options::Boot;
use vmlan_dhcp::{Host, Identity, Match};

/// The longest configuration that is read, in bytes.
const MAX_LEN: u64 = 1 << 20;

/// The folder in which `run` looks for `NAME.toml`.
pub const FOLDER: &str = "/etc/vmlan";

/// What one network is to be. The parts can be compared, for a reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Name of the network.
    pub name: NetworkName,
    /// The host's own interface, a TAP; none where the host takes no part.
    pub interface: Option<InterfaceName>,
    /// The gateway's address.
    pub address: Address,
    /// The host interface's MAC address; none: made once and kept.
    pub mac: Option<Mac>,
    /// In bytes of IP packet.
    pub mtu: u16,
    /// The domain that guests are told.
    pub domain: Option<String>,
    /// What guests can reach outside the network.
    pub forward: Forward,
    /// The NIC that joins the network with a LAN; with `nat` and `route` the
    /// only one by which guests get out, where there is one.
    pub uplink: Option<InterfaceName>,
    /// Whether its addresses and routes go to the host's own interface.
    pub move_addresses: bool,
    /// How addresses are translated.
    pub nat: Nat,
    /// The switch itself.
    pub switch: Switch,
    /// The embedded DHCP server.
    pub dhcp: Dhcp,
    /// The name server.
    pub dns: Dns,
    /// The TFTP server; none: off.
    pub tftp: Option<Tftp>,
    /// From when on something is an event.
    pub events: Events,
    /// Which log lines are written; none: as said at the start.
    pub log: Option<LogFilter>,
    /// How libvirt sees the network; none: it does not.
    pub libvirt: Option<Libvirt>,
    /// Netdevs that are taken as packet ports when they appear.
    pub attach: Vec<Pattern>,
    /// Ports made at the start.
    pub ports: Vec<Port>,
    /// Where those, and the uplink, stand in the file.
    pub places: Places,
}

/// The gateway's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// The network has no gateway of ours.
    None,
    /// The first free one of 192.168.122.1/24 … 192.168.254.1/24, picked at
    /// the first start and kept.
    Auto,
    /// This one, with the prefix length of the subnet.
    Fixed(Ipv4Net),
}

/// A MAC address that the configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mac {
    /// This one.
    Fixed(MacAddr),
    /// That of the uplink, so that the LAN sees the host by the MAC that it
    /// knows.
    Uplink,
}

/// The switch itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// How long a silent station is remembered; none: for ever.
    pub ageing: Option<Duration>,
    /// Stations that are learned at most.
    pub fdb_size: usize,
    /// Threads that forward; 0: one a core.
    pub workers: u16,
    /// How long a worker looks for more after a busy burst, at most; zero: not
    /// at all.
    pub polling: Duration,
}

impl Switch {
    /// Threads that forward on this machine.
    pub fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism()
                .map_or(1, usize::from)
                .min(port::MAX_WORKERS.into()),
            count => count.into(),
        }
    }
}

impl Default for Switch {
    fn default() -> Self {
        Self {
            ageing: Some(Duration::from_secs(300)),
            fdb_size: 8192,
            workers: 1,
            polling: Duration::ZERO,
        }
    }
}

/// The embedded DHCP server.
#[derive(Debug, Clone, PartialEq)]
pub struct Dhcp {
    /// Whether it serves.
    pub enabled: bool,
    /// First and last address handed out; none: the whole subnet, if no pool
    /// is of it.
    pub range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Further ranges, of this subnet or others.
    pub pools: Vec<vmlan_dhcp::Range>,
    /// What a lease belongs to.
    pub identity: Identity,
    /// Whether the lowest free address is handed out.
    pub sequential: bool,
    /// Whether only stations with a `[[dhcp.host]]` are served.
    pub known_only: bool,
    /// What requests are marked for, in the order of the file.
    pub matches: Vec<Match>,
    /// How long a lease lasts.
    pub lease_time: LeaseTime,
    /// Leases that are kept, live ones and those that ran out together.
    pub max_leases: usize,
    /// Options beside those that follow from the rest: those of
    /// `[dhcp.options]`, then each `[[dhcp.option]]`, in the order of the file.
    pub options: Vec<DhcpOption>,
    /// What clients boot: every client first, then each `[[dhcp.boot]]`.
    pub boots: Vec<Boot>,
    /// Whether a client that asks for it is served with one reply (RFC 4039).
    pub rapid_commit: bool,
    /// Whether the segment is asked for an address before it is offered.
    pub probe: bool,
    /// Stations with an address of their own.
    pub hosts: Vec<Host>,
    /// The program that is told of leases.
    pub hook: Option<Hook>,
}

impl Default for Dhcp {
    fn default() -> Self {
        Self {
            enabled: true,
            range: None,
            pools: Vec::new(),
            identity: Identity::default(),
            sequential: false,
            known_only: false,
            matches: Vec::new(),
            lease_time: LeaseTime::For(Duration::from_secs(3600)),
            max_leases: vmlan_dhcp::config::DEFAULT_MAX_LEASES,
            options: Vec::new(),
            boots: Vec::new(),
            rapid_commit: false,
            probe: true,
            hosts: Vec::new(),
            hook: None,
        }
    }
}

impl Dhcp {
    /// Every range handed out beside `gateway` (the address with its prefix):
    /// `range`, or every other host address of the subnet where neither it nor a
    /// pool says which, and the pools. The gateway may lie in one.
    #[must_use]
    pub fn ranges(&self, gateway: Ipv4Net) -> Vec<vmlan_dhcp::Range> {
        let subnet = gateway.trunc();
        let is_own = |pool: &vmlan_dhcp::Range| pool.subnet.is_none_or(|net| net == subnet);
        let whole = || (!self.pools.iter().any(is_own)).then(|| whole(gateway));
        let (range, pools) = (self.range.or_else(whole), self.pools.iter().cloned());
        let range = range.map(|(first, last)| vmlan_dhcp::Range::new(first..=last));
        range.into_iter().chain(pools).collect()
    }
}

/// All host addresses beside `gateway`, which may lie between the first and the
/// last.
fn whole(gateway: Ipv4Net) -> (Ipv4Addr, Ipv4Addr) {
    let own = gateway.addr().to_bits();
    let mut first = gateway.network().to_bits().saturating_add(1);
    let mut last = gateway.broadcast().to_bits().saturating_sub(1);
    first += u32::from(first == own);
    last -= u32::from(last == own);
    (first.into(), last.into())
}

impl Config {
    /// The built-in network.
    ///
    /// Only the network `default` takes guests by itself: two networks that
    /// both do would fight for them.
    #[must_use]
    pub fn built_in(name: NetworkName) -> Self {
        Self {
            attach: if name.is_default() {
                vec![Pattern::libvirt()]
            } else {
                Vec::new()
            },
            name,
            interface: Some(InterfaceName::default()),
            address: Address::Auto,
            mac: None,
            mtu: 1500,
            domain: Some("vm".to_owned()),
            forward: Forward::Nat,
            uplink: None,
            move_addresses: false,
            nat: Nat::default(),
            switch: Switch::default(),
            dhcp: Dhcp::default(),
            dns: Dns::default(),
            tftp: None,
            events: Events::default(),
            log: None,
            libvirt: None,
            ports: Vec::new(),
            places: Places::default(),
        }
    }

    /// The ports that the configuration names: `[[port]]`, and `uplink` where
    /// it becomes one.
    #[must_use]
    pub fn wanted_ports(&self) -> Vec<Port> {
        let mut ports = self.ports.clone();
        if let Some(uplink) = self.bridged_uplink()
            && !ports.iter().any(|port| port.interface == *uplink)
            && let Ok(name) = uplink.as_str().parse()
        {
            ports.push(Port {
                name,
                kind: PortKind::Packet,
                interface: uplink.clone(),
                queues: 1,
                offload: true,
                dhcp: true,
            });
        }
        ports
    }

    /// The uplink where it becomes a port: with `forward = "bridge"`.
    #[must_use]
    pub fn bridged_uplink(&self) -> Option<&InterfaceName> {
        self.uplink
            .as_ref()
            .filter(|_| self.forward == Forward::Bridge)
    }
}

/// A configuration with where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the network is to be.
    pub config: Config,
    /// The file; none for the built-in network.
    pub source: Option<Source>,
    /// What is odd about it, though it can be used.
    pub warnings: Vec<Located>,
}

impl Loaded {
    /// Reads `text` of the file `path`.
    ///
    /// `network` is the network that it has to be for; none: the one that it
    /// names.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(
        path: &Path,
        text: &str,
        network: Option<&NetworkName>,
    ) -> Result<Self, ConfigError> {
        Self::parse_source(Source::new(path, text), network)
    }

    /// As [`parse`](Self::parse), of the text of `source`.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn parse_source(
        source: Source,
        network: Option<&NetworkName>,
    ) -> Result<Self, ConfigError> {
        let (table, syntax) = DeTable::parse_recoverable(source.text());
        if !syntax.is_empty() {
            // What was parsed of the rest may be misread: no further errors.
            let end = source.text().len();
            let problems = syntax.iter().map(|error| {
                let span = error.span().unwrap_or(end..end);
                (span, Problem::new(error.message()).help(SYNTAX_HELP))
            });
            return Err(ConfigError::new(&source, problems.collect()));
        }
        let mut findings = Findings::new(&source);
        let config = network::read(&table, network, &mut findings);
        let Findings {
            errors,
            mut warnings,
            ..
        } = findings;
        if !errors.is_empty() {
            return Err(ConfigError::new(&source, errors));
        }
        served::check(&config, &source)?;
        warnings.sort_by_key(|(span, _)| span.start);
        let warnings = warnings.into_iter();
        let warnings = warnings
            .map(|(span, problem)| source.locate(span, problem))
            .collect();
        Ok(Self {
            config,
            source: Some(source),
            warnings,
        })
    }

    /// Reads the file `path`; `network` as with [`parse`](Self::parse). One
    /// that starts with `<`, as no TOML does, or is called `.xml` is libvirt's
    /// description of a network.
    ///
    /// # Errors
    /// It cannot be read, or all that is wrong with it.
    pub fn read(path: &Path, network: Option<&NetworkName>) -> Result<Self, ConfigError> {
        let text = text(path)?;
        let called_xml = path.extension().is_some_and(|it| it == "xml");
        if called_xml || text.trim_start().starts_with('<') {
            return crate::libvirt::load(&Source::new(path, &text), network);
        }
        Self::parse(path, &text, network)
    }

    /// Reads the file `path`, which has to be libvirt's description of a
    /// network.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_xml(path: &Path, network: Option<&NetworkName>) -> Result<Self, ConfigError> {
        crate::libvirt::load(&Source::new(path, &text(path)?), network)
    }

    /// Finds the configuration to run: the file `config` if one is named,
    /// else [`FOLDER`]`/NAME.toml` if it is there, else, for the network
    /// `default`, the built-in one.
    ///
    /// # Errors
    /// As [`read`](Self::read), or there is no configuration.
    pub fn find(config: Option<&Path>, network: Option<&NetworkName>) -> Result<Self, ConfigError> {
        if let Some(path) = config {
            return Self::read(path, network);
        }
        let name = network.cloned().unwrap_or_default();
        let path = PathBuf::from(format!("{FOLDER}/{name}.toml"));
        if path.exists() {
            return Self::read(&path, Some(&name));
        }
        if !name.is_default() {
            let problem = Problem::new(format!("the network {name} has no configuration"))
                .help("write this file, or name another with --config FILE");
            return Err(ConfigError::unreadable(&path, problem));
        }
        Ok(Self {
            config: Config::built_in(name),
            source: None,
            warnings: Vec::new(),
        })
    }
}

/// The text of the file `path`.
fn text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |problem| ConfigError::unreadable(path, problem);
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_LEN + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(Problem::new(format!("cannot read it: {error}"))))?;
    if bytes.len() as u64 > MAX_LEN {
        let problem = Problem::new("it is longer than a configuration can be (1 MiB)");
        return Err(unreadable(problem));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let problem =
            Problem::new("here is a byte that is not UTF-8").help("save the file as UTF-8 text");
        let text = String::from_utf8_lossy(error.as_bytes());
        Source::new(path, &text).error(at..at + 1, problem)
    })
}

const SYNTAX_HELP: &str = "the file has to be TOML: each key once, key = value, text in \"quotes\"";

#[cfg(test)]
mod tests;
