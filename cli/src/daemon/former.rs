//! Takes away the addresses that the gateway had before a reload, once no
//! client has a lease from then.

use super::api::Shared;
use super::network::Network;
use super::start;
use ipnet::Ipv4Net;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks, while there is such an address; else there is none.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks after them, for as long as it is polled.
pub(super) async fn retire(network: Shared) {
    let changed = Arc::clone(&network.lock().await.former_changed);
    loop {
        changed.notified().await;
        while !network.lock().await.former.is_empty() {
            tokio::time::sleep(INTERVAL).await;
            network.lock().await.retire_former().await;
        }
    }
}

impl Network {
    /// All addresses of the gateway: the present one, then former ones.
    pub(super) fn gateways(&self) -> Vec<Ipv4Net> {
        let former = self.former.iter();
        self.gateway.iter().chain(former).copied().collect()
    }

    /// Takes away former addresses that nobody has a lease from any more.
    pub(super) async fn retire_former(&mut self) {
        let owed = self.dhcp.owed();
        let over = |it: &Ipv4Net| !owed.iter().any(|(of, leases)| of == it && *leases > 0);
        let (gone, stay): (Vec<_>, Vec<_>) = self.former.iter().copied().partition(over);
        if gone.is_empty() {
            return;
        }
        self.former = stay;
        let addresses: Vec<String> = gone.iter().map(ToString::to_string).collect();
        let addresses = addresses.join(", ");
        match self.bring_gateways_in_line(&gone).await {
            Ok(()) => tracing::info!("no client has a lease from {addresses} any more: it is gone"),
            Err(error) => tracing::warn!("{addresses} stays where it was: {error:#}"),
        }
    }

    async fn bring_gateways_in_line(&mut self, gone: &[Ipv4Net]) -> anyhow::Result<()> {
        let settings = start::settings(&self.config, self.gateway, &self.former, self.mac);
        self.switch.configure(&settings)?;
        self.dhcp.set_former(&self.former);
        self.dhcp.refresh_former()?;
        self.remove_gateways(gone).await?;
        self.serve_names()?;
        self.write_record();
        self.open_outside()
            .await
            .map(drop)
            .map_err(|error| anyhow::anyhow!(error.one_line()))
    }

    /// Takes addresses from the host's own interface, if there is one.
    pub(super) async fn remove_gateways(&self, gone: &[Ipv4Net]) -> anyhow::Result<()> {
        let Some(interface) = self.ports.host_interface() else {
            return Ok(());
        };
        let link = self.links.by_name(interface).await?;
        for address in gone {
            self.links.remove_address(&link, *address).await?;
        }
        // The kernel takes the others of a subnet away with its first.
        self.add_gateways().await
    }

    /// Gives the host's own interface, if there is one, the addresses of the
    /// gateway; those that are there already stay.
    pub(super) async fn add_gateways(&self) -> anyhow::Result<()> {
        let Some(interface) = self.ports.host_interface() else {
            return Ok(());
        };
        let link = self.links.by_name(interface).await?;
        for address in self.gateways() {
            self.links.add_address(&link, address).await?;
        }
        Ok(())
    }
}
