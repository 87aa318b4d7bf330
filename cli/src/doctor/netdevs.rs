//! The netdevs that are, or are to be, ports of the network.

use super::Finding;
use super::facts::Facts;
use super::subnet::owner;
use crate::config::{Forward, PortKind};
use crate::host::link::Link;

const CHECK: &str = "netdevs";

/// The uplink, the netdevs of configured ports, and those that `[attach]`
/// takes.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let config = &facts.config;
    if let Some(uplink) = &config.uplink {
        findings.extend(uplink_found(facts, uplink.as_str()));
    }
    let packet = |port: &&crate::config::Port| port.kind == PortKind::Packet;
    for port in config.ports.iter().filter(packet) {
        let netdev = port.interface.as_str();
        match find(facts, netdev) {
            Some(link) => findings.extend(obstacles(facts, link)),
            None => {
                let what = format!("there is no netdev {netdev} for the port {}", port.name);
                findings.push(
                    Finding::warning(CHECK, what)
                        .help("it becomes the port when it appears; `ip link` lists those there"),
                );
            }
        }
    }
    for link in &facts.netdevs {
        if config
            .attach
            .iter()
            .any(|pattern| pattern.matches(&link.name))
        {
            findings.extend(obstacles(facts, link));
        }
    }
    for other in &facts.others {
        let both = |pattern: &&String| config.attach.iter().any(|own| own.to_string() == **pattern);
        if let Some(pattern) = other.attach.iter().find(both) {
            let what = format!(
                "{} takes netdevs by the pattern {pattern:?} too",
                other.name
            );
            let help = "give each network patterns of its own under [attach]";
            findings.push(Finding::warning(CHECK, what).help(help));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::fine(
            CHECK,
            "nothing keeps netdevs from being ports",
        ));
    }
    findings
}

fn find<'a>(facts: &'a Facts, name: &str) -> Option<&'a Link> {
    facts.netdevs.iter().find(|link| link.name == name)
}

fn uplink_found(facts: &Facts, name: &str) -> Vec<Finding> {
    let Some(link) = find(facts, name) else {
        let what = format!("there is no netdev {name}, which is to be the uplink");
        let help = "set `uplink` to one that `ip link` lists";
        return vec![Finding::obstacle(CHECK, what).help(help)];
    };
    let mut findings = Vec::new();
    if !link.carrier {
        let what = format!("the uplink {name} is down, or nobody is at its other end");
        let help = format!("`ip link set {name} up`, and look at its cable");
        findings.push(Finding::obstacle(CHECK, what).help(help));
    }
    if facts.config.forward == Forward::Bridge {
        if facts.kernel.wireless.iter().any(|it| it == name) {
            let what = format!(
                "the uplink {name} is wireless: an access point takes frames from its own \
                 station alone, not from guests behind it"
            );
            let help = "take a wired NIC, or forward = \"nat\"";
            findings.push(Finding::obstacle(CHECK, what).help(help));
        }
        findings.extend(obstacles(facts, link));
        let address = facts.addresses.iter().find(|it| it.netdev == name);
        if let Some(it) = address.filter(|_| !facts.config.move_addresses) {
            let what = format!(
                "the uplink {name} keeps the address {}: guests and the host do not reach each \
                 other by it",
                it.address
            );
            let help = match facts.config.interface {
                Some(_) => "add move-addresses = true, which gives it to the host interface",
                None => {
                    "give the network an `interface` and move-addresses = true, by which that \
                     gets it"
                }
            };
            findings.push(Finding::warning(CHECK, what).help(help));
        }
    }
    findings
}

/// What keeps `link` from being a port, or from being a good one.
fn obstacles(facts: &Facts, link: &Link) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Link { name, mtu, .. } = link;
    if !link.ethernet {
        let what = format!("{name} carries no Ethernet frames: it cannot be a port");
        findings.push(Finding::obstacle(CHECK, what).help("take another netdev"));
    }
    if let Some(master) = &link.master {
        let of = link.master.as_ref().and_then(|it| it.name.as_deref());
        let of = of.map_or_else(String::new, |bridge| owner(facts, bridge));
        let what =
            format!("{name} belongs to {master}{of}, which forwards its frames: it is not taken");
        let help = format!("take it out with `ip link set {name} nomaster`");
        findings.push(Finding::obstacle(CHECK, what).help(help));
    }
    if *mtu < u32::from(facts.config.mtu) {
        let what = format!(
            "packets of the network may have {} bytes, {name} passes {mtu}",
            facts.config.mtu
        );
        let help = format!(
            "`ip link set {name} mtu {}`, or a smaller `mtu`",
            facts.config.mtu
        );
        findings.push(Finding::warning(CHECK, what).help(help));
    }
    let upper = |it: &&Link| it.base == Some(link.index);
    if let Some(upper) = facts.netdevs.iter().find(upper) {
        let what = format!(
            "{} stands on {name}: both it and the network hear it",
            upper.name
        );
        let help = format!(
            "give the host its part by `interface`, and delete {}",
            upper.name
        );
        findings.push(Finding::warning(CHECK, what).help(help));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::facts::values::{address, facts, netdev, other};
    use super::*;
    use crate::host::link::Master;

    #[test]
    fn a_netdev_with_a_master_is_named_with_the_mend() {
        let mut facts = facts("[attach]\nmatch = [\"vnet*\"]\n");
        let master = Some(Master {
            index: 3,
            name: Some("virbr0".into()),
        });
        facts.others = vec![other(
            "the libvirt network \"default\"",
            "virbr0",
            "192.168.122.1/24",
        )];
        facts.netdevs = vec![
            netdev("eth0"),
            Link {
                master,
                ..netdev("vnet0")
            },
        ];
        let found = check(&facts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].level, Level::Obstacle);
        let of = "vnet0 belongs to virbr0 (the libvirt network \"default\"),";
        assert!(found[0].message.starts_with(of), "{found:?}");
        let help = found[0].help.as_deref().unwrap();
        assert!(help.contains("ip link set vnet0 nomaster"));
    }

    #[test]
    fn an_uplink_is_looked_at_closely() {
        let mut facts = facts("interface = \"\"\nforward = \"bridge\"\nuplink = \"wlan0\"\n");
        let found = check(&facts);
        assert!(found[0].message.starts_with("there is no netdev wlan0"));
        facts.kernel.wireless = vec!["wlan0".into()];
        facts.netdevs = vec![Link {
            carrier: false,
            mtu: 1400,
            ..netdev("wlan0")
        }];
        let found = check(&facts);
        let levels: Vec<_> = found.iter().map(|finding| finding.level).collect();
        assert_eq!(
            levels,
            [Level::Obstacle, Level::Obstacle, Level::Warning],
            "{found:?}"
        );
    }

    #[test]
    fn an_uplink_that_keeps_its_address_is_warned_of() {
        let text = "forward = \"bridge\"\nuplink = \"eth0\"\n";
        let mut facts = facts(text);
        facts.netdevs = vec![netdev("eth0")];
        facts.addresses = vec![address("192.168.4.7/16", "eth0")];
        let found = check(&facts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0]
                .message
                .contains("keeps the address 192.168.4.7/16")
        );
        facts.config.move_addresses = true;
        assert_eq!(check(&facts)[0].level, Level::Fine);
    }

    #[test]
    fn two_networks_with_one_pattern_are_warned_of() {
        let mut facts = facts("[attach]\nmatch = [\"vnet*\"]\n");
        facts.others = vec![other("the vmlan network \"lab\"", "lab0", "10.0.0.1/24")];
        facts.others[0].attach = vec!["vnet*".into()];
        let found = check(&facts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].level, Level::Warning);
    }
}
