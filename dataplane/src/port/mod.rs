//! Ports: where frames enter and leave the switch. One file a kind; the
//! system calls are in `sys`, the only unsafe code.

pub(crate) mod joined;
pub mod packet;
pub mod stream;
#[expect(unsafe_code, reason = "the only place for it")]
pub mod sys;
pub mod tap;
mod transmitter;

pub use transmitter::Transmitter;

use crate::frame::offload::{Checksum, GsoKind};
use crate::frame::vnet::LEGACY_LEN;
use crate::frame::{Burst, Frame, Offload};
use crate::policy::{DropCounts, DropReason};
use mio::{Registry, Token};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A link into the switch: what frames come in by, and what they leave by.
///
/// Each ingress is given to one worker. Every worker holds the egress, since
/// any of them may have a frame for it.
pub struct Port {
    /// One for each queue of the link, at least one. The link keeps the frames
    /// of a flow in one queue.
    pub ingress: Vec<Box<dyn Ingress>>,
    /// The way out.
    pub egress: Arc<dyn Egress>,
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("queues", &self.ingress.len())
            .finish_non_exhaustive()
    }
}

/// The receiving side of a link, or of one of its queues.
///
/// A worker owns it, registers it with its poll, and from then on calls
/// [`receive`](Ingress::receive) while there is something to read. No call
/// blocks.
pub trait Ingress: Send {
    /// Registers what it waits on under `token`: to be readable, and where the
    /// egress wants to know, to be writable.
    ///
    /// # Errors
    /// The error of the poll.
    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()>;

    /// Takes back what [`register`](Ingress::register) did, so that another
    /// worker can register it. What waits in the link stays there.
    ///
    /// # Errors
    /// The error of the poll.
    fn deregister(&mut self, registry: &Registry) -> io::Result<()>;

    /// The queues that it is made of, each an ingress of its own.
    fn into_queues(self: Box<Self>) -> Vec<Box<dyn Ingress>>;

    /// Moves frames from the link into the vacant part of `burst`.
    ///
    /// Readiness is edge-triggered: the worker calls again until the answer is
    /// [`Received::Drained`].
    fn receive(&mut self, burst: &mut Burst) -> Received;

    /// Whether a part of a frame waits in the link, which is
    /// [drained](Received::Drained) otherwise.
    fn has_part(&self) -> bool {
        false
    }

    /// Takes that part out of the link, as its rest may need the room.
    ///
    /// # Errors
    /// If it cannot be read.
    fn take_part(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sending side of a link. Workers share it, and none waits for another.
pub trait Egress: Send + Sync {
    /// What it takes unfinished.
    fn abilities(&self) -> Abilities;

    /// Sends `frames` in order, by what the worker that calls has for it. One
    /// that cannot leave now is dropped with a reason in `sent`; the call never
    /// waits for the peer.
    fn transmit(&self, by: &mut Transmitter, frames: &[TxFrame<'_>], sent: &mut Sent);

    /// Says which worker reads each queue of the link, when it is taken in and
    /// whenever that changes.
    fn read_by(&self, readers: &[usize]) {
        let _ = readers;
    }

    /// The link may have become writable: sends on what waits inside it. What
    /// comes of that is added to `sent`.
    fn writable(&self, sent: &mut Sent) {
        let _ = sent;
    }

    /// What another process needs to go on with the link in this one's place.
    /// Nothing may be sent or received here while it does.
    ///
    /// # Errors
    /// `EMFILE`, or [`io::ErrorKind::Unsupported`] for a kind that cannot be
    /// handed over.
    fn hand_over(&self) -> io::Result<HandOver> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether checksums and segmentation may be left undone on this link, in
    /// either direction. One without offloads has nothing to change.
    ///
    /// # Errors
    /// If the link does not take the change; it stays as it was.
    fn set_offload(&self, on: bool) -> io::Result<()> {
        let _ = on;
        Ok(())
    }
}

/// A link on its way to another process: `adopt` of its kind makes a port of it
/// there.
#[derive(Debug, Default)]
pub struct HandOver {
    /// Its open files, in the order that `adopt` wants them.
    pub files: Vec<OwnedFd>,
    /// What is left of a frame that was begun: it goes out before all others.
    pub begun: Vec<u8>,
    /// What was taken in of a frame whose rest is still to come.
    pub part: Vec<u8>,
}

/// How an [`Ingress::receive`] ended.
#[derive(Debug)]
pub enum Received {
    /// The burst is full, or there may be more: call again.
    More,
    /// Nothing is waiting any more.
    Drained,
    /// The link is gone for good; the worker removes the port.
    Closed(CloseReason),
}

/// Why a port ended.
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Hangup,
    /// The netdev is gone.
    #[error("its netdev is gone")]
    NetdevGone,
    /// The peer sent what its protocol does not allow.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// Reading failed.
    #[error("cannot read from it")]
    Io(#[source] io::Error),
}

/// One frame on its way out, in a form that the egress can take: the bytes are
/// the head followed by `body`. A segment's head is its own, its body a part of
/// the super-frame; a whole frame has an empty body.
#[derive(Debug, Clone, Copy)]
pub struct TxFrame<'a> {
    /// The virtio-net header ([`LEGACY_LEN`] bytes) and right behind it the
    /// head, at least the Ethernet header.
    pub framed: &'a [u8],
    /// The rest.
    pub body: &'a [u8],
    /// What is left to do on it, as the header says.
    pub offload: Offload,
}

impl<'a> TxFrame<'a> {
    /// A frame as it is.
    #[must_use]
    #[inline]
    pub fn whole(frame: &'a Frame) -> Self {
        Self {
            framed: frame.framed(),
            body: &[],
            offload: *frame.offload(),
        }
    }

    /// The leading bytes of the frame, without the virtio-net header.
    #[must_use]
    pub fn head(&self) -> &'a [u8] {
        self.framed.get(LEGACY_LEN..).unwrap_or_default()
    }

    /// Length of the whole frame in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head().len() + self.body.len()
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What became of transmitted frames.
#[derive(Debug, Default)]
pub struct Sent {
    /// Frames that left.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that did not.
    pub drops: DropCounts,
    /// The egress takes no more for now: what would follow is dropped as well.
    pub full: bool,
}

impl Sent {
    /// Counts `frame` as sent.
    pub fn count(&mut self, frame: &TxFrame<'_>) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
    }

    /// Counts `frames` frames as dropped.
    pub fn drop(&mut self, reason: DropReason, frames: usize) {
        self.full |= reason == DropReason::EgressFull;
        self.drops.add(reason, frames as u64);
    }
}

/// What an egress takes unfinished. The rest is done in software before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Frames whose checksum is [`Checksum::Needed`].
    pub checksum: bool,
    /// TCP super-frames over IPv4.
    pub tso4: bool,
    /// TCP super-frames over IPv6.
    pub tso6: bool,
    /// UDP super-frames.
    pub uso: bool,
}

impl Abilities {
    /// Takes everything as it is.
    pub const ALL: Self = Self {
        checksum: true,
        tso4: true,
        tso6: true,
        uso: true,
    };

    /// Takes finished frames only.
    pub const NONE: Self = Self {
        checksum: false,
        tso4: false,
        tso6: false,
        uso: false,
    };

    /// Takes a frame with `offload` as it is. What the virtio-net header has no
    /// words for, no egress takes: super-frames in tunnels, the CRC32c of SCTP.
    #[must_use]
    pub fn take(&self, offload: &Offload) -> bool {
        let checksum = match offload.checksum {
            Checksum::Complete | Checksum::Verified => true,
            Checksum::Needed { .. } => self.checksum,
            Checksum::NeededCrc32c { .. } => false,
        };
        let gso = offload.gso.is_none_or(|gso| {
            gso.inner_words.is_none()
                && match gso.kind {
                    GsoKind::TcpV4 => self.tso4,
                    GsoKind::TcpV6 => self.tso6,
                    GsoKind::Udp => self.uso,
                }
        });
        checksum && gso
    }
}
