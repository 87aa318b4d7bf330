//! The `vmlan` program: what stands around the switch.

pub mod args;
pub mod bench;
pub mod client;
pub mod config;
pub mod daemon;
mod dns;
pub mod doctor;
pub mod events;
mod firewall;
pub mod follow;
mod host;
pub mod libvirt;
pub mod log;
pub mod model;
pub mod ovs;
pub mod qemu;
pub mod report;
pub mod tftp;
