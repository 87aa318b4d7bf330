//! The command line.

mod dhcp;
mod fdb;
mod place;
mod port;

pub use dhcp::{HostCommand, LeaseCommand};
pub use fdb::FdbCommand;
pub use place::{Place, RUN_DIR, STATE_DIR};
pub use port::{PortCommand, key_map};

use crate::bench::BenchArgs;
use crate::config::{InterfaceName, PortName, Value, key_value, value};
use crate::libvirt::LibvirtCommand;
use crate::log::LogFilter;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use pnet_base::MacAddr;
use std::path::PathBuf;

/// A switch with DHCP for virtual machines and containers, in the place of
/// libvirt's default network.
///
/// One process serves one network (`vmlan run`); all other commands but
/// `check` talk to it.
///
/// Exit status: 0 done, 1 it failed at run time, 2 bad usage or bad
/// configuration.
#[derive(Debug, Parser)]
#[command(name = "vmlan", version, propagate_version = true)]
pub struct Cli {
    /// Which network, and where its files are.
    #[command(flatten)]
    pub place: Place,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a network in the foreground until SIGTERM or SIGINT
    ///
    /// Prints one line starting with `ready: ` once all is in place. Removes
    /// all that it made at the end. SIGHUP reloads the configuration.
    Run {
        /// The configuration [default: /etc/vmlan/NAME.toml if it is there,
        /// else, for the network `default`, a built-in one]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// libvirt's description of the network, as `virsh net-dumpxml` prints
        /// it, in place of a configuration
        #[arg(long, value_name = "FILE", conflicts_with = "config")]
        network_xml: Option<PathBuf>,
        /// Serve in the place of the process that serves the network now: guests
        /// keep their links, and that process ends
        #[arg(long)]
        takeover: bool,
    },
    /// Check a configuration and say what network it makes
    Check {
        /// The configuration
        file: PathBuf,
    },
    /// Show the network at a glance
    Status {
        /// How to show it.
        #[command(flatten)]
        format: Format,
    },
    /// Show the ports with their counters
    Ports {
        /// How to show it.
        #[command(flatten)]
        format: Format,
    },
    /// Add, change or delete a port
    #[command(subcommand)]
    Port(PortCommand),
    /// Take an existing netdev (qemu's tap, a veth, a NIC) as a packet port
    Attach {
        /// The netdev
        #[arg(value_name = "IFNAME")]
        interface: InterfaceName,
        /// Keys of the port, as in the configuration
        #[arg(value_name = "KEY=VALUE", value_parser = key_value)]
        keys: Vec<(String, Value)>,
    },
    /// Give back a netdev that was attached
    Detach {
        /// The netdev
        #[arg(value_name = "IFNAME")]
        interface: InterfaceName,
    },
    /// Show or change the MAC table
    Fdb {
        /// How to show it.
        #[command(flatten)]
        format: Format,
        /// What to change; nothing: show it.
        #[command(subcommand)]
        command: Option<FdbCommand>,
    },
    /// Show the DHCP leases, as `virsh net-dhcp-leases` does
    Leases {
        /// How to show it.
        #[command(flatten)]
        format: Format,
    },
    /// Show or change the stations that DHCP knows
    Host {
        /// How to show them.
        #[command(flatten)]
        format: Format,
        /// What to do; nothing: show them.
        #[command(subcommand)]
        command: Option<HostCommand>,
    },
    /// Change the DHCP leases
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// Print what to add to qemu's command line to attach a guest
    ///
    /// By a socket, by a tap and by the bridge helper. The network need not
    /// run.
    Qemu {
        /// The guest, by whose name its MAC address is made up
        #[arg(default_value = "vm1")]
        name: PortName,
        /// Its MAC address
        #[arg(long, value_parser = value::station_mac)]
        mac: Option<MacAddr>,
    },
    /// The host's place on the LAN, moved from the uplink to the host interface
    #[command(subcommand)]
    Uplink(UplinkCommand),
    /// Take over a network of libvirt's, or give it back
    #[command(subcommand)]
    Libvirt(LibvirtCommand),
    /// Read the configuration again, apply what changed and say what was done
    ///
    /// If a part of it cannot be applied, all is put back as it was.
    Reload {
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what happens on the network, until Ctrl-C
    ///
    /// Ports that come and go, leases, stations that move, addresses and
    /// identifiers that two stations have, drops over a threshold. Exit status
    /// 0 where vmlan is stopped meanwhile, 1 where it is killed.
    Events {
        /// How to show it: JSON is an object a line.
        #[command(flatten)]
        format: Format,
        /// Begin with those that are kept, the last 1000
        #[arg(long, conflicts_with = "since")]
        history: bool,
        /// Begin with those after the one of this number, `seq` in JSON
        #[arg(long, value_name = "SEQ")]
        since: Option<u64>,
        /// End once these are shown
        #[arg(long)]
        no_follow: bool,
    },
    /// Show or change which log lines vmlan writes, while it runs
    ///
    /// FILTER is a level (off, error, warn, info, debug, trace), or levels of
    /// modules with commas between: info,vmlan::daemon::dhcp=debug. It holds
    /// until vmlan ends; `log.level` in the configuration is for good.
    Log {
        /// What to write from now on; nothing: show it.
        filter: Option<LogFilter>,
    },
    /// Take away what a killed `vmlan run` has left on this host
    ///
    /// Rules of the firewall, forwarding, sysctls, and the addresses of an
    /// uplink. `vmlan run` does so itself at its end, and after a crash at its
    /// next start: this is for a network that is not to be started again.
    /// Refused while the network runs; leases and configuration stay.
    Cleanup,
    /// Look for what keeps the network from working on this host
    ///
    /// Checks rights, kernel, netdevs, subnet, forwarding and firewalls, and,
    /// where the network runs, asks its DHCP and name servers as a guest would.
    /// Says of each obstacle how to mend it; changes nothing. Exit status 1:
    /// there is an obstacle.
    Doctor {
        /// The configuration [default: as `vmlan run` takes it]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// How to show it.
        #[command(flatten)]
        format: Format,
    },
    /// Measure the switch against what else there is, on this machine
    ///
    /// Needs root. Runs vmlan, the Linux bridge and, where they are
    /// installed, Open vSwitch and VDE in turns on the same work, dnsmasq and
    /// Kea on that of a DHCP server, in network
    /// namespaces of its own, and removes all of it at the end. Progress is
    /// shown on stderr, the results on stdout.
    Bench(BenchArgs),
    /// Print what completes vmlan's commands in a shell
    ///
    /// The Debian package has these files already. Else, for bash: `vmlan
    /// completions bash > ~/.local/share/bash-completion/completions/vmlan`.
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// How to show something.
#[derive(Debug, Clone, Copy, Args)]
pub struct Format {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to do about the addresses and routes of the uplink.
#[derive(Debug, Subcommand)]
pub enum UplinkCommand {
    /// Put them back on the uplink after a crash
    ///
    /// `vmlan run` does so itself at its end, and at its start after a crash:
    /// this is for when it cannot be started again.
    Restore,
}

#[cfg(test)]
mod tests;
