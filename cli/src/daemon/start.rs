//! Puts a network in place, step by step. Whatever fails, what was made before
//! goes away again: each part takes itself down when it is dropped.

use super::dhcp::DhcpService;
use super::dns::DnsService;
use super::events::Events;
use super::handover::{Heir, Kept};
use super::libvirt::LibvirtFiles;
use super::network::Network;
use super::ports::{Origin, Ports};
use super::tftp::TftpService;
use crate::args::Place;
use crate::config::{Address, Config, Forward, Loaded, Mac};
use crate::firewall::Firewall;
use crate::host::attached::Attached;
use crate::host::hosts::LiveHosts;
use crate::host::identity::Identity;
use crate::host::link::Links;
use crate::host::subnet;
use crate::host::uplink::Moved;
use anyhow::Context as _;
use crossbeam_channel::Receiver;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vmlan_dataplane::MacAddr;
use vmlan_dataplane::control::{Event, Switch, Workers};
use vmlan_dataplane::forward::Settings;

/// Starts the network that `loaded` describes.
pub(super) async fn start(
    place: &Place,
    loaded: Loaded,
    takes_over: bool,
) -> anyhow::Result<(Network, Receiver<Event>)> {
    let started = Instant::now();
    let Loaded {
        mut config, source, ..
    } = loaded;
    if source.is_none() && !rustix::process::geteuid().is_root() {
        tracing::warn!(
            "not root: the network is isolated from this host, and guests connect to vm.sock only"
        );
        config.interface = None;
        config.forward = Forward::Isolated;
        config.attach.clear();
    }
    crate::log::configure(config.log.as_ref());
    let mut heir = Heir::find(place, &config, takes_over)?;
    let run = heir.run_dir(place, &config)?;
    for left in run.leftovers() {
        tracing::info!("{} was left over and is removed", left.display());
    }
    let quiet = heir.quiet(&run)?;
    for netdev in quiet.restored() {
        tracing::info!("the host listens on {netdev} again, as before the last run");
    }
    let firewall = Firewall::open(run.path(), config.name.as_str());
    let state = heir.state_dir(place, &config)?;
    let mut identity = Identity::open(state.path())?;
    if let Some(aside) = identity.put_aside() {
        tracing::warn!("{aside}");
    }
    let links = Links::new()?;
    heir.clear(&config, &links).await?;
    let mut moved = None;
    if heir.inherits() {
        moved = Moved::inherit(run.path());
    } else if let Some(summary) = super::uplink::restore(&run, &links).await? {
        tracing::info!("put back after the last run: {summary}");
    }
    let gateway = match heir.gateway() {
        Some(gateway) => gateway,
        None => choose_address(&config, &mut identity, &links).await?,
    };
    let mac = match config.mac {
        Some(Mac::Fixed(mac)) => mac,
        Some(Mac::Uplink) => super::uplink::mac(&config, &links).await?,
        None => identity.mac(),
    };

    let told = Events::new(config.name.as_str());
    let dhcp = DhcpService::new(state.path(), identity.dhcp_hash_key(), mac, told.clone());
    let hosts = LiveHosts::open(state.path())?;
    let attached =
        Attached::open(state.path()).context("cannot read which netdevs were attached")?;
    let served = super::hosts::served(&config, gateway, hosts.entries(), source.as_ref())?;
    let former = heir.former();
    let settings = settings(&config, gateway, &former, mac);
    let workers = Workers {
        count: config.switch.workers(),
        polling: config.switch.polling,
    };
    let dns = DnsService::new(dhcp.names());
    let (switch, events) = Switch::start(&settings, workers, |switch| {
        Some(dns.responder(dhcp.responder(switch)))
    })
    .context("cannot start the switch")?;
    let libvirt = LibvirtFiles::new(dhcp.leases_changed());
    let mut network = Network {
        file: source.map(|source| source.path().to_owned()),
        run,
        links,
        quiet,
        moved,
        firewall,
        forwarding_is_off: false,
        switch,
        dhcp,
        dns,
        tftp: TftpService::default(),
        ports: Ports::default(),
        events: told,
        uplink_gone: false,
        libvirt,
        attached,
        hosts,
        state: Some(state),
        gateway,
        former,
        former_changed: Arc::default(),
        mac,
        started,
        config,
        kept: Kept::default(),
    };
    match fill(&mut network, served, &mut heir).await {
        Ok(()) => Ok((network, events)),
        // Another process goes on with all of it.
        Err(error) if heir.is_lent() => Err(error),
        Err(error) => {
            // The first error is the one to report.
            if let Err(second) = network.stop().await {
                tracing::warn!("{second:#}");
            }
            Err(error)
        }
    }
}

async fn fill(
    network: &mut Network,
    served: Option<vmlan_dhcp::Config>,
    heir: &mut Heir,
) -> anyhow::Result<()> {
    heir.settle(network)?;
    let hooks = network.dhcp.hooks();
    hooks.configure(&network.config);
    network.dhcp.configure(served)?;
    if !network.former.is_empty() {
        network.dhcp.set_former(&network.former);
        network.dhcp.refresh_former()?;
        network.former_changed.notify_one();
    }
    let dhcp = network.dhcp.clone();
    tokio::spawn(hooks.run(move || dhcp.clock()));
    tokio::spawn(network.dhcp.clone().expire_on_time());
    tokio::spawn(network.dhcp.clone().keep_file());
    network.make_host_interface().await?;
    network.open_outside().await?;
    network.serve_names()?;
    network.serve_tftp()?;
    for port in network.config.wanted_ports() {
        if network.ports.get(&port.name).is_some() {
            continue; // it goes on
        }
        network
            .add(&port, Origin::Config)
            .await
            .map_err(|error| network.config.places.port_error(&port.name, error))?;
    }
    heir.done(network)
}

/// The gateway's address: the one configured, or the subnet picked before, or
/// a free one.
async fn choose_address(
    config: &Config,
    identity: &mut Identity,
    links: &Links,
) -> anyhow::Result<Option<Ipv4Net>> {
    match config.address {
        Address::None => Ok(None),
        Address::Fixed(address) => {
            if config.forward.is_routed() {
                let addresses = links.ipv4_addresses_by_netdev().await?;
                let routes = links.ipv4_routes().await?;
                subnet::check(address.trunc(), &addresses, &routes)?;
            }
            Ok(Some(address))
        }
        Address::Auto => {
            let addresses = links.ipv4_addresses().await?;
            let routes = links.ipv4_routes().await?;
            let subnet = subnet::pick(identity.subnet(), &addresses, &routes)?;
            identity.keep_subnet(subnet)?;
            let first = Ipv4Addr::from_bits(subnet.network().to_bits().saturating_add(1));
            Ok(Some(Ipv4Net::new(first, subnet.prefix_len())?))
        }
    }
}

/// What the switch goes by.
pub(super) fn settings(
    config: &Config,
    gateway: Option<Ipv4Net>,
    former: &[Ipv4Net],
    mac: MacAddr,
) -> Settings {
    let tenths = |ageing: Duration| u32::try_from(ageing.as_millis() / 100).unwrap_or(u32::MAX);
    Settings {
        mac,
        gateway: gateway.map(|gateway| gateway.addr()),
        former_gateways: former.iter().map(Ipv4Net::addr).collect(),
        mtu: config.mtu.into(),
        dhcp: config.dhcp.enabled && gateway.is_some(),
        // Else the host's stack has the address.
        dns: config.dns.enabled && gateway.is_some() && config.interface.is_none(),
        ageing: config.switch.ageing.map(tenths),
        fdb_size: config.switch.fdb_size,
    }
}
