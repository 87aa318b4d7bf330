//! STATE/NAME: one process writes there.
//!
//! RUN/NAME is held as well ([`rundir`](super::rundir)), but two processes may
//! have different RUN folders and one STATE, as two containers that share a
//! volume. Each would remove the journals of the other, and with them leases
//! that were acknowledged. So an exclusive flock(2) is held on the folder itself,
//! which leaves no file behind, for as long as the process lives.

use super::rundir::{RunDirError, file_error, make_folder};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The folder STATE/NAME, held by this process until it is dropped.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    lock: File,
}

impl StateDir {
    /// Claims STATE/NAME, with `root` for STATE and `network` for NAME; folders
    /// that are missing are made.
    ///
    /// # Errors
    /// [`RunDirError::File`], and [`RunDirError::StateTaken`] where another
    /// process has it.
    pub(crate) fn claim(root: &Path, network: &str) -> Result<Self, RunDirError> {
        let path = root.join(network);
        make_folder(&path)?;
        let lock = File::open(&path).map_err(|error| file_error("open", &path, error))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(RunDirError::StateTaken(path)),
            // Some network file systems do not lock folders.
            Err(error) => tracing::warn!(
                "cannot lock {}, so see that no other vmlan uses it: {error}",
                path.display()
            ),
        }
        Ok(Self { path, lock })
    }

    /// Takes STATE/NAME over from a process that serves the network, with its
    /// `lock`.
    pub(crate) fn inherit(root: &Path, network: &str, lock: OwnedFd) -> Self {
        Self {
            path: root.join(network),
            lock: File::from(lock),
        }
    }

    /// The lock, to be shared with another process.
    pub(crate) fn lock_file(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// STATE/NAME.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_and_free_when_it_ends() {
        let root = tempfile::tempdir().unwrap();
        let first = StateDir::claim(root.path(), "default").unwrap();
        let error = StateDir::claim(root.path(), "default").unwrap_err();
        assert!(matches!(error, RunDirError::StateTaken(_)), "{error}");
        assert!(error.to_string().contains("--state-dir"), "{error}");
        StateDir::claim(root.path(), "other").unwrap();
        drop(first);
        StateDir::claim(root.path(), "default").unwrap();
        let left: Vec<_> = std::fs::read_dir(root.path().join("default"))
            .unwrap()
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
