//! The Ethernet header, with or without VLAN tags (IEEE 802.3, 802.1Q).

use crate::MacAddr;

/// Bytes of a MAC address.
pub const ADDRESS: usize = 6;
/// Bytes of an untagged Ethernet header.
pub const HEADER: usize = 14;
/// Bytes of a VLAN tag.
pub const TAG: usize = 4;

/// Ethertype of IPv4.
pub const IPV4: u16 = 0x0800;
/// Ethertype of ARP.
pub const ARP: u16 = 0x0806;
/// Ethertype of IPv6.
pub const IPV6: u16 = 0x86dd;
/// Tag protocol of a customer VLAN tag (IEEE 802.1Q).
pub const VLAN: u16 = 0x8100;
/// Tag protocol of a service VLAN tag (IEEE 802.1ad).
pub const SERVICE_VLAN: u16 = 0x88a8;

/// The link layer of a frame: what a switch decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whom the frame is for.
    pub destination: MacAddr,
    /// Who sent it.
    pub source: MacAddr,
    /// The outer VLAN tag.
    pub vlan: Option<VlanTag>,
    /// The ethertype (or 802.3 length) behind the tags. A third tag is not
    /// looked into: its tag protocol stands here then.
    pub ethertype: u16,
    /// Bytes of the header: 14, or 18 or 22 with one or two tags.
    pub len: usize,
}

/// A VLAN tag (IEEE 802.1Q clause 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VlanTag {
    /// Tag protocol: [`VLAN`] or [`SERVICE_VLAN`].
    pub tpid: u16,
    /// Tag control information: priority (3 bits), drop eligible (1), VID (12).
    pub tci: u16,
}

impl VlanTag {
    /// The VLAN; 0 in a tag that carries a priority only.
    #[must_use]
    pub fn vid(self) -> u16 {
        self.tci & 0x0fff
    }
}

impl Header {
    /// Reads the header of `frame`; `None` when the frame is shorter than the
    /// header, its tags included.
    #[must_use]
    #[inline]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] =
            frame.first_chunk::<HEADER>()?;
        let mut header = Self {
            destination: MacAddr(d0, d1, d2, d3, d4, d5),
            source: MacAddr(s0, s1, s2, s3, s4, s5),
            vlan: None,
            ethertype: u16::from_be_bytes([t0, t1]),
            len: HEADER,
        };
        for _ in 0..2 {
            let tpid = header.ethertype;
            if tpid != VLAN && tpid != SERVICE_VLAN {
                break;
            }
            let &[c0, c1, t0, t1] = frame.get(header.len..)?.first_chunk::<TAG>()?;
            let tci = u16::from_be_bytes([c0, c1]);
            header.vlan.get_or_insert(VlanTag { tpid, tci });
            header.ethertype = u16::from_be_bytes([t0, t1]);
            header.len += TAG;
        }
        Some(header)
    }

    /// The VLAN that the frame names, by its outer tag; 0 without a tag and
    /// with one that carries a priority only.
    #[must_use]
    pub fn vid(&self) -> u16 {
        self.vlan.map_or(0, VlanTag::vid)
    }
}

/// Whether `address` is a group address: multicast or broadcast (IEEE 802.3
/// clause 3.2.3).
#[must_use]
#[inline]
pub fn is_group(address: &MacAddr) -> bool {
    address.0 & 1 == 1
}

/// Whether `address` is 01:80:C2:00:00:0X, which no bridge forwards (IEEE
/// 802.1D table 7-10).
#[must_use]
#[inline]
pub fn is_link_local(address: &MacAddr) -> bool {
    matches!(address, MacAddr(0x01, 0x80, 0xc2, 0, 0, last) if last & 0xf0 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::SlicedPacket;
    use proptest::prelude::*;

    fn frame(behind_addresses: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2];
        frame.extend(behind_addresses);
        frame
    }

    #[test]
    fn an_untagged_header_is_read() {
        let header = Header::parse(&frame(&[0x08, 0x06, 9, 9])).unwrap();
        assert_eq!(header.destination, MacAddr(0x52, 0x54, 0, 0, 0, 1));
        assert_eq!(header.source, MacAddr(0x52, 0x54, 0, 0, 0, 2));
        assert_eq!(header.vlan, None);
        assert_eq!((header.ethertype, header.len), (ARP, 14));
        assert_eq!(header.vid(), 0);
    }

    #[test]
    fn the_outer_tag_names_the_vlan_and_the_ethertype_is_the_inner_one() {
        let bytes = frame(&[0x88, 0xa8, 0x20, 42, 0x81, 0, 0, 7, 0x86, 0xdd]);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(
            header.vlan,
            Some(VlanTag {
                tpid: SERVICE_VLAN,
                tci: 0x202a
            })
        );
        assert_eq!(header.vid(), 42);
        assert_eq!((header.ethertype, header.len), (IPV6, 22));
    }

    #[test]
    fn a_priority_tag_means_vlan_0() {
        let header = Header::parse(&frame(&[0x81, 0, 0xe0, 0, 8, 0])).unwrap();
        assert_eq!((header.vid(), header.len), (0, 18));
    }

    #[test]
    fn a_header_cut_short_anywhere_is_no_header() {
        let bytes = frame(&[0x81, 0, 0, 1, 0x81, 0, 0, 2, 8, 0]);
        for len in 0..bytes.len() {
            assert_eq!(Header::parse(&bytes[..len]), None, "{len} bytes");
        }
        assert!(Header::parse(&bytes).is_some());
    }

    #[test]
    fn group_and_link_local_addresses_are_told_apart() {
        assert!(is_group(&MacAddr::broadcast()));
        assert!(is_group(&MacAddr(0x33, 0x33, 0, 0, 0, 1)));
        assert!(!is_group(&MacAddr(0x52, 0x54, 0, 0, 0, 1)));
        assert!(is_link_local(&MacAddr(1, 0x80, 0xc2, 0, 0, 0x0e)));
        assert!(!is_link_local(&MacAddr(1, 0x80, 0xc2, 0, 0, 0x10)));
    }

    proptest! {
        #[test]
        fn the_header_is_the_one_that_etherparse_sees(
            tags in 0_usize..3,
            tci: [u16; 2],
            ethertype in 0x0900_u16..0x8000,
        ) {
            let mut bytes = frame(&[]);
            for tci in &tci[..tags] {
                bytes.extend(VLAN.to_be_bytes());
                bytes.extend(tci.to_be_bytes());
            }
            bytes.extend(ethertype.to_be_bytes());
            let header = Header::parse(&bytes).unwrap();
            let sliced = SlicedPacket::from_ethernet(&bytes).unwrap();
            prop_assert_eq!(header.ethertype, sliced.payload_ether_type().unwrap().0);
            let vid = sliced.vlan_ids().first().map_or(0, |id| id.value());
            prop_assert_eq!(header.vid(), vid);
            prop_assert_eq!(header.len, bytes.len());
        }
    }
}
