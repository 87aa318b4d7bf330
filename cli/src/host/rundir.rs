//! RUN/NAME: one process serves a network, and no two networks have one host
//! interface.
//!
//! A process that serves holds an exclusive flock(2) on RUN/NAME/lock for as
//! long as it lives; the kernel gives it up with the process, however that
//! ends. A lock that can be had therefore means that whatever else lies in the
//! folder is left over from a killed process.
//!
//! The lock is claimed, looked at and given up only while RUN/.lock is held,
//! for a moment: so a look at another network's lock cannot be taken for its
//! process, and of two networks that want one interface at the same time the
//! second sees the first. Both files are removed in the end. A lock got on a
//! file that was removed meanwhile is worth nothing, so the inode is compared
//! with that of the path afterwards.

use super::durable;
use super::socket::{self, SocketError};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
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
        make_folder(root)?;
        let path = root.join(network);
        let all = claim_all(root)?;
        make_folder(&path)?;
        let lock_path = path.join(LOCK);
        let lock = match lock(&lock_path, FlockOperation::NonBlockingLockExclusive) {
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
        };
        let result = claimed.fill(network, interface);
        drop(all);
        result.map(|()| claimed)
    }

    /// The rest of [`RunDir::claim`], while RUN/.lock is held.
    fn fill(&mut self, network: &str, interface: Option<&str>) -> Result<(), RunDirError> {
        if let Some(interface) = interface {
            refuse_shared(&self.root, network, interface)?;
        }
        let owner = Owner {
            pid: Some(rustix::process::getpid().as_raw_nonzero().get()),
            interface: interface.map(str::to_owned),
        };
        let lock_path = self.path.join(LOCK);
        if let Some(lock) = &mut self.lock {
            // In place: another file would not be the locked one.
            toml::to_string(&owner)
                .map_err(io::Error::other)
                .and_then(|text| {
                    lock.set_len(0)
                        .and_then(|()| lock.write_all(text.as_bytes()))
                })
                .map_err(|source| file_error("write", &lock_path, source))?;
        }
        self.leftovers = self.remove_sockets()?;
        Ok(())
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
    /// folder.
    ///
    /// # Errors
    /// [`RunDirError::File`]. The network is given up all the same.
    pub(crate) fn release(mut self) -> Result<(), RunDirError> {
        self.give_up()
    }

    fn give_up(&mut self) -> Result<(), RunDirError> {
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
        let ours =
            is_at(&lock, &lock_path).map_err(|source| file_error("look at", &lock_path, source))?;
        if !ours {
            return Ok(());
        }
        self.remove_sockets()?;
        self.remove(LOCK)?;
        match fs::remove_dir(&self.path) {
            // What cannot be put back yet is kept for the next start.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            Err(source) => Err(file_error("remove", &self.path, source)),
            Ok(()) => Ok(()),
        }
    }

    fn remove_sockets(&self) -> Result<Vec<PathBuf>, RunDirError> {
        let error = |source| file_error("clean up", &self.path, source);
        let mut removed = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(error)? {
            let entry = entry.map_err(error)?;
            if entry.file_type().map_err(error)?.is_socket() {
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
        if let Err(error) = self.give_up() {
            tracing::warn!("{:#}", anyhow::Error::from(error));
        }
    }
}

/// Makes the folder STATE/NAME, with those above it, and returns its path.
///
/// # Errors
/// [`RunDirError::File`].
pub(crate) fn state_folder(root: &Path, network: &str) -> Result<PathBuf, RunDirError> {
    let path = root.join(network);
    make_folder(&path)?;
    Ok(path)
}

/// Refuses `interface` if a network other than `network` is served with it.
fn refuse_shared(root: &Path, network: &str, interface: &str) -> Result<(), RunDirError> {
    let error = |source| file_error("look through", root, source);
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
        if owner.interface.as_deref() == Some(interface) {
            return Err(RunDirError::InterfaceTaken {
                interface: interface.to_owned(),
                network: entry.file_name().to_string_lossy().into_owned(),
                pid: owner.pid,
            });
        }
    }
    Ok(())
}

/// RUN/.lock, held until it is dropped, which also removes it.
struct All {
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
    match lock(&path, FlockOperation::LockExclusive) {
        Ok(Locked::Held(lock) | Locked::ByAnother(lock)) => Ok(All { path, _lock: lock }),
        Err(source) => Err(file_error("lock", &path, source)),
    }
}

enum Locked {
    Held(File),
    ByAnother(File),
}

/// Makes the file if it is not there, and locks it.
fn lock(path: &Path, operation: FlockOperation) -> io::Result<Locked> {
    loop {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // Nobody else may open it: an open file is enough to lock it.
        let file = File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?);
        match rustix::io::retry_on_intr(|| rustix::fs::flock(&file, operation)) {
            Ok(()) if is_at(&file, path)? => return Ok(Locked::Held(file)),
            Ok(()) => {} // its holder has removed it
            Err(Errno::WOULDBLOCK) => return Ok(Locked::ByAnother(file)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether `file` is the one that `path` names.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((held.dev(), held.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
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

fn make_folder(path: &Path) -> Result<(), RunDirError> {
    // Open to others, since the sockets say who may connect.
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|source| file_error("make the folder", path, source))
}

fn file_error(action: &'static str, path: &Path, source: io::Error) -> RunDirError {
    RunDirError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_network_is_served_once_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let first = RunDir::claim(root.path(), "default", Some("vmlan0")).unwrap();
        let _socket = first.listen("vm.sock").unwrap();
        let error = RunDir::claim(root.path(), "default", None).unwrap_err();
        assert!(
            error.to_string().starts_with(&format!(
                "network \"default\" is already served by process {}",
                std::process::id()
            )),
            "{error}"
        );
        assert_eq!(names(first.path()), ["lock", "vm.sock"]);
        first.release().unwrap();
        assert_eq!(names(root.path()), Vec::<String>::new());
        RunDir::claim(root.path(), "default", Some("vmlan0")).unwrap();
        assert_eq!(names(root.path()), Vec::<String>::new());
    }

    #[test]
    fn an_interface_belongs_to_one_network() {
        let root = tempfile::tempdir().unwrap();
        let other = RunDir::claim(root.path(), "other", Some("vmlan0")).unwrap();
        let error = RunDir::claim(root.path(), "default", Some("vmlan0")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "interface vmlan0 belongs to network \"other\" (process {}): give this one \
                 another `interface`",
                std::process::id()
            )
        );
        assert_eq!(names(root.path()), ["other"]);
        let _third = RunDir::claim(root.path(), "third", Some("vmlan1")).unwrap();
        let _none = RunDir::claim(root.path(), "none", None).unwrap();
        other.release().unwrap();
        RunDir::claim(root.path(), "default", Some("vmlan0")).unwrap();
    }

    /// Another process that holds `lock` until it is killed.
    fn holder(lock: &Path) -> std::process::Child {
        let mut child = Command::new("flock")
            .args(["--exclusive", "--no-fork"])
            .arg(lock)
            .args(["sh", "-c", "echo held; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test needs `flock` (package util-linux)");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "held\n");
        child
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_no_more() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("default");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("lock"), "pid = 4711\ninterface = \"vmlan0\"\n").unwrap();
        for file in ["control.sock", "vm.sock", "fast0.sock"] {
            socket::listen(&path.join(file)).unwrap();
        }
        fs::write(path.join("taken.toml"), "").unwrap();

        let mut process = holder(&path.join("lock"));
        let error = RunDir::claim(root.path(), "default", None).unwrap_err();
        let other = RunDir::claim(root.path(), "other", Some("vmlan0")).unwrap_err();
        let meanwhile = names(&path);
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(error.to_string().contains("by process 4711"), "{error}");
        assert!(
            other.to_string().contains("\"default\" (process 4711)"),
            "{other}"
        );
        assert_eq!(meanwhile.len(), 5, "a live network is left alone");

        let other = RunDir::claim(root.path(), "other", Some("vmlan0")).unwrap();
        drop(other);
        let next = RunDir::claim(root.path(), "default", Some("vmlan0")).unwrap();
        let removed = ["control.sock", "fast0.sock", "vm.sock"].map(|file| path.join(file));
        assert_eq!(next.leftovers(), removed);
        assert_eq!(names(&path), ["lock", "taken.toml"]);
        next.release().unwrap();
        assert_eq!(names(&path), ["taken.toml"], "it is not ours to remove");
    }

    #[test]
    fn a_lock_file_that_makes_no_sense_still_locks() {
        let root = tempfile::tempdir().unwrap();
        let held = RunDir::claim(root.path(), "default", None).unwrap();
        for text in ["", "\u{0}\u{0}", "pid = \"x\"", "interface = 7"] {
            fs::write(held.path().join("lock"), text).unwrap();
            let error = RunDir::claim(root.path(), "default", None).unwrap_err();
            assert!(error.to_string().contains("by another process"), "{error}");
        }
    }

    #[test]
    fn of_many_that_start_and_stop_at_once_one_at_a_time_has_the_interface() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let root = tempfile::tempdir().unwrap();
        let (holders, claims) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (root, holders, claims) = (root.path(), &holders, &claims);
                scope.spawn(move || {
                    // Two names, four threads each, one interface.
                    let network = format!("net{}", thread % 2);
                    for _ in 0..200 {
                        match RunDir::claim(root, &network, Some("vmlan0")) {
                            Ok(claimed) => {
                                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                                claims.fetch_add(1, Ordering::SeqCst);
                                holders.fetch_sub(1, Ordering::SeqCst);
                                claimed.release().unwrap();
                            }
                            Err(
                                RunDirError::AlreadyServed { .. }
                                | RunDirError::InterfaceTaken { .. },
                            ) => {}
                            Err(error) => panic!("{error}: {error:?}"),
                        }
                    }
                });
            }
        });
        assert!(claims.into_inner() > 0);
        assert_eq!(names(root.path()), Vec::<String>::new());
    }

    #[test]
    fn a_folder_removed_by_somebody_else_and_claimed_anew_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let first = RunDir::claim(root.path(), "default", None).unwrap();
        fs::remove_dir_all(first.path()).unwrap();
        let second = RunDir::claim(root.path(), "default", None).unwrap();
        first.release().unwrap();
        assert_eq!(names(second.path()), ["lock"]);
        fs::remove_dir_all(root.path()).unwrap();
        second.release().unwrap();
    }

    #[test]
    fn a_root_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        for error in [
            RunDir::claim(&file.join("run"), "default", None).unwrap_err(),
            state_folder(&file, "default").unwrap_err(),
        ] {
            assert!(
                error.to_string().contains(file.to_str().unwrap()),
                "{error}"
            );
        }
        let state = state_folder(root.path(), "default").unwrap();
        assert!(state.is_dir());
    }

    #[test]
    fn a_sockets_file_is_removed_once_and_then_fine() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::claim(root.path(), "default", None).unwrap();
        let _socket = run.listen("fast0.sock").unwrap();
        run.remove("fast0.sock").unwrap();
        run.remove("fast0.sock").unwrap();
        let _again = run.listen("fast0.sock").unwrap();
    }
}
