//! The virtio-net header (virtio 1.2 §5.1.6), which stands in front of a frame
//! on TAP devices, AF_PACKET sockets and virtqueues.

use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header with `num_buffers` (`VIRTIO_F_VERSION_1` or
/// `VIRTIO_NET_F_MRG_RXBUF`).
pub const LEN: usize = 12;
/// Bytes of the header without it.
pub const LEGACY_LEN: usize = 10;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum at `csum_start` + `csum_offset`
/// is left to the receiver of the header.
pub const F_NEEDS_CSUM: u8 = 1;
/// `VIRTIO_NET_HDR_F_DATA_VALID`: the checksum was verified.
pub const F_DATA_VALID: u8 = 2;

/// `VIRTIO_NET_HDR_GSO_NONE`: not a super-frame.
pub const GSO_NONE: u8 = 0;
/// `VIRTIO_NET_HDR_GSO_TCPV4`.
pub const GSO_TCPV4: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_UDP` (UFO): to be cut into IP fragments. No port offers
/// it, so none may come.
pub const GSO_UDP: u8 = 3;
/// `VIRTIO_NET_HDR_GSO_TCPV6`.
pub const GSO_TCPV6: u8 = 4;
/// `VIRTIO_NET_HDR_GSO_UDP_L4` (USO): to be cut into UDP datagrams
/// (`linux/virtio_net.h`, virtio 1.3 §5.1.6).
pub const GSO_UDP_L4: u8 = 5;
/// `VIRTIO_NET_HDR_GSO_ECN`: a bit beside a TCP type, the super-frame has CWR
/// set.
pub const GSO_ECN: u8 = 0x80;

/// `struct virtio_net_hdr_v1`. Its first [`LEGACY_LEN`] bytes are the header
/// without `num_buffers`.
///
/// The fields are little-endian, as virtio 1 has them. TAP and AF_PACKET use
/// the host's order unless told otherwise (`TUNSETVNETLE`); on the hosts that
/// matter this is the same.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct VnetHeader {
    /// [`F_NEEDS_CSUM`], [`F_DATA_VALID`].
    pub flags: u8,
    /// [`GSO_NONE`] or the kind of super-frame.
    pub gso_type: u8,
    /// Bytes of the frame's headers: a hint.
    pub hdr_len: U16,
    /// Payload bytes of each segment.
    pub gso_size: U16,
    /// Where summing starts, in bytes from the start of the frame.
    pub csum_start: U16,
    /// Where the checksum field is, in bytes from `csum_start`.
    pub csum_offset: U16,
    /// Buffers that the frame is spread over.
    pub num_buffers: U16,
}

impl VnetHeader {
    /// The header of a finished frame in one buffer.
    pub const NONE: Self = Self {
        flags: 0,
        gso_type: GSO_NONE,
        hdr_len: U16::ZERO,
        gso_size: U16::ZERO,
        csum_start: U16::ZERO,
        csum_offset: U16::ZERO,
        num_buffers: U16::new(1),
    };

    /// Reads the header that leads `bytes`, of [`LEGACY_LEN`] or more bytes;
    /// without `num_buffers` there is one buffer. `None` when they are fewer.
    #[must_use]
    #[inline]
    pub fn from_legacy(bytes: &[u8]) -> Option<Self> {
        let mut header = Self::NONE;
        header
            .as_mut_bytes()
            .first_chunk_mut::<LEGACY_LEN>()?
            .copy_from_slice(bytes.first_chunk::<LEGACY_LEN>()?);
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_laid_out_as_virtio_says() {
        let header = VnetHeader {
            flags: F_NEEDS_CSUM,
            gso_type: GSO_TCPV6 | GSO_ECN,
            hdr_len: 0x0102.into(),
            gso_size: 0x0304.into(),
            csum_start: 0x0506.into(),
            csum_offset: 0x0708.into(),
            num_buffers: 1.into(),
        };
        let want = [1, 0x84, 2, 1, 4, 3, 6, 5, 8, 7, 1, 0];
        assert_eq!(header.as_bytes(), want);
        assert_eq!(size_of::<VnetHeader>(), LEN);
        assert_eq!(VnetHeader::from_legacy(&want[..10]), Some(header));
        assert_eq!(VnetHeader::from_legacy(&want[..9]), None);
    }
}
