//! A second opinion on frames: etherparse reads them, and checksums are summed
//! the plainest way there is.

use anyhow::{Result, ensure};
use etherparse::{
    EtherType, LinkExtSlice, NetSlice, SlicedPacket, TcpSlice, TransportSlice, UdpSlice,
};

/// The ones' complement sum of `bytes` (RFC 1071).
#[must_use]
pub fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(u16::from_be_bytes([high, 0])),
        _ => 0,
    });
    fold(words.sum())
}

fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum & 0xffff) + (sum >> 16),
        }
    }
}

/// The sum of the pseudo-header of `len` bytes of `protocol` (RFC 9293 §3.1,
/// RFC 8200 §8.1): what stands in a checksum field that is left open.
#[must_use]
pub fn pseudo_header(addresses: &[u8], protocol: u8, len: usize) -> u16 {
    fold(u64::from(sum(addresses)) + u64::from(protocol) + len as u64)
}

/// The CRC32c of `bytes` as SCTP sends it (RFC 9260 appendix A), bit by bit.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> [u8; 4] {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))
        })
    });
    (!crc).to_le_bytes()
}

/// A frame's TCP or UDP, as etherparse reads it: whole, not a fragment, with
/// lengths that agree.
#[derive(Debug)]
pub struct Packet<'a> {
    net: NetSlice<'a>,
    transport: TransportSlice<'a>,
}

impl<'a> Packet<'a> {
    /// Reads `frame`; `None` where it is no such packet.
    #[must_use]
    pub fn read(frame: &'a [u8]) -> Option<Self> {
        Self::of(SlicedPacket::from_ethernet(frame).ok()?)
    }

    /// Reads `packet`, which starts with its IP header.
    #[must_use]
    pub fn read_ip(packet: &'a [u8]) -> Option<Self> {
        Self::of(SlicedPacket::from_ip(packet).ok()?)
    }

    fn of(sliced: SlicedPacket<'a>) -> Option<Self> {
        let (net, transport) = (sliced.net?, sliced.transport?);
        let whole = match &transport {
            TransportSlice::Tcp(_) => true,
            TransportSlice::Udp(udp) => usize::from(udp.length()) == udp.slice().len(),
            _ => false,
        };
        whole.then_some(Self { net, transport })
    }

    /// Whether this is what a sender leaves that says where the checksum of
    /// `frame` is to be put: it is there, covers the rest of the frame, and
    /// holds the pseudo-header's sum.
    #[must_use]
    pub fn left_open(&self, frame: &[u8], start: usize, offset: usize) -> bool {
        let (slice, protocol, field, value) = match &self.transport {
            TransportSlice::Tcp(tcp) => (tcp.slice(), 6, 16, tcp.checksum()),
            TransportSlice::Udp(udp) => (udp.slice(), 17, 6, udp.checksum()),
            _ => return false,
        };
        let sum = match &self.net {
            NetSlice::Ipv4(ip) => {
                let header = ip.header();
                let addresses = [header.source(), header.destination()].concat();
                pseudo_header(&addresses, protocol, slice.len())
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header();
                let addresses = [header.source(), header.destination()].concat();
                pseudo_header(&addresses, protocol, slice.len())
            }
            NetSlice::Arp(_) => return false,
        };
        let rest = frame.get(start..);
        rest.is_some_and(|rest| std::ptr::eq(rest, slice)) && offset == field && value == sum
    }

    /// Whether the checksums of both layers are right.
    ///
    /// # Errors
    /// One is not.
    pub fn verify(&self) -> Result<()> {
        self.verify_network()?;
        self.verify_transport()
    }

    /// Whether the checksums of both layers are right, of a tunnel's packet:
    /// that of UDP may be 0, for none (RFC 7348 §5).
    ///
    /// # Errors
    /// One is not.
    pub fn verify_tunnel(&self) -> Result<()> {
        self.verify_network()?;
        match &self.transport {
            TransportSlice::Udp(udp) if udp.checksum() == 0 => Ok(()),
            _ => self.verify_transport(),
        }
    }

    fn verify_network(&self) -> Result<()> {
        if let NetSlice::Ipv4(ip) = &self.net {
            // etherparse knows no reserved flag, so it would sum without it.
            ensure!(
                sum(ip.header().slice()) == 0xffff,
                "the IPv4 header checksum is wrong"
            );
        }
        Ok(())
    }

    /// Whether the TCP or UDP checksum is right.
    ///
    /// # Errors
    /// It is not.
    pub fn verify_transport(&self) -> Result<()> {
        let (found, right) = match &self.transport {
            TransportSlice::Tcp(tcp) => (tcp.checksum(), self.tcp_checksum(tcp)?),
            TransportSlice::Udp(udp) => {
                ensure!(
                    udp.checksum() != 0,
                    "the UDP checksum says that there is none"
                );
                (udp.checksum(), self.udp_checksum(udp)?)
            }
            _ => return Ok(()),
        };
        // 0 and all ones are the same number in ones' complement.
        ensure!(
            found % 0xffff == right % 0xffff,
            "the transport checksum is {found:#06x}, not {right:#06x}"
        );
        Ok(())
    }

    /// The TCP header, if it is TCP.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpSlice<'a>> {
        match &self.transport {
            TransportSlice::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    fn tcp_checksum(&self, tcp: &TcpSlice<'_>) -> Result<u16> {
        Ok(match &self.net {
            NetSlice::Ipv4(ip) => {
                tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination())?
            }
            NetSlice::Ipv6(ip) => {
                tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination())?
            }
            NetSlice::Arp(_) => 0,
        })
    }

    fn udp_checksum(&self, udp: &UdpSlice<'_>) -> Result<u16> {
        let (header, payload) = (udp.to_header(), udp.payload());
        Ok(match &self.net {
            NetSlice::Ipv4(ip) => {
                let ip = ip.header();
                header.calc_checksum_ipv4_raw(ip.source(), ip.destination(), payload)?
            }
            NetSlice::Ipv6(ip) => {
                let ip = ip.header();
                header.calc_checksum_ipv6_raw(ip.source(), ip.destination(), payload)?
            }
            NetSlice::Arp(_) => 0,
        })
    }
}

/// Whether `frame` is a DHCP message, behind no more than the two tags that a
/// switch looks behind.
#[must_use]
pub fn is_dhcp(frame: &[u8]) -> bool {
    let Ok(sliced) = SlicedPacket::from_ethernet(frame) else {
        return false;
    };
    let tags_known = sliced.link_exts.len() <= 2
        && !frame
            .windows(2)
            .skip(12)
            .step_by(4)
            .take(3)
            .any(|t| t == [0x91, 0])
        && sliced
            .link_exts
            .iter()
            .all(|ext| matches!(ext, LinkExtSlice::Vlan(_)));
    let (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Udp(udp))) = (sliced.net, sliced.transport)
    else {
        return false;
    };
    tags_known && matches!(udp.destination_port(), 67 | 68)
}

/// Whether `frame` is an ARP reply to `asker`.
#[must_use]
pub fn is_arp_reply_to(frame: &[u8], asker: &[u8]) -> bool {
    let Ok(sliced) = SlicedPacket::from_ethernet(frame) else {
        return false;
    };
    let Some(NetSlice::Arp(arp)) = sliced.net else {
        return false;
    };
    frame.get(..6) == Some(asker)
        && arp.target_hw_addr() == asker
        && arp.proto_addr_type() == EtherType::IPV4
        && arp.operation() == etherparse::ArpOperation::REPLY
}
