//! STATE/NAME/leases on the disk. What stands in it is the business of
//! `vmlan_dhcp`; this is text to and from a file.

use super::durable;
use std::io;
use std::path::{Path, PathBuf};

/// Far above any number of leases that a subnet holds: a file longer than
/// this is not a lease file.
const LIMIT: usize = 64 << 20;

/// The lease file of one network.
#[derive(Debug)]
pub(crate) struct LeaseFile {
    path: PathBuf,
}

/// The lease file cannot be read, written or put aside.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the lease file {}", path.display())]
pub(crate) struct LeaseFileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl LeaseFile {
    /// The lease file in `state`, the folder STATE/NAME.
    pub(crate) fn new(state: &Path) -> Self {
        Self {
            path: state.join("leases"),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its text; [`None`] if there is none yet. Bytes that are not UTF-8 stand
    /// in it as U+FFFD: whether the line is of use all the same is for the
    /// parser to say.
    ///
    /// # Errors
    /// Those of the file system, and a file of over 64 MiB.
    pub(crate) fn load(&self) -> Result<Option<String>, LeaseFileError> {
        let content = durable::read(&self.path, LIMIT).map_err(|e| self.error("read", e))?;
        Ok(content.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Replaces its text. Once this returns, the leases are on the disk, so
    /// that the ACK may leave.
    ///
    /// # Errors
    /// Those of the file system; the old text is still there then.
    pub(crate) fn save(&self, text: &str) -> Result<(), LeaseFileError> {
        // Like dnsmasq's: leases are no secret.
        durable::write(&self.path, text.as_bytes(), 0o644).map_err(|e| self.error("write", e))
    }

    /// Keeps a file that makes no sense under another name, which is returned.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn put_aside(&self) -> Result<PathBuf, LeaseFileError> {
        durable::put_aside(&self.path).map_err(|e| self.error("put aside", e))
    }

    fn error(&self, action: &'static str, source: io::Error) -> LeaseFileError {
        LeaseFileError {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let state = tempfile::tempdir().unwrap();
        let file = LeaseFile::new(state.path());
        assert_eq!(file.load().unwrap(), None);
        file.save("0 52:54:00:00:00:01 192.168.122.2 * *\n")
            .unwrap();
        assert_eq!(
            LeaseFile::new(state.path()).load().unwrap().as_deref(),
            Some("0 52:54:00:00:00:01 192.168.122.2 * *\n")
        );
    }

    #[test]
    fn bytes_that_are_no_text_reach_the_parser_and_the_file_can_be_kept() {
        let state = tempfile::tempdir().unwrap();
        let file = LeaseFile::new(state.path());
        std::fs::write(file.path(), b"0 \xff\n").unwrap();
        assert_eq!(file.load().unwrap().as_deref(), Some("0 \u{fffd}\n"));
        let aside = file.put_aside().unwrap();
        assert_eq!(std::fs::read(aside).unwrap(), b"0 \xff\n");
        assert_eq!(file.load().unwrap(), None);
    }

    #[test]
    fn an_error_names_the_file() {
        let state = tempfile::tempdir().unwrap();
        let file = LeaseFile::new(&state.path().join("missing"));
        let message = file.save("").unwrap_err().to_string();
        assert_eq!(
            message,
            format!("cannot write the lease file {}", file.path().display())
        );
    }
}
