//! The command line.

use crate::bench::BenchArgs;
use crate::config::{
    HostEntry, InterfaceName, NetworkName, PortKind, PortName, Problem, Texts, Value, Vlan,
    key_value, value,
};
use crate::libvirt::LibvirtCommand;
use clap::{Args, Parser, Subcommand};
use pnet_base::MacAddr;
use rustix::process::geteuid;
use std::collections::BTreeMap;
use std::env;
use std::fs::DirBuilder;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

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

/// Which network, and where its files are.
#[derive(Debug, Args)]
pub struct Place {
    /// The network [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    pub network: Option<NetworkName>,
    /// Folder of the sockets [default: /run/vmlan, not root:
    /// $XDG_RUNTIME_DIR/vmlan]
    #[arg(long, global = true, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Folder of what is kept over restarts [default: /var/lib/vmlan, not
    /// root: $XDG_STATE_HOME/vmlan]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

impl Place {
    /// The network meant.
    #[must_use]
    pub fn network(&self) -> NetworkName {
        self.network.clone().unwrap_or_default()
    }

    /// The same folders, with another network meant.
    #[must_use]
    pub fn of(&self, network: &NetworkName) -> Self {
        Self {
            network: Some(network.clone()),
            run_dir: self.run_dir.clone(),
            state_dir: self.state_dir.clone(),
        }
    }

    /// The folder that holds one folder of sockets for each network.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        let named = self.run_dir.clone();
        named
            .or_else(run_folder)
            .unwrap_or_else(|| fallback("/tmp"))
    }

    /// The folder that holds one folder of kept files for each network.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        let named = self.state_dir.clone();
        named
            .or_else(state_folder)
            .unwrap_or_else(|| fallback("/var/tmp"))
    }

    /// Makes sure that nobody else has a hand in the folders that are taken
    /// where neither an option nor the environment names one: those lie where
    /// everybody may write.
    ///
    /// # Errors
    /// Such a folder is not ours alone.
    pub fn check_fallbacks(&self) -> Result<(), Problem> {
        if self.run_dir.is_none() && run_folder().is_none() {
            check_own(&self.run_dir(), "--run-dir")?;
        }
        if self.state_dir.is_none() && state_folder().is_none() {
            check_own(&self.state_dir(), "--state-dir")?;
        }
        Ok(())
    }
}

/// The run folder that the system or the session has for us.
fn run_folder() -> Option<PathBuf> {
    if geteuid().is_root() {
        return Some("/run/vmlan".into());
    }
    let session = || {
        let dir = PathBuf::from(format!("/run/user/{}", geteuid().as_raw()));
        dir.is_dir().then_some(dir)
    };
    let dir = absolute("XDG_RUNTIME_DIR").or_else(session)?;
    Some(dir.join("vmlan"))
}

/// The state folder that the system or the session has for us.
fn state_folder() -> Option<PathBuf> {
    if geteuid().is_root() {
        return Some("/var/lib/vmlan".into());
    }
    let home = || absolute("HOME").map(|home| home.join(".local/state"));
    let dir = absolute("XDG_STATE_HOME").or_else(home)?;
    Some(dir.join("vmlan"))
}

/// Our folder in `under`, which everybody may write to.
fn fallback(under: &str) -> PathBuf {
    PathBuf::from(format!("{under}/vmlan-{}", geteuid().as_raw()))
}

/// Checks that the folder `dir`, which lies where everybody may write, is ours
/// alone, and makes it so where it is missing. Whoever came first with that
/// name could otherwise have us talk to their switch.
fn check_own(dir: &Path, option: &str) -> Result<(), Problem> {
    let refused = |why: &str| {
        Problem::new(format!("{} {why}", dir.display()))
            .help(format!("name a folder of your own with {option} DIR"))
    };
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(&format!("cannot be made: {error}"))),
    }
    // Not the target of a link, which may be anybody's.
    let found = dir
        .symlink_metadata()
        .map_err(|error| refused(&format!("cannot be looked at: {error}")))?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() {
        return Err(refused("is not a folder of yours"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(refused("is open to other users"));
    }
    Ok(())
}

/// The folder in the variable `name`. A relative one is to be ignored (XDG
/// Base Directory Specification, "Environment variables").
fn absolute(name: &str) -> Option<PathBuf> {
    let dir = PathBuf::from(env::var_os(name)?);
    dir.is_absolute().then_some(dir)
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
}

/// How to show something.
#[derive(Debug, Clone, Copy, Args)]
pub struct Format {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

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

/// What to do about the addresses and routes of the uplink.
#[derive(Debug, Subcommand)]
pub enum UplinkCommand {
    /// Put them back on the uplink after a crash
    ///
    /// `vmlan run` does so itself at its end, and at its start after a crash:
    /// this is for when it cannot be started again.
    Restore,
}

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

/// Keys as given on a command line; of one given twice, the last counts.
#[must_use]
pub fn key_map(keys: Vec<(String, Value)>) -> BTreeMap<String, Value> {
    keys.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_there() {
        for line in [
            "vmlan run",
            "vmlan run --config x.toml --network lab",
            "vmlan --network lab check x.toml",
            "vmlan run --network-xml x.xml",
            "vmlan libvirt adopt default --dry-run",
            "vmlan libvirt adopt Lab_1 --network lab --connect qemu:///system",
            "vmlan libvirt release default",
            "vmlan status --json",
            "vmlan ports --json --run-dir /x --state-dir /y",
            "vmlan port add lan0 --kind packet interface=eth1 offload=false",
            "vmlan port set lan0 offload=true",
            "vmlan port del lan0",
            "vmlan attach vnet0",
            "vmlan attach vnet0 offload=true",
            "vmlan detach vnet0",
            "vmlan fdb",
            "vmlan fdb --json",
            "vmlan fdb --network lab flush",
            "vmlan fdb add 52:54:00:00:00:01 lan0 --vlan 10",
            "vmlan fdb del 52:54:00:00:00:01",
            "vmlan fdb flush --port lan0",
            "vmlan leases --json",
            "vmlan lease del 192.168.122.4",
            "vmlan host add 52:54:00:00:00:01",
            "vmlan host add 52:54:00:*:*:* db --set red --set blue",
            "vmlan host add 52:54:00:00:00:01 192.168.122.9 db --lease-time 2h",
            "vmlan host del db",
            "vmlan host --json",
            "vmlan host list --json",
            "vmlan lease import /var/lib/misc/dnsmasq.leases",
            "vmlan qemu",
            "vmlan qemu web --mac 52:54:00:00:00:01",
            "vmlan uplink restore --network lan",
            "vmlan reload",
            "vmlan reload --dry-run",
            "vmlan doctor",
            "vmlan doctor --config x.toml --json",
            "vmlan bench",
            "vmlan bench --work vmm,tcp --peers vmlan,bridge --rounds 3 --seconds 0.5",
            "vmlan bench --json --plot x.svg",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn bad_usage_exits_2_and_names_the_mend() {
        for (line, mend) in [
            ("vmlan", "Usage"),
            (
                "vmlan run --config a --network-xml b",
                "cannot be used with",
            ),
            ("vmlan libvirt adopt", "required"),
            ("vmlan run --network Lab", "a-z, 0-9 and -"),
            ("vmlan port add x --kind tup", "did you mean \"tap\"?"),
            (
                "vmlan port add x --kind tap ofload=true",
                "did you mean `offload`?",
            ),
            ("vmlan port set x", "KEY=VALUE"),
            ("vmlan attach a/b", "printable characters"),
            ("vmlan fdb add ff:ff:ff:ff:ff:ff lan0", "group address"),
            ("vmlan fdb add 52:54:00:00:00:01 lan0 --vlan 4095", "4094"),
            ("vmlan lease del here", "invalid value"),
            ("vmlan host add", "required"),
            ("vmlan host add 52:54:00:00:00:01 a b c", "unexpected value"),
            ("vmlan bench --work all", "possible values: vmm"),
            ("vmlan bench --seconds 0", "from 0.1 to 60"),
            ("vmlan bench --rounds 0", "1..=100"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(mend), "{line}: {error}");
        }
    }

    #[test]
    fn a_folder_where_everybody_writes_has_to_be_ours_alone() {
        let under = tempfile::tempdir().unwrap();
        let dir = under.path().join("vmlan-1");
        check_own(&dir, "--run-dir").unwrap();
        assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700);
        check_own(&dir, "--run-dir").unwrap();

        let open = std::os::unix::fs::PermissionsExt::from_mode(0o750);
        std::fs::set_permissions(&dir, open).unwrap();
        let problem = check_own(&dir, "--run-dir").unwrap_err();
        assert!(problem.message.ends_with("is open to other users"));
        assert!(problem.help.unwrap().contains("--run-dir DIR"));

        let link = under.path().join("vmlan-2");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        let problem = check_own(&link, "--run-dir").unwrap_err();
        assert!(problem.message.ends_with("is not a folder of yours"));
    }

    #[test]
    fn a_folder_that_is_named_is_taken() {
        let cli = parse("vmlan status --run-dir /x --state-dir /y").unwrap();
        assert_eq!(cli.place.run_dir(), PathBuf::from("/x"));
        assert_eq!(cli.place.state_dir(), PathBuf::from("/y"));
        assert!(cli.place.network().is_default());
    }
}
