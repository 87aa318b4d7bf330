//! The user-space Ethernet switch of vmlan.
//!
//! The modules in the order in which a frame visits them:
//!
//! 1. [`port`] receives a burst of frames from a TAP, an AF_PACKET socket or a
//!    unix socket and turns whatever header came with each into the canonical
//!    form of [`frame`]: bytes plus offload metadata.
//! 2. [`policy`] says whether the frame may enter at all; each refusal is a
//!    named [`policy::DropReason`].
//! 3. [`table`] learns where the source is and looks up the destination.
//! 4. [`hairpin`] answers what the switch answers itself: ARP in place, DHCP
//!    through a [`hairpin::Responder`] on a thread of its own.
//! 5. [`forward`] joins 2 to 4 into one pure step: frame, ingress and time in,
//!    verdict and egress ports out.
//! 6. [`frame::finish`] does in software what an egress cannot take, and
//!    [`port`] transmits.
//!
//! [`worker`] is the only module that joins ports and the step: each worker is
//! a thread that runs a burst from receive to transmit. [`control`] is how the
//! rest of the program talks to them, [`counters`] what they have counted, and
//! [`notice`] what they have seen beside.
//!
//! Nothing here reads a file, the configuration or netlink. Unsafe code is
//! found in `port/sys` alone.

pub mod clock;
pub mod control;
pub mod counters;
pub mod forward;
pub mod frame;
pub mod hairpin;
pub mod notice;
pub mod policy;
mod polling;
pub mod port;
pub mod table;
pub mod worker;

pub use pnet_base::MacAddr;
