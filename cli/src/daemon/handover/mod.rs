//! A running network goes from one process to the next, and no guest loses its
//! link by it.
//!
//! What a guest holds on to are open files: the TAP's queues, the packet sockets
//! with the frames that wait in them, the connection of qemu, the sockets that
//! are listened on. They, and a [`record`] of what each is, come to the next
//! process by one of two ways:
//!
//! - **Asked for**: `vmlan run --takeover` connects to RUN/NAME/takeover.sock
//!   ([`ask`]). The running process ([`give`]) tells what the network is, so that
//!   the new one can prepare everything; when that says so, it stops its workers
//!   between two bursts and sends files and record ([`wire`]), and with them
//!   stations and counters. It ends only once the new process has said that the
//!   frames pass; if that ends instead, it goes on itself, with nothing lost.
//! - **Kept**: under a service manager with a store for open files
//!   (sd_notify(3), `FDSTORE=1`) each file is there from its first moment on
//!   ([`store`]), and the record in RUN/NAME/handover.json. The process may be
//!   killed then: the next one is started with the files. SIGUSR2, the signal
//!   by which `systemctl restart` is to end vmlan, leaves all in order for it.
//!
//! The next process ([`heir`]) takes what fits its configuration ([`adopt`]), and
//! makes the rest as at any start.

mod adopt;
mod ask;
mod give;
mod heir;
mod keep;
mod record;
mod store;
mod wire;

pub(super) use give::{Given, Takers, give, leave};
pub(super) use heir::Heir;
pub(super) use keep::Kept;

/// Where the next process asks, in RUN/NAME. Only for the same user.
pub(super) const TAKEOVER: &str = "takeover.sock";
