//! A frame in the switch's canonical form, and the bursts that carry it.
//!
//! Every port converts to and from this form: the Ethernet frame's bytes, a
//! VLAN tag standing where it stands on the wire, without FCS, plus
//! [`Offload`] metadata for the work that a sender left undone.

pub mod burst;
pub mod checksum;
pub mod ethernet;
pub mod finish;
pub mod offload;
#[cfg(test)]
mod samples;
pub mod segment;
pub mod transport;
pub mod tunnel;
pub mod vnet;

pub use burst::{BURST, Burst};
pub use offload::Offload;

use vnet::LEGACY_LEN;
use zerocopy::IntoBytes;

/// Room kept in front of the bytes, so that a port can receive its header (10
/// or 12 bytes of virtio-net header), put a VLAN tag back (4 bytes) and send
/// with a header in front, all without moving the payload.
pub const HEADROOM: usize = 32;

/// The longest frame: an IP packet of 65,535 bytes behind an Ethernet header
/// and two VLAN tags.
pub const MAX_FRAME: usize = 65_535 + ethernet::HEADER + 2 * ethernet::TAG;

/// One frame: a buffer that can hold the longest one, the part of it that is
/// in use, and what is left to do on it.
///
/// The virtio-net header that says what is left to do always stands right
/// before the bytes, so that a port sends both from one place.
#[derive(Debug, Clone)]
pub struct Frame {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    offload: Offload,
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            // Zeroed memory is mapped on first use: an idle buffer costs nothing.
            buffer: vec![0; HEADROOM + MAX_FRAME].into_boxed_slice(),
            start: HEADROOM,
            end: HEADROOM,
            offload: Offload::NONE,
        }
    }
}

impl Frame {
    /// A frame holding a copy of `bytes` (cut to [`MAX_FRAME`]), nothing left
    /// to do on it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut frame = Self::default();
        frame.set(bytes);
        frame
    }

    /// Replaces the content by a copy of `bytes`, cut to [`MAX_FRAME`].
    pub fn set(&mut self, bytes: &[u8]) {
        let area = self.receive_area(0);
        let len = bytes.len().min(area.len());
        if let (Some(to), Some(from)) = (area.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        self.received(len);
    }

    /// The Ethernet frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The Ethernet frame behind its virtio-net header of [`LEGACY_LEN`] bytes.
    #[must_use]
    pub fn framed(&self) -> &[u8] {
        self.buffer
            .get(self.start.saturating_sub(LEGACY_LEN)..self.end)
            .unwrap_or_default()
    }

    /// Work that the sender left to whoever sends the frame on.
    #[must_use]
    pub fn offload(&self) -> &Offload {
        &self.offload
    }

    /// Says what work is left.
    #[inline]
    pub fn set_offload(&mut self, offload: Offload) {
        self.offload = offload;
        let header = self.offload.to_vnet();
        let room = self.start.saturating_sub(LEGACY_LEN)..self.start;
        if let (Some(to), Some(header)) = (
            self.buffer.get_mut(room),
            header.as_bytes().first_chunk::<LEGACY_LEN>(),
        ) {
            to.copy_from_slice(header);
        }
    }

    /// The Ethernet frame, to change in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer
            .get_mut(self.start..self.end)
            .unwrap_or_default()
    }

    /// Length of the Ethernet frame in bytes, without FCS.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether the frame holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// Where a port receives into: `prefix` bytes (at most [`HEADROOM`]) for a
    /// header of its own, then [`MAX_FRAME`] bytes for the frame.
    pub fn receive_area(&mut self, prefix: usize) -> &mut [u8] {
        self.buffer
            .get_mut(HEADROOM.saturating_sub(prefix)..)
            .unwrap_or_default()
    }

    /// Says that `len` bytes of frame stand in the receive area behind the
    /// prefix, with nothing left to do on them.
    pub fn received(&mut self, len: usize) {
        self.start = HEADROOM;
        self.end = HEADROOM + len.min(MAX_FRAME);
        self.set_offload(Offload::NONE);
    }

    /// Puts a VLAN tag behind the MAC addresses, where the wire has it, and
    /// moves the offload metadata with the bytes behind it. Linux takes the tag
    /// out of a received frame and hands it over beside it (packet(7),
    /// `PACKET_AUXDATA`).
    ///
    /// A frame too short for MAC addresses, or with no headroom left, stays as
    /// it is.
    pub fn insert_vlan_tag(&mut self, tpid: u16, tci: u16) {
        if self.len() < 2 * ethernet::ADDRESS || self.start < LEGACY_LEN + ethernet::TAG {
            return;
        }
        let old = self.start;
        self.start -= ethernet::TAG;
        self.buffer
            .copy_within(old..old + 2 * ethernet::ADDRESS, self.start);
        let tag_at = self.start + 2 * ethernet::ADDRESS;
        if let Some(tag) = self.buffer.get_mut(tag_at..tag_at + ethernet::TAG) {
            let [p0, p1] = tpid.to_be_bytes();
            let [c0, c1] = tci.to_be_bytes();
            tag.copy_from_slice(&[p0, p1, c0, c1]);
        }
        let mut offload = self.offload;
        offload.shift(ethernet::TAG);
        self.set_offload(offload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vlan_tag_is_put_behind_the_addresses() {
        let mut bytes = vec![1; 6];
        bytes.extend([2; 6]);
        bytes.extend([8, 0, 0x45]);
        let mut frame = Frame::from_bytes(&bytes);
        frame.set_offload(Offload {
            checksum: offload::Checksum::Needed {
                start: 14,
                offset: 6,
            },
            gso: None,
        });
        frame.insert_vlan_tag(0x8100, 42);
        let mut want = vec![1; 6];
        want.extend([2; 6]);
        want.extend([0x81, 0, 0, 42, 8, 0, 0x45]);
        assert_eq!(frame.bytes(), want);
        assert_eq!(
            frame.offload().checksum,
            offload::Checksum::Needed {
                start: 18,
                offset: 6
            }
        );
        let header = vnet::VnetHeader::from_legacy(frame.framed()).unwrap();
        assert_eq!((header.flags, header.csum_start.get()), (1, 18));
        assert_eq!(frame.framed()[LEGACY_LEN..], want);
    }
}
