//! What keys mean together: addresses against the subnet, names against each
//! other, settings that need or exclude one another.

use super::dhcp_host::{check_address, check_hosts};
use super::dhcp_option::check_options;
use super::dhcp_pool::check_pools;
use super::dhcp_tags::check_tags;
use super::network::{Written, WrittenDhcp};
use super::section::Findings;
use super::{Address, NetworkName, Problem, dns, forward, libvirt, tftp};
use ipnet::Ipv4Net;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use toml::Spanned;

/// Finds all that does not go together.
pub(super) fn check(written: &Written, network: Option<&NetworkName>, findings: &mut Findings<'_>) {
    check_name(written, network, findings);
    forward::check(written, findings);
    check_interfaces(written, findings);
    check_queues(written, findings);
    if let Some(dhcp) = &written.dhcp {
        check_dhcp(written, dhcp, findings);
        check_tags(written.interface().as_ref(), findings);
    }
    dns::check(written, findings);
    tftp::check(written, findings);
    libvirt::check(written, findings);
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

/// Each queue of a port is read by a worker of its own.
fn check_queues(written: &Written, findings: &mut Findings<'_>) {
    let workers = written.switch.unwrap_or_default().workers();
    for port in &written.ports {
        let queues = port.port.queues;
        if usize::from(queues) > workers {
            let problem = Problem::new(format!(
                "{queues} queues want as many workers, the switch has {workers}"
            ))
            .help(format!(
                "set `workers = {queues}` under [switch], or take fewer queues"
            ));
            findings.error(port.queues.clone(), problem);
        }
    }
}

fn taken(what: &str, name: &str, other: &str) -> Problem {
    Problem::new(format!("the {what} {name} is already {other}")).help("use another name")
}

fn check_dhcp(written: &Written, dhcp: &Spanned<WrittenDhcp>, findings: &mut Findings<'_>) {
    let WrittenDhcp {
        range,
        pools,
        hosts,
        options,
        ..
    } = dhcp.get_ref();
    if let Some(range) = range
        && range.get_ref().len() != 2
    {
        let problem = Problem::new("the range has to be two addresses")
            .help("write the first and the last, as [\"192.168.122.2\", \"192.168.122.254\"]");
        findings.error(range.span(), problem);
    }
    check_options(options, findings);
    let addresses = hosts.iter().filter_map(|host| host.address.as_ref());
    match written.address() {
        Address::Fixed(gateway) => {
            if let Some(range) = range {
                check_range(range, gateway.trunc(), &[gateway.addr()], findings);
            }
            check_pools(pools, range.as_ref(), gateway, findings);
            let others = pools.iter().filter_map(|pool| pool.range.subnet);
            let subnets: Vec<_> = std::iter::once(gateway.trunc()).chain(others).collect();
            check_hosts(hosts, &subnets, findings);
            for address in addresses {
                check_address(address, gateway, &subnets, findings);
            }
        }
        Address::Auto => {
            check_hosts(hosts, &[], findings);
            let ends = range.iter().chain(pools.iter().map(|pool| &pool.ends));
            for span in ends.map(Spanned::span).chain(addresses.map(Spanned::span)) {
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

fn needs_address(what: &str) -> Problem {
    Problem::new(what).help("add address = \"192.168.122.1/24\", or what your network has")
}

/// A range has to lie in `subnet`, and to have more than the `never` handed out
/// addresses of it.
pub(super) fn check_range(
    range: &Spanned<Vec<Spanned<Ipv4Addr>>>,
    subnet: Ipv4Net,
    never: &[Ipv4Addr],
    findings: &mut Findings<'_>,
) {
    let [first, last] = range.get_ref().as_slice() else {
        return;
    };
    let mut outside = false;
    for end in [first, last] {
        if !subnet.contains(end.get_ref()) {
            outside = true;
            findings.error(end.span(), not_in(*end.get_ref(), subnet));
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
    let ends = [subnet.network(), subnet.broadcast()];
    let free = (low..=high)
        .take(ends.len() + never.len() + 1)
        .map(Ipv4Addr::from_bits)
        .any(|address| !never.contains(&address) && !ends.contains(&address));
    if !free {
        let mend = match never {
            [gateway] => format!("the gateway {gateway} and the ends of its subnet never are"),
            _ => "the ends of a subnet, the gateway and the router never are".to_owned(),
        };
        let problem = Problem::new("the range has no address that can be handed out")
            .help(format!("{mend}: make the range longer"));
        findings.error(range.span(), problem);
    }
}

/// What is wrong with an address that is not of `net`, a subnet or an address
/// in it.
pub(super) fn not_in(ip: Ipv4Addr, net: Ipv4Net) -> Problem {
    let subnet = net.trunc();
    let first = subnet.network().to_bits().saturating_add(1);
    let last = subnet.broadcast().to_bits().saturating_sub(1);
    Problem::new(format!("{ip} is not in the subnet {subnet}")).help(format!(
        "use an address from {} to {}",
        Ipv4Addr::from_bits(first),
        Ipv4Addr::from_bits(last)
    ))
}
