//! What is told of a network beside its files: JSON, of one version, bounded.
//! Whoever reads it may be an older or a newer vmlan than who wrote it.

use crate::config::{Address, Config, Forward, PortKind, PortName};
use crate::daemon::ports::{Netdev, Origin};
use crate::model::ExternalIds;
use ipnet::Ipv4Net;
use pnet_base::MacAddr;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use vmlan_dataplane::counters::{Counters, PortCounters};
use vmlan_dataplane::policy::DropReason;

/// The version that is written, and the only one that is read. Fields may come
/// to it that the other side leaves out or passes over.
pub(super) const VERSION: u32 = 1;

/// Stations that are told of, at most; further ones are learned anew.
pub(super) const MAX_STATIONS: usize = 65_536;

/// A network on its way to the next process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Record {
    pub(super) version: u32,
    pub(super) network: Fixed,
    pub(super) ports: Vec<PortRecord>,
    /// Connections so far: their numbers are not used again.
    #[serde(default)]
    pub(super) streams: u64,
    /// Numbers of netdevs that somebody has detached.
    #[serde(default)]
    pub(super) detached: BTreeSet<u32>,
    #[serde(default)]
    pub(super) stations: Vec<StationRecord>,
}

/// What the next process goes by from its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Fixed {
    pub(super) interface: Option<String>,
    /// The gateway's address with its prefix.
    pub(super) gateway: Option<Ipv4Net>,
    /// Addresses that it had before and that clients still have leases from.
    #[serde(default)]
    pub(super) former: Vec<Ipv4Net>,
    /// The uplink of a bridged LAN, and whether its addresses were moved.
    pub(super) bridged: Option<(String, bool)>,
}

/// A port and what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PortRecord {
    pub(super) name: String,
    pub(super) kind: PortKind,
    pub(super) origin: Origin,
    /// The interface that the configuration names.
    pub(super) interface: Option<String>,
    pub(super) netdev: Option<Netdev>,
    pub(super) offload: bool,
    pub(super) dhcp: bool,
    #[serde(default)]
    pub(super) external_ids: ExternalIds,
    /// How many files it has.
    pub(super) files: usize,
    /// The rest of a frame that was begun.
    #[serde(default)]
    pub(super) begun: Vec<u8>,
    /// The part of a frame that was taken in.
    #[serde(default)]
    pub(super) part: Vec<u8>,
    #[serde(default)]
    pub(super) rx: CountersRecord,
    #[serde(default)]
    pub(super) tx: CountersRecord,
}

/// What a port has counted in one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CountersRecord {
    frames: u64,
    bytes: u64,
    drops: BTreeMap<String, u64>,
}

/// A station of the MAC table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StationRecord {
    pub(super) mac: MacAddr,
    pub(super) vlan: u16,
    pub(super) port: String,
    #[serde(rename = "static")]
    pub(super) is_static: bool,
    /// Tenths of a second.
    pub(super) age: u32,
}

impl Fixed {
    /// What `config` and the address chosen by it fix.
    pub(super) fn of(config: &Config, gateway: Option<Ipv4Net>) -> Self {
        let uplink = config.bridged_uplink();
        Self {
            interface: config.interface.as_ref().map(ToString::to_string),
            gateway,
            former: Vec::new(),
            bridged: uplink.map(|uplink| (uplink.to_string(), config.move_addresses)),
        }
    }

    /// The key of `config` by which the network would be another one, so that
    /// nothing of this one can go on.
    pub(super) fn differs(&self, config: &Config) -> Option<&'static str> {
        let interface = config.interface.as_ref().map(ToString::to_string);
        let address = match config.address {
            Address::None => self.gateway.is_none(),
            Address::Fixed(address) => self.gateway == Some(address),
            Address::Auto => self.gateway.is_some(),
        };
        let new = Self::of(config, None);
        if interface != self.interface {
            Some("interface")
        } else if !address {
            Some("address")
        } else if new.bridged.is_some() != self.bridged.is_some()
            || (config.forward == Forward::Bridge) != self.bridged.is_some()
        {
            Some("forward")
        } else if new.bridged != self.bridged {
            Some("uplink")
        } else {
            None
        }
    }
}

impl PortRecord {
    /// The name that the store knows its file number `n` by.
    pub(super) fn file(name: &PortName, n: usize) -> String {
        format!("port.{name}.{n}")
    }

    /// What it has counted.
    pub(super) fn counters(&self) -> PortCounters {
        PortCounters {
            rx: self.rx.counters(),
            tx: self.tx.counters(),
        }
    }
}

impl CountersRecord {
    pub(super) fn of(counters: &Counters) -> Self {
        let drops = counters.drops.iter();
        Self {
            frames: counters.frames,
            bytes: counters.bytes,
            drops: drops.map(|(why, n)| (why.name().to_owned(), n)).collect(),
        }
    }

    fn counters(&self) -> Counters {
        let mut counters = Counters {
            frames: self.frames,
            bytes: self.bytes,
            ..Counters::default()
        };
        for reason in DropReason::ALL {
            // What the other version did not know is counted from 0.
            if let Some(n) = self.drops.get(reason.name()) {
                counters.drops.add(reason, *n);
            }
        }
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_come_back_by_the_names_of_their_reasons() {
        let mut counters = Counters::default();
        counters.count(60);
        counters.drops.add(DropReason::EgressFull, 7);
        let mut record = CountersRecord::of(&counters);
        assert_eq!(record.counters(), counters);
        record.drops.insert("not-known-here".to_owned(), 1);
        assert_eq!(record.counters(), counters);
    }

    #[test]
    fn a_record_of_a_newer_version_is_read_as_far_as_it_is_known() {
        let text = r#"{
            "version": 1,
            "network": {"interface": "vmlan0", "gateway": "192.168.122.1/24", "new": 1},
            "ports": [{
                "name": "vnet0", "kind": "packet", "origin": "pattern", "new": true,
                "netdev": {"name": "vnet0", "index": 7, "up": true},
                "offload": true, "dhcp": true, "files": 2
            }]
        }"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!(record.ports[0].files, 2);
        assert_eq!(record.ports[0].counters(), PortCounters::default());
        assert_eq!(
            record
                .network
                .differs(&Config::built_in(Default::default())),
            None
        );
    }

    #[test]
    fn what_makes_it_another_network_is_named() {
        let fixed = Fixed {
            interface: Some("vmlan0".to_owned()),
            gateway: Some("192.168.122.1/24".parse().unwrap()),
            former: Vec::new(),
            bridged: None,
        };
        let config = Config::built_in(Default::default());
        assert_eq!(fixed.differs(&config), None);
        let other = |change: &dyn Fn(&mut Config)| {
            let mut config = config.clone();
            change(&mut config);
            fixed.differs(&config)
        };
        assert_eq!(other(&|it| it.interface = None), Some("interface"));
        let fixed_at = |text: &str| Address::Fixed(text.parse().unwrap());
        assert_eq!(other(&|it| it.address = fixed_at("192.168.122.1/24")), None);
        assert_eq!(
            other(&|it| it.address = fixed_at("10.0.0.1/24")),
            Some("address")
        );
        assert_eq!(other(&|it| it.address = Address::None), Some("address"));
        assert_eq!(other(&|it| it.forward = Forward::Bridge), Some("forward"));
    }
}
