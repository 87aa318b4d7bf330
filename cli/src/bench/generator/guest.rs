//! One guest: the file of a TAP, as a VMM holds it.

use super::frame::Template;
use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use vmlan_dataplane::frame::vnet::{self, VnetHeader};
use vmlan_dataplane::port::sys::tun;
use zerocopy::IntoBytes as _;

/// Bytes that a frame with its virtio-net header takes at most.
pub(crate) const BUFFER: usize = vnet::LEN + 65_536 + 18;

/// A TAP whose file is here.
#[derive(Debug)]
pub(crate) struct Guest {
    file: File,
    /// Name of its netdev.
    pub(crate) netdev: String,
}

impl Guest {
    /// Makes the TAP `guestN` in the namespace of the calling thread; down.
    /// Like a guest with a current virtio driver it takes super-frames and
    /// open checksums.
    ///
    /// # Errors
    /// There is no /dev/net/tun.
    pub(crate) fn open(index: usize) -> Result<Self> {
        let netdev = format!("guest{index}");
        let file = tun::open(&netdev, vnet::LEN, false).context("cannot make a TAP")?;
        tun::set_offload(&file, true).context("cannot set the offloads of a TAP")?;
        Ok(Self { file, netdev })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// The netdev is down or gone.
    pub(crate) fn send(&self, template: &Template) -> Result<()> {
        let (header, head, body) = template.parts();
        let slices = [
            IoSlice::new(header.as_bytes()),
            IoSlice::new(head),
            IoSlice::new(body),
        ];
        // A TAP takes a frame whole or not at all.
        (&self.file)
            .write_vectored(&slices)
            .with_context(|| format!("cannot send on {}", self.netdev))?;
        Ok(())
    }

    /// Receives one frame into `buffer`, of [`BUFFER`] bytes; [`None`] when
    /// none waits.
    ///
    /// # Errors
    /// The netdev is gone.
    pub(crate) fn receive<'b>(
        &self,
        buffer: &'b mut [u8],
    ) -> Result<Option<(VnetHeader, &'b [u8])>> {
        match (&self.file).read(buffer) {
            Ok(len) => {
                let received = buffer.get(..len).unwrap_or_default();
                let header = VnetHeader::from_legacy(received).context("a frame without header")?;
                Ok(Some((
                    header,
                    received.get(vnet::LEN..).unwrap_or_default(),
                )))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot receive on {}", self.netdev)),
        }
    }
}

impl AsFd for Guest {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
