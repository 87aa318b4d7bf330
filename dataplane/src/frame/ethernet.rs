//! The Ethernet header, with or without VLAN tags (IEEE 802.3, 802.1Q).

/// Bytes of a MAC address.
pub const ADDRESS: usize = 6;
/// Bytes of an untagged Ethernet header.
pub const HEADER: usize = 14;
/// Bytes of a VLAN tag.
pub const TAG: usize = 4;
