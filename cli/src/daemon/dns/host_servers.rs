//! Whom the host itself asks, as its files say at the time.

use crate::dns::resolv_conf;
use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The host's own file.
const FILE: &str = "/etc/resolv.conf";
/// Whom systemd-resolved asks.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Where name servers listen.
const PORT: u16 = 53;

/// The longest file that is read, in bytes.
const MAX_LEN: u64 = 64 << 10;

/// The files are looked at anew after this.
const FRESH: Duration = Duration::from_secs(1);

/// The servers, as they were read last.
#[derive(Debug)]
pub(super) struct HostServers {
    own: Ipv4Addr,
    read: Cell<Option<Instant>>,
    servers: RefCell<Arc<[SocketAddr]>>,
}

impl HostServers {
    /// For the name server at the address `own`.
    pub(super) fn new(own: Ipv4Addr) -> Self {
        Self {
            own,
            read: Cell::new(None),
            servers: RefCell::default(),
        }
    }

    /// Whom the host asks now.
    pub(super) fn get(&self) -> Arc<[SocketAddr]> {
        let now = Instant::now();
        let fresh = |read: Instant| now.saturating_duration_since(read) < FRESH;
        if !self.read.get().is_some_and(fresh) {
            self.read.set(Some(now));
            let own = text(FILE).unwrap_or_default();
            let resolved = text(RESOLVED);
            let servers = resolv_conf::chosen(&own, resolved.as_deref(), self.own.into());
            let servers = servers.into_iter().map(|ip| SocketAddr::new(ip, PORT));
            self.servers.replace(servers.collect());
        }
        Arc::clone(&self.servers.borrow())
    }
}

/// The beginning of a regular file.
fn text(path: &str) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_LEN)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
