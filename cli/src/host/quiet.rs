//! Keeps the host's own network stack off the netdevs that the switch takes.
//!
//! A netdev that the switch takes as a `packet` port still hands each frame to
//! the host as well. There the host would take part as one more station, and
//! as a router: a guest that sends to the netdev's own MAC would reach the
//! host's services by it, and what lies behind the host. So, for as long as
//! the netdev is taken, what comes in by it is dropped once the port has seen
//! it ([`Ingress`]).
//!
//! Behind that stands a second line, for a kernel that cannot do so, and for
//! the time between a crash and the next start: the host has no IPv6 there,
//! answers no ARP, forwards nothing that comes in by it, and takes no packet
//! whose source it would not answer by it, so none at all, as there is no
//! address on it (Linux, Documentation/networking/ip-sysctl.rst). What these
//! sysctls were before stands in RUN/NAME/taken.toml *before* they are changed,
//! so that they are put back even by the start that follows a crash. A sysctl
//! that somebody else has changed meanwhile is left as it is.

use super::durable;
use super::ingress::Ingress;
use super::link::Link;
use super::sysctl::{self, Setting, SysctlError};
use ipnet::IpNet;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The record's name in RUN/NAME.
const RECORD: &str = "taken.toml";

/// The most that is read of taken.toml, in bytes.
const LIMIT: usize = 1 << 20;

/// The taken netdevs of one network.
#[derive(Debug)]
pub(crate) struct Quiet {
    record: PathBuf,
    taken: Vec<Taken>,
    restored: Vec<String>,
    /// There while something is taken, if the kernel can do it.
    ingress: Option<Ingress>,
    /// The user knows that the kernel cannot.
    told: bool,
    /// net.ipv4.ip_forward as seen last.
    host_forwards: Option<String>,
}

/// What is changed on a taken netdev, and to what.
const SETTINGS: [Setting; 4] = [
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
    Setting {
        family: "ipv4",
        key: "rp_filter",
        value: "1",
    },
    FORWARDING,
];

const FORWARDING: Setting = sysctl::forwarding("0");

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
    /// The values before, by the last word of the sysctl's name; one that the
    /// kernel does not have is missing.
    before: BTreeMap<String, String>,
    /// Whether its frames are dropped.
    #[serde(skip)]
    dropped: bool,
}

/// The host is on a netdev still, beside the switch. Its
/// [`Display`](std::fmt::Display) is a warning for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostListens {
    /// The netdev has addresses; nothing was changed on it.
    #[error(
        "netdev {netdev} has the address {address}: both the host and the switch will see its \
         frames. Move the address to the network's own `interface`, or remove it (`ip address \
         del {address} dev {netdev}`), and attach the netdev again"
    )]
    Address {
        /// The netdev.
        netdev: String,
        /// One of its addresses.
        address: IpNet,
    },
    /// The host uses it through another netdev, so that only the second line
    /// was drawn.
    #[error(
        "{upper} stands on netdev {netdev}: the host goes on to receive by it what is for {upper}"
    )]
    Upper {
        /// The netdev.
        netdev: String,
        /// The one that stands on it.
        upper: String,
    },
    /// The kernel cannot drop, so that only the second line was drawn.
    #[error(
        "the kernel does not keep the frames of taken netdevs from the host ({0}; it takes \
         Linux 5.12 with CONFIG_NF_TABLES_NETDEV): sysctls do, except for broadcasts from \
         0.0.0.0 and for protocols other than IP"
    )]
    NoDrop(io::Error),
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
    /// The kernel does not change whether its frames are dropped.
    #[error("cannot change whether the host receives by netdev {netdev}")]
    Drop {
        /// The netdev's name.
        netdev: String,
        /// The kernel's answer.
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

/// Whether the network whose folder RUN/NAME is `run` has the netdev with
/// number `index`, and the host off it.
pub(super) fn is_taken_in(run: &Path, index: u32) -> bool {
    let record = durable::read(&run.join(RECORD), LIMIT).ok().flatten();
    let record: Option<Record> = record.and_then(|text| toml::from_slice(&text).ok());
    record.is_some_and(|record| record.taken.iter().any(|taken| taken.index == index))
}

/// The netdevs in a record; none where it makes no sense, with a warning.
fn read(record: &Path) -> Result<Vec<Taken>, QuietError> {
    let left = durable::read(record, LIMIT)
        .map_err(|source| QuietError::Record {
            action: "read",
            path: record.to_owned(),
            source,
        })?
        .unwrap_or_default();
    match toml::from_slice::<Record>(&left) {
        Ok(record) => Ok(record.taken),
        Err(_) if left.is_empty() => Ok(Vec::new()),
        Err(error) => {
            tracing::warn!(
                "{} cannot be used ({}): the netdevs of the last run keep its settings",
                record.display(),
                error.message()
            );
            Ok(Vec::new())
        }
    }
}

/// The netdevs that a killed process has left changed, by the record in `run`,
/// the folder RUN/NAME; one that is gone is none of them.
pub(crate) fn left(run: &Path) -> Vec<String> {
    let record = durable::read(&run.join(RECORD), LIMIT).ok().flatten();
    let record: Option<Record> = record.and_then(|text| toml::from_slice(&text).ok());
    let taken = record.into_iter().flat_map(|record| record.taken);
    let is_there = |taken: &Taken| {
        let name = name_of(taken.index).ok().flatten();
        name.as_ref() == Some(&taken.interface)
    };
    taken
        .filter(is_there)
        .map(|taken| taken.interface)
        .collect()
}

impl Quiet {
    /// Starts with `run`, the folder RUN/NAME, and puts back what a killed
    /// process has left changed there.
    ///
    /// # Errors
    /// [`QuietError`].
    pub(crate) fn open(run: &Path) -> Result<Self, QuietError> {
        let record = run.join(RECORD);
        let left = read(&record)?;
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
            ingress: None,
            told: false,
            host_forwards: sysctl::host_forwards()?,
        };
        quiet.save()?;
        Ok(quiet)
    }

    /// Starts with `run`, the folder RUN/NAME, where another process has left
    /// netdevs that go on as ports: the host stays off them.
    ///
    /// # Errors
    /// [`QuietError`].
    pub(crate) fn inherit(run: &Path) -> Result<Self, QuietError> {
        let record = run.join(RECORD);
        let mut quiet = Self {
            taken: Vec::new(),
            restored: Vec::new(),
            ingress: None,
            told: false,
            host_forwards: sysctl::host_forwards()?,
            record,
        };
        for taken in read(&quiet.record)? {
            if name_of(taken.index)?.as_deref() != Some(&taken.interface) {
                continue;
            }
            let (index, name) = (taken.index, taken.interface.clone());
            quiet.taken.push(taken);
            // Where the kernel cannot, the second line stands.
            if let Err(error) = quiet.drop_frames(index, &name) {
                tracing::warn!("{}", HostListens::NoDrop(error));
            }
        }
        Ok(quiet)
    }

    /// The numbers of the netdevs that the host is kept off.
    pub(crate) fn all_taken(&self) -> Vec<u32> {
        self.taken.iter().map(|taken| taken.index).collect()
    }

    /// The netdevs that a killed process had left changed and that are as
    /// before now.
    pub(crate) fn restored(&self) -> &[String] {
        &self.restored
    }

    /// Keeps the host off `link`. Where it has `addresses` (those of
    /// [`Links::addresses_of`](super::link::Links::addresses_of)) nothing is
    /// changed, and where the netdev `upper` stands on it
    /// ([`Links::standing_on`](super::link::Links::standing_on)), nothing is
    /// dropped: the answer is a warning then.
    ///
    /// # Errors
    /// [`QuietError`]; nothing is changed then.
    pub(crate) fn take(
        &mut self,
        link: &Link,
        addresses: &[IpNet],
        upper: Option<String>,
    ) -> Result<Option<HostListens>, QuietError> {
        if let Some(address) = addresses.first() {
            return Ok(Some(HostListens::Address {
                netdev: link.name.clone(),
                address: *address,
            }));
        }
        if self.taken.iter().any(|taken| taken.index == link.index) {
            return Ok(None);
        }
        let mut before = BTreeMap::new();
        for setting in SETTINGS {
            if let Some(value) = setting.read(&link.name)? {
                before.insert(setting.key.to_owned(), value);
            }
        }
        self.taken.push(Taken {
            interface: link.name.clone(),
            index: link.index,
            before,
            dropped: false,
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
        if let Some(upper) = upper {
            return Ok(Some(HostListens::Upper {
                netdev: link.name.clone(),
                upper,
            }));
        }
        match self.drop_frames(link.index, &link.name) {
            Ok(()) => Ok(None),
            // It has gone meanwhile, which is an event of its own.
            Err(_) if name_of(link.index)?.is_none() => Ok(None),
            Err(_) if self.told => Ok(None),
            Err(error) => {
                self.told = true;
                Ok(Some(HostListens::NoDrop(error)))
            }
        }
    }

    /// Drops what comes in by a taken netdev.
    fn drop_frames(&mut self, index: u32, name: &str) -> io::Result<()> {
        let ingress = match &mut self.ingress {
            Some(ingress) => ingress,
            none => none.insert(Ingress::open()?),
        };
        ingress.block(index, name)?;
        for taken in &mut self.taken {
            taken.dropped |= taken.index == index;
        }
        Ok(())
    }

    /// Follows a taken netdev to another name: newer kernels drop by the name.
    ///
    /// # Errors
    /// [`QuietError`].
    pub(crate) fn follow(&mut self, link: &Link) -> Result<(), QuietError> {
        let mut taken = self.taken.iter_mut();
        let Some(taken) =
            taken.find(|taken| taken.index == link.index && taken.interface != link.name)
        else {
            return Ok(());
        };
        taken.interface.clone_from(&link.name);
        if let (true, Some(ingress)) = (taken.dropped, &mut self.ingress) {
            ingress
                .unblock(link.index)
                .and_then(|()| ingress.block(link.index, &link.name))
                .map_err(|source| QuietError::Drop {
                    netdev: link.name.clone(),
                    source,
                })?;
        }
        self.save()
    }

    /// Turns forwarding off again on the taken netdevs. Writing
    /// net.ipv4.ip_forward, by whomever, gives all netdevs that value.
    ///
    /// # Errors
    /// [`QuietError`].
    pub(crate) fn keep_from_forwarding(&mut self) -> Result<(), QuietError> {
        let host_forwards = sysctl::host_forwards()?;
        let mut changed = Vec::new();
        for taken in &mut self.taken {
            let now = FORWARDING.read(&taken.interface)?;
            let before = if self.host_forwards == host_forwards {
                now.clone().filter(|now| now != FORWARDING.value)
            } else {
                host_forwards.clone()
            };
            if let Some(before) = before {
                taken.before.insert(FORWARDING.key.to_owned(), before);
            }
            if now.is_some_and(|now| now != FORWARDING.value) {
                changed.push(taken.interface.clone());
            }
        }
        self.host_forwards = host_forwards;
        if !self.taken.is_empty() {
            self.save()?;
        }
        for interface in changed {
            FORWARDING.apply(&interface)?;
        }
        Ok(())
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
        // Last, so that the host never hears it with half of the settings.
        let unblocked = self.unblock(&taken);
        self.save()
            .and(restored.map_err(QuietError::from))
            .and(unblocked)
    }

    fn unblock(&mut self, taken: &Taken) -> Result<(), QuietError> {
        let result = match &mut self.ingress {
            Some(ingress) if taken.dropped => ingress.unblock(taken.index),
            _ => Ok(()),
        };
        if self.taken.is_empty() {
            self.ingress = None;
        }
        result.map_err(|source| QuietError::Drop {
            netdev: taken.interface.clone(),
            source,
        })
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
        for setting in SETTINGS {
            if let Some(before) = self.before.get(setting.key) {
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
mod tests;
