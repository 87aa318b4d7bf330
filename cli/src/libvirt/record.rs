//! What is kept of a network while vmlan serves it in libvirt's place:
//! STATE/NAME/libvirt.xml, its description byte for byte, and
//! STATE/NAME/libvirt.toml, how it stood.

use crate::args::Place;
use crate::config::{FOLDER, InterfaceName, NetworkName};
use crate::host::lock::{self, Locked};
use crate::host::{durable, rundir};
use anyhow::{Context as _, Result, bail};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The file in STATE/NAME without which there is nothing to release.
pub(super) const RECORD: &str = "libvirt.toml";

/// The most that is read of a kept file, in bytes.
const MAX: usize = 16 << 20;

/// The file in STATE that is locked while a network changes hands: `ovs-vsctl`
/// is of all networks.
const LOCK: &str = ".libvirt-lock";

/// While it lives, nobody else adopts or releases a network.
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    _lock: File,
}

impl Turn {
    /// The turn of a command that changes a network. A dry run changes nothing,
    /// and waits for nobody.
    ///
    /// # Errors
    /// As of [`Turn::take`], and who is not root cannot change one.
    pub(super) fn to_change(place: &Place, dry_run: bool) -> Result<Option<Self>> {
        if dry_run {
            return Ok(None);
        }
        super::check_root()?;
        Self::take(place).map(Some)
    }

    /// Takes the turn among those that have the state folder of `place`.
    ///
    /// # Errors
    /// It is somebody else's now, or the folder cannot be written.
    pub(super) fn take(place: &Place) -> Result<Self> {
        let state = place.state_dir();
        rundir::make_folder(&state)?;
        let path = state.join(LOCK);
        let locked = lock::lock(&path, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("cannot lock {}", path.display()))?;
        match locked {
            Locked::Held(lock) => Ok(Self { path, _lock: lock }),
            Locked::ByAnother(_) => bail!(
                "another `vmlan libvirt` is adopting or releasing a network\nhelp: try again when \
                 it is done"
            ),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // One that stays is locked by nobody.
        let _ = fs::remove_file(&self.path);
    }
}

/// How a network stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Record {
    /// Its name in libvirt.
    pub(super) network: String,
    /// The libvirt that has it.
    pub(super) connect: String,
    /// Its bridge.
    pub(super) bridge: InterfaceName,
    pub(super) active: bool,
    pub(super) autostart: bool,
    /// Whether its guests were kept apart.
    pub(super) isolated: bool,
    /// The configuration that was there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) config_before: Option<String>,
    /// The configuration that was made of it.
    pub(super) config: String,
}

/// Where a network's files are.
#[derive(Debug, Clone)]
pub(super) struct Files {
    state: PathBuf,
    name: NetworkName,
}

impl Files {
    /// Those of the network `name` of vmlan at `place`.
    pub(super) fn new(place: &Place, name: &NetworkName) -> Self {
        Self {
            state: place.state_dir().join(name.as_str()),
            name: name.clone(),
        }
    }

    /// The description that libvirt had.
    pub(super) fn description(&self) -> PathBuf {
        self.state.join("libvirt.xml")
    }

    fn record(&self) -> PathBuf {
        self.state.join(RECORD)
    }

    /// The log of a vmlan that nobody else keeps one for.
    pub(super) fn log(&self) -> PathBuf {
        self.state.join("run.log")
    }

    /// The configuration.
    pub(super) fn config(&self) -> PathBuf {
        PathBuf::from(format!("{FOLDER}/{}.toml", self.name))
    }

    /// Where a configuration is put that was there before.
    pub(super) fn config_before(&self) -> PathBuf {
        PathBuf::from(format!("{FOLDER}/{}.toml.before-adopt", self.name))
    }

    /// Where the configuration is put at the release, if somebody changed it.
    pub(super) fn config_changed(&self) -> PathBuf {
        PathBuf::from(format!("{FOLDER}/{}.toml.released", self.name))
    }

    /// What is kept; `None`: the network has not been adopted.
    ///
    /// # Errors
    /// It cannot be read, or makes no sense.
    pub(super) fn load(&self) -> Result<Option<(Record, String)>> {
        let Some(record) = text(&self.record())? else {
            return Ok(None);
        };
        let wrong = || format!("{} makes no sense", self.record().display());
        let record = toml::from_str(&record).with_context(wrong)?;
        let path = self.description();
        let description = text(&path)?;
        let missing = || format!("{} is missing", path.display());
        Ok(Some((record, description.with_context(missing)?)))
    }

    /// Keeps `record` and `description`. The record comes last: without it
    /// there is nothing to release.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn keep(&self, record: &Record, description: &str) -> Result<()> {
        rundir::make_folder(&self.state)?;
        write(&self.description(), description)?;
        write(&self.record(), &toml::to_string(record)?)
    }

    /// Forgets both.
    ///
    /// # Errors
    /// They cannot be removed.
    pub(super) fn forget(&self) -> Result<()> {
        for path in [self.record(), self.description()] {
            remove(&path)?;
        }
        Ok(())
    }
}

/// The text of the file `path`, if there is one.
///
/// # Errors
/// It cannot be read, or is no text.
pub(super) fn text(path: &Path) -> Result<Option<String>> {
    let what = || format!("cannot read {}", path.display());
    let bytes = durable::read(path, MAX).with_context(what)?;
    bytes
        .map(|bytes| String::from_utf8(bytes).with_context(what))
        .transpose()
}

/// Replaces the file `path` by `text`.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    durable::write(path, text.as_bytes(), 0o644)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Removes the file `path`, if there is one.
///
/// # Errors
/// It cannot be removed.
pub(super) fn remove(path: &Path) -> Result<()> {
    durable::remove_if_there(path).with_context(|| format!("cannot remove {}", path.display()))
}

/// Renames the file `from` to `to`.
///
/// # Errors
/// It cannot be renamed.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_at_a_time_the_second_is_told_to_wait() {
        let state = tempfile::tempdir().unwrap();
        let place = Place {
            network: None,
            run_dir: None,
            state_dir: Some(state.path().to_owned()),
        };
        let first = Turn::take(&place).unwrap();
        let error = Turn::take(&place).unwrap_err();
        assert!(error.to_string().contains("try again"), "{error}");
        drop(first);
        drop(Turn::take(&place).unwrap());
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    }
}
