//! What a reload has to do: the network as it is and as it is to be, and the
//! steps between them.

use super::super::network::{Network, chain};
use super::super::{hosts, start, uplink};
use super::ports;
use super::step::Step;
use crate::config::{Address, Config, ConfigError, Forward, Loaded, Located, Mac, NetworkName};
use crate::host::identity::Identity;
use crate::host::subnet;
use crate::model::ApiError;
use ipnet::Ipv4Net;
use pnet_base::MacAddr;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;
use vmlan_dataplane::forward::Settings;

/// A network as it is, or as it is to be.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) config: Config,
    pub(super) gateway: Option<Ipv4Net>,
    /// Addresses that the gateway had before.
    pub(super) former: Vec<Ipv4Net>,
    pub(super) mac: MacAddr,
    /// What the DHCP server serves; `None`: it is off.
    pub(super) served: Option<vmlan_dhcp::Config>,
}

/// The steps from one to the other.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) from: Side,
    pub(super) to: Side,
    pub(super) steps: Vec<Step>,
    /// What is odd about the file, though it can be used.
    pub(super) warnings: Vec<String>,
}

impl Side {
    /// The network as it is.
    fn of(network: &Network) -> Self {
        Self {
            config: network.config.clone(),
            gateway: network.gateway,
            former: network.former.clone(),
            mac: network.mac,
            served: network.dhcp.served(),
        }
    }

    /// What the switch goes by.
    pub(super) fn settings(&self) -> Settings {
        start::settings(&self.config, self.gateway, &self.former, self.mac)
    }

    /// All addresses of the gateway.
    pub(super) fn gateways(&self) -> impl Iterator<Item = Ipv4Net> {
        self.gateway.into_iter().chain(self.former.iter().copied())
    }
}

impl fmt::Display for Plan {
    /// A line for each warning, and for each step that changes something.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self
            .steps
            .iter()
            .filter_map(|step| step.line(&self.from, &self.to))
            .collect();
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if lines.is_empty() {
            return f.write_str("nothing would change");
        }
        write!(f, "a reload would do this:\n{}", lines.join("\n"))
    }
}

impl Plan {
    /// What is to be done where there is no file: only what is at each reload.
    pub(super) fn built_in(network: &Network) -> Self {
        let side = Side::of(network);
        Self {
            from: side.clone(),
            to: side,
            steps: vec![Step::BuiltIn, Step::Outside, Step::Mtu],
            warnings: Vec::new(),
        }
    }

    /// What is to be done for `network` to be as `file` says.
    ///
    /// # Errors
    /// The file cannot be used, or asks for what cannot change.
    pub(super) async fn make(network: &Network, file: &Path) -> Result<Self, ApiError> {
        let name = &network.config.name;
        let loaded = Loaded::read(file, Some(name))
            .map_err(|error| renamed(file, name).unwrap_or_else(|| ApiError::input(error)))?;
        let warnings = loaded.warnings.iter().map(Located::one_line).collect();
        loaded.check_files().map_err(unusable)?;
        let from = Side::of(network);
        let gateway = gateway(network, &loaded.config).await?;
        let (live, source) = (network.hosts.entries(), loaded.source.as_ref());
        let mut served = hosts::served(&loaded.config, gateway, live, source).map_err(unusable)?;
        let former = former(&from, gateway, served.is_some());
        if let Some(served) = &mut served {
            served.former.clone_from(&former);
        }
        let mac = mac(network, &loaded.config).await?;
        let to = Side {
            config: loaded.config,
            gateway,
            former,
            mac,
            served,
        };
        let steps = steps(network, &from, &to);
        Ok(Self {
            from,
            to,
            steps,
            warnings,
        })
    }
}

/// The error of a file that gives the network another name.
fn renamed(file: &Path, name: &NetworkName) -> Option<ApiError> {
    let other = Loaded::read(file, None).ok()?.config.name;
    if other == *name {
        return None;
    }
    let error = format!("name: the network {name} cannot become {other} while it runs");
    Some(ApiError::input(error).help(format!(
        "its folders, sockets, leases and firewall table are called by its name, and guests and \
         clients have them open: put {name} back, or stop it and start {other}"
    )))
}

fn unusable(error: ConfigError) -> ApiError {
    ApiError::input(error)
}

/// The gateway's address that `config` asks for.
async fn gateway(network: &Network, config: &Config) -> Result<Option<Ipv4Net>, ApiError> {
    let old = &network.config;
    match config.address {
        Address::None => return Ok(None),
        Address::Auto if old.address == Address::Auto => return Ok(network.gateway),
        Address::Fixed(address) if network.gateways().contains(&address) => {
            return Ok(Some(address));
        }
        Address::Fixed(address) if !config.forward.is_routed() => return Ok(Some(address)),
        Address::Auto | Address::Fixed(_) => {}
    }
    // What the host itself has there is no obstacle.
    let own = network.ports.host_interface();
    let index = match own {
        Some(own) => Some(network.links.by_name(own).await?.index),
        None => None,
    };
    let addresses = network.links.ipv4_addresses_by_netdev().await?;
    let foreign = |(netdev, _): &(String, Ipv4Net)| Some(netdev.as_str()) != own;
    let addresses: Vec<_> = addresses.into_iter().filter(foreign).collect();
    let routes = network.links.ipv4_routes_by_netdev().await?;
    let routes = routes.into_iter();
    let routes: Vec<Ipv4Net> = routes
        .filter(|(out, _)| out.is_none() || *out != index)
        .map(|(_, to)| to)
        .collect();
    if let Address::Fixed(address) = config.address {
        let checked = subnet::check(address.trunc(), &addresses, &routes);
        checked.map_err(|error| ApiError::input(format!("address: {error}")))?;
        return Ok(Some(address));
    }
    let addresses: Vec<Ipv4Net> = addresses.into_iter().map(|(_, it)| it).collect();
    let kept = identity(network)?.subnet();
    let subnet = subnet::pick(kept, &addresses, &routes);
    let subnet = subnet.map_err(|error| ApiError::runtime(chain(error)))?;
    let first = Ipv4Addr::from_bits(subnet.network().to_bits().saturating_add(1));
    Ok(Ipv4Net::new(first, subnet.prefix_len()).ok())
}

/// The addresses that the gateway had, where it is to have `gateway`.
fn former(from: &Side, gateway: Option<Ipv4Net>, is_served: bool) -> Vec<Ipv4Net> {
    // Without the server nobody knows of leases.
    if !is_served || from.served.is_none() {
        return Vec::new();
    }
    let former = from.gateways().filter(|it| Some(*it) != gateway);
    former.collect()
}

/// The gateway's MAC that `config` asks for.
async fn mac(network: &Network, config: &Config) -> Result<MacAddr, ApiError> {
    let runtime = |error: anyhow::Error| ApiError::runtime(format!("{error:#}"));
    match config.mac {
        Some(Mac::Fixed(mac)) => Ok(mac),
        Some(Mac::Uplink) if network.config.mac == config.mac => Ok(network.mac),
        Some(Mac::Uplink) => uplink::mac(config, &network.links).await.map_err(runtime),
        None => Ok(identity(network)?.mac()),
    }
}

/// What the network has to keep over restarts.
pub(super) fn identity(network: &Network) -> Result<Identity, ApiError> {
    let state = network.state.as_ref();
    let state = state.ok_or_else(|| ApiError::runtime("the network is ending"))?;
    Identity::open(state.path()).map_err(|error| ApiError::runtime(chain(error)))
}

/// The steps, in the order in which they are done: first what the ports rest
/// on, last what cannot be taken back without loss.
fn steps(network: &Network, from: &Side, to: &Side) -> Vec<Step> {
    let (old, new) = (&from.config, &to.config);
    let (early, late) = ports::steps(network, from, to);
    let is_bridged = new.forward == Forward::Bridge && old.forward == Forward::Bridge;
    let moved = old.move_addresses != new.move_addresses && old.uplink == new.uplink;
    let network_steps = [
        (old.switch.workers() != new.switch.workers(), Step::Workers),
        (old.switch.fdb_size != new.switch.fdb_size, Step::FdbSize),
        (old.switch.polling != new.switch.polling, Step::Polling),
        (old.interface != new.interface, Step::Interface),
        (from.mac != to.mac, Step::Mac),
        (
            (from.gateway, &from.former, old.address) != (to.gateway, &to.former, new.address),
            Step::Gateway,
        ),
        (from.settings() != to.settings(), Step::Switch),
        (true, Step::Outside),
        (true, Step::Mtu),
        // Told of all leases at each reload, as by dnsmasq.
        (true, Step::Hook),
        (from.served != to.served, Step::Dhcp),
        (true, Step::Dns),
        (needs_tftp(from, to), Step::Tftp),
        (old.libvirt != new.libvirt, Step::Libvirt),
        (old.log != new.log, Step::Log),
        (old.events != new.events, Step::Events),
        (is_bridged && moved, Step::MoveAddresses),
    ];
    let network_steps = network_steps.into_iter();
    let changed = network_steps.filter_map(|(is_due, step)| is_due.then_some(step));
    let early = early.into_iter().map(Step::Port);
    let late = late.into_iter().map(Step::Port);
    let patterns = (old.attach != new.attach).then_some(Step::Patterns);
    changed.chain(early).chain(late).chain(patterns).collect()
}

fn needs_tftp(from: &Side, to: &Side) -> bool {
    let place = |side: &Side| {
        let config = &side.config;
        (
            config.tftp.clone(),
            config.mtu,
            config.interface.clone(),
            side.gateway,
        )
    };
    place(from) != place(to)
}
