//! A connected unix stream socket: qemu's `-netdev stream`, where each frame
//! follows its length (u32, big-endian), with no virtio-net header.
//!
//! A stream cannot lose bytes in the middle. When the peer reads too slowly, a
//! frame that was begun waits in `unsent` until the socket takes the rest;
//! whole frames behind it are dropped, so memory stays at one frame.

use super::{Abilities, CloseReason, Port, Received, Sent, TxFrame};
use crate::frame::{BURST, Burst, MAX_FRAME};
use crate::policy::DropReason;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// Bytes of the length before each frame.
const LENGTH: usize = 4;

/// The longest frame that qemu may send (`NET_BUFSIZE`, qemu `include/net/net.h`).
/// A longer one means that the two ends do not speak the same protocol.
const LONGEST: usize = 4096 + 65_536;

/// Bytes read at once.
const BUFFER: usize = 4 * (LENGTH + LONGEST);

/// Bytes that may wait in the socket towards the peer.
const SEND_BUFFER: usize = 1 << 20;

/// A stream port.
#[derive(Debug)]
pub struct Stream {
    socket: UnixStream,
    /// Bytes received and not yet taken as frames: `received[from..to]`.
    received: Box<[u8]>,
    from: usize,
    to: usize,
    unsent: Vec<u8>,
}

impl Stream {
    /// A port on a connected socket.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        super::sys::set_send_buffer(&socket, SEND_BUFFER)?;
        Ok(Self {
            socket,
            received: vec![0; BUFFER].into_boxed_slice(),
            from: 0,
            to: 0,
            unsent: Vec::with_capacity(LENGTH + MAX_FRAME),
        })
    }

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
        let got = self.socket.read(free)?;
        self.to += got;
        Ok(got)
    }

    /// Sends what is left of a frame that was begun; true if nothing is.
    fn send_rest(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(count) => {
                    self.unsent.drain(..count.min(self.unsent.len()));
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
            for (slice, bytes) in slices.iter_mut().zip([&length[..], frame.head, frame.body]) {
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

impl Port for Stream {
    fn abilities(&self) -> Abilities {
        Abilities::NONE
    }

    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(
            &mut SourceFd(&self.socket.as_raw_fd()),
            token,
            Interest::READABLE | Interest::WRITABLE,
        )
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

    fn transmit(&mut self, frames: &[TxFrame<'_>], sent: &mut Sent) {
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

    fn writable(&mut self) {
        self.send_rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Offload;
    use std::os::unix::net::UnixStream;

    fn pair() -> (Stream, UnixStream) {
        let (ours, peer) = UnixStream::pair().unwrap();
        (Stream::new(ours).unwrap(), peer)
    }

    fn message(frame: &[u8]) -> Vec<u8> {
        let mut message = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
        message.extend(frame);
        message
    }

    #[test]
    fn frames_are_taken_out_of_a_stream_however_it_is_cut() {
        let (mut port, mut peer) = pair();
        let mut burst = Burst::default();
        let bytes = [message(&[1; 60]), message(&[2; 1514])].concat();
        for byte in &bytes {
            peer.write_all(&[*byte]).unwrap();
            assert!(matches!(port.receive(&mut burst), Received::Drained));
        }
        let got: Vec<&[u8]> = burst.frames().iter().map(|f| f.bytes()).collect();
        assert_eq!(got, [&[1; 60][..], &[2; 1514][..]]);
    }

    #[test]
    fn a_length_beyond_reason_closes_the_port() {
        let (mut port, mut peer) = pair();
        peer.write_all(&[0xff; 8]).unwrap();
        assert!(matches!(
            port.receive(&mut Burst::default()),
            Received::Closed(CloseReason::Protocol(_))
        ));
    }

    #[test]
    fn a_peer_that_leaves_closes_the_port_after_its_last_frame() {
        let (mut port, mut peer) = pair();
        peer.write_all(&message(&[7; 60])).unwrap();
        drop(peer);
        let mut burst = Burst::default();
        assert!(matches!(
            port.receive(&mut burst),
            Received::Closed(CloseReason::Hangup)
        ));
        assert_eq!(burst.frames().len(), 1);
    }

    #[test]
    fn a_slow_reader_gets_whole_frames_and_the_rest_are_counted_as_dropped() {
        let (mut port, mut peer) = pair();
        let body = [9; 1000];
        let mut sent = Sent::default();
        for n in 0..20_000u32 {
            let head = n.to_be_bytes();
            let frame = TxFrame {
                head: &head,
                body: &body,
                offload: Offload::NONE,
            };
            port.transmit(&[frame; 3], &mut sent);
        }
        let dropped = sent.drops.get(DropReason::EgressFull);
        assert!(dropped > 0 && sent.frames + dropped == 60_000);

        peer.set_nonblocking(true).unwrap();
        let mut stream = Vec::new();
        loop {
            port.writable();
            match peer.read_to_end(&mut stream) {
                Err(e) if e.kind() == ErrorKind::WouldBlock && port.unsent.is_empty() => break,
                _ => {}
            }
        }
        let mut frames = 0;
        let mut rest = &stream[..];
        while let Some((length, more)) = rest.split_first_chunk::<4>() {
            assert_eq!(u32::from_be_bytes(*length), 1004);
            assert_eq!(more[4..1004], body);
            rest = &more[1004..];
            frames += 1;
        }
        assert_eq!(frames, sent.frames);
    }
}
