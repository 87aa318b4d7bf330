//! Which network is meant, and where its files are.

use crate::config::{NetworkName, Problem};
use clap::Args;
use rustix::process::geteuid;
use std::env;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Which network, and where its files are.
#[derive(Debug, Args)]
pub struct Place {
    /// The network [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    pub network: Option<NetworkName>,
    /// Folder of the sockets [default: /run/vmlan, not root:
    /// $XDG_RUNTIME_DIR/vmlan]
    #[arg(long, global = true, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Folder of what is kept over restarts [default: /var/lib/vmlan, not
    /// root: $XDG_STATE_HOME/vmlan]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

impl Place {
    /// The network meant.
    #[must_use]
    pub fn network(&self) -> NetworkName {
        self.network.clone().unwrap_or_default()
    }

    /// The same folders, with another network meant.
    #[must_use]
    pub fn of(&self, network: &NetworkName) -> Self {
        Self {
            network: Some(network.clone()),
            run_dir: self.run_dir.clone(),
            state_dir: self.state_dir.clone(),
        }
    }

    /// The folder that holds one folder of sockets for each network.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        let named = self.run_dir.clone();
        named
            .or_else(run_folder)
            .unwrap_or_else(|| fallback("/tmp"))
    }

    /// The folder that holds one folder of kept files for each network.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        let named = self.state_dir.clone();
        named
            .or_else(state_folder)
            .unwrap_or_else(|| fallback("/var/tmp"))
    }

    /// Makes sure that nobody else has a hand in the folders that are taken
    /// where neither an option nor the environment names one: those lie where
    /// everybody may write.
    ///
    /// # Errors
    /// Such a folder is not ours alone.
    pub fn check_fallbacks(&self) -> Result<(), Problem> {
        if self.run_dir.is_none() && run_folder().is_none() {
            check_own(&self.run_dir(), "--run-dir")?;
        }
        if self.state_dir.is_none() && state_folder().is_none() {
            check_own(&self.state_dir(), "--state-dir")?;
        }
        Ok(())
    }
}

/// The run folder of root's networks.
pub const RUN_DIR: &str = "/run/vmlan";

/// The state folder of root's networks.
pub const STATE_DIR: &str = "/var/lib/vmlan";

/// The run folder that the system or the session has for us.
fn run_folder() -> Option<PathBuf> {
    if geteuid().is_root() {
        return Some(RUN_DIR.into());
    }
    let session = || {
        let dir = PathBuf::from(format!("/run/user/{}", geteuid().as_raw()));
        dir.is_dir().then_some(dir)
    };
    let dir = absolute("XDG_RUNTIME_DIR").or_else(session)?;
    Some(dir.join("vmlan"))
}

/// The state folder that the system or the session has for us.
fn state_folder() -> Option<PathBuf> {
    if geteuid().is_root() {
        return Some(STATE_DIR.into());
    }
    let home = || absolute("HOME").map(|home| home.join(".local/state"));
    let dir = absolute("XDG_STATE_HOME").or_else(home)?;
    Some(dir.join("vmlan"))
}

/// Our folder in `under`, which everybody may write to.
fn fallback(under: &str) -> PathBuf {
    PathBuf::from(format!("{under}/vmlan-{}", geteuid().as_raw()))
}

/// Checks that the folder `dir`, which lies where everybody may write, is ours
/// alone, and makes it so where it is missing. Whoever came first with that
/// name could otherwise have us talk to their switch.
fn check_own(dir: &Path, option: &str) -> Result<(), Problem> {
    let refused = |why: &str| {
        Problem::new(format!("{} {why}", dir.display()))
            .help(format!("name a folder of your own with {option} DIR"))
    };
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(&format!("cannot be made: {error}"))),
    }
    // Not the target of a link, which may be anybody's.
    let found = dir
        .symlink_metadata()
        .map_err(|error| refused(&format!("cannot be looked at: {error}")))?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() {
        return Err(refused("is not a folder of yours"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(refused("is open to other users"));
    }
    Ok(())
}

/// The folder in the variable `name`. A relative one is to be ignored (XDG
/// Base Directory Specification, "Environment variables").
fn absolute(name: &str) -> Option<PathBuf> {
    let dir = PathBuf::from(env::var_os(name)?);
    dir.is_absolute().then_some(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_where_everybody_writes_has_to_be_ours_alone() {
        let under = tempfile::tempdir().unwrap();
        let dir = under.path().join("vmlan-1");
        check_own(&dir, "--run-dir").unwrap();
        assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700);
        check_own(&dir, "--run-dir").unwrap();

        let open = std::os::unix::fs::PermissionsExt::from_mode(0o750);
        std::fs::set_permissions(&dir, open).unwrap();
        let problem = check_own(&dir, "--run-dir").unwrap_err();
        assert!(problem.message.ends_with("is open to other users"));
        assert!(problem.help.unwrap().contains("--run-dir DIR"));

        let link = under.path().join("vmlan-2");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        let problem = check_own(&link, "--run-dir").unwrap_err();
        assert!(problem.message.ends_with("is not a folder of yours"));
    }
}
