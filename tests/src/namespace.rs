//! Network namespaces that end with the test.

use crate::process::{self, Outcome, Process};
use crate::station::Station;
use crate::{asset, wait};
use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// A named network namespace, `vt-PID-N-ROLE`; with its drop all that runs in
/// it ends.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with its loopback up. `role` says in `ip netns` what
    /// it is for.
    ///
    /// # Errors
    /// Not root, or no iproute2.
    pub fn new(role: &str) -> Result<Self> {
        static CLEAN: Once = Once::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);

        CLEAN.call_once(|| {
            // Whether it can do its work shows below.
            let _ = Command::new(asset("clean.sh")).status();
        });
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vt-{}-{number}-{role}", std::process::id());
        ip(&format!("netns add {name}")).context("these tests need root: run tests/run.sh")?;
        let namespace = Self { name };
        namespace.run("ip link set lo up")?;
        Ok(namespace)
    }

    /// Its name, for `ip netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that starts `program` inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Starts `script` inside; it ends with the value. The shell is replaced
    /// by the script's last command where that starts with `exec`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&self, script: &str) -> Result<Process> {
        let mut command = self.command("sh");
        command.args(["-c", script]);
        Process::spawn(command)
    }

    /// Calls `f` on a thread that is inside: sockets and TAPs that it opens
    /// belong to this namespace, and stay there when they are handed out.
    ///
    /// # Errors
    /// The namespace cannot be entered, or `f` failed.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = File::open(format!("/run/netns/{}", self.name))?;
        thread::scope(|scope| {
            scope
                .spawn(move || {
                    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                    f()
                })
                .join()
                .map_err(|_| anyhow!("panic inside a namespace"))?
        })
    }

    /// Takes the netdev `interface` out of `from`, as `eth0` with the MAC
    /// `mac`, and brings it up.
    ///
    /// # Errors
    /// There is none, or it cannot be moved.
    pub fn adopt(&self, from: &Self, interface: &str, mac: &str) -> Result<()> {
        ip(&format!(
            "-n {} link set {interface} down netns {} name eth0 address {mac}",
            from.name, self.name
        ))
        .with_context(|| format!("cannot move {interface}"))?;
        self.run("ip link set eth0 up").map(drop)
    }

    /// Joins this namespace's new netdev `near` with `far` in `other` by a
    /// veth pair; both are brought up.
    ///
    /// # Errors
    /// A name is taken.
    pub fn veth(&self, near: &str, other: &Self, far: &str) -> Result<()> {
        ip(&format!(
            "-n {} link add {near} type veth peer name {far} netns {}",
            self.name, other.name
        ))?;
        self.run(&format!("ip link set {near} up"))?;
        other.run(&format!("ip link set {far} up")).map(drop)
    }

    /// Brings a netdev up, with what else `ip link set` is to do to it, that the
    /// namespace's own IPv6 sends nothing by.
    ///
    /// # Errors
    /// There is no such netdev.
    pub fn run_up(&self, interface: &str) -> Result<()> {
        let name = interface.split(' ').next().unwrap_or_default();
        self.run(&format!(
            "sysctl -qw net.ipv6.conf.{name}.disable_ipv6=1; ip link set {interface} up"
        ))
        .map(drop)
    }

    /// The MAC of a netdev, in lower case with colons.
    ///
    /// # Errors
    /// There is no such netdev.
    pub fn mac(&self, interface: &str) -> Result<String> {
        let mac = self.run(&format!("cat /sys/class/net/{interface}/address"))?;
        Ok(mac.trim().to_owned())
    }

    /// Names of all netdevs inside, sorted.
    ///
    /// # Errors
    /// The namespace is gone.
    pub fn netdevs(&self) -> Result<Vec<String>> {
        let names = self.run("ls /sys/class/net")?;
        Ok(names.split_whitespace().map(str::to_owned).collect())
    }

    /// Waits until the netdev `interface` is there.
    ///
    /// # Errors
    /// It does not come soon.
    pub fn wait_for_netdev(&self, interface: &str) -> Result<()> {
        wait::until(interface, wait::SOON, || {
            self.run(&format!("ip link show dev {interface}")).map(drop)
        })
    }
}

impl Station for Namespace {
    fn shell(&self, script: &str, within: Duration) -> Result<Outcome> {
        let mut command = self.command("sh");
        command.args(["-c", script]);
        process::run(command, within)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let end = format!(
            "ip netns pids {0} | xargs -r kill -KILL; ip netns delete {0}",
            self.name
        );
        // What stays behind is taken by clean.sh.
        let _ = Command::new("sh").args(["-c", &end]).output();
    }
}

/// Runs `ip` with `arguments`.
fn ip(arguments: &str) -> Result<String> {
    let mut command = Command::new("ip");
    command.args(arguments.split_whitespace());
    process::run(command, wait::SOON)?
        .success()
        .with_context(|| format!("ip {arguments}"))
}
