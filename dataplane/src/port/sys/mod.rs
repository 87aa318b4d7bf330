//! The system calls of the ports, and all of the unsafe code.
//!
//! Each file wraps one kernel interface in safe functions that own their file
//! descriptors, so nothing outside this folder can get memory wrong.

pub mod memory;
pub mod packet_socket;
pub mod ring;
pub mod stream_socket;
pub mod tun;

use super::TxFrame;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The result of a libc call that returns -1 on failure.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A descriptor of our own for the open file that this process was started
/// with as number `fd`.
///
/// # Errors
/// `EBADF` where there is none.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer, and leaves `fd` itself as it is.
    let own = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: `own` was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(own) })
}

/// Takes the open files that this process was started with as numbers 3 to
/// 2 + `count`, as a service manager passes them (sd_listen_fds(3)).
///
/// # Errors
/// `EBADF` where there is no such file, and [`io::ErrorKind::InvalidInput`]
/// where it is one of this process itself.
pub fn take_passed(count: usize) -> io::Result<Vec<OwnedFd>> {
    (3..).take(count).map(take_one_passed).collect()
}

fn take_one_passed(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer, and changes nothing.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: takes no pointer; the file is closed in programs started later.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) })?;
    // SAFETY: all that this program opens is close-on-exec from the start. The
    // file was not, so it was there before and nobody in this process owns it;
    // now it is, so nobody takes it here a second time.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Where the bytes of a frame are, its header first. A whole frame needs the
/// first entry alone.
fn iovecs(frame: &TxFrame<'_>) -> [libc::iovec; 2] {
    [frame.framed, frame.body].map(|bytes| libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    })
}

/// Sets how many bytes may wait in `socket` towards its peer, as far as the
/// host allows.
///
/// # Errors
/// What `SO_SNDBUF` says.
pub fn set_send_buffer(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    // Forcing it past the host's limit (212,992 bytes) needs CAP_NET_ADMIN.
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &bytes))
}

fn set_receive_buffer(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes))
}

/// Sets a socket option to a plain C value.
fn set_option<T: IntoBytes + Immutable>(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let value = value.as_bytes();
    let len = libc::socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel reads `len` bytes of `value`, which has as many.
    check(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            len,
        )
    })?;
    Ok(())
}

/// Reads a socket option that is a plain C value.
fn get_option<T: FromBytes + IntoBytes>(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
) -> io::Result<T> {
    let mut value = T::new_zeroed();
    let bytes = value.as_mut_bytes();
    let mut len =
        libc::socklen_t::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel writes up to `len` bytes of `value`, which has as many
    // and may hold any.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            bytes.as_mut_ptr().cast(),
            &raw mut len,
        )
    })?;
    Ok(value)
}
