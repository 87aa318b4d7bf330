//! The forwarding step: a frame, the port that it came in by and the time go
//! in, a verdict comes out. No I/O and no clock, so that a test can put any
//! frame to it.
//!
//! The order is that of an IEEE 802.1D bridge: admission, learning, then the
//! look-up. In between, the switch takes what is its own: DHCP for the embedded
//! server, ARP requests that it can answer, and ARP replies that it asked for; of
//! other ARP packets that tell what it asked for it only takes note.

use crate::MacAddr;
use crate::frame::Frame;
use crate::frame::ethernet::{self, Header};
use crate::hairpin::arp::{Answer, ArpTable, Heard};
use crate::hairpin::dhcp::{self, Direction};
use crate::hairpin::dns;
use crate::notice::{Moved, Notices};
use crate::policy::DropReason;
use crate::policy::admit::admit;
use crate::table::fdb::Learned;
use crate::table::{Fdb, PortId, PortSet, Tick};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What holds for the whole network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The switch's own address: the gateway's, on the host interface if there
    /// is one.
    pub mac: MacAddr,
    /// The gateway's IP address.
    pub gateway: Option<Ipv4Addr>,
    /// Addresses that the gateway had before and that clients may still know
    /// it by.
    pub former_gateways: Vec<Ipv4Addr>,
    /// Longest network-layer packet in bytes.
    pub mtu: usize,
    /// Whether a responder serves DHCP on this segment.
    pub dhcp: bool,
    /// Whether a responder answers names at the gateway's address, where there is
    /// no host interface to have it.
    pub dns: bool,
    /// Tenths of a second after which a silent station is forgotten; `None`:
    /// never.
    pub ageing: Option<u32>,
    /// Stations that the FDB holds at the start;
    /// [`Switch::resize_fdb`](crate::control::Switch::resize_fdb) changes it.
    pub fdb_size: usize,
}

/// What is special about a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// Nothing: stations are behind it.
    #[default]
    Station,
    /// The host's own interface, which holds the switch's own address.
    Host,
    /// The way to a LAN that other people run: DHCP does not cross it while
    /// the embedded server is on.
    Uplink,
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Sent out of one port.
    Unicast(PortId),
    /// Sent out of these ports, at least one.
    Flood(PortSet),
    /// Consumed; this goes back to the ingress.
    Answer(Answer),
    /// Consumed; goes up to the responder.
    Punt,
    /// Dropped.
    Drop(DropReason),
}

/// The state of the step. Each worker has its own; the MAC table is one.
#[derive(Debug, Clone)]
pub struct Forwarder {
    settings: Settings,
    fdb: Arc<Fdb>,
    arp: ArpTable,
    members: PortSet,
    uplinks: PortSet,
    /// Ports whose DHCP messages are frames like others.
    unserved: PortSet,
    host: Option<PortId>,
    recent: Recent,
    overheard: bool,
    notices: Arc<Notices>,
}

/// The last answers of the MAC table. Frames of a burst mostly come from one
/// station and go to one, so nearly all of them need no look-up.
#[derive(Debug, Clone, Default)]
struct Recent {
    /// Known behind this port.
    source: Option<(MacAddr, u16, PortId)>,
    /// Found behind this port.
    destination: Option<(MacAddr, u16, PortId)>,
}

impl Forwarder {
    /// A switch without ports, with a MAC table of its own.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let fdb = Fdb::new(settings.fdb_size, settings.ageing);
        Self::sharing(settings, Arc::new(fdb), Arc::default())
    }

    /// A switch without ports that learns into `fdb` and tells `notices`, as
    /// others do.
    #[must_use]
    pub fn sharing(settings: Settings, fdb: Arc<Fdb>, notices: Arc<Notices>) -> Self {
        let mut forwarder = Self {
            fdb,
            arp: ArpTable::default(),
            members: PortSet::default(),
            uplinks: PortSet::default(),
            unserved: PortSet::default(),
            host: None,
            recent: Recent::default(),
            overheard: false,
            notices,
            settings,
        };
        forwarder.refresh_gateway();
        forwarder
    }

    /// Changes what holds for the network, but for the size of the FDB.
    pub fn configure(&mut self, settings: Settings) {
        self.fdb.set_ageing(settings.ageing);
        self.settings = settings;
        self.refresh_gateway();
    }

    /// Looks stations up in `fdb` from now on, and learns into it.
    pub fn set_fdb(&mut self, fdb: Arc<Fdb>) {
        self.fdb = fdb;
        self.recent = Recent::default();
    }

    /// Takes a port in.
    pub fn add_port(&mut self, port: PortId, role: Role) {
        self.members.insert(port);
        match role {
            Role::Station => {}
            Role::Host => self.host = Some(port),
            Role::Uplink => self.uplinks.insert(port),
        }
        self.refresh_gateway();
    }

    /// Takes a port out and forgets the stations behind it.
    pub fn remove_port(&mut self, port: PortId) {
        self.members.remove(port);
        self.uplinks.remove(port);
        self.unserved.remove(port);
        self.host = self.host.filter(|host| *host != port);
        self.fdb.forget_port(port);
        self.recent = Recent::default();
        self.refresh_gateway();
    }

    /// Whether DHCP messages that come in by `port` are for the responder.
    pub fn set_dhcp(&mut self, port: PortId, on: bool) {
        if on {
            self.unserved.remove(port);
        } else {
            self.unserved.insert(port);
        }
    }

    /// The MAC table.
    #[must_use]
    pub fn fdb(&self) -> &Fdb {
        &self.fdb
    }

    /// The switch's own address.
    #[must_use]
    pub fn own_mac(&self) -> MacAddr {
        self.settings.mac
    }

    /// The addresses that the switch answers ARP for or asks for, to change.
    pub fn arp_mut(&mut self) -> &mut ArpTable {
        &mut self.arp
    }

    /// Whether the last frame has, beside its verdict, to go to the responder:
    /// it says that a station has an address that is being probed for.
    pub fn take_overheard(&mut self) -> bool {
        std::mem::take(&mut self.overheard)
    }

    /// The station that was heard lately to use `address`, which had no lease
    /// then, and its port, if it is still there.
    pub fn seen(&mut self, address: Ipv4Addr, now: Tick) -> Option<(MacAddr, PortId)> {
        let (mac, port) = self.arp.seen(address, now)?;
        (self.fdb.lookup(mac, 0, now) == Some(port)).then_some((mac, port))
    }

    /// Starts a burst: what the table said before may be outdated.
    pub fn begin_burst(&mut self) {
        self.recent = Recent::default();
    }

    /// Decides about one frame of a burst that came in by `ingress`.
    pub fn step(&mut self, frame: &Frame, ingress: PortId, now: Tick) -> Verdict {
        self.decide(frame, ingress, now)
            .unwrap_or_else(Verdict::Drop)
    }

    fn decide(&mut self, frame: &Frame, ingress: PortId, now: Tick) -> Result<Verdict, DropReason> {
        let bytes = frame.bytes();
        let header = admit(frame, self.settings.mtu)?;
        if header.source == self.settings.mac && self.host != Some(ingress) {
            return Err(DropReason::OwnSource);
        }
        self.learn(&header, ingress, now);

        let for_switch = header.destination == self.settings.mac;
        let group = ethernet::is_group(&header.destination);
        let dhcp = match self.settings.dhcp {
            true => dhcp::direction(bytes, &header),
            false => None,
        };
        if let Some(direction) = dhcp {
            if self.uplinks.contains(ingress) {
                return Err(DropReason::DhcpUplink);
            }
            if self.serves(&header, direction) && !self.unserved.contains(ingress) {
                return Ok(Verdict::Punt);
            }
        }
        if header.ethertype == ethernet::ARP {
            let heard = self.arp.hear(bytes, &header, ingress, now);
            self.tell_of_rival(now);
            match heard {
                Heard::Reply if for_switch => return Ok(Verdict::Punt),
                Heard::Reply | Heard::Claim => self.overheard = true,
                Heard::Nothing => {}
            }
        }
        if (group || for_switch)
            && let Some(answer) = self.answer_arp(bytes, &header, ingress, now)
        {
            return Ok(Verdict::Answer(answer));
        }

        let known = match self.host {
            _ if group => None,
            Some(host) if for_switch => Some(host),
            None if for_switch && self.asks_for_a_name(bytes, &header) => return Ok(Verdict::Punt),
            None if for_switch => return Err(DropReason::ForSwitch),
            _ => self.look_up(&header, now),
        };
        match known {
            Some(port) if port == ingress => Err(DropReason::SamePort),
            Some(port) if dhcp.is_some() && self.uplinks.contains(port) => {
                Err(DropReason::DhcpUplink)
            }
            Some(port) => Ok(Verdict::Unicast(port)),
            None => self.flood(ingress, dhcp.is_some()),
        }
    }

    /// Whether the frame, which is for the switch, is a question to the name
    /// server of this segment.
    fn asks_for_a_name(&self, bytes: &[u8], header: &Header) -> bool {
        let server = self.settings.gateway.filter(|_| self.settings.dns);
        server.is_some_and(|server| dns::is_question(bytes, header, server))
    }

    /// All ports but the ingress, and but the uplinks where the frame has to
    /// be kept in.
    fn flood(&self, ingress: PortId, keep_in: bool) -> Result<Verdict, DropReason> {
        let mut egress = self.members;
        egress.remove(ingress);
        if keep_in {
            egress = egress.without(&self.uplinks);
        }
        if egress.is_empty() {
            return Err(DropReason::NoEgress);
        }
        Ok(Verdict::Flood(egress))
    }

    /// Whether a DHCP message is for the embedded server: in the untagged
    /// segment, to all stations or to the gateway's own address. What is only
    /// routed through the gateway is not.
    fn serves(&self, header: &Header, direction: Direction) -> bool {
        let Direction::ToServer { address } = direction else {
            return false;
        };
        let to_gateway = address.is_broadcast()
            || Some(address) == self.settings.gateway
            || self.settings.former_gateways.contains(&address);
        header.vid() == 0
            && (ethernet::is_group(&header.destination)
                || header.destination == self.settings.mac && to_gateway)
    }

    fn learn(&mut self, header: &Header, ingress: PortId, now: Tick) {
        let station = (header.source, header.vid(), ingress);
        if self.recent.source == Some(station) {
            return;
        }
        let learned = self.fdb.learn(station.0, station.1, ingress, now);
        self.recent.source = (learned != Learned::Full).then_some(station);
        if learned != Learned::Known {
            self.recent.destination = None;
        }
        match learned {
            Learned::Known | Learned::New | Learned::Pinned { .. } => {}
            Learned::Moved { from } => self.notices.moved(Moved {
                mac: station.0,
                vlan: station.1,
                from,
                to: ingress,
            }),
            Learned::Full => self.notices.raise(),
        }
    }

    /// Notes that two stations have one address, if the last ARP packet said so.
    /// One that was only heard of counts while it is where it was.
    fn tell_of_rival(&mut self, now: Tick) {
        if let Some((claimed, at)) = self.arp.take_rival()
            && at.is_none_or(|port| self.fdb.lookup(claimed.holder, 0, now) == Some(port))
        {
            self.notices.claimed(claimed);
        }
    }

    fn look_up(&mut self, header: &Header, now: Tick) -> Option<PortId> {
        let (mac, vlan) = (header.destination, header.vid());
        if let Some((last, in_vlan, port)) = self.recent.destination
            && (last, in_vlan) == (mac, vlan)
        {
            return Some(port);
        }
        let port = self.fdb.lookup(mac, vlan, now)?;
        self.recent.destination = Some((mac, vlan, port));
        Some(port)
    }

    fn answer_arp(
        &self,
        frame: &[u8],
        header: &Header,
        ingress: PortId,
        now: Tick,
    ) -> Option<Answer> {
        self.arp.answer(frame, header, |mac| {
            self.fdb
                .lookup(mac, header.vid(), now)
                .is_some_and(|port| port != ingress)
        })
    }

    /// With a host interface, the host's kernel answers for the gateway.
    fn refresh_gateway(&mut self) {
        let former = self.settings.former_gateways.iter();
        let addresses = self.settings.gateway.iter().chain(former);
        let (addresses, mac) = (addresses.copied().collect(), self.settings.mac);
        self.arp.set_gateway(mac, addresses, self.host.is_none());
    }
}

#[cfg(test)]
mod tests;
