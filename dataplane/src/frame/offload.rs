//! The work that a sender leaves to the next one: a checksum to fill in, a
//! super-frame to cut into segments.
//!
//! The shape follows the virtio-net header (virtio 1.2 §5.1.6), which TAP,
//! AF_PACKET and vhost-user share. What a sender writes into that header is
//! believed only as far as the frame itself bears it out: see
//! [`Offload::from_vnet`].

use super::ethernet::Header;
use super::segment::MAX_HEADERS;
use super::transport::{self, IpVersion, Transport};
pub use super::vnet::VnetHeader;
use super::{tunnel, vnet};
use std::num::{NonZeroU8, NonZeroU16};

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
    /// The same of an SCTP packet, whose checksum is a CRC32c. The virtio-net
    /// header cannot tell the two apart, so one who takes a frame unfinished may
    /// write the 16-bit sum where the CRC belongs (Linux does when the packet
    /// leaves by a netdev that does not know SCTP): it is always filled in here.
    NeededCrc32c {
        /// Where the SCTP header starts, in bytes from the start of the frame.
        start: u16,
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
    /// Set on a super-frame that was put into a tunnel whole: bytes of the inner
    /// IP and transport headers, in units of 4 (all of these headers are made
    /// of such). The virtio-net header has no word for it that every egress
    /// understands, so such a frame is always cut here.
    pub inner_words: Option<NonZeroU8>,
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

impl Gso {
    /// In a tunnel, where the inner IP header starts, in bytes from the start of
    /// the frame.
    #[must_use]
    pub fn inner_network(&self) -> Option<u16> {
        let inner = u16::from(self.inner_words?.get()) * 4;
        self.header_len.checked_sub(inner)
    }
}

impl GsoKind {
    /// The protocol number of the segments.
    #[must_use]
    pub fn protocol(self) -> u8 {
        match self {
            Self::TcpV4 | Self::TcpV6 => transport::TCP,
            Self::Udp => transport::UDP,
        }
    }
}

/// The least segment size of a super-frame, in bytes of payload: the largest
/// super-frame makes 1,024 segments of it. The least MSS that hosts use is 536
/// (RFC 9293 §3.7.1); far less is work that one guest puts on all others.
pub const MIN_GSO_SIZE: u16 = 64;

/// Why a virtio-net header cannot belong to its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadOffload {
    /// The checksum's position is in the Ethernet header or past the end.
    #[error("the checksum at {start}+{offset} is outside the packet")]
    ChecksumOutside {
        /// `csum_start`, bytes from the start of the frame.
        start: u16,
        /// `csum_offset`, bytes from there.
        offset: u16,
    },
    /// The checksum's position is not that of the frame's transport protocol.
    #[error("the checksum at {start}+{offset} is not that of the transport header")]
    ChecksumElsewhere {
        /// `csum_start`, bytes from the start of the frame.
        start: u16,
        /// `csum_offset`, bytes from there.
        offset: u16,
    },
    /// A UDP super-frame without `VIRTIO_NET_HDR_F_NEEDS_CSUM`.
    #[error("a UDP super-frame whose checksum is not left open")]
    ChecksumNotLeft,
    /// A kind of super-frame that no port offers to take (UFO among them).
    #[error("segmentation of unknown type {0:#04x}")]
    UnknownGso(u8),
    /// A super-frame to be cut into segments of nothing.
    #[error("segments of 0 bytes")]
    NoSegmentSize,
    /// A super-frame to be cut into segments of less than [`MIN_GSO_SIZE`].
    #[error("segments of {0} bytes, less than {MIN_GSO_SIZE}")]
    SegmentTooSmall(u16),
    /// A super-frame that is not an unfragmented IP packet with whole headers.
    #[error("a super-frame without a whole transport header")]
    NoTransport,
    /// A super-frame of another protocol than its type says.
    #[error("a super-frame of another protocol than its type")]
    WrongProtocol,
    /// A super-frame with more headers than any sender stacks.
    #[error("a super-frame with {0} bytes of headers, more than {MAX_HEADERS}")]
    HeadersTooLong(usize),
    /// A super-frame that is longer than an IP packet can be.
    #[error("a super-frame with an IP packet of {0} bytes, more than 65,535")]
    TooLong(usize),
}

impl Offload {
    /// Nothing left to do.
    pub const NONE: Self = Self {
        checksum: Checksum::Complete,
        gso: None,
    };

    /// What `header`, which came with `frame`, leaves to do.
    ///
    /// A super-frame that fits in one segment is none, as in Linux
    /// (`virtio_net_hdr_to_skb`). A TCP super-frame without
    /// `VIRTIO_NET_HDR_F_NEEDS_CSUM` is taken, as Linux takes it: cutting
    /// computes every checksum anew whatever the header says, and an egress
    /// that takes the super-frame is told the same as we were.
    ///
    /// Ignored: `hdr_len`, which is a hint (virtio 1.2 §5.1.6.2.2), and the
    /// length fields of the IP header, which every segment gets anew.
    ///
    /// A super-frame whose checksum starts behind its transport header is one
    /// in a tunnel: AF_PACKET describes the inner packet alone
    /// (`virtio_net_hdr_from_skb`). See [`tunnel::inner`] for which are known.
    ///
    /// # Errors
    /// The header contradicts the frame or asks for what no sender may.
    #[inline]
    pub fn from_vnet(header: &VnetHeader, frame: &[u8]) -> Result<Self, BadOffload> {
        let checksum = if header.flags & vnet::F_NEEDS_CSUM != 0 {
            let (start, offset) = (header.csum_start.get(), header.csum_offset.get());
            let field_end = usize::from(start) + usize::from(offset) + 2;
            let headers = Header::parse(frame).map_or(usize::MAX, |header| header.len);
            if usize::from(start) < headers || field_end > frame.len() {
                return Err(BadOffload::ChecksumOutside { start, offset });
            }
            if offset == SCTP_OFFSET {
                perhaps_sctp(frame, start)?
            } else {
                Checksum::Needed { start, offset }
            }
        } else if header.flags & vnet::F_DATA_VALID != 0 {
            Checksum::Verified
        } else {
            Checksum::Complete
        };
        let gso = match header.gso_type {
            vnet::GSO_NONE => None,
            _ => gso_from_vnet(header, checksum, frame)?,
        };
        Ok(Self { checksum, gso })
    }

    /// The virtio-net header for an egress that takes the frame as it is.
    #[must_use]
    pub fn to_vnet(&self) -> VnetHeader {
        let mut header = VnetHeader::NONE;
        match self.checksum {
            Checksum::Complete => {}
            Checksum::Verified => header.flags = vnet::F_DATA_VALID,
            Checksum::Needed { start, offset } => {
                header.flags = vnet::F_NEEDS_CSUM;
                header.csum_start = start.into();
                header.csum_offset = offset.into();
            }
            Checksum::NeededCrc32c { start } => {
                header.flags = vnet::F_NEEDS_CSUM;
                header.csum_start = start.into();
                header.csum_offset = SCTP_OFFSET.into();
            }
        }
        if let Some(gso) = self.gso {
            header.gso_type = match gso.kind {
                GsoKind::TcpV4 => vnet::GSO_TCPV4,
                GsoKind::TcpV6 => vnet::GSO_TCPV6,
                GsoKind::Udp => vnet::GSO_UDP_L4,
            };
            if gso.ecn {
                header.gso_type |= vnet::GSO_ECN;
            }
            header.gso_size = gso.size.get().into();
            header.hdr_len = gso.header_len.into();
        }
        header
    }

    /// Frames on the wire that a frame of `frame_len` bytes with this offload
    /// becomes.
    #[must_use]
    pub fn segments(&self, frame_len: usize) -> usize {
        self.gso.map_or(1, |gso| {
            frame_len
                .saturating_sub(gso.header_len.into())
                .div_ceil(gso.size.get().into())
                .max(1)
        })
    }

    /// Bytes of the longest of those frames, headers included: what an MTU is
    /// to be held against.
    #[must_use]
    pub fn largest_segment(&self, frame_len: usize) -> usize {
        self.gso.map_or(frame_len, |gso| {
            frame_len.min(usize::from(gso.header_len) + usize::from(gso.size.get()))
        })
    }

    /// Moves all positions `by` bytes to the back, as bytes were put in front
    /// of the network header.
    pub fn shift(&mut self, by: usize) {
        let by = u16::try_from(by).unwrap_or(u16::MAX);
        if let Checksum::Needed { start, .. } | Checksum::NeededCrc32c { start } =
            &mut self.checksum
        {
            *start = start.saturating_add(by);
        }
        if let Some(gso) = &mut self.gso {
            gso.header_len = gso.header_len.saturating_add(by);
        }
    }
}

/// [`transport::SCTP_CHECKSUM`] as the virtio-net header has it.
#[expect(clippy::cast_possible_truncation, reason = "it is 8")]
const SCTP_OFFSET: u16 = transport::SCTP_CHECKSUM as u16;

/// The state of a checksum that is needed [`SCTP_OFFSET`] bytes behind `start`.
/// Out of the way of TCP and UDP, which have theirs elsewhere.
#[cold]
#[inline(never)]
fn perhaps_sctp(frame: &[u8], start: u16) -> Result<Checksum, BadOffload> {
    let (at, offset) = (usize::from(start), SCTP_OFFSET);
    let is_sctp = Transport::locate(frame).is_some_and(|outer| {
        outer.protocol == transport::SCTP && outer.start == at
            || tunnel::inner(frame, &outer, at, transport::SCTP).is_some()
    });
    if !is_sctp {
        return Ok(Checksum::Needed { start, offset });
    }
    if at + transport::SCTP_CHECKSUM + 4 > frame.len() {
        return Err(BadOffload::ChecksumOutside { start, offset });
    }
    Ok(Checksum::NeededCrc32c { start })
}

fn gso_from_vnet(
    header: &VnetHeader,
    checksum: Checksum,
    frame: &[u8],
) -> Result<Option<Gso>, BadOffload> {
    let ecn = header.gso_type & vnet::GSO_ECN != 0;
    let kind = match header.gso_type & !vnet::GSO_ECN {
        vnet::GSO_TCPV4 => GsoKind::TcpV4,
        vnet::GSO_TCPV6 => GsoKind::TcpV6,
        vnet::GSO_UDP_L4 if !ecn => GsoKind::Udp,
        _ => return Err(BadOffload::UnknownGso(header.gso_type)),
    };
    let size = NonZeroU16::new(header.gso_size.get()).ok_or(BadOffload::NoSegmentSize)?;

    let outer = Transport::locate(frame).ok_or(BadOffload::NoTransport)?;
    let mut transport = outer;
    let mut inner = None;
    if let Checksum::Needed { start, .. } = checksum
        && usize::from(start) > outer.start
        && let Some(at) = tunnel::inner(frame, &outer, start.into(), kind.protocol())
    {
        transport = at;
        inner = Some(at.network);
    }
    let field = match (kind, transport.version, transport.protocol) {
        (GsoKind::TcpV4, IpVersion::V4, transport::TCP)
        | (GsoKind::TcpV6, IpVersion::V6, transport::TCP) => transport::TCP_CHECKSUM,
        (GsoKind::Udp, _, transport::UDP) => transport::UDP_CHECKSUM,
        _ => return Err(BadOffload::WrongProtocol),
    };
    match checksum {
        Checksum::Needed { start, offset }
            if usize::from(start) != transport.start || usize::from(offset) != field =>
        {
            return Err(BadOffload::ChecksumElsewhere { start, offset });
        }
        Checksum::NeededCrc32c { start } => {
            let offset = SCTP_OFFSET;
            return Err(BadOffload::ChecksumElsewhere { start, offset });
        }
        Checksum::Complete | Checksum::Verified if kind == GsoKind::Udp => {
            return Err(BadOffload::ChecksumNotLeft);
        }
        _ => {}
    }

    let payload = transport.payload(frame).ok_or(BadOffload::NoTransport)?;
    if frame.len() - payload <= size.get().into() {
        return Ok(None);
    }
    if size.get() < MIN_GSO_SIZE {
        return Err(BadOffload::SegmentTooSmall(size.get()));
    }
    let packet = frame.len() - outer.network;
    if packet > usize::from(u16::MAX) {
        return Err(BadOffload::TooLong(packet));
    }
    match u16::try_from(payload) {
        Ok(header_len) if payload <= MAX_HEADERS => Ok(Some(Gso {
            kind,
            size,
            header_len,
            ecn,
            inner_words: inner
                .and_then(|network| u8::try_from((payload - network) / 4).ok())
                .and_then(NonZeroU8::new),
        })),
        _ => Err(BadOffload::HeadersTooLong(payload)),
    }
}

#[cfg(test)]
mod tests;
