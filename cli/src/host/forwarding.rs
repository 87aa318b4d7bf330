//! Whether the host forwards between its netdevs: net.ipv4.ip_forward.
//!
//! A network that is routed turns it on and puts it back at its end. What it
//! was before stands in RUN/NAME/forwarding.toml before it is changed, so that
//! it is put back by the start that follows a crash. Of several networks the
//! last one puts it back: each record says what was before the first of them.
//!
//! Others may need it by then. The kernel does not tell who turned it on, and a
//! program that finds it on has no reason to. So it stays on where the rules of
//! a program are there that forwards (Docker, libvirt, Podman, whoever
//! translates addresses) and that was not when it was turned on.
//!
//! Only IPv4: what guests send by IPv6 is not forwarded.

use super::durable;
use super::rundir::{RunDir, RunDirError, netns};
use super::sysctl::{self, SysctlError};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// The record's name in RUN/NAME.
pub(crate) const RECORD: &str = "forwarding.toml";

/// The most that is read of one, in bytes.
const LIMIT: usize = 1 << 16;

/// Forwarding cannot be turned on, or put back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardingError {
    /// The sysctl cannot be read or written.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// The other networks cannot be asked.
    #[error(transparent)]
    Others(#[from] RunDirError),
    /// What it was before cannot be recorded.
    #[error("cannot write {}", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// The netdevs cannot be listed.
    #[error("cannot list /proc/sys/net/ipv4/conf")]
    List(#[source] io::Error),
}

/// What became of forwarding when a network needed it no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// The network had not turned it on.
    AsItWas,
    /// It is off again.
    Off,
    /// It stays on for these.
    NeededBy(Vec<String>),
}

/// What was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The network namespace, by its inode number.
    netns: Option<u64>,
    /// Whether the host forwarded.
    forwarded: bool,
    /// Netdevs that did where the host as a whole did not.
    netdevs: Vec<String>,
    /// Programs that needed it, and could do without.
    users: Vec<String>,
}

const ON: &str = "1";
const OFF: &str = "0";

/// Has the host forward for the network of `run`. `users` are the programs
/// whose rules want it too. Says whether it was turned on.
///
/// # Errors
/// [`ForwardingError`].
pub(crate) fn need(run: &RunDir, users: &[String]) -> Result<bool, ForwardingError> {
    let _all = run.hold_all()?;
    let is_on = is_on()?;
    let mut record = match own(run) {
        Some(record) => record,
        None => match others(run)?.into_iter().find(|(it, _)| !it.forwarded) {
            Some((first, _)) if is_on => first,
            _ => Record {
                netns: netns(),
                forwarded: is_on,
                netdevs: Vec::new(),
                users: users.to_owned(),
            },
        },
    };
    if !is_on {
        record.forwarded = false;
        record.netdevs = forwarding_netdevs()?;
    }
    save(run, &record)?;
    if !is_on {
        sysctl::set_host_forwards(ON)?;
    }
    Ok(!is_on)
}

/// Puts back what was before [`need`], unless another network or one of `users`
/// that was not there then needs it.
///
/// # Errors
/// [`ForwardingError`]; the record stays then, for the next start.
pub(crate) fn give_up(run: &RunDir, users: &[String]) -> Result<GivenUp, ForwardingError> {
    let Some(record) = own(run) else {
        return Ok(GivenUp::AsItWas);
    };
    let _all = run.hold_all()?;
    let given_up = if record.forwarded || !is_on()? {
        GivenUp::AsItWas
    } else if others(run)?.iter().any(|(_, is_served)| *is_served) {
        GivenUp::NeededBy(vec!["another network".to_owned()])
    } else {
        let new = users.iter().filter(|user| !record.users.contains(user));
        let new: Vec<String> = new.cloned().collect();
        if new.is_empty() {
            sysctl::set_host_forwards(OFF)?;
            for netdev in &record.netdevs {
                sysctl::forwarding(ON).apply(netdev)?;
            }
            GivenUp::Off
        } else {
            GivenUp::NeededBy(new)
        }
    };
    let path = run.path().join(RECORD);
    durable::remove_if_there(&path).map_err(|source| ForwardingError::Record { path, source })?;
    Ok(given_up)
}

fn is_on() -> Result<bool, SysctlError> {
    Ok(sysctl::host_forwards()?.as_deref() == Some(ON))
}

/// This network's record, of this network namespace.
fn own(run: &RunDir) -> Option<Record> {
    let text = durable::read(&run.path().join(RECORD), LIMIT).ok()??;
    of_here(&text)
}

/// The records of other networks in this network namespace, and whether they
/// are served.
fn others(run: &RunDir) -> Result<Vec<(Record, bool)>, RunDirError> {
    let records = run.records_of_others(RECORD, LIMIT)?;
    let records = records.into_iter();
    Ok(records
        .filter_map(|it| Some((of_here(&it.content)?, it.is_served)))
        .collect())
}

/// A record; none where it makes no sense, or is of another namespace.
fn of_here(text: &[u8]) -> Option<Record> {
    let record: Record = toml::from_slice(text).ok()?;
    (record.netns == netns()).then_some(record)
}

fn save(run: &RunDir, record: &Record) -> Result<(), ForwardingError> {
    let path = run.path().join(RECORD);
    toml::to_string(record)
        .map_err(io::Error::other)
        .and_then(|text| durable::write(&path, text.as_bytes(), 0o600))
        .map_err(|source| ForwardingError::Record { path, source })
}

/// The netdevs that forward by a value of their own.
fn forwarding_netdevs() -> Result<Vec<String>, ForwardingError> {
    let mut netdevs = Vec::new();
    let folder = std::fs::read_dir("/proc/sys/net/ipv4/conf").map_err(ForwardingError::List)?;
    for entry in folder {
        let name = entry.map_err(ForwardingError::List)?.file_name();
        let name = name.to_string_lossy().into_owned();
        if ["all", "default"].contains(&name.as_str()) {
            continue;
        }
        if sysctl::forwarding(ON).read(&name)?.as_deref() == Some(ON) {
            netdevs.push(name);
        }
    }
    Ok(netdevs)
}

#[cfg(test)]
mod tests {
    use super::super::netns::{in_new_netns, ip};
    use super::*;
    use std::path::Path;

    const NOBODY: &[String] = &[];

    fn network(root: &Path, name: &str) -> RunDir {
        RunDir::claim(root, name, None).unwrap()
    }

    fn forwards() -> bool {
        is_on().unwrap()
    }

    #[test]
    fn forwarding_is_put_back_by_the_last_network() {
        in_new_netns(|| {
            sysctl::set_host_forwards(OFF).unwrap();
            let root = tempfile::tempdir().unwrap();
            let (one, two) = (network(root.path(), "one"), network(root.path(), "two"));
            assert!(need(&one, NOBODY).unwrap());
            assert!(!need(&two, NOBODY).unwrap());
            assert!(matches!(give_up(&one, NOBODY), Ok(GivenUp::NeededBy(_))));
            assert!(forwards());
            assert!(matches!(give_up(&two, NOBODY), Ok(GivenUp::Off)));
            assert!(!forwards());
            assert!(matches!(give_up(&two, NOBODY), Ok(GivenUp::AsItWas)));
        });
    }

    #[test]
    fn what_was_on_before_stays_on() {
        in_new_netns(|| {
            sysctl::set_host_forwards(ON).unwrap();
            let root = tempfile::tempdir().unwrap();
            let one = network(root.path(), "one");
            assert!(!need(&one, NOBODY).unwrap());
            assert!(matches!(give_up(&one, NOBODY), Ok(GivenUp::AsItWas)));
            assert!(forwards());
        });
    }

    #[test]
    fn after_a_crash_the_first_value_is_still_known() {
        in_new_netns(|| {
            sysctl::set_host_forwards(OFF).unwrap();
            let root = tempfile::tempdir().unwrap();
            need(&network(root.path(), "one"), NOBODY).unwrap();
            // The folder is left over; the lock is not held.
            assert!(root.path().join("one").join(RECORD).exists());
            let two = network(root.path(), "two");
            need(&two, NOBODY).unwrap();
            let one = network(root.path(), "one");
            need(&one, NOBODY).unwrap();
            assert!(matches!(give_up(&two, NOBODY), Ok(GivenUp::NeededBy(_))));
            assert!(matches!(give_up(&one, NOBODY), Ok(GivenUp::Off)));
            assert!(!forwards());
        });
    }

    #[test]
    fn a_program_that_came_meanwhile_keeps_it_and_one_from_before_does_not() {
        in_new_netns(|| {
            sysctl::set_host_forwards(OFF).unwrap();
            let root = tempfile::tempdir().unwrap();
            let one = network(root.path(), "one");
            let (docker, libvirt) = ("Docker".to_owned(), "libvirt".to_owned());
            let before = [docker.clone()];
            need(&one, &before).unwrap();
            let given_up = give_up(&one, &[docker, libvirt.clone()]).unwrap();
            assert_eq!(given_up, GivenUp::NeededBy(vec![libvirt]));
            assert!(forwards());
            sysctl::set_host_forwards(OFF).unwrap();
            need(&one, &before).unwrap();
            assert_eq!(give_up(&one, &before).unwrap(), GivenUp::Off);
        });
    }

    #[test]
    fn a_netdev_that_forwarded_by_itself_does_so_again() {
        in_new_netns(|| {
            ip("link add one type veth peer name two");
            sysctl::set_host_forwards(OFF).unwrap();
            sysctl::forwarding(ON).apply("one").unwrap();
            let root = tempfile::tempdir().unwrap();
            let network = network(root.path(), "one");
            need(&network, NOBODY).unwrap();
            assert_eq!(give_up(&network, NOBODY).unwrap(), GivenUp::Off);
            let now = |name| sysctl::forwarding(ON).read(name).unwrap().unwrap();
            assert_eq!([now("one"), now("two")], [ON, OFF]);
        });
    }
}
