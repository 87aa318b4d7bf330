//! Says in words what network a configuration makes.

use super::value::duration_text;
use super::{Address, Config, Dhcp, Forward, Port, PortKind, Tftp};
use ipnet::Ipv4Net;
use std::fmt;
use vmlan_dhcp::config::DEFAULT_MAX_LEASES;

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
        let mac = config.mac.map(|mac| mac.to_string());
        line(
            "mac",
            mac.unwrap_or_else(|| "made at the first start, then kept".into()),
        )?;
        line("mtu", config.mtu.to_string())?;
        line(
            "domain",
            config.domain.clone().unwrap_or_else(|| "none".into()),
        )?;
        line("forward", forward(config))?;
        line("switch", switch(config))?;
        for text in dhcp(config) {
            line("dhcp", text)?;
        }
        if let Some(tftp) = &config.tftp {
            line("tftp", tftp_text(tftp))?;
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
        Forward::Route | Forward::Open => "guests reach everything, with their own addresses",
        Forward::Isolated => "guests reach each other and the host",
        Forward::Bridge => "guests are stations of the LAN",
    };
    match &config.uplink {
        Some(uplink) => format!("{}: {meaning}; uplink {uplink}", config.forward.name()),
        None => format!("{}: {meaning}", config.forward.name()),
    }
}

fn switch(config: &Config) -> String {
    let ageing = match config.switch.ageing {
        Some(time) => format!("forgotten after {} of silence", duration_text(time)),
        None => "never forgotten".into(),
    };
    format!("{} stations at most, {ageing}", config.switch.fdb_size)
}

/// The DHCP server, the options and hosts each on a line.
fn dhcp(config: &Config) -> Vec<String> {
    let Dhcp {
        enabled: true,
        lease_time,
        options,
        hosts,
        hook,
        ..
    } = &config.dhcp
    else {
        return vec!["off".into()];
    };
    let mut lines = vec![format!("{}, leases of {lease_time}", pool(config))];
    for option in options {
        lines.push(format!("option {} = {}", option.key, option.value));
    }
    for host in hosts {
        let who = match (&host.mac, &host.client_id) {
            (Some(mac), _) => mac.to_string(),
            (None, id) => format!("client-id {}", id.as_deref().unwrap_or_default()),
        };
        let name = host.name.iter().map(|name| format!(" ({name})"));
        let name: String = name.collect();
        lines.push(format!("{} for {who}{name}", host.address));
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

fn pool(config: &Config) -> String {
    let Address::Fixed(gateway) = config.address else {
        return "the whole subnet".into();
    };
    let (first, last) = config.dhcp.pool(gateway);
    let size = pool_size(config, gateway);
    match u32::try_from(DEFAULT_MAX_LEASES) {
        Ok(most) if size > most => {
            format!("{first} to {last}, {size} addresses for {most} leases at most")
        }
        _ => format!("{first} to {last}, {size} addresses"),
    }
}

/// How many addresses of the range can be handed out to any station: all but
/// the ends of the subnet, the gateway and those of static hosts.
fn pool_size(config: &Config, gateway: Ipv4Net) -> u32 {
    let (first, last) = config.dhcp.pool(gateway);
    let mut taken = vec![gateway.addr(), gateway.network(), gateway.broadcast()];
    taken.extend(config.dhcp.hosts.iter().map(|host| host.address));
    taken.retain(|address| (first..=last).contains(address));
    let taken = u32::try_from(taken.len()).unwrap_or(u32::MAX);
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
    let (name, kind) = (&port.name, port.kind);
    format!("{name}: {kind}, {how} {}{offload}", port.interface)
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
forward      isolated: guests reach each other and the host
switch       8192 stations at most, forgotten after 5m of silence
dhcp         the whole subnet, leases of 1h
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
