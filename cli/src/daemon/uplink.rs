//! The uplink of a bridged LAN: the host's addresses and routes, from the NIC
//! to the host interface and back.

use super::CONTROL;
use super::network::{Network, chain};
use crate::args::Place;
use crate::config::{Config, PortName};
use crate::host::link::{Link, Links};
use crate::host::quiet::Quiet;
use crate::host::rundir::RunDir;
use crate::host::uplink::{self, Moved, Summary, UplinkError};
use crate::model::ApiError;
use anyhow::{Context as _, bail};
use pnet_base::MacAddr;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Puts back what a killed process has left moved, without serving the network.
pub(super) async fn restore_by_command(place: &Place) -> anyhow::Result<String> {
    let name = place.network();
    let run = RunDir::claim(&place.run_dir(), name.as_str(), None)?;
    // Its sysctls first, which keep the host off the uplink.
    Quiet::open(run.path())?;
    let restored = restore(&run, &Links::new()?).await?;
    if let Some(summary) = restored {
        return Ok(format!("put back: {summary}"));
    }
    let others = moved_by_others(&place.run_dir(), name.as_str());
    if let Some(other) = others.first() {
        bail!(
            "network {name} has moved nothing, but {} has: `vmlan uplink restore --network {other}`",
            others.join(", ")
        );
    }
    Ok(format!("network {name} has moved nothing"))
}

/// The networks below `run` but for `own` that were killed and have left
/// something moved.
fn moved_by_others(run: &Path, own: &str) -> Vec<String> {
    let folders = fs::read_dir(run).into_iter().flatten().flatten();
    let moved = folders.filter(|folder| {
        let run = folder.path();
        uplink::left(&run).is_some() && UnixStream::connect(run.join(CONTROL)).is_err()
    });
    let names = moved.map(|folder| folder.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name != own).collect();
    names.sort();
    names
}

/// Puts back what a killed process has left moved, and says what that was.
pub(super) async fn restore(run: &RunDir, links: &Links) -> anyhow::Result<Option<Summary>> {
    let restored = uplink::restore(run.path(), links).await;
    restored.with_context(|| {
        format!(
            "cannot put back what the last run has moved from the uplink, as {}/uplink.toml has \
             it (remove that file to go on without)",
            run.path().display()
        )
    })
}

/// The MAC of the uplink, for the host interface.
pub(super) async fn mac(config: &Config, links: &Links) -> anyhow::Result<MacAddr> {
    let uplink = config.bridged_uplink().context("there is no uplink")?;
    let link = links.by_name(uplink.as_str()).await?;
    link.mac
        .with_context(|| format!("{uplink} has no Ethernet address"))
}

impl Network {
    /// Whether what `link` holds has to go to the host interface when it is
    /// taken.
    pub(super) fn moves_addresses_of(&self, link: &Link) -> bool {
        // A NIC that comes again has its place kept.
        self.config.move_addresses && self.moved.is_none() && self.is_uplink(&link.name)
    }

    /// Refuses a wireless NIC as the uplink.
    pub(super) fn refuse_wireless(&self, link: &Link) -> Result<(), ApiError> {
        if !self.is_uplink(&link.name) || !uplink::is_wireless(&link.name) {
            return Ok(());
        }
        let error = format!(
            "{} is a wireless NIC, which cannot be the uplink",
            link.name
        );
        Err(ApiError::runtime(error).help(
            "an access point drops the frames of all MACs but the NIC's own: take a wired NIC, \
             or another `forward` than \"bridge\"",
        ))
    }

    /// Moves what the uplink, which is a port now, holds to the host interface,
    /// and keeps the host off the uplink then.
    pub(super) async fn move_addresses(&mut self, link: &Link) -> Result<(), ApiError> {
        let Some(interface) = &self.config.interface else {
            return Ok(());
        };
        let interface = self.links.by_name(interface.as_str()).await?;
        let moved = Moved::begin(self.run.path(), &self.links, link, &interface).await;
        self.moved = moved.map_err(|error| ApiError::runtime(chain(error)))?;
        if let Err(error) = self.keep_host_off(link).await {
            if let Err(second) = self.put_back_addresses().await {
                tracing::error!("{}", chain(second));
            }
            return Err(error);
        }
        let Some(moved) = &mut self.moved else {
            let warning = format!("{} has no address to move to {}", link.name, interface.name);
            self.warn_once(link, &warning);
            return Ok(());
        };
        moved.announce(&interface);
        tracing::info!("{}", moved.summary());
        let dynamic = moved.dynamic();
        if !dynamic.is_empty() {
            tracing::warn!(
                "{} of {} will run out: stop the program that renews it there, and have it do \
                 so on {}",
                dynamic.join(", "),
                link.name,
                interface.name
            );
        }
        Ok(())
    }

    /// Puts everything back on the uplink, before the port `name` goes, if that
    /// is the uplink's.
    pub(super) async fn give_up_uplink(&mut self, name: &PortName) -> Result<(), ApiError> {
        let netdev = self.ports.get(name).and_then(|port| port.netdev.as_ref());
        let moved = self.moved.as_ref().map(Moved::uplink);
        if moved.is_none() || moved != netdev.map(|netdev| netdev.name.as_str()) {
            return Ok(());
        }
        let put_back = self.put_back_addresses().await;
        put_back.map_err(|error| ApiError::runtime(chain(error)))
    }

    /// Puts everything back on the uplink.
    ///
    /// # Errors
    /// [`UplinkError`]; the record stays for the next start.
    pub(super) async fn put_back_addresses(&mut self) -> Result<(), UplinkError> {
        let Some(moved) = self.moved.take() else {
            return Ok(());
        };
        if let Ok(link) = self.links.by_name(moved.uplink()).await {
            self.let_go(link.index);
        }
        let interface = match &self.config.interface {
            Some(name) => self.links.by_name(name.as_str()).await.ok(),
            None => None,
        };
        moved.end(&self.links, interface.as_ref()).await?;
        tracing::info!("put back: what {} had is there again", moved.uplink());
        Ok(())
    }
}
