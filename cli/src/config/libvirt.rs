//! The table `[libvirt]`: a network that libvirt's users see as one of its own.

use super::Problem;
use super::network::Written;
use super::section::{Findings, Section};
use super::value::absolute;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Where libvirt looks for the leases of its networks.
const STATUS_DIR: &str = "/var/lib/libvirt/dnsmasq";

/// How libvirt sees the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libvirt {
    /// Its name there, where it has another one.
    pub network: Option<String>,
    /// The folder in which libvirt looks for leases.
    pub status_dir: PathBuf,
}

impl Libvirt {
    pub(super) fn read(mut section: Section<'_, '_, '_>) -> Self {
        let network = section.text("network", |text| match text {
            "" => Err(Problem::new("a network of libvirt has a name")
                .help("use the one in `virsh net-list`, or leave the key out")),
            name => Ok(name.to_owned()),
        });
        let status_dir = section.text("status-dir", absolute);
        section.end();
        Self {
            network: network.map(Spanned::into_inner),
            status_dir: status_dir.map_or_else(
                || Path::new(STATUS_DIR).to_owned(),
                |folder| folder.into_inner(),
            ),
        }
    }
}

/// libvirt tells networks apart by their bridges.
pub(super) fn check(written: &Written, findings: &mut Findings<'_>) {
    if written.libvirt.is_some()
        && let Some(interface) = &written.interface
        && interface.get_ref().is_none()
    {
        let what = "libvirt knows a network by its bridge, and interface = \"\" is none";
        let help =
            "give the interface the name in libvirt's <bridge name=…>, or take [libvirt] out";
        findings.error(interface.span(), Problem::new(what).help(help));
    }
}
