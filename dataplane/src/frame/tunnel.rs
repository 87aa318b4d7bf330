//! Tunnels: an IP packet, with or without an Ethernet header, in another.
//!
//! Linux puts a super-frame into a tunnel whole and leaves it to be cut at the
//! very end. What comes with it by AF_PACKET says where the inner transport
//! header is, and nothing of the tunnel; which one it is cannot be told from a
//! UDP port, as those are a matter of configuration. So the inner IP header is
//! searched for from behind: it is the one that ends where the inner transport
//! header starts, and whose packet ends where the frame does. Whatever stands
//! between (VXLAN, Geneve, MPLS, Ethernet) is the same in each segment.

use super::segment::MAX_HEADERS;
use super::transport::{IpVersion, Transport, UDP, UDP_CHECKSUM};

/// Protocol numbers of IPv4 and IPv6 in IP (RFC 2003, RFC 2473), and of GRE
/// (RFC 2784).
const IPV4: u8 = 4;
const IPV6: u8 = 41;
const GRE: u8 = 47;

/// The header behind the outer IP header: what has to be written anew for each
/// segment. `checksum` says whether the tunnel has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// UDP: VXLAN, Geneve, GUE and their like. Its length, and its checksum
    /// unless that is 0, for none.
    Udp {
        /// Whether there is one.
        checksum: bool,
    },
    /// GRE: its checksum, if it has the field.
    Gre {
        /// Whether there is one.
        checksum: bool,
    },
    /// None: the inner IP header follows.
    Ip,
}

impl Carrier {
    /// What stands behind the outer headers of `frame`, and its length in bytes.
    ///
    /// `None` when it carries no packets, and for GRE with sequence numbers or
    /// of another version than 0: nobody may send a super-frame by it, as each
    /// segment would need a number.
    #[must_use]
    pub fn read(frame: &[u8], outer: &Transport) -> Option<(Self, usize)> {
        const CHECKSUM: u8 = 0x80;
        const KEY: u8 = 0x20;

        let header = frame.get(outer.start..)?;
        match outer.protocol {
            UDP => {
                let &[.., c0, c1] = header.first_chunk::<{ UDP_CHECKSUM + 2 }>()?;
                let checksum = [c0, c1] != [0, 0];
                Some((Self::Udp { checksum }, UDP_CHECKSUM + 2))
            }
            GRE => {
                let &[flags, 0, ..] = header.first_chunk::<4>()? else {
                    return None;
                };
                let checksum = flags & CHECKSUM != 0;
                let len = 4 + 4 * usize::from(checksum) + 4 * usize::from(flags & KEY != 0);
                let known = flags & !(CHECKSUM | KEY) == 0 && len <= header.len();
                known.then_some((Self::Gre { checksum }, len))
            }
            IPV4 | IPV6 => Some((Self::Ip, 0)),
            _ => None,
        }
    }
}

/// The packet inside the tunnel packet `frame`, whose own headers are `outer`,
/// that has a transport header of `protocol` at `start`.
///
/// `None` when there is no such packet, or more than [`MAX_HEADERS`] bytes in
/// front of it. Of tunnels in tunnels the headers between are not seen; Linux
/// leaves no super-frame uncut in those.
#[must_use]
#[cold]
pub fn inner(frame: &[u8], outer: &Transport, start: usize, protocol: u8) -> Option<Transport> {
    let (carrier, len) = Carrier::read(frame, outer)?;
    let first = outer.start + len;
    // The outer checksum is summed in words of 16 bits.
    if !(first..=MAX_HEADERS).contains(&start) || !(start - outer.start).is_multiple_of(2) {
        return None;
    }
    // IPv4 headers are 4 bytes times 5 to 15 long, IPv6 headers 40 bytes and
    // extensions in units of 8.
    let ipv4 = (20..=60).step_by(4).map(|len| (IpVersion::V4, len));
    let ipv6 = (40..=MAX_HEADERS)
        .step_by(8)
        .map(|len| (IpVersion::V6, len));
    ipv4.chain(ipv6)
        .filter_map(|(version, len)| {
            let network = start.checked_sub(len)?;
            let is_there = match carrier {
                Carrier::Ip => network == first,
                _ => network >= first,
            };
            let at = is_there.then(|| Transport::at(frame, network))??;
            (at.version == version).then_some(at)
        })
        .find(|at| at.start == start && at.protocol == protocol && at.fills(frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::transport::TCP;

    /// IPv4 with `carrier` behind it, then IPv4 with TCP of 4 payload bytes.
    fn tunnelled(protocol: u8, carrier: &[u8]) -> (Vec<u8>, usize) {
        let mut frame = vec![0; 14 + 20];
        (frame[12], frame[14], frame[23]) = (8, 0x45, protocol);
        frame.extend(carrier);
        let inner = frame.len();
        frame.resize(inner + 20 + 20 + 4, 0);
        (frame[inner], frame[inner + 3], frame[inner + 9]) = (0x45, 44, TCP);
        (frame, inner)
    }

    fn found(frame: &[u8], start: usize) -> Option<usize> {
        let outer = Transport::locate(frame)?;
        inner(frame, &outer, start, TCP).map(|at| at.network)
    }

    #[test]
    fn the_packet_inside_starts_where_its_headers_lead_to_the_checksum() {
        for (protocol, carrier) in [
            (IPV4, &[][..]),
            (GRE, &[0, 0, 8, 0]),
            (GRE, &[0xa0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            (UDP, &[0; 8 + 8 + 14]),
        ] {
            let (frame, at) = tunnelled(protocol, carrier);
            assert_eq!(found(&frame, at + 20), Some(at));
            assert_eq!(found(&frame, at + 24), None);
            assert_eq!(found(&frame, at + 16), None);
            assert_eq!(found(&frame[..frame.len() - 1], at + 20), None);
        }
    }

    #[test]
    fn what_carries_no_super_frame_is_not_looked_into() {
        for (protocol, carrier) in [
            // GRE with sequence numbers, with a route, of version 1.
            (GRE, &[0x10, 0, 8, 0, 0, 0, 0, 1][..]),
            (GRE, &[0x40, 0, 8, 0, 0, 0, 0, 0]),
            (GRE, &[0, 1, 8, 0]),
            // IP in IP with something between.
            (IPV4, &[0; 8]),
            // UDP with an odd number of bytes between.
            (UDP, &[0; 8 + 7]),
            (TCP, &[0; 20]),
        ] {
            let (frame, at) = tunnelled(protocol, carrier);
            assert_eq!(found(&frame, at + 20), None);
        }
    }
}
