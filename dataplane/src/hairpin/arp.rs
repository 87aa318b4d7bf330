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
//! probes for it ([`probe`]), and replies that claim it go to the responder
//! ([`claim`]).

use crate::MacAddr;
use crate::frame::ethernet::{self, Header};
use etherparse::{ArpEthIpv4Packet, ArpHardwareId, ArpOperation, ArpPacketSlice, EtherType};
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

/// What the switch knows of addresses.
#[derive(Debug, Default)]
pub struct ArpTable {
    gateway: Option<(Ipv4Addr, MacAddr)>,
    leases: HashMap<Ipv4Addr, MacAddr, RandomState>,
    probed: HashSet<Ipv4Addr, RandomState>,
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
    /// Sets the address that the switch itself answers for; `None` where the
    /// host's kernel does, or nobody.
    pub fn set_gateway(&mut self, gateway: Option<(Ipv4Addr, MacAddr)>) {
        self.gateway = gateway;
    }

    /// Notes who holds the lease of `address`.
    pub fn bind(&mut self, address: Ipv4Addr, mac: MacAddr) {
        self.leases.insert(address, mac);
    }

    /// Notes that the lease of `address` has ended.
    pub fn unbind(&mut self, address: Ipv4Addr) {
        self.leases.remove(&address);
    }

    /// Notes that a probe for `address` is under way.
    pub fn watch(&mut self, address: Ipv4Addr) {
        self.probed.insert(address);
    }

    /// Notes that the probe for `address` has ended.
    pub fn unwatch(&mut self, address: Ipv4Addr) {
        self.probed.remove(&address);
    }

    /// Whether `frame` claims an address that is being probed for.
    #[must_use]
    pub fn is_claim(&self, frame: &[u8], header: &Header) -> bool {
        !self.probed.is_empty()
            && claimed(frame, header).is_some_and(|(address, _)| self.probed.contains(&address))
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
        let mac = match self.gateway {
            Some((address, mac)) if address == target => mac,
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

/// The address that an ARP reply claims, and the hardware address that it is
/// said to be at; `None` for any other frame.
#[must_use]
pub fn claim(frame: &[u8]) -> Option<(Ipv4Addr, MacAddr)> {
    claimed(frame, &Header::parse(frame)?)
}

fn claimed(frame: &[u8], header: &Header) -> Option<(Ipv4Addr, MacAddr)> {
    let reply = packet(frame, header).filter(|p| p.operation == ArpOperation::REPLY)?;
    let [a, b, c, d, e, f] = reply.sender_mac;
    // Addresses that are probed for are of the untagged segment.
    (header.vid() == 0).then_some((reply.sender_ipv4.into(), MacAddr(a, b, c, d, e, f)))
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
mod tests {
    use super::*;
    use etherparse::{NetSlice, SlicedPacket};

    const GATEWAY: (Ipv4Addr, MacAddr) = (
        Ipv4Addr::new(192, 168, 122, 1),
        MacAddr(0x52, 0x54, 0, 0, 0, 1),
    );
    const LEASED: (Ipv4Addr, MacAddr) = (
        Ipv4Addr::new(192, 168, 122, 7),
        MacAddr(0x52, 0x54, 0, 0, 0, 7),
    );
    const ASKING: (Ipv4Addr, MacAddr) = (
        Ipv4Addr::new(192, 168, 122, 9),
        MacAddr(0x52, 0x54, 0, 0, 0, 9),
    );

    fn table() -> ArpTable {
        let mut table = ArpTable::default();
        table.set_gateway(Some(GATEWAY));
        table.bind(LEASED.0, LEASED.1);
        table
    }

    fn request_from(sender: (Ipv4Addr, MacAddr), target: Ipv4Addr) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend(sender.1.octets());
        frame.extend([8, 6]);
        let packet = ArpEthIpv4Packet {
            operation: ArpOperation::REQUEST,
            sender_mac: sender.1.octets(),
            sender_ipv4: sender.0.octets(),
            target_mac: [0; 6],
            target_ipv4: target.octets(),
        };
        frame.extend(packet.to_bytes());
        frame
    }

    fn ask(table: &ArpTable, frame: &[u8], reachable: bool) -> Option<Answer> {
        table.answer(frame, &Header::parse(frame).unwrap(), |_| reachable)
    }

    #[test]
    fn the_gateway_is_answered_for() {
        let answer = ask(&table(), &request_from(ASKING, GATEWAY.0), false).unwrap();
        let sliced = SlicedPacket::from_ethernet(answer.bytes()).unwrap();
        let Some(NetSlice::Arp(arp)) = sliced.net else {
            panic!("not ARP")
        };
        assert_eq!(arp.operation(), ArpOperation::REPLY);
        assert_eq!(arp.sender_hw_addr(), GATEWAY.1.octets());
        assert_eq!(arp.sender_protocol_addr(), GATEWAY.0.octets());
        assert_eq!(arp.target_hw_addr(), ASKING.1.octets());
        assert_eq!(arp.target_protocol_addr(), ASKING.0.octets());
        assert_eq!(answer.bytes()[..6], ASKING.1.octets());
        assert_eq!(answer.bytes()[6..12], GATEWAY.1.octets());
    }

    #[test]
    fn a_live_lease_is_answered_for_and_a_silent_one_is_not() {
        let frame = request_from(ASKING, LEASED.0);
        let answer = ask(&table(), &frame, true).unwrap();
        assert_eq!(answer.bytes()[6..12], LEASED.1.octets());
        assert_eq!(ask(&table(), &frame, false), None);
    }

    #[test]
    fn a_lease_that_ended_is_not_answered_for() {
        let mut table = table();
        table.unbind(LEASED.0);
        assert_eq!(ask(&table, &request_from(ASKING, LEASED.0), true), None);
    }

    #[test]
    fn a_probe_is_answered_for_anybody_but_the_holder() {
        let other = (Ipv4Addr::UNSPECIFIED, ASKING.1);
        let holder = (Ipv4Addr::UNSPECIFIED, LEASED.1);
        assert!(ask(&table(), &request_from(other, LEASED.0), true).is_some());
        assert_eq!(ask(&table(), &request_from(holder, LEASED.0), true), None);
    }

    #[test]
    fn an_announcement_is_not_answered() {
        let taking_over = (LEASED.0, ASKING.1);
        assert_eq!(
            ask(&table(), &request_from(taking_over, LEASED.0), true),
            None
        );
    }

    #[test]
    fn a_request_that_names_another_sender_is_not_answered() {
        let mut frame = request_from(ASKING, GATEWAY.0);
        frame[11] = 0xaa;
        assert_eq!(ask(&table(), &frame, true), None);
    }

    #[test]
    fn an_answer_carries_the_priority_of_the_request() {
        let mut frame = request_from(ASKING, GATEWAY.0);
        frame.splice(12..12, [0x81, 0, 0x60, 0]);
        let answer = ask(&table(), &frame, true).unwrap();
        assert_eq!(answer.bytes()[12..18], [0x81, 0, 0x60, 0, 8, 6]);
        assert_eq!(answer.bytes().len(), 18 + 28);
    }

    #[test]
    fn a_request_in_another_vlan_is_not_answered() {
        let mut frame = request_from(ASKING, GATEWAY.0);
        frame.splice(12..12, [0x81, 0, 0x60, 5]);
        assert_eq!(ask(&table(), &frame, true), None);
    }

    #[test]
    fn the_reply_to_a_probe_is_a_claim_while_the_probe_is_under_way() {
        let probe = probe(GATEWAY.1, LEASED.0);
        assert_eq!(claim(&probe), None, "it asks");
        let mut table = table();
        let reply = ask(&table, &probe, true).unwrap();
        let header = Header::parse(reply.bytes()).unwrap();
        assert_eq!(header.destination, GATEWAY.1);
        assert_eq!(claim(reply.bytes()), Some(LEASED));
        assert!(!table.is_claim(reply.bytes(), &header));
        table.watch(ASKING.0);
        assert!(!table.is_claim(reply.bytes(), &header));
        table.watch(LEASED.0);
        assert!(table.is_claim(reply.bytes(), &header));
        table.unwatch(LEASED.0);
        assert!(!table.is_claim(reply.bytes(), &header));
    }

    #[test]
    fn a_reply_in_another_vlan_claims_nothing() {
        let reply = ask(&table(), &probe(GATEWAY.1, LEASED.0), true).unwrap();
        let mut frame = reply.bytes().to_vec();
        frame.splice(12..12, [0x81, 0, 0x60, 0]);
        assert_eq!(claim(&frame), Some(LEASED), "only a priority");
        frame[15] = 5;
        assert_eq!(claim(&frame), None);
    }

    #[test]
    fn a_request_cut_short_is_not_answered() {
        let frame = request_from(ASKING, GATEWAY.0);
        for len in 14..frame.len() {
            assert_eq!(ask(&table(), &frame[..len], true), None, "{len} bytes");
        }
    }
}
