//! The service manager's store for open files (sd_notify(3) `FDSTORE=1`,
//! sd_listen_fds(3)): it has a descriptor of its own of each, under a name, and
//! starts the next process with them, however this one ends.

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, sendmsg_addr, socket_with,
};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use vmlan_dataplane::port::sys;

/// Open files by their names.
pub(in crate::daemon) type Files = BTreeMap<String, OwnedFd>;

/// The most that are taken from a service manager.
const MAX_FILES: usize = 65_536;

/// The store, and what is in it.
#[derive(Debug)]
pub(super) struct Store {
    socket: OwnedFd,
    manager: SocketAddrUnix,
    names: BTreeSet<String>,
}

impl Store {
    /// The store of the service manager that has started this process, if one
    /// has. Whether it keeps anything is its own business: systemd as much as
    /// `FileDescriptorStoreMax=` says.
    pub(super) fn find() -> io::Result<Option<Self>> {
        let Some(address) = env::var_os("NOTIFY_SOCKET") else {
            return Ok(None);
        };
        Self::at(&address).map(Some)
    }

    fn at(address: &OsStr) -> io::Result<Self> {
        let manager = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
            path => SocketAddrUnix::new(path)?,
        };
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok(Self {
            socket,
            manager,
            names: BTreeSet::new(),
        })
    }

    /// Takes note of what the manager has kept already.
    pub(super) fn has(&mut self, names: impl IntoIterator<Item = String>) {
        self.names.extend(names);
    }

    /// Has `file` kept as `name`. One that is kept already stays.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) fn keep(&mut self, name: &str, file: BorrowedFd<'_>) -> io::Result<()> {
        if self.names.contains(name) {
            return Ok(());
        }
        // Not polled: a netdev that goes down is no reason to forget its socket.
        let text = format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}\n");
        self.send(&text, &[file])?;
        self.names.insert(name.to_owned());
        Ok(())
    }

    /// Has what is kept as `name` forgotten; false if nothing is.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) fn forget(&mut self, name: &str) -> io::Result<bool> {
        if !self.names.remove(name) {
            return Ok(false);
        }
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), &[])?;
        Ok(true)
    }

    /// Has everything forgotten but `names`.
    ///
    /// # Errors
    /// The last one of [`Store::forget`].
    pub(super) fn retain(&mut self, names: &BTreeSet<String>) -> io::Result<()> {
        let mut result = Ok(());
        for name in self.names.difference(names).cloned().collect::<Vec<_>>() {
            if let Err(error) = self.forget(&name) {
                result = Err(error);
            }
        }
        result
    }

    /// Has everything forgotten.
    ///
    /// # Errors
    /// The last one of [`Store::forget`].
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.retain(&BTreeSet::new())
    }

    fn send(&self, text: &str, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(files));
        }
        rustix::io::retry_on_intr(|| {
            sendmsg_addr(
                &self.socket,
                &self.manager,
                &[IoSlice::new(text.as_bytes())],
                &mut control,
                SendFlags::NOSIGNAL,
            )
        })?;
        Ok(())
    }
}

/// The files that the service manager has started this process with, by their
/// names. Once: the second call finds none that is free to take.
///
/// # Errors
/// The environment tells of files that are not there.
pub(super) fn passed() -> io::Result<Files> {
    let variable = |name| env::var(name).ok();
    let own = std::process::id().to_string();
    if variable("LISTEN_PID").as_deref() != Some(&own) {
        return Ok(Files::new());
    }
    let count = variable("LISTEN_FDS").and_then(|count| count.parse().ok());
    let count: usize = count.filter(|n| *n <= MAX_FILES).unwrap_or_default();
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let files = sys::take_passed(count)?;
    let named = names.split(':').map(str::to_owned).zip(files);
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_file_is_kept_once_and_forgotten_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let mut store = Store::at(path.as_os_str()).unwrap();
        let file = tempfile::tempfile().unwrap();
        store.keep("port.a.0", file.as_fd()).unwrap();
        store.keep("port.a.0", file.as_fd()).unwrap();
        assert!(store.forget("port.a.0").unwrap());
        assert!(!store.forget("port.a.0").unwrap());
        store.has(["b".to_owned()]);
        store.clear().unwrap();
        let mut got = Vec::new();
        let mut buffer = [0; 256];
        while let Ok(len) = manager.recv(&mut buffer) {
            got.push(String::from_utf8_lossy(&buffer[..len]).into_owned());
        }
        assert_eq!(
            got,
            [
                "FDSTORE=1\nFDPOLL=0\nFDNAME=port.a.0\n",
                "FDSTOREREMOVE=1\nFDNAME=port.a.0\n",
                "FDSTOREREMOVE=1\nFDNAME=b\n"
            ]
        );
    }
}
