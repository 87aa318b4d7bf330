//! Real DHCP clients in a namespace: busybox's udhcpc, ISC's dhclient and dhcpcd.
//!
//! The first two run a script of our own that configures the interface and nothing else
//! of the machine, and leaves the lease as `KEY=VALUE` lines.

use crate::namespace::Namespace;
use crate::process::Process;
use crate::station::Station;
use crate::{asset, wait};
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// The longest that a client may take for its lease.
const LEASE: Duration = Duration::from_secs(30);

/// A lease as its client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address leased.
    pub address: Ipv4Addr,
    options: BTreeMap<String, String>,
}

impl Lease {
    /// Reads the lines that the clients' scripts write.
    ///
    /// # Errors
    /// There is no address in `text`.
    pub fn parse(text: &str) -> Result<Self> {
        let options: BTreeMap<_, _> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let address = options
            .get("ip")
            .with_context(|| format!("no lease: {text}"))?;
        Ok(Self {
            address: address.parse()?,
            options,
        })
    }

    /// What came with the address: `mask`, `broadcast`, `router`, `dns`,
    /// `domain`, `lease` (seconds), `serverid`, `hostname`, `mtu`, and `event`,
    /// which says how the client came by the lease. Empty where the server
    /// sent none.
    #[must_use]
    pub fn option(&self, name: &str) -> &str {
        self.options.get(name).map_or("", String::as_str)
    }
}

/// A udhcpc that stays and renews when told to.
#[derive(Debug)]
pub struct Udhcpc {
    process: Process,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Udhcpc {
    /// Starts udhcpc on `eth0` of `namespace` with further `arguments`, such
    /// as `-x hostname:web`, and waits for its lease.
    ///
    /// # Errors
    /// It gets none; with what it printed.
    pub fn start(namespace: &Namespace, arguments: &str) -> Result<(Self, Lease)> {
        let folder = folder()?;
        let file = folder.path().join("lease");
        let process = namespace.spawn(&format!(
            "LEASE_FILE={} exec udhcpc -i eth0 -f -n -t 10 -T 2 -s {} {arguments}",
            file.display(),
            asset("guest/udhcpc.sh").display(),
        ))?;
        let client = Self {
            process,
            file,
            _folder: folder,
        };
        let lease = client.await_lease()?;
        Ok((client, lease))
    }

    /// Has it renew at once, and gives the lease that it then has.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub fn renew(&self) -> Result<Lease> {
        fs::remove_file(&self.file)?;
        self.process.signal(Signal::USR1)?;
        self.await_lease()
    }

    /// Has it release its lease, and waits until it has done so.
    ///
    /// # Errors
    /// It has ended.
    pub fn release(&mut self) -> Result<()> {
        let start = self.process.stderr_from(0).len();
        self.process.signal(Signal::USR2)?;
        wait::until("udhcpc's release", wait::SOON, || {
            let log = self.process.stderr_from(start).join("\n");
            anyhow::ensure!(log.contains("entering released state"), "{log}");
            Ok(())
        })
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    fn await_lease(&self) -> Result<Lease> {
        wait::until("udhcpc's lease", LEASE, || {
            Lease::parse(&fs::read_to_string(&self.file)?)
        })
        .with_context(|| self.process.stderr())
    }
}

/// One lease by udhcpc on `eth0` of a guest, with further `arguments`, such as
/// `-x hostname:one`; the address is set on the NIC.
///
/// # Errors
/// None was offered.
pub fn udhcpc_in_guest(guest: &impl Station, arguments: &str) -> Result<Lease> {
    let script = format!(
        "LEASE_FILE=/tmp/lease udhcpc -i eth0 -f -q -n -t 10 -T 2 -s /etc/udhcpc.sh {arguments}; \
         cat /tmp/lease"
    );
    let output = guest.shell(&script, Duration::from_secs(40))?;
    Lease::parse(&output.success().context("no lease in the guest")?)
}

/// One lease by udhcpc on `eth0` of `namespace`, which ends then and leaves
/// the address set. `arguments` as for [`Udhcpc::start`].
///
/// # Errors
/// It gets none; with what it printed.
pub fn udhcpc(namespace: &Namespace, arguments: &str) -> Result<Lease> {
    let folder = folder()?;
    let file = folder.path().join("lease");
    namespace
        .shell(
            &format!(
                "LEASE_FILE={} udhcpc -i eth0 -f -q -n -t 10 -T 2 -s {} {arguments}",
                file.display(),
                asset("guest/udhcpc.sh").display(),
            ),
            LEASE,
        )?
        .success()
        .context("udhcpc got no lease")?;
    Lease::parse(&fs::read_to_string(&file)?)
}

/// dhclient with the leases that it remembers: a second run asks for the same
/// address again (INIT-REBOOT).
#[derive(Debug)]
pub struct Dhclient {
    folder: tempfile::TempDir,
}

impl Dhclient {
    /// One that remembers nothing.
    ///
    /// # Errors
    /// There is no room for its files.
    pub fn new() -> Result<Self> {
        let client = Self { folder: folder()? };
        // By itself it does not ask for an MTU; Debian has it do so. It asks
        // again after a second, not ten.
        let conf = "also request interface-mtu;\ninitial-interval 1;\nbackoff-cutoff 2;\n";
        fs::write(client.file("conf"), conf)?;
        Ok(client)
    }

    /// Gets a lease for `eth0` of `namespace` and leaves the address set.
    ///
    /// # Errors
    /// It gets none; with what it printed.
    pub fn lease(&self, namespace: &Namespace) -> Result<Lease> {
        let lease = self.folder.path().join("lease");
        let _ = fs::remove_file(&lease);
        let client = self.command(&format!("-1 -v -e LEASE_FILE={}", lease.display()));
        let output = namespace.shell(&client, LEASE)?;
        // It has gone to the background: it is not needed there.
        namespace.run(&self.command("-x"))?;
        output.success().context("dhclient got no lease")?;
        Lease::parse(&fs::read_to_string(&lease)?)
    }

    /// Starts it on `eth0` of `namespace`, where it stays and renews. Killed, it
    /// remembers its lease.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn stay(&self, namespace: &Namespace) -> Result<Process> {
        let lease = self.file("lease");
        let arguments = format!("-d -v -e LEASE_FILE={}", lease.display());
        namespace.spawn(&format!("exec {}", self.command(&arguments)))
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// dhclient fails.
    pub fn release(&self, namespace: &Namespace) -> Result<()> {
        namespace.run(&self.command("-r")).map(drop)
    }

    fn command(&self, arguments: &str) -> String {
        let file = |name: &str| self.file(name).display().to_string();
        format!(
            "dhclient -4 -sf {} -cf {} -lf {} -pf {} {arguments} eth0",
            asset("dhclient-script.sh").display(),
            file("conf"),
            file("leases"),
            file("pid"),
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// dhcpcd in the foreground; its leases outlive it.
#[derive(Debug)]
pub struct Dhcpcd {
    folder: tempfile::TempDir,
}

impl Dhcpcd {
    /// One that remembers nothing.
    ///
    /// # Errors
    /// There is no room for its files.
    pub fn new() -> Result<Self> {
        Ok(Self { folder: folder()? })
    }

    /// Starts it on `eth0` of `namespace`. SIGUSR1 has it renew, SIGALRM release,
    /// SIGTERM end and keep its lease.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn stay(&self, namespace: &Namespace) -> Result<Process> {
        // The mounts are its own: `ip netns exec` gives it a mount namespace.
        namespace.spawn(&format!(
            "mkdir -p /run/dhcpcd /var/lib/dhcpcd
            mount -t tmpfs none /run/dhcpcd
            mount --bind {} /var/lib/dhcpcd
            exec dhcpcd -4 -A -B -d -f /dev/null -c /bin/true eth0",
            self.folder.path().display()
        ))
    }
}

/// Loses what clients on `eth0` of `namespace` send to `server` alone, as their
/// renewals are: what is left to them is to rebind.
///
/// # Errors
/// nft fails.
pub fn lose_unicasts(namespace: &Namespace, server: &str) -> Result<()> {
    // Not in the output hook, where the sender is told of it.
    namespace
        .run(&format!(
            "nft add table netdev lost
            nft add chain netdev lost out \
                '{{ type filter hook egress device eth0 priority 0; }}'
            nft add rule netdev lost out ip daddr {server} udp dport 67 drop"
        ))
        .map(drop)
}

/// Ends what [`lose_unicasts`] began.
///
/// # Errors
/// It had not begun.
pub fn pass_unicasts(namespace: &Namespace) -> Result<()> {
    namespace.run("nft delete table netdev lost").map(drop)
}

/// A folder that `clean.sh` knows.
fn folder() -> Result<tempfile::TempDir> {
    Ok(tempfile::Builder::new()
        .prefix(&format!("vt-{}-", std::process::id()))
        .tempdir()?)
}
