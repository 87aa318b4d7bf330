//! The rules of each way to forward, as the JSON that `nft -j` takes
//! (libnftables-json(5)).
//!
//! They are those that libvirt writes for its networks
//! (src/network/network_nftables.c there), in a table for each network. It is
//! of the family `inet`, so that what is not let through is refused with IPv6
//! as well.

use super::wanted::{Wanted, Way};
use crate::config::Nat;
use ipnet::Ipv4Net;
use serde_json::{Value, json};

/// The family of our tables.
pub(super) const FAMILY: &str = "inet";

/// What a table's name starts with; the network's follows.
pub(super) const PREFIX: &str = "vmlan_";

/// Groups that no router passes on (RFC 5771 §4), and everybody on the segment.
const NOT_TRANSLATED: [&str; 2] = ["224.0.0.0/24", "255.255.255.255/32"];

/// The name of the table of `network`.
pub(crate) fn table_name(network: &str) -> String {
    format!("{PREFIX}{network}")
}

/// One transaction after which the table of `wanted` has its rules and no
/// other ones, whatever it was before.
pub(super) fn replacing(wanted: &Wanted) -> Value {
    let mut commands = cleared(&wanted.network);
    commands.extend(objects(wanted).into_iter().map(|it| json!({ "add": it })));
    json!({ "nftables": commands })
}

/// One transaction after which `network` has no table.
pub(super) fn removing(network: &str) -> Value {
    json!({ "nftables": cleared(network) })
}

/// How many chains and rules the table of `wanted` has.
pub(super) fn size(wanted: &Wanted) -> usize {
    objects(wanted).len().saturating_sub(1)
}

/// Adding before deleting, since deleting what is not there is an error.
fn cleared(network: &str) -> Vec<Value> {
    let table = json!({ "table": { "family": FAMILY, "name": table_name(network) } });
    vec![json!({ "add": table }), json!({ "delete": table })]
}

/// The table with its chains and rules; nothing where none are wanted.
fn objects(wanted: &Wanted) -> Vec<Value> {
    if wanted.way == Way::Open {
        return Vec::new();
    }
    let name = table_name(&wanted.network);
    let mut objects = vec![
        json!({ "table": { "family": FAMILY, "name": name } }),
        chain(&name, "forward", "filter", 0),
    ];
    let rules = forwarded(&wanted.interface, &wanted.way);
    objects.extend(rules.into_iter().map(|it| rule(&name, "forward", it)));
    if let Way::Nat {
        subnet,
        uplink,
        nat,
    } = &wanted.way
    {
        objects.push(chain(&name, "postrouting", "nat", 100));
        let rules = translated(*subnet, uplink.as_deref(), nat);
        objects.extend(rules.into_iter().map(|it| rule(&name, "postrouting", it)));
    }
    objects
}

/// What passes between the interface and others, in the order that it is
/// looked at.
fn forwarded(interface: &str, way: &Way) -> Vec<Vec<Value>> {
    let (from, to) = (is("iifname", interface), is("oifname", interface));
    let mut rules = vec![vec![from.clone(), to.clone(), verdict("accept")]];
    let uplink = |key| way.uplink().map(|uplink| is(key, uplink));
    match way {
        Way::Nat { subnet, .. } | Way::Route { subnet, .. } => {
            let mut into = Vec::from_iter(uplink("iifname"));
            into.extend([to.clone(), in_subnet("==", "daddr", *subnet)]);
            if matches!(way, Way::Nat { .. }) {
                into.push(json!({ "match": {
                    "op": "in",
                    "left": { "ct": { "key": "state" } },
                    "right": ["established", "related"],
                } }));
            }
            into.extend([counter(), verdict("accept")]);
            let mut out = vec![in_subnet("==", "saddr", *subnet), from.clone()];
            out.extend(uplink("oifname"));
            out.extend([counter(), verdict("accept")]);
            rules.extend([into, vec![to, counter(), verdict("reject")]]);
            rules.extend([out, vec![from, counter(), verdict("reject")]]);
        }
        Way::Open | Way::Isolated => {
            rules.push(vec![to, counter(), verdict("reject")]);
            rules.push(vec![from, counter(), verdict("reject")]);
        }
    }
    rules
}

/// What gets another source address, in the order that it is looked at.
fn translated(subnet: Ipv4Net, uplink: Option<&str>, nat: &Nat) -> Vec<Vec<Value>> {
    let leaving = || {
        let mut matches = vec![in_subnet("==", "saddr", subnet)];
        matches.extend(uplink.map(|uplink| is("oifname", uplink)));
        matches
    };
    let mut rules = Vec::new();
    for group in NOT_TRANSLATED {
        let group: Option<Ipv4Net> = group.parse().ok();
        let mut it = leaving();
        it.extend(group.map(|group| in_subnet("==", "daddr", group)));
        it.extend([counter(), verdict("return")]);
        rules.push(it);
    }
    for protocol in [Some("tcp"), Some("udp"), None] {
        let mut it = Vec::from_iter(protocol.map(|it| {
            json!({ "match": { "op": "==", "left": { "meta": { "key": "l4proto" } }, "right": it } })
        }));
        it.extend(leaving());
        it.push(in_subnet("!=", "daddr", subnet));
        it.push(counter());
        it.push(translation(nat, protocol.is_some()));
        rules.push(it);
    }
    rules
}

/// `masquerade`, or `snat` where the addresses seen outside are given.
fn translation(nat: &Nat, has_ports: bool) -> Value {
    let mut to = serde_json::Map::new();
    let mut kind = "masquerade";
    if let Some((first, last)) = nat.addresses {
        kind = "snat";
        to.insert("family".into(), json!("ip"));
        to.insert("addr".into(), range(first.to_string(), last.to_string()));
    }
    if has_ports {
        to.insert("port".into(), range(nat.ports.0, nat.ports.1));
    }
    if to.is_empty() {
        return verdict(kind);
    }
    json!({ kind: to })
}

fn range<T: PartialEq + serde::Serialize>(first: T, last: T) -> Value {
    if first == last {
        return json!(first);
    }
    json!({ "range": [first, last] })
}

fn chain(table: &str, name: &str, kind: &str, priority: i32) -> Value {
    json!({ "chain": {
        "family": FAMILY, "table": table, "name": name,
        "type": kind, "hook": name, "prio": priority, "policy": "accept",
    } })
}

fn rule(table: &str, chain: &str, expression: Vec<Value>) -> Value {
    json!({ "rule": { "family": FAMILY, "table": table, "chain": chain, "expr": expression } })
}

/// The netdev by which a packet comes (`iifname`) or goes (`oifname`).
fn is(key: &str, netdev: &str) -> Value {
    json!({ "match": { "op": "==", "left": { "meta": { "key": key } }, "right": netdev } })
}

fn in_subnet(op: &str, field: &str, subnet: Ipv4Net) -> Value {
    let (address, len) = (subnet.network().to_string(), subnet.prefix_len());
    json!({ "match": {
        "op": op,
        "left": { "payload": { "protocol": "ip", "field": field } },
        "right": { "prefix": { "addr": address, "len": len } },
    } })
}

fn counter() -> Value {
    json!({ "counter": { "packets": 0, "bytes": 0 } })
}

fn verdict(kind: &str) -> Value {
    json!({ kind: null })
}
