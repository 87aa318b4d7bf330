//! The description that libvirt gets while vmlan serves the network: nothing
//! but a name for a switch that others run, so that it makes no bridge, starts
//! no dnsmasq and sets no firewall rule, and tells whoever runs that switch of
//! each guest (by `ovs-vsctl`).

use super::reader::{self, opening, path_name};
use crate::config::{ConfigError, InterfaceName, Source};
use roxmltree::Node;
use std::fmt::Write as _;

/// Elements that are libvirt's own business, in the order in which it prints
/// them.
const KEPT: [&str; 5] = ["name", "uuid", "title", "description", "metadata"];

/// The description in `source` over the switch `bridge`: its name, UUID,
/// metadata and portgroups stay, so that domains that name the network need no
/// change. A rate limit in a portgroup goes: libvirt would set it by Open
/// vSwitch's own means.
///
/// # Errors
/// `source` is no XML.
pub fn redefine(source: &Source, bridge: &InterfaceName) -> Result<String, ConfigError> {
    let document = reader::parse(source)?;
    let root = document.root_element();
    let mut text = "<network".to_owned();
    for namespace in root.namespaces() {
        if let (Some(prefix), uri) = (namespace.name(), namespace.uri())
            && uri != super::xml::DNSMASQ
            && prefix != "xml"
        {
            let _ = write!(text, " xmlns:{prefix}='{}'", escaped(uri));
        }
    }
    if let Some(trust) = root.attribute("trustGuestRxFilters") {
        let _ = write!(text, " trustGuestRxFilters='{}'", escaped(trust));
    }
    text.push_str(">\n");
    for name in KEPT {
        for node in elements(root, name) {
            line(&mut text, source, node);
        }
    }
    let bridge = escaped(bridge.as_str());
    let _ = write!(
        text,
        "  <forward mode='bridge'/>\n  <bridge name='{bridge}'/>\n  \
         <virtualport type='openvswitch'/>\n"
    );
    for node in elements(root, "vlan") {
        line(&mut text, source, node);
    }
    for group in elements(root, "portgroup") {
        let tag = source.text().get(opening(group)).unwrap_or_default().trim();
        let tag = tag.strip_suffix("/>").unwrap_or(tag);
        let tag = tag.strip_suffix('>').unwrap_or(tag).trim_end();
        let _ = writeln!(text, "  {tag}>");
        for node in elements(group, "vlan") {
            text.push_str("  ");
            line(&mut text, source, node);
        }
        text.push_str("  </portgroup>\n");
    }
    text.push_str("</network>\n");
    Ok(text)
}

fn elements<'a, 'input>(
    parent: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    let named = move |node: &Node<'_, '_>| node.is_element() && path_name(*node) == name;
    parent.children().filter(named)
}

/// Adds `node` as it stands in `source`.
fn line(text: &mut String, source: &Source, node: Node<'_, '_>) {
    let raw = source.text().get(node.range()).unwrap_or_default();
    let _ = writeln!(text, "  {raw}");
}

/// `text` inside of an attribute in single quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redefined(xml: &str) -> String {
        redefine(&Source::new("x", xml), &"virbr0".parse().unwrap()).unwrap()
    }

    #[test]
    fn name_uuid_metadata_and_portgroups_stay_and_the_rest_goes() {
        let text = redefined(
            "<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0' \
             xmlns:app='http://app/1'>
  <name>default</name>
  <uuid>81ff0d90-c91e-6742-64da-4a736edb9a9b</uuid>
  <metadata><app:foo x='1'>a &lt; b</app:foo></metadata>
  <forward mode='nat'><nat><port start='1' end='2'/></nat></forward>
  <bridge name='virbr0' stp='on' delay='0'/>
  <mac address='52:54:00:00:00:01'/>
  <mtu size='9000'/>
  <portgroup name='red' default='yes'>
    <vlan><tag id='42'/></vlan>
    <bandwidth><inbound average='1'/></bandwidth>
  </portgroup>
  <portgroup name='blue'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'/>
  <dnsmasq:options><dnsmasq:option value='x'/></dnsmasq:options>
</network>",
        );
        assert_eq!(
            text,
            "\
<network xmlns:app='http://app/1'>
  <name>default</name>
  <uuid>81ff0d90-c91e-6742-64da-4a736edb9a9b</uuid>
  <metadata><app:foo x='1'>a &lt; b</app:foo></metadata>
  <forward mode='bridge'/>
  <bridge name='virbr0'/>
  <virtualport type='openvswitch'/>
  <portgroup name='red' default='yes'>
    <vlan><tag id='42'/></vlan>
  </portgroup>
  <portgroup name='blue'>
  </portgroup>
</network>
"
        );
        // What was made can be read again.
        reader::parse(&Source::new("x", &text)).unwrap();
    }
}
