//! RUN/NAME/uplink.toml: what was moved from the NIC, on disk before the first
//! change, so that the start that follows a crash, or a person, can put it back.

use super::super::durable;
use super::holdings::{Holdings, Shown};
use rtnetlink::packet_core::{Emitable, Parseable};
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The record's name in RUN/NAME.
const RECORD: &str = "uplink.toml";

/// The most that is read of it, in bytes: some 10,000 routes.
const LIMIT: usize = 4 << 20;

/// What was moved, and where and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The NIC.
    pub(super) uplink: String,
    /// The number that it had, by which the messages know it.
    pub(super) index: u32,
    /// The host interface that has them instead.
    pub(super) interface: String,
    /// When, by the time since boot.
    pub(super) at: Duration,
    /// Addresses and routes, as they were.
    pub(super) holdings: Holdings,
}

/// A record that is found.
pub(super) enum Found {
    Nothing,
    /// Of this boot and this network namespace.
    Ours(Record),
    /// To be used no more, with the reason.
    Void(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    boot_id: String,
    /// Inode number of the network namespace.
    netns: u64,
    uplink: String,
    index: u32,
    interface: String,
    /// Seconds since boot.
    at: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    address: Vec<Item>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    route: Vec<Item>,
}

/// One address or route.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    /// For a reader.
    shown: String,
    /// The kernel's message (rtnetlink(7)) in hexadecimal.
    message: String,
}

impl Record {
    /// Writes it to `run`, the folder RUN/NAME. It is on disk then.
    pub(super) fn write(&self, run: &Path) -> io::Result<()> {
        let (addresses, routes) = (&self.holdings.addresses, &self.holdings.routes);
        let written = Written {
            boot_id: boot_id()?,
            netns: netns()?,
            uplink: self.uplink.clone(),
            index: self.index,
            interface: self.interface.clone(),
            at: self.at.as_secs(),
            address: addresses.iter().map(|it| item(&Shown(it), it)).collect(),
            route: routes.iter().map(|it| item(&Shown(it), it)).collect(),
        };
        let text = toml::to_string(&written).map_err(io::Error::other)?;
        durable::write(&path(run), text.as_bytes(), 0o600)
    }

    /// Looks for one in `run`.
    pub(super) fn find(run: &Path) -> io::Result<Found> {
        let text = match durable::read(&path(run), LIMIT) {
            Ok(None) => return Ok(Found::Nothing),
            Ok(Some(text)) => text,
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Ok(Found::Void("it is too long".into()));
            }
            Err(error) => return Err(error),
        };
        let written: Written = match toml::from_slice(&text) {
            Ok(written) => written,
            Err(error) => return Ok(Found::Void(error.message().to_owned())),
        };
        if written.boot_id != boot_id()? {
            return Ok(Found::Void("the machine has booted since".into()));
        }
        if written.netns != netns()? {
            return Ok(Found::Void("it is of another network namespace".into()));
        }
        let addresses: Option<Vec<AddressMessage>> = written.address.iter().map(message).collect();
        let routes: Option<Vec<RouteMessage>> = written.route.iter().map(message).collect();
        let (Some(addresses), Some(routes)) = (addresses, routes) else {
            return Ok(Found::Void("a message in it cannot be read".into()));
        };
        Ok(Found::Ours(Self {
            uplink: written.uplink,
            index: written.index,
            interface: written.interface,
            at: Duration::from_secs(written.at),
            holdings: Holdings { addresses, routes },
        }))
    }

    /// How long ago it was made.
    pub(super) fn age(&self) -> Duration {
        since_boot().saturating_sub(self.at)
    }
}

/// Removes the record of `run`; none is fine.
pub(super) fn remove(run: &Path) -> io::Result<()> {
    durable::remove_if_there(&path(run))
}

/// Keeps a record that is of no use under another name, and says which.
pub(super) fn put_aside(run: &Path) -> io::Result<PathBuf> {
    durable::put_aside(&path(run))
}

/// Where the record of `run` is.
pub(super) fn path(run: &Path) -> PathBuf {
    run.join(RECORD)
}

/// The time since boot, suspended or not: what lifetimes run by.
pub(super) fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

fn item(shown: &impl ToString, message: &impl Emitable) -> Item {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    Item {
        shown: shown.to_string(),
        message: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn message<T: Parseable<[u8]>>(item: &Item) -> Option<T> {
    let (pairs, []) = item.message.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let byte = |pair: &[u8; 2]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    T::parse(&bytes?).ok()
}

/// What tells this boot of the machine from others (random(4)).
fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// What tells the network namespace of this thread from others
/// (namespaces(7)).
fn netns() -> io::Result<u64> {
    Ok(fs::metadata("/proc/thread-self/ns/net")?.ino())
}
