use super::*;
use crate::config::Loaded;
use proptest::prelude::*;
use std::path::Path;

fn around(by_libvirt: bool) -> Surroundings {
    Surroundings {
        name: "default".parse().unwrap(),
        by_libvirt,
        resolvers: vec![[192, 0, 2, 53].into()],
    }
}

fn translated(xml: &str) -> Result<Translation, String> {
    let source = Source::new("net.xml", xml);
    let network = Network::read(&source).map_err(|error| error.to_string())?;
    translate(&network, &source, &around(true)).map_err(|error| error.to_string())
}

/// A network with `inside` and an isolated gateway at 192.168.122.1/24 that
/// leases with `dhcp`.
fn isolated(inside: &str, dhcp: &str) -> Translation {
    translated(&format!(
        "<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
<name>default</name>{inside}<bridge name='virbr0'/>
<ip address='192.168.122.1' netmask='255.255.255.0'><dhcp>
<range start='192.168.122.2' end='192.168.122.254'/>{dhcp}</dhcp></ip></network>"
    ))
    .unwrap()
}

fn left(translation: &Translation) -> Vec<String> {
    translation.left.iter().map(ToString::to_string).collect()
}

#[test]
fn an_isolated_network_becomes_a_configuration() {
    let translation = translated(
        "<network>
  <name>default</name>
  <bridge name='virbr0'/>
  <mac address='52:54:00:AB:00:01'/>
  <domain name='lab.example'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.99'><lease expiry='30'/></range>
      <range start='192.168.122.100' end='192.168.122.199'/>
      <host mac='52:54:00:00:00:09' name='db.lab.example' ip='192.168.122.9'/>
      <bootp file='pxelinux.0' server='192.168.122.3'/>
    </dhcp>
  </ip>
</network>",
    )
    .unwrap();
    assert_eq!(
        translation.config.text(),
        "\
name      = \"default\"
interface = \"virbr0\"
address   = \"192.168.122.1/24\"
mac       = \"52:54:00:ab:00:01\"
domain    = \"lab.example\"
forward   = \"isolated\"

[attach]
match = []  # libvirt attaches its guests itself

[libvirt]  # which shows leases as its own

[dhcp]
range = [\"192.168.122.2\", \"192.168.122.99\"]
lease-time = \"1800s\"
filename = \"pxelinux.0\"
next-server = \"192.168.122.3\"

[dhcp.options]
# the network leads nowhere, as libvirt's isolated ones
router = \"\"

[[dhcp.pool]]
range = [\"192.168.122.100\", \"192.168.122.199\"]
lease-time = \"1h\"

[[dhcp.host]]
mac     = \"52:54:00:00:00:09\"
address = \"192.168.122.9\"
name    = \"db\"
"
    );
    assert_eq!(left(&translation), [] as [&str; 0]);
    assert!(
        translation.notes[0].starts_with("DNS: "),
        "{:?}",
        translation.notes
    );
}

#[test]
fn what_vmlan_refuses_is_left_with_its_line_and_the_rest_stays() {
    let hosts = "
<host mac='52:54:00:00:00:01' name='a' ip='192.168.122.10'/>
<host mac='52:54:00:00:00:02' name='a' ip='192.168.122.11'/>
<host mac='52:54:00:00:00:03' name='b' ip='10.0.0.1'/>
<host mac='52:54:00:00:00:04' name='b_c' ip='192.168.122.12'/>
<range start='192.168.122.50' end='192.168.122.60'/>";
    let translation = isolated("<mtu size='100'/>", hosts);
    let left = left(&translation);
    assert_eq!(left.len(), 6, "{left:#?}");
    for (entry, text) in left.iter().zip([
        "line 2: <mtu> for",
        "line 2: <mtu>: mtu = 100 is out of range",
        "line 6: <host ip='192.168.122.11'>: the name a belongs to the host",
        "line 7: <host ip='10.0.0.1'>: 10.0.0.1 is not in the subnet",
        "line 8: <host ip='192.168.122.12'>: the name \"b_c\": it is no host name",
        "line 9: <range>: this range overlaps",
    ]) {
        assert!(entry.starts_with(text), "{entry}");
    }
    for text in ["192.168.122.10", "192.168.122.12"] {
        assert!(
            translation.config.text().contains(text),
            "{}",
            translation.config.text()
        );
    }
    Loaded::parse(Path::new("x"), translation.config.text(), None).unwrap();
}

#[test]
fn a_network_without_dhcp_has_none_and_one_without_an_address_no_gateway() {
    let plain = translated(
        "<network><name>default</name><bridge name='virbr0'/>\
         <ip address='10.0.0.1' prefix='24'/></network>",
    );
    let plain = plain.unwrap();
    let config = plain.config.text();
    assert!(config.ends_with("[dhcp]\nenabled = false\n"), "{config}");
    let none =
        translated("<network ipv6='yes'><name>default</name><bridge name='virbr0'/></network>");
    let none = none.unwrap();
    assert!(
        none.config.text().contains("forward   = \"bridge\""),
        "{}",
        none.config.text()
    );
    assert_eq!(left(&none), [] as [&str; 0]);
    let loaded = Loaded::parse(Path::new("x"), none.config.text(), None).unwrap();
    assert_eq!(loaded.config.address, crate::config::Address::None);
    assert!(!loaded.config.dhcp.enabled);
}

#[test]
fn hosts_without_a_range_are_the_only_ones_served() {
    let translation = translated(
        "<network><name>default</name><ip address='10.0.0.1' prefix='24'><dhcp>
<host mac='52:54:00:00:00:01' ip='10.0.0.9'/></dhcp></ip></network>",
    )
    .unwrap();
    assert!(translation.config.text().contains("known-only = true"));
}

#[test]
fn every_element_that_is_not_carried_over_is_named_with_a_reason() {
    let inside = "
<bandwidth><inbound average='1'/></bandwidth>
<portgroup name='red'><vlan><tag id='42'/></vlan></portgroup>
<dns><txt name='a' value='b'/><srv service='a' protocol='tcp'/><host ip='1.2.3.4'/></dns>
<route address='10.0.0.0' prefix='8' gateway='192.168.122.2'/>
<port isolated='yes'/>
<ip family='ipv6' address='fd00::1' prefix='64'/>
<ip address='192.168.123.1' prefix='24'/>
<thing/>
<dnsmasq:options><dnsmasq:option value='cname=a,b'/></dnsmasq:options>";
    let left = left(&isolated(inside, ""));
    for (line, text, reason) in [
        (3, "<bandwidth>", "no rate limits"),
        (4, "<vlan>", "guests of this portgroup do not start"),
        (5, "<txt name='a' value='b'/>", "no DNS"),
        (5, "<srv service='a' protocol='tcp'/>", "no DNS"),
        (5, "<host ip='1.2.3.4'/>", "no DNS"),
        (6, "<route", "adds no routes"),
        (2, "<port isolated='yes'>", "no isolated ports"),
        (8, "<ip family='ipv6'", "IPv4 only"),
        (9, "<ip address='192.168.123.1'>", "one address"),
        (10, "<thing/>", "does not know it"),
        (11, "dnsmasq's option \"cname=a,b\"", "no DNS"),
    ] {
        let named = |entry: &&String| {
            entry.starts_with(&format!("line {line}: {text}")) && entry.contains(reason)
        };
        assert!(left.iter().any(|it| named(&it)), "{line} {text}: {left:#?}");
    }
    assert_eq!(left.len(), 11, "{left:#?}");
}

#[test]
fn options_of_dnsmasq_go_before_those_by_themselves() {
    let options = "<dnsmasq:options>
<dnsmasq:option value='dhcp-option=option:ntp-server,192.168.122.9'/>
<dnsmasq:option value='dhcp-option=3,192.168.122.9'/>
<dnsmasq:option value='dhcp-option=6,192.168.122.9'/>
<dnsmasq:option value='no-ping'/>
<dnsmasq:option value='dhcp-option=option:ntp-server,here'/>
</dnsmasq:options>";
    let translation = isolated(options, "");
    let config = translation.config.text();
    assert!(
        !config.contains("router") && !config.contains("dns-server"),
        "{config}"
    );
    assert!(config.contains("probe = false"), "{config}");
    assert_eq!(config.matches("[[dhcp.option]]").count(), 3, "{config}");
    let left = left(&translation);
    assert_eq!(left.len(), 1);
    assert!(left[0].starts_with("line 7: dnsmasq's option"), "{left:?}");
    assert!(translation.notes.is_empty());
}

#[test]
fn guests_are_told_a_name_server_that_answers() {
    let forwarders = isolated("<dns><forwarder addr='9.9.9.9'/></dns>", "");
    assert!(
        forwarders
            .config
            .text()
            .contains("dns-server = [\"9.9.9.9\"]")
    );
    let off = isolated("<dns enable='no'/>", "");
    assert!(off.config.text().contains("dns-server = \"\""));
    assert!(off.notes.is_empty());
    let none = isolated("", "");
    assert!(!none.config.text().contains("dns-server"));
    assert!(none.notes[0].contains("names do not resolve"));
}

#[test]
fn networks_that_libvirt_does_not_run_itself_are_refused() {
    for (inside, what) in [
        ("<forward mode='bridge'/><bridge name='br0'/>", "uplink"),
        (
            "<forward mode='bridge'/><bridge name='br0'/><virtualport type='openvswitch'/>",
            "on a switch already",
        ),
        (
            "<forward mode='bridge'><interface dev='e'/></forward>",
            "macvtap",
        ),
        ("<forward mode='private'/>", "macvtap"),
        ("<forward mode='vepa'/>", "macvtap"),
        ("<forward mode='passthrough'/>", "macvtap"),
        ("<forward mode='hostdev'/>", "NICs of the host"),
        ("<forward mode='new'/>", "unknown way"),
        ("<forward mode='nat'/>", "needs an address"),
        (
            "<ip address='10.0.0.0' prefix='24'/>",
            "is the subnet itself",
        ),
        ("<ip address='10.0.0.1' prefix='31'/>", "of no use here"),
    ] {
        let xml = format!("<network>\n<name>default</name>\n{inside}</network>");
        let error = translated(&xml).unwrap_err();
        assert!(error.starts_with("net.xml:3:"), "{error}");
        assert!(error.contains(what), "{error}");
    }
}

proptest! {
    /// Whatever addresses, names and times a description has: what is made of
    /// it is a configuration that vmlan takes.
    #[test]
    fn what_is_made_is_always_taken(
        ranges in prop::collection::vec((0u8..=255, 0u8..=255, 0u64..10_000), 0..4),
        hosts in prop::collection::vec(("[a-zA-Z_.\"-]{0,6}", 0u8..8, 0u8..=255, 0u8..3), 0..8),
        domain in "[a-z]{1,3}([.][a-z]{1,3})?",
        mtu in 0u32..100_000,
    ) {
        let mut dhcp = String::new();
        for (start, end, lease) in ranges {
            dhcp += &format!(
                "<range start='10.0.0.{start}' end='10.0.0.{end}'><lease expiry='{lease}' \
                 unit='seconds'/></range>"
            );
        }
        for (name, mac, ip, net) in hosts {
            let name = name.replace('"', "&quot;");
            dhcp += &format!(
                "<host mac='52:54:00:00:00:0{mac}' name='{name}' ip='10.0.{net}.{ip}'/>"
            );
        }
        let xml = format!(
            "<network><name>default</name><mtu size='{mtu}'/><domain name='{domain}'/>\
             <ip address='10.0.0.1' prefix='24'><dhcp>{dhcp}</dhcp></ip></network>"
        );
        let translation = translated(&xml).unwrap();
        Loaded::parse(Path::new("x"), translation.config.text(), None).unwrap();
    }
}
