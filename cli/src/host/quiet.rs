//! Keeps the host's own network stack off the netdevs that the switch takes.
//!
//! A netdev that the switch takes as a `packet` port still hands each frame to
//! the host as well. There the host would take part as one more station: by an
//! IPv6 link-local address, and by answering ARP for any of its addresses on
//! every netdev. So, for as long as the netdev is taken,
//! `net.ipv6.conf.IF.disable_ipv6` is 1 and `net.ipv4.conf.IF.arp_ignore` is 8
//! (Linux, Documentation/networking/ip-sysctl.rst).
//!
//! What they were before stands in RUN/NAME/taken.toml *before* they are
//! changed, so that they are put back even by the start that follows a crash.
//! A sysctl that somebody else has changed meanwhile is left as it is.

use super::durable;
use super::link::Link;
use super::sysctl::{Setting, SysctlError};
use ipnet::IpNet;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// The most that is read of taken.toml, in bytes.
const LIMIT: usize = 1 << 20;

/// The taken netdevs of one network.
#[derive(Debug)]
pub(crate) struct Quiet {
    record: PathBuf,
    taken: Vec<Taken>,
    restored: Vec<String>,
}

/// What is changed on a taken netdev, and to what.
const SETTINGS: [Setting; 2] = [
    Setting {
        family: "ipv6",
        key: "disable_ipv6",
        value: "1",
    },
    Setting {
        family: "ipv4",
        key: "arp_ignore",
        value: "8",
    },
];

/// taken.toml.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    taken: Vec<Taken>,
}

/// One taken netdev.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    interface: String,
    index: u32,
    /// The values before, in the order of [`SETTINGS`]; one that the kernel
    /// does not have is empty.
    before: [String; SETTINGS.len()],
}

/// The netdev has addresses, so the host was left on it. Its
/// [`Display`](std::fmt::Display) is a warning for the user.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "netdev {netdev} has the address {address}: both the host and the switch will see its \
     frames. Move the address to the network's own `interface`, or remove it (`ip address del \
     {address} dev {netdev}`), and attach the netdev again"
)]
pub(crate) struct HostListens {
    netdev: String,
    address: IpNet,
}

/// A netdev cannot be taken or released.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuietError {
    /// Its sysctls cannot be read or written.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// The record of the taken netdevs cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Record {
        /// What was tried.
        action: &'static str,
        /// taken.toml.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// It cannot be told whether a netdev is still there.
    #[error("cannot ask the kernel for the name of netdev number {index}")]
    Name {
        /// The number.
        index: u32,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Quiet {
    /// Starts with `run`, the folder RUN/NAME, and puts back what a killed
    /// process has left changed there.
    ///
    /// # Errors
    /// [`QuietError`].
    pub(crate) fn open(run: &Path) -> Result<Self, QuietError> {
        let record = run.join("taken.toml");
        let left = durable::read(&record, LIMIT)
            .map_err(|source| QuietError::Record {
                action: "read",
                path: record.clone(),
                source,
            })?
            .unwrap_or_default();
        let left = match toml::from_slice::<Record>(&left) {
            Ok(record) => record.taken,
            Err(_) if left.is_empty() => Vec::new(),
            Err(error) => {
                tracing::warn!(
                    "{} cannot be used ({}): the netdevs of the last run keep its settings",
                    record.display(),
                    error.message()
                );
                Vec::new()
            }
        };
        let mut restored = Vec::new();
        for taken in left {
            // A new netdev by the same name has another number, and one with
            // the same number in another namespace mostly another name.
            if name_of(taken.index)?.as_deref() == Some(&taken.interface) {
                taken.restore(&taken.interface)?;
                restored.push(taken.interface);
            }
        }
        let quiet = Self {
            record,
            taken: Vec::new(),
            restored,
        };
        quiet.save()?;
        Ok(quiet)
    }

    /// The netdevs that a killed process had left changed and that are as
    /// before now.
    pub(crate) fn restored(&self) -> &[String] {
        &self.restored
    }

    /// Keeps the host off `link`, unless it has `addresses` (those of
    /// [`Links::addresses_of`](super::link::Links::addresses_of)): then nothing
    /// is changed, and the answer is a warning.
    ///
    /// # Errors
    /// [`QuietError`]; nothing is changed then.
    pub(crate) fn take(
        &mut self,
        link: &Link,
        addresses: &[IpNet],
    ) -> Result<Option<HostListens>, QuietError> {
        if let Some(address) = addresses.first() {
            return Ok(Some(HostListens {
                netdev: link.name.clone(),
                address: *address,
            }));
        }
        if self.taken.iter().any(|taken| taken.index == link.index) {
            return Ok(None);
        }
        let mut before = <[String; SETTINGS.len()]>::default();
        for (setting, before) in SETTINGS.iter().zip(&mut before) {
            *before = setting.read(&link.name)?.unwrap_or_default();
        }
        self.taken.push(Taken {
            interface: link.name.clone(),
            index: link.index,
            before,
        });
        let changed = self.save().and_then(|()| {
            SETTINGS
                .iter()
                .try_for_each(|setting| Ok(setting.apply(&link.name)?))
        });
        if let Err(error) = changed {
            // The first error is the one to report.
            drop(self.release(link.index));
            return Err(error);
        }
        Ok(None)
    }

    /// Lets the host back on the netdev with number `index`, by whatever name
    /// it goes now. One that is gone, or was not taken, is fine.
    ///
    /// # Errors
    /// [`QuietError`]. The netdev counts as released all the same.
    pub(crate) fn release(&mut self, index: u32) -> Result<(), QuietError> {
        let Some(at) = self.taken.iter().position(|taken| taken.index == index) else {
            return Ok(());
        };
        let taken = self.taken.swap_remove(at);
        let restored = match name_of(index)? {
            Some(name) => taken.restore(&name),
            None => Ok(()),
        };
        self.save().and(restored.map_err(QuietError::from))
    }

    /// [`Quiet::release`] for each taken netdev, for a clean exit.
    ///
    /// # Errors
    /// The first [`QuietError`]; the others are released all the same.
    pub(crate) fn release_all(&mut self) -> Result<(), QuietError> {
        let mut result = Ok(());
        while let Some(index) = self.taken.last().map(|taken| taken.index) {
            let released = self.release(index);
            result = result.and(released);
        }
        result
    }

    fn save(&self) -> Result<(), QuietError> {
        let error = |source| QuietError::Record {
            action: "write",
            path: self.record.clone(),
            source,
        };
        if self.taken.is_empty() {
            return durable::remove_if_there(&self.record).map_err(error);
        }
        let record = Record {
            taken: self.taken.clone(),
        };
        toml::to_string(&record)
            .map_err(io::Error::other)
            .and_then(|text| durable::write(&self.record, text.as_bytes(), 0o600))
            .map_err(error)
    }
}

impl Taken {
    fn restore(&self, interface: &str) -> Result<(), SysctlError> {
        let mut result = Ok(());
        for (setting, before) in SETTINGS.iter().zip(&self.before) {
            if !before.is_empty() {
                result = result.and(setting.restore(interface, before));
            }
        }
        result
    }
}

/// The name of the netdev with number `index` in this namespace, if there is
/// one.
fn name_of(index: u32) -> Result<Option<String>, QuietError> {
    // Any socket will do (netdevice(7)), and a unix one is always to be had.
    let name = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .and_then(|socket| netdevice::index_to_name(socket, index));
    match name {
        Ok(name) => Ok(Some(name)),
        Err(Errno::NODEV | Errno::NXIO) => Ok(None),
        Err(error) => Err(QuietError::Name {
            index,
            source: error.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::Links;
    use super::super::netns::{block_on_in_new_netns, ip};
    use super::*;
    use std::fs;

    fn settings(interface: &str) -> [String; 2] {
        SETTINGS.map(|setting| setting.read(interface).unwrap().unwrap())
    }

    const BEFORE: [&str; 2] = ["0", "0"];
    const QUIET: [&str; 2] = ["1", "8"];

    async fn link(name: &str) -> Link {
        Links::new().unwrap().by_name(name).await.unwrap()
    }

    #[test]
    fn a_taken_netdev_is_quiet_until_it_is_released() {
        block_on_in_new_netns(|| async {
            let run = tempfile::tempdir().unwrap();
            ip("link add eth7.5 type veth peer name two");
            ip("link add three type veth peer name four");
            let mut quiet = Quiet::open(run.path()).unwrap();
            for name in ["eth7.5", "three"] {
                assert_eq!(quiet.take(&link(name).await, &[]).unwrap(), None);
                assert_eq!(settings(name), QUIET);
            }
            // The second time must not record the quiet values as those before.
            let eth = link("eth7.5").await;
            assert_eq!(quiet.take(&eth, &[]).unwrap(), None);

            quiet.release(eth.index).unwrap();
            assert_eq!(settings("eth7.5"), BEFORE);
            assert_eq!(settings("three"), QUIET);
            ip("link set three name renamed");
            quiet.release_all().unwrap();
            assert_eq!(settings("renamed"), BEFORE);
            assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
        });
    }

    #[test]
    fn the_start_after_a_crash_puts_back_what_was_changed() {
        block_on_in_new_netns(|| async {
            let run = tempfile::tempdir().unwrap();
            for pair in [["one", "two"], ["gone", "five"], ["anew", "six"]] {
                ip(&format!(
                    "link add {} type veth peer name {}",
                    pair[0], pair[1]
                ));
            }
            let mut killed = Quiet::open(run.path()).unwrap();
            for name in ["one", "gone", "anew"] {
                killed.take(&link(name).await, &[]).unwrap();
            }
            drop(killed);
            ip("link del gone");
            ip("link del anew");
            ip("link add anew type veth peer name six");
            for setting in SETTINGS {
                setting.apply("anew").unwrap();
            }

            let next = Quiet::open(run.path()).unwrap();
            assert_eq!(next.restored(), ["one"]);
            assert_eq!(settings("one"), BEFORE);
            assert_eq!(settings("anew"), QUIET, "it is another netdev");
            assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
        });
    }

    #[test]
    fn a_netdev_with_an_address_is_left_alone_and_warned_about() {
        block_on_in_new_netns(|| async {
            let run = tempfile::tempdir().unwrap();
            ip("link add one type veth peer name two");
            let one = link("one").await;
            let mut quiet = Quiet::open(run.path()).unwrap();
            let address = "10.0.0.1/8".parse().unwrap();
            let warning = quiet.take(&one, &[address]).unwrap().unwrap().to_string();
            assert!(
                warning.contains("both the host and the switch"),
                "{warning}"
            );
            assert!(
                warning.contains("ip address del 10.0.0.1/8 dev one"),
                "{warning}"
            );
            assert_eq!(settings("one"), BEFORE);
        });
    }

    #[test]
    fn a_netdev_that_vanishes_while_it_is_taken_is_no_error() {
        block_on_in_new_netns(|| async {
            let run = tempfile::tempdir().unwrap();
            ip("link add one type veth peer name two");
            ip("link add three type veth peer name four");
            let (one, three) = (link("one").await, link("three").await);
            let mut quiet = Quiet::open(run.path()).unwrap();
            ip("link del three");
            quiet.take(&three, &[]).unwrap();
            quiet.take(&one, &[]).unwrap();
            ip("link del one");
            quiet.release_all().unwrap();
            assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
        });
    }

    #[test]
    fn a_record_that_makes_no_sense_does_not_stop_the_start() {
        let run = tempfile::tempdir().unwrap();
        fs::write(run.path().join("taken.toml"), "taken = 7").unwrap();
        assert!(Quiet::open(run.path()).unwrap().restored().is_empty());
    }
}
