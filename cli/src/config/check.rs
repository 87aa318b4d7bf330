//! What keys mean together: addresses against the subnet, names against each
//! other, settings that need or exclude one another.

use super::network::{Written, WrittenDhcp, WrittenHost};
use super::section::Findings;
use super::{Address, DhcpOption, Forward, NetworkName, Problem, served, tftp};
use ipnet::Ipv4Net;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::ops::Range;
use toml::Spanned;
use vmlan_dhcp::hostname;

/// Finds all that does not go together.
pub(super) fn check(written: &Written, network: Option<&NetworkName>, findings: &mut Findings<'_>) {
    check_name(written, network, findings);
    check_forward(written, findings);
    check_interfaces(written, findings);
    if let Some(dhcp) = &written.dhcp {
        check_dhcp(written, dhcp, findings);
    }
    tftp::check(written, findings);
}

fn check_name(written: &Written, network: Option<&NetworkName>, findings: &mut Findings<'_>) {
    if let (Some(name), Some(network)) = (&written.name, network)
        && name.get_ref() != network
    {
        let problem = Problem::new(format!(
            "this is the network {}, but {network} was asked for",
            name.get_ref()
        ))
        .help(format!("use --network {}, or another file", name.get_ref()));
        findings.error(name.span(), problem);
    }
}

fn check_forward(written: &Written, findings: &mut Findings<'_>) {
    match (written.forward(), &written.uplink, &written.forward) {
        (Forward::Bridge, None, Some(forward)) if written.ports.is_empty() => {
            let problem = Problem::new("this bridge leads nowhere: it has neither uplink nor port")
                .help("add uplink = \"…\", the NIC of the LAN, or attach one later");
            findings.warn(forward.span(), problem);
        }
        (Forward::Isolated, Some(uplink), _) => {
            let problem = Problem::new("the uplink of an isolated network is not used")
                .help("add forward = \"bridge\" to join it with the LAN");
            findings.warn(uplink.span(), problem);
        }
        _ => {}
    }
}

/// No netdev and no port name may be meant twice: the host's interface and the
/// uplink are ports too, by the names of their netdevs.
fn check_interfaces(written: &Written, findings: &mut Findings<'_>) {
    let mut netdevs = HashMap::new();
    let mut names = HashMap::new();
    if let Some(host) = written.interface() {
        netdevs.insert(host.to_string(), "the host's own interface".to_owned());
        names.insert(
            host.to_string(),
            "the port of the host's own interface".to_owned(),
        );
    }
    if let Some(uplink) = &written.uplink {
        let name = uplink.get_ref().to_string();
        names.insert(name.clone(), "the port of the uplink".to_owned());
        if let Some(other) = netdevs.insert(name.clone(), "the uplink".to_owned()) {
            findings.error(uplink.span(), taken("netdev", &name, &other));
        }
    }
    for port in &written.ports {
        let name = port.port.name.to_string();
        let what = format!("the port {name}");
        if let Some(other) = names.insert(name.clone(), what.clone()) {
            findings.error(port.name.clone(), taken("port name", &name, &other));
            // Without a key of its own the netdev would be refused for the
            // same reason at the same place.
            if port.interface == port.name {
                continue;
            }
        }
        let netdev = port.port.interface.to_string();
        if let Some(other) = netdevs.insert(netdev.clone(), what) {
            findings.error(port.interface.clone(), taken("netdev", &netdev, &other));
        }
    }
}

fn taken(what: &str, name: &str, other: &str) -> Problem {
    Problem::new(format!("the {what} {name} is already {other}")).help("use another name")
}

fn check_dhcp(written: &Written, dhcp: &Spanned<WrittenDhcp>, findings: &mut Findings<'_>) {
    let WrittenDhcp { range, hosts, .. } = dhcp.get_ref();
    if let Some(range) = range
        && range.get_ref().len() != 2
    {
        let problem = Problem::new("the range has to be two addresses")
            .help("write the first and the last, as [\"192.168.122.2\", \"192.168.122.254\"]");
        findings.error(range.span(), problem);
    }
    check_unique(hosts, findings);
    check_labels(hosts, findings);
    check_options(&dhcp.get_ref().options, findings);
    match written.address() {
        Address::Fixed(gateway) => {
            if let Some(range) = range {
                check_range(range, gateway, findings);
            }
            for host in hosts {
                check_address(&host.address, gateway, findings);
            }
        }
        Address::Auto => {
            let range = range.iter().map(Spanned::span);
            for span in range.chain(hosts.iter().map(|host| host.address.span())) {
                findings.error(span, needs_address("this address needs a known subnet"));
            }
        }
        Address::None if written.dhcp_enabled() => {
            let enabled = dhcp.get_ref().enabled.as_ref();
            let span = enabled.map_or(dhcp.span(), Spanned::span);
            let what = "the DHCP server needs an address of its own";
            findings.error(span, needs_address(what));
        }
        Address::None => {}
    }
}

/// The server hands out a host's name as one label; the domain is told apart.
fn check_labels(hosts: &[WrittenHost], findings: &mut Findings<'_>) {
    for name in hosts.iter().filter_map(|host| host.name.as_ref()) {
        if !hostname::is_label(name.get_ref()) {
            let problem = Problem::new(format!("{name:?} is no host name", name = name.get_ref()))
                .help("use 1 to 63 letters, digits and inner hyphens, without a domain");
            findings.error(name.span(), problem);
        }
    }
}

/// Options have to be known to the server, each once.
fn check_options(list: &[DhcpOption], findings: &mut Findings<'_>) {
    let mut seen = HashMap::new();
    for option in list {
        match served::option(option) {
            Ok((code, _)) => {
                if let Some(first) = seen.insert(code, option.key.span()) {
                    let line = findings.line(&first);
                    let problem = Problem::new(format!(
                        "option {code} stands in line {line} already, by number or by name"
                    ))
                    .help("keep one of the two");
                    findings.error(option.key.span(), problem);
                }
            }
            Err((span, problem)) => findings.error(span, problem),
        }
    }
}

fn needs_address(what: &str) -> Problem {
    Problem::new(what).help("add address = \"192.168.122.1/24\", or what your network has")
}

fn check_range(
    range: &Spanned<Vec<Spanned<Ipv4Addr>>>,
    gateway: Ipv4Net,
    findings: &mut Findings<'_>,
) {
    let [first, last] = range.get_ref().as_slice() else {
        return;
    };
    let mut outside = false;
    for end in [first, last] {
        if !gateway.contains(end.get_ref()) {
            outside = true;
            findings.error(end.span(), not_in(*end.get_ref(), gateway));
        }
    }
    if outside {
        return;
    }
    let (low, high) = (first.get_ref().to_bits(), last.get_ref().to_bits());
    if low > high {
        let problem = Problem::new("the range ends before it starts")
            .help(format!("write [\"{last}\", \"{first}\"]"));
        findings.error(range.span(), problem);
        return;
    }
    let never = [gateway.network(), gateway.broadcast(), gateway.addr()];
    let free = (low..=high)
        .take(never.len() + 1)
        .any(|address| !never.contains(&Ipv4Addr::from_bits(address)));
    if !free {
        let problem =
            Problem::new("the range has no address that can be handed out").help(format!(
                "the gateway {} and the ends of its subnet never are: make the range longer",
                gateway.addr()
            ));
        findings.error(range.span(), problem);
    }
}

fn check_address(address: &Spanned<Ipv4Addr>, gateway: Ipv4Net, findings: &mut Findings<'_>) {
    let ip = *address.get_ref();
    let problem = if !gateway.contains(&ip) {
        not_in(ip, gateway)
    } else if ip == gateway.addr() {
        Problem::new(format!("{ip} is the address of the gateway")).help("use another one")
    } else if ip == gateway.network() || ip == gateway.broadcast() {
        Problem::new(format!("{ip} is an end of the subnet, no host can have it"))
            .help("use another one")
    } else {
        return;
    };
    findings.error(address.span(), problem);
}

fn not_in(ip: Ipv4Addr, gateway: Ipv4Net) -> Problem {
    let subnet = gateway.trunc();
    let first = subnet.network().to_bits().saturating_add(1);
    let last = subnet.broadcast().to_bits().saturating_sub(1);
    Problem::new(format!("{ip} is not in the subnet {subnet}")).help(format!(
        "use an address from {} to {}",
        Ipv4Addr::from_bits(first),
        Ipv4Addr::from_bits(last)
    ))
}

/// No two hosts may share what tells them apart.
fn check_unique(hosts: &[WrittenHost], findings: &mut Findings<'_>) {
    let (mut macs, mut ids) = (Seen::new("MAC address"), Seen::new("client identifier"));
    let (mut addresses, mut names) = (Seen::new("address"), Seen::new("name"));
    for host in hosts {
        macs.add(host.mac.as_ref(), findings);
        ids.add(host.client_id.as_ref(), findings);
        addresses.add(Some(&host.address), findings);
        names.add(host.name.as_ref(), findings);
    }
}

/// Values that were seen, each with its place.
struct Seen<'a, T> {
    what: &'static str,
    values: HashMap<&'a T, Range<usize>>,
}

impl<'a, T: Hash + Eq + std::fmt::Display> Seen<'a, T> {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            values: HashMap::new(),
        }
    }

    fn add(&mut self, value: Option<&'a Spanned<T>>, findings: &mut Findings<'_>) {
        let Some(value) = value else { return };
        if let Some(first) = self.values.insert(value.get_ref(), value.span()) {
            let line = findings.line(&first);
            let problem = Problem::new(format!(
                "the {} {value} belongs to the host of line {line} already",
                self.what
            ))
            .help("give each host its own, or take one of the two out");
            findings.error(value.span(), problem);
        }
    }
}
