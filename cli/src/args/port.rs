//! The commands for ports.

use crate::config::{PortKind, PortName, Value, key_value};
use clap::Subcommand;
use std::collections::BTreeMap;

/// Changes to the ports.
#[derive(Debug, Subcommand)]
pub enum PortCommand {
    /// Add a port
    Add {
        /// Its name
        name: PortName,
        /// tap: make a netdev; packet: take an existing one
        #[arg(long, value_name = "KIND")]
        kind: PortKind,
        /// Keys of the port, as in the configuration: interface=eth1
        #[arg(value_name = "KEY=VALUE", value_parser = key_value)]
        keys: Vec<(String, Value)>,
    },
    /// Change a port
    Set {
        /// Its name
        name: PortName,
        /// Keys of the port, as in the configuration
        #[arg(value_name = "KEY=VALUE", value_parser = key_value, required = true)]
        keys: Vec<(String, Value)>,
    },
    /// Delete a port
    Del {
        /// Its name
        name: PortName,
    },
}

/// Keys as given on a command line; of one given twice, the last counts.
#[must_use]
pub fn key_map(keys: Vec<(String, Value)>) -> BTreeMap<String, Value> {
    keys.into_iter().collect()
}
