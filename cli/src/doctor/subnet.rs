//! Who else on this host has addresses of the network's subnet.

use super::Finding;
use super::facts::Facts;
use super::others::OtherNetwork;
use crate::config::Address;
use ipnet::Ipv4Net;

const CHECK: &str = "subnet";

/// Overlaps of the network's subnet with the host's addresses and routes, and
/// with other networks that are configured.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(gateway) = facts.gateway() else {
        let what = match facts.config.address {
            Address::Auto => "a free subnet will be picked at the first start",
            _ => return Vec::new(),
        };
        return vec![Finding::fine(CHECK, what)];
    };
    let subnet = gateway.trunc();
    let overlaps = |net: &Ipv4Net| net.contains(&subnet) || subnet.contains(net);
    let mut findings = Vec::new();
    let mut netdevs = Vec::new();
    for it in &facts.addresses {
        if !facts.is_own(&it.netdev) && overlaps(&it.address.trunc()) {
            let (netdev, owner) = (&it.netdev, owner(facts, &it.netdev));
            let what = format!(
                "{subnet} overlaps {} of {netdev}{owner}: the host sends what is for guests there",
                it.address
            );
            let help = help(owner_of(facts, netdev));
            findings.push(Finding::obstacle(CHECK, what).help(help));
            netdevs.push(netdev.clone());
        }
    }
    for route in &facts.routes {
        let Some(netdev) = &route.netdev else {
            continue;
        };
        // A default route gives way to any other, as do the halves of one.
        let counts = route.to.prefix_len() > 1 && !facts.is_own(netdev);
        // That of an address that was named above says nothing new.
        if counts && overlaps(&route.to) && !netdevs.contains(netdev) {
            let what = format!(
                "{subnet} overlaps the route to {} by {netdev}{}",
                route.to,
                owner(facts, netdev)
            );
            let finding = if route.to.prefix_len() >= subnet.prefix_len() {
                Finding::obstacle(CHECK, what)
            } else {
                Finding::warning(CHECK, what)
            };
            findings.push(finding.help(help(owner_of(facts, netdev))));
            netdevs.push(netdev.clone());
        }
    }
    for other in &facts.others {
        let seen = other
            .interface
            .as_ref()
            .is_some_and(|i| netdevs.contains(i));
        let net = other.subnets.iter().find(|net| overlaps(&net.trunc()));
        if let Some(net) = net.filter(|_| !seen) {
            let what = format!("{subnet} overlaps {} of {}", net.trunc(), other.name);
            let help = format!("{}; they cannot run at the same time", help(Some(other)));
            findings.push(Finding::warning(CHECK, what).help(help));
        }
    }
    if findings.is_empty() {
        let fine = format!("nothing else on this host has addresses of {subnet}");
        findings.push(Finding::fine(CHECK, fine));
    }
    findings
}

/// How to have two networks not collide, the other one being `other`.
fn help(other: Option<&OtherNetwork>) -> String {
    let help = "give one of the two another subnet: `address` in the configuration of vmlan";
    match other.and_then(|other| other.adopt.as_ref()) {
        Some(name) => format!("{help}, or put vmlan in its place: `vmlan libvirt adopt {name}`"),
        None => help.to_owned(),
    }
}

/// The network that has `netdev` as its host interface.
fn owner_of<'a>(facts: &'a Facts, netdev: &str) -> Option<&'a OtherNetwork> {
    let mut others = facts.others.iter();
    others.find(|it| it.interface.as_deref() == Some(netdev))
}

/// Whose netdev it is, as far as that can be told, in brackets.
pub(super) fn owner(facts: &Facts, netdev: &str) -> String {
    match owner_of(facts, netdev) {
        Some(other) => format!(" ({})", other.name),
        None if netdev == "docker0" || netdev.starts_with("br-") => " (Docker)".to_owned(),
        None if netdev.starts_with("virbr") => " (libvirt)".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::values::{address, facts, other, route};
    use super::super::{Level, subnet};

    #[test]
    fn a_subnet_of_its_own_is_fine() {
        let mut facts = facts("address = \"192.168.122.1/24\"\n");
        facts.addresses = vec![
            address("192.168.122.1/24", "vmlan0"),
            address("192.168.4.7/16", "eth0"),
        ];
        facts.addresses[1] = address("10.0.0.7/8", "eth0");
        facts.routes = vec![
            route("0.0.0.0/0", "eth0"),
            route("192.168.122.0/24", "vmlan0"),
        ];
        let found = subnet::check(&facts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].level, Level::Fine);
    }

    #[test]
    fn who_has_the_subnet_is_named_once() {
        let mut facts = facts("address = \"192.168.122.1/24\"\n");
        facts.addresses = vec![address("192.168.122.1/24", "virbr0")];
        facts.routes = vec![route("192.168.122.0/24", "virbr0")];
        facts.others = vec![other(
            "the libvirt network \"default\"",
            "virbr0",
            "192.168.122.1/24",
        )];
        let found = subnet::check(&facts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].level, Level::Obstacle);
        let help = found[0].help.as_deref().unwrap();
        assert!(!help.contains("adopt"), "{help}");
        let message = &found[0].message;
        assert!(
            message.contains("virbr0 (the libvirt network \"default\")"),
            "{message}"
        );
        facts.others[0].adopt = Some("default".into());
        let found = subnet::check(&facts);
        let help = found[0].help.as_deref().unwrap();
        assert!(help.ends_with("`vmlan libvirt adopt default`"), "{help}");
    }

    #[test]
    fn a_wider_route_and_a_network_that_is_not_running_are_warnings() {
        let mut facts = facts("address = \"192.168.122.1/24\"\n");
        facts.routes = vec![route("192.168.0.0/16", "wg0")];
        facts.others = vec![other(
            "the vmlan network \"lab\"",
            "lab0",
            "192.168.122.129/25",
        )];
        let found = subnet::check(&facts);
        let levels: Vec<_> = found.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Warning; 2], "{found:?}");
        assert!(
            found[1]
                .message
                .contains("192.168.122.128/25 of the vmlan network \"lab\"")
        );
    }
}
