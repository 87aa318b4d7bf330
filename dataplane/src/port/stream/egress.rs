//! The sending side of a stream, which several workers may have frames for.
//!
//! A stream cannot lose bytes in the middle. So a frame is written only where the
//! socket has room for all of it; when the peer reads too slowly, whole frames
//! are dropped. Should the kernel take a part all the same, as it had no memory
//! in the middle, the rest waits in `unsent` until the socket takes it, and
//! whole frames behind it are dropped, so memory stays at one frame.
//!
//! Nor can two workers write to it at a time. Who comes second does not wait:
//! it leaves copies of its frames in a queue, and the one that is writing takes
//! them along (flat combining). A worker's own frames stay in order, since it
//! sends what waits before what it brings. With one worker nothing of this
//! happens.

use super::{LENGTH, Part, lock};
use crate::frame::{BURST, MAX_FRAME, Offload};
use crate::policy::DropReason;
use crate::port::sys::stream_socket;
use crate::port::{Abilities, Egress, HandOver, Sent, Transmitter, TxFrame};
use arrayvec::ArrayVec;
use crossbeam_queue::ArrayQueue;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Frames that may wait for another worker to take them along: a few bursts.
const WAITING: usize = 4 * BURST;

/// Memory that the kernel takes for a write at most, by its bytes: it cuts them
/// into buffers of whole pages, each with a header (`unix_stream_sendmsg` in
/// net/unix/af_unix.c).
const fn memory(bytes: usize) -> usize {
    2 * bytes + 8192
}

/// Frames towards the peer.
#[derive(Debug)]
pub(super) struct StreamEgress {
    socket: Arc<UnixStream>,
    /// What is known of the way to the peer. Who holds it is the one that
    /// writes.
    line: Mutex<Line>,
    /// Frames of workers that found another one writing, each as
    /// [`TxFrame::framed`] has it.
    waiting: ArrayQueue<Box<[u8]>>,
    /// What the other side holds, to be handed over.
    part: Part,
}

/// The socket towards the peer.
#[derive(Debug)]
struct Line {
    /// What is left of a frame that was begun.
    unsent: Vec<u8>,
    /// Memory that the socket may take.
    limit: usize,
    /// What of it is free, at least: the peer only makes more.
    free: usize,
}

impl StreamEgress {
    pub(super) fn new(socket: Arc<UnixStream>, begun: Vec<u8>, part: Part) -> io::Result<Self> {
        let mut unsent = begun;
        unsent.reserve((LENGTH + MAX_FRAME).saturating_sub(unsent.len()));
        let limit = stream_socket::send_limit(&socket)?;
        Ok(Self {
            socket,
            line: Mutex::new(Line {
                unsent,
                limit,
                free: 0,
            }),
            waiting: ArrayQueue::new(WAITING),
            part,
        })
    }

    /// Becomes the one that writes, unless another worker is.
    fn writer(&self) -> Option<Writer<'_>> {
        let line = match self.line.try_lock() {
            Ok(line) => line,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(Writer {
            socket: &self.socket,
            line,
        })
    }

    /// Sends what other workers left, until there is none or somebody else is
    /// at it. Where they leave more than a worker can send in its turn, the peer
    /// cannot take it, and the rest is dropped.
    fn send_waiting(&self, sent: &mut Sent) {
        let mut budget = 2 * WAITING;
        loop {
            // A worker leaves its frame and then looks whether somebody is
            // writing; here it is the other way round. One of the two sees what
            // the other did.
            fence(Ordering::SeqCst);
            if self.waiting.is_empty() {
                return;
            }
            let Some(mut writer) = self.writer() else {
                return;
            };
            if budget == 0 {
                while self.waiting.pop().is_some() {
                    sent.drop(DropReason::EgressFull, 1);
                }
            }
            budget = writer.send_waiting_of(&self.waiting, budget, sent);
        }
    }
}

impl Egress for StreamEgress {
    fn hand_over(&self) -> io::Result<HandOver> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(HandOver {
            files: vec![self.socket.try_clone()?.into()],
            begun: line.unsent.clone(),
            part: lock(&self.part).clone(),
        })
    }

    fn abilities(&self) -> Abilities {
        Abilities::NONE
    }

    fn transmit(&self, _: &mut Transmitter, frames: &[TxFrame<'_>], sent: &mut Sent) {
        if let Some(mut writer) = self.writer() {
            writer.send_waiting_of(&self.waiting, WAITING, sent);
            writer.send_all(frames, sent);
        } else {
            for frame in frames {
                let copy = [frame.framed, frame.body].concat().into_boxed_slice();
                if self.waiting.push(copy).is_err() {
                    sent.drop(DropReason::EgressFull, 1);
                }
            }
        }
        self.send_waiting(sent);
    }

    fn writable(&self, sent: &mut Sent) {
        // The one that is writing may have found the socket full just before
        // this was told, and nobody is told again: so this waits for its turn to
        // end, a bounded number of calls that do not block.
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = Writer {
            socket: &self.socket,
            line,
        };
        writer.send_rest();
        drop(writer);
        self.send_waiting(sent);
    }
}

/// The right to write to the stream.
struct Writer<'a> {
    socket: &'a UnixStream,
    line: MutexGuard<'a, Line>,
}

impl Writer<'_> {
    /// Sends frames that other workers left, `budget` at most; gives what is
    /// left of that.
    fn send_waiting_of(
        &mut self,
        waiting: &ArrayQueue<Box<[u8]>>,
        mut budget: usize,
        sent: &mut Sent,
    ) -> usize {
        loop {
            let copies: ArrayVec<Box<[u8]>, BURST> = std::iter::from_fn(|| waiting.pop())
                .take(budget.min(BURST))
                .collect();
            if copies.is_empty() {
                return budget;
            }
            budget -= copies.len();
            let frames: ArrayVec<TxFrame<'_>, BURST> = copies
                .iter()
                .map(|framed| TxFrame {
                    framed,
                    body: &[],
                    offload: Offload::NONE,
                })
                .collect();
            self.send_all(&frames, sent);
        }
    }

    fn send_all(&mut self, frames: &[TxFrame<'_>], sent: &mut Sent) {
        let mut rest = frames;
        while !rest.is_empty() {
            if !self.send_rest() {
                return sent.drop(DropReason::EgressFull, rest.len());
            }
            let chunk = rest.get(..BURST).unwrap_or(rest);
            match self.send(chunk) {
                Ok(count) => {
                    for frame in chunk.iter().take(count) {
                        sent.count(frame);
                    }
                    rest = rest.get(count..).unwrap_or_default();
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return sent.drop(DropReason::EgressFull, rest.len());
                }
                // The next receive finds the hang-up and ends the port.
                Err(_) => return sent.drop(DropReason::LinkDown, rest.len()),
            }
        }
    }

    /// Sends what is left of a frame that was begun; true if nothing is.
    fn send_rest(&mut self) -> bool {
        while !self.line.unsent.is_empty() {
            match (&*self.socket).write(&self.line.unsent) {
                Ok(count) => {
                    let count = count.min(self.line.unsent.len());
                    self.line.unsent.drain(..count);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// How many of `frames` the socket surely takes whole, and takes note that
    /// they go.
    fn fitting(&mut self, frames: &[TxFrame<'_>]) -> io::Result<usize> {
        let (mut count, mut bytes) = (0, 0);
        let mut is_fresh = false;
        for frame in frames {
            let with = bytes + LENGTH + frame.len();
            if memory(with) > self.line.free && !is_fresh {
                is_fresh = true;
                let unread = stream_socket::unread(self.socket)?;
                // An empty socket takes whatever its limit is.
                self.line.free = match unread {
                    0 => self.line.limit.max(memory(LENGTH + MAX_FRAME)),
                    _ => self.line.limit.saturating_sub(unread),
                };
            }
            if memory(with) > self.line.free {
                break;
            }
            (count, bytes) = (count + 1, with);
        }
        if count > 0 {
            self.line.free -= memory(bytes);
        }
        Ok(count)
    }

    /// Sends up to [`BURST`] frames; returns how many left or were begun.
    fn send(&mut self, frames: &[TxFrame<'_>]) -> io::Result<usize> {
        let frames = frames.get(..self.fitting(frames)?).unwrap_or_default();
        if frames.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut lengths = [[0; LENGTH]; BURST];
        for (length, frame) in lengths.iter_mut().zip(frames) {
            *length = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes();
        }
        let mut slices = [IoSlice::new(&[]); 3 * BURST];
        for ((slices, length), frame) in slices.chunks_mut(3).zip(&lengths).zip(frames) {
            for (slice, bytes) in slices
                .iter_mut()
                .zip([&length[..], frame.head(), frame.body])
            {
                *slice = IoSlice::new(bytes);
            }
        }
        let used = slices.get(..3 * frames.len()).unwrap_or(&slices);
        let mut count = self.socket.write_vectored(used)?;
        for (done, frame) in frames.iter().enumerate() {
            let whole = LENGTH + frame.len();
            if count == 0 {
                return Ok(done);
            }
            if count < whole {
                let begun = used.get(3 * done..3 * done + 3).unwrap_or_default();
                self.line
                    .unsent
                    .extend(begun.iter().flat_map(|slice| slice.iter()).skip(count));
                return Ok(done + 1);
            }
            count -= whole;
        }
        Ok(frames.len())
    }
}
