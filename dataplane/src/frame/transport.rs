//! Where the transport header of a frame stands.

use super::ethernet::{self, Header};

/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of SCTP.
pub const SCTP: u8 = 132;

/// Where TCP has its checksum, in bytes from its header (RFC 9293 §3.1).
pub const TCP_CHECKSUM: usize = 16;
/// Where UDP has its checksum, in bytes from its header (RFC 768).
pub const UDP_CHECKSUM: usize = 6;
/// Where SCTP has its CRC32c, in bytes from its header (RFC 9260 §3.1).
pub const SCTP_CHECKSUM: usize = 8;

/// Bytes of the least TCP header and of the UDP header.
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// Bytes of an IPv6 header without extensions, and of the least IPv4 header
/// (RFC 8200 §3, RFC 791 §3.1).
const IPV6_HEADER: usize = 40;
const IPV4_HEADER: usize = 20;

/// Where the two have their length fields.
const IPV4_TOTAL_LENGTH: usize = 2;
const IPV6_PAYLOAD_LENGTH: usize = 4;

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
    /// `None` when it is not IP, is an IPv4 fragment (only the first has a
    /// transport header), ends before its headers do, or has a routing header
    /// with segments left: the checksum's pseudo-header holds the final
    /// destination then, which is not the one in the IPv6 header (RFC 8200
    /// §8.1).
    ///
    /// Any other IPv6 header, a fragment header among them, is left standing as
    /// the `protocol`. The length fields of the IP header are not looked at.
    #[must_use]
    #[inline]
    pub fn locate(frame: &[u8]) -> Option<Self> {
        let ethernet = Header::parse(frame)?;
        match ethernet.ethertype {
            ethernet::IPV4 => Self::behind_ipv4(frame, ethernet.len),
            ethernet::IPV6 => Self::behind_ipv6(frame, ethernet.len),
            _ => None,
        }
    }

    /// Walks the headers of the IP packet that starts at `network`, as
    /// [`Transport::locate`] does.
    #[must_use]
    pub fn at(frame: &[u8], network: usize) -> Option<Self> {
        match frame.get(network)? >> 4 {
            4 => Self::behind_ipv4(frame, network),
            6 => Self::behind_ipv6(frame, network),
            _ => None,
        }
    }

    /// Whether the IP header says that its packet ends where `frame` does.
    #[must_use]
    pub fn fills(&self, frame: &[u8]) -> bool {
        let (field, not_counted) = match self.version {
            IpVersion::V4 => (IPV4_TOTAL_LENGTH, 0),
            IpVersion::V6 => (IPV6_PAYLOAD_LENGTH, IPV6_HEADER),
        };
        let length = frame
            .get(self.network + field..)
            .and_then(<[u8]>::first_chunk);
        length.is_some_and(|length| {
            self.network + not_counted + usize::from(u16::from_be_bytes(*length)) == frame.len()
        })
    }

    /// Where the payload behind the TCP or UDP header starts, at most the
    /// length of `frame`. `None` for other protocols and when the header is cut
    /// short.
    #[must_use]
    #[inline]
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

    #[inline]
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Ethernet and IPv6 with `first` as next header, then `rest`.
    fn ipv6(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, first]);
        frame.resize(54, 0);
        frame.extend(rest);
        frame
    }

    /// An extension header of 8 bytes in front of `next`.
    fn extension(next: u8) -> [u8; 8] {
        [next, 0, 0, 0, 0, 0, 0, 0]
    }

    fn ipv4(version_ihl: u8, len: usize) -> Vec<u8> {
        let mut frame = vec![0; 14 + len];
        (frame[12], frame[14], frame[23]) = (8, version_ihl, UDP);
        frame
    }

    #[test]
    fn ipv4_options_are_stepped_over() {
        let at = Transport::locate(&ipv4(0x46, 32)).unwrap();
        assert_eq!((at.network, at.start, at.protocol), (14, 14 + 24, UDP));
    }

    #[test]
    fn an_ipv4_header_of_wrong_version_or_length_is_none() {
        for (version_ihl, len) in [(0x65, 40), (0x44, 40), (0x46, 23), (0x45, 19)] {
            assert_eq!(Transport::locate(&ipv4(version_ihl, len)), None);
        }
    }

    #[test]
    fn ipv6_extensions_are_stepped_over() {
        let chain = [extension(43), extension(60), extension(TCP), [0; 8]].concat();
        let at = Transport::locate(&ipv6(0, &chain)).unwrap();
        assert_eq!((at.start, at.protocol), (54 + 24, TCP));
    }

    #[test]
    fn an_ipv6_fragment_is_not_looked_into() {
        let at = Transport::locate(&ipv6(44, &extension(TCP))).unwrap();
        assert_eq!((at.start, at.protocol), (54, 44));
        assert_eq!(at.payload(&ipv6(44, &[0x50; 20])), None);
    }

    #[test]
    fn a_packet_still_on_its_source_route_is_none() {
        let routing = [TCP, 0, 2, 1, 0, 0, 0, 0];
        assert_eq!(Transport::locate(&ipv6(43, &routing)), None);
    }

    #[test]
    fn extensions_without_end_are_walked_to_a_bound() {
        let chain = [extension(60); 100].concat();
        let at = Transport::locate(&ipv6(60, &chain)).unwrap();
        assert_eq!(at.start, 54 + 8 * MAX_EXTENSIONS);
        assert_eq!(at.protocol, 60);
    }

    #[test]
    fn an_extension_past_the_end_is_none() {
        assert_eq!(
            Transport::locate(&ipv6(60, &[TCP, 1, 0, 0, 0, 0, 0, 0])),
            None
        );
        assert_eq!(Transport::locate(&ipv6(60, &[TCP, 0])), None);
    }

    #[test]
    fn a_tcp_payload_starts_behind_the_options_within_the_frame() {
        let with_offset = |words: u8| {
            let mut header = [0; 28];
            header[12] = words << 4;
            let frame = ipv6(TCP, &header);
            Transport::locate(&frame).unwrap().payload(&frame)
        };
        assert_eq!(with_offset(7), Some(54 + 28));
        assert_eq!(with_offset(8), None);
        assert_eq!(with_offset(4), None);
    }
}
