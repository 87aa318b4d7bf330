//! A connected unix stream socket: qemu's `-netdev stream`, where each frame
//! follows its length (u32, big-endian), with no virtio-net header.

mod egress;

use super::{CloseReason, Ingress, Port, Received};
use crate::frame::{Burst, MAX_FRAME};
use crate::policy::DropReason;
use egress::StreamEgress;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Bytes of the length before each frame.
const LENGTH: usize = 4;

/// The longest frame that qemu may send (`NET_BUFSIZE`, qemu `include/net/net.h`).
/// A longer one means that the two ends do not speak the same protocol.
const LONGEST: usize = 4096 + 65_536;

/// Bytes read at once.
const BUFFER: usize = 4 * (LENGTH + LONGEST);

/// Bytes that may wait in the socket towards the peer.
const SEND_BUFFER: usize = 1 << 20;

/// A port on a connected socket.
///
/// # Errors
/// If the socket cannot be made non-blocking.
pub fn open(socket: UnixStream) -> io::Result<Port> {
    socket.set_nonblocking(true)?;
    super::sys::set_send_buffer(&socket, SEND_BUFFER)?;
    let socket = Arc::new(socket);
    Ok(Port {
        ingress: vec![Box::new(StreamIngress {
            socket: Arc::clone(&socket),
            received: vec![0; BUFFER].into_boxed_slice(),
            from: 0,
            to: 0,
        })],
        egress: Arc::new(StreamEgress::new(socket)),
    })
}

/// Frames that the peer sends.
#[derive(Debug)]
struct StreamIngress {
    socket: Arc<UnixStream>,
    /// Bytes received and not yet taken as frames: `received[from..to]`.
    received: Box<[u8]>,
    from: usize,
    to: usize,
}

impl StreamIngress {
    /// Moves whole frames from the buffer into the burst. Errors where the
    /// peer does not speak the protocol.
    fn take_frames(&mut self, burst: &mut Burst) -> Result<(), CloseReason> {
        while let Some(frame) = burst.vacant().first_mut() {
            let waiting = self.received.get(self.from..self.to).unwrap_or_default();
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

    /// Reads what the socket has into the buffer's free end.
    fn fill(&mut self) -> io::Result<usize> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        } else if self.received.len() - self.to < LENGTH + LONGEST {
            self.received.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        let free = self.received.get_mut(self.to..).unwrap_or_default();
        let got = (&*self.socket).read(free)?;
        self.to += got;
        Ok(got)
    }
}

impl Ingress for StreamIngress {
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
            if let Err(reason) = self.take_frames(burst) {
                return Received::Closed(reason);
            }
            if burst.is_full() {
                return Received::More;
            }
            match self.fill() {
                Ok(0) => return Received::Closed(CloseReason::Hangup),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Received::Drained,
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
