//! io_uring (io_uring(7)): a burst of sends or writes by one system call.
//!
//! Beside the calls that it saves, the kernel does not give the processor away
//! between two frames of the burst, as `sendmmsg` does to each receiver that
//! it wakes up. ARCHITECTURE.md has the figures.

use super::iovecs;
use crate::frame::BURST;
use crate::port::TxFrame;
use arrayvec::ArrayVec;
use io_uring::squeue::Entry;
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use std::fmt;
use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::AsRawFd;

/// What became of each frame of a burst.
pub type Results = ArrayVec<io::Result<()>, BURST>;

/// A submission and a completion queue for one burst, used by the thread that
/// made them alone. Empty between two calls.
pub struct Ring {
    /// `None` once it has failed.
    ring: Option<IoUring>,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let works = self.ring.is_some();
        f.debug_struct("Ring").field("works", &works).finish()
    }
}

impl Ring {
    /// A ring for this thread.
    ///
    /// # Errors
    /// `EINVAL` before Linux 6.1, `EPERM` where `kernel.io_uring_disabled` or a
    /// seccomp filter forbids it, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        let entries = u32::try_from(BURST).map_err(|_| io::ErrorKind::InvalidInput)?;
        let ring = IoUring::builder()
            .setup_submit_all()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(entries)?;
        Ok(Self { ring: Some(ring) })
    }

    /// Sends the first [`BURST`] of `frames` to a socket, each as one message,
    /// in their order.
    pub fn send(&mut self, socket: &impl AsRawFd, frames: &[TxFrame<'_>]) -> Results {
        let fd = Fd(socket.as_raw_fd());
        let mut slices = [const { MaybeUninit::<[libc::iovec; 2]>::uninit() }; BURST];
        let mut messages = [const { MaybeUninit::<libc::msghdr>::uninit() }; BURST];
        let mut entries: ArrayVec<Entry, BURST> = ArrayVec::new();
        for ((frame, slices), message) in frames.iter().zip(&mut slices).zip(&mut messages) {
            entries.push(if frame.body.is_empty() {
                let (at, len) = place(frame.framed);
                let send = opcode::Send::new(fd, at, len);
                send.flags(libc::MSG_DONTWAIT).build()
            } else {
                let slices = slices.write(iovecs(frame));
                // SAFETY: msghdr is plain data; all zeroes is a valid value.
                let message = message.write(unsafe { zeroed() });
                message.msg_iov = slices.as_mut_ptr();
                message.msg_iovlen = slices.len();
                let send = opcode::SendMsg::new(fd, message);
                send.flags(libc::MSG_DONTWAIT.cast_unsigned()).build()
            });
        }
        self.submit(&entries)
    }

    /// Writes the first [`BURST`] of `frames` to a file that does not block,
    /// each by one write, in their order.
    pub fn write(&mut self, file: &impl AsRawFd, frames: &[TxFrame<'_>]) -> Results {
        let fd = Fd(file.as_raw_fd());
        let mut slices = [const { MaybeUninit::<[libc::iovec; 2]>::uninit() }; BURST];
        let mut entries: ArrayVec<Entry, BURST> = ArrayVec::new();
        for (frame, slices) in frames.iter().zip(&mut slices) {
            entries.push(if frame.body.is_empty() {
                let (at, len) = place(frame.framed);
                opcode::Write::new(fd, at, len).build()
            } else {
                let slices = slices.write(iovecs(frame));
                opcode::Writev::new(fd, slices.as_ptr(), 2).build()
            });
        }
        self.submit(&entries)
    }

    /// Has the kernel carry out `entries` and waits until it has, which it does
    /// within the call: none of them blocks.
    fn submit(&mut self, entries: &[Entry]) -> Results {
        let mut results: Results = entries.iter().map(|_| Err(not_done())).collect();
        if self.carry_out(entries, &mut results).is_none() {
            // It may hold on to what was submitted: nothing else goes this way.
            self.ring = None;
        }
        results
    }

    fn carry_out(&mut self, entries: &[Entry], results: &mut Results) -> Option<()> {
        let ring = self.ring.as_mut()?;
        for (number, entry) in (0..).zip(entries) {
            let entry = entry.clone().user_data(number);
            // SAFETY: buffers, iovecs and messages that the entry points to
            // belong to the caller's frames or stack frame, which wait for
            // `submit` to return; and it returns once all entries are completed,
            // or after the ring was closed. The kernel only reads them.
            unsafe { ring.submission().push(&entry) }.ok()?;
        }
        let mut completed = 0;
        while completed < entries.len() {
            match ring.submit_and_wait(entries.len() - completed) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
            for completion in ring.completion() {
                completed += 1;
                let number = usize::try_from(completion.user_data()).ok()?;
                *results.get_mut(number)? = match completion.result() {
                    0.. => Ok(()),
                    error => Err(io::Error::from_raw_os_error(-error)),
                };
            }
        }
        Some(())
    }
}

/// Where bytes are, and how many, as io_uring wants it.
fn place(bytes: &[u8]) -> (*const u8, u32) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    (bytes.as_ptr(), len)
}

/// The result of a frame that the ring never came to.
fn not_done() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}
