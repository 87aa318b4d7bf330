//! Listening unix sockets.

use super::group;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The longest path in bytes: `sun_path` less the NUL (unix(7)).
const MAX_PATH: usize = 107;

/// Owner and group may connect, which takes write permission.
const MODE: u32 = 0o660;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// A socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// The kernel has no room for the path.
    #[error(
        "the socket path {} has {} bytes, and a unix socket takes 107 at most: use a shorter \
         --run-dir or name",
        .0.display(), .0.as_os_str().len()
    )]
    TooLong(PathBuf),
    /// The kernel refused it.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// The socket's path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Listens on `path`, which must not exist yet, with mode 0660, for the group
/// `vmlan` where there is one. The socket is non-blocking, as `tokio` and `mio` want it.
///
/// # Errors
/// [`SocketError`]; no socket file is left behind then.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    if path.as_os_str().as_bytes().len() > MAX_PATH {
        return Err(SocketError::TooLong(path.to_owned()));
    }
    let error = |source: io::Error| SocketError::Listen {
        path: path.to_owned(),
        source,
    };
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .map_err(|e| error(e.into()))?;
    // Linux makes the file with the mode of the socket's inode less the umask:
    // there is no moment at which others may connect.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(MODE)).map_err(|e| error(e.into()))?;
    let address = SocketAddrUnix::new(path).map_err(|e| error(e.into()))?;
    rustix::net::bind(&socket, &address).map_err(|e| error(e.into()))?;
    // The umask may have taken the group's bits.
    let listening = fs::set_permissions(path, Permissions::from_mode(MODE))
        .and_then(|()| Ok(rustix::net::listen(&socket, BACKLOG)?));
    if let Err(source) = listening {
        // The first error is the one to report.
        drop(fs::remove_file(path));
        return Err(error(source));
    }
    // The service goes on without: root may connect all the same.
    if let Err(error) = group::give(path) {
        let path = path.display();
        tracing::warn!("cannot give {path} to the group {}: {error}", group::NAME);
    }
    Ok(UnixListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_socket_takes_connections_and_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.sock");
        let listener = listen(&path).unwrap();
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        UnixStream::connect(&path)
            .unwrap()
            .write_all(b"hello")
            .unwrap();
        let mut text = String::new();
        listener
            .accept()
            .unwrap()
            .0
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "hello");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o660);
    }

    #[test]
    fn a_path_of_107_bytes_is_taken_and_one_of_108_is_refused_with_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let room = MAX_PATH - folder.path().as_os_str().len() - 1;
        listen(&folder.path().join("x".repeat(room))).unwrap();
        let error = listen(&folder.path().join("x".repeat(room + 1))).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("has 108 bytes"), "{message}");
        assert!(message.contains("shorter --run-dir"), "{message}");
    }

    #[test]
    fn a_path_in_use_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.sock");
        let _first = listen(&path).unwrap();
        let error = listen(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {}", path.display())
        );
        UnixStream::connect(&path).unwrap();
    }
}
