//! ARP (RFC 826): the switch answers for its gateway address, where no host
//! interface has it, and for leased addresses (suppression), so that a request
//! for a known guest is not flooded to all others.
//!
//! It answers only what the station itself would answer: a lease counts while
//! its holder has been seen lately, and behind another port than the one that
//! asks. A probe (RFC 5227: sender address 0) of the holder for its own lease,
//! and an announcement, are never answered.
//!
//! The switch also asks: while a DHCP server is about to offer an address, it
//! probes for it ([`probe`]), and whatever claims that address goes to the
//! responder ([`claim`]). As in RFC 5227 §2.1.1 that is any ARP packet by its
//! sender's address, be it an answer to the probe or not. A station that was
//! seen with the address shortly before, after the last lease of it had ended,
//! counts as well: it may be slow to answer.

use super::sightings::Sightings;
use crate::MacAddr;
use crate::frame::ethernet::{self, Header};
use crate::notice::Claimed;
use crate::table::{PortId, Tick};
use etherparse::{ArpEthIpv4Packet, ArpHardwareId, ArpOperation, ArpPacketSlice, EtherType};
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

/// The gateway's addresses.
#[derive(Debug, Clone, Default)]
struct Own {
    mac: MacAddr,
    addresses: Vec<Ipv4Addr>,
    /// Whether the switch itself answers for them.
    answered: bool,
}

/// What the switch knows of addresses.
#[derive(Debug, Clone, Default)]
pub struct ArpTable {
    own: Own,
    leases: HashMap<Ipv4Addr, MacAddr, RandomState>,
    probed: HashSet<Ipv4Addr, RandomState>,
    seen: Sightings,
    rival: Option<Rival>,
}

/// Two stations that have one address; with the port that the first of them was
/// seen at, unless the address is its own by right.
pub(crate) type Rival = (Claimed, Option<PortId>);

/// What a frame says of an address that is being probed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing.
    Nothing,
    /// In passing that its sender has it; it is for others.
    Claim,
    /// The same, in reply to whom it is for.
    Reply,
}

/// An answer, ready to be sent back to where the request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    bytes: [u8; Self::LONGEST],
    len: usize,
}

impl Answer {
    const LONGEST: usize = ethernet::HEADER + 2 * ethernet::TAG + ArpEthIpv4Packet::LEN;

    /// The Ethernet frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl ArpTable {
    /// Sets the gateway's addresses, which `mac` holds: whoever else claims one
    /// is found out. `answered` says whether the switch itself answers for them,
    /// and not the host's kernel.
    pub fn set_gateway(&mut self, mac: MacAddr, addresses: Vec<Ipv4Addr>, answered: bool) {
        self.own = Own {
            mac,
            addresses,
            answered,
        };
    }

    /// Notes who holds the lease of `address`.
    pub fn bind(&mut self, address: Ipv4Addr, mac: MacAddr) {
        self.leases.insert(address, mac);
        self.seen.forget(address);
    }

    /// Notes that the lease of `address` has ended.
    pub fn unbind(&mut self, address: Ipv4Addr) {
        self.leases.remove(&address);
        // Until now its holder used it by right.
        self.seen.forget(address);
    }

    /// Notes that a probe for `address` is under way.
    pub fn watch(&mut self, address: Ipv4Addr) {
        self.probed.insert(address);
    }

    /// Notes that the probe for `address` has ended.
    pub fn unwatch(&mut self, address: Ipv4Addr) {
        self.probed.remove(&address);
    }

    /// Takes note of who says in `frame`, if it is ARP, that it has an address
    /// without a lease.
    pub fn hear(&mut self, frame: &[u8], header: &Header, ingress: PortId, now: Tick) -> Heard {
        let Some((packet, address, mac)) = claimed(frame, header) else {
            return Heard::Nothing;
        };
        // Who speaks for another station is no sign of it.
        if mac == header.source {
            self.rival = self.rival_of(address, mac, ingress, now);
            if !self.leases.contains_key(&address) {
                self.seen.note(address, mac, ingress, now);
            }
        }
        if !self.probed.contains(&address) {
            Heard::Nothing
        } else if packet.operation == ArpOperation::REPLY {
            Heard::Reply
        } else {
            Heard::Claim
        }
    }

    fn rival_of(
        &mut self,
        address: Ipv4Addr,
        by: MacAddr,
        port: PortId,
        now: Tick,
    ) -> Option<Rival> {
        let is_own = self.own.addresses.contains(&address);
        let by_right = is_own.then_some(self.own.mac);
        let by_right = by_right.or_else(|| self.leases.get(&address).copied());
        let (holder, at) = match by_right {
            Some(mac) => (mac, None),
            None => {
                let (mac, port) = self.seen.of(address, now)?;
                (mac, Some(port))
            }
        };
        let claimed = Claimed {
            address,
            holder,
            by,
            port,
        };
        (holder != by).then_some((claimed, at))
    }

    /// What the last ARP packet said of an address that another station has.
    pub(crate) fn take_rival(&mut self) -> Option<Rival> {
        self.rival.take()
    }

    /// Who was heard lately to have `address`, which had no lease then, and
    /// behind which port.
    pub fn seen(&mut self, address: Ipv4Addr, now: Tick) -> Option<(MacAddr, PortId)> {
        self.seen.of(address, now)
    }

    /// The answer to `frame`, if it is a request and the switch is to answer
    /// it. `reachable` says whether a station is behind another port than the
    /// one that the frame came in by.
    #[must_use]
    pub fn answer(
        &self,
        frame: &[u8],
        header: &Header,
        reachable: impl FnOnce(MacAddr) -> bool,
    ) -> Option<Answer> {
        let request = request(frame, header)?;
        let target = request.target_ipv4_addr();
        let announcement = request.sender_ipv4 == request.target_ipv4;
        // Gateway and leases are of the untagged segment; another VLAN may have
        // the same addresses.
        let elsewhere = header.vid() != 0;
        if announcement || elsewhere || request.sender_mac != header.source.octets() {
            return None;
        }
        let mac = match &self.own {
            own if own.answered && own.addresses.contains(&target) => own.mac,
            _ => *self
                .leases
                .get(&target)
                .filter(|mac| **mac != header.source && reachable(**mac))?,
        };
        Some(compose(frame, header, &request, mac))
    }
}

/// The frame that asks all stations whether one of them has `address`, from
/// `mac` (RFC 5227 §2.1.1).
#[must_use]
pub fn probe(mac: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    request_of(mac, Ipv4Addr::UNSPECIFIED, address)
}

fn request_of(mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let packet = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: mac.octets(),
        sender_ipv4: sender.octets(),
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    };
    let ethertype = ethernet::ARP.to_be_bytes();
    [
        &MacAddr::broadcast().octets()[..],
        &mac.octets(),
        &ethertype,
        &packet.to_bytes(),
    ]
    .concat()
}

/// An announcement (RFC 5227 §2.3) that `address` is at `mac`: a request for
/// itself, by which stations mend what they know.
#[must_use]
pub fn announcement(mac: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    request_of(mac, address, address)
}

/// The frame by which the station `mac` says to `to` that it has `address`.
#[must_use]
pub fn reply(mac: MacAddr, address: Ipv4Addr, to: MacAddr) -> Vec<u8> {
    let packet = ArpEthIpv4Packet {
        operation: ArpOperation::REPLY,
        sender_mac: mac.octets(),
        sender_ipv4: address.octets(),
        target_mac: to.octets(),
        target_ipv4: [0; 4],
    };
    let ethertype = ethernet::ARP.to_be_bytes();
    [
        &to.octets()[..],
        &mac.octets(),
        &ethertype,
        &packet.to_bytes(),
    ]
    .concat()
}

/// The address that the sender of an ARP packet says it has, and the hardware
/// address that it is said to be at; `None` for any other frame.
#[must_use]
pub fn claim(frame: &[u8]) -> Option<(Ipv4Addr, MacAddr)> {
    let (_, address, mac) = claimed(frame, &Header::parse(frame)?)?;
    Some((address, mac))
}

fn claimed(frame: &[u8], header: &Header) -> Option<(ArpEthIpv4Packet, Ipv4Addr, MacAddr)> {
    // Addresses that are probed for are of the untagged segment.
    let packet = packet(frame, header).filter(|_| header.vid() == 0)?;
    let address = Ipv4Addr::from(packet.sender_ipv4);
    let [a, b, c, d, e, f] = packet.sender_mac;
    let mac = MacAddr(a, b, c, d, e, f);
    // A probe has no sender's address (RFC 5227 §2.1.1).
    let claims = !address.is_unspecified() && !ethernet::is_group(&mac);
    claims.then_some((packet, address, mac))
}

fn request(frame: &[u8], header: &Header) -> Option<ArpEthIpv4Packet> {
    packet(frame, header).filter(|p| p.operation == ArpOperation::REQUEST)
}

fn packet(frame: &[u8], header: &Header) -> Option<ArpEthIpv4Packet> {
    if header.ethertype != ethernet::ARP {
        return None;
    }
    let packet = ArpPacketSlice::from_slice(frame.get(header.len..)?).ok()?;
    if packet.hw_addr_type() != ArpHardwareId::ETHERNET
        || packet.proto_addr_type() != EtherType::IPV4
    {
        return None;
    }
    Some(ArpEthIpv4Packet {
        operation: packet.operation(),
        sender_mac: packet.sender_hw_addr().try_into().ok()?,
        sender_ipv4: packet.sender_protocol_addr().try_into().ok()?,
        target_mac: packet.target_hw_addr().try_into().ok()?,
        target_ipv4: packet.target_protocol_addr().try_into().ok()?,
    })
}

/// Says on behalf of `mac` that it has the address asked for, with the VLAN
/// tags of the request.
fn compose(frame: &[u8], header: &Header, request: &ArpEthIpv4Packet, mac: MacAddr) -> Answer {
    let reply = ArpEthIpv4Packet {
        operation: ArpOperation::REPLY,
        sender_mac: mac.octets(),
        sender_ipv4: request.target_ipv4,
        target_mac: request.sender_mac,
        target_ipv4: request.sender_ipv4,
    };
    let tags_and_type = frame
        .get(2 * ethernet::ADDRESS..header.len)
        .unwrap_or_default();
    let mut answer = Answer {
        bytes: [0; Answer::LONGEST],
        len: 0,
    };
    let (destination, source) = (header.source.octets(), mac.octets());
    for part in [&destination[..], &source, tags_and_type, &reply.to_bytes()] {
        let end = answer.len + part.len();
        if let Some(to) = answer.bytes.get_mut(answer.len..end) {
            to.copy_from_slice(part);
            answer.len = end;
        }
    }
    answer
}

#[cfg(test)]
mod tests;
