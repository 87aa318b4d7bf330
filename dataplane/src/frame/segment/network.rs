//! The IP header of each segment.

use super::{put, take_u16};
use crate::frame::checksum::{Sum, sum};
use crate::frame::transport::{IpVersion, Transport};

/// An IP header in the template, and what differs in that of the next segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct NetworkHeader {
    /// Where it starts.
    at: usize,
    part: Part,
    /// Sum over the pseudo-header without the length.
    pub(super) pseudo_header: Sum,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    V4 {
        identification: u16,
        /// Sum over the IPv4 header in the template.
        sum: Sum,
    },
    V6,
}

impl NetworkHeader {
    /// Takes what differs out of the header of `template` that is `at`.
    pub(super) fn take(template: &mut [u8], at: &Transport) -> Option<Self> {
        let header = template.get_mut(at.network..at.start)?;
        let (part, addresses) = match at.version {
            IpVersion::V4 => {
                let identification = take_u16(header, ipv4::IDENTIFICATION)?;
                take_u16(header, ipv4::TOTAL_LENGTH)?;
                take_u16(header, ipv4::CHECKSUM)?;
                let sum = sum(header);
                (
                    Part::V4 {
                        identification,
                        sum,
                    },
                    header.get(ipv4::ADDRESSES)?,
                )
            }
            IpVersion::V6 => {
                take_u16(header, ipv6::PAYLOAD_LENGTH)?;
                (Part::V6, header.get(ipv6::ADDRESSES)?)
            }
        };
        Some(Self {
            at: at.network,
            part,
            pseudo_header: sum(addresses) + Sum::from(u16::from(at.protocol)),
        })
    }

    /// Writes the header of the next segment, which is `head` and `body` bytes
    /// more.
    #[inline]
    pub(super) fn write(&mut self, head: &mut [u8], body: usize) -> Option<()> {
        let header = head.get_mut(self.at..)?;
        let packet = header.len() + body;
        match &mut self.part {
            Part::V4 {
                identification,
                sum,
            } => {
                let length = u16::try_from(packet).ok()?;
                let checksum = (*sum + length.into() + (*identification).into()).checksum();
                put(header, ipv4::TOTAL_LENGTH, length.to_be_bytes())?;
                put(header, ipv4::IDENTIFICATION, identification.to_be_bytes())?;
                put(header, ipv4::CHECKSUM, checksum.to_be_bytes())?;
                *identification = identification.wrapping_add(1);
            }
            Part::V6 => {
                let length = u16::try_from(packet.checked_sub(ipv6::HEADER)?).ok()?;
                put(header, ipv6::PAYLOAD_LENGTH, length.to_be_bytes())?;
            }
        }
        Some(())
    }
}

/// Positions in an IPv4 header (RFC 791 §3.1).
mod ipv4 {
    use std::ops::Range;

    pub(super) const TOTAL_LENGTH: usize = 2;
    pub(super) const IDENTIFICATION: usize = 4;
    pub(super) const CHECKSUM: usize = 10;
    pub(super) const ADDRESSES: Range<usize> = 12..20;
}

/// Positions in an IPv6 header (RFC 8200 §3).
mod ipv6 {
    use std::ops::Range;

    pub(super) const HEADER: usize = 40;
    pub(super) const PAYLOAD_LENGTH: usize = 4;
    pub(super) const ADDRESSES: Range<usize> = 8..40;
}
