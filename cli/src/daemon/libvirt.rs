//! What libvirt's users see of the network: its leases and its domains, in the
//! files that libvirt's own dnsmasq would have kept.
//!
//! `BRIDGE.status` holds the leases (libvirt's `src/network/leaseshelper.c`),
//! which `virsh net-dhcp-leases`, `virsh domifaddr` and the NSS module `libvirt`
//! read; `BRIDGE.macs` the MACs of each domain (`src/util/virmacmap.c`), by
//! which the module `libvirt_guest` finds a domain's leases. Both are replaced
//! whole, soon after something has changed. They stay when the network ends, as
//! the leases do: each carries its end.

use super::api::Shared;
use super::network::{Network, chain};
use crate::host::{domains, durable};
use crate::model::{ExternalIds, LeaseState, LeaseView};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long further changes are waited for before the files are written.
const SETTLE: Duration = Duration::from_millis(100);

/// Writing takes at most one part in so many of the time.
const SHARE: u32 = 20;

/// The files' state.
#[derive(Debug)]
pub(super) struct LibvirtFiles {
    /// Told of each change of leases and ports.
    changed: Arc<Notify>,
    /// Names of domains by UUID, as far as they were found.
    domains: BTreeMap<String, String>,
    /// The error that the log has already.
    said: Option<String>,
}

/// Both files as they are to be.
#[derive(Debug)]
struct Job {
    folder: PathBuf,
    bridge: String,
    leases: Vec<LeaseView>,
    /// The domain's UUID and the guest's MAC, of each port that has them.
    stations: Vec<(String, String)>,
    domains: BTreeMap<String, String>,
}

impl LibvirtFiles {
    /// Files that follow what `changed` tells of.
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        changed.notify_one();
        Self {
            changed,
            domains: BTreeMap::new(),
            said: None,
        }
    }

    /// Has the files written anew.
    pub(super) fn touch(&self) {
        self.changed.notify_one();
    }
}

/// Keeps the files up to date, for as long as it is polled.
pub(super) async fn keep(network: Shared) {
    let changed = Arc::clone(&network.lock().await.libvirt.changed);
    let mut pause = SETTLE;
    loop {
        changed.notified().await;
        tokio::time::sleep(pause).await;
        let Some(job) = network.lock().await.libvirt_job() else {
            continue;
        };
        let start = Instant::now();
        // It ends by itself, or the program does.
        if let Ok(written) = tokio::task::spawn_blocking(move || job.write()).await {
            network.lock().await.libvirt_written(written);
        }
        pause = SETTLE.max(start.elapsed().saturating_mul(SHARE));
    }
}

impl Network {
    /// Writes the files now, if there are to be any.
    pub(super) fn write_libvirt_files(&mut self) {
        if let Some(job) = self.libvirt_job() {
            let written = job.write();
            self.libvirt_written(written);
        }
    }

    fn libvirt_job(&self) -> Option<Job> {
        let folder = &self.config.libvirt.as_ref()?.status_dir;
        let id = |ids: &ExternalIds, key| ids.get(key).cloned();
        let stations = self.ports.iter().filter_map(|(_, port)| {
            let ids = &port.external_ids;
            id(ids, "vm-id").zip(id(ids, "attached-mac"))
        });
        Some(Job {
            folder: folder.clone(),
            bridge: self.config.interface.as_ref()?.to_string(),
            leases: self.lease_views(),
            stations: stations.collect(),
            domains: self.libvirt.domains.clone(),
        })
    }

    fn libvirt_written(&mut self, written: io::Result<BTreeMap<String, String>>) {
        let said = match written {
            Ok(domains) => {
                self.libvirt.domains = domains;
                None
            }
            Err(error) => Some(format!("libvirt does not see the leases: {}", chain(error))),
        };
        if let Some(line) = said.as_ref().filter(|_| said != self.libvirt.said) {
            tracing::warn!("{line}");
        }
        self.libvirt.said = said;
    }
}

impl Job {
    /// Writes both files; gives the names of the domains.
    fn write(self) -> io::Result<BTreeMap<String, String>> {
        let domains = self.names();
        let macs = macs(&self.stations, &domains);
        for (suffix, content) in [
            ("status", pretty(&status(&self.leases))?),
            ("macs", pretty(&macs)?),
        ] {
            let path = self.folder.join(format!("{}.{suffix}", self.bridge));
            durable::write(&path, &content, 0o644).map_err(|error| {
                let text = format!("cannot write {}: {error}", path.display());
                io::Error::new(error.kind(), text)
            })?;
        }
        Ok(domains)
    }

    /// The names of the domains that have ports, those found before included.
    fn names(&self) -> BTreeMap<String, String> {
        let wanted: BTreeSet<&str> = self.stations.iter().map(|(uuid, _)| &**uuid).collect();
        let unknown: Vec<&str> = wanted
            .iter()
            .copied()
            .filter(|uuid| !self.domains.contains_key(*uuid))
            .collect();
        let mut found = if unknown.is_empty() {
            BTreeMap::new()
        } else {
            domains::names(&unknown)
        };
        let names = wanted.into_iter().filter_map(|uuid| {
            let name = found
                .remove(uuid)
                .or_else(|| self.domains.get(uuid).cloned());
            Some((uuid.to_owned(), name?))
        });
        names.collect()
    }
}

/// An entry of `BRIDGE.status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Entry<'a> {
    ip_address: &'a str,
    mac_address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    /// In seconds of the Unix epoch; 0: never.
    expiry_time: i64,
}

/// An entry of `BRIDGE.macs`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Domain<'a> {
    domain: &'a str,
    macs: Vec<&'a str>,
}

fn status(leases: &[LeaseView]) -> Vec<Entry<'_>> {
    let bound = leases.iter().filter(|it| it.state == LeaseState::Bound);
    bound
        .map(|lease| Entry {
            ip_address: lease.address.split('/').next().unwrap_or_default(),
            mac_address: lease.mac.to_string(),
            hostname: lease.hostname.as_deref(),
            client_id: lease.client_id.as_deref(),
            expiry_time: lease.expiry,
        })
        .collect()
}

fn macs<'a>(
    stations: &'a [(String, String)],
    domains: &'a BTreeMap<String, String>,
) -> Vec<Domain<'a>> {
    let mut by_name: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (uuid, mac) in stations {
        if let Some(name) = domains.get(uuid) {
            by_name.entry(name).or_default().insert(mac);
        }
    }
    by_name
        .into_iter()
        .map(|(domain, macs)| Domain {
            domain,
            macs: macs.into_iter().collect(),
        })
        .collect()
}

fn pretty(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(content)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pnet_base::MacAddr;
    use serde_json::json;

    fn lease(last: u8, state: LeaseState) -> LeaseView {
        LeaseView {
            expiry: 1_700_000_000,
            mac: MacAddr(0x52, 0x54, 0, 0, 0, last),
            protocol: "ipv4".into(),
            address: format!("192.168.122.{last}/24"),
            hostname: (last == 4).then(|| "one".into()),
            client_id: (last == 4).then(|| "01:52:54:00:00:00:04".into()),
            state,
        }
    }

    #[test]
    fn bound_leases_are_written_as_libvirts_helper_does() {
        let leases = [
            lease(4, LeaseState::Bound),
            lease(5, LeaseState::Offered),
            lease(6, LeaseState::Expired),
            lease(7, LeaseState::Bound),
        ];
        assert_eq!(
            serde_json::to_value(status(&leases)).unwrap(),
            json!([
                {"ip-address": "192.168.122.4", "mac-address": "52:54:00:00:00:04",
                 "hostname": "one", "client-id": "01:52:54:00:00:00:04",
                 "expiry-time": 1_700_000_000},
                {"ip-address": "192.168.122.7", "mac-address": "52:54:00:00:00:07",
                 "expiry-time": 1_700_000_000},
            ])
        );
    }

    #[test]
    fn a_domain_has_all_its_macs_and_one_without_a_name_none() {
        let station = |uuid: &str, mac: &str| (uuid.to_owned(), mac.to_owned());
        let stations = [
            station("u1", "m2"),
            station("u2", "m3"),
            station("u1", "m1"),
        ];
        let domains = [("u1".to_owned(), "one".to_owned())].into();
        assert_eq!(
            macs(&stations, &domains),
            [Domain {
                domain: "one",
                macs: vec!["m1", "m2"]
            }]
        );
    }

    #[test]
    fn both_files_are_written_with_the_names_found_before() {
        let folder = tempfile::tempdir().unwrap();
        let job = |folder: PathBuf| Job {
            folder,
            bridge: "virbr0".into(),
            leases: vec![lease(4, LeaseState::Bound)],
            stations: vec![("u1".into(), "m1".into()), ("u9".into(), "m9".into())],
            domains: [
                ("u1".to_owned(), "one".to_owned()),
                ("u8".into(), "x".into()),
            ]
            .into(),
        };
        let domains = job(folder.path().into()).write().unwrap();
        assert_eq!(domains, [("u1".to_owned(), "one".to_owned())].into());
        let text = std::fs::read_to_string(folder.path().join("virbr0.macs")).unwrap();
        let macs: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(macs, json!([{"domain": "one", "macs": ["m1"]}]));
        assert!(folder.path().join("virbr0.status").exists());

        let error = job(folder.path().join("missing")).write().unwrap_err();
        assert!(
            error.to_string().contains("missing/virbr0.status"),
            "{error}"
        );
    }
}
