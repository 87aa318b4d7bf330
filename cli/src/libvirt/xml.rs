//! libvirt's description of a network (`docs/formatnetwork.rst` there), read
//! into types. What has no type here stands in [`Network::rest`].

use super::dns::{self, Dns};
use super::reader::{self, Reader, Rest};
use crate::config::value::{domain_name, ipv4, station_mac};
use crate::config::{ConfigError, InterfaceName, Problem, Source};
use ipnet::Ipv4Net;
use pnet_base::MacAddr;
use roxmltree::Node;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;
use toml::Spanned;

/// The namespace of `<dnsmasq:options>`.
pub(super) const DNSMASQ: &str = "http://libvirt.org/schemas/network/dnsmasq/1.0";

/// A network as libvirt describes it. Places are bytes of the document.
#[derive(Debug)]
pub struct Network {
    /// `<name>`
    pub name: Spanned<String>,
    /// `<bridge name=…>`; libvirt makes one up where it is missing.
    pub bridge: Option<Spanned<InterfaceName>>,
    /// `<mtu size=…>`, in bytes of IP packet.
    pub mtu: Option<Spanned<u32>>,
    /// `<mac address=…>`: the bridge's own.
    pub mac: Option<Spanned<MacAddr>>,
    /// `<domain name=…>`
    pub domain: Option<Spanned<String>>,
    /// `localOnly` of that: nobody else knows names in it.
    pub domain_local: Option<Spanned<bool>>,
    /// `<forward>`; without one the network is isolated.
    pub forward: Option<Forward>,
    /// `<dns>`
    pub dns: Dns,
    /// Each IPv4 `<ip>`.
    pub ips: Vec<Spanned<Ip>>,
    /// Whether guests are kept apart: `<port isolated='yes'>`.
    pub ports_isolated: bool,
    /// The `name` of each `<portgroup>`.
    pub portgroups: Vec<Spanned<String>>,
    /// The value of each `<dnsmasq:option>`.
    pub dnsmasq: Vec<Spanned<String>>,
    /// All else.
    pub rest: Vec<Rest>,
}

/// `<forward>`
#[derive(Debug)]
pub struct Forward {
    /// `mode`, `nat` where it is missing; the place is that of the element.
    pub mode: Spanned<String>,
    /// `dev`, or the first `<interface dev=…>`.
    pub dev: Option<Spanned<InterfaceName>>,
    /// `<nat><port>`: the first and the last.
    pub ports: Option<(u16, u16)>,
    /// `<nat><address>`: the first and the last.
    pub addresses: Option<(Ipv4Addr, Ipv4Addr)>,
}

/// `<ip>` of the family IPv4.
#[derive(Debug)]
pub struct Ip {
    /// The gateway's address.
    pub address: Ipv4Net,
    /// `<tftp root=…>`
    pub tftp: Option<Spanned<String>>,
    /// `<dhcp>`
    pub dhcp: Option<Dhcp>,
}

/// `<dhcp>`
#[derive(Debug)]
pub struct Dhcp {
    /// Each `<range>`.
    pub ranges: Vec<Spanned<Range>>,
    /// Each `<host>`.
    pub hosts: Vec<Spanned<Host>>,
    /// `<bootp file=…>`
    pub boot_file: Option<Spanned<String>>,
    /// `<bootp server=…>`: an address or a name.
    pub boot_server: Option<Spanned<String>>,
}

/// `<range>` of `<dhcp>`.
#[derive(Debug)]
pub struct Range {
    /// The first address.
    pub start: Ipv4Addr,
    /// The last address.
    pub end: Ipv4Addr,
    /// `<lease>`
    pub lease: Option<Lease>,
}

/// `<host>` of `<dhcp>`.
#[derive(Debug)]
pub struct Host {
    /// `mac`
    pub mac: Option<MacAddr>,
    /// `id`: a client identifier.
    pub id: Option<String>,
    /// `name`
    pub name: Option<String>,
    /// `ip`
    pub address: Option<Ipv4Addr>,
    /// `<lease>`
    pub lease: Option<Lease>,
}

/// `<lease expiry=… unit=…>`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// It ends after this time.
    For(Duration),
    /// It never ends: `expiry='0'`.
    Infinite,
}

impl Network {
    /// Reads the description in `source`.
    ///
    /// # Errors
    /// All that is wrong with it, each at its place.
    pub fn read(source: &Source) -> Result<Self, ConfigError> {
        let document = reader::parse(source)?;
        let root = document.root_element();
        let mut reader = Reader::new(source, &document);
        if root.tag_name().name() != "network" {
            let what = format!("this is a <{}>, no <network>", root.tag_name().name());
            let problem =
                Problem::new(what).help("take what `virsh net-dumpxml NET` prints for a network");
            return Err(source.error(reader::opening(root), problem));
        }
        let name = reader.child(root, "name").map(|node| reader.text(node));
        let name = name.filter(|name| !name.get_ref().is_empty());
        let Some(name) = name else {
            let problem = Problem::new("this network has no name").help("add <name>default</name>");
            return Err(source.error(reader::opening(root), problem));
        };
        let mut network = Self {
            name,
            bridge: None,
            mtu: None,
            mac: None,
            domain: None,
            domain_local: None,
            forward: None,
            dns: Dns::default(),
            ips: Vec::new(),
            ports_isolated: false,
            portgroups: Vec::new(),
            dnsmasq: Vec::new(),
            rest: Vec::new(),
        };
        network.fill(root, &mut reader);
        network.rest = reader.rest()?;
        Ok(network)
    }

    fn fill<'d, 's>(&mut self, root: Node<'d, 's>, reader: &mut Reader<'s, 'd>) {
        if let Some(node) = reader.child(root, "bridge") {
            self.bridge = reader.parsed(node, "name", str::parse);
        }
        if let Some(node) = reader.child(root, "mtu") {
            self.mtu = reader.parsed(node, "size", number);
        }
        if let Some(node) = reader.child(root, "mac") {
            self.mac = reader.parsed(node, "address", station_mac);
        }
        if let Some(node) = reader.child(root, "domain") {
            self.domain = reader.parsed(node, "name", domain_name);
            self.domain_local = reader.parsed(node, "localOnly", dns::yes_or_no);
        }
        self.forward = reader
            .child(root, "forward")
            .map(|node| forward(node, reader));
        self.dns = dns::read(root, reader);
        self.ips = ips(root, reader);
        if let Some(node) = reader.child(root, "port") {
            let isolated = reader.attribute(node, "isolated");
            self.ports_isolated = isolated.is_some_and(|it| it.get_ref() == "yes");
        }
        for node in reader.children(root, "portgroup") {
            self.portgroups.extend(reader.attribute(node, "name"));
            // These stay libvirt's own business.
            reader.attribute(node, "default");
            reader.attribute(node, "trustGuestRxFilters");
        }
        if let Some(options) = reader.child(root, "dnsmasq:options") {
            for node in reader.children(options, "dnsmasq:option") {
                self.dnsmasq.extend(reader.attribute(node, "value"));
            }
        }
    }
}

fn forward<'d, 's>(node: Node<'d, 's>, reader: &mut Reader<'s, 'd>) -> Forward {
    let mode = reader.attribute(node, "mode");
    let mode = mode.map_or_else(|| "nat".to_owned(), Spanned::into_inner);
    let mode = Spanned::new(reader::opening(node), mode);
    let dev = reader.parsed(node, "dev", str::parse);
    let first = reader.child(node, "interface");
    // libvirt shows `dev` a second time as the first of its interfaces.
    let interface = first.and_then(|node| reader.parsed(node, "dev", str::parse));
    let (mut ports, mut addresses) = (None, None);
    if let Some(nat) = reader.child(node, "nat") {
        ports = reader
            .child(nat, "port")
            .and_then(|node| ends(node, reader, number));
        addresses = reader
            .child(nat, "address")
            .and_then(|node| ends(node, reader, ipv4));
    }
    Forward {
        mode,
        dev: dev.or(interface),
        ports,
        addresses,
    }
}

/// `start` and `end` of `node`.
fn ends<'d, 's, T>(
    node: Node<'d, 's>,
    reader: &mut Reader<'s, 'd>,
    parse: impl Fn(&str) -> Result<T, Problem>,
) -> Option<(T, T)> {
    let mut end = |name| {
        let value = reader.parsed(node, name, &parse);
        if value.is_none() && node.attribute(name).is_none() {
            let problem = Problem::new(format!("`{name}` is missing here"));
            reader.error(reader::opening(node), problem.help("add it"));
        }
        value.map(Spanned::into_inner)
    };
    let (start, end) = (end("start"), end("end"));
    Some((start?, end?))
}

fn ips<'d, 's>(root: Node<'d, 's>, reader: &mut Reader<'s, 'd>) -> Vec<Spanned<Ip>> {
    let is_ipv4 = |node: &Node<'_, '_>| {
        let family = node.attribute("family").unwrap_or("ipv4");
        node.is_element() && node.has_tag_name("ip") && family == "ipv4"
    };
    let nodes: Vec<_> = root.children().filter(is_ipv4).collect();
    let mut ips = Vec::new();
    for node in nodes {
        reader.take(node);
        reader.attribute(node, "family");
        let at = reader::opening(node);
        ips.extend(ip(node, reader).map(|ip| Spanned::new(at, ip)));
    }
    ips
}

fn ip<'d, 's>(node: Node<'d, 's>, reader: &mut Reader<'s, 'd>) -> Option<Ip> {
    let address = reader.parsed(node, "address", ipv4);
    let mask = reader.parsed(node, "netmask", |text| {
        let mask = ipv4(text)?;
        ipnet::ipv4_mask_to_prefix(mask).map_err(|_| {
            Problem::new(format!("{mask} is no netmask")).help("write it as 255.255.255.0")
        })
    });
    let prefix = reader.parsed(node, "prefix", number::<u8>);
    let tftp = reader
        .child(node, "tftp")
        .and_then(|node| reader.attribute(node, "root"));
    let dhcp = reader.child(node, "dhcp").map(|node| dhcp(node, reader));
    if address.is_none() && !node.has_attribute("address") {
        let problem = Problem::new("this <ip> has no address");
        let help = "add address='192.168.122.1'";
        reader.error(reader::opening(node), problem.help(help));
    }
    let address = address?.into_inner();
    let length = mask.or(prefix).map(Spanned::into_inner);
    let length = length.unwrap_or_else(|| class_prefix(address));
    let Ok(net) = Ipv4Net::new(address, length) else {
        let problem = Problem::new(format!("{length} is no length of an IPv4 prefix"));
        reader.error(reader::opening(node), problem.help("use 8 to 30"));
        return None;
    };
    Some(Ip {
        address: net,
        tftp,
        dhcp,
    })
}

/// The length of the subnet of an address that is given without one, by its
/// class (libvirt's `virSocketAddrGetIPPrefix`).
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets() {
        [0..128, ..] => 8,
        [128..192, ..] => 16,
        _ => 24,
    }
}

fn dhcp<'d, 's>(node: Node<'d, 's>, reader: &mut Reader<'s, 'd>) -> Dhcp {
    let mut ranges = Vec::new();
    for node in reader.children(node, "range") {
        let lease = lease(node, reader);
        if let Some((start, end)) = ends(node, reader, ipv4) {
            let range = Range { start, end, lease };
            ranges.push(Spanned::new(reader::opening(node), range));
        }
    }
    let mut hosts = Vec::new();
    for node in reader.children(node, "host") {
        let host = Host {
            mac: reader
                .parsed(node, "mac", station_mac)
                .map(Spanned::into_inner),
            id: reader.attribute(node, "id").map(Spanned::into_inner),
            name: reader.attribute(node, "name").map(Spanned::into_inner),
            address: reader.parsed(node, "ip", ipv4).map(Spanned::into_inner),
            lease: lease(node, reader),
        };
        hosts.push(Spanned::new(reader::opening(node), host));
    }
    let bootp = reader.child(node, "bootp");
    Dhcp {
        ranges,
        hosts,
        boot_file: bootp.and_then(|node| reader.attribute(node, "file")),
        boot_server: bootp.and_then(|node| reader.attribute(node, "server")),
    }
}

/// `<lease>` in `node`, its unit minutes by default.
fn lease<'d, 's>(node: Node<'d, 's>, reader: &mut Reader<'s, 'd>) -> Option<Lease> {
    let node = reader.child(node, "lease")?;
    let unit = reader.parsed(node, "unit", |unit| match unit {
        "seconds" => Ok(1),
        "minutes" => Ok(60),
        "hours" => Ok(3600),
        other => Err(Problem::unknown_word(
            "unit",
            other,
            &["seconds", "minutes", "hours"],
        )),
    });
    let expiry: u64 = reader.parsed(node, "expiry", number)?.into_inner();
    let unit: u64 = unit.map_or(60, Spanned::into_inner);
    Some(match expiry {
        0 => Lease::Infinite,
        _ => Lease::For(Duration::from_secs(expiry.saturating_mul(unit))),
    })
}

/// A number, or what is wrong with it.
pub(super) fn number<T: FromStr>(text: &str) -> Result<T, Problem> {
    parsed(text, "number that is possible here")
}

fn parsed<T: FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    let no = |_| Problem::new(format!("{text:?} is no {what}"));
    text.parse().map_err(no)
}

#[cfg(test)]
mod tests;
