//! The ports of another process become ports of this one.

use super::record::{PortRecord, Record, StationRecord};
use super::store::Files;
use crate::config::{PortKind, PortName};
use crate::daemon::network::{Network, chain};
use crate::daemon::ports::{NamedPort, Netdev, Origin};
use crate::host::link::LinkError;
use crate::model::ApiError;
use anyhow::{Context as _, bail};
use std::os::fd::OwnedFd;
use vmlan_dataplane::control::Unread;
use vmlan_dataplane::forward::Role;
use vmlan_dataplane::port::{Port, packet, stream, tap};
use vmlan_dataplane::table::fdb::Entry;

impl Network {
    /// Takes over the ports of `record` that the configuration still wants, with
    /// their `files`; frames pass from then on. What cannot go on is left out,
    /// with a warning, as if it had gone while nobody was looking.
    pub(super) fn adopt(&mut self, record: &Record, files: &mut Files) {
        let mut unread = Vec::new();
        for port in &record.ports {
            let own = (0..port.files).map_while(|n| files.remove(&file(&port.name, n)));
            let own: Vec<OwnedFd> = own.collect();
            match self.adopt_port(port, own) {
                Ok(port) => unread.push(port),
                Err(error) => tracing::warn!("port {} does not go on: {error:#}", port.name),
            }
        }
        self.remember(&record.stations);
        // All of them and all stations are known before the first frame comes.
        for port in unread {
            if let Err(error) = self.switch.read(port) {
                tracing::error!("a port does not go on: {}", chain(error));
            }
        }
        self.ports.go_on(record.streams, &record.detached);
        tracing::info!("{} of {} ports go on", self.ports.len(), record.ports.len());
    }

    fn adopt_port(
        &mut self,
        record: &PortRecord,
        mut files: Vec<OwnedFd>,
    ) -> anyhow::Result<Unread> {
        let name: PortName = record.name.parse()?;
        if files.len() < record.files {
            bail!("its files are missing");
        }
        let (offload, dhcp) = self.wanted_settings(&name, record)?;
        // A queue needs a worker that reads it; the rest has to go.
        let workers = self.config.switch.workers();
        let mut netdev = record.netdev.clone();
        let port = match record.kind {
            PortKind::Tap => {
                files.truncate(workers);
                let (port, now) = tap::adopt(files, offload).context("its netdev is gone")?;
                if let Some(Netdev { name, .. }) = &mut netdev {
                    *name = now;
                }
                port
            }
            PortKind::Packet => {
                if files.len() > workers + 1 {
                    bail!("it has more queues than there are workers");
                }
                let port = packet::adopt(files).context("its netdev is gone")?;
                port.egress.set_offload(offload)?;
                port
            }
            PortKind::Stream => {
                let [socket] = <[OwnedFd; 1]>::try_from(files).map_err(|_| NotOneFile)?;
                stream::adopt(socket.into(), record.begun.clone(), record.part.clone())?
            }
            kind => bail!("ports of the kind {kind} cannot go on"),
        };
        self.take_in(&name, port, record, netdev, (offload, dhcp))
    }

    fn take_in(
        &mut self,
        name: &PortName,
        port: Port,
        record: &PortRecord,
        netdev: Option<Netdev>,
        (offload, dhcp): (bool, bool),
    ) -> anyhow::Result<Unread> {
        let of_uplink = netdev
            .as_ref()
            .is_some_and(|netdev| self.is_uplink(&netdev.name));
        let role = match record.origin {
            Origin::Network => Role::Host,
            _ if of_uplink => Role::Uplink,
            _ => Role::Station,
        };
        let queues = u16::try_from(port.ingress.len()).unwrap_or(1);
        let unread = self.switch.add_unread(port, role)?;
        let id = unread.id;
        self.switch.count_from(id, record.counters());
        if !dhcp {
            self.switch.set_dhcp(id, false)?;
        }
        let there = NamedPort {
            id,
            kind: record.kind,
            queues,
            netdev,
            origin: record.origin,
            external_ids: record.external_ids.clone(),
            offload,
            dhcp,
        };
        self.ports.insert(name.clone(), there);
        self.dhcp.name_port(id, Some(name.as_str()));
        Ok(unread)
    }

    /// Whether offloads and DHCP are on for a port, as the configuration has it
    /// now.
    ///
    /// # Errors
    /// The configuration does not want it any more.
    fn wanted_settings(&self, name: &PortName, port: &PortRecord) -> anyhow::Result<(bool, bool)> {
        let as_before = (port.offload, port.dhcp);
        match port.origin {
            Origin::Network | Origin::Command | Origin::Connection => Ok(as_before),
            Origin::Pattern => {
                let mut patterns = self.config.attach.iter();
                if patterns.any(|pattern| pattern.matches(name.as_str())) {
                    Ok(as_before)
                } else {
                    bail!("no pattern under [attach] wants it any more")
                }
            }
            Origin::Config => {
                let configured = self.config.wanted_ports();
                let wanted = configured.iter().find(|wanted| {
                    wanted.name == *name
                        && wanted.kind == port.kind
                        && Some(wanted.interface.as_str()) == port.interface.as_deref()
                });
                match wanted {
                    Some(wanted) => Ok((wanted.offload, wanted.dhcp)),
                    None => bail!("the configuration has no such port any more"),
                }
            }
        }
    }

    /// Gives the netdevs that were made by another process what this
    /// configuration has for them: the MTU, and on the host's own MAC and address.
    pub(in crate::daemon) async fn align_inherited(&self) -> Result<(), ApiError> {
        for (_, port) in self.ports.iter() {
            let netdev = port.netdev.as_ref().filter(|_| port.kind == PortKind::Tap);
            let Some(index) = netdev.and_then(|netdev| netdev.index) else {
                continue;
            };
            let link = match self.links.by_index(index).await {
                Ok(link) => link,
                // It has just gone, which is followed elsewhere.
                Err(LinkError::NoSuchIndex(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let mtu = self.config.mtu.into();
            if link.mtu != mtu {
                self.links.set_mtu(&link, mtu).await?;
            }
            if port.origin != Origin::Network {
                continue;
            }
            if link.mac != Some(self.mac) {
                self.links.set_mac(&link, self.mac).await?;
            }
            let addresses = self.links.addresses_of(&link).await?;
            if let Some(gateway) = self.gateway
                && !addresses.contains(&gateway.into())
            {
                self.links.add_address(&link, gateway).await?;
            }
            if !link.up {
                self.links.set_up(&link, true).await?;
            }
        }
        Ok(())
    }

    fn remember(&self, stations: &[StationRecord]) {
        let entry = |station: &StationRecord| {
            let port = self.ports.get(&station.port.parse().ok()?)?;
            Some(Entry {
                mac: station.mac,
                vlan: station.vlan,
                port: port.id,
                is_static: station.is_static,
                age: station.age,
            })
        };
        let entries: Vec<Entry> = stations.iter().filter_map(entry).collect();
        self.switch.remember(&entries);
    }

    /// The stations that the next process is told of.
    pub(super) fn stations(&self) -> Vec<StationRecord> {
        let mut stations = self.switch.fdb();
        // Where not all can be told, those that were heard last.
        stations.sort_unstable_by_key(|entry| entry.age);
        stations.truncate(super::record::MAX_STATIONS);
        let record = |entry: Entry| {
            Some(StationRecord {
                mac: entry.mac,
                vlan: entry.vlan,
                port: self.ports.by_id(entry.port)?.to_string(),
                is_static: entry.is_static,
                age: entry.age,
            })
        };
        stations.into_iter().filter_map(record).collect()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a connection has one file")]
struct NotOneFile;

/// What a port's file is called; no file has the name of what is no port.
fn file(port: &str, n: usize) -> String {
    port.parse()
        .map_or_else(|_| String::new(), |name| PortRecord::file(&name, n))
}
