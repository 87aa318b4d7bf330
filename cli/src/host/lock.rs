//! A file that one process at a time holds by flock(2), and may remove.
//!
//! Whoever waits for the lock, or opened the file a moment before it was
//! removed, gets a lock on a file that has no name any more, while the next one
//! makes and locks another. So the inode is compared with that of the path
//! once the lock is held.

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How [`lock`] ended.
pub(crate) enum Locked {
    /// The lock is held until the file is closed.
    Held(File),
    /// Another open file has it. Only with a non-blocking operation.
    ByAnother(File),
}

/// Locks `path`, which is made if it is not there and never followed as a
/// symlink. The lock ends with the last descriptor of the file, so at the
/// latest with the process; no program started meanwhile inherits it.
///
/// # Errors
/// Those of the file system.
pub(crate) fn lock(path: &Path, operation: FlockOperation) -> io::Result<Locked> {
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
///
/// # Errors
/// Those of the file system.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((held.dev(), held.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
