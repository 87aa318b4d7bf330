//! A running network and what can be done to it: ports come and go, netdevs
//! are followed, the MAC table is changed.

use super::dhcp::DhcpService;
use super::dns::{self, DnsError, DnsService};
use super::events::Events;
use super::handover::Kept;
use super::libvirt::LibvirtFiles;
use super::ports::{NamedPort, Netdev, Origin, Ports};
use super::tftp::{self, TftpError, TftpService};
use crate::config::{Config, Port, PortKind, PortName, PortSettings};
use crate::events::Event;
use crate::firewall::Firewall;
use crate::host::attached::Attached;
use crate::host::hosts::LiveHosts;
use crate::host::link::{LinkError, Links};
use crate::host::quiet::Quiet;
use crate::host::rundir::RunDir;
use crate::host::statedir::StateDir;
use crate::host::uplink::Moved;
use crate::model::{ApiError, ExternalIds};
use ipnet::Ipv4Net;
use pnet_base::MacAddr;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;
use vmlan_dataplane::control::{Switch, SwitchError};
use vmlan_dataplane::forward::Role;
use vmlan_dataplane::port::{CloseReason, stream, tap};
use vmlan_dataplane::table::PortId;

/// A network that is being served.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) config: Config,
    /// Where the configuration was read from; `None`: it is the built-in one.
    pub(super) file: Option<PathBuf>,
    pub(super) run: RunDir,
    pub(super) links: Links,
    pub(super) quiet: Quiet,
    /// What the uplink held, while the host interface has it.
    pub(super) moved: Option<Moved>,
    pub(super) firewall: Firewall,
    /// Somebody has turned off net.ipv4.ip_forward, and the log says so.
    pub(super) forwarding_is_off: bool,
    pub(super) switch: Switch,
    pub(super) dhcp: DhcpService,
    pub(super) dns: DnsService,
    pub(super) tftp: TftpService,
    pub(super) ports: Ports,
    pub(super) events: Events,
    /// The netdev that leads outside was there, and has gone.
    pub(super) uplink_gone: bool,
    /// What libvirt's users see.
    pub(super) libvirt: LibvirtFiles,
    /// Netdevs that are to come back after a restart.
    pub(super) attached: Attached,
    /// Hosts that were added while it ran.
    pub(super) hosts: LiveHosts,
    /// Held for as long as anything is written there.
    pub(super) state: Option<StateDir>,
    /// The gateway's address with its prefix.
    pub(super) gateway: Option<Ipv4Net>,
    /// Addresses that it had before and that leases still name.
    pub(super) former: Vec<Ipv4Net>,
    /// Told when there are such.
    pub(super) former_changed: Arc<Notify>,
    pub(super) mac: MacAddr,
    pub(super) started: Instant,
    /// What stands ready for the next process.
    pub(super) kept: Kept,
}

impl From<SwitchError> for ApiError {
    fn from(error: SwitchError) -> Self {
        Self::runtime(chain(error))
    }
}

impl From<LinkError> for ApiError {
    fn from(error: LinkError) -> Self {
        if let LinkError::NoSuchName(_) | LinkError::NoSuchIndex(_) = error {
            return Self::not_found(chain(error));
        }
        Self::runtime(chain(error))
    }
}

/// An error with all that caused it, in one line.
pub(super) fn chain(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

impl Network {
    /// Makes the host's own interface.
    pub(super) async fn make_host_interface(&mut self) -> Result<(), ApiError> {
        let Some(interface) = self.config.interface.clone() else {
            return Ok(());
        };
        let name: PortName = interface.as_str().parse()?;
        if self.ports.get(&name).is_some() {
            return self.align_inherited().await;
        }
        // It has gone with the process that had it.
        if self.moved.take().is_some() {
            let restored = super::uplink::restore(&self.run, &self.links).await;
            restored.map_err(|error| ApiError::runtime(format!("{error:#}")))?;
        }
        let port = Port {
            name: name.clone(),
            kind: PortKind::Tap,
            interface,
            // What the host sends is spread over all workers.
            queues: u16::try_from(self.config.switch.workers()).unwrap_or(1),
            offload: true,
            dhcp: true,
        };
        self.make_tap(&port, Origin::Network).await?;
        let result = self.set_up_host_interface(name.as_str()).await;
        if result.is_err() {
            self.remove(&name);
        }
        result
    }

    async fn set_up_host_interface(&self, name: &str) -> Result<(), ApiError> {
        let link = self.links.by_name(name).await?;
        // Before it comes up, so that no IPv6 address appears on it.
        self.sysctls_at_start(name)?;
        self.links.set_mac(&link, self.mac).await?;
        for gateway in self.gateways() {
            self.links.add_address(&link, gateway).await?;
        }
        self.links.set_up(&link, true).await?;
        Ok(())
    }

    /// Serves TFTP as the configuration has it, from the gateway's address on
    /// the host's own interface.
    pub(super) fn serve_tftp(&mut self) -> Result<(), TftpError> {
        let config = &self.config;
        let place = config
            .interface
            .as_ref()
            .zip(self.gateway)
            .map(|(interface, gateway)| tftp::Place {
                interface: interface.to_string(),
                address: gateway.addr(),
            });
        self.tftp.configure(config.tftp.as_ref(), place, config.mtu)
    }

    /// Answers names as the configuration has it, from the gateway's addresses on
    /// the host's own interface: guests may know it by a former one.
    pub(super) fn serve_names(&mut self) -> Result<(), DnsError> {
        let place = self.config.interface.as_ref().zip(self.gateway);
        let place = place.map(|(interface, gateway)| dns::Place {
            interface: interface.to_string(),
            address: gateway.addr(),
            former: self.former.iter().map(Ipv4Net::addr).collect(),
        });
        let served = self.dhcp.served();
        let settings = dns::Settings::of(&self.config, self.gateway, served.as_ref());
        // With what others know of the domain the host would go round in circles.
        let is_ours = settings.is_some() && self.config.dns.authoritative;
        let domain = self.config.domain.clone().filter(|_| is_ours);
        self.dns.configure(settings, place.clone())?;
        self.dns.tell_host(place, domain.as_deref());
        Ok(())
    }

    /// Adds a port as the configuration or a command describes it.
    pub(super) async fn add(&mut self, port: &Port, origin: Origin) -> Result<(), ApiError> {
        self.refuse_taken_name(&port.name)?;
        let workers = self.config.switch.workers();
        if usize::from(port.queues) > workers {
            return Err(ApiError::input(format!(
                "{} queues want as many workers, the switch has {workers}",
                port.queues
            ))
            .help("take fewer queues, or set `workers` under [switch] and reload"));
        }
        match port.kind {
            PortKind::Tap => self.make_tap(port, origin).await?,
            PortKind::Packet => {
                let link = self.links.by_name(port.interface.as_str()).await?;
                self.take(&link, port, origin).await?;
            }
            kind => {
                let error = format!("ports of the kind {kind} cannot be added");
                return Err(ApiError::input(error));
            }
        }
        self.serve_port(port)
    }

    /// Has the DHCP server serve a port that is there, or not.
    pub(super) fn serve_port(&self, port: &Port) -> Result<(), ApiError> {
        if let Some(there) = self.ports.get(&port.name).filter(|_| !port.dhcp) {
            self.switch.set_dhcp(there.id, false)?;
        }
        Ok(())
    }

    /// Makes a TAP netdev, up, and holds its file.
    async fn make_tap(&mut self, port: &Port, origin: Origin) -> Result<(), ApiError> {
        let interface = port.interface.as_str();
        match self.links.by_name(interface).await {
            Err(LinkError::NoSuchName(_)) => {}
            Err(error) => return Err(error.into()),
            Ok(link) => {
                let kind = link.kind.as_deref().unwrap_or("NIC");
                let mut help = "give another name: `interface=NAME`".to_owned();
                if kind == "tun" {
                    help.push_str(&format!(", or remove that one: `ip link del {interface}`"));
                }
                if link.ethernet {
                    help.push_str(&format!(
                        "; to have {interface} itself as a port: `vmlan attach {interface}`"
                    ));
                }
                let there = format!("a netdev {interface} is there already ({kind})");
                return Err(ApiError::runtime(there).help(help));
            }
        }
        let tap = tap::open(interface, port.queues.into(), port.offload)
            .map_err(|error| tap_error(interface, &error))?;
        // Dropping the TAP takes the netdev away again.
        let link = self.links.by_name(interface).await?;
        self.links.set_mtu(&link, self.config.mtu.into()).await?;
        let role = if origin == Origin::Network {
            Role::Host
        } else {
            self.links.set_up(&link, true).await?;
            Role::Station
        };
        let id = self.switch.add_port(tap, role)?;
        let netdev = Netdev {
            name: link.name,
            index: Some(link.index),
            up: true,
        };
        let tap = NamedPort {
            id,
            kind: PortKind::Tap,
            queues: port.queues,
            offload: port.offload,
            dhcp: port.dhcp,
            netdev: Some(netdev),
            origin,
            external_ids: ExternalIds::new(),
        };
        self.named(&port.name, tap);
        Ok(())
    }

    /// Makes a port of a connection to `vm.sock`.
    pub(super) fn connected(&mut self, socket: UnixStream) -> Result<(), ApiError> {
        let name = self
            .ports
            .stream_name()
            .ok_or_else(|| ApiError::runtime("no name is left for a connection"))?;
        let stream = stream::open(socket).map_err(|e| ApiError::runtime(chain(e)))?;
        let stream = NamedPort {
            id: self.switch.add_port(stream, Role::Station)?,
            kind: PortKind::Stream,
            queues: 1,
            offload: false,
            dhcp: true,
            netdev: None,
            origin: Origin::Connection,
            external_ids: ExternalIds::new(),
        };
        self.named(&name, stream);
        Ok(())
    }

    /// Changes a port while frames pass.
    pub(super) fn set(
        &mut self,
        name: &PortName,
        settings: &PortSettings,
    ) -> Result<String, ApiError> {
        let port = self.ports.get(name).ok_or_else(|| no_port(name))?;
        let fixed = match (settings.kind, &settings.interface) {
            (Some(kind), _) if kind != port.kind => Some("kind"),
            (_, Some(interface))
                if port.netdev.as_ref().map(|netdev| netdev.name.as_str())
                    != Some(interface.as_str()) =>
            {
                Some("interface")
            }
            _ if settings.queues.is_some_and(|queues| queues != port.queues) => Some("queues"),
            _ => None,
        };
        if let Some(key) = fixed {
            return Err(
                ApiError::input(format!("the {key} of a port cannot change")).help(format!(
                    "delete the port and add it anew: `vmlan port del {name}`"
                )),
            );
        }
        let id = port.id;
        if let Some(on) = settings.offload {
            if port.kind == PortKind::Stream {
                return Err(ApiError::input("a stream port has no offloads"));
            }
            self.switch
                .set_offload(id, on)
                .map_err(|e| ApiError::runtime(chain(e)))?;
        }
        if let Some(on) = settings.dhcp {
            self.switch.set_dhcp(id, on)?;
        }
        if let Some(port) = self.ports.get_mut(name) {
            port.offload = settings.offload.unwrap_or(port.offload);
            port.dhcp = settings.dhcp.unwrap_or(port.dhcp);
        }
        self.note_settings(name, settings);
        Ok(format!("port {name} changed"))
    }

    /// Takes a port away on request.
    pub(super) async fn delete(&mut self, name: &PortName) -> Result<String, ApiError> {
        let port = self.ports.get(name).ok_or_else(|| no_port(name))?;
        if port.origin == Origin::Network {
            return Err(
                ApiError::input(format!("{name} is the network's own interface"))
                    .help("set interface = \"\" in the configuration to have none"),
            );
        }
        self.give_up_uplink(name).await?;
        self.remove_on_request(name);
        Ok(format!("port {name} deleted"))
    }

    /// Takes a port away for good: its netdev is not taken again by itself.
    pub(super) fn remove_on_request(&mut self, name: &PortName) {
        let netdev = self.ports.get(name).and_then(|port| port.netdev.as_ref());
        if let Some(index) = netdev.and_then(|netdev| netdev.index) {
            self.ports.detached(index);
        }
        self.remove(name);
    }

    /// Takes a port out of the switch and lets the host back on its netdev.
    pub(super) fn remove(&mut self, name: &PortName) {
        self.remove_since(name, None);
    }

    /// [`Network::remove`], with why nobody had to ask for it.
    pub(super) fn remove_since(&mut self, name: &PortName, why: Option<String>) {
        let Some(port) = self.ports.remove(name) else {
            return;
        };
        self.forget_port(name);
        self.dhcp.name_port(port.id, None);
        self.libvirt.touch();
        if let Err(error) = self.switch.remove_port(port.id) {
            tracing::warn!("port {name}: {}", chain(error));
        }
        if let Some(index) = port.netdev.and_then(|netdev| netdev.index) {
            self.let_go(index);
            let forgotten = self.attached.forget(index);
            warn_not_kept(name, forgotten);
        }
        self.events.tell(Event::PortLeft {
            port: name.to_string(),
            port_kind: port.kind,
            why,
        });
    }

    /// A port ended on its own.
    ///
    /// # Errors
    /// It was the host's own interface: without that there is no network.
    pub(super) fn closed(&mut self, id: PortId, reason: CloseReason) -> anyhow::Result<()> {
        let Some(name) = self.ports.by_id(id) else {
            return Ok(());
        };
        let port = self.ports.get(&name);
        let own = port.is_some_and(|port| port.origin == Origin::Network);
        self.remove_since(&name, Some(chain(reason)));
        if own {
            anyhow::bail!(
                "the host interface {name} is gone, and with it the gateway of the network: \
                 somebody has deleted it; start vmlan again"
            );
        }
        Ok(())
    }

    /// Ends the network: all that it made goes away.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        // First, while the switch still forwards what the host interface sends.
        let put_back = self.put_back_addresses().await;
        self.dns.stop();
        self.tftp.stop();
        self.keep_nothing();
        self.switch.stop();
        self.write_libvirt_files();
        self.dhcp.stop();
        let released = self.quiet.release_all();
        // Once its netdevs are gone, so that nothing passes without rules.
        let closed = self.close_outside().await;
        // Whoever finds RUN/NAME free finds STATE/NAME free too.
        self.state = None;
        self.run.release()?;
        put_back?;
        released?;
        closed
    }

    pub(super) fn named(&mut self, name: &PortName, port: NamedPort) {
        let id = port.id;
        self.events.tell(Event::PortJoined {
            port: name.to_string(),
            port_kind: port.kind,
        });
        self.ports.insert(name.clone(), port);
        self.keep_port(name, id);
        self.dhcp.name_port(id, Some(name.as_str()));
    }

    pub(super) fn let_go(&mut self, index: u32) {
        if let Err(error) = self.quiet.release(index) {
            tracing::warn!("{}", chain(error));
        }
    }

    pub(super) fn refuse_taken_name(&self, name: &PortName) -> Result<(), ApiError> {
        match self.ports.get(name) {
            None => Ok(()),
            Some(port) => Err(ApiError::runtime(format!(
                "there is a port {name} already ({})",
                port.kind
            ))
            .help("choose another name, or delete that one first: `vmlan port del`")),
        }
    }
}

/// Warns that the port `name` may not be what it is to be after a restart.
pub(super) fn warn_not_kept(name: &PortName, kept: io::Result<()>) {
    if let Err(error) = kept {
        tracing::warn!("port {name} is not as it is now after a restart: {error}");
    }
}

pub(super) fn no_port(name: &PortName) -> ApiError {
    ApiError::not_found(format!("there is no port {name}")).help("`vmlan ports` lists them")
}

fn tap_error(interface: &str, error: &io::Error) -> ApiError {
    let failed = ApiError::runtime(format!("cannot make the TAP {interface}: {error}"));
    match error.kind() {
        io::ErrorKind::PermissionDenied => failed.help(
            "/dev/net/tun wants CAP_NET_ADMIN: run as root; or set interface = \"\" and let \
             guests connect to vm.sock, which needs no rights",
        ),
        io::ErrorKind::NotFound => {
            failed.help("there is no /dev/net/tun: load the module with `modprobe tun`")
        }
        io::ErrorKind::ResourceBusy => {
            failed.help("another program has it: name another `interface`")
        }
        _ => failed,
    }
}
