//! The commands for leases and known stations.

use super::Format;
use crate::config::{HostEntry, Problem, Texts};
use clap::Subcommand;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Changes to the DHCP leases.
#[derive(Debug, Subcommand)]
pub enum LeaseCommand {
    /// Delete a lease, so that its address is free again
    Del {
        /// The leased address
        #[arg(value_name = "IP")]
        address: Ipv4Addr,
    },
    /// Take over the leases of dnsmasq or of a libvirt network
    ///
    /// Stop that server first, so that it gives out no more. Leases that stand
    /// against one that is there already are left out, and named.
    Import {
        /// dnsmasq's lease file, as /var/lib/misc/dnsmasq.leases, or libvirt's
        /// /var/lib/libvirt/dnsmasq/BRIDGE.status
        file: PathBuf,
    },
}

/// What can be done about the stations that DHCP knows.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// Show those of the configuration and those that were added
    List {
        /// How to show them.
        #[command(flatten)]
        format: Format,
    },
    /// Give a station an address, a name or tags of its own, from now on
    ///
    /// It is kept over restarts, beside the configuration. One that was added
    /// before is changed.
    Add {
        /// The station; `*` for an octet that may be any, as 52:54:00:*:*:*
        mac: String,
        /// Its address, its name, or both
        #[arg(value_name = "IP|NAME", num_args = 0..=2)]
        words: Vec<String>,
        /// How long its lease lasts, as 1h or infinite
        #[arg(long, value_name = "TIME")]
        lease_time: Option<String>,
        /// A tag that it sets, or several with commas; may be given again
        #[arg(long, value_name = "TAG", value_delimiter = ',')]
        set: Vec<String>,
        /// Give it no answer
        #[arg(long)]
        ignore: bool,
    },
    /// Forget a station that was added
    Del {
        /// Its MAC, address or name
        #[arg(value_name = "MAC|IP|NAME")]
        host: String,
    },
}

impl HostCommand {
    /// What `add` asks for.
    ///
    /// # Errors
    /// An address or a name is given twice, or one of them is neither.
    pub fn entry(mac: String, words: Vec<String>) -> Result<HostEntry, Problem> {
        let mut entry = HostEntry {
            mac: Texts::One(mac),
            ..HostEntry::default()
        };
        for word in words {
            let numeric = word
                .bytes()
                .all(|b| b.is_ascii_digit() || b"./".contains(&b));
            let twice = match word.parse() {
                Ok(address) => entry.address.replace(address).is_some(),
                Err(_) if numeric && word.contains('.') => {
                    let problem = Problem::new(format!("{word:?} is no IPv4 address"));
                    return Err(problem.help("write it as in \"192.168.122.10\""));
                }
                Err(_) => entry.name.replace(word).is_some(),
            };
            if twice {
                return Err(Problem::new("a host has one address and one name")
                    .help("give the MAC, then the address, then the name"));
            }
        }
        Ok(entry)
    }
}
