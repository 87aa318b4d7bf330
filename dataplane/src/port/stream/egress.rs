//! The sending side of a stream, which several workers may have frames for.
//!
//! A stream cannot lose bytes in the middle. When the peer reads too slowly, a
//! frame that was begun waits in `unsent` until the socket takes the rest;
//! whole frames behind it are dropped, so memory stays at one frame.
//!
//! Nor can two workers write to it at a time. Who comes second does not wait:
//! it leaves copies of its frames in a queue, and the one that is writing takes
//! them along (flat combining). A worker's own frames stay in order, since it
//! sends what waits before what it brings. With one worker nothing of this
//! happens.

use super::LENGTH;
use crate::frame::{BURST, MAX_FRAME, Offload};
use crate::policy::DropReason;
use crate::port::{Abilities, Egress, Sent, Transmitter, TxFrame};
use arrayvec::ArrayVec;
use crossbeam_queue::ArrayQueue;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Frames that may wait for another worker to take them along: a few bursts.
const WAITING: usize = 4 * BURST;

/// Frames towards the peer.
#[derive(Debug)]
pub(super) struct StreamEgress {
    socket: Arc<UnixStream>,
    /// What is left of a frame that was begun. Who holds it is the one that
    /// writes.
    unsent: Mutex<Vec<u8>>,
    /// Frames of workers that found another one writing, each as
    /// [`TxFrame::framed`] has it.
    waiting: ArrayQueue<Box<[u8]>>,
}

impl StreamEgress {
    pub(super) fn new(socket: Arc<UnixStream>) -> Self {
        Self {
            socket,
            unsent: Mutex::new(Vec::with_capacity(LENGTH + MAX_FRAME)),
            waiting: ArrayQueue::new(WAITING),
        }
    }

    /// Becomes the one that writes, unless another worker is.
    fn writer(&self) -> Option<Writer<'_>> {
        let unsent = match self.unsent.try_lock() {
            Ok(unsent) => unsent,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(Writer {
            socket: &self.socket,
            unsent,
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
        let unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = Writer {
            socket: &self.socket,
            unsent,
        };
        writer.send_rest();
        drop(writer);
        self.send_waiting(sent);
    }
}

/// The right to write to the stream.
struct Writer<'a> {
    socket: &'a UnixStream,
    unsent: MutexGuard<'a, Vec<u8>>,
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
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(count) => {
                    let count = count.min(self.unsent.len());
                    self.unsent.drain(..count);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Sends up to [`BURST`] frames; returns how many left or were begun.
    fn send(&mut self, frames: &[TxFrame<'_>]) -> io::Result<usize> {
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
                self.unsent
                    .extend(begun.iter().flat_map(|slice| slice.iter()).skip(count));
                return Ok(done + 1);
            }
            count -= whole;
        }
        Ok(frames.len())
    }
}
