//! Netdevs that somebody has attached with what they are for, as libvirt does:
//! they come back when vmlan is started again, since nobody will say so twice.
//!
//! A netdev is known again by its name and its number, which the kernel gives
//! to no other before the next boot (it counts up). So a domain that went while
//! vmlan was stopped does not leave its place to another one.

use super::durable;
use crate::model::ExternalIds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file in STATE/NAME.
const FILE: &str = "attached.json";

/// The largest that is read, in bytes.
const LARGEST: usize = 16 << 20;

/// A number that is another one after each boot (random(4)).
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The netdevs, kept in a file.
#[derive(Debug)]
pub(crate) struct Attached {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    /// The boot in which the numbers hold.
    boot: String,
    netdevs: BTreeMap<u32, Netdev>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Netdev {
    name: String,
    external_ids: ExternalIds,
}

impl Attached {
    /// Those of this boot, of the file in `state`; one that makes no sense is
    /// put aside.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let boot = fs::read_to_string(BOOT).unwrap_or_default();
        Self::open_in(state, boot.trim())
    }

    fn open_in(state: &Path, boot: &str) -> io::Result<Self> {
        let path = state.join(FILE);
        let content = match durable::read(&path, LARGEST)? {
            None => None,
            Some(bytes) => match serde_json::from_slice::<Content>(&bytes) {
                Ok(content) => Some(content).filter(|content| content.boot == boot),
                Err(error) => {
                    let aside = durable::put_aside(&path)?;
                    tracing::warn!(
                        "{} makes no sense ({error}) and is {} now: netdevs that libvirt had \
                         attached are not taken again",
                        path.display(),
                        aside.display()
                    );
                    None
                }
            },
        };
        let content = content.unwrap_or_else(|| Content {
            boot: boot.to_owned(),
            ..Content::default()
        });
        Ok(Self { path, content })
    }

    /// What is kept of the netdev `name` with this number.
    pub(crate) fn get(&self, index: u32, name: &str) -> Option<&ExternalIds> {
        let netdev = self.content.netdevs.get(&index);
        netdev
            .filter(|netdev| netdev.name == name)
            .map(|netdev| &netdev.external_ids)
    }

    /// Keeps a netdev.
    ///
    /// # Errors
    /// It is not on the disk.
    pub(crate) fn keep(&mut self, index: u32, name: &str, ids: &ExternalIds) -> io::Result<()> {
        let netdev = Netdev {
            name: name.to_owned(),
            external_ids: ids.clone(),
        };
        if self.content.netdevs.get(&index) == Some(&netdev) {
            return Ok(());
        }
        self.content.netdevs.insert(index, netdev);
        self.write()
    }

    /// Forgets a netdev.
    ///
    /// # Errors
    /// As [`Attached::keep`].
    pub(crate) fn forget(&mut self, index: u32) -> io::Result<()> {
        match self.content.netdevs.remove(&index) {
            None => Ok(()),
            Some(_) => self.write(),
        }
    }

    /// Forgets the netdevs that are not among `there`.
    ///
    /// # Errors
    /// As [`Attached::keep`].
    pub(crate) fn retain(&mut self, there: impl Fn(u32) -> bool) -> io::Result<()> {
        let before = self.content.netdevs.len();
        self.content.netdevs.retain(|index, _| there(*index));
        if self.content.netdevs.len() == before {
            return Ok(());
        }
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&self.content)?;
        durable::write(&self.path, &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> ExternalIds {
        [("vm-id".to_owned(), "u".to_owned())].into()
    }

    #[test]
    fn a_netdev_is_known_again_by_name_and_number_until_the_next_boot() {
        let state = tempfile::tempdir().unwrap();
        let open = |boot| Attached::open_in(state.path(), boot).unwrap();
        let mut attached = open("b1");
        attached.keep(7, "vnet0", &ids()).unwrap();
        attached.keep(8, "vnet1", &ids()).unwrap();
        let mut again = open("b1");
        assert_eq!(again.get(7, "vnet0"), Some(&ids()));
        assert_eq!(again.get(7, "vnet1"), None);
        assert_eq!(again.get(9, "vnet0"), None);
        again.forget(7).unwrap();
        again.forget(7).unwrap();
        assert_eq!(open("b1").get(7, "vnet0"), None);
        again.retain(|_| false).unwrap();
        assert_eq!(open("b1").get(8, "vnet1"), None);
        again.keep(8, "vnet1", &ids()).unwrap();
        assert_eq!(open("b2").get(8, "vnet1"), None);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_put_aside() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(FILE), "{").unwrap();
        let attached = Attached::open_in(state.path(), "b1").unwrap();
        assert_eq!(attached.get(1, "vnet0"), None);
        assert!(state.path().join("attached.json.bad-1").exists());
    }
}
