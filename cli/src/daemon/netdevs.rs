//! Existing netdevs as `packet` ports: taken as they appear or on request,
//! followed while they are there, and let go.

use super::network::{Network, chain, no_port, warn_not_kept};
use super::ports::{NamedPort, Netdev, Origin};
use crate::config::{Port, PortKind, PortName, PortSettings};
use crate::events::Event;
use crate::host::link::Link;
use crate::host::monitor::LinkEvent;
use crate::model::{self, ApiError, ExternalIds, Fault};
use std::io;
use vmlan_dataplane::forward::Role;
use vmlan_dataplane::port::{self, packet};
use vmlan_dataplane::table::PortId;

/// Frames that may wait in a TAP that a VMM holds. Linux has 1,000, which one
/// burst of a fast sender fills.
const TAP_QUEUE: u32 = 8192;

/// External identifiers of one port.
const MAX_IDS: usize = 64;

impl Network {
    /// Takes a netdev that has appeared, or that somebody asked for.
    pub(super) async fn attach(
        &mut self,
        interface: &str,
        settings: &PortSettings,
    ) -> Result<(), ApiError> {
        if settings.kind.is_some_and(|kind| kind != PortKind::Packet)
            || settings.interface.is_some()
        {
            return Err(ApiError::input(
                "`attach` makes a packet port of the netdev that it names",
            )
            .help("use `vmlan port add NAME --kind KIND interface=IFNAME` for other ports"));
        }
        let name: PortName = interface.parse()?;
        let port = PortSettings {
            kind: Some(PortKind::Packet),
            ..settings.clone()
        }
        .into_port(name)?;
        self.add(&port, Origin::Command).await
    }

    /// The ports that a pattern took and that none asks for any more.
    pub(super) fn unmatched(&self) -> Vec<PortName> {
        let attach = &self.config.attach;
        let ports = self.ports.iter();
        let unmatched = ports.filter(|(name, port)| {
            port.origin == Origin::Pattern && !attach.iter().any(|p| p.matches(name.as_str()))
        });
        unmatched.map(|(name, _)| name.clone()).collect()
    }

    /// Whether the netdev `interface` is the port of its name.
    pub(super) fn is_attached(&self, interface: &str) -> bool {
        let port = interface
            .parse()
            .ok()
            .and_then(|name| self.ports.get(&name));
        let netdev = port
            .filter(|port| port.kind == PortKind::Packet)
            .and_then(|port| port.netdev.as_ref());
        netdev.is_some_and(|netdev| netdev.name == interface)
    }

    /// Notes `ids` with a port, beside what is noted already.
    pub(super) fn identify(&mut self, name: &PortName, ids: ExternalIds) -> Result<(), ApiError> {
        let port = self.ports.get_mut(name).ok_or_else(|| no_port(name))?;
        let known = &port.external_ids;
        let new = ids.keys().filter(|key| !known.contains_key(*key)).count();
        if known.len().saturating_add(new) > MAX_IDS {
            let error = format!("a port has at most {MAX_IDS} external identifiers");
            return Err(ApiError::input(error));
        }
        if let Some(said) = ids.get(model::BANDWIDTH) {
            tracing::warn!("port {name}: bandwidth was {said}");
        }
        port.external_ids.extend(ids);
        if let Some(netdev) = &port.netdev
            && let Some(index) = netdev.index
            && !port.external_ids.is_empty()
        {
            let ids = &port.external_ids;
            warn_not_kept(name, self.attached.keep(index, &netdev.name, ids));
        }
        self.libvirt.touch();
        // Whoever has said what it is for takes it away, too.
        if port.origin == Origin::Pattern {
            port.origin = Origin::Command;
        }
        self.write_record();
        Ok(())
    }

    /// Gives back a netdev on request.
    pub(super) async fn detach(&mut self, interface: &str) -> Result<String, ApiError> {
        let attached = self.ports.iter().find(|(_, port)| {
            port.kind == PortKind::Packet
                && port
                    .netdev
                    .as_ref()
                    .is_some_and(|netdev| netdev.name == interface)
        });
        let Some((name, _)) = attached else {
            return Err(ApiError::not_found(format!("{interface} is not attached"))
                .help("`vmlan ports` lists those that are"));
        };
        let name = name.clone();
        self.give_up_uplink(&name).await?;
        self.remove_on_request(&name);
        Ok(format!("{interface} detached"))
    }

    /// Follows a netdev.
    pub(super) async fn link_changed(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Changed(link) => {
                self.uplink_seen(&link.name, true);
                self.link_seen(&link).await;
            }
            LinkEvent::Sysctls => {
                if let Err(error) = self.quiet.keep_from_forwarding() {
                    tracing::warn!("{}", chain(error));
                }
                self.sysctls_changed();
            }
            LinkEvent::Gone {
                index,
                name: netdev,
            } => {
                self.uplink_seen(&netdev, false);
                self.ports.forget(index);
                let Some((name, port)) = self.ports.by_index(index) else {
                    return;
                };
                let name = name.clone();
                match (&mut port.netdev, port.kind) {
                    // Its file counts. The netdev was moved to a namespace, where
                    // its state cannot be seen; or it was deleted, which the
                    // worker finds.
                    (Some(own), PortKind::Tap) => {
                        own.index = None;
                        own.up = true;
                        self.write_record();
                    }
                    _ => {
                        self.remove_since(&name, Some(format!("{netdev} is gone")));
                    }
                }
            }
        }
    }

    /// Tells that the netdev that leads outside has gone, or come.
    fn uplink_seen(&mut self, netdev: &str, there: bool) {
        let uplink = self.config.uplink.as_ref();
        let Some(uplink) = uplink.filter(|uplink| uplink.as_str() == netdev) else {
            return;
        };
        let interface = uplink.to_string();
        match (std::mem::replace(&mut self.uplink_gone, !there), there) {
            (false, false) => self.events.tell(Event::UplinkGone { interface }),
            (true, true) => self.events.tell(Event::UplinkBack { interface }),
            _ => {}
        }
    }

    /// Takes note of a netdev: its state, or that it is to be taken.
    pub(super) async fn link_seen(&mut self, link: &Link) {
        if let Some((name, port)) = self.ports.by_index(link.index) {
            let name = name.clone();
            let kind = port.kind;
            if let Some(netdev) = &mut port.netdev {
                netdev.name.clone_from(&link.name);
                if netdev.up != link.carrier {
                    netdev.up = link.carrier;
                    let port = name.to_string();
                    self.events.tell(match link.carrier {
                        true => Event::PortUp { port },
                        false => Event::PortDown { port },
                    });
                }
            }
            self.write_record();
            if let Err(error) = self.quiet.follow(link) {
                tracing::warn!("{}", chain(error));
            }
            if let (PortKind::Packet, Some(master)) = (kind, &link.master) {
                let why = format!(
                    "{} now belongs to {master}, which forwards its frames",
                    link.name
                );
                self.remove_since(&name, Some(why));
            }
            return;
        }
        let Some((port, origin)) = self.wanted(link) else {
            return;
        };
        match self.add(&port, origin).await {
            Ok(()) => self.recall(&port.name, link),
            // It went away meanwhile, which is an event of its own.
            Err(error) if error.fault == Fault::NotFound => {}
            Err(error) => {
                let warning = format!("{} cannot be attached: {}", link.name, error.one_line());
                self.warn_once(link, &warning);
            }
        }
    }

    /// Notes with a port what was noted with it before a restart.
    fn recall(&mut self, name: &PortName, link: &Link) {
        if let Some(ids) = self.attached.get(link.index, &link.name).cloned()
            && let Err(error) = self.identify(name, ids)
        {
            tracing::warn!("port {name}: {}", error.one_line());
        }
    }

    /// Forgets the netdevs that went while nobody was looking.
    pub(super) fn forget_missing(&mut self, links: &[Link]) {
        let there = |index| links.iter().any(|link| link.index == index);
        if let Err(error) = self.attached.retain(there) {
            tracing::warn!("netdevs that are gone are not forgotten: {error}");
        }
    }

    /// Warns of a netdev that cannot be attached, or only with a drawback:
    /// each change of it is another try.
    pub(super) fn warn_once(&mut self, link: &Link, warning: &str) {
        if self.ports.first_warning(link.index, warning) {
            tracing::warn!("{warning}");
        }
    }

    /// The packet port that a netdev is to become, by the configuration or
    /// since it was one before a restart.
    fn wanted(&self, link: &Link) -> Option<(Port, Origin)> {
        if link.master.is_some() || self.ports.is_detached(link.index) {
            return None;
        }
        let configured = self
            .config
            .wanted_ports()
            .into_iter()
            .find(|port| port.kind == PortKind::Packet && port.interface.as_str() == link.name);
        if let Some(port) = configured {
            return Some((port, Origin::Config));
        }
        let origin = if self.attached.get(link.index, &link.name).is_some() {
            Origin::Command
        } else if self.config.attach.iter().any(|p| p.matches(&link.name)) {
            Origin::Pattern
        } else {
            return None;
        };
        let settings = PortSettings {
            kind: Some(PortKind::Packet),
            ..PortSettings::default()
        };
        let port = settings.into_port(link.name.parse().ok()?).ok()?;
        Some((port, origin))
    }

    /// Refuses a netdev that another network has taken: the two would be one.
    fn refuse_taken(&self, link: &Link) -> Result<(), ApiError> {
        let holder = self.run.taken_by_another(link.index);
        match holder.map_err(|e| ApiError::runtime(chain(e)))? {
            None => Ok(()),
            Some(network) => Err(ApiError::runtime(format!(
                "{} is a port of the network {network:?}",
                link.name
            ))
            .help(format!(
                "let that one go of it first: `vmlan detach {} --network {network}`; or give \
                 the networks different patterns under [attach]",
                link.name
            ))),
        }
    }

    /// Takes an existing netdev.
    pub(super) async fn take(
        &mut self,
        link: &Link,
        port: &Port,
        origin: Origin,
    ) -> Result<(), ApiError> {
        let interface = &link.name;
        if let Some(master) = &link.master {
            return Err(
                ApiError::runtime(format!("{interface} belongs to {master}")).help(format!(
                    "both would forward its frames; take it out first: \
                     `ip link set {interface} nomaster`"
                )),
            );
        }
        if !link.ethernet {
            return Err(
                ApiError::runtime(format!("{interface} does not carry Ethernet frames"))
                    .help("only an Ethernet netdev (a tap, a veth, a NIC) can be a port"),
            );
        }
        if let Some((other, _)) = self.ports.by_index(link.index) {
            return Err(ApiError::runtime(format!(
                "{interface} is the port {other} already"
            )));
        }
        if link.mtu < self.config.mtu.into() {
            let (least, mtu) = (link.mtu, self.config.mtu);
            let warning = format!(
                "{interface} takes packets of {least} bytes only, the network's MTU is {mtu}: \
                 longer frames to it are dropped. `ip link set {interface} mtu {mtu}` mends it"
            );
            self.warn_once(link, &warning);
        }
        self.refuse_taken(link)?;
        self.refuse_wireless(link)?;
        // The host goes on by its addresses until the port is there.
        let moves = self.moves_addresses_of(link);
        let packet = packet::open(link.index, port.queues.into())
            .map_err(|error| packet_error(interface, &error))?;
        if !moves {
            // Before it comes up, so that no IPv6 address appears on it.
            self.keep_host_off(link).await?;
        }
        match self.bring_in(link, packet, port).await {
            Ok(id) => {
                self.ports.forget(link.index);
                let netdev = Netdev {
                    name: interface.clone(),
                    index: Some(link.index),
                    up: link.carrier,
                };
                let packet = NamedPort {
                    id,
                    kind: PortKind::Packet,
                    queues: port.queues,
                    offload: port.offload,
                    dhcp: port.dhcp,
                    netdev: Some(netdev),
                    origin,
                    external_ids: ExternalIds::new(),
                };
                self.named(&port.name, packet);
            }
            Err(error) => {
                self.let_go(link.index);
                return Err(error);
            }
        }
        if moves && let Err(error) = self.move_addresses(link).await {
            self.remove(&port.name);
            return Err(error);
        }
        Ok(())
    }

    /// Keeps the host's own stack off a netdev that is taken, with a warning
    /// where that cannot be.
    pub(super) async fn keep_host_off(&mut self, link: &Link) -> Result<(), ApiError> {
        let addresses = self.links.addresses_of(link).await?;
        let upper = self.links.standing_on(link).await?;
        let all = self.run.hold_all();
        let all = all.map_err(|e| ApiError::runtime(chain(e)))?;
        self.refuse_taken(link)?;
        let quieted = self.quiet.take(link, &addresses, upper);
        drop(all);
        match quieted {
            Ok(None) => Ok(()),
            Ok(Some(warning)) => {
                self.warn_once(link, &warning.to_string());
                Ok(())
            }
            Err(error) => Err(ApiError::runtime(chain(error))),
        }
    }

    async fn bring_in(
        &self,
        link: &Link,
        packet: port::Port,
        port: &Port,
    ) -> Result<PortId, ApiError> {
        if link.kind.as_deref() == Some("tun") {
            // What the switch sends to a TAP waits there for the VMM; the
            // driver drops without a word when the queue is full.
            self.links.set_queue_length(link, TAP_QUEUE).await?;
        }
        if !link.up {
            self.links.set_up(link, true).await?;
        }
        let role = if self.is_uplink(&link.name) {
            Role::Uplink
        } else {
            Role::Station
        };
        let offload = packet.egress.set_offload(port.offload);
        offload.map_err(|e| ApiError::runtime(chain(e)))?;
        Ok(self.switch.add_port(packet, role)?)
    }

    pub(super) fn is_uplink(&self, interface: &str) -> bool {
        let uplink = self.config.bridged_uplink();
        uplink.is_some_and(|uplink| uplink.as_str() == interface)
    }
}

fn packet_error(interface: &str, error: &io::Error) -> ApiError {
    let failed = ApiError::runtime(format!("cannot take the netdev {interface}: {error}"));
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            failed.help("an AF_PACKET socket wants CAP_NET_RAW: run as root")
        }
        _ => failed,
    }
}
