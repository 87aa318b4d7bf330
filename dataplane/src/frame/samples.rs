//! Random packets for the tests of this folder, and etherparse as the judge of
//! what was made of them.

use super::checksum;
use super::ethernet;
use super::offload::GsoKind;
use super::transport;
use super::vnet::{self, VnetHeader};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use std::ops::Range;

pub(super) mod tunnelled;

/// What a packet is made of.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    tags: Vec<u16>,
    ip: Ip,
    transport: Protocol,
    payload: Payload,
}

#[derive(Debug, Clone)]
enum Ip {
    V4 { option_words: u8, id: u16 },
    V6 { extensions: Vec<(u8, u8)> },
}

#[derive(Debug, Clone)]
enum Protocol {
    Tcp {
        option_words: u8,
        sequence: u32,
        flags: u8,
    },
    Udp,
}

#[derive(Debug, Clone)]
struct Payload {
    len: usize,
    seed: u64,
}

/// A packet with its checksum left open, as virtio wants it.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) frame: Vec<u8>,
    pub(super) kind: GsoKind,
    pub(super) network: usize,
    pub(super) transport: usize,
    pub(super) payload: usize,
}

fn ip() -> impl Strategy<Value = Ip> {
    prop_oneof![
        (0..=10_u8, any::<u16>()).prop_map(|(option_words, id)| Ip::V4 { option_words, id }),
        prop::collection::vec((prop_oneof![Just(43_u8), Just(60)], 0..4_u8), 0..4)
            .prop_flat_map(|rest| (any::<bool>(), Just(rest)))
            .prop_map(|(hop_by_hop, mut extensions)| {
                if hop_by_hop {
                    extensions.insert(0, (0, 0));
                }
                Ip::V6 { extensions }
            }),
    ]
}

fn tags() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..3)
}

/// Any TCP or UDP packet with a payload, of up to 65,000 bytes.
pub(super) fn packet() -> impl Strategy<Value = Packet> {
    let transport = prop_oneof![
        (0..=10_u8, any::<u32>(), any::<u8>()).prop_map(|(option_words, sequence, flags)| {
            Protocol::Tcp {
                option_words,
                sequence,
                flags,
            }
        }),
        Just(Protocol::Udp),
    ];
    let len = prop_oneof![8 => 1..5000_usize, 1 => 5000..65_000_usize];
    let payload = (len, any::<u64>()).prop_map(|(len, seed)| Payload { len, seed });
    (tags(), ip(), transport, payload).prop_map(|(tags, ip, transport, payload)| Packet {
        tags,
        ip,
        transport,
        payload,
    })
}

impl Ip {
    /// Appends the EtherType and the IP header of a packet of `behind` bytes of
    /// `protocol`. Gives the place of its addresses.
    fn write(&self, frame: &mut Vec<u8>, protocol: u8, behind: usize) -> Range<usize> {
        let addresses;
        match self {
            Self::V4 { option_words, id } => {
                frame.extend(ethernet::IPV4.to_be_bytes());
                let network = frame.len();
                let header_len = 20 + 4 * usize::from(*option_words);
                let total = u16::try_from(header_len + behind).unwrap();
                frame.extend([0x45 + option_words, 0]);
                frame.extend(total.to_be_bytes());
                frame.extend(id.to_be_bytes());
                frame.extend([0x40, 0, 64, protocol, 0, 0]);
                frame.extend([192, 168, 122, 2, 192, 168, 122, 3]);
                addresses = frame.len() - 8..frame.len();
                frame.resize(network + header_len, 1);
                let checksum = checksum::sum(&frame[network..]).checksum();
                frame[network + 10..][..2].copy_from_slice(&checksum.to_be_bytes());
            }
            Self::V6 { extensions } => {
                frame.extend(ethernet::IPV6.to_be_bytes());
                let extra: usize = extensions
                    .iter()
                    .map(|(_, len)| 8 + 8 * usize::from(*len))
                    .sum();
                let payload_len = u16::try_from(extra + behind).unwrap();
                let mut kinds: Vec<u8> = extensions.iter().map(|(kind, _)| *kind).collect();
                kinds.push(protocol);
                frame.extend([0x60, 0, 0, 0]);
                frame.extend(payload_len.to_be_bytes());
                frame.extend([kinds[0], 64]);
                frame.extend([0xfd; 32]);
                addresses = frame.len() - 32..frame.len();
                for ((_, len), next) in extensions.iter().zip(&kinds[1..]) {
                    frame.extend([*next, *len]);
                    frame.resize(frame.len() + 6 + 8 * usize::from(*len), 0);
                }
            }
        }
        addresses
    }
}

/// Appends the Ethernet header up to its EtherType.
fn write_link(frame: &mut Vec<u8>, tags: &[u16]) {
    frame.extend([0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2]);
    for tci in tags {
        frame.extend(ethernet::VLAN.to_be_bytes());
        frame.extend(tci.to_be_bytes());
    }
}

impl Packet {
    pub(super) fn build(&self) -> Sample {
        let mut frame = Vec::new();
        write_link(&mut frame, &self.tags);
        let segment = self.segment();
        let network = frame.len() + 2;
        let addresses = self.ip.write(&mut frame, self.protocol(), segment.len());
        let transport = frame.len();
        let payload = transport + segment.len() - self.payload.len;
        let mut pseudo_header = frame[addresses].to_vec();
        pseudo_header.extend([0, self.protocol()]);
        pseudo_header.extend(u16::try_from(segment.len()).unwrap().to_be_bytes());
        let partial = checksum::sum(&pseudo_header).folded();
        frame.extend(segment);
        let field = transport + self.checksum_offset();
        frame[field..field + 2].copy_from_slice(&partial.to_be_bytes());
        Sample {
            frame,
            kind: match (&self.transport, &self.ip) {
                (Protocol::Udp, _) => GsoKind::Udp,
                (_, Ip::V4 { .. }) => GsoKind::TcpV4,
                (_, Ip::V6 { .. }) => GsoKind::TcpV6,
            },
            network,
            transport,
            payload,
        }
    }

    fn protocol(&self) -> u8 {
        match self.transport {
            Protocol::Tcp { .. } => transport::TCP,
            Protocol::Udp => transport::UDP,
        }
    }

    fn checksum_offset(&self) -> usize {
        match self.transport {
            Protocol::Tcp { .. } => transport::TCP_CHECKSUM,
            Protocol::Udp => transport::UDP_CHECKSUM,
        }
    }

    /// Transport header, the checksum 0, and payload.
    fn segment(&self) -> Vec<u8> {
        let mut segment = vec![0x12, 0x34, 0x56, 0x78];
        match self.transport {
            Protocol::Tcp {
                option_words,
                sequence,
                flags,
            } => {
                segment.extend(sequence.to_be_bytes());
                segment.extend([1, 2, 3, 4, (5 + option_words) << 4, flags, 0xff, 0xff]);
                segment.extend([0; 4]);
                segment.resize(20 + 4 * usize::from(option_words), 1);
            }
            Protocol::Udp => {
                let len = u16::try_from(8 + self.payload.len).unwrap();
                segment.extend(len.to_be_bytes());
                segment.extend([0; 2]);
            }
        }
        let mut state = self.payload.seed | 1;
        segment.extend((0..self.payload.len).map(|_| {
            // xorshift64: proptest is slow at making long vectors.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        }));
        segment
    }
}

impl Sample {
    /// The header of an honest sender; a size of 0 means no super-frame.
    pub(super) fn vnet(&self, gso_size: u16) -> VnetHeader {
        let offset = match self.kind {
            GsoKind::Udp => transport::UDP_CHECKSUM,
            GsoKind::TcpV4 | GsoKind::TcpV6 => transport::TCP_CHECKSUM,
        };
        let kind = match self.kind {
            GsoKind::TcpV4 => vnet::GSO_TCPV4,
            GsoKind::TcpV6 => vnet::GSO_TCPV6,
            GsoKind::Udp => vnet::GSO_UDP_L4,
        };
        VnetHeader {
            flags: vnet::F_NEEDS_CSUM,
            gso_type: if gso_size == 0 { vnet::GSO_NONE } else { kind },
            gso_size: gso_size.into(),
            csum_start: u16::try_from(self.transport).unwrap().into(),
            csum_offset: u16::try_from(offset).unwrap().into(),
            ..VnetHeader::NONE
        }
    }
}

/// Holds `frame` against etherparse: its lengths are those of the frame, its
/// checksums are right. Gives the transport payload.
pub(super) fn verify(frame: &[u8]) -> Vec<u8> {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    if let Some(NetSlice::Ipv4(ip)) = &packet.net {
        let header = ip.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
    }
    let payload = match (packet.net, packet.transport) {
        (Some(net), Some(TransportSlice::Tcp(tcp))) => {
            let right = match net {
                NetSlice::Ipv4(ip) => {
                    tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination())
                }
                NetSlice::Ipv6(ip) => {
                    tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination())
                }
                NetSlice::Arp(_) => panic!("TCP behind ARP"),
            };
            // Both zeros of one's complement are right.
            assert_eq!(tcp.checksum() % 0xffff, right.unwrap() % 0xffff);
            tcp.payload()
        }
        (Some(net), Some(TransportSlice::Udp(udp))) => {
            let header = udp.to_header();
            let right = match net {
                NetSlice::Ipv4(ip) => {
                    header.calc_checksum_ipv4(&ip.header().to_header(), udp.payload())
                }
                NetSlice::Ipv6(ip) => {
                    header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload())
                }
                NetSlice::Arp(_) => panic!("UDP behind ARP"),
            };
            assert_eq!(header.checksum, right.unwrap());
            udp.payload()
        }
        (net, transport) => panic!("neither TCP nor UDP: {net:?} {transport:?}"),
    };
    // Whatever the length fields say, the payload ends with the frame.
    assert_eq!(payload.as_ptr_range().end, frame.as_ptr_range().end);
    payload.to_vec()
}
