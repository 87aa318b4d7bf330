//! STATE/NAME/hosts.toml: hosts that were added while the network ran.

use super::durable;
use crate::config::HostEntry;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// The most that is read of the file, in bytes: about 100,000 hosts.
const LIMIT: usize = 16 << 20;

/// Hosts that were added while the network ran, as they are on disk.
#[derive(Debug)]
pub(crate) struct LiveHosts {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default, rename = "host")]
    hosts: Vec<HostEntry>,
}

/// The file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub(crate) struct LiveHostsError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl LiveHosts {
    /// Reads those in `state`, the folder STATE/NAME. A file that makes no sense
    /// is put aside, with a warning.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(state: &Path) -> Result<Self, LiveHostsError> {
        let path = state.join("hosts.toml");
        let read = match durable::read(&path, LIMIT) {
            Err(large) if large.kind() == io::ErrorKind::FileTooLarge => Err(large.to_string()),
            Err(error) => return Err(failed("read", &path, error)),
            Ok(bytes) => parse(&bytes.unwrap_or_default()),
        };
        let content = match read {
            Ok(content) => content,
            Err(reason) => {
                let kept = durable::put_aside(&path).map_err(|e| failed("put aside", &path, e))?;
                tracing::warn!(
                    "{} makes no sense ({reason}): it is kept as {}, and the hosts in it are not \
                     served; mend it and move it back",
                    path.display(),
                    kept.display()
                );
                Content::default()
            }
        };
        Ok(Self { path, content })
    }

    /// The hosts, in the order in which they were added.
    pub(crate) fn entries(&self) -> &[HostEntry] {
        &self.content.hosts
    }

    /// Keeps `hosts` from now on.
    ///
    /// # Errors
    /// Those of the file system; nothing has changed then.
    pub(crate) fn replace(&mut self, hosts: Vec<HostEntry>) -> Result<(), LiveHostsError> {
        let content = Content { hosts };
        toml::to_string(&content)
            .map_err(io::Error::other)
            // What the next start would not read is not written.
            .and_then(|text| match text.len() {
                0..=LIMIT => Ok(text),
                _ => Err(Errno::FBIG.into()),
            })
            .and_then(|text| durable::write(&self.path, text.as_bytes(), 0o640))
            .map_err(|error| failed("write", &self.path, error))?;
        self.content = content;
        Ok(())
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> LiveHostsError {
    let path = path.to_owned();
    LiveHostsError {
        action,
        path,
        source,
    }
}

/// The content of a file, or why it is none.
fn parse(bytes: &[u8]) -> Result<Content, String> {
    let content: Content = toml::from_slice(bytes).map_err(|error| error.message().to_owned())?;
    match content.hosts.iter().find_map(|host| host.host().err()) {
        Some(problem) => Err(problem.one_line()),
        None => Ok(content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mac: &str) -> HostEntry {
        HostEntry {
            mac: std::iter::once(mac.to_owned()).collect(),
            name: Some("db".into()),
            ..HostEntry::default()
        }
    }

    #[test]
    fn hosts_outlive_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let mut hosts = LiveHosts::open(state.path()).unwrap();
        assert_eq!(hosts.entries(), []);
        hosts.replace(vec![entry("52:54:00:00:00:01")]).unwrap();
        let again = LiveHosts::open(state.path()).unwrap();
        assert_eq!(again.entries(), [entry("52:54:00:00:00:01")]);
    }

    #[test]
    fn more_than_the_next_start_would_read_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let mut hosts = LiveHosts::open(state.path()).unwrap();
        hosts.replace(vec![entry("52:54:00:00:00:01")]).unwrap();
        let many = vec![entry("52:54:00:00:00:02"); LIMIT / 40];
        assert!(hosts.replace(many).is_err());
        let again = LiveHosts::open(state.path()).unwrap();
        assert_eq!(again.entries(), [entry("52:54:00:00:00:01")]);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_put_aside() {
        for text in [
            "\u{0}",
            "host = 5",
            "[[host]]\nmac = \"x\"",
            "[[host]]\nx = 1",
        ] {
            let state = tempfile::tempdir().unwrap();
            std::fs::write(state.path().join("hosts.toml"), text).unwrap();
            assert_eq!(LiveHosts::open(state.path()).unwrap().entries(), []);
            let kept = std::fs::read_to_string(state.path().join("hosts.toml.bad-1")).unwrap();
            assert_eq!(kept, text);
        }
    }
}
