//! Other networks that are configured on this host, so that the owner of a
//! netdev or a subnet can be named.

use super::facts::read;
use crate::config::{Address, FOLDER, Loaded, NetworkName, Source};
use crate::libvirt::Network;
use ipnet::Ipv4Net;
use std::fs;
use std::path::{Path, PathBuf};

/// Where libvirt keeps its descriptions of networks (`networkStateInitialize`
/// in its src/network/bridge_driver.c).
const LIBVIRT: &str = "/etc/libvirt/qemu/networks";

/// Another network that is configured on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OtherNetwork {
    /// As `the libvirt network "default"`.
    pub(super) name: String,
    /// Its host interface.
    pub(super) interface: Option<String>,
    /// Its subnets.
    pub(super) subnets: Vec<Ipv4Net>,
    /// Netdevs that it takes.
    pub(super) attach: Vec<String>,
    /// libvirt's name of it, by which vmlan can take its place.
    pub(super) adopt: Option<String>,
}

/// The networks of vmlan and libvirt, without vmlan's one called `own`. What
/// cannot be read, or makes no sense, is passed over.
pub(super) fn others(own: &NetworkName) -> Vec<OtherNetwork> {
    let mut others = of_vmlan(Path::new(FOLDER), own);
    others.extend(of_libvirt(Path::new(LIBVIRT)));
    others
}

fn of_vmlan(folder: &Path, own: &NetworkName) -> Vec<OtherNetwork> {
    let configs = files(folder, "toml").filter_map(|path| Loaded::read(&path, None).ok());
    let others = configs.filter(|loaded| loaded.config.name != *own);
    let network = |Loaded { config, .. }| OtherNetwork {
        name: format!("the vmlan network \"{}\"", config.name),
        interface: config.interface.map(|interface| interface.to_string()),
        subnets: match config.address {
            Address::Fixed(address) => vec![address.trunc()],
            Address::Auto | Address::None => Vec::new(),
        },
        attach: config.attach.iter().map(ToString::to_string).collect(),
        adopt: None,
    };
    others.map(network).collect()
}

fn of_libvirt(folder: &Path) -> Vec<OtherNetwork> {
    let networks = files(folder, "xml").filter_map(|path| {
        let text = read(&path).ok()?;
        Network::read(&Source::new(path, &text)).ok()
    });
    let network = |network: Network| OtherNetwork {
        name: format!("the libvirt network \"{}\"", network.name.get_ref()),
        interface: network.bridge.map(|it| it.into_inner().to_string()),
        subnets: network
            .ips
            .iter()
            .map(|ip| ip.get_ref().address.trunc())
            .collect(),
        attach: Vec::new(),
        adopt: Some(network.name.into_inner()),
    };
    networks.map(network).collect()
}

/// The files of `folder` with this extension, by name.
fn files(folder: &Path, extension: &str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn networks_of_libvirt_are_named_with_bridge_and_subnet() {
        let folder = folder(&[
            (
                "default.xml",
                "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE.\n-->\n\n<network>\n\
                 <name>default</name>\n<forward mode='nat'/>\n\
                 <bridge name='virbr0' stp='on' delay='0'/>\n\
                 <ip address='192.168.122.1' netmask='255.255.255.0'/>\n\
                 <ip family='ipv6' address='2001:db8::1' prefix='64'/>\n</network>\n",
            ),
            (
                "lan.xml",
                "<network><name>lan</name><forward mode='bridge'/><bridge name='br0'/></network>",
            ),
            ("broken.xml", "<network><name>"),
            ("note.txt", "<network><name>text</name></network>"),
        ]);
        fs::create_dir(folder.path().join("autostart.xml")).unwrap();
        let found = of_libvirt(folder.path());
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].name, "the libvirt network \"default\"");
        assert_eq!(found[0].interface.as_deref(), Some("virbr0"));
        assert_eq!(found[0].subnets, ["192.168.122.0/24".parse().unwrap()]);
        assert_eq!(found[1].interface.as_deref(), Some("br0"));
        assert_eq!(found[1].subnets, []);
        assert!(of_libvirt(&folder.path().join("gone")).is_empty());
    }

    #[test]
    fn networks_of_vmlan_are_named_but_for_the_own_one() {
        let folder = folder(&[
            ("default.toml", "name = \"default\"\n"),
            (
                "lab.toml",
                "name = \"lab\"\ninterface = \"lab0\"\naddress = \"10.0.0.1/24\"\n\
                 [attach]\nmatch = [\"tap*\"]\n",
            ),
            ("broken.toml", "name = 7"),
        ]);
        let found = of_vmlan(folder.path(), &"default".parse().unwrap());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].name, "the vmlan network \"lab\"");
        assert_eq!(found[0].interface.as_deref(), Some("lab0"));
        assert_eq!(found[0].subnets, ["10.0.0.0/24".parse().unwrap()]);
        assert_eq!(found[0].attach, ["tap*"]);
    }
}
