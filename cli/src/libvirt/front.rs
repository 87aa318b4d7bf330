//! `ovs-vsctl`, by which libvirt tells of guests that start and end: installed
//! with the first network that is adopted, removed with the last.

use super::record::RECORD;
use crate::args::Place;
use crate::config::{NetworkName, Problem};
use crate::ovs::install::{self, FOLDER};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Whether it can be installed.
///
/// # Errors
/// Those of [`install::check`].
pub(super) fn check() -> Result<(), Problem> {
    install::check(Path::new(FOLDER))
}

/// Installs it with the hook that says why a guest is refused; says where it
/// is, and whether libvirtd has yet to notice the hook.
///
/// # Errors
/// They cannot be written.
pub(super) fn install() -> Result<(PathBuf, bool), Problem> {
    let folder = Path::new(FOLDER);
    let link = install::install(folder)?;
    let new = install::install_hook(folder)?;
    Ok((link, new))
}

/// Removes it, if no network but `name` among those at `place` needs it.
///
/// # Errors
/// It cannot be removed.
pub(super) fn remove(place: &Place, name: &NetworkName) -> Result<()> {
    if !others(&place.state_dir(), name)? {
        install::remove_hook()?;
        install::remove(Path::new(FOLDER))?;
    }
    Ok(())
}

/// Whether a network but `name` has been adopted.
fn others(state: &Path, name: &NetworkName) -> Result<bool> {
    let what = || format!("cannot look through {}", state.display());
    for entry in fs::read_dir(state).with_context(what)? {
        let entry = entry.with_context(what)?;
        if entry.file_name() != name.as_str() && entry.path().join(RECORD).exists() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_networks_that_were_adopted_count() {
        let state = tempfile::tempdir().unwrap();
        let name: NetworkName = "default".parse().unwrap();
        for network in ["default", "lab"] {
            fs::create_dir(state.path().join(network)).unwrap();
        }
        fs::write(state.path().join("default").join(RECORD), "").unwrap();
        assert!(!others(state.path(), &name).unwrap());
        fs::write(state.path().join("lab").join(RECORD), "").unwrap();
        assert!(others(state.path(), &name).unwrap());
    }
}
