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
    /// each by one write, in their order. A file that cannot promise not to block
    /// refuses all of them ([`libc::EOPNOTSUPP`]).
    pub fn write(&mut self, file: &impl AsRawFd, frames: &[TxFrame<'_>]) -> Results {
        let fd = Fd(file.as_raw_fd());
        let mut slices = [const { MaybeUninit::<[libc::iovec; 2]>::uninit() }; BURST];
        let mut entries: ArrayVec<Entry, BURST> = ArrayVec::new();
        for (frame, slices) in frames.iter().zip(&mut slices) {
            entries.push(if frame.body.is_empty() {
                let (at, len) = place(frame.framed);
                opcode::Write::new(fd, at, len)
                    .rw_flags(libc::RWF_NOWAIT)
                    .build()
            } else {
                let slices = slices.write(iovecs(frame));
                opcode::Writev::new(fd, slices.as_ptr(), 2)
                    .rw_flags(libc::RWF_NOWAIT)
                    .build()
            });
        }
        self.submit(&entries)
    }

    /// Whether it can still be used.
    #[must_use]
    pub fn works(&self) -> bool {
        self.ring.is_some()
    }

    /// Has the kernel carry out `entries` and waits until it has, which it does
    /// within the call: none of them blocks. Should the ring fail, what is not
    /// known to be done is lost ([`libc::ECANCELED`]), lest a frame be sent
    /// twice, and the ring [works](Ring::works) no more.
    fn submit(&mut self, entries: &[Entry]) -> Results {
        let mut results: Results = entries.iter().map(|_| Err(canceled())).collect();
        if let Err(error) = self.carry_out(entries, &mut results)
            && self.ring.take().is_some()
        {
            tracing::warn!("io_uring failed, frames are sent without it from now on: {error}");
        }
        results
    }

    fn carry_out(&mut self, entries: &[Entry], results: &mut Results) -> io::Result<()> {
        let ring = self.ring.as_mut().ok_or_else(canceled)?;
        for (number, entry) in (0..).zip(entries) {
            let entry = entry.clone().user_data(number);
            // SAFETY: buffers, iovecs and messages that the entry points to
            // belong to the caller's frames or stack frame, which wait for
            // `submit` to return. Each entry is marked not to wait, so it is
            // completed within the system call that submits it, and all are
            // before this returns well. On failure, what was not submitted goes
            // with the ring. The kernel only reads what they point to.
            unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
        }
        let (mut completed, mut failures) = (0, 0);
        while completed < entries.len() {
            match ring.submit_and_wait(entries.len() - completed) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // No memory for a request now, or completions to be taken first.
                Err(e)
                    if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY))
                        && failures < TRIES =>
                {
                    failures += 1;
                }
                Err(e) => return Err(e),
            }
            for completion in ring.completion() {
                completed += 1;
                let number = usize::try_from(completion.user_data()).unwrap_or(usize::MAX);
                if let Some(result) = results.get_mut(number) {
                    *result = match completion.result() {
                        0.. => Ok(()),
                        error => Err(io::Error::from_raw_os_error(-error)),
                    };
                }
            }
        }
        Ok(())
    }
}

/// How often a submission that the kernel has no room for is tried again.
const TRIES: u32 = 100;

/// Where bytes are, and how many, as io_uring wants it.
fn place(bytes: &[u8]) -> (*const u8, u32) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    (bytes.as_ptr(), len)
}

/// The result of a frame that the ring did not come to.
fn canceled() -> io::Error {
    io::Error::from_raw_os_error(libc::ECANCELED)
}
