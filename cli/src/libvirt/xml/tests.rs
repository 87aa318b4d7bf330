use super::*;
use proptest::prelude::*;

fn read(xml: &str) -> Result<Network, String> {
    Network::read(&Source::new("net.xml", xml)).map_err(|error| error.to_string())
}

#[test]
fn the_default_network_is_read_whole() {
    let network = read(
        "<network>
  <name>default</name>
  <uuid>81ff0d90-c91e-6742-64da-4a736edb9a9b</uuid>
  <forward mode='nat' dev='eth0'>
    <nat>
      <address start='203.0.113.5' end='203.0.113.6'/>
      <port start='1024' end='65535'/>
    </nat>
    <interface dev='eth0'/>
  </forward>
  <bridge name='virbr0' stp='on' delay='0'/>
  <mac address='52:54:00:AB:cd:01'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'><lease expiry='2' unit='hours'/></range>
      <host mac='52:54:00:00:00:09' name='db' ip='192.168.122.9'><lease expiry='0'/></host>
      <bootp file='pxelinux.0' server='192.168.122.3'/>
    </dhcp>
  </ip>
</network>",
    )
    .unwrap();
    assert_eq!(network.name.get_ref(), "default");
    assert_eq!(network.bridge.unwrap().get_ref().as_str(), "virbr0");
    assert_eq!(
        network.mac.unwrap().get_ref().to_string(),
        "52:54:00:ab:cd:01"
    );
    let forward = network.forward.unwrap();
    assert_eq!(forward.mode.get_ref(), "nat");
    assert_eq!(forward.dev.unwrap().get_ref().as_str(), "eth0");
    assert_eq!(forward.ports, Some((1024, 65535)));
    assert_eq!(
        forward.addresses,
        Some(([203, 0, 113, 5].into(), [203, 0, 113, 6].into()))
    );
    let ip = network.ips[0].get_ref();
    assert_eq!(ip.address.to_string(), "192.168.122.1/24");
    let dhcp = ip.dhcp.as_ref().unwrap();
    assert_eq!(
        dhcp.ranges[0].get_ref().lease,
        Some(Lease::For(Duration::from_secs(7200)))
    );
    assert_eq!(dhcp.hosts[0].get_ref().lease, Some(Lease::Infinite));
    let rest: Vec<_> = network.rest.iter().map(|rest| rest.path.as_str()).collect();
    assert_eq!(rest, ["uuid", "bridge@stp", "bridge@delay"]);
    assert_eq!(network.rest[1].shown, "<bridge stp='on'>");
}

#[test]
fn what_has_no_type_is_named_outermost_first() {
    let network = read(
        "<network connections='2'>
  <name>x</name>
  <dns forwardPlainNames='no'>
    <forwarder addr='9.9.9.9'/>
    <forwarder domain='a' addr='8.8.8.8'/>
    <host ip='192.168.122.9'><hostname>a</hostname></host>
  </dns>
  <ip family='ipv6' address='fd00::1' prefix='64'><dhcp><range start='x' end='y'/></dhcp></ip>
  <new-thing a='1'><inner/></new-thing>
</network>",
    )
    .unwrap();
    let rest: Vec<_> = network.rest.iter().map(|rest| rest.path.as_str()).collect();
    let expected = [
        "@connections",
        "dns@forwardPlainNames",
        "dns/forwarder",
        "dns/host",
        "ip",
        "new-thing",
    ];
    assert_eq!(rest, expected);
    assert_eq!(network.dns.forwarders.len(), 1);
    assert_eq!(network.rest[5].shown, "<new-thing a='1'>");
}

#[test]
fn an_address_without_a_mask_has_that_of_its_class() {
    for (address, prefix) in [("10.1.2.3", 8), ("172.16.0.1", 16), ("192.168.1.1", 24)] {
        let xml = format!("<network><name>x</name><ip address='{address}'/></network>");
        let network = read(&xml).unwrap();
        assert_eq!(network.ips[0].get_ref().address.prefix_len(), prefix);
    }
    let prefix = "<network><name>x</name><ip address='10.0.0.1' prefix='30'/></network>";
    assert_eq!(
        read(prefix).unwrap().ips[0].get_ref().address.prefix_len(),
        30
    );
}

#[test]
fn a_mistake_is_shown_with_its_place_and_a_mend() {
    for (xml, place, what) in [
        ("", "net.xml:", "nothing in it"),
        ("\n \n", "net.xml:", "nothing in it"),
        (" x", "net.xml:1:", "no well-formed XML"),
        (
            "<network>\n  <name>x</nam>\n</network>",
            "net.xml:2:",
            "no well-formed XML",
        ),
        (
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a/>",
            "net.xml:1:",
            "no well-formed XML",
        ),
        ("<domain/>", "net.xml:1:1:", "this is a <domain>"),
        ("<network/>", "net.xml:1:1:", "has no name"),
        (
            "<network><name>x</name>\n<ip address='192.168.122'/></network>",
            "net.xml:2:14:",
            "192.168.122",
        ),
        (
            "<network><name>x</name>\n<ip address='1.2.3.4' netmask='255.0.255.0'/></network>",
            "net.xml:2:32:",
            "is no netmask",
        ),
        (
            "<network><name>x</name><ip/></network>",
            "net.xml:1:24:",
            "has no address",
        ),
        (
            "<network><name>x</name><ip address='10.0.0.1'><dhcp><range start='10.0.0.2'/></dhcp></ip></network>",
            "net.xml:1:53:",
            "`end` is missing",
        ),
        (
            "<network><name>x</name><bridge name='a/b'/></network>",
            "net.xml:1:38:",
            "no name for a network interface",
        ),
    ] {
        let error = read(xml).unwrap_err();
        assert!(error.starts_with(place), "{xml}: {error}");
        assert!(error.contains(what), "{xml}: {error}");
    }
}

#[test]
fn all_mistakes_are_found_in_one_go() {
    let error = read(
        "<network><name>x</name>\n<mtu size='big'/>\n<mac address='x'/>\n<bridge name=''/></network>",
    )
    .unwrap_err();
    for line in ["net.xml:2:", "net.xml:3:", "net.xml:4:"] {
        assert!(error.contains(line), "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_is_read_with_a_panic(text in "(<|>|/|'|=| |network|name|ip|dhcp|range|address|&|é|\n){0,60}") {
        let _ = read(&text);
        let _ = read(&format!("<network><name>x</name>{text}</network>"));
    }

    /// Nothing of a description is passed over: each element under the root is
    /// either read into a type or named.
    #[test]
    fn every_unknown_element_is_named(names in prop::collection::vec("[a-z]{8}", 0..8)) {
        let inside: String = names.iter().map(|name| format!("<{name}/>")).collect();
        let network = read(&format!("<network><name>x</name>{inside}</network>")).unwrap();
        let rest: Vec<_> = network.rest.into_iter().map(|rest| rest.path).collect();
        let known = ["portgroup"];
        let names: Vec<_> = names.into_iter().filter(|n| !known.contains(&n.as_str())).collect();
        prop_assert_eq!(rest, names);
    }
}
