//! Has commands done by the networks, and words the replies as `ovs-vsctl`
//! does.

use super::grammar::{Command, Line};
use super::networks::{Found, Networks, problem};
use super::value::printed;
use crate::client::segment;
use crate::config::{InterfaceName, PortKind, Problem};
use crate::model::{Attach, BANDWIDTH, Done, ExternalIds, PortView, StatusView};
use hyper::Method;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// What a port says where libvirt has asked for rates.
const NOT_LIMITED: &str = "asked for by libvirt, not limited by this version of vmlan";

/// Does what `line` says; the text is what it prints.
///
/// # Errors
/// A command cannot be done; those before it may have been.
pub(super) fn carry_out(line: &Line, networks: &Networks) -> Result<String, Problem> {
    for command in &line.commands {
        refuse_vlan(command)?;
    }
    let mut text = String::new();
    let mut added: Vec<&str> = Vec::new();
    for (at, command) in line.commands.iter().enumerate() {
        if let Command::AddPort {
            bridge,
            port,
            may_exist,
            ..
        } = command
        {
            // One request, so that a port is never seen without what it is for.
            let rest = line.commands.get(at..).unwrap_or_default();
            add(networks, bridge, port, *may_exist, ids_of(port, rest))?;
            added.push(port);
        } else if !is_done_with(command, &added) {
            text.push_str(&one(networks, command, line)?);
        }
    }
    Ok(text)
}

/// A guest must not land in another segment than it was meant for.
fn refuse_vlan(command: &Command) -> Result<(), Problem> {
    let (Command::AddPort { port, vlan, .. } | Command::SetPort { port, vlan, .. }) = command
    else {
        return Ok(());
    };
    if vlan.is_empty() {
        return Ok(());
    }
    Err(no_vlan(port, &vlan.join(" ")))
}

/// `port` cannot be in the VLANs that `vlan` tells of.
pub(super) fn no_vlan(port: &str, vlan: &str) -> Problem {
    Problem::new(format!(
        "{port} is to be in a VLAN ({vlan}), and this version of vmlan has none"
    ))
    .help("take <vlan> out of the interface, or out of the network and its portgroup")
}

/// The external identifiers that `commands` give `port`.
fn ids_of(port: &str, commands: &[Command]) -> ExternalIds {
    let mut ids = ExternalIds::new();
    for command in commands {
        if let Command::SetInterface {
            interface,
            external_ids,
            rate,
            ..
        } = command
            && interface == port
        {
            ids.extend(external_ids.iter().cloned());
            if *rate {
                ids.insert(BANDWIDTH.to_owned(), NOT_LIMITED.to_owned());
            }
        }
    }
    ids
}

/// Whether `command` was done together with the adding of its port.
fn is_done_with(command: &Command, added: &[&str]) -> bool {
    matches!(command, Command::SetInterface { interface, .. } if added.contains(&interface.as_str()))
}

fn add(
    networks: &Networks,
    bridge: &str,
    port: &str,
    may_exist: bool,
    external_ids: ExternalIds,
) -> Result<(), Problem> {
    let interface: InterfaceName = port.parse()?;
    let client = networks.serving(bridge)?;
    if let Some(Found {
        client: other,
        port: there,
    }) = networks.holding(port)?
        && other.network() != client.network()
    {
        // Libvirt has just made it; a pattern of the other one was faster.
        if !there.external_ids.is_empty() {
            return Err(Problem::new(format!(
                "{port} is a port of the network \"{}\" already",
                other.network()
            )));
        }
        other
            .delete::<Done>(&format!("/v1/attach/{}", segment(port)))
            .map_err(problem)?;
    }
    let request = Attach {
        interface,
        may_exist,
        external_ids,
        keys: BTreeMap::new(),
    };
    client
        .send::<Done>(&Method::POST, "/v1/attach", &request)
        .map(drop)
        .map_err(problem)
}

/// One command other than `add-port`; what it prints.
fn one(networks: &Networks, command: &Command, line: &Line) -> Result<String, Problem> {
    let find = |name: &str, if_exists: bool| match networks.holding(name)? {
        None if !if_exists => Err(Problem::new(format!(
            "no network of vmlan has a port {name}"
        ))),
        found => Ok(found),
    };
    match command {
        Command::AddPort { .. } | Command::Nothing => Ok(String::new()),
        Command::DelPort { port, if_exists } => {
            if let Some(found) = find(port, *if_exists)? {
                let path = format!("/v1/attach/{}", segment(port));
                found.client.delete::<Done>(&path).map_err(problem)?;
            }
            Ok(String::new())
        }
        Command::SetInterface {
            interface,
            if_exists,
            ..
        } => {
            if let Some(found) = find(interface, *if_exists)? {
                identify(&found, &ids_of(interface, std::slice::from_ref(command)))?;
            }
            Ok(String::new())
        }
        Command::SetPort {
            port,
            if_exists,
            rate,
            ..
        } => {
            if let Some(found) = find(port, *if_exists)?.filter(|_| *rate) {
                identify(
                    &found,
                    &[(BANDWIDTH.to_owned(), NOT_LIMITED.to_owned())].into(),
                )?;
            }
            Ok(String::new())
        }
        Command::ClearPort { port, if_exists } => find(port, *if_exists).map(|_| String::new()),
        Command::GetExternalId {
            interface,
            key,
            if_exists,
        } => match find(interface, *if_exists)? {
            None => Ok(String::new()),
            Some(found) => match found.port.external_ids.get(key) {
                Some(value) => Ok(format!("{}\n", printed(value))),
                None if *if_exists => Ok("\n".to_owned()),
                None => Err(Problem::new(format!(
                    "no key {key} in external_ids of {interface}"
                ))),
            },
        },
        Command::GetName {
            interface,
            if_exists,
        } => {
            // libvirt gives the last part of a socket's path.
            let name = interface.strip_suffix(".sock").unwrap_or(interface);
            let found = find(name, *if_exists)?;
            Ok(found.map_or_else(String::new, |found| {
                format!("{}\n", printed(&found.port.name))
            }))
        }
        Command::GetStatistic {
            interface,
            key,
            if_exists,
        } => {
            let Some(found) = find(interface, *if_exists)? else {
                return Ok(String::new());
            };
            let statistics = statistics(&found.port);
            let value = statistics.iter().find(|(name, _)| name == key);
            match value {
                Some((_, count)) => Ok(format!("{count}\n")),
                None if *if_exists => Ok("\n".to_owned()),
                None => Err(Problem::new(format!(
                    "no key {key} in statistics of {interface}"
                ))),
            }
        }
        Command::ListStatistics {
            interface,
            if_exists,
        } => {
            let found = find(interface, *if_exists)?;
            Ok(found.map_or_else(String::new, |found| listed(&statistics(&found.port), line)))
        }
        Command::FindSocket { path } => socket(networks, path),
        Command::InterfaceToBridge { interface } => {
            let no_bridge =
                || Problem::new(format!("the network of {interface} has no host interface"));
            let Some(found) = find(interface, false)? else {
                return Err(no_bridge());
            };
            let status: StatusView = found.client.get("/v1/status").map_err(problem)?;
            let bridge = status.interface.ok_or_else(no_bridge)?;
            Ok(format!("{bridge}\n"))
        }
    }
}

/// Notes `ids` with a port that is there.
fn identify(found: &Found, ids: &ExternalIds) -> Result<(), Problem> {
    if ids.is_empty() {
        return Ok(());
    }
    let path = format!("/v1/ports/{}/external-ids", segment(&found.port.name));
    found
        .client
        .send::<Done>(&Method::PATCH, &path, ids)
        .map(drop)
        .map_err(problem)
}

/// The port whose vhost-user socket is at `path`, `RUN/NETWORK/PORT.sock`.
///
/// Where there is none, Open vSwitch prints nothing and libvirt takes the empty
/// name for the interface's; an error it takes for "not a port of that switch".
fn socket(networks: &Networks, path: &str) -> Result<String, Problem> {
    let name = Path::new(path).file_stem().and_then(|stem| stem.to_str());
    let found = match name {
        Some(name) => networks.holding(name)?,
        None => None,
    };
    match found.filter(|found| found.port.kind == PortKind::VhostUser) {
        Some(found) => Ok(format!("{}\n", printed(&found.port.name))),
        None => Err(Problem::new(format!("{path} is no socket of vmlan"))),
    }
}

/// A port's counters under the names of Open vSwitch (ovs-vswitchd.conf.db(5),
/// "Interface: Statistics"), by name; `rx` is what the switch has received.
fn statistics(port: &PortView) -> [(&'static str, u64); 8] {
    let dropped =
        |drops: &BTreeMap<String, u64>| drops.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
    [
        ("rx_bytes", port.rx.bytes),
        ("rx_dropped", dropped(&port.rx.drops)),
        ("rx_errors", 0),
        ("rx_packets", port.rx.frames),
        ("tx_bytes", port.tx.bytes),
        ("tx_dropped", dropped(&port.tx.drops)),
        ("tx_errors", 0),
        ("tx_packets", port.tx.frames),
    ]
}

fn listed(statistics: &[(&str, u64)], line: &Line) -> String {
    let value = if line.json {
        json!(["map", statistics]).to_string()
    } else {
        let pairs = statistics
            .iter()
            .map(|(key, count)| format!("{key}={count}"));
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
    };
    if line.no_headings {
        format!("{value}\n")
    } else {
        format!("{:<20}: {value}\n", "statistics")
    }
}

#[cfg(test)]
mod tests;
