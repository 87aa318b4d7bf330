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

/// Where it keeps the state of those that are active, with those that have no
/// description because they go when they are stopped.
const LIBVIRT_ACTIVE: &str = "/run/libvirt/network";

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
    others.extend(of_libvirt(Path::new(LIBVIRT), Path::new(LIBVIRT_ACTIVE)));
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

fn of_libvirt(kept: &Path, active: &Path) -> Vec<OtherNetwork> {
    let other = |network: Network, is_kept: bool| OtherNetwork {
        name: format!("the libvirt network \"{}\"", network.name.get_ref()),
        interface: network.bridge.map(|it| it.into_inner().to_string()),
        subnets: network
            .ips
            .iter()
            .map(|ip| ip.get_ref().address.trunc())
            .collect(),
        attach: Vec::new(),
        adopt: is_kept.then(|| network.name.into_inner()),
    };
    let kept = networks(kept).map(|network| other(network, true));
    let mut others: Vec<_> = kept.collect();
    for active in networks(active).map(|network| other(network, false)) {
        match others.iter_mut().find(|it| it.name == active.name) {
            // libvirt has chosen the bridge of one that names none.
            Some(kept) => kept.interface = kept.interface.take().or(active.interface),
            None => others.push(active),
        }
    }
    others
}

/// The networks that are described, or whose state is, in `folder`.
fn networks(folder: &Path) -> impl Iterator<Item = Network> {
    files(folder, "xml").filter_map(|path| {
        let text = read(&path).ok()?;
        Network::read(&Source::new(path, description(&text))).ok()
    })
}

/// The description in the state of an active network, which has it in
/// `<networkstatus>` (`virNetworkObjFormat` in libvirt's
/// src/conf/virnetworkobj.c); of another text, all of it.
fn description(text: &str) -> &str {
    const END: &str = "</network>";
    let start = ["<network>", "<network "]
        .iter()
        .filter_map(|it| text.find(it))
        .min();
    let end = text.rfind(END).map(|at| at + END.len());
    match (text.contains("<networkstatus"), start, end) {
        (true, Some(start), Some(end)) => text.get(start..end).unwrap_or(text),
        _ => text,
    }
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
        let none = tempfile::tempdir().unwrap();
        let found = of_libvirt(folder.path(), none.path());
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].name, "the libvirt network \"default\"");
        assert_eq!(found[0].interface.as_deref(), Some("virbr0"));
        assert_eq!(found[0].subnets, ["192.168.122.0/24".parse().unwrap()]);
        assert_eq!(found[1].interface.as_deref(), Some("br0"));
        assert_eq!(found[1].subnets, []);
        let gone = folder.path().join("gone");
        assert!(of_libvirt(&gone, &gone).is_empty());
    }

    #[test]
    fn active_networks_that_go_when_they_are_stopped_are_known_too() {
        let kept = folder(&[(
            "default.xml",
            "<network><name>default</name><ip address='192.168.122.1' prefix='24'/></network>",
        )]);
        let state = |name: &str, bridge: &str, ip: &str| {
            format!(
                "<!--\nWARNING\n-->\n\n<networkstatus>\n  <class_id bitmap='0-2'/>\n  \
                 <floor sum='0'/>\n  <network connections='1'>\n    <name>{name}</name>\n    \
                 <bridge name='{bridge}' stp='on' delay='0'/>\n    \
                 <ip address='{ip}' prefix='24'/>\n  </network>\n</networkstatus>\n"
            )
        };
        let active = folder(&[
            ("default.xml", &state("default", "virbr0", "192.168.122.1")),
            ("test.xml", &state("test", "virbr7", "10.7.0.1")),
        ]);
        let found = of_libvirt(kept.path(), active.path());
        let names: Vec<_> = found
            .iter()
            .map(|it| (it.interface.as_deref(), it.adopt.as_deref()))
            .collect();
        assert_eq!(
            names,
            [(Some("virbr0"), Some("default")), (Some("virbr7"), None)]
        );
        assert_eq!(found[1].subnets, ["10.7.0.0/24".parse().unwrap()]);
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
