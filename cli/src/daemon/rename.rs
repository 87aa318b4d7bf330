//! Another name for a port that stays, and for the host's own interface.

use super::network::{Network, no_port};
use crate::config::{InterfaceName, PortName};
use crate::model::ApiError;

impl Network {
    /// Gives a port another name.
    pub(super) fn rename_port(&mut self, old: &PortName, new: &PortName) -> Result<(), ApiError> {
        self.refuse_taken_name(new)?;
        let port = self.ports.remove(old).ok_or_else(|| no_port(old))?;
        self.dhcp.name_port(port.id, Some(new.as_str()));
        self.ports.insert(new.clone(), port);
        Ok(())
    }

    /// Gives the host's own interface another name, and its port with it.
    pub(super) async fn rename_host_interface(
        &mut self,
        old: &InterfaceName,
        new: &InterfaceName,
    ) -> Result<(), ApiError> {
        let (old, new): (PortName, PortName) = (old.as_str().parse()?, new.as_str().parse()?);
        // Renamed already, or not yet.
        if self.ports.get(&old).is_none() {
            return Ok(());
        }
        self.refuse_taken_name(&new)?;
        let link = self.links.by_name(old.as_str()).await?;
        // The rules know it by its name: it forwards nothing until they do.
        self.sysctls_at_start(old.as_str())?;
        self.links.set_name(&link, new.as_str()).await?;
        self.rename_port(&old, &new)?;
        if let Some(netdev) = self.ports.get_mut(&new).and_then(|it| it.netdev.as_mut()) {
            netdev.name = new.to_string();
        }
        Ok(())
    }
}
