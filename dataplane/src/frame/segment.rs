//! To come.

/// Bytes of headers that a super-frame can have: the longest Ethernet, IPv4 and
/// TCP headers take 142, which leaves room for IPv6 extension headers.
pub const MAX_HEADERS: usize = 256;
