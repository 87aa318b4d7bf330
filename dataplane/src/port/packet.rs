//! An existing netdev as a port, by an AF_PACKET socket: a TAP that a VMM
//! holds, one end of a veth pair, a NIC.
//!
//! The kernel hands over a copy of each frame that the netdev receives, with
//! its offload metadata in a virtio-net header and its VLAN tag beside it. The
//! host's own stack sees the frame as well; keeping it from answering is the
//! business of whoever takes the netdev.

use super::sys::packet_socket::{Datagram, PacketSocket};
use super::sys::ring::Results;
use super::{
    Abilities, CloseReason, Egress, HandOver, Ingress, Port, Received, Sent, Transmitter, TxFrame,
};
use crate::frame::offload::Offload;
use crate::frame::vnet::{LEGACY_LEN, VnetHeader};
use crate::frame::{BURST, Burst, Frame};
use crate::policy::DropReason;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Frames received by one system call, after one that brought frames of the
/// usual sizes.
const BATCH: usize = BURST;

/// The same after super-frames, of which a few fill a burst: the rest of the
/// call's frames would be over.
const BATCH_OF_SUPER_FRAMES: usize = 4;

/// What tells the two apart: bytes a frame on average.
const SUPER_FRAME: usize = 8192;

/// Takes the netdev with `ifindex`, its frames spread over `queues` queues by
/// their flow. It must have no master: a bridge that forwards the same frames
/// would double them.
///
/// # Errors
/// Those of [`PacketSocket::receiving`].
pub fn open(ifindex: u32, queues: usize) -> io::Result<Port> {
    let receiving = PacketSocket::receiving(ifindex, queues)?;
    Ok(port(PacketSocket::sending(ifindex)?, receiving))
}

/// A port of the sockets that [`Egress::hand_over`] gave in another process. What
/// has come in by them meanwhile waits there.
///
/// # Errors
/// Those of [`PacketSocket::adopt`].
pub fn adopt(files: Vec<OwnedFd>) -> io::Result<Port> {
    let mut sockets = files.into_iter().map(PacketSocket::adopt);
    let sending = sockets.next().ok_or(ErrorKind::InvalidInput)??;
    let receiving = sockets.collect::<io::Result<Vec<_>>>()?;
    if receiving.is_empty() {
        return Err(ErrorKind::InvalidInput.into());
    }
    Ok(port(sending, receiving))
}

fn port(sending: PacketSocket, receiving: Vec<PacketSocket>) -> Port {
    let receiving: Vec<_> = receiving.into_iter().map(Arc::new).collect();
    let ingress = |socket| {
        Box::new(PacketIngress {
            socket,
            batch: BATCH_OF_SUPER_FRAMES,
        }) as Box<dyn Ingress>
    };
    Port {
        ingress: receiving.iter().map(Arc::clone).map(ingress).collect(),
        egress: Arc::new(PacketEgress {
            socket: sending,
            receiving,
            offload: AtomicBool::new(true),
        }),
    }
}

/// Sends `frames`, which are finished, out of the netdev with `ifindex`, that
/// need not be a port.
///
/// # Errors
/// Those of [`PacketSocket::sending`], and why a frame could not leave.
pub fn send(ifindex: u32, frames: &[Vec<u8>]) -> io::Result<()> {
    let socket = PacketSocket::sending(ifindex)?;
    for frame in frames {
        let framed = [&[0; LEGACY_LEN][..], frame].concat();
        socket.send(&[TxFrame {
            framed: &framed,
            body: &[],
            offload: Offload::NONE,
        }])?;
    }
    Ok(())
}

/// Frames that the netdev received.
#[derive(Debug)]
struct PacketIngress {
    socket: Arc<PacketSocket>,
    /// Frames that the next call asks for.
    batch: usize,
}

/// The way out of the netdev: a socket of its own, in no poll. The kernel looks
/// for somebody to wake on a socket each time a frame has left by it, which
/// took a tenth of the worker's time where the socket was the one it waits on.
#[derive(Debug)]
struct PacketEgress {
    socket: PacketSocket,
    /// Those that the workers read, to be handed over.
    receiving: Vec<Arc<PacketSocket>>,
    offload: AtomicBool,
}

impl PacketIngress {
    /// What a failed receive means.
    fn failed(&self, error: io::Error, burst: &mut Burst) -> Received {
        match error.raw_os_error() {
            // The next frame's offload does not fit the header (UDP
            // fragmentation offload, for one). The kernel has dropped it.
            Some(libc::EINVAL) => {
                burst.refuse(DropReason::BadOffload);
                Received::More
            }
            Some(libc::EINTR | libc::ENOBUFS | libc::ENOMEM) => Received::More,
            // Reported once, when the netdev goes down and when it goes away.
            Some(libc::ENETDOWN) if self.socket.netdev_exists() => Received::More,
            Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => {
                Received::Closed(CloseReason::NetdevGone)
            }
            _ => Received::Closed(CloseReason::Io(error)),
        }
    }
}

/// Takes what was received into the vacant part of `burst` into the burst.
fn take_all_in(burst: &mut Burst, datagrams: &[Datagram]) {
    let mut refused = 0;
    for datagram in datagrams {
        let Some(frame) = burst.received().get_mut(refused) else {
            return;
        };
        match take_in(frame, datagram) {
            Ok(()) => burst.accept(refused),
            Err(reason) => {
                burst.refuse(reason);
                refused += 1;
            }
        }
    }
}

/// Brings a received frame into its canonical form.
fn take_in(frame: &mut Frame, datagram: &Datagram) -> Result<(), DropReason> {
    if datagram.truncated {
        return Err(DropReason::TooBig);
    }
    let header = VnetHeader::from_legacy(frame.receive_area(LEGACY_LEN)).ok_or(DropReason::Runt)?;
    frame.received(datagram.len.saturating_sub(LEGACY_LEN));
    let offload = Offload::from_vnet(&header, frame.bytes()).map_err(|_| DropReason::BadOffload)?;
    frame.set_offload(offload);
    if let Some((tpid, tci)) = datagram.vlan {
        frame.insert_vlan_tag(tpid, tci);
    }
    Ok(())
}

/// What a refused send means.
fn refusal(error: &io::Error, frame: &TxFrame<'_>) -> DropReason {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => DropReason::EgressFull,
        Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => DropReason::LinkDown,
        Some(libc::EMSGSIZE) => DropReason::TooBig,
        Some(libc::EINVAL) if frame.offload != Offload::NONE => DropReason::BadOffload,
        _ => DropReason::EgressError,
    }
}

impl Ingress for PacketIngress {
    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(
            &mut SourceFd(&self.socket.as_raw_fd()),
            token,
            Interest::READABLE,
        )
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut SourceFd(&self.socket.as_raw_fd()))
    }

    fn into_queues(self: Box<Self>) -> Vec<Box<dyn Ingress>> {
        vec![self]
    }

    fn receive(&mut self, burst: &mut Burst) -> Received {
        let mut datagrams = [Datagram::default(); BATCH];
        loop {
            let vacant = burst.vacant();
            let asked = vacant.len().min(self.batch);
            let Some(vacant) = vacant.get_mut(..asked).filter(|v| !v.is_empty()) else {
                return Received::More;
            };
            let count = match self.socket.receive(vacant, &mut datagrams) {
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Received::Drained,
                Err(e) => return self.failed(e, burst),
            };
            let datagrams = datagrams.get(..count).unwrap_or_default();
            let bytes: usize = datagrams.iter().map(|datagram| datagram.len).sum();
            self.batch = if bytes > count * SUPER_FRAME {
                BATCH_OF_SUPER_FRAMES
            } else {
                BATCH
            };
            take_all_in(burst, datagrams);
        }
    }
}

impl Egress for PacketEgress {
    /// The kernel finishes what the netdev itself cannot do.
    fn abilities(&self) -> Abilities {
        match self.offload.load(Relaxed) {
            true => Abilities::ALL,
            false => Abilities::NONE,
        }
    }

    /// What the netdev leaves undone towards the switch is set on its other
    /// end (`ethtool -K`).
    fn set_offload(&self, on: bool) -> io::Result<()> {
        self.offload.store(on, Relaxed);
        Ok(())
    }

    /// The sending socket and those that receive.
    fn hand_over(&self) -> io::Result<HandOver> {
        let receiving = self.receiving.iter().map(|socket| socket.share());
        let files = std::iter::once(self.socket.share()).chain(receiving);
        Ok(HandOver {
            files: files.collect::<io::Result<_>>()?,
            ..HandOver::default()
        })
    }

    fn transmit(&self, by: &mut Transmitter, frames: &[TxFrame<'_>], sent: &mut Sent) {
        let mut rest = frames;
        while !rest.is_empty() {
            let chunk = rest.get(..BURST).unwrap_or(rest);
            rest = rest.get(chunk.len()..).unwrap_or_default();
            let full = match by.ring() {
                Some(ring) => report(&ring.send(&self.socket, chunk), chunk, sent),
                None => self.send(chunk, sent),
            };
            if full {
                // The rest would meet the same.
                return sent.drop(DropReason::EgressFull, rest.len());
            }
        }
    }
}

/// Counts what became of each frame; true if the egress takes no more.
fn report(results: &Results, frames: &[TxFrame<'_>], sent: &mut Sent) -> bool {
    let mut full = false;
    for (result, frame) in results.iter().zip(frames) {
        full = false;
        match result {
            Ok(()) => sent.count(frame),
            Err(error) => {
                let reason = refusal(error, frame);
                full = reason == DropReason::EgressFull;
                sent.drop(reason, 1);
            }
        }
    }
    // One that was refused in the middle of those that left says nothing.
    sent.full = full;
    full
}

impl PacketEgress {
    /// Sends up to [`BURST`] frames by one system call or more; true if the
    /// egress takes no more.
    fn send(&self, frames: &[TxFrame<'_>], sent: &mut Sent) -> bool {
        let mut rest = frames;
        while let [first, others @ ..] = rest {
            match self.socket.send(rest) {
                Ok(count) => {
                    let (left, more) = rest.split_at_checked(count.max(1)).unwrap_or((rest, &[]));
                    for frame in left {
                        sent.count(frame);
                    }
                    rest = more;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => match refusal(&e, first) {
                    reason @ (DropReason::EgressFull | DropReason::LinkDown) => {
                        sent.drop(reason, rest.len());
                        return sent.full;
                    }
                    reason => {
                        sent.drop(reason, 1);
                        rest = others;
                    }
                },
            }
        }
        false
    }
}
