//! DHCP messages in and out of Ethernet frames.

use bytes::Bytes;
use etherparse::{
    Ipv4HeaderSlice, LaxNetSlice, LaxSlicedPacket, LinkSlice, PacketBuilder, TransportSlice,
    UdpSlice,
};
use pnet_base::MacAddr;
use std::net::Ipv4Addr;
use vmlan_dataplane::hairpin::dhcp::{CLIENT_PORT, SERVER_PORT};
use vmlan_dhcp::{Destination, Reply};

/// Hops that a reply may take: it stays in the segment.
const TTL: u8 = 64;

/// A message that came from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received<'a> {
    /// Who sent the frame; the message may name another.
    pub(super) source: MacAddr,
    /// The IPv4 destination.
    pub(super) destination: Ipv4Addr,
    /// The UDP payload.
    pub(super) message: &'a [u8],
    /// Whether the checksums of IP and UDP hold.
    pub(super) is_intact: bool,
}

impl Received<'_> {
    /// The hardware address of the client, as its message says (field `chaddr`,
    /// RFC 2131 §2); `None` in one that is too short.
    pub(super) fn client(&self) -> Option<MacAddr> {
        let octets: [u8; 6] = self.message.get(28..34)?.try_into().ok()?;
        Some(octets.into())
    }
}

/// Finds the message in an Ethernet frame; `None` if there is none, or only a
/// part of one.
pub(super) fn unwrap(frame: &[u8]) -> Option<Received<'_>> {
    let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link else {
        return None;
    };
    let [a, b, c, d, e, f] = ethernet.source();
    match (packet.net, packet.transport) {
        (Some(LaxNetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp)))
            if udp.destination_port() == SERVER_PORT && !ip.payload().incomplete =>
        {
            Some(Received {
                source: MacAddr(a, b, c, d, e, f),
                destination: ip.header().destination_addr(),
                message: udp.payload(),
                is_intact: is_intact(ip.header(), &udp),
            })
        }
        _ => None,
    }
}

/// Whether the checksums hold. A sender may do without that of UDP and leave 0
/// there (RFC 768).
fn is_intact(ip: Ipv4HeaderSlice<'_>, udp: &UdpSlice<'_>) -> bool {
    let header = ip.to_header();
    let calculated = || {
        let udp_header = udp.to_header();
        udp_header.calc_checksum_ipv4(&header, udp.payload()).ok()
    };
    header.calc_header_checksum() == header.header_checksum
        && (udp.checksum() == 0 || calculated() == Some(udp.checksum()))
}

/// The Ethernet frame of a reply to the one in `request`, its checksums filled
/// in.
pub(super) fn wrap(reply: &Reply, request: &[u8], mac: MacAddr) -> Option<Bytes> {
    let (address, port, to) = match reply.destination {
        Destination::Broadcast => (Ipv4Addr::BROADCAST, CLIENT_PORT, MacAddr::broadcast()),
        Destination::Unicast { address, mac } => (address, CLIENT_PORT, mac),
        // The way back to an agent is the way that its message came.
        Destination::Relay { address } => (address, SERVER_PORT, unwrap(request)?.source),
    };
    let builder = PacketBuilder::ethernet2(mac.octets(), to.octets())
        .ipv4(reply.source.octets(), address.octets(), TTL)
        .udp(SERVER_PORT, port);
    let mut frame = Vec::with_capacity(builder.size(reply.message.len()));
    builder.write(&mut frame, &reply.message).ok()?;
    Some(frame.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::NetSlice;

    const MAC: MacAddr = MacAddr(0x52, 0x54, 0, 0, 0, 9);

    fn frame(to: u16, message: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(MAC.octets(), [0xff; 6])
            .ipv4([0; 4], [255; 4], 64)
            .udp(68, to)
            .write(&mut frame, message)
            .unwrap();
        frame
    }

    #[test]
    fn a_message_is_found_in_its_frame() {
        let frame = frame(67, b"hello");
        let received = unwrap(&frame).unwrap();
        assert_eq!(received.message, b"hello");
        assert_eq!(received.source, MAC);
        assert_eq!(received.destination, Ipv4Addr::BROADCAST);
        assert!(received.is_intact);
    }

    #[test]
    fn one_wrong_byte_anywhere_in_the_packet_is_seen() {
        let whole = frame(67, b"hello");
        for at in 14..whole.len() {
            let mut frame = whole.clone();
            frame[at] ^= 0x10;
            let intact = unwrap(&frame).is_some_and(|received| received.is_intact);
            assert!(!intact, "byte {at}");
        }
    }

    #[test]
    fn a_sender_may_do_without_the_checksum_of_udp() {
        let mut frame = frame(67, b"hello");
        frame[40..42].fill(0);
        assert!(unwrap(&frame).unwrap().is_intact);
    }

    #[test]
    fn what_is_not_whole_or_not_for_the_server_is_passed_over() {
        assert_eq!(unwrap(&frame(68, b"hello")), None);
        let whole = frame(67, b"hello");
        for len in 0..whole.len() {
            assert_eq!(unwrap(&whole[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn a_reply_is_addressed_and_its_checksums_hold() {
        let reply = Reply {
            message: vec![7; 301],
            source: Ipv4Addr::new(192, 168, 122, 1),
            destination: Destination::Unicast {
                address: Ipv4Addr::new(192, 168, 122, 9),
                mac: MAC,
            },
        };
        let own = MacAddr(0x52, 0x54, 0, 0, 0, 1);
        let frame = wrap(&reply, &[], own).unwrap();
        let packet = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) =
            (packet.net, packet.transport)
        else {
            panic!("not UDP over IPv4")
        };
        assert_eq!(ip.header().destination(), [192, 168, 122, 9]);
        assert_eq!(udp.payload(), [7; 301]);
        assert_ne!(udp.checksum(), 0);
        let header = ip.header().to_header();
        let want = udp
            .to_header()
            .calc_checksum_ipv4(&header, udp.payload())
            .unwrap();
        assert_eq!(udp.checksum(), want);
    }

    #[test]
    fn a_relay_agent_is_answered_at_its_port_by_the_way_it_came() {
        let reply = Reply {
            message: vec![7; 301],
            source: Ipv4Addr::new(192, 168, 122, 1),
            destination: Destination::Relay {
                address: Ipv4Addr::new(10, 0, 0, 1),
            },
        };
        let own = MacAddr(0x52, 0x54, 0, 0, 0, 1);
        let answer = wrap(&reply, &frame(67, b"hello"), own).unwrap();
        assert_eq!(answer[..6], MAC.octets());
        let received = unwrap(&answer).unwrap();
        assert_eq!(received.destination, Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(received.message, [7; 301]);
        assert_eq!(wrap(&reply, b"no frame", own), None);
    }
}
