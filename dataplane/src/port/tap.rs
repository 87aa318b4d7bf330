//! A TAP whose file the switch holds: its netdev is the host's own interface
//! or, moved into a network namespace, a container's.
//!
//! The file is what counts: the netdev may be renamed, moved or taken down and
//! up again. Only when it is deleted does the port end. (The other end of the
//! kind, a TAP whose file a VMM holds, is a [`packet`](super::packet) port.)

use super::sys::tun;
use super::{Abilities, CloseReason, Egress, Ingress, Port, Received, Sent, Transmitter, TxFrame};
use crate::frame::offload::Offload;
use crate::frame::vnet::{LEGACY_LEN, VnetHeader};
use crate::frame::{BURST, Burst, Frame};
use crate::policy::DropReason;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Frames that may wait on their way from the netdev to the switch. The
/// driver drops without a word when there are more.
const QUEUE_LENGTH: u16 = 8192;

/// Makes the netdev `name`, down and without an address, with as many queues
/// as there are workers to read them. It goes away with the port.
///
/// With `offload`, its side may leave checksums and segmentation to the
/// switch.
///
/// # Errors
/// Those of [`tun::open`].
pub fn open(name: &str, queues: usize, offload: bool) -> io::Result<Port> {
    let queues = queues.max(1);
    let files = (0..queues)
        .map(|_| tun::open(name, LEGACY_LEN, queues > 1).map(Arc::new))
        .collect::<io::Result<Vec<_>>>()?;
    tun::set_queue_length(name, QUEUE_LENGTH)?;
    let egress = TapEgress {
        files: files.clone(),
        offload: AtomicBool::new(false),
        uso: AtomicBool::new(false),
        by_ring: AtomicBool::new(true),
    };
    egress.set_offload(offload)?;
    let ingress = |file| Box::new(TapIngress { file }) as Box<dyn Ingress>;
    Ok(Port {
        ingress: files.into_iter().map(ingress).collect(),
        egress: Arc::new(egress),
    })
}

/// One queue of frames from the netdev.
#[derive(Debug)]
struct TapIngress {
    file: Arc<File>,
}

/// The way to the netdev. The driver takes writes from several threads at a
/// time, each file by itself.
#[derive(Debug)]
struct TapEgress {
    /// One a queue.
    files: Vec<Arc<File>>,
    offload: AtomicBool,
    /// The kernel knows super-frames of UDP.
    uso: AtomicBool,
    /// Whether an io_uring can write to it.
    by_ring: AtomicBool,
}

impl TapIngress {
    fn receive_one(&self, frame: &mut Frame) -> io::Result<Result<(), DropReason>> {
        let area = frame.receive_area(LEGACY_LEN);
        let len = (&*self.file).read(area)?;
        let Some(header) = VnetHeader::from_legacy(area) else {
            return Ok(Err(DropReason::Runt));
        };
        frame.received(len.saturating_sub(LEGACY_LEN));
        Ok(match Offload::from_vnet(&header, frame.bytes()) {
            Ok(offload) => {
                frame.set_offload(offload);
                Ok(())
            }
            Err(_) => Err(DropReason::BadOffload),
        })
    }
}

impl Ingress for TapIngress {
    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(
            &mut SourceFd(&self.file.as_raw_fd()),
            token,
            Interest::READABLE,
        )
    }

    fn receive(&mut self, burst: &mut Burst) -> Received {
        while let Some(frame) = burst.vacant().first_mut() {
            match self.receive_one(frame) {
                Ok(Ok(())) => burst.accept(0),
                Ok(Err(reason)) => burst.refuse(reason),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Received::Drained,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // The netdev was deleted under the file.
                Err(e) if e.raw_os_error() == Some(libc::EBADFD) => {
                    return Received::Closed(CloseReason::NetdevGone);
                }
                Err(e) => return Received::Closed(CloseReason::Io(e)),
            }
        }
        Received::More
    }
}

impl Egress for TapEgress {
    fn abilities(&self) -> Abilities {
        match self.offload.load(Relaxed) {
            true => Abilities {
                uso: self.uso.load(Relaxed),
                ..Abilities::ALL
            },
            false => Abilities::NONE,
        }
    }

    fn set_offload(&self, on: bool) -> io::Result<()> {
        for file in &self.files {
            let uso = tun::set_offload(file, on)?;
            self.uso.store(uso, Relaxed);
        }
        self.offload.store(on, Relaxed);
        Ok(())
    }

    fn transmit(&self, by: &mut Transmitter, frames: &[TxFrame<'_>], sent: &mut Sent) {
        // The driver takes the answers of a flow to the queue that the flow was
        // last written to, so each worker keeps to one.
        let queue = by.worker().checked_rem(self.files.len());
        let Some(file) = queue.and_then(|queue| self.files.get(queue)) else {
            return;
        };
        for frames in frames.chunks(BURST) {
            match by.ring() {
                Some(ring) if self.by_ring.load(Relaxed) => {
                    for (result, frame) in ring.write(&**file, frames).into_iter().zip(frames) {
                        match result {
                            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                                self.write_again(file, frame, sent);
                            }
                            result => count(result, frame, sent),
                        }
                    }
                }
                _ => {
                    for frame in frames {
                        count(write(file, frame), frame, sent);
                    }
                }
            }
        }
    }
}

impl TapEgress {
    /// Writes a frame that the io_uring could not. Where it can be written
    /// after all, the driver does not know how to do it without blocking (Linux
    /// before 6.4), and the ring is left alone from then on.
    fn write_again(&self, file: &File, frame: &TxFrame<'_>, sent: &mut Sent) {
        let result = write(file, frame);
        if result.is_ok() {
            self.by_ring.store(false, Relaxed);
        }
        count(result, frame, sent);
    }
}

/// Writes a frame.
#[expect(
    clippy::unused_io_amount,
    reason = "a TAP takes a frame whole or not at all"
)]
fn write(mut file: &File, frame: &TxFrame<'_>) -> io::Result<()> {
    if frame.body.is_empty() {
        file.write(frame.framed)?;
    } else {
        file.write_vectored(&[IoSlice::new(frame.framed), IoSlice::new(frame.body)])?;
    }
    Ok(())
}

/// Counts what became of a frame.
fn count(result: io::Result<()>, frame: &TxFrame<'_>, sent: &mut Sent) {
    match result {
        Ok(()) => sent.count(frame),
        Err(e) => sent.drop(refusal(&e), 1),
    }
}

/// What a refused write means.
fn refusal(error: &io::Error) -> DropReason {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => DropReason::EgressFull,
        // EIO: the netdev is down. EBADFD: it is gone.
        Some(libc::EIO | libc::EBADFD) => DropReason::LinkDown,
        _ => DropReason::EgressError,
    }
}
