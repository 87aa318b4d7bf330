//! vmlan in the place of a libvirt network, and back.
//!
//! What a network is: [`xml`] reads libvirt's description ([`reader`] sees to
//! it that nothing in it is passed over, [`bounds`] that it is none to choke on), [`translate`](mod@translate) makes a
//! configuration of it ([`dnsmasq`]: of the options in it that are dnsmasq's
//! own; [`parts`]: as far as vmlan takes it), [`redefine`](mod@redefine) the
//! description that libvirt gets meanwhile. [`load`](mod@load) runs such a network
//! without libvirt.
//!
//! What is done: [`plan`] looks at all of it and shows it ([`running`]: also what
//! runs where that is something else), [`adopt`] and
//! [`release`] do it in [`steps`] that can be undone, by [`virsh`], [`service`]
//! (vmlan as a process), [`taps`] (guests that run) and [`front`] (how libvirt
//! tells of guests); [`record`] keeps what was there before.

mod adopt;
mod bounds;
mod dnsmasq;
mod front;
mod load;
mod parts;
mod plan;
mod reader;
mod record;
mod redefine;
mod release;
mod resolvers;
mod running;
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

use crate::args::{self, Place};
use crate::config::Problem;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::{self, Path, PathBuf};
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
    let place = &of_libvirtd(place)?;
    let (LibvirtCommand::Adopt(which) | LibvirtCommand::Release(which)) = command;
    which.connect.as_deref().map_or(Ok(()), check_near)?;
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

/// `place` with the folders of root's networks, whoever asks: libvirtd calls
/// `ovs-vsctl` and the hook without a word of others, so in a folder of its own
/// a network would never hear of its guests, and `ovs-vsctl` not be known to be
/// of use to it.
///
/// # Errors
/// `place` names others.
fn of_libvirtd(place: &Place) -> Result<Place, Problem> {
    let usual = |option: &str, named: &Option<PathBuf>, usual: &str| match named {
        Some(named) if path::absolute(named).ok().as_deref() != Some(Path::new(usual)) => {
            let what = format!(
                "{} is not where libvirtd has networks of vmlan looked for: that is {usual}",
                named.display()
            );
            Err(Problem::new(what).help(format!("leave {option} out")))
        }
        _ => Ok(Some(usual.into())),
    };
    Ok(Place {
        network: place.network.clone(),
        run_dir: usual("--run-dir", &place.run_dir, args::RUN_DIR)?,
        state_dir: usual("--state-dir", &place.state_dir, args::STATE_DIR)?,
    })
}

/// Whether the libvirt at `uri` (libvirt.org/uri.html) has its networks on this
/// host.
///
/// # Errors
/// It names another host.
fn check_near(uri: &str) -> Result<(), Problem> {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    match rest.split(['/', '?']).next() {
        None | Some("") => Ok(()),
        Some(host) => {
            let what = format!("{uri} is libvirt on {host}, whose bridges are not here");
            Err(Problem::new(what).help(format!("run this on {host}")))
        }
    }
}

fn check_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root can do this\nhelp: run it with sudo; --dry-run shows what would be done");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_adopted_where_libvirtd_has_it_looked_for() {
        let place = |run_dir: Option<&str>, state_dir: Option<&str>| Place {
            network: None,
            run_dir: run_dir.map(PathBuf::from),
            state_dir: state_dir.map(PathBuf::from),
        };
        for named in [
            place(None, None),
            place(Some("/run/vmlan"), Some("/var/lib/vmlan/")),
        ] {
            let place = of_libvirtd(&named).unwrap();
            assert_eq!(place.run_dir(), Path::new("/run/vmlan"));
            assert_eq!(place.state_dir(), Path::new("/var/lib/vmlan"));
        }
        for (named, option) in [
            (place(Some("run/vmlan"), None), "leave --run-dir out"),
            (place(None, Some("/srv")), "leave --state-dir out"),
        ] {
            let problem = of_libvirtd(&named).unwrap_err();
            assert_eq!(problem.help.as_deref(), Some(option));
        }
    }

    #[test]
    fn only_a_libvirt_of_this_host_can_be_asked() {
        for uri in [
            "qemu:///system",
            "network:///system",
            "qemu+unix:///system?socket=/run/x",
            "test:///default",
        ] {
            check_near(uri).unwrap();
        }
        for uri in [
            "qemu+ssh://root@far/system",
            "qemu://far/system",
            "xen://far",
        ] {
            let problem = check_near(uri).unwrap_err();
            assert!(problem.message.contains("far, whose"), "{problem}");
        }
    }
}
