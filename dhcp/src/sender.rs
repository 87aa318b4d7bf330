//! Who put a message on the wire, as far as the wire tells.

use pnet_base::MacAddr;

/// The place that a message came by, such as a port of a switch. The number
/// means nothing here: it only tells one place from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(pub u32);

/// What is known of a message's sender without believing the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Where the message came by.
    pub origin: Origin,
    /// The Ethernet source of the frame that it came in.
    pub mac: MacAddr,
    /// Whether it was sent to the server's own address, and so may come from
    /// another subnet, by a router.
    pub unicast: bool,
}
