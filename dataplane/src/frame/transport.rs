//! Where the transport header of a frame stands.

use super::ethernet::{self, Header};

/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;

/// Where TCP has its checksum, in bytes from its header (RFC 9293 §3.1).
pub const TCP_CHECKSUM: usize = 16;
/// Where UDP has its checksum, in bytes from its header (RFC 768).
pub const UDP_CHECKSUM: usize = 6;

/// Bytes of the least TCP header and of the UDP header.
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// Bytes of an IPv6 header without extensions, and of the least IPv4 header
/// (RFC 8200 §3, RFC 791 §3.1).
const IPV6_HEADER: usize = 40;
const IPV4_HEADER: usize = 20;

/// Extension headers walked at most. RFC 8200 §4.1 recommends no more than one
/// each of hop-by-hop and routing and two of destination options.
const MAX_EXTENSIONS: usize = 8;

/// Version of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpVersion {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

/// The headers of an IP packet in an Ethernet frame, as positions in bytes from
/// the start of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transport {
    /// Which IP header it is.
    pub version: IpVersion,
    /// Where the IP header starts.
    pub network: usize,
    /// Where the transport header starts; at most the frame's length.
    pub start: usize,
    /// Its protocol number ([`TCP`], [`UDP`], …).
    pub protocol: u8,
}

impl Transport {
    /// Walks the headers of `frame`: VLAN tags, then IPv4 with its options, or
    /// IPv6 with its hop-by-hop, destination and routing headers.
    ///
    /// `None` when it is not IP, is a fragment (only the first of which has a
    /// transport header), ends before its headers do, or has a routing header
    /// with segments left: the checksum's pseudo-header holds the final
    /// destination then, which is not the one in the IPv6 header (RFC 8200
    /// §8.1).
    ///
    /// The length fields of the IP header are not looked at.
    #[must_use]
    pub fn locate(frame: &[u8]) -> Option<Self> {
        let ethernet = Header::parse(frame)?;
        match ethernet.ethertype {
            ethernet::IPV4 => Self::behind_ipv4(frame, ethernet.len),
            ethernet::IPV6 => Self::behind_ipv6(frame, ethernet.len),
            _ => None,
        }
    }

    /// Where the payload behind the TCP or UDP header starts, at most the
    /// length of `frame`. `None` for other protocols and when the header is cut
    /// short.
    #[must_use]
    pub fn payload(&self, frame: &[u8]) -> Option<usize> {
        let header = frame.get(self.start..)?;
        let (len, least) = match self.protocol {
            TCP => {
                let &[.., offset, _, _, _, _, _, _, _] = header.first_chunk::<TCP_HEADER>()?;
                // In units of 4 bytes.
                (usize::from(offset >> 4) * 4, TCP_HEADER)
            }
            UDP => (UDP_HEADER, UDP_HEADER),
            _ => return None,
        };
        (least..=header.len())
            .contains(&len)
            .then_some(self.start + len)
    }

    fn behind_ipv4(frame: &[u8], network: usize) -> Option<Self> {
        let &[version_ihl, _, _, _, _, _, f0, f1, _, protocol, ..] =
            frame.get(network..)?.first_chunk::<IPV4_HEADER>()?;
        let header_len = usize::from(version_ihl & 0x0f) * 4;
        // Fragment offset and "more fragments".
        let fragment = u16::from_be_bytes([f0, f1]) & 0x3fff;
        let start = network + header_len;
        (version_ihl >> 4 == 4
            && header_len >= IPV4_HEADER
            && fragment == 0
            && start <= frame.len())
        .then_some(Self {
            version: IpVersion::V4,
            network,
            start,
            protocol,
        })
    }

    fn behind_ipv6(frame: &[u8], network: usize) -> Option<Self> {
        const HOP_BY_HOP: u8 = 0;
        const ROUTING: u8 = 43;
        const DESTINATION: u8 = 60;

        let &[version, _, _, _, _, _, first, ..] =
            frame.get(network..)?.first_chunk::<IPV6_HEADER>()?;
        if version >> 4 != 6 {
            return None;
        }
        let mut protocol = first;
        let mut start = network + IPV6_HEADER;
        for _ in 0..MAX_EXTENSIONS {
            if !matches!(protocol, HOP_BY_HOP | ROUTING | DESTINATION) {
                break;
            }
            let &[next, len, _, segments_left] = frame.get(start..)?.first_chunk::<4>()?;
            if protocol == ROUTING && segments_left != 0 {
                return None;
            }
            protocol = next;
            // In units of 8 bytes, the first not counted.
            start += (usize::from(len) + 1) * 8;
        }
        (start <= frame.len()).then_some(Self {
            version: IpVersion::V6,
            network,
            start,
            protocol,
        })
    }
}
