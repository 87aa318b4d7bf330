//! The few steps on files that the store is made of. In tests they are
//! recorded, so that a power cut can be put behind each of them.

use crate::host::durable;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Far above any number of leases that a subnet holds: a file longer than
/// this is none of ours.
const LIMIT: usize = 256 << 20;

/// A folder with files, each known by its name alone.
///
/// What is written is safe from a power cut only once the file is synced, and
/// which names there are once the names are. The errors are those of the file
/// system.
pub(crate) trait Disk: Debug + Send + Sync + 'static {
    /// A file that is being written.
    type File: Debug + Send;

    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// The whole of a file; [`None`] if there is none of this name.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Makes an empty file, in place of one of this name.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Writes at the end of a file. If it fails, a part may have been written.
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Has what was written to a file on the disk.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Has the names on the disk.
    fn sync_names(&self) -> io::Result<()>;
    /// Gives a file the name `to`, in place of one that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Keeps a file under another name as well, the first free of `NAME.bad-1`,
    /// `NAME.bad-2`, …, which is returned; one that it has already will do.
    fn keep(&self, name: &str) -> io::Result<String>;
    /// Removes a name.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// How the file is called in messages.
    fn shown(&self, name: &str) -> PathBuf;
}

/// A real folder.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder `path`.
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Whether both names are of one file.
    fn is_same(&self, name: &str, other: &str) -> io::Result<bool> {
        let file = |name| fs::symlink_metadata(self.0.join(name));
        let (one, other) = (file(name)?, file(other)?);
        Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
    }
}

impl Disk for Folder {
    type File = File;

    fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name()));
        // Ours are all text.
        names
            .filter_map(|name| name.map(|name| name.into_string().ok()).transpose())
            .collect()
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        durable::read(&self.0.join(name), LIMIT)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let path = self.0.join(name);
        durable::remove_if_there(&path)?;
        // Like dnsmasq's: leases are no secret.
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o644).open(path)
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn keep(&self, name: &str) -> io::Result<String> {
        let mut n = 1_u32;
        loop {
            let kept = format!("{name}.bad-{n}");
            match fs::hard_link(self.0.join(name), self.0.join(&kept)) {
                Ok(()) => return Ok(kept),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                // By a try before this one, of which a later step failed.
                Err(_) if self.is_same(name, &kept)? => return Ok(kept),
                Err(_) => n = n.saturating_add(1),
            }
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn shown(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_kept_once_however_often_that_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Folder::new(folder.path());
        fs::write(folder.path().join("leases"), "x").unwrap();
        fs::write(folder.path().join("leases.bad-1"), "before").unwrap();
        for _ in 0..3 {
            assert_eq!(disk.keep("leases").unwrap(), "leases.bad-2");
        }
        assert_eq!(disk.names().unwrap().len(), 3);
    }
}
