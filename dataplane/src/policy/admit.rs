//! What every frame has to pass before the switch looks at where it goes.

use super::DropReason;
use crate::frame::Frame;
use crate::frame::ethernet::{self, Header};

/// Checks what no bridge forwards and what this network has no room for;
/// `mtu` is the longest network-layer packet in bytes.
///
/// A VLAN tag does not count towards the MTU (IEEE 802.3 clause 3.2.7), and a
/// super-frame is measured by its largest segment.
///
/// # Errors
/// Why the frame may not enter.
pub fn admit(frame: &Frame, mtu: usize) -> Result<Header, DropReason> {
    let header = Header::parse(frame.bytes()).ok_or(DropReason::Runt)?;
    if ethernet::is_group(&header.source) {
        return Err(DropReason::MulticastSource);
    }
    if ethernet::is_link_local(&header.destination) {
        return Err(DropReason::LinkLocal);
    }
    if frame.offload().largest_segment(frame.len()) > header.len + mtu {
        return Err(DropReason::TooBig);
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Offload;
    use crate::frame::offload::{Gso, GsoKind};
    use std::num::NonZeroU16;

    fn frame(behind_addresses: &[u8], len: usize) -> Frame {
        let mut bytes = vec![0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2];
        bytes.extend(behind_addresses);
        bytes.resize(len, 0);
        Frame::from_bytes(&bytes)
    }

    #[test]
    fn a_frame_of_the_mtu_enters_and_one_byte_more_does_not() {
        assert!(admit(&frame(&[8, 0], 1514), 1500).is_ok());
        assert_eq!(admit(&frame(&[8, 0], 1515), 1500), Err(DropReason::TooBig));
    }

    #[test]
    fn a_tag_does_not_count_towards_the_mtu() {
        let tag = [0x81, 0, 0, 5, 8, 0];
        assert!(admit(&frame(&tag, 1518), 1500).is_ok());
        assert_eq!(admit(&frame(&tag, 1519), 1500), Err(DropReason::TooBig));
    }

    #[test]
    fn a_super_frame_is_measured_by_its_segments() {
        let mut super_frame = frame(&[8, 0], 60_000);
        let gso = |size| Gso {
            kind: GsoKind::TcpV4,
            size: NonZeroU16::new(size).unwrap(),
            header_len: 54,
            ecn: false,
            inner_words: None,
        };
        super_frame.set_offload(Offload {
            gso: Some(gso(1460)),
            ..Offload::NONE
        });
        assert!(admit(&super_frame, 1500).is_ok());
        super_frame.set_offload(Offload {
            gso: Some(gso(1461)),
            ..Offload::NONE
        });
        assert_eq!(admit(&super_frame, 1500), Err(DropReason::TooBig));
    }

    #[test]
    fn what_no_bridge_forwards_is_refused_by_name() {
        assert_eq!(admit(&frame(&[], 13), 1500), Err(DropReason::Runt));
        let mut from_group = frame(&[8, 0], 60);
        from_group.bytes_mut()[6] |= 1;
        assert_eq!(admit(&from_group, 1500), Err(DropReason::MulticastSource));
        let mut to_bridge = frame(&[8, 0], 60);
        to_bridge.bytes_mut()[..6].copy_from_slice(&[1, 0x80, 0xc2, 0, 0, 0x0e]);
        assert_eq!(admit(&to_bridge, 1500), Err(DropReason::LinkLocal));
    }
}
