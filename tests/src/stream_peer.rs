//! The end of a stream port that qemu holds: a unix socket on which each frame
//! comes after its length, a u32 in network order (`net/stream.c` of qemu).

use crate::wait::{self, SOON};
use anyhow::{Context, Result};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection to `vm.sock`.
#[derive(Debug)]
pub struct StreamPeer {
    socket: UnixStream,
    /// What came and is no whole frame yet.
    pending: Vec<u8>,
}

impl StreamPeer {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(path: &Path) -> Result<Self> {
        let socket = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to {}", path.display()))?;
        Self::new(socket)
    }

    /// Takes a connection that is there already.
    ///
    /// # Errors
    /// It is no usable socket.
    pub fn new(socket: UnixStream) -> Result<Self> {
        socket.set_write_timeout(Some(SOON))?;
        Ok(Self {
            socket,
            pending: Vec::new(),
        })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// The switch has hung up, or takes nothing for long.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        let length = u32::try_from(frame.len())?;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend(frame);
        self.send_raw(&bytes)
    }

    /// Sends bytes as they are, for what is no frame.
    ///
    /// # Errors
    /// As [`StreamPeer::send`].
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket
            .write_all(bytes)
            .context("the switch does not read")
    }

    /// Waits for a frame that `wanted` takes; others are dropped.
    ///
    /// # Errors
    /// None came soon, or the switch has hung up.
    pub fn receive(&mut self, what: &str, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        self.socket.set_nonblocking(true)?;
        let frame = wait::until(what, SOON, || {
            self.fill()?;
            while let Some(frame) = self.take() {
                if wanted(&frame) {
                    return Ok(frame);
                }
            }
            anyhow::bail!("no such frame")
        });
        self.socket.set_nonblocking(false)?;
        frame
    }

    /// Waits until the switch has hung up.
    ///
    /// # Errors
    /// It has not, soon.
    pub fn hung_up(&mut self) -> Result<()> {
        self.socket.set_nonblocking(true)?;
        wait::until("the switch to hang up", SOON, || {
            let mut bytes = [0; 65_536];
            match self.socket.read(&mut bytes) {
                Ok(0) => Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
                Ok(_) => anyhow::bail!("frames still come"),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn fill(&mut self) -> Result<()> {
        let mut bytes = [0; 65_536];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => anyhow::bail!("the switch has hung up"),
                Ok(length) => self.pending.extend(bytes.iter().take(length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let (length, rest) = self.pending.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let frame = rest.get(..length)?.to_vec();
        self.pending.drain(..4 + length);
        Some(frame)
    }
}
