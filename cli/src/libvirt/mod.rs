//! vmlan in the place of a libvirt network, and back.
//!
//! What a network is: [`xml`] reads libvirt's description ([`reader`] sees to
//! it that nothing in it is passed over; [`dns`]: its names), [`translate`](mod@translate) makes a
//! configuration of it ([`dnsmasq`]: of the options in it that are dnsmasq's
//! own; [`parts`]: as far as vmlan takes it), [`redefine`](mod@redefine) the
//! description that libvirt gets meanwhile. [`load`](mod@load) runs such a network
//! without libvirt.
//!
//! What is done: [`plan`] looks at all of it and shows it, [`adopt`] and
//! [`release`] do it in [`steps`] that can be undone, by [`virsh`], [`service`]
//! (vmlan as a process), [`taps`] (guests that run) and [`front`] (how libvirt
//! tells of guests); [`record`] keeps what was there before.

mod adopt;
mod dns;
mod dnsmasq;
mod front;
mod load;
mod parts;
mod plan;
mod reader;
mod record;
mod redefine;
mod release;
mod service;
mod steps;
mod taps;
mod translate;
mod virsh;
mod xml;

pub use load::load;
pub use reader::Rest;
pub use redefine::redefine;
pub use translate::{Left, Surroundings, Translation, translate};
pub use xml::Network;

use crate::args::Place;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use std::io::Write;
use virsh::Virsh;

/// Networks of libvirt.
#[derive(Debug, Subcommand)]
pub enum LibvirtCommand {
    /// Put vmlan in the place of a network's bridge and dnsmasq
    ///
    /// Shows the configuration that it makes of the network, and what of it
    /// cannot be carried over. Then the network's bridge ends, and vmlan starts
    /// under its name; domains need no change, and those that run go on. If
    /// anything fails, all is put back.
    Adopt(Which),
    /// Give a network back to libvirt, as it was
    Release(Which),
}

/// Which network, and how.
#[derive(Debug, Args)]
pub struct Which {
    /// The network's name in libvirt; with --network NAME vmlan calls it
    /// otherwise
    #[arg(value_name = "NET")]
    pub net: String,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// The libvirt that has it, as for `virsh -c` [default: qemu:///system]
    #[arg(long, value_name = "URI")]
    pub connect: Option<String>,
}

/// The libvirt that is meant where none is named.
const SYSTEM: &str = "qemu:///system";

/// Does `command` and tells `out` of it.
///
/// # Errors
/// It cannot be done; all is as it was before, or the error says what is not.
pub fn run(place: &Place, command: &LibvirtCommand, out: &mut dyn Write) -> Result<()> {
    match command {
        LibvirtCommand::Adopt(which) => {
            let virsh = Virsh::new(which.connect.as_deref().unwrap_or(SYSTEM));
            adopt::adopt(place, &virsh, &which.net, which.dry_run, out)
        }
        LibvirtCommand::Release(which) => {
            let connect = which.connect.as_deref();
            release::release(place, connect, &which.net, which.dry_run, out)
        }
    }
}

fn check_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root can do this\nhelp: run it with sudo; --dry-run shows what would be done");
    }
    Ok(())
}
