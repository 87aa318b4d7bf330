//! What a running network shows of itself.

use super::network::Network;
use super::ports::NamedPort;
use crate::config::PortName;
use crate::model::{
    ApiError, Counters, DhcpView, DnsView, FdbEntryView, FdbFill, Fill, LeaseState, LeaseView,
    LinkState, PortView, StatusView, TftpView,
};
use std::collections::HashMap;
use vmlan_dataplane::counters;
use vmlan_dataplane::table::PortId;
use vmlan_dhcp::leasefile;

impl Network {
    /// The network at a glance.
    pub(super) fn status(&self) -> Result<StatusView, ApiError> {
        let fdb = self.switch.fdb_use();
        let (used, size) = self.dhcp.fill().unwrap_or_default();
        Ok(StatusView {
            network: self.config.name.to_string(),
            interface: self.config.interface.as_ref().map(ToString::to_string),
            address: self.gateway.map(|gateway| gateway.to_string()),
            mac: Some(self.mac),
            mtu: self.config.mtu,
            forward: self.config.forward.name().to_owned(),
            uplink: self.config.uplink.as_ref().map(ToString::to_string),
            ports: self.ports.len(),
            fdb: FdbFill {
                used: fdb.used as u64,
                size: fdb.size as u64,
                refused: fdb.refused,
            },
            leases: Fill {
                used: used as u64,
                size: size as u64,
            },
            dhcp: self.dhcp.trouble().map(|store| DhcpView {
                store: store.err().unwrap_or_else(|| "ok".to_owned()),
                unanswered: self.dhcp.unanswered(),
            }),
            dns: self.dns.tally().map(|tally| {
                let refused = tally.refused.into_iter().filter(|(_, n)| *n > 0);
                DnsView {
                    own: tally.own,
                    cached: tally.cached,
                    forwarded: tally.forwarded,
                    asking: tally.asking,
                    cache: tally.kept,
                    refused: refused.map(|(name, n)| (name.to_owned(), n)).collect(),
                }
            }),
            tftp: self.tftp.tally().map(|tally| TftpView {
                running: tally.running,
                sent: tally.sent,
                failed: tally.failed,
                refused: tally.refused,
                bytes: tally.bytes,
            }),
            uptime: self.started.elapsed().as_secs(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// The ports with what they have counted, by name.
    pub(super) fn port_views(&self) -> Result<Vec<PortView>, ApiError> {
        let counted: HashMap<PortId, _> = self.switch.counters()?.into_iter().collect();
        let view = |(name, port): (&PortName, &NamedPort)| {
            let counters = counted.get(&port.id).copied().unwrap_or_default();
            let up = port.netdev.as_ref().is_none_or(|netdev| netdev.up);
            PortView {
                name: name.to_string(),
                kind: port.kind,
                interface: port.netdev.as_ref().map(|netdev| netdev.name.clone()),
                queues: port.queues,
                offload: port.offload,
                dhcp: port.dhcp,
                state: if up { LinkState::Up } else { LinkState::Down },
                rx: direction(&counters.rx),
                tx: direction(&counters.tx),
                external_ids: port.external_ids.clone(),
            }
        };
        Ok(self.ports.iter().map(view).collect())
    }

    /// The MAC table, by station.
    pub(super) fn fdb_views(&self) -> Result<Vec<FdbEntryView>, ApiError> {
        let names: HashMap<PortId, &PortName> = self
            .ports
            .iter()
            .map(|(name, port)| (port.id, name))
            .collect();
        let mut entries = self.switch.fdb();
        entries.sort_unstable_by_key(|entry| (entry.mac, entry.vlan));
        Ok(entries
            .into_iter()
            .filter_map(|entry| {
                Some(FdbEntryView {
                    mac: entry.mac,
                    vlan: entry.vlan,
                    port: names.get(&entry.port)?.to_string(),
                    fixed: entry.is_static,
                    age: f64::from(entry.age) / 10.0,
                })
            })
            .collect())
    }

    /// The leases, by address.
    pub(super) fn lease_views(&self) -> Vec<LeaseView> {
        self.dhcp.leases(|lease, prefix| LeaseView {
            expiry: i64::try_from(lease.expiry).unwrap_or(i64::MAX),
            mac: lease.mac,
            protocol: "ipv4".to_owned(),
            address: format!("{}/{prefix}", lease.address),
            hostname: lease.hostname.map(str::to_owned),
            client_id: lease.client_id.map(|id| {
                let mut hex = String::new();
                // Writing to a string does not fail.
                let _ = leasefile::write_hex(&mut hex, id);
                hex
            }),
            state: match lease.state {
                vmlan_dhcp::LeaseState::Bound => LeaseState::Bound,
                vmlan_dhcp::LeaseState::Offered => LeaseState::Offered,
                vmlan_dhcp::LeaseState::Declined => LeaseState::Declined,
                vmlan_dhcp::LeaseState::Expired => LeaseState::Expired,
            },
        })
    }
}

fn direction(counters: &counters::Counters) -> Counters {
    Counters {
        frames: counters.frames,
        bytes: counters.bytes,
        drops: counters
            .drops
            .iter()
            .map(|(reason, n)| (reason.name().to_owned(), n))
            .collect(),
    }
}
