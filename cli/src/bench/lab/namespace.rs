//! A named network namespace.

use super::process;
use anyhow::{Context as _, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Enough for what `ip` and its like do, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// A network namespace; with its drop, all that runs in it ends.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace `name`, with its loopback up and without IPv6, so
    /// that nothing but the work sends there.
    pub(super) fn new(name: String) -> Result<Self> {
        process::run(ip(&["netns", "add", &name]), SOON)
            .context("cannot make a network namespace (needs root and the package iproute2)")?;
        let namespace = Self { name };
        namespace.run(
            "ip link set lo up; cd /proc/sys/net/ipv6/conf 2>/dev/null || exit 0; \
             echo 1 >all/disable_ipv6; echo 1 >default/disable_ipv6",
        )?;
        Ok(namespace)
    }

    /// Its name, for `ip netns`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs `program` inside and ends with the thread that
    /// starts it, see [`process::tied`].
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name])
            .args(process::tied())
            .arg(program);
        command
    }

    /// Runs a shell script inside to its end and gives what it printed.
    ///
    /// # Errors
    /// It failed or did not end soon.
    pub(crate) fn run(&self, script: &str) -> Result<String> {
        let mut command = self.command("sh");
        command.args(["-ec", script]);
        process::run(command, SOON).with_context(|| format!("in {}: {script}", self.name))
    }

    /// Calls `f` on a thread that is inside: what it opens belongs to this
    /// namespace, also when it is handed out.
    ///
    /// # Errors
    /// The namespace cannot be entered, or `f` failed.
    pub(crate) fn enter<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = format!("{}/{}", super::NETNS, self.name);
        let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        thread::scope(|scope| {
            scope
                .spawn(move || {
                    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                        .context("cannot enter a network namespace")?;
                    f()
                })
                .join()
                .map_err(|_| anyhow!("a thread in a network namespace panicked"))?
        })
    }

    /// Brings the netdev `eth0` up as station `number`, 10.77.0.NUMBER/24.
    ///
    /// # Errors
    /// There is no such netdev.
    pub(crate) fn station(&self, number: usize) -> Result<()> {
        self.run(&format!(
            "ip link set eth0 address {} up; ip address add {}/24 dev eth0",
            mac(number),
            address(number)
        ))
        .map(drop)
    }
}

/// The address of station `number`, from 1.
pub(crate) fn address(number: usize) -> String {
    format!("10.77.0.{number}")
}

/// The MAC of station `number`, from 1 to 99.
fn mac(number: usize) -> String {
    format!("52:54:00:77:00:{number:02}")
}

impl Drop for Namespace {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

/// Ends what runs in the namespace `name`, and removes it.
pub(super) fn delete(name: &str) {
    // What stays behind is taken by the next sweep.
    if let Ok(pids) = process::run(ip(&["netns", "pids", name]), SOON) {
        for pid in pids.lines() {
            process::kill(pid);
        }
    }
    let _ = process::run(ip(&["netns", "delete", name]), SOON);
}

fn ip(arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(arguments);
    command
}
