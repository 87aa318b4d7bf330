//! The way back to qemu: a unix socket, over which it takes a byte with the
//! TAP's file (`net_bridge_run_helper` in qemu's net/tap.c).

use anyhow::{Context as _, ensure};
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, sendmsg,
};
use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use vmlan_dataplane::port::sys::inherited;

/// The socket that qemu waits on.
///
/// # Errors
/// The descriptor is not open, or not such a socket.
pub(crate) fn socket(fd: RawFd) -> anyhow::Result<OwnedFd> {
    let socket = inherited(fd).with_context(|| format!("--fd={fd} is not open"))?;
    let kind = || Some((socket_domain(&socket).ok()?, socket_type(&socket).ok()?));
    ensure!(
        kind() == Some((AddressFamily::UNIX, SocketType::STREAM)),
        "--fd={fd} is not a connected unix socket"
    );
    Ok(socket)
}

/// Sends the TAP's file.
///
/// # Errors
/// Nobody listens.
pub(crate) fn send(socket: &OwnedFd, tap: &File) -> anyhow::Result<()> {
    let files = [tap.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(
        control.push(SendAncillaryMessage::ScmRights(&files)),
        "no room for a descriptor"
    );
    // Whoever does not listen is not waited for.
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = sendmsg(socket, &[IoSlice::new(&[0])], &mut control, flags)
        .context("cannot hand over the TAP")?;
    ensure!(sent == 1, "cannot hand over the TAP");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn only_a_unix_stream_is_taken() {
        let (one, two) = UnixStream::pair().unwrap();
        let own = socket(one.as_raw_fd()).unwrap();
        send(&own, &File::open("/dev/null").unwrap()).unwrap();
        drop(two);
        assert!(send(&own, &File::open("/dev/null").unwrap()).is_err());

        let file = File::open("/dev/null").unwrap();
        assert!(socket(file.as_raw_fd()).is_err());
        let datagram = UnixDatagram::unbound().unwrap();
        assert!(socket(datagram.as_raw_fd()).is_err());
        assert!(socket(RawFd::MAX).is_err());
    }
}
