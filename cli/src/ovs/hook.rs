//! libvirt's hook for networks: says why a domain cannot be plugged into one of
//! vmlan, before libvirt tries.
//!
//! libvirt calls it with the network's name and what happens to it, and with
//! `<hookData>` on standard input: the `<network>`, and the `<networkport>` that
//! the domain gets (libvirt.org/hooks.html). What it writes to stderr with an
//! exit status other than 0 becomes libvirt's error.

use super::carry_out::no_vlan;
use super::networks::Networks;
use crate::config::Problem;
use roxmltree::{Document, Node};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

/// The first argument by which this program knows that it is the hook.
pub(super) const WORD: &str = "libvirt-hook";

/// The longest description of a network that is read, in bytes.
const LARGEST: u64 = 4 << 20;

/// How long the networks are asked: libvirt waits for as long as it takes.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What libvirt tells of a port that it has made.
#[derive(Debug, PartialEq, Eq)]
struct Plugged {
    bridge: String,
    /// The tags of the VLANs that it is to be in.
    tags: Vec<String>,
}

/// Does what libvirt calls the hook for.
///
/// # Errors
/// The domain cannot be plugged in.
pub(super) fn answer(arguments: &[String], run_dir: &Path) -> Result<(), Problem> {
    let [_, operation, ..] = arguments else {
        return Ok(());
    };
    if operation != "port-created" {
        return Ok(());
    }
    let mut text = String::new();
    io::stdin()
        .take(LARGEST)
        .read_to_string(&mut text)
        .map_err(|error| Problem::new(format!("cannot read what libvirt says: {error}")))?;
    let Some(port) = plugged(&text) else {
        return Ok(());
    };
    if !port.tags.is_empty() {
        return Err(no_vlan("the interface", &port.tags.join(", ")));
    }
    let networks = Networks::new(run_dir.to_owned(), Some(TIMEOUT));
    networks.serving(&port.bridge).map(drop)
}

/// The port of a network on an Open vSwitch; none where `text` tells of another
/// one. libvirt itself will say what is wrong with XML that cannot be read.
fn plugged(text: &str) -> Option<Plugged> {
    let document = Document::parse(text).ok()?;
    let data = document.root_element();
    let (network, port) = (child(data, "network")?, child(data, "networkport")?);
    if child(network, "virtualport")?.attribute("type") != Some("openvswitch") {
        return None;
    }
    let tags = child(port, "vlan").into_iter().flat_map(|vlan| {
        let tags = vlan.children().filter(|node| node.has_tag_name("tag"));
        tags.filter_map(|tag| tag.attribute("id"))
    });
    Some(Plugged {
        bridge: child(network, "bridge")?.attribute("name")?.to_owned(),
        tags: tags.map(|id| format!("tag={id}")).collect(),
    })
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(virtualport: &str, port: &str) -> String {
        format!(
            "<hookData><network><name>default</name><forward mode='bridge'/>\
             <bridge name='virbr0'/>{virtualport}\
             <portgroup name='red'><vlan><tag id='42'/></vlan></portgroup></network>\
             <networkport><owner><name>one</name></owner>{port}\
             <plug type='bridge' bridge='virbr0'/></networkport></hookData>"
        )
    }

    #[test]
    fn the_bridge_and_the_ports_own_vlan_are_found() {
        let ours = "<virtualport type='openvswitch'/>";
        let found = plugged(&data(ours, "")).unwrap();
        assert_eq!((found.bridge.as_str(), found.tags.len()), ("virbr0", 0));
        let vlan = "<vlan trunk='yes'><tag id='1'/><tag id='2' nativeMode='tagged'/></vlan>";
        let found = plugged(&data(ours, vlan)).unwrap();
        assert_eq!(found.tags, ["tag=1", "tag=2"]);
    }

    #[test]
    fn other_networks_and_broken_xml_are_none_of_our_business() {
        assert_eq!(plugged(&data("", "")), None);
        assert_eq!(plugged(&data("<virtualport type='midonet'/>", "")), None);
        assert_eq!(plugged("<hookData><network>"), None);
        let nowhere = Path::new("/nonexistent");
        for arguments in [vec![], vec!["default"], vec!["default", "started", "begin"]] {
            let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
            answer(&arguments, nowhere).unwrap();
        }
    }
}
