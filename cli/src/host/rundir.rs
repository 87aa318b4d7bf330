//! RUN/NAME: one process serves a network, and no two networks in one network
//! namespace have one host interface.
//!
//! A process that serves holds an exclusive flock(2) on RUN/NAME/lock for as
//! long as it lives; the kernel gives it up with the process, however that
//! ends. A lock that can be had therefore means that whatever else lies in the
//! folder is left over from a killed process.
//!
//! The lock is claimed, looked at and given up only while RUN/.lock is held,
//! for a moment: so a look at another network's lock cannot be taken for its
//! process, and of two networks that want one interface at the same time the
//! second sees the first. Both files are removed in the end.

use super::durable;
use super::lock::{self, Locked};
use super::quiet;
use super::socket::{self, SocketError};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
const ALL: &str = ".lock";

/// The most that is read of a lock file, in bytes.
const MAX_OWNER: u64 = 4096;

/// The folder RUN/NAME, held by this process. Dropping it gives it up like
/// [`RunDir::release`], with a warning in place of the error.
#[derive(Debug)]
pub(crate) struct RunDir {
    root: PathBuf,
    path: PathBuf,
    leftovers: Vec<PathBuf>,
    /// [`None`] once released.
    lock: Option<File>,
    /// The lock that this process shares with the one that serves until now.
    shared: Option<File>,
}

/// RUN/NAME cannot be claimed or given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunDirError {
    /// Another process serves this network.
    #[error(
        "network \"{network}\" is already served by {}: stop that first, or name another one \
         with --network", process(.pid)
    )]
    AlreadyServed {
        /// The network's name.
        network: String,
        /// The other process, if its lock file tells.
        pid: Option<i32>,
    },
    /// Another network has the same host interface.
    #[error(
        "interface {interface} belongs to network \"{network}\" ({}): give this one another \
         `interface`", process(.pid)
    )]
    InterfaceTaken {
        /// The host interface that both want.
        interface: String,
        /// The network that has it.
        network: String,
        /// The process that serves that.
        pid: Option<i32>,
    },
    /// Another process has STATE/NAME.
    #[error(
        "{} is in use by another vmlan, and two would lose each other's leases: stop that one, or \
         give this one a --state-dir of its own", .0.display()
    )]
    StateTaken(PathBuf),
    /// The file system refused something.
    #[error("cannot {action} {}{}", path.display(), mend(.source))]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
}

fn process(pid: &Option<i32>) -> String {
    pid.map_or("another process".to_owned(), |pid| format!("process {pid}"))
}

fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            " (run vmlan as root, or give folders of yours with --run-dir and --state-dir)"
        }
        _ => "",
    }
}

/// What a lock file says.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Owner {
    pid: Option<i32>,
    interface: Option<String>,
    /// Inode number of the network namespace that the interface is in.
    netns: Option<u64>,
}

impl RunDir {
    /// Claims RUN/NAME, with `root` for RUN and `network` for NAME, for this
    /// process, and `interface` with it if the network has one on the host.
    /// Folders that are missing are made, and sockets left over from a killed
    /// process removed.
    ///
    /// # Errors
    /// [`RunDirError`]; nothing is left behind then.
    pub(crate) fn claim(
        root: &Path,
        network: &str,
        interface: Option<&str>,
    ) -> Result<Self, RunDirError> {
        Self::claim_but(root, network, interface, |_| false)
    }

    /// As [`RunDir::claim`], leaving the sockets whose names `lives` says of that
    /// somebody still listens on them.
    ///
    /// # Errors
    /// As [`RunDir::claim`].
    pub(crate) fn claim_but(
        root: &Path,
        network: &str,
        interface: Option<&str>,
        lives: impl Fn(&str) -> bool,
    ) -> Result<Self, RunDirError> {
        make_folder(root)?;
        let path = root.join(network);
        let all = claim_all(root)?;
        make_folder(&path)?;
        let lock_path = path.join(LOCK);
        let lock = match lock::lock(&lock_path, FlockOperation::NonBlockingLockExclusive) {
            Ok(Locked::Held(lock)) => lock,
            Ok(Locked::ByAnother(file)) => {
                return Err(RunDirError::AlreadyServed {
                    network: network.to_owned(),
                    pid: owner(&file).pid,
                });
            }
            Err(source) => return Err(file_error("lock", &lock_path, source)),
        };
        // From here on dropping it cleans up, which claims RUN/.lock again.
        let mut claimed = Self {
            root: root.to_owned(),
            path,
            leftovers: Vec::new(),
            lock: Some(lock),
            shared: None,
        };
        let result = claimed.fill(network, interface, &lives);
        drop(all);
        result.map(|()| claimed)
    }

    /// RUN/NAME of a process that serves the network and shares its `lock`: an
    /// open file of two processes is locked by both. Until [`RunDir::own`] it is
    /// that one's, and dropping this leaves all as it is.
    pub(crate) fn share(root: &Path, network: &str, lock: OwnedFd) -> Self {
        Self {
            root: root.to_owned(),
            path: root.join(network),
            leftovers: Vec::new(),
            lock: None,
            shared: Some(File::from(lock)),
        }
    }

    /// The process that has shared it serves no more: it is this one's.
    ///
    /// # Errors
    /// [`RunDirError::File`].
    pub(crate) fn own(&mut self, interface: Option<&str>) -> Result<(), RunDirError> {
        if let Some(mut lock) = self.shared.take() {
            let signed = self.sign(&mut lock, interface);
            self.lock = Some(lock);
            signed?;
        }
        Ok(())
    }

    /// Lets go of RUN/NAME and all that is in it: another process has it.
    pub(crate) fn leave(&mut self) {
        self.lock = None;
    }

    /// The lock, to be shared with another process; `None` once released.
    pub(crate) fn lock_file(&self) -> Option<BorrowedFd<'_>> {
        self.lock.as_ref().map(AsFd::as_fd)
    }

    /// The rest of [`RunDir::claim`], while RUN/.lock is held.
    fn fill(
        &mut self,
        network: &str,
        interface: Option<&str>,
        lives: impl Fn(&str) -> bool,
    ) -> Result<(), RunDirError> {
        let netns = netns();
        if let Some(interface) = interface {
            refuse_shared(&self.root, network, interface, netns)?;
        }
        if let Some(mut lock) = self.lock.take() {
            let signed = self.sign(&mut lock, interface);
            self.lock = Some(lock);
            signed?;
        }
        self.leftovers = self.remove_sockets(lives)?;
        Ok(())
    }

    /// Writes in the lock file whose it is.
    fn sign(&self, lock: &mut File, interface: Option<&str>) -> Result<(), RunDirError> {
        let owner = Owner {
            pid: Some(rustix::process::getpid().as_raw_nonzero().get()),
            interface: interface.map(str::to_owned),
            netns: netns(),
        };
        // In place: another file would not be the locked one.
        let text = toml::to_string(&owner).map_err(io::Error::other);
        let written = text.and_then(|text| {
            lock.set_len(0)?;
            lock.seek(SeekFrom::Start(0))?;
            lock.write_all(text.as_bytes())
        });
        written.map_err(|source| file_error("write", &self.path.join(LOCK), source))
    }

    /// Claims `interface` in place of the host interface that the network had.
    ///
    /// # Errors
    /// [`RunDirError`]; the claim is as it was.
    pub(crate) fn claim_interface(&mut self, interface: Option<&str>) -> Result<(), RunDirError> {
        let _all = claim_all(&self.root)?;
        let network = self.path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(interface) = interface {
            refuse_shared(&self.root, &network, interface, netns())?;
        }
        let Some(mut lock) = self.lock.take() else {
            return Ok(());
        };
        let signed = self.sign(&mut lock, interface);
        self.lock = Some(lock);
        signed
    }

    /// Keeps all networks of RUN from changing what they hold, until the answer
    /// is dropped. Not to be held for long: they wait.
    ///
    /// # Errors
    /// [`RunDirError::File`].
    pub(crate) fn hold_all(&self) -> Result<All, RunDirError> {
        claim_all(&self.root)
    }

    /// The other network that has taken the netdev with number `index`, by its
    /// taken.toml.
    ///
    /// # Errors
    /// [`RunDirError::File`].
    pub(crate) fn taken_by_another(&self, index: u32) -> Result<Option<String>, RunDirError> {
        let network = self.path.file_name().unwrap_or_default().to_string_lossy();
        let others = others(&self.root, &network, netns())?;
        let holder = others
            .into_iter()
            .find(|other| quiet::is_taken_in(&other.path, index));
        Ok(holder.map(|other| other.network))
    }

    /// What the other networks of RUN have in a file of theirs, and whether they
    /// are served: the folder of a killed one stays.
    ///
    /// # Errors
    /// [`RunDirError::File`].
    pub(crate) fn records_of_others(
        &self,
        file: &str,
        limit: usize,
    ) -> Result<Vec<OtherRecord>, RunDirError> {
        let error = |source| file_error("look through", &self.root, source);
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(error)? {
            let folder = entry.map_err(error)?.path();
            if folder == self.path {
                continue;
            }
            // What cannot be read is no network of ours.
            let Ok(Some(content)) = durable::read(&folder.join(file), limit) else {
                continue;
            };
            let lock = File::open(folder.join(LOCK));
            let is_served = lock.is_ok_and(|lock| {
                rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_err()
            });
            records.push(OtherRecord { content, is_served });
        }
        Ok(records)
    }

    /// RUN/NAME.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Sockets of a killed process that were found and removed.
    pub(crate) fn leftovers(&self) -> &[PathBuf] {
        &self.leftovers
    }

    /// Listens on the socket RUN/NAME/`file`, with mode 0660, non-blocking.
    ///
    /// # Errors
    /// Those of [`socket::listen`].
    pub(crate) fn listen(&self, file: &str) -> Result<UnixListener, SocketError> {
        socket::listen(&self.path.join(file))
    }

    /// Removes the socket RUN/NAME/`file`, if it is there.
    ///
    /// # Errors
    /// [`RunDirError::File`].
    pub(crate) fn remove(&self, file: &str) -> Result<(), RunDirError> {
        let path = self.path.join(file);
        durable::remove_if_there(&path).map_err(|source| file_error("remove", &path, source))
    }

    /// Removes the sockets, the lock and, if nothing else is in it, the
    /// folder. Once is enough.
    ///
    /// # Errors
    /// [`RunDirError::File`]. The network is given up all the same.
    pub(crate) fn release(&mut self) -> Result<(), RunDirError> {
        let Some(lock) = self.lock.take() else {
            return Ok(());
        };
        let _all = match claim_all(&self.root) {
            // Somebody removed RUN under us: nothing is left to remove.
            Err(RunDirError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(());
            }
            claimed => claimed?,
        };
        let lock_path = self.path.join(LOCK);
        // Had somebody removed the folder, another process could serve here.
        let ours = lock::is_at(&lock, &lock_path)
            .map_err(|source| file_error("look at", &lock_path, source))?;
        if !ours {
            return Ok(());
        }
        self.remove_sockets(|_| false)?;
        self.remove(LOCK)?;
        match fs::remove_dir(&self.path) {
            // What cannot be put back yet is kept for the next start.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            Err(source) => Err(file_error("remove", &self.path, source)),
            Ok(()) => Ok(()),
        }
    }

    fn remove_sockets(&self, lives: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, RunDirError> {
        let error = |source| file_error("clean up", &self.path, source);
        let mut removed = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(error)? {
            let entry = entry.map_err(error)?;
            let lives = entry.file_name().to_str().is_some_and(&lives);
            if entry.file_type().map_err(error)?.is_socket() && !lives {
                durable::remove_if_there(&entry.path()).map_err(error)?;
                removed.push(entry.path());
            }
        }
        removed.sort();
        Ok(removed)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            tracing::warn!("{:#}", anyhow::Error::from(error));
        }
    }
}

/// The process that serves `network`, if one does; 0 if its lock file does not
/// tell which.
///
/// # Errors
/// [`RunDirError::File`].
pub(crate) fn server(root: &Path, network: &str) -> Result<Option<i32>, RunDirError> {
    if !root.join(network).join(LOCK).exists() {
        return Ok(None);
    }
    let _all = claim_all(root)?;
    let Ok(file) = File::open(root.join(network).join(LOCK)) else {
        return Ok(None);
    };
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(None); // left over
    }
    Ok(Some(owner(&file).pid.unwrap_or_default()))
}

/// Refuses `interface` if a network other than `network` is served with it in
/// the network namespace `netns`.
fn refuse_shared(
    root: &Path,
    network: &str,
    interface: &str,
    netns: Option<u64>,
) -> Result<(), RunDirError> {
    let mut others = others(root, network, netns)?.into_iter();
    match others.find(|other| other.owner.interface.as_deref() == Some(interface)) {
        None => Ok(()),
        Some(other) => Err(RunDirError::InterfaceTaken {
            interface: interface.to_owned(),
            network: other.network,
            pid: other.owner.pid,
        }),
    }
}

/// A file of another network.
#[derive(Debug)]
pub(crate) struct OtherRecord {
    /// What stands in it.
    pub(crate) content: Vec<u8>,
    /// Whether a process serves that network.
    pub(crate) is_served: bool,
}

/// A network that another process serves.
struct Other {
    network: String,
    path: PathBuf,
    owner: Owner,
}

/// The networks but `network` that are served in the network namespace
/// `netns`.
fn others(root: &Path, network: &str, netns: Option<u64>) -> Result<Vec<Other>, RunDirError> {
    let error = |source| file_error("look through", root, source);
    let mut others = Vec::new();
    for entry in fs::read_dir(root).map_err(error)? {
        let entry = entry.map_err(error)?;
        if entry.file_name() == network {
            continue;
        }
        // No lock, or one that is not ours to read: no network of ours.
        let Ok(file) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
            continue; // left over
        }
        let owner = owner(&file);
        if matches!((owner.netns, netns), (Some(a), Some(b)) if a != b) {
            continue;
        }
        others.push(Other {
            network: entry.file_name().to_string_lossy().into_owned(),
            path: entry.path(),
            owner,
        });
    }
    Ok(others)
}

/// What tells the calling thread's network namespace from others
/// (namespaces(7)); [`None`] where there is no /proc to tell.
pub(super) fn netns() -> Option<u64> {
    let namespace = fs::metadata("/proc/thread-self/ns/net").ok()?;
    Some(namespace.ino())
}

/// RUN/.lock, held until it is dropped, which also removes it.
#[derive(Debug)]
pub(crate) struct All {
    path: PathBuf,
    _lock: File,
}

impl Drop for All {
    fn drop(&mut self) {
        // If it stays, it is only an empty file.
        drop(fs::remove_file(&self.path));
    }
}

fn claim_all(root: &Path) -> Result<All, RunDirError> {
    let path = root.join(ALL);
    match lock::lock(&path, FlockOperation::LockExclusive) {
        Ok(Locked::Held(lock) | Locked::ByAnother(lock)) => Ok(All { path, _lock: lock }),
        Err(source) => Err(file_error("lock", &path, source)),
    }
}

/// What the lock file says; nothing if it makes no sense.
fn owner(file: &File) -> Owner {
    let mut text = String::new();
    match file.take(MAX_OWNER).read_to_string(&mut text) {
        Ok(_) => toml::from_str(&text).unwrap_or_default(),
        Err(_) => Owner::default(),
    }
}

/// Makes a folder with those above it.
///
/// # Errors
/// [`RunDirError::File`].
pub(crate) fn make_folder(path: &Path) -> Result<(), RunDirError> {
    // Open to others, since the sockets say who may connect.
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|source| file_error("make the folder", path, source))
}

pub(super) fn file_error(action: &'static str, path: &Path, source: io::Error) -> RunDirError {
    RunDirError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
