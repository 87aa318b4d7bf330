//! Which frames are DHCP messages (RFC 2131 §4.1). Only the ports are looked
//! at: what stands in a message is the server's business.

use crate::frame::ethernet::{self, Header};
use etherparse::{IpNumber, Ipv4HeaderSlice, UdpHeaderSlice};
use std::net::Ipv4Addr;

/// Port of a DHCP server.
pub const SERVER_PORT: u16 = 67;
/// Port of a DHCP client.
pub const CLIENT_PORT: u16 = 68;

/// Whom a DHCP message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// A server (or a relay agent).
    ToServer {
        /// Where IP would take it.
        address: Ipv4Addr,
    },
    /// A client.
    ToClient,
}

/// Tells a DHCP message by its UDP ports. A later fragment has none, and what
/// is no DHCP message without its first fragment is no threat.
#[must_use]
#[inline]
pub fn direction(frame: &[u8], header: &Header) -> Option<Direction> {
    if header.ethertype != ethernet::IPV4 {
        return None;
    }
    let packet = frame.get(header.len..)?;
    // The protocol first: one byte settles nearly every frame.
    if packet.get(9) != Some(&IpNumber::UDP.0) {
        return None;
    }
    let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
    if ip.fragments_offset().value() != 0 {
        return None;
    }
    let udp = UdpHeaderSlice::from_slice(packet.get(ip.slice().len()..)?).ok()?;
    match udp.destination_port() {
        SERVER_PORT => Some(Direction::ToServer {
            address: ip.destination_addr(),
        }),
        CLIENT_PORT => Some(Direction::ToClient),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    const TO_SERVER: Direction = Direction::ToServer {
        address: Ipv4Addr::BROADCAST,
    };

    fn udp_to(port: u16) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [0xff; 6])
            .ipv4([0; 4], [255; 4], 64)
            .udp(68, port)
            .write(&mut frame, b"message")
            .unwrap();
        frame
    }

    fn told(frame: &[u8]) -> Option<Direction> {
        direction(frame, &Header::parse(frame).unwrap())
    }

    #[test]
    fn a_message_is_told_by_its_destination_port() {
        assert_eq!(told(&udp_to(67)), Some(TO_SERVER));
        assert_eq!(told(&udp_to(68)), Some(Direction::ToClient));
        assert_eq!(told(&udp_to(53)), None);
    }

    #[test]
    fn a_later_fragment_is_no_message() {
        let mut frame = udp_to(67);
        frame[14 + 7] = 1;
        assert_eq!(told(&frame), None);
    }

    #[test]
    fn a_message_behind_a_vlan_tag_is_found() {
        let mut frame = udp_to(67);
        frame.splice(12..12, [0x81, 0, 0, 9]);
        assert_eq!(told(&frame), Some(TO_SERVER));
    }

    #[test]
    fn a_header_cut_short_is_no_message() {
        let frame = udp_to(67);
        for len in 14..14 + 28 {
            assert_eq!(told(&frame[..len]), None, "{len} bytes");
        }
    }
}
