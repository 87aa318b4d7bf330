//! A connected unix stream socket: qemu's `-netdev stream`, where each frame
//! follows its length (u32, big-endian), with no virtio-net header.
//!
//! Where a frame begins is known from all that came before alone, so a process
//! that goes on with a connection in the place of another, which may have been
//! killed, must find it between two frames. Therefore nothing of a frame is held
//! here and not in the kernel: bytes are looked at first and taken out of the
//! socket only as whole frames, by one system call, and ([`egress`]) only what
//! the socket has room for is written. A peer that leaves a frame unfinished for
//! long may be one whose own buffer is smaller than the frame: only then the part
//! is taken out ([`Ingress::take_part`]).

mod egress;

use super::sys::stream_socket;
use super::{CloseReason, Ingress, Port, Received};
use crate::frame::{Burst, MAX_FRAME};
use crate::policy::DropReason;
use egress::StreamEgress;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of the length before each frame.
const LENGTH: usize = 4;

/// The longest frame that qemu may send (`NET_BUFSIZE`, qemu `include/net/net.h`).
/// A longer one means that the two ends do not speak the same protocol.
const LONGEST: usize = 4096 + 65_536;

/// Bytes looked at at once.
const BUFFER: usize = 4 * (LENGTH + LONGEST);

/// Bytes that may wait in the socket towards the peer.
const SEND_BUFFER: usize = 1 << 20;

/// A port on a connected socket.
///
/// # Errors
/// If the socket cannot be made non-blocking.
pub fn open(socket: UnixStream) -> io::Result<Port> {
    adopt(socket, Vec::new(), Vec::new())
}

/// A port on what [`Egress::hand_over`](super::Egress::hand_over) gave in
/// another process: the socket, the rest of a frame that was begun, and the part
/// of one that was taken out.
///
/// # Errors
/// As [`open`], and [`ErrorKind::InvalidInput`] for what is longer than a frame.
pub fn adopt(socket: UnixStream, begun: Vec<u8>, part: Vec<u8>) -> io::Result<Port> {
    if begun.len().max(part.len()) > LENGTH + LONGEST {
        return Err(ErrorKind::InvalidInput.into());
    }
    socket.set_nonblocking(true)?;
    super::sys::set_send_buffer(&socket, SEND_BUFFER)?;
    let socket = Arc::new(socket);
    let mut looked_at = vec![0; BUFFER].into_boxed_slice();
    for (to, from) in looked_at.iter_mut().zip(&part) {
        *to = *from;
    }
    let held = part.len();
    let part: Part = Arc::new(Mutex::new(part));
    Ok(Port {
        ingress: vec![Box::new(StreamIngress {
            socket: Arc::clone(&socket),
            looked_at,
            from: 0,
            to: held,
            held,
            part: Arc::clone(&part),
        })],
        egress: Arc::new(StreamEgress::new(socket, begun, part)?),
    })
}

/// Frames that the peer sends.
#[derive(Debug)]
struct StreamIngress {
    socket: Arc<UnixStream>,
    /// What has been looked at and is not taken as frames yet, as the socket has
    /// it: `looked_at[from..to]`.
    looked_at: Box<[u8]>,
    from: usize,
    to: usize,
    /// So many bytes of it are taken out of the socket already.
    held: usize,
    /// Those, to be handed over.
    part: Part,
}

/// The part of a frame that its peer was slow to finish.
type Part = Arc<Mutex<Vec<u8>>>;

fn lock(part: &Part) -> MutexGuard<'_, Vec<u8>> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StreamIngress {
    /// Moves whole frames from the buffer into the burst. Errors where the
    /// peer does not speak the protocol.
    fn take_frames(&mut self, burst: &mut Burst) -> Result<(), CloseReason> {
        while let Some(frame) = burst.vacant().first_mut() {
            let waiting = self.looked_at.get(self.from..self.to).unwrap_or_default();
            let Some((length, rest)) = waiting.split_first_chunk::<LENGTH>() else {
                break;
            };
            let len = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if len > LONGEST {
                return Err(CloseReason::Protocol(format!(
                    "a frame of {len} bytes, {LONGEST} is the most"
                )));
            }
            let Some(bytes) = rest.get(..len) else {
                break;
            };
            self.from += LENGTH + len;
            if len > MAX_FRAME {
                burst.refuse(DropReason::TooBig);
            } else {
                frame.set(bytes);
                burst.accept(0);
            }
        }
        Ok(())
    }

    /// Takes out of the socket what was taken as frames since the buffer's place
    /// `since`.
    fn consume(&mut self, since: usize) -> io::Result<()> {
        self.take_out(since + self.held, self.from)?;
        if self.held > 0 {
            self.held = 0;
            lock(&self.part).clear();
        }
        Ok(())
    }

    /// Takes out of the socket what the buffer has at these places: the same bytes
    /// once more. They wait there, so one call gets them all.
    fn take_out(&mut self, from: usize, to: usize) -> io::Result<()> {
        let bytes = self.looked_at.get_mut(from..to).unwrap_or_default();
        (&*self.socket).read_exact(bytes)
    }

    /// Looks at what the socket has. What is in the buffer, a part of a frame at
    /// most, comes again.
    fn look(&mut self) -> io::Result<Look> {
        let known = self.to - self.from - self.held;
        self.looked_at
            .copy_within(self.from..self.from + self.held, 0);
        (self.from, self.to) = (0, self.held);
        let free = self.looked_at.get_mut(self.held..).unwrap_or_default();
        let got = match stream_socket::peek(&self.socket, free) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Look::Nothing),
            got => got?,
        };
        self.to += got;
        Ok(match got {
            0 => Look::End,
            // Behind a part of a frame the end does not show.
            _ if got == known && stream_socket::has_hung_up(&self.socket)? => Look::End,
            _ if got == known => Look::Nothing,
            _ => Look::More,
        })
    }
}

/// What [`StreamIngress::look`] saw.
enum Look {
    /// Bytes that were not there before.
    More,
    /// None.
    Nothing,
    /// None, and none will come.
    End,
}

impl Ingress for StreamIngress {
    fn has_part(&self) -> bool {
        self.to - self.from > self.held
    }

    fn take_part(&mut self) -> io::Result<()> {
        self.take_out(self.from + self.held, self.to)?;
        self.held = self.to - self.from;
        let held = self.looked_at.get(self.from..self.to).unwrap_or_default();
        lock(&self.part).splice(.., held.iter().copied());
        Ok(())
    }

    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(
            &mut SourceFd(&self.socket.as_raw_fd()),
            token,
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut SourceFd(&self.socket.as_raw_fd()))
    }

    fn into_queues(self: Box<Self>) -> Vec<Box<dyn Ingress>> {
        vec![self]
    }

    fn receive(&mut self, burst: &mut Burst) -> Received {
        loop {
            let since = self.from;
            if let Err(reason) = self.take_frames(burst) {
                return Received::Closed(reason);
            }
            if self.from > since
                && let Err(error) = self.consume(since)
            {
                return Received::Closed(CloseReason::Io(error));
            }
            if burst.is_full() {
                return Received::More;
            }
            match self.look() {
                Ok(Look::More) => {}
                Ok(Look::Nothing) => return Received::Drained,
                Ok(Look::End) => return Received::Closed(CloseReason::Hangup),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => {
                    return Received::Closed(CloseReason::Hangup);
                }
                Err(e) => return Received::Closed(CloseReason::Io(e)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
