//! A TAP whose file the switch holds: its netdev is the host's own interface
//! or, moved into a network namespace, a container's.
//!
//! The file is what counts: the netdev may be renamed, moved or taken down and
//! up again. Only when it is deleted does the port end. (The other end of the
//! kind, a TAP whose file a VMM holds, is a [`packet`](super::packet) port.)

use super::sys::ring::Results;
use super::sys::tun;
use super::{
    Abilities, CloseReason, Egress, HandOver, Ingress, Port, Received, Sent, Transmitter, TxFrame,
};
use crate::frame::offload::Offload;
use crate::frame::vnet::{LEGACY_LEN, VnetHeader};
use crate::frame::{BURST, Burst, Frame};
use crate::policy::DropReason;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Frames that may wait on their way from the netdev to the switch. The
/// driver drops without a word when there are more.
const QUEUE_LENGTH: u16 = 8192;

/// In place of a worker's number.
const NOBODY: usize = usize::MAX;

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
    port(files, offload)
}

/// A port of the files that [`Egress::hand_over`] gave in another process, and
/// the name that its netdev has now. What has come in meanwhile waits there.
///
/// # Errors
/// Those of [`tun::name`].
pub fn adopt(files: Vec<OwnedFd>, offload: bool) -> io::Result<(Port, String)> {
    let files: Vec<_> = files.into_iter().map(File::from).map(Arc::new).collect();
    let mut name: io::Result<String> = Err(ErrorKind::InvalidInput.into());
    for file in &files {
        name = Ok(tun::name(&**file)?);
    }
    Ok((port(files, offload)?, name?))
}

fn port(files: Vec<Arc<File>>, offload: bool) -> io::Result<Port> {
    let egress = TapEgress {
        files: files.clone(),
        offload: AtomicBool::new(false),
        uso: AtomicBool::new(false),
        by_ring: AtomicBool::new(true),
        readers: files.iter().map(|_| AtomicUsize::new(NOBODY)).collect(),
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
    /// The worker that reads each queue, or [`NOBODY`].
    readers: Box<[AtomicUsize]>,
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

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut SourceFd(&self.file.as_raw_fd()))
    }

    fn into_queues(self: Box<Self>) -> Vec<Box<dyn Ingress>> {
        vec![self]
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

    fn read_by(&self, readers: &[usize]) {
        for (queue, reader) in self.readers.iter().zip(readers) {
            queue.store(*reader, Relaxed);
        }
    }

    fn set_offload(&self, on: bool) -> io::Result<()> {
        // One file sets it for the netdev.
        if let Some(file) = self.files.first() {
            self.uso.store(tun::set_offload(file, on)?, Relaxed);
        }
        self.offload.store(on, Relaxed);
        Ok(())
    }

    fn hand_over(&self) -> io::Result<HandOver> {
        let files = self.files.iter().map(|file| Ok(file.try_clone()?.into()));
        Ok(HandOver {
            files: files.collect::<io::Result<_>>()?,
            ..HandOver::default()
        })
    }

    fn transmit(&self, by: &mut Transmitter, frames: &[TxFrame<'_>], sent: &mut Sent) {
        let Some(file) = self.file_of(by.worker()) else {
            return;
        };
        for frames in frames.chunks(BURST) {
            let ring = by.ring().filter(|_| self.by_ring.load(Relaxed));
            let results = ring.map(|ring| ring.write(file, frames));
            let results = results.filter(|results| !self.refused(results));
            if let Some(results) = results {
                for (result, frame) in results.into_iter().zip(frames) {
                    count(result, frame, sent);
                }
            } else {
                for frame in frames {
                    count(write(file, frame), frame, sent);
                }
            }
        }
    }
}

impl TapEgress {
    /// The queue that `worker` writes to: the one that it reads. The driver
    /// takes the answers of a flow to the queue that the flow was last written
    /// to, so a flow stays with its worker.
    fn file_of(&self, worker: usize) -> Option<&File> {
        let mut readers = self.readers.iter();
        let own = readers.position(|reader| reader.load(Relaxed) == worker);
        let queue = own.or(worker.checked_rem(self.files.len()))?;
        self.files.get(queue).map(|file| &**file)
    }

    /// Whether the driver has refused all of a burst as it cannot promise not
    /// to block (Linux before 6.4): the ring is left alone from then on.
    fn refused(&self, results: &Results) -> bool {
        let unsupported = |result: &io::Result<()>| {
            let error = result.as_ref().err().and_then(io::Error::raw_os_error);
            error == Some(libc::EOPNOTSUPP)
        };
        let refused = results.iter().all(unsupported);
        if refused {
            self.by_ring.store(false, Relaxed);
        }
        refused
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
