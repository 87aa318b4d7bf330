//! Connected unix stream sockets (unix(7)), as far as the standard library
//! does not have them.

use super::{check, get_option};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// Copies what waits in the socket into `bytes` and leaves it there; gives how
/// much that was, 0 at the end.
///
/// # Errors
/// `WouldBlock` where nothing waits, and what else `recv` says.
pub fn peek(socket: &UnixStream, bytes: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes up to `len` bytes of `bytes`, which has as many.
    let got = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            bytes.as_mut_ptr().cast(),
            bytes.len(),
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Whether the peer sends no more, whatever still waits.
///
/// # Errors
/// What `poll` says.
pub fn has_hung_up(socket: &UnixStream) -> io::Result<bool> {
    let mut asked = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: the kernel reads and writes one pollfd, and does not wait.
    check(unsafe { libc::poll(&raw mut asked, 1, 0) })?;
    Ok(asked.revents != 0)
}

/// Memory that the socket may take for what the peer has not read, in bytes as
/// the kernel counts them: headers included (`SO_SNDBUF`).
///
/// # Errors
/// What `getsockopt` says.
pub fn send_limit(socket: &UnixStream) -> io::Result<usize> {
    let limit: libc::c_int = get_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF)?;
    Ok(usize::try_from(limit).unwrap_or_default())
}

/// Memory that it takes now (`SIOCOUTQ`; `unix_outq_len` in net/unix/af_unix.c).
///
/// # Errors
/// What `ioctl` says.
pub fn unread(socket: &UnixStream) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which has the number of TIOCOUTQ, writes one int.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or_default())
}
