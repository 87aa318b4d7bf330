//! Cuts a super-frame into the frames that its sender meant: TCP segments, or
//! UDP datagrams.
//!
//! The payload is not copied: each segment is a header of its own, written to
//! where the caller says, and a part of the super-frame's payload. What
//! differs from header to header is what Linux makes differ
//! (`net/ipv4/tcp_offload.c`, `net/ipv4/udp_offload.c`, `inet_gso_segment`):
//! lengths, the IPv4 identification, the TCP sequence number and flags, and
//! the checksums. Everything else is summed once for all of them.

use super::checksum::{Sum, sum};
use super::offload::{Gso, GsoKind};
use super::transport::{self, IpVersion, Transport};
use std::ops::Range;

/// Bytes of headers that a super-frame can have: the longest Ethernet, IPv4 and
/// TCP headers take 142, which leaves room for IPv6 extension headers.
pub const MAX_HEADERS: usize = 256;

/// Bytes that [`Segments::write_next`] needs at most: [`MAX_HEADERS`] and the
/// two VLAN tags that the switch may have put in front of them.
pub const MAX_HEAD: usize = MAX_HEADERS + 2 * super::ethernet::TAG;

const CWR: u8 = 0x80;
const PSH: u8 = 0x08;
const FIN: u8 = 0x01;

/// One segment: a header of `head` bytes, and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Bytes of the header that was written.
    pub head: usize,
    /// The segment's part of the payload.
    pub body: &'a [u8],
}

/// A super-frame being cut.
#[derive(Debug, Clone)]
pub struct Segments<'a> {
    /// What all segments' headers have in common; what differs is 0.
    template: [u8; MAX_HEAD],
    head: usize,
    network: usize,
    transport: usize,
    network_part: NetworkPart,
    transport_part: TransportPart,
    /// Sum over the pseudo-header and the transport header in the template.
    transport_sum: Sum,
    /// What has not been handed out.
    payload: &'a [u8],
    size: usize,
}

/// What differs in the next segment's IP header.
#[derive(Debug, Clone, Copy)]
enum NetworkPart {
    V4 {
        identification: u16,
        /// Sum over the IPv4 header in the template.
        sum: Sum,
    },
    V6,
}

/// What differs in the next segment's transport header.
#[derive(Debug, Clone, Copy)]
enum TransportPart {
    Tcp { sequence: u32, flags: u8 },
    Udp,
}

impl<'a> Segments<'a> {
    /// Begins to cut `frame` as `gso` says. Any checksums in it are not looked
    /// at: all are computed anew.
    ///
    /// `None` when `gso` is not what [`Offload::from_vnet`] makes of the frame,
    /// or the frame is longer than an IP packet can be.
    ///
    /// [`Offload::from_vnet`]: super::Offload::from_vnet
    #[must_use]
    pub fn new(frame: &'a [u8], gso: &Gso) -> Option<Self> {
        let at = Transport::locate(frame)?;
        let head = at.payload(frame)?;
        let size = usize::from(gso.size.get());
        let agrees = matches!(
            (gso.kind, at.version, at.protocol),
            (GsoKind::TcpV4, IpVersion::V4, transport::TCP)
                | (GsoKind::TcpV6, IpVersion::V6, transport::TCP)
                | (GsoKind::Udp, _, transport::UDP)
        );
        if !agrees || head != usize::from(gso.header_len) {
            return None;
        }
        let (headers, payload) = frame.split_at_checked(head)?;
        let packet = frame.len() - at.network;
        if payload.is_empty() || packet > usize::from(u16::MAX) {
            return None;
        }

        let mut template = [0; MAX_HEAD];
        template.get_mut(..head)?.copy_from_slice(headers);
        let network_header = template.get_mut(at.network..at.start)?;
        let (network_part, addresses) = match at.version {
            IpVersion::V4 => {
                let identification = take_u16(network_header, ipv4::IDENTIFICATION)?;
                take_u16(network_header, ipv4::TOTAL_LENGTH)?;
                take_u16(network_header, ipv4::CHECKSUM)?;
                let sum = sum(network_header);
                (
                    NetworkPart::V4 {
                        identification,
                        sum,
                    },
                    network_header.get(ipv4::ADDRESSES)?,
                )
            }
            IpVersion::V6 => {
                take_u16(network_header, ipv6::PAYLOAD_LENGTH)?;
                (NetworkPart::V6, network_header.get(ipv6::ADDRESSES)?)
            }
        };
        let pseudo_header = sum(addresses) + Sum::from(u16::from(at.protocol));
        let transport_header = template.get_mut(at.start..head)?;
        let transport_part = if at.protocol == transport::TCP {
            take_u16(transport_header, transport::TCP_CHECKSUM)?;
            TransportPart::Tcp {
                sequence: u32::from_be_bytes(take(transport_header, tcp::SEQUENCE)?),
                flags: u8::from_be_bytes(take(transport_header, tcp::FLAGS)?),
            }
        } else {
            take_u16(transport_header, transport::UDP_CHECKSUM)?;
            take_u16(transport_header, udp::LENGTH)?;
            TransportPart::Udp
        };
        Some(Self {
            transport_sum: pseudo_header + sum(transport_header),
            template,
            head,
            network: at.network,
            transport: at.start,
            network_part,
            transport_part,
            payload,
            size,
        })
    }

    /// Segments that are not written yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.payload.len().div_ceil(self.size)
    }

    /// Writes the next segment's header to the front of `slot`. `None` when all
    /// have been, or `slot` is too short; [`MAX_HEAD`] bytes are always enough.
    #[must_use]
    pub fn write_next(&mut self, slot: &mut [u8]) -> Option<Segment<'a>> {
        if self.payload.is_empty() {
            return None;
        }
        let (body, rest) = self
            .payload
            .split_at_checked(self.size)
            .unwrap_or((self.payload, &[]));
        let head = slot.get_mut(..self.head)?;
        head.copy_from_slice(self.template.get(..self.head)?);

        let behind_network = self.head - self.network + body.len();
        let network_header = head.get_mut(self.network..self.transport)?;
        match &mut self.network_part {
            NetworkPart::V4 {
                identification,
                sum,
            } => {
                let length = u16::try_from(behind_network).ok()?;
                let checksum = (*sum + length.into() + (*identification).into()).checksum();
                put(network_header, ipv4::TOTAL_LENGTH, length.to_be_bytes())?;
                put(
                    network_header,
                    ipv4::IDENTIFICATION,
                    identification.to_be_bytes(),
                )?;
                put(network_header, ipv4::CHECKSUM, checksum.to_be_bytes())?;
                *identification = identification.wrapping_add(1);
            }
            NetworkPart::V6 => {
                let length = u16::try_from(behind_network - ipv6::HEADER).ok()?;
                put(network_header, ipv6::PAYLOAD_LENGTH, length.to_be_bytes())?;
            }
        }

        let length = u16::try_from(self.head - self.transport + body.len()).ok()?;
        // Transport headers are of even length, as sums need it.
        let unchanged = self.transport_sum + sum(body);
        let transport_header = head.get_mut(self.transport..)?;
        match &mut self.transport_part {
            TransportPart::Tcp { sequence, flags } => {
                let here = if rest.is_empty() {
                    *flags
                } else {
                    *flags & !(PSH | FIN)
                };
                let all = unchanged + length.into() + (*sequence).into() + u16::from(here).into();
                let checksum = all.checksum().to_be_bytes();
                put(transport_header, tcp::SEQUENCE, sequence.to_be_bytes())?;
                put(transport_header, tcp::FLAGS, [here])?;
                put(transport_header, transport::TCP_CHECKSUM, checksum)?;
                // At most 65,535, as `length` is.
                *sequence = sequence.wrapping_add(u32::try_from(body.len()).ok()?);
                *flags &= !CWR;
            }
            TransportPart::Udp => {
                // Once in the pseudo-header, once in the header.
                let all = unchanged + length.into() + length.into();
                let checksum = all.checksum_not_zero().to_be_bytes();
                put(transport_header, udp::LENGTH, length.to_be_bytes())?;
                put(transport_header, transport::UDP_CHECKSUM, checksum)?;
            }
        }
        self.payload = rest;
        Some(Segment {
            head: self.head,
            body,
        })
    }
}

/// Positions in an IPv4 header (RFC 791 §3.1).
mod ipv4 {
    pub(super) const TOTAL_LENGTH: usize = 2;
    pub(super) const IDENTIFICATION: usize = 4;
    pub(super) const CHECKSUM: usize = 10;
    pub(super) const ADDRESSES: super::Range<usize> = 12..20;
}

/// Positions in an IPv6 header (RFC 8200 §3).
mod ipv6 {
    pub(super) const HEADER: usize = 40;
    pub(super) const PAYLOAD_LENGTH: usize = 4;
    pub(super) const ADDRESSES: super::Range<usize> = 8..40;
}

/// Positions in a TCP header (RFC 9293 §3.1).
mod tcp {
    pub(super) const SEQUENCE: usize = 4;
    pub(super) const FLAGS: usize = 13;
}

/// Positions in a UDP header (RFC 768).
mod udp {
    pub(super) const LENGTH: usize = 4;
}

/// Writes `value` to `header` at `at`.
fn put<const N: usize>(header: &mut [u8], at: usize, value: [u8; N]) -> Option<()> {
    *header.get_mut(at..)?.first_chunk_mut()? = value;
    Some(())
}

/// Reads what stands in `header` at `at`, and leaves 0 there.
fn take<const N: usize>(header: &mut [u8], at: usize) -> Option<[u8; N]> {
    let place = header.get_mut(at..)?.first_chunk_mut()?;
    Some(std::mem::replace(place, [0; N]))
}

/// [`take`] of a 16-bit field.
fn take_u16(header: &mut [u8], at: usize) -> Option<u16> {
    take(header, at).map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Offload;
    use crate::frame::offload::MIN_GSO_SIZE;
    use crate::frame::samples::{self, Sample};
    use proptest::prelude::*;

    /// The segments of a sample as whole frames.
    fn cut(sample: &Sample, size: u16) -> Vec<Vec<u8>> {
        let offload = Offload::from_vnet(&sample.vnet(size), &sample.frame).unwrap();
        let mut segments = Segments::new(&sample.frame, &offload.gso.unwrap()).unwrap();
        let mut slot = [0xee; MAX_HEAD];
        std::iter::from_fn(|| {
            let segment = segments.write_next(&mut slot)?;
            Some([&slot[..segment.head], segment.body].concat())
        })
        .collect()
    }

    /// The headers of `frame` with 0 where segments may differ.
    fn common(sample: &Sample, frame: &[u8]) -> Vec<u8> {
        let mut headers = frame[..sample.payload].to_vec();
        let fields: &[(usize, usize)] = match sample.kind {
            GsoKind::Udp => &[(4, 4)],
            GsoKind::TcpV4 | GsoKind::TcpV6 => &[(4, 4), (13, 1), (16, 2)],
        };
        for (at, len) in fields {
            headers[sample.transport + at..][..*len].fill(0);
        }
        let fields: &[(usize, usize)] = match headers[sample.network] >> 4 {
            4 => &[(2, 4), (10, 2)],
            _ => &[(4, 2)],
        };
        for (at, len) in fields {
            headers[sample.network + at..][..*len].fill(0);
        }
        headers
    }

    fn word(frame: &[u8], at: usize) -> u16 {
        u16::from_be_bytes([frame[at], frame[at + 1]])
    }

    /// A TCP over IPv4 super-frame with 100 bytes of payload, in segments of 50.
    fn tcp() -> (Vec<u8>, Gso) {
        let mut frame = vec![0; 54 + 100];
        frame[12] = 8;
        frame[14] = 0x45;
        frame[23] = transport::TCP;
        frame[46] = 0x50;
        let gso = Gso {
            kind: GsoKind::TcpV4,
            size: 50.try_into().unwrap(),
            header_len: 54,
            ecn: false,
        };
        (frame, gso)
    }

    #[test]
    fn a_gso_that_is_not_the_frames_own_is_refused() {
        let (frame, gso) = tcp();
        assert!(Segments::new(&frame, &gso).is_some());
        let kind = GsoKind::Udp;
        assert!(Segments::new(&frame, &Gso { kind, ..gso }).is_none());
        let header_len = 58;
        assert!(Segments::new(&frame, &Gso { header_len, ..gso }).is_none());
        assert!(Segments::new(&frame[..54], &gso).is_none());
    }

    #[test]
    fn a_slot_too_short_ends_the_cut_without_a_panic() {
        let (frame, gso) = tcp();
        let mut segments = Segments::new(&frame, &gso).unwrap();
        assert_eq!(segments.write_next(&mut [0; 53]), None);
        assert!(segments.write_next(&mut [0; 54]).is_some());
    }

    #[test]
    fn a_udp_checksum_of_0_is_sent_as_ffff() {
        let (mut frame, gso) = tcp();
        frame[23] = transport::UDP;
        frame.truncate(42 + 100);
        // With the rest 0, the pseudo-header and header sum to the protocol
        // and twice the length of 58: this makes it 0xffff.
        let rest = 0xffff - 17 - 2 * 58_u16;
        frame[46] = 0;
        frame[34..36].copy_from_slice(&rest.to_be_bytes());
        let kind = GsoKind::Udp;
        let header_len = 42;
        let gso = Gso {
            kind,
            header_len,
            ..gso
        };
        let mut slot = [0; MAX_HEAD];
        let _ = Segments::new(&frame, &gso).unwrap().write_next(&mut slot);
        assert_eq!(word(&slot, 34 + transport::UDP_CHECKSUM), 0xffff);
    }

    proptest! {
        #[test]
        fn segments_are_what_the_sender_would_have_sent_itself(
            packet in samples::packet(),
            size in MIN_GSO_SIZE..3000,
        ) {
            let sample = packet.build();
            let payload = &sample.frame[sample.payload..];
            prop_assume!(payload.len() > size.into());
            let size_bytes = usize::from(size);
            let segments = cut(&sample, size);
            prop_assert_eq!(segments.len(), payload.len().div_ceil(size_bytes));
            let last = segments.len() - 1;
            let mut together = Vec::new();
            for (i, segment) in segments.iter().enumerate() {
                let body = samples::verify(segment);
                prop_assert!(body.len() == size_bytes || i == last && body.len() < size_bytes);
                prop_assert_eq!(common(&sample, segment), common(&sample, &sample.frame));
                if sample.frame[sample.network] >> 4 == 4 {
                    let id = sample.network + ipv4::IDENTIFICATION;
                    let count = u16::try_from(i).unwrap();
                    let want = word(&sample.frame, id).wrapping_add(count);
                    prop_assert_eq!(word(segment, id), want);
                }
                if sample.kind != GsoKind::Udp {
                    let at = sample.transport + tcp::SEQUENCE;
                    let sequence = |frame: &[u8]| {
                        u32::from_be_bytes(*frame[at..].first_chunk().unwrap())
                    };
                    let done = u32::try_from(together.len()).unwrap();
                    prop_assert_eq!(sequence(segment), sequence(&sample.frame).wrapping_add(done));

                    let at = sample.transport + tcp::FLAGS;
                    let mut want = sample.frame[at];
                    if i != 0 {
                        want &= !CWR;
                    }
                    if i != last {
                        want &= !(PSH | FIN);
                    }
                    prop_assert_eq!(segment[at], want);
                }
                together.extend(body);
            }
            prop_assert_eq!(together, payload);
        }
    }
}
