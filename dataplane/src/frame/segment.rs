//! Cuts a super-frame into the frames that its sender meant: TCP segments, or
//! UDP datagrams.
//!
//! The payload is not copied: each segment is a header of its own, written to
//! where the caller says, and a part of the super-frame's payload. What
//! differs from header to header is what Linux makes differ
//! (`net/ipv4/tcp_offload.c`, `net/ipv4/udp_offload.c`, `inet_gso_segment`):
//! lengths, the IPv4 identification, the TCP sequence number and flags, and
//! the checksums; in a [tunnel](super::tunnel) those of the outer headers too.
//! Everything else is summed once for all of them.

use super::checksum::{Sum, sum};
use super::offload::{Gso, GsoKind};
use super::transport::{self, IpVersion, Transport};
use network::NetworkHeader;
use outer::Outer;

mod network;
mod outer;

/// Bytes of headers that a super-frame can have. The longest Ethernet, IPv4 and
/// TCP headers take 142; in a Geneve tunnel with all of its options, tags and
/// IPv4 options at both levels, they are 492.
pub const MAX_HEADERS: usize = 496;

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
    /// In a tunnel: what stands in front of `network`.
    outer: Option<Outer>,
    network: NetworkHeader,
    transport: usize,
    transport_part: TransportPart,
    /// Sum over the pseudo-header and the transport header in the template.
    transport_sum: Sum,
    /// What has not been handed out.
    payload: &'a [u8],
    size: usize,
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
        let outer = Transport::locate(frame)?;
        let at = match gso.inner_network() {
            None => outer,
            Some(network) => Transport::at(frame, network.into())?,
        };
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
        let packet = frame.len() - outer.network;
        if payload.is_empty() || packet > usize::from(u16::MAX) {
            return None;
        }

        let mut template = [0; MAX_HEAD];
        template.get_mut(..head)?.copy_from_slice(headers);
        let outer = match gso.inner_words {
            None => None,
            Some(_) => Some(Outer::take(&mut template, &outer, &at)?),
        };
        let network = NetworkHeader::take(&mut template, &at)?;
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
            transport_sum: network.pseudo_header + sum(transport_header),
            template,
            head,
            outer,
            network,
            transport: at.start,
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

        self.network.write(head, body.len())?;
        let length = u16::try_from(self.head - self.transport + body.len()).ok()?;
        // Transport headers are of even length, as sums need it.
        let body_sum = sum(body);
        let unchanged = self.transport_sum + body_sum;
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
        if let Some(outer) = &mut self.outer {
            outer.write(head, body.len(), body_sum)?;
        }
        self.payload = rest;
        Some(Segment {
            head: self.head,
            body,
        })
    }
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
mod tests;
