//! Files that have to survive a crash: replaced whole or not at all, and put
//! aside rather than overwritten when they make no sense.

use rustix::fs::OFlags;
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Replaces the content of `path` by `content`; the file gets `mode` less the
/// process's umask.
///
/// Once it returns, the new content is on the disk. If the machine stops
/// before, the file holds the old content or the new one, never a mixture.
/// The caller is the only writer of `path`.
///
/// # Errors
/// Those of the file system; the old content is still there then.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = with_suffix(path, ".tmp");
    remove_if_there(&temporary)?; // left over from a crash
    let written = write_new(&temporary, content, mode).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The first error is the one to report.
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    sync_folder(path)
}

/// Reads the whole of `path`, at most `limit` bytes; [`None`] if there is no
/// such file.
///
/// # Errors
/// Those of the file system, [`io::ErrorKind::FileTooLarge`] over the limit, and
/// what is no regular file.
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    // A FIFO would be waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file: move it away"));
    }
    let mut content = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1))
        .read_to_end(&mut content)?;
    if content.len() > limit {
        return Err(Errno::FBIG.into());
    }
    Ok(Some(content))
}

/// Renames `path` to the first free of `path.bad-1`, `path.bad-2`, … and says
/// to which.
///
/// # Errors
/// Those of the file system.
pub(crate) fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let mut n = 1_u32;
    let aside = loop {
        let candidate = with_suffix(path, &format!(".bad-{n}"));
        // Not `exists`: a dangling symlink must not be written over either.
        match fs::symlink_metadata(&candidate) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break candidate,
            Err(error) => return Err(error),
            Ok(_) => n = n.saturating_add(1),
        }
    };
    fs::rename(path, &aside)?;
    sync_folder(path)?;
    Ok(aside)
}

/// Removes a file; one that is not there is fine.
///
/// # Errors
/// Those of the file system.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// A rename is on the disk once the folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        write(&path, b"a longer first content", 0o600).unwrap();
        write(&path, b"second", 0o600).unwrap();
        assert_eq!(read(&path, 6).unwrap().as_deref(), Some(&b"second"[..]));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_gets_past_what_a_crash_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        fs::write(with_suffix(&path, ".tmp"), "half a li").unwrap();
        write(&path, b"whole", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_keeps_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "").unwrap();
        assert!(write(&path, b"new", 0o644).is_err());
        assert!(path.join("inside").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_over_the_limit_is_refused_and_a_missing_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        assert_eq!(read(&path, 6).unwrap(), None);
        fs::write(&path, "1234567").unwrap();
        let error = read(&path, 6).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn what_is_no_file_is_named_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
        for path in [fifo.as_path(), folder.path(), Path::new("/dev/zero")] {
            let error = read(path, 6).unwrap_err();
            assert!(error.to_string().contains("no regular file"), "{error}");
        }
    }

    #[test]
    fn each_file_put_aside_gets_a_number_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        for n in 1..=2 {
            fs::write(&path, n.to_string()).unwrap();
            let aside = put_aside(&path).unwrap();
            assert_eq!(aside, folder.path().join(format!("leases.bad-{n}")));
            assert_eq!(fs::read_to_string(aside).unwrap(), n.to_string());
            assert!(!path.exists());
        }
    }
}
