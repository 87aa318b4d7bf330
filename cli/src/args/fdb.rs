//! The commands for the MAC table.

use crate::config::{PortName, Vlan, value};
use clap::Subcommand;
use pnet_base::MacAddr;

/// Changes to the MAC table.
#[derive(Debug, Subcommand)]
pub enum FdbCommand {
    /// Add a static entry
    Add {
        /// The station
        #[arg(value_parser = value::station_mac)]
        mac: MacAddr,
        /// The port that it is behind
        port: PortName,
        /// The VLAN that it is in
        #[arg(long, value_name = "N")]
        vlan: Option<Vlan>,
    },
    /// Delete an entry
    Del {
        /// The station
        #[arg(value_parser = value::station_mac)]
        mac: MacAddr,
        /// The VLAN that it is in
        #[arg(long, value_name = "N")]
        vlan: Option<Vlan>,
    },
    /// Forget all learned entries
    Flush {
        /// Only those behind this port
        #[arg(long)]
        port: Option<PortName>,
    },
}
