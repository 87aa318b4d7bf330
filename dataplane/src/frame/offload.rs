//! The work that a sender leaves to the next one: a checksum to fill in, a
//! super-frame to cut into segments.
//!
//! The shape follows the virtio-net header (virtio 1.2 §5.1.6), which TAP,
//! AF_PACKET and vhost-user share.

use std::num::NonZeroU16;

/// What is left to do on a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offload {
    /// State of the transport checksum.
    pub checksum: Checksum,
    /// Set on a super-frame: how it is to be cut.
    pub gso: Option<Gso>,
}

/// State of a frame's transport checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// The frame holds what its sender put there.
    Complete,
    /// Somebody verified it (`VIRTIO_NET_HDR_F_DATA_VALID`).
    Verified,
    /// Not computed yet (`VIRTIO_NET_HDR_F_NEEDS_CSUM`): the field holds the
    /// pseudo-header's sum.
    Needed {
        /// Where summing starts, in bytes from the start of the frame.
        start: u16,
        /// Where the checksum field is, in bytes from `start`.
        offset: u16,
    },
}

/// How a super-frame is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gso {
    /// Protocol of the segments.
    pub kind: GsoKind,
    /// Payload bytes of each segment but the last.
    pub size: NonZeroU16,
    /// Bytes from the start of the frame to the payload, as parsed from the
    /// frame itself; a sender's own claim is not believed.
    pub header_len: u16,
    /// TCP with CWR set: only the first segment carries it
    /// (`VIRTIO_NET_HDR_GSO_ECN`).
    pub ecn: bool,
}

/// Protocol of a super-frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP over either (`VIRTIO_NET_HDR_GSO_UDP_L4`).
    Udp,
}

impl Offload {
    /// Nothing left to do.
    pub const NONE: Self = Self {
        checksum: Checksum::Complete,
        gso: None,
    };

    /// Moves all positions `by` bytes to the back, as bytes were put in front
    /// of the network header.
    pub fn shift(&mut self, by: usize) {
        let by = u16::try_from(by).unwrap_or(u16::MAX);
        if let Checksum::Needed { start, .. } = &mut self.checksum {
            *start = start.saturating_add(by);
        }
        if let Some(gso) = &mut self.gso {
            gso.header_len = gso.header_len.saturating_add(by);
        }
    }
}
