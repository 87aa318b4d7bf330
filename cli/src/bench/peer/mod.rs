//! The switches that are compared, one file each, and the DHCP servers.

pub(crate) mod dhcp;
mod linux_bridge;
mod open_vswitch;
mod vde;
pub(crate) mod vmlan;

use super::lab::Lab;
use super::lab::namespace::{Namespace, SOON};
use super::lab::process;
use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use std::fmt;
use std::process::Command;
use std::rc::Rc;

/// A switch or DHCP server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// vmlan: this very program
    Vmlan,
    /// vmlan as `--variant` has it
    #[value(skip)]
    Variant,
    /// The Linux kernel's bridge
    Bridge,
    /// Open vSwitch, its userspace datapath
    Ovs,
    /// VDE's vde_switch
    Vde,
    /// dnsmasq, its DHCP server
    Dnsmasq,
    /// ISC's Kea, its DHCPv4 server with leases in a file
    Kea,
}

/// A running switch. It ends with the value.
pub(crate) trait Switch {
    /// Makes the netdev `netdev`, the TAP of a guest, one of its ports. It is
    /// in the switch's namespace, and up.
    ///
    /// # Errors
    /// The switch refuses; see [`Peer::takes_guests`].
    fn attach(&mut self, netdev: &str) -> Result<()>;

    /// Makes a port of its own kind whose netdev `eth0` is in `station`, with
    /// offloads on; `number` is unique among the ports.
    ///
    /// # Errors
    /// The switch refuses.
    fn connect(&mut self, station: &Namespace, number: usize) -> Result<()>;

    /// Fails where it runs no more.
    ///
    /// # Errors
    /// One of its processes has ended; with the end of its log.
    fn check(&mut self) -> Result<()>;
}

impl Peer {
    /// How it is called in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Vmlan => "vmlan",
            Self::Variant => "vmlan, variant",
            Self::Bridge => "Linux bridge",
            Self::Ovs => "Open vSwitch",
            Self::Vde => "VDE",
            Self::Dnsmasq => "dnsmasq",
            Self::Kea => "Kea",
        }
    }

    /// Its version; [`None`] where it is not installed.
    pub(crate) fn version(self) -> Option<String> {
        match self {
            Self::Vmlan | Self::Variant => Some(env!("CARGO_PKG_VERSION").to_owned()),
            Self::Bridge => Some(format!(
                "of Linux {}",
                rustix::system::uname().release().to_string_lossy()
            )),
            Self::Ovs => open_vswitch::version(),
            Self::Vde => vde::version(),
            Self::Dnsmasq => {
                let line = first_line("dnsmasq", "--version")?;
                line.split_whitespace().nth(2).map(str::to_owned)
            }
            Self::Kea => first_line("kea-dhcp4", "-v"),
        }
    }

    /// Whether it is a switch.
    pub(crate) fn is_switch(self) -> bool {
        !matches!(self, Self::Dnsmasq | Self::Kea)
    }

    /// Whether it is a DHCP server.
    pub(crate) fn is_dhcp_server(self) -> bool {
        matches!(self, Self::Vmlan | Self::Dnsmasq | Self::Kea)
    }

    /// Whether the TAP of a guest, whose file a VMM holds, can be its port. VDE's
    /// `vde_plug2tap` wants that file itself, and its `vde_pcapplug` passed no
    /// frames of such a netdev when it was tried.
    pub(crate) fn takes_guests(self) -> bool {
        self != Self::Vde
    }

    /// Starts it in `namespace`.
    ///
    /// # Errors
    /// It is not installed or does not come up.
    pub(crate) fn start(self, lab: &Lab, namespace: &Rc<Namespace>) -> Result<Box<dyn Switch>> {
        Ok(match self {
            Self::Vmlan => Box::new(vmlan::Vmlan::start(lab, namespace, "")?),
            Self::Variant => Box::new(vmlan::Vmlan::start(lab, namespace, lab.variant())?),
            Self::Bridge => Box::new(linux_bridge::LinuxBridge::start(namespace)?),
            Self::Ovs => Box::new(open_vswitch::OpenVswitch::start(lab, namespace)?),
            Self::Vde => Box::new(vde::Vde::start(lab, namespace)?),
            Self::Dnsmasq | Self::Kea => bail!("{self} is no switch"),
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// The first line of what `program` prints with `argument`; [`None`] where it
/// is not installed.
pub(crate) fn first_line(program: &str, argument: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.arg(argument);
    let text = process::run(command, SOON).ok()?;
    text.lines().next().map(str::to_owned)
}

/// Moves the netdev `near` from `namespace` to `station`, as `eth0`.
fn hand_over(namespace: &Namespace, near: &str, station: &Namespace) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["-n", namespace.name(), "link", "set", near]);
    command.args(["netns", station.name(), "name", "eth0"]);
    process::run(command, SOON).map(drop)
}

/// Joins `station` with `namespace` by a veth pair: `eth0` there, `near` here,
/// up.
fn veth(namespace: &Namespace, near: &str, station: &Namespace) -> Result<()> {
    namespace
        .run(&format!(
            "ip link add {near} type veth peer name eth0 netns {}; ip link set {near} up",
            station.name()
        ))
        .map(drop)
}
