//! Random packets in tunnels, with their inner checksum left open.

use super::{Ip, Packet, Sample, ip, packet, tags, verify, write_link};
use crate::frame::checksum;
use crate::frame::segment::MAX_HEADERS;
use crate::frame::transport;
use etherparse::{NetSlice, SlicedPacket};
use proptest::prelude::*;

/// A packet in another.
#[derive(Debug, Clone)]
pub(crate) struct Tunnelled {
    tags: Vec<u16>,
    ip: Ip,
    carrier: Carrier,
    /// Between the carrier's header and the inner packet: VXLAN, Geneve.
    between: Vec<u8>,
    packet: Packet,
    /// With the inner Ethernet header.
    ethernet: bool,
}

#[derive(Debug, Clone, Copy)]
enum Carrier {
    Udp { checksum: bool },
    Gre { checksum: bool, key: bool },
    Ip,
}

/// Any packet in any tunnel, its headers no longer than [`MAX_HEADERS`].
pub(crate) fn tunnelled() -> impl Strategy<Value = Tunnelled> {
    let carrier = prop_oneof![
        2 => any::<bool>().prop_map(|checksum| Carrier::Udp { checksum }),
        2 => any::<[bool; 2]>().prop_map(|[checksum, key]| Carrier::Gre { checksum, key }),
        1 => Just(Carrier::Ip),
    ];
    let between = prop::collection::vec(any::<[u8; 2]>(), 0..30);
    (tags(), ip(), carrier, between, packet(), any::<bool>())
        .prop_map(|(tags, ip, carrier, between, packet, ethernet)| {
            let (between, ethernet) = match carrier {
                Carrier::Udp { .. } => (between.concat(), ethernet),
                Carrier::Gre { .. } => (Vec::new(), ethernet),
                Carrier::Ip => (Vec::new(), false),
            };
            Tunnelled {
                tags,
                ip,
                carrier,
                between,
                packet,
                ethernet,
            }
        })
        .prop_filter("too many headers", |tunnelled| {
            tunnelled.build().payload <= MAX_HEADERS
        })
}

impl Tunnelled {
    /// The inner packet alone.
    pub(crate) fn inner(&self) -> Sample {
        self.packet.build()
    }

    /// What the tunnel carries of the inner packet `frame`.
    pub(crate) fn carried<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let link = if self.ethernet {
            0
        } else {
            self.inner().network
        };
        &frame[link..]
    }

    /// The whole; all positions are those of the inner headers. The outer
    /// checksum is right once the inner one is filled in (Linux,
    /// `Documentation/networking/checksum-offloads.rst`, LCO).
    pub(crate) fn build(&self) -> Sample {
        let mut sample = self.inner();
        let open = self.carried(&sample.frame).to_vec();
        let field = usize::from(sample.vnet(0).csum_offset.get());
        assert!(checksum::complete(
            &mut sample.frame,
            sample.transport,
            field
        ));
        let done = self.carried(&sample.frame).to_vec();

        let behind = self.header().len() + self.between.len() + done.len();
        let mut frame = Vec::new();
        write_link(&mut frame, &self.tags);
        let addresses = self.ip.write(&mut frame, self.protocol(), behind);
        let outer = frame.len();
        frame.extend(self.header());
        frame.extend(&self.between);
        let shift = frame.len() - (sample.frame.len() - done.len());
        frame.extend(done);
        match self.carrier {
            Carrier::Udp { checksum } => {
                let length = u16::try_from(behind).unwrap();
                frame[outer + 4..][..2].copy_from_slice(&length.to_be_bytes());
                if checksum {
                    let pseudo = checksum::sum(&frame[addresses]) + 17_u16.into() + length.into();
                    let value = (pseudo + checksum::sum(&frame[outer..])).checksum_not_zero();
                    frame[outer + 6..][..2].copy_from_slice(&value.to_be_bytes());
                }
            }
            Carrier::Gre { checksum: true, .. } => {
                let value = checksum::sum(&frame[outer..]).checksum();
                frame[outer + 4..][..2].copy_from_slice(&value.to_be_bytes());
            }
            Carrier::Gre { .. } | Carrier::Ip => {}
        }
        let start = frame.len() - open.len();
        frame[start..].copy_from_slice(&open);
        Sample {
            frame,
            kind: sample.kind,
            network: sample.network + shift,
            transport: sample.transport + shift,
            payload: sample.payload + shift,
        }
    }

    fn protocol(&self) -> u8 {
        match (self.carrier, &self.packet.ip) {
            (Carrier::Udp { .. }, _) => transport::UDP,
            (Carrier::Gre { .. }, _) => 47,
            (Carrier::Ip, Ip::V4 { .. }) => 4,
            (Carrier::Ip, Ip::V6 { .. }) => 41,
        }
    }

    /// The carrier's header, its length and checksum 0.
    fn header(&self) -> Vec<u8> {
        match self.carrier {
            Carrier::Udp { .. } => vec![0x12, 0x34, 0x12, 0xb5, 0, 0, 0, 0],
            Carrier::Gre { checksum, key } => {
                let kind = match (self.ethernet, &self.packet.ip) {
                    (true, _) => [0x65, 0x58],
                    (false, Ip::V4 { .. }) => [0x08, 0x00],
                    (false, Ip::V6 { .. }) => [0x86, 0xdd],
                };
                let mut header = vec![u8::from(checksum) << 7 | u8::from(key) << 5, 0];
                header.extend(kind);
                header.resize(4 + 4 * usize::from(checksum), 0);
                header.resize(header.len() + 4 * usize::from(key), 7);
                header
            }
            Carrier::Ip => Vec::new(),
        }
    }

    /// Holds the outer headers of `frame`, one of this tunnel, against
    /// etherparse and the definition of GRE's checksum. Gives what it carries.
    pub(crate) fn verify(&self, frame: &[u8]) -> Vec<u8> {
        let header = self.header();
        let payload = match self.carrier {
            Carrier::Udp { checksum: true } => verify(frame),
            Carrier::Udp { checksum: false } => {
                let payload = ip_payload(frame);
                let length = usize::from(u16::from_be_bytes([payload[4], payload[5]]));
                assert_eq!(length, payload.len());
                assert_eq!(payload[6..8], [0, 0], "a checksum where there was none");
                payload[8..].to_vec()
            }
            Carrier::Gre { checksum, .. } => {
                let mut payload = ip_payload(frame);
                if checksum {
                    assert_eq!(checksum::sum(&payload).folded(), 0xffff);
                    payload[4..6].fill(0);
                }
                assert_eq!(payload[..header.len()], header);
                payload[header.len()..].to_vec()
            }
            Carrier::Ip => ip_payload(frame),
        };
        let (between, carried) = payload.split_at(self.between.len());
        assert_eq!(between, self.between);
        carried.to_vec()
    }
}

/// What is behind the IP header of `frame`, which is right and ends with the
/// frame.
fn ip_payload(frame: &[u8]) -> Vec<u8> {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let payload = match packet.net.unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            ip.payload().payload
        }
        NetSlice::Ipv6(ip) => ip.payload().payload,
        NetSlice::Arp(_) => panic!("ARP"),
    };
    assert_eq!(payload.as_ptr_range().end, frame.as_ptr_range().end);
    payload.to_vec()
}
