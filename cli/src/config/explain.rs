//! Says in words what network a configuration makes.

use super::value::duration_text;
use super::{
    Address, Config, Dhcp, DhcpOption, Events, Forward, HostEntry, Libvirt, Mac, Nat, NetworkName,
    Port, PortKind, Switch, Tftp,
};
use ipnet::Ipv4Net;
use std::fmt;
use vmlan_dhcp::config::Identity;
use vmlan_dhcp::options::{Boot, Scope};
use vmlan_dhcp::{Match, Tag, TagMatch};

/// A configuration shown as lines for a reader, each ended by a newline.
#[derive(Debug)]
pub struct Explained<'a>(pub &'a Config);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.0;
        let mut line = |what: &str, value: String| writeln!(f, "{what:<12} {value}");
        line("network", config.name.to_string())?;
        line("interface", interface(config))?;
        line("address", address(config))?;
        line(
            "mac",
            match config.mac {
                Some(Mac::Fixed(mac)) => mac.to_string(),
                Some(Mac::Uplink) => "that of the uplink".into(),
                None => "made at the first start, then kept".into(),
            },
        )?;
        line("mtu", config.mtu.to_string())?;
        line(
            "domain",
            config.domain.clone().unwrap_or_else(|| "none".into()),
        )?;
        line("forward", forward(config))?;
        if config.forward == Forward::Nat {
            line("nat", nat(config))?;
        }
        line("switch", switch(config))?;
        for text in dhcp(config) {
            line("dhcp", text)?;
        }
        for text in super::dns_explain::lines(config) {
            line("dns", text)?;
        }
        if let Some(tftp) = &config.tftp {
            line("tftp", tftp_text(tftp))?;
        }
        match config.events.drops {
            drops if drops == Events::default().drops => {}
            0 => line("events", "drops are none".into())?,
            most => line("events", format!("more than {most} drops/s are one"))?,
        }
        if let Some(filter) = &config.log {
            line("log", filter.to_string())?;
        }
        if let Some(libvirt) = &config.libvirt {
            line("libvirt", libvirt_text(libvirt, &config.name))?;
        }
        line("attach", attach(config))?;
        for port in &config.ports {
            line("port", port_text(port))?;
        }
        Ok(())
    }
}

fn interface(config: &Config) -> String {
    match &config.interface {
        Some(name) => format!("{name}, the host's own, made at the start"),
        None => "none, the host takes no part".into(),
    }
}

fn address(config: &Config) -> String {
    match config.address {
        Address::None => "none".into(),
        Address::Auto => {
            "picked at the first start: the first free of 192.168.122.1/24 … 192.168.254.1/24"
                .into()
        }
        Address::Fixed(net) => format!("{net}, subnet {}", net.trunc()),
    }
}

fn forward(config: &Config) -> String {
    let meaning = match config.forward {
        Forward::Nat => "guests reach everything, behind the host's address",
        Forward::Route => "guests reach everything and are reached, with their own addresses",
        Forward::Open => "as the host's own rules have it, with the guests' own addresses",
        Forward::Isolated => "guests reach each other and the host",
        Forward::Bridge => "guests are stations of the LAN",
    };
    let mut text = format!("{}: {meaning}", config.forward.name());
    match (&config.uplink, config.forward) {
        (Some(uplink), Forward::Nat | Forward::Route) => {
            text.push_str(&format!("; by {uplink} only"));
        }
        (Some(uplink), _) => text.push_str(&format!("; uplink {uplink}")),
        (None, _) => {}
    }
    if config.move_addresses {
        text.push_str(", whose addresses and routes go to the interface meanwhile");
    }
    text
}

/// What of the guests' packets is seen outside.
fn nat(config: &Config) -> String {
    let Nat { ports, addresses } = config.nat;
    let seen = match addresses {
        None => "the address of the netdev by which it leaves".to_owned(),
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("an address from {first} to {last}"),
    };
    format!(
        "outside a guest has {seen}, TCP and UDP ports {} to {}",
        ports.0, ports.1
    )
}

fn switch(config: &Config) -> String {
    let ageing = match config.switch.ageing {
        Some(time) => format!("forgotten after {} of silence", duration_text(time)),
        None => "never forgotten".into(),
    };
    let Switch {
        fdb_size, polling, ..
    } = config.switch;
    let mut text = format!("{fdb_size} stations at most, {ageing}");
    match config.switch.workers {
        1 => {}
        0 => text.push_str(", a worker for each core"),
        count => text.push_str(&format!(", {count} workers")),
    }
    if !polling.is_zero() {
        text.push_str(&format!(", polling for up to {} µs", polling.as_micros()));
    }
    text
}

/// The DHCP server, the options and hosts each on a line.
fn dhcp(config: &Config) -> Vec<String> {
    let Dhcp {
        enabled: true,
        lease_time,
        identity,
        sequential,
        known_only,
        matches,
        rapid_commit,
        probe,
        options,
        boots,
        hosts,
        hook,
        ..
    } = &config.dhcp
    else {
        return vec!["off".into()];
    };
    let mut ranges = ranges(config).into_iter();
    let first = ranges.next().unwrap_or_else(|| "no range".into());
    let mut lines = vec![format!("{first}, leases of {lease_time}")];
    lines.extend(ranges);
    let said = [
        (*known_only, "known hosts get an answer, nobody else"),
        (
            *identity == Identity::ClientId,
            "leases belong to client identifiers, not to MACs",
        ),
        (*sequential, "addresses in their order"),
        (!probe, "addresses are offered without a probe"),
        (*rapid_commit, "one reply in place of two to who wants that"),
    ];
    let said = said
        .iter()
        .filter_map(|(holds, text)| holds.then_some(*text));
    lines.extend(said.map(str::to_owned));
    lines.extend(matches.iter().map(match_text));
    for option in options {
        lines.push(option_text(option));
    }
    for boot in boots {
        lines.push(boot_text(boot));
    }
    for host in hosts {
        let who: Vec<_> = host.keys.iter().map(ToString::to_string).collect();
        let who = who.join(", ");
        let what = match host.address {
            _ if host.ignore => "nothing".to_owned(),
            Some(address) => address.to_string(),
            None => "an address of a range".to_owned(),
        };
        let mut line = format!("{what} for {who}");
        line.extend(host.name.iter().map(|name| format!(" ({name})")));
        if !host.set.is_empty() {
            line += &format!(", sets {}", listed(&host.set));
        }
        if let Some(time) = HostEntry::from(host).lease_time {
            line += &format!(", leases of {time}");
        }
        lines.push(line);
    }
    if let Some(hook) = hook {
        let timeout = duration_text(hook.timeout);
        lines.push(format!(
            "runs {} when a lease changes, for {timeout} at most",
            hook.program.get_ref().display()
        ));
    }
    lines
}

/// `match sets red if 2 conditions hold`
fn match_text(it: &Match) -> String {
    let mut does = Vec::new();
    if !it.set.is_empty() {
        does.push(format!("sets {}", listed(&it.set)));
    }
    if it.ignore {
        does.push("passes the client over".to_owned());
    }
    let does = does.join(" and ");
    match it.conditions.len() {
        1 => format!("match {does} if its condition holds"),
        all => format!("match {does} if all {all} conditions hold"),
    }
}

fn listed(tags: &[Tag]) -> String {
    let tags: Vec<_> = tags.iter().map(Tag::as_str).collect();
    tags.join(", ")
}

/// `option ntp-server = "…" for tags red !blue, asked for or not`
fn option_text(option: &DhcpOption) -> String {
    let inside = match &option.scope {
        Scope::Message => String::new(),
        Scope::Vendor(class) => format!(" of vendor {class:?}"),
        Scope::Enterprise(number) => format!(" of enterprise {number}"),
    };
    let (key, value) = (&option.key, &option.value);
    let force = if option.force {
        ", asked for or not"
    } else {
        ""
    };
    format!(
        "option {key}{inside} = {value}{}{force}",
        tags_text(&option.tags)
    )
}

/// `boot "ipxe.efi" from 10.0.0.1 as x86_64-efi for tags red`
fn boot_text(boot: &Boot) -> String {
    let mut text = match &boot.filename {
        Some(name) => format!("boot {name:?}"),
        None => "boot".into(),
    };
    if let Some(server) = boot.next_server {
        text += &format!(" from {server}");
    }
    if let Some(name) = &boot.server_name {
        text += &format!(" ({name})");
    }
    let architectures: Vec<_> = boot.architectures.iter().map(ToString::to_string).collect();
    if !architectures.is_empty() {
        text += &format!(" as {}", architectures.join(", "));
    }
    text + &tags_text(&boot.tags)
}

fn tags_text(tags: &TagMatch) -> String {
    if tags.is_always() {
        String::new()
    } else {
        format!(" for tags {tags}")
    }
}

/// Each range that is handed out, with whom it is for.
fn ranges(config: &Config) -> Vec<String> {
    let Address::Fixed(gateway) = config.address else {
        return vec!["the whole subnet".into()];
    };
    let ranges = config.dhcp.ranges(gateway);
    ranges
        .iter()
        .map(|range| {
            let (first, last) = range.addresses.clone().into_inner();
            let size = range_size(config, gateway, range);
            let mut text = format!("{first} to {last}, {size} addresses");
            if let Ok(most) = u32::try_from(config.dhcp.max_leases)
                && size > most
            {
                text += &format!(" for {most} leases at most");
            }
            if let Some(subnet) = range.subnet.filter(|subnet| *subnet != gateway.trunc()) {
                text += &format!(" of {subnet}, by a relay agent");
            }
            if range.known_only {
                text += " for known hosts";
            }
            text += &tags_text(&range.tags);
            if !range.set.is_empty() {
                text += &format!(", sets {}", listed(&range.set));
            }
            text
        })
        .collect()
}

/// How many addresses of `range` can be handed out to any station: all but the
/// ends of the subnet, the gateway, the router and those of static hosts.
fn range_size(config: &Config, gateway: Ipv4Net, range: &vmlan_dhcp::Range) -> u32 {
    let subnet = range.subnet.unwrap_or(gateway.trunc());
    let mut taken = vec![gateway.addr(), subnet.network(), subnet.broadcast()];
    taken.extend(range.router);
    taken.extend(config.dhcp.hosts.iter().filter_map(|host| host.address));
    taken.retain(|address| range.addresses.contains(address));
    let taken = u32::try_from(taken.len()).unwrap_or(u32::MAX);
    let (first, last) = (range.addresses.start(), range.addresses.end());
    let all = last.to_bits().saturating_sub(first.to_bits());
    all.saturating_add(1).saturating_sub(taken)
}

fn attach(config: &Config) -> String {
    if config.attach.is_empty() {
        return "nothing by itself".into();
    }
    let patterns: Vec<_> = config.attach.iter().map(ToString::to_string).collect();
    format!("netdevs named {}", patterns.join(", "))
}

fn libvirt_text(libvirt: &Libvirt, name: &NetworkName) -> String {
    let network = libvirt.network.as_deref().unwrap_or(name.as_str());
    let folder = libvirt.status_dir.display();
    format!("leases are shown by `virsh net-dhcp-leases {network}`, by files in {folder}")
}

fn tftp_text(tftp: &Tftp) -> String {
    let lowercase = if tftp.lowercase {
        ", capital letters in names as small ones"
    } else {
        ""
    };
    let root = tftp.root.get_ref().display();
    format!("files of {root} that everybody may read{lowercase}")
}

fn port_text(port: &Port) -> String {
    let how = match port.kind {
        PortKind::Packet => "takes the netdev",
        _ => "makes the netdev",
    };
    let offload = if port.offload { "" } else { ", no offload" };
    let queues = match port.queues {
        1 => String::new(),
        queues => format!(", {queues} queues"),
    };
    let dhcp = if port.dhcp { "" } else { ", no DHCP" };
    let (name, kind, interface) = (&port.name, port.kind, &port.interface);
    format!("{name}: {kind}, {how} {interface}{queues}{offload}{dhcp}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;
    use std::path::Path;

    fn explained(text: &str) -> String {
        let loaded = Loaded::parse(Path::new("x"), text, None).unwrap();
        Explained(&loaded.config).to_string()
    }

    #[test]
    fn the_built_in_network_is_explained() {
        assert_eq!(
            explained(""),
            "\
network      default
interface    vmlan0, the host's own, made at the start
address      picked at the first start: the first free of 192.168.122.1/24 … 192.168.254.1/24
mac          made at the first start, then kept
mtu          1500
domain       vm
forward      nat: guests reach everything, behind the host's address
nat          outside a guest has the address of the netdev by which it leaves, TCP and UDP ports 1024 to 65535
switch       8192 stations at most, forgotten after 5m of silence
dhcp         the whole subnet, leases of 1h
dns          leases and hosts in vm, kept for 1m at most; the rest is asked of the host's name servers
events       more than 100 drops/s are one
attach       netdevs named vnet*
"
        );
    }

    #[test]
    fn a_pool_larger_than_the_lease_limit_says_so() {
        let text = explained("address = \"10.0.0.1/8\"");
        assert!(
            text.contains("16777213 addresses for 1000 leases at most"),
            "{text}"
        );
    }

    #[test]
    fn whom_dhcp_serves_is_explained() {
        let text = explained(
            r#"
[dhcp]
key = "client-id"
sequential = true
known-only = true
rapid-commit = true
probe = false
[[dhcp.match]]
port = "c2"
vendor-class = "x"
set = ["web", "slow"]
[[dhcp.match]]
mac = "52:54:00:*:*:*"
ignore = true
[[dhcp.host]]
name = "nas"
set = "red"
lease-time = "2h"
"#,
        );
        let lines: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("dhcp         "))
            .collect();
        assert_eq!(
            lines,
            [
                "the whole subnet, leases of 1h",
                "known hosts get an answer, nobody else",
                "leases belong to client identifiers, not to MACs",
                "addresses in their order",
                "addresses are offered without a probe",
                "one reply in place of two to who wants that",
                "match sets web, slow if all 2 conditions hold",
                "match passes the client over if its condition holds",
                "an address of a range for name nas (nas), sets red, leases of 2h",
            ]
        );
    }

    #[test]
    fn the_pool_leaves_out_the_gateway_and_static_hosts() {
        let text = explained(
            r#"
address = "10.0.0.1/24"
[dhcp]
range = ["10.0.0.0", "10.0.0.19"]
[[dhcp.host]]
mac = "52:54:00:aa:bb:cc"
address = "10.0.0.10"
name = "db"
[[dhcp.host]]
client-id = "01:02"
address = "10.0.0.200"
"#,
        );
        // 20 less the subnet's own, the gateway and one host.
        assert!(
            text.contains("10.0.0.0 to 10.0.0.19, 17 addresses"),
            "{text}"
        );
        assert!(
            text.contains("10.0.0.10 for 52:54:00:aa:bb:cc (db)"),
            "{text}"
        );
        assert!(text.contains("10.0.0.200 for client-id 01:02\n"), "{text}");
    }
}
