//! The named ports of a running network: what people see of a port, beside the
//! number that the switch knows it by.

use super::allowance::Allowance;
use crate::config::{PortKind, PortName};
use crate::model::ExternalIds;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use vmlan_dataplane::table::PortId;

/// A port and where it came from.
#[derive(Debug, Clone)]
pub(super) struct NamedPort {
    pub(super) id: PortId,
    pub(super) kind: PortKind,
    pub(super) queues: u16,
    /// Whether checksums and segmentation may be left to the other side.
    pub(super) offload: bool,
    /// Whether the embedded DHCP server serves stations behind it.
    pub(super) dhcp: bool,
    /// Its netdev.
    pub(super) netdev: Option<Netdev>,
    pub(super) origin: Origin,
    pub(super) external_ids: ExternalIds,
}

impl NamedPort {
    /// Open files that the port has.
    pub(super) fn files(&self) -> usize {
        match self.kind {
            // One of them only sends.
            PortKind::Packet => usize::from(self.queues) + 1,
            PortKind::Tap => usize::from(self.queues),
            _ => 1,
        }
    }
}

/// The netdev of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Netdev {
    pub(super) name: String,
    /// `None` once it has gone to another network namespace, where it cannot
    /// be followed.
    pub(super) index: Option<u32>,
    /// Up with a carrier, as far as it can be followed.
    pub(super) up: bool,
}

/// Who asked for a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Origin {
    /// The network itself: its host interface.
    Network,
    /// The configuration, as `[[port]]` or `uplink`.
    Config,
    /// Somebody, by `vmlan port add` or `vmlan attach`.
    Command,
    /// The patterns under `[attach]`.
    Pattern,
    /// A qemu that connected to `vm.sock`.
    Connection,
}

/// The ports, by name.
#[derive(Debug)]
pub(super) struct Ports {
    ports: BTreeMap<PortName, NamedPort>,
    streams: u64,
    /// Anybody who may connect can do so in a loop.
    stream_lines: Allowance,
    /// The netdevs that somebody has detached: they are not taken by a pattern
    /// again.
    detached: BTreeSet<u32>,
    /// What the log says already of netdevs that were not attached.
    warnings: BTreeMap<u32, Vec<String>>,
}

/// Warnings that are remembered of one netdev. The log has no more of them.
const MAX_WARNINGS: usize = 8;

impl Default for Ports {
    fn default() -> Self {
        Self {
            ports: BTreeMap::new(),
            streams: 0,
            stream_lines: Allowance::new(Instant::now()),
            detached: BTreeSet::new(),
            warnings: BTreeMap::new(),
        }
    }
}

impl Ports {
    pub(super) fn get(&self, name: &PortName) -> Option<&NamedPort> {
        self.ports.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &PortName) -> Option<&mut NamedPort> {
        self.ports.get_mut(name)
    }

    /// The port `name` is asked for by `origin` from now on.
    pub(super) fn set_origin(&mut self, name: &PortName, origin: Origin) {
        if let Some(port) = self.ports.get_mut(name) {
            port.origin = origin;
        }
    }

    pub(super) fn insert(&mut self, name: PortName, port: NamedPort) {
        self.ports.insert(name, port);
    }

    pub(super) fn remove(&mut self, name: &PortName) -> Option<NamedPort> {
        self.ports.remove(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PortName, &NamedPort)> {
        self.ports.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.ports.len()
    }

    /// The name of the port with this number.
    pub(super) fn by_id(&self, id: PortId) -> Option<PortName> {
        let mut ports = self.ports.iter();
        ports.find_map(|(name, port)| (port.id == id).then(|| name.clone()))
    }

    /// The port whose netdev has this number.
    pub(super) fn by_index(&mut self, index: u32) -> Option<(&PortName, &mut NamedPort)> {
        let has_index = |port: &NamedPort| {
            let netdev = port.netdev.as_ref();
            netdev.is_some_and(|netdev| netdev.index == Some(index))
        };
        self.ports.iter_mut().find(|(_, port)| has_index(port))
    }

    /// The name of the network's own netdev, while it can be seen.
    pub(super) fn host_interface(&self) -> Option<&str> {
        let mut ports = self.ports.values();
        let own = ports.find(|port| port.origin == Origin::Network)?;
        let netdev = own.netdev.as_ref()?;
        netdev.index.map(|_| netdev.name.as_str())
    }

    /// A name for the next connection: `stream0`, `stream1`, … Numbers are not
    /// used again, so that counters and log lines of two guests do not mix.
    pub(super) fn stream_name(&mut self) -> Option<PortName> {
        loop {
            let name = format!("stream{}", self.streams).parse().ok()?;
            self.streams = self.streams.checked_add(1)?;
            if !self.ports.contains_key(&name) {
                return Some(name);
            }
        }
    }

    /// Logs `line` about a connection, unless there were too many of late; with
    /// what to put behind it.
    pub(super) fn stream_line(&mut self, line: impl FnOnce(&str)) {
        self.stream_lines.say(Instant::now(), line);
    }

    /// Remembers that somebody has detached the netdev with this number.
    pub(super) fn detached(&mut self, index: u32) {
        self.detached.insert(index);
    }

    /// The netdevs that somebody has detached.
    pub(super) fn all_detached(&self) -> &BTreeSet<u32> {
        &self.detached
    }

    /// Connections that had a name so far.
    pub(super) fn streams(&self) -> u64 {
        self.streams
    }

    /// Goes on from what another process had of these two.
    pub(super) fn go_on(&mut self, streams: u64, detached: &BTreeSet<u32>) {
        self.streams = streams;
        self.detached.extend(detached);
    }

    pub(super) fn is_detached(&self, index: u32) -> bool {
        self.detached.contains(&index)
    }

    /// Whether a netdev is warned of like this for the first time.
    pub(super) fn first_warning(&mut self, index: u32, warning: &str) -> bool {
        let said = self.warnings.entry(index).or_default();
        let first = said.len() < MAX_WARNINGS && !said.iter().any(|it| it == warning);
        if first {
            said.push(warning.to_owned());
        }
        first
    }

    /// Forgets what was remembered of a netdev: it is attached, or gone.
    pub(super) fn forget(&mut self, index: u32) {
        self.detached.remove(&index);
        self.warnings.remove(&index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_new_once_a_netdev() {
        let mut ports = Ports::default();
        assert!(ports.first_warning(7, "no rights"));
        assert!(!ports.first_warning(7, "no rights"));
        assert!(ports.first_warning(7, "no memory"));
        assert!(!ports.first_warning(7, "no rights"));
        assert!(ports.first_warning(8, "no rights"));
        ports.forget(7);
        assert!(ports.first_warning(7, "no rights"));
        let new = (0..100).filter(|n| ports.first_warning(7, &n.to_string()));
        assert_eq!(new.count(), MAX_WARNINGS - 1);
    }
}
