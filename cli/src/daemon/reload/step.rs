//! One step of a reload: a part of the network that is brought in line with
//! what it is to be.

use super::super::network::{Network, chain};
use super::plan::{self, Side};
use super::ports::PortStep;
use crate::config::{Address, Config, Forward, InterfaceName, PortKind};
use crate::host::link::{Link, LinkError};
use crate::host::sysctl;
use crate::model::ApiError;
use std::time::Duration;
use vmlan_dataplane::hairpin::arp;
use vmlan_dataplane::port::packet;

/// A part of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Threads that forward.
    Workers,
    /// Room in the MAC table.
    FdbSize,
    /// How long workers look for more.
    Polling,
    /// The host's own interface: its name, or whether there is one.
    Interface,
    /// The gateway's MAC.
    Mac,
    /// Its addresses.
    Gateway,
    /// What holds for the whole switch.
    Switch,
    /// What lies outside of the network; done at each reload.
    Outside,
    /// The MTU of netdevs; done at each reload.
    Mtu,
    /// The program that is told of leases.
    Hook,
    /// The DHCP server.
    Dhcp,
    /// The name server; done at each reload.
    Dns,
    /// The TFTP server.
    Tftp,
    /// What libvirt sees.
    Libvirt,
    /// Which log lines are written.
    Log,
    /// What is an event.
    Events,
    /// Nothing, as there is no file.
    BuiltIn,
    /// Whether the host interface has the uplink's addresses.
    MoveAddresses,
    /// A port.
    Port(PortStep),
    /// The netdevs that are attached by patterns.
    Patterns,
}

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// It fails by what is new: all is to be as it was.
    New(ApiError),
    /// It was not so before either, and has been tried again.
    StillSo(ApiError),
}

impl<E: Into<ApiError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::New(error.into())
    }
}

/// What is to be said beside the step's own line.
type Notes = Vec<String>;

/// Between the two times that a new MAC is announced (RFC 5227 §1.1).
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);

impl Step {
    /// What it comes to, in words; nothing where nothing changes.
    pub(super) fn line(&self, from: &Side, to: &Side) -> Option<String> {
        let (old, new) = (&from.config, &to.config);
        let (before, after) = (old.switch, new.switch);
        Some(match self {
            Self::Workers => format!("workers: {} -> {}", before.workers(), after.workers()),
            Self::FdbSize => format!("fdb-size: {} -> {}", before.fdb_size, after.fdb_size),
            Self::Polling => format!("polling: {:?} -> {:?}", before.polling, after.polling),
            Self::Interface => match (&old.interface, &new.interface) {
                (Some(old), Some(new)) => format!("interface: {old} -> {new}"),
                (None, Some(new)) => format!("interface {new} made"),
                (Some(old), None) => format!("interface {old} taken away"),
                (None, None) => return None,
            },
            Self::Mac => format!("mac: {} -> {}", from.mac, to.mac),
            Self::Gateway => gateway_line(from, to)?,
            Self::Switch if before.ageing != after.ageing => {
                let ageing = |it: Option<Duration>| it.map_or("0".into(), |it| format!("{it:?}"));
                format!(
                    "ageing: {} -> {}",
                    ageing(before.ageing),
                    ageing(after.ageing)
                )
            }
            Self::Switch => return None,
            Self::Outside if outside(old) == outside(new) => return None,
            Self::Outside => format!("forward is {} now", new.forward.name()),
            Self::Mtu if old.mtu == new.mtu => return None,
            Self::Mtu => format!("MTU is {} now", new.mtu),
            Self::Hook if old.dhcp.hook == new.dhcp.hook => return None,
            Self::Hook => "the program that is told of leases changed".to_owned(),
            Self::Dhcp => match (&from.served, &to.served) {
                (None, _) => "DHCP is on now".to_owned(),
                (_, None) => "DHCP is off now".to_owned(),
                _ => "DHCP settings changed".to_owned(),
            },
            Self::Dns if old.dns == new.dns => return None,
            Self::Dns if !new.dns.enabled => "DNS is off now".to_owned(),
            Self::Dns if !old.dns.enabled => "DNS is on now".to_owned(),
            Self::Dns => "DNS settings changed".to_owned(),
            Self::Tftp if old.tftp.is_none() && new.tftp.is_none() => return None,
            Self::Tftp if new.tftp.is_none() => "TFTP is off now".to_owned(),
            Self::Tftp if old.tftp.is_none() => "TFTP is on now".to_owned(),
            Self::Tftp => "TFTP settings changed".to_owned(),
            Self::Libvirt => "what libvirt sees changed".to_owned(),
            Self::Log => {
                let filter = new.log.clone().unwrap_or_default();
                format!("the log is written by the filter {filter} now")
            }
            Self::Events => "what is an event changed".to_owned(),
            Self::BuiltIn => {
                "the network runs by the built-in configuration: nothing to read".to_owned()
            }
            Self::MoveAddresses if new.move_addresses => {
                "the uplink's addresses move to the host interface".to_owned()
            }
            Self::MoveAddresses => "the uplink's addresses are put back".to_owned(),
            Self::Port(step) => step.line(),
            Self::Patterns => "attach patterns changed".to_owned(),
        })
    }

    /// Brings its part of the network in line with `to`, by which the network
    /// goes already.
    pub(super) async fn carry_out(
        &self,
        network: &mut Network,
        from: &Side,
        to: &Side,
    ) -> Result<Notes, Failure> {
        let config = &to.config;
        match self {
            Self::Workers => network.switch.set_workers(config.switch.workers())?,
            Self::FdbSize => network.switch.resize_fdb(config.switch.fdb_size)?,
            Self::Polling => network.switch.set_polling(config.switch.polling)?,
            Self::Interface => change_interface(network, from, to).await?,
            Self::Mac => change_mac(network, to).await?,
            Self::Gateway => change_gateway(network, from, to).await?,
            Self::Switch => network.switch.configure(&to.settings())?,
            Self::Outside => return change_outside(network, from, to).await,
            Self::Mtu => return change_mtu(network, from).await,
            Self::Hook => {
                let hooks = network.dhcp.hooks();
                let is_new = hooks.configure(config);
                network.dhcp.restate(is_new);
            }
            Self::Dhcp => {
                let configured = network.dhcp.configure(to.served.clone());
                configured.map_err(|error| named("dhcp", error))?;
            }
            // Also where they are the same: that forgets what others have answered.
            Self::Dns => network.serve_names().map_err(|error| named("dns", error))?,
            Self::Tftp => network.serve_tftp().map_err(|error| named("tftp", error))?,
            Self::Libvirt => network.libvirt.touch(),
            Self::Log => crate::log::set(config.log.clone().unwrap_or_default()),
            // Whoever tells of events asks the configuration each time.
            Self::Events | Self::BuiltIn => {}
            Self::MoveAddresses => change_moved(network).await?,
            Self::Port(step) => return step.carry_out(network).await,
            Self::Patterns => return change_attached(network).await,
        }
        Ok(Notes::new())
    }

    /// Whether it is about ports, not about what they rest on.
    pub(super) fn is_of_ports(&self) -> bool {
        matches!(self, Self::Port(_) | Self::Patterns)
    }

    /// Takes it back, from `to` to `from`, by which the network goes again.
    pub(super) async fn undo(
        &self,
        network: &mut Network,
        from: &Side,
        to: &Side,
    ) -> Result<(), ApiError> {
        let undone = match self {
            Self::Port(step) => step.undo(network).await,
            step => step.carry_out(network, to, from).await.map(drop),
        };
        match undone {
            // As before the reload.
            Ok(()) | Err(Failure::StillSo(_)) => Ok(()),
            Err(Failure::New(error)) => Err(error),
        }
    }
}

/// An error of the part of the configuration that `key` names.
fn named(key: &str, error: impl std::error::Error + Send + Sync + 'static) -> ApiError {
    ApiError::runtime(format!("{key}: {}", chain(error)))
}

fn gateway_line(from: &Side, to: &Side) -> Option<String> {
    if from.gateway == to.gateway {
        return None;
    }
    let text = |side: &Side| side.gateway.map_or("none".to_owned(), |it| it.to_string());
    let mut line = format!("address: {} -> {}", text(from), text(to));
    if let Some(old) = from.gateway.filter(|old| to.former.contains(old)) {
        line += &format!(" ({old} stays until no client has a lease from its time)");
    }
    Some(line)
}

/// What of the configuration concerns the host's forwarding.
fn outside(config: &Config) -> impl PartialEq + use<> {
    (config.forward, config.uplink.clone(), config.nat)
}

/// Renames, makes or removes the host's own interface.
async fn change_interface(network: &mut Network, from: &Side, to: &Side) -> Result<(), ApiError> {
    let (old, new) = (&from.config.interface, &to.config.interface);
    let claimed = network
        .run
        .claim_interface(new.as_ref().map(InterfaceName::as_str));
    claimed.map_err(|error| named("interface", error))?;
    match (old, new) {
        (Some(old), Some(new)) => network.rename_host_interface(old, new).await,
        (None, Some(new)) if network.ports.host_interface() == Some(new.as_str()) => Ok(()),
        (None, Some(_)) => network.make_host_interface().await,
        (Some(old), None) => {
            network.remove(&old.as_str().parse()?);
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

/// Gives the gateway another MAC, and tells guests.
async fn change_mac(network: &Network, to: &Side) -> Result<(), ApiError> {
    let Some(interface) = network.ports.host_interface() else {
        network.dhcp.set_mac(to.mac);
        return Ok(network.switch.configure(&to.settings())?);
    };
    let link = network.links.by_name(interface).await?;
    network.links.set_mac(&link, to.mac).await?;
    network.dhcp.set_mac(to.mac);
    network.switch.configure(&to.settings())?;
    let announcements: Vec<_> = to
        .gateways()
        .map(|gateway| arp::announcement(to.mac, gateway.addr()))
        .collect();
    // Guests that miss both ask again when their entry is old.
    let _ = packet::send(link.index, &announcements);
    tokio::spawn(async move {
        tokio::time::sleep(ANNOUNCE_INTERVAL).await;
        let _ = packet::send(link.index, &announcements);
    });
    Ok(())
}

/// Adds the addresses that the gateway is to have, and takes away those that it
/// is not to.
async fn change_gateway(network: &mut Network, from: &Side, to: &Side) -> Result<(), ApiError> {
    let failed = |error: anyhow::Error| ApiError::runtime(format!("address: {error:#}"));
    network.add_gateways().await.map_err(failed)?;
    if let (Address::Auto, Some(gateway)) = (to.config.address, to.gateway) {
        let kept = plan::identity(network)?.keep_subnet(gateway.trunc());
        kept.map_err(|error| named("address", error))?;
    }
    network.dhcp.set_former(&to.former);
    let gone: Vec<_> = from
        .gateways()
        .filter(|it| !to.gateways().any(|stays| stays == *it))
        .collect();
    network.remove_gateways(&gone).await.map_err(failed)?;
    network.former_changed.notify_one();
    Ok(())
}

/// Gives the host its rules anew, also where the configuration is the same:
/// that is how a person mends them.
async fn change_outside(network: &mut Network, from: &Side, to: &Side) -> Result<Notes, Failure> {
    let (old, new) = (&from.config, &to.config);
    let is_new = outside(old) != outside(new)
        || (&old.interface, from.gateway) != (&new.interface, to.gateway)
        || old.tftp.is_some() != new.tftp.is_some()
        || old.dns.enabled != new.dns.enabled;
    let opened = network.open_outside().await;
    let otherwise = opened.map_err(|error| {
        let error = ApiError::runtime(format!("forward: {}", error.one_line()));
        if is_new {
            Failure::New(error)
        } else {
            Failure::StillSo(error)
        }
    })?;
    let becomes_bridge = old.forward != Forward::Bridge && new.forward == Forward::Bridge;
    if let Some(interface) = network.ports.host_interface().filter(|_| becomes_bridge) {
        let set = sysctl::reset_host_interface(interface);
        set.map_err(|error| named("forward", error))?;
    }
    if is_new {
        return Ok(Notes::new());
    }
    let otherwise = otherwise.into_iter();
    Ok(otherwise
        .map(|sysctl| format!("{sysctl} was changed by somebody: it is set again"))
        .collect())
}

/// Gives the netdevs that the network made its MTU. Those of others keep
/// theirs, with a warning where frames will not fit.
async fn change_mtu(network: &Network, from: &Side) -> Result<Notes, Failure> {
    let mtu = network.config.mtu;
    let changed = mtu != from.config.mtu;
    let mut notes = Notes::new();
    for (name, port) in network.ports.iter() {
        let Some(index) = port.netdev.as_ref().and_then(|netdev| netdev.index) else {
            continue;
        };
        let link = match network.links.by_index(index).await {
            Ok(link) => link,
            // It has just gone, which is followed elsewhere.
            Err(LinkError::NoSuchIndex(_)) => continue,
            Err(error) => return Err(named("mtu", error).into()),
        };
        match port.kind {
            PortKind::Tap if link.mtu != u32::from(mtu) => {
                let set = network.links.set_mtu(&link, mtu.into()).await;
                match set.map_err(|error| named("mtu", error)) {
                    Ok(()) if changed => {}
                    Ok(()) => notes.push(format!("MTU of port {name} is {mtu} now")),
                    Err(error) if changed => return Err(Failure::New(error)),
                    Err(error) => return Err(Failure::StillSo(error)),
                }
            }
            PortKind::Packet if changed => notes.extend(too_small(&link, mtu)),
            _ => {}
        }
    }
    Ok(notes)
}

/// What is to be said of a taken netdev that cannot carry the network's `mtu`.
fn too_small(link: &Link, mtu: u16) -> Option<String> {
    (link.mtu < u32::from(mtu)).then(|| {
        format!(
            "warning: {0} takes packets of {1} bytes only, the network's MTU is {mtu}: longer \
             frames to it are dropped. `ip link set {0} mtu {mtu}` mends it",
            link.name, link.mtu
        )
    })
}

/// Moves the uplink's addresses, or puts them back.
async fn change_moved(network: &mut Network) -> Result<(), ApiError> {
    let Some(uplink) = network.config.bridged_uplink().cloned() else {
        return Ok(());
    };
    let link = network.links.by_name(uplink.as_str()).await?;
    if network.config.move_addresses {
        if network.moved.is_none() {
            network.let_go(link.index);
            network.move_addresses(&link).await?;
        }
        return Ok(());
    }
    let put_back = network.put_back_addresses().await;
    put_back.map_err(|error| named("move-addresses", error))?;
    network.keep_host_off(&link).await
}

/// Brings the attached netdevs in line with the patterns.
async fn change_attached(network: &mut Network) -> Result<Notes, Failure> {
    let links = network.links.all().await?;
    let gone = network.unmatched();
    let mut notes = Notes::new();
    for name in gone {
        network.remove(&name);
        notes.push(format!("{name} detached"));
    }
    for link in links {
        network.link_seen(&link).await;
    }
    Ok(notes)
}
