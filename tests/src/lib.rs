//! Fixtures for the tests with the real thing: network namespaces, DHCP
//! clients, qemu guests, a LAN of its own, and the `vmlan` program between
//! them.
//!
//! - [`wait`] polls a condition within a deadline; nothing here sleeps instead.
//! - [`process`] starts a program, keeps what it prints and ends it on drop.
//! - [`station`] is what can run a shell script: a [`namespace`] or a [`guest`],
//!   whose [`console`] is a serial line.
//! - [`switch`] is `vmlan run` in a namespace of its own; [`libvirt`] a host with
//!   libvirtd, whose domains are guests.
//! - [`machine`] is a clean Debian with systemd, for the package.
//! - [`vmm`] holds a TAP's fd as qemu would, [`stream_peer`] the end of a stream
//!   port, both frame by frame; [`frame`] makes the frames.
//! - [`cable`] is a guest with a network stack and no qemu, [`beat`] how long a path
//!   is silent, [`manager`] a service manager in systemd's place; [`restarts`] puts
//!   them together.
//! - [`follower`] follows the events of a network.
//! - [`outside`] is a host between a guest and an internet, with Docker or
//!   firewalld on it.
//! - [`hostile`] makes frames and messages that no honest guest sends.
//! - [`killed`] kills vmlan at random moments while clients take leases.
//! - [`differential`] compares the DHCP server with dnsmasq, message by message.
//! - [`dhcp_client`], [`transfer`], [`capture`], [`exchange`] and [`lan`] are
//!   what tests do and see with these.
//!
//! All of it needs root and what `tests/install.sh` installs. Everything that
//! is made lives in namespaces called `vt-PID-…`; `tests/clean.sh` removes
//! those whose test is gone.

pub mod beat;
pub mod cable;
pub mod capture;
pub mod console;
pub mod dhcp_client;
pub mod differential;
pub mod exchange;
pub mod follower;
pub mod frame;
pub mod guest;
pub mod hostile;
pub mod keys;
pub mod killed;
pub mod lan;
pub mod libvirt;
pub mod machine;
pub mod manager;
pub mod namespace;
pub mod numbered;
pub mod outside;
pub mod process;
pub mod restarts;
pub mod station;
pub mod stream_peer;
pub mod switch;
pub mod transfer;
pub mod ufw;
pub mod vmm;
pub mod wait;

use std::path::PathBuf;

/// Path of a file under `tests/`.
#[must_use]
pub fn asset(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, or `target` in the workspace.
#[must_use]
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| asset("../target"), PathBuf::from)
}
