//! Frames that the switch answers itself.
//!
//! [`arp`] answers in place, from tables. What takes longer, as DHCP does
//! (a lease has to be on disk before it is acknowledged), goes to a
//! [`Responder`] on a thread of its own, through `queue`; [`dhcp`] and [`dns`]
//! tell which frames those are. What stations say of an address that the responder probes for
//! by ARP goes to it as well, also what they said shortly before (`sightings`).

pub mod arp;
pub mod dhcp;
pub mod dns;
pub(crate) mod queue;
mod sightings;

use crate::table::PortId;
use bytes::Bytes;
use std::time::Instant;

/// A frame that came up to a responder.
#[derive(Debug, Clone)]
pub struct Request {
    /// The Ethernet frame, complete: no offload is left on it.
    pub frame: Bytes,
    /// Where it came in.
    pub ingress: PortId,
}

/// A frame that a responder sends.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The Ethernet frame, complete.
    pub frame: Bytes,
    /// Where it goes out. A port that is gone by then swallows it.
    pub egress: PortId,
}

/// Something that answers frames off the forwarding path.
pub trait Responder: Send {
    /// Answers what has come up since the last call, so that one commit to disk
    /// can serve many; without requests, what is [due](Self::due).
    fn respond(&mut self, requests: &[Request]) -> Vec<Reply>;

    /// When it has something to do even if no request comes up. `None`: it has
    /// not, and sleeps until one does.
    fn due(&self) -> Option<Instant> {
        None
    }
}
