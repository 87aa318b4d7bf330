//! The tunnel's headers in front of each segment.

use super::network::NetworkHeader;
use super::{put, take_u16, udp};
use crate::frame::checksum::{Sum, sum};
use crate::frame::transport::{Transport, UDP_CHECKSUM};
use crate::frame::tunnel::Carrier;

/// Where GRE has its checksum, if it has one (RFC 2784 §2.1).
const GRE_CHECKSUM: usize = 4;

/// The outer headers in the template, and what differs in those of the next
/// segment (`__skb_udp_tunnel_segment`, `gre_gso_segment`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Outer {
    network: NetworkHeader,
    carrier: Carrier,
    /// Where the carrier's header starts.
    start: usize,
}

impl Outer {
    /// Takes what differs out of the headers of `template` that are `at`, in
    /// front of the inner IP header at `inner`.
    pub(super) fn take(template: &mut [u8], at: &Transport, inner: &Transport) -> Option<Self> {
        let (carrier, len) = Carrier::read(template, at)?;
        let even = inner.start.checked_sub(at.start)?.is_multiple_of(2);
        if at.start + len > inner.network || !even {
            return None;
        }
        let network = NetworkHeader::take(template, at)?;
        let header = template.get_mut(at.start..)?;
        match carrier {
            Carrier::Udp { .. } => {
                take_u16(header, udp::LENGTH)?;
                take_u16(header, UDP_CHECKSUM)?;
            }
            Carrier::Gre { checksum: true } => {
                take_u16(header, GRE_CHECKSUM)?;
            }
            Carrier::Gre { checksum: false } | Carrier::Ip => {}
        }
        Some(Self {
            network,
            carrier,
            start: at.start,
        })
    }

    /// Writes the outer headers of the next segment, which is `head`, finished
    /// from the inner IP header on, and `body` bytes with the sum `body_sum`.
    pub(super) fn write(&mut self, head: &mut [u8], body: usize, body_sum: Sum) -> Option<()> {
        self.network.write(head, body)?;
        let header = head.get_mut(self.start..)?;
        match self.carrier {
            Carrier::Udp { checksum } => {
                let length = u16::try_from(header.len() + body).ok()?;
                put(header, udp::LENGTH, length.to_be_bytes())?;
                if checksum {
                    let all = self.network.pseudo_header + length.into() + sum(header) + body_sum;
                    put(header, UDP_CHECKSUM, all.checksum_not_zero().to_be_bytes())?;
                }
            }
            Carrier::Gre { checksum: true } => {
                let all = sum(header) + body_sum;
                put(header, GRE_CHECKSUM, all.checksum().to_be_bytes())?;
            }
            Carrier::Gre { checksum: false } | Carrier::Ip => {}
        }
        Some(())
    }
}
