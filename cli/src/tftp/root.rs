//! The folder whose files are served, and the way in.
//!
//! The kernel keeps to the folder: a path is resolved with `RESOLVE_BENEATH`
//! (openat2(2)), so neither `..` nor a symbolic link leads out of it, whatever
//! changes meanwhile. Links that stay inside are followed.
//!
//! Served are regular files that everybody may read (mode o+r): who asks is
//! nobody that the host knows. dnsmasq has the same rule when it runs as root.

use super::packet::ErrorCode;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A file that may be sent.
#[derive(Debug)]
pub struct Opened {
    /// To read from.
    pub file: File,
    /// In bytes.
    pub size: u64,
}

/// Why a file is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not there.
    #[error("there is no such file")]
    NotFound,
    /// The path leads out of the root folder.
    #[error("it leads out of the root folder")]
    Outside,
    /// A folder, FIFO, device or socket.
    #[error("it is no regular file")]
    NotRegular,
    /// Not everybody may read it.
    #[error("it is not readable by others (chmod o+r)")]
    NotReadable,
    /// The root folder itself cannot be used.
    #[error("the root folder cannot be opened: {0}")]
    Root(Errno),
    /// The kernel says something else.
    #[error("it cannot be opened: {0}")]
    Other(Errno),
}

impl Refusal {
    /// What the client is told: the code, and words that say nothing of the
    /// host's file system.
    #[must_use]
    pub fn answer(&self) -> (ErrorCode, &'static str) {
        match self {
            Self::NotFound => (ErrorCode::NotFound, "file not found"),
            Self::Outside | Self::NotRegular | Self::NotReadable => {
                (ErrorCode::AccessViolation, "access denied")
            }
            Self::Root(_) | Self::Other(_) => (ErrorCode::Undefined, "cannot read the file"),
        }
    }
}

/// Opens the file `path` in the folder `root`. Nothing but a regular file is
/// ever opened for reading, which would block on a FIFO and may do anything on
/// a device.
///
/// # Errors
/// Why it is not sent.
pub fn open(root: &Path, path: &Path) -> Result<Opened, Refusal> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, folder, Mode::empty()).map_err(Refusal::Root)?;
    let beneath = |flags| -> Result<(OwnedFd, Stat), Refusal> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        let file = again(|| rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve))
            .map_err(refusal)?;
        let stat = rustix::fs::fstat(&file).map_err(Refusal::Other)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Refusal::NotRegular);
        }
        if !Mode::from_raw_mode(stat.st_mode).contains(Mode::ROTH) {
            return Err(Refusal::NotReadable);
        }
        Ok((file, stat))
    };
    // First without opening what is there. It may be another file by the second
    // time, which is looked at again and not waited for.
    beneath(OFlags::PATH)?;
    let (file, stat) = beneath(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    Ok(Opened {
        file: file.into(),
        size: u64::try_from(stat.st_size).unwrap_or_default(),
    })
}

/// Calls `open` again where the kernel could not tell in the first place
/// whether the path stays inside, since something was renamed meanwhile
/// (openat2(2), EAGAIN), or was interrupted.
fn again(open: impl Fn() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    const TIMES: usize = 8;
    let transient = |result: &Result<_, _>| matches!(result, Err(Errno::AGAIN | Errno::INTR));
    let mut tries = std::iter::repeat_with(&open).take(TIMES);
    tries.find(|result| !transient(result)).unwrap_or_else(open)
}

fn refusal(error: Errno) -> Refusal {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::ISDIR => Refusal::NotFound,
        Errno::XDEV | Errno::LOOP => Refusal::Outside,
        Errno::ACCESS | Errno::PERM => Refusal::NotReadable,
        other => Refusal::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::mknodat;
    use std::fs::{self, Permissions};
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A folder `root` with the file `file`, and `secret` beside it.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        for (path, text) in [("root/file", "inside"), ("secret", "outside")] {
            let path = folder.path().join(path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        }
        folder
    }

    fn read(folder: &tempfile::TempDir, path: &str) -> Result<String, Refusal> {
        let Opened { mut file, size } = open(&folder.path().join("root"), Path::new(path))?;
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(size, text.len() as u64);
        Ok(text)
    }

    #[test]
    fn a_file_is_opened_also_by_links_and_dots_that_stay_inside() {
        let folder = folder();
        let root = folder.path().join("root");
        symlink("file", root.join("link")).unwrap();
        symlink("../file", root.join("sub/up")).unwrap();
        for path in ["file", "./file", "sub/../file", "link", "sub/up"] {
            assert_eq!(read(&folder, path).as_deref(), Ok("inside"), "{path}");
        }
    }

    #[test]
    fn no_path_leads_out() {
        let folder = folder();
        let root = folder.path().join("root");
        let secret = folder.path().join("secret");
        symlink(&secret, root.join("absolute")).unwrap();
        symlink("../secret", root.join("relative")).unwrap();
        symlink("..", root.join("sub/folder")).unwrap();
        symlink("../..", root.join("sub/parent")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        for path in [
            "../secret",
            "sub/../../secret",
            "sub/folder/../secret",
            "sub/parent/secret",
            "absolute",
            "relative",
            "loop",
            "magic/etc/passwd",
            secret.to_str().unwrap(),
            "/etc/passwd",
        ] {
            assert_eq!(read(&folder, path), Err(Refusal::Outside), "{path}");
        }
    }

    #[test]
    fn what_is_no_file_for_everybody_is_refused() {
        let folder = folder();
        let root = folder.path().join("root");
        let fifo = FileType::Fifo;
        mknodat(CWD, root.join("fifo"), fifo, Mode::from_raw_mode(0o666), 0).unwrap();
        fs::set_permissions(root.join("fifo"), Permissions::from_mode(0o666)).unwrap();
        fs::write(root.join("private"), "x").unwrap();
        fs::set_permissions(root.join("private"), Permissions::from_mode(0o640)).unwrap();
        let long = "x".repeat(5000);
        for (path, why) in [
            ("sub", Refusal::NotRegular),
            (".", Refusal::NotRegular),
            ("fifo", Refusal::NotRegular),
            ("private", Refusal::NotReadable),
            ("none", Refusal::NotFound),
            ("file/x", Refusal::NotFound),
            (&long, Refusal::NotFound),
        ] {
            assert_eq!(read(&folder, path), Err(why), "{path}");
        }
    }

    #[test]
    fn a_root_that_is_gone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = open(&folder.path().join("none"), Path::new("file"));
        assert!(matches!(refused, Err(Refusal::Root(Errno::NOENT))));
    }
}
