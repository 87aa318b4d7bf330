//! Which frames are questions to the gateway's name server (RFC 1035 §4.2.1),
//! where the switch itself has that address.

use crate::frame::ethernet::{self, Header};
use etherparse::{IpNumber, Ipv4HeaderSlice, UdpHeaderSlice};
use std::net::Ipv4Addr;

/// The port of a name server.
pub const PORT: u16 = 53;

/// Whether `frame` is a whole UDP datagram to port 53 of `server`.
#[must_use]
pub fn is_question(frame: &[u8], header: &Header, server: Ipv4Addr) -> bool {
    let udp = || {
        let packet = frame.get(header.len..)?;
        let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
        let whole = ip.fragments_offset().value() == 0 && !ip.more_fragments();
        let asks = ip.protocol() == IpNumber::UDP && ip.destination_addr() == server;
        let rest = packet.get(ip.slice().len()..)?;
        (whole && asks).then(|| UdpHeaderSlice::from_slice(rest).ok())?
    };
    header.ethertype == ethernet::IPV4 && udp().is_some_and(|udp| udp.destination_port() == PORT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn frame(to: Ipv4Addr, port: u16) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([10, 0, 0, 9], to.octets(), 64)
            .udp(4000, port)
            .write(&mut frame, b"question")
            .unwrap();
        frame
    }

    fn asks(frame: &[u8]) -> bool {
        is_question(frame, &Header::parse(frame).unwrap(), SERVER)
    }

    #[test]
    fn a_question_is_told_by_its_port_and_address() {
        assert!(asks(&frame(SERVER, 53)));
        assert!(!asks(&frame(SERVER, 54)));
        assert!(!asks(&frame(Ipv4Addr::new(10, 0, 0, 2), 53)));
    }

    #[test]
    fn a_fragment_or_what_is_cut_short_is_none() {
        let whole = frame(SERVER, 53);
        for len in 14..14 + 28 {
            assert!(!asks(&whole[..len]), "{len} bytes");
        }
        let mut first = whole;
        first[14 + 6] = 0x20;
        assert!(!asks(&first));
    }
}
