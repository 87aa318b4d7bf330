//! Where everything of the bench lives: network namespaces `vb-PID-N-ROLE` and
//! one folder `vb-PID-…` for temporary files. Both go with the [`Lab`]; what a
//! bench that was killed has left is removed by the next one.

pub(crate) mod namespace;
pub(crate) mod process;

use anyhow::{Context as _, Result};
use namespace::Namespace;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What the names of all namespaces and folders start with.
const PREFIX: &str = "vb-";
/// Where `ip netns` keeps its names.
const NETNS: &str = "/run/netns";

/// The place of one bench.
#[derive(Debug)]
pub(crate) struct Lab {
    folder: TempDir,
    made: Cell<u32>,
    variant: String,
}

impl Lab {
    /// Makes the folder, after what benches that run no more have left is
    /// removed. `variant` is what [`Lab::variant`] gives.
    ///
    /// # Errors
    /// There is no place for temporary files.
    pub(crate) fn new(variant: String) -> Result<Self> {
        sweep();
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir()
            .context("cannot make a folder for temporary files")?;
        Ok(Self {
            folder,
            made: Cell::new(0),
            variant,
        })
    }

    /// Lines under `[switch]` for the second vmlan.
    pub(crate) fn variant(&self) -> &str {
        &self.variant
    }

    /// Makes a namespace; `role` says in `ip netns` what it is for.
    ///
    /// # Errors
    /// Not root, or iproute2 is not installed.
    pub(crate) fn namespace(&self, role: &str) -> Result<Namespace> {
        Namespace::new(format!(
            "{PREFIX}{}-{}-{role}",
            std::process::id(),
            self.number()
        ))
    }

    /// Makes an empty folder.
    ///
    /// # Errors
    /// The disk is full.
    pub(crate) fn folder(&self, role: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{}-{role}", self.number()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    fn number(&self) -> u32 {
        let number = self.made.get() + 1;
        self.made.set(number);
        number
    }
}

/// Removes what benches that live no more have left. Whatever cannot be
/// removed does not stand in the way of this one.
fn sweep() {
    for path in stale(Path::new(NETNS)) {
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            namespace::delete(name);
        }
    }
    for path in stale(&std::env::temp_dir()) {
        let _ = fs::remove_dir_all(path);
    }
}

/// Entries of `folder` that belong to a bench whose process is gone.
fn stale(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.and_then(owner)
                .is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
        })
        .collect()
}

/// The process id in a name of ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_a_bench_are_taken_for_one() {
        assert_eq!(owner("vb-123-4-switch"), Some(123));
        assert_eq!(owner("vb-123-AbCd"), Some(123));
        assert_eq!(owner("vb-x-4"), None);
        assert_eq!(owner("vt-123-4-switch"), None);
        assert_eq!(owner("other"), None);
    }

    #[test]
    fn what_a_living_process_made_is_not_stale() {
        let folder = tempfile::tempdir().unwrap();
        let alive = format!("vb-{}-x", std::process::id());
        // Above the greatest process id that Linux gives (PID_MAX_LIMIT).
        for name in [alive.as_str(), "vb-4194305-x", "else"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        assert_eq!(stale(folder.path()), [folder.path().join("vb-4194305-x")]);
    }
}
