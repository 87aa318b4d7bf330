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
    let rules = forwarded(wanted);
    objects.extend(rules.iter().map(|it| rule(&name, "forward", it)));
    if let Way::Nat {
        subnet,
        uplink,
        nat,
    } = &wanted.way
    {
        objects.push(chain(&name, "postrouting", "nat", 100));
        let subnets = subnets(wanted, *subnet);
        let rules = translated(&subnets, uplink.as_deref(), nat);
        objects.extend(rules.iter().map(|it| rule(&name, "postrouting", it)));
    }
    objects
}

/// What passes between the interface and others, in the order that it is
/// looked at.
fn forwarded(wanted: &Wanted) -> Vec<Vec<Value>> {
    let Wanted { interface, way, .. } = wanted;
    let (from, to) = (is("iifname", interface), is("oifname", interface));
    let mut rules = vec![vec![from.clone(), to.clone(), verdict("accept")]];
    let uplink = |key| way.uplink().map(|uplink| is(key, uplink));
    match way {
        Way::Nat { subnet, .. } | Way::Route { subnet, .. } => {
            let subnets = subnets(wanted, *subnet);
            let mut into = Vec::from_iter(uplink("iifname"));
            into.extend([to.clone(), in_subnets("==", "daddr", &subnets)]);
            if matches!(way, Way::Nat { .. }) {
                into.push(json!({ "match": {
                    "op": "in",
                    "left": { "ct": { "key": "state" } },
                    "right": ["established", "related"],
                } }));
            }
            into.extend([counter(), verdict("accept")]);
            let mut out = vec![in_subnets("==", "saddr", &subnets), from.clone()];
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
fn translated(subnets: &[Ipv4Net], uplink: Option<&str>, nat: &Nat) -> Vec<Vec<Value>> {
    let leaving = || {
        let mut matches = vec![in_subnets("==", "saddr", subnets)];
        matches.extend(uplink.map(|uplink| is("oifname", uplink)));
        matches
    };
    let mut rules = Vec::new();
    for group in NOT_TRANSLATED {
        let group: Option<Ipv4Net> = group.parse().ok();
        let mut it = leaving();
        it.extend(group.map(|group| in_subnets("==", "daddr", &[group])));
        it.extend([counter(), verdict("return")]);
        rules.push(it);
    }
    for protocol in [Some("tcp"), Some("udp"), None] {
        let mut it = Vec::from_iter(protocol.map(|it| {
            json!({ "match": { "op": "==", "left": { "meta": { "key": "l4proto" } }, "right": it } })
        }));
        it.extend(leaving());
        it.push(in_subnets("!=", "daddr", subnets));
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
        to.insert("addr".into(), range(&first.to_string(), &last.to_string()));
    }
    if has_ports {
        to.insert("port".into(), range(&nat.ports.0, &nat.ports.1));
    }
    if to.is_empty() {
        return verdict(kind);
    }
    json!({ kind: to })
}

fn range<T: PartialEq + serde::Serialize>(first: &T, last: &T) -> Value {
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

fn rule(table: &str, chain: &str, expression: &[Value]) -> Value {
    json!({ "rule": { "family": FAMILY, "table": table, "chain": chain, "expr": expression } })
}

/// The netdev by which a packet comes (`iifname`) or goes (`oifname`).
fn is(key: &str, netdev: &str) -> Value {
    json!({ "match": { "op": "==", "left": { "meta": { "key": key } }, "right": netdev } })
}

/// The present subnet and former ones, apart from each other.
fn subnets(wanted: &Wanted, present: Ipv4Net) -> Vec<Ipv4Net> {
    let all: Vec<_> = wanted.former.iter().copied().chain([present]).collect();
    Ipv4Net::aggregate(&all)
}

fn in_subnets(op: &str, field: &str, subnets: &[Ipv4Net]) -> Value {
    let prefix = |subnet: &Ipv4Net| {
        let (address, len) = (subnet.network().to_string(), subnet.prefix_len());
        json!({ "prefix": { "addr": address, "len": len } })
    };
    let right = match subnets {
        [one] => prefix(one),
        all => json!({ "set": all.iter().map(prefix).collect::<Vec<_>>() }),
    };
    json!({ "match": {
        "op": op,
        "left": { "payload": { "protocol": "ip", "field": field } },
        "right": right,
    } })
}

fn counter() -> Value {
    json!({ "counter": { "packets": 0, "bytes": 0 } })
}

fn verdict(kind: &str) -> Value {
    json!({ kind: null })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::netns::in_new_netns;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn subnet() -> Ipv4Net {
        "192.168.122.0/24".parse().unwrap()
    }

    fn wanted(way: Way) -> Wanted {
        Wanted {
            network: "my-lab".to_owned(),
            interface: "vmlan0".to_owned(),
            way,
            former: Vec::new(),
            services: Vec::new(),
        }
    }

    fn nat(uplink: Option<&str>, nat: Nat) -> Wanted {
        wanted(Way::Nat {
            subnet: subnet(),
            uplink: uplink.map(str::to_owned),
            nat,
        })
    }

    /// What `nft` lists once it has taken `transactions`, a line a rule,
    /// without counters.
    fn listed(transactions: &[Value]) -> String {
        in_new_netns(|| {
            for commands in transactions {
                let mut nft = Command::new("nft")
                    .args(["-j", "-f", "-"])
                    .stdin(Stdio::piped())
                    .spawn()
                    .expect("this test needs nft (package nftables)");
                let mut input = nft.stdin.take().unwrap();
                input.write_all(commands.to_string().as_bytes()).unwrap();
                drop(input);
                assert!(nft.wait().unwrap().success(), "{commands:#}");
            }
            let list = Command::new("nft").args(["list", "ruleset"]).output();
            let list = String::from_utf8(list.unwrap().stdout).unwrap();
            list.replace("counter packets 0 bytes 0 ", "")
        })
    }

    #[test]
    fn nat_has_the_rules_of_libvirt() {
        assert_eq!(
            listed(&[replacing(&nat(None, Nat::default()))]),
            "\
table inet vmlan_my-lab {
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname \"vmlan0\" oifname \"vmlan0\" accept
		oifname \"vmlan0\" ip daddr 192.168.122.0/24 ct state established,related accept
		oifname \"vmlan0\" reject
		ip saddr 192.168.122.0/24 iifname \"vmlan0\" accept
		iifname \"vmlan0\" reject
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 192.168.122.0/24 ip daddr 224.0.0.0/24 return
		ip saddr 192.168.122.0/24 ip daddr 255.255.255.255 return
		meta l4proto tcp ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 masquerade to :1024-65535
		meta l4proto udp ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 masquerade to :1024-65535
		ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 masquerade
	}
}
"
        );
    }

    #[test]
    fn guests_of_a_former_subnet_get_out_as_well() {
        let former = ["10.9.0.0/24", "192.168.122.0/25"].map(|it| it.parse().unwrap());
        let text = listed(&[replacing(&Wanted {
            former: former.into(),
            ..nat(None, Nat::default())
        })]);
        let both = "{ 10.9.0.0/24, 192.168.122.0/24 }";
        for rule in [
            format!("ip daddr {both} ct state established,related accept"),
            format!("ip saddr {both} iifname \"vmlan0\" accept"),
            format!("ip saddr {both} ip daddr != {both} masquerade\n"),
        ] {
            assert!(text.contains(&rule), "{rule}: {text}");
        }
    }

    #[test]
    fn nat_with_addresses_and_an_uplink_names_them() {
        let [first, last] = ["203.0.113.5", "203.0.113.9"].map(|it| it.parse().unwrap());
        let with = |ports, addresses| {
            let text = listed(&[replacing(&nat(Some("eth0"), Nat { ports, addresses }))]);
            let rules = text.lines().filter(|line| line.contains(" snat "));
            rules.map(|it| it.trim().to_owned()).collect::<Vec<_>>()
        };
        let from = "ip saddr 192.168.122.0/24 oifname \"eth0\" ip daddr != 192.168.122.0/24";
        assert_eq!(
            with((20_000, 29_999), Some((first, last))),
            [
                format!("meta l4proto tcp {from} snat ip to 203.0.113.5-203.0.113.9:20000-29999"),
                format!("meta l4proto udp {from} snat ip to 203.0.113.5-203.0.113.9:20000-29999"),
                format!("{from} snat ip to 203.0.113.5-203.0.113.9"),
            ]
        );
        let one = with((5000, 5000), Some((first, first)));
        assert!(one[0].ends_with("snat ip to 203.0.113.5:5000"), "{one:?}");
        assert!(one[2].ends_with("snat ip to 203.0.113.5"), "{one:?}");
    }

    #[test]
    fn route_lets_others_in_by_the_uplink() {
        let text = listed(&[replacing(&wanted(Way::Route {
            subnet: subnet(),
            uplink: Some("eth0".to_owned()),
        }))]);
        let rules: Vec<_> = text.lines().skip(3).map(str::trim).take(5).collect();
        assert_eq!(
            rules,
            [
                "iifname \"vmlan0\" oifname \"vmlan0\" accept",
                "iifname \"eth0\" oifname \"vmlan0\" ip daddr 192.168.122.0/24 accept",
                "oifname \"vmlan0\" reject",
                "ip saddr 192.168.122.0/24 iifname \"vmlan0\" oifname \"eth0\" accept",
                "iifname \"vmlan0\" reject",
            ]
        );
        assert!(!text.contains("postrouting"), "{text}");
    }

    #[test]
    fn rules_are_replaced_as_a_whole_and_go_without_a_trace() {
        let isolated = wanted(Way::Isolated);
        let once = listed(&[replacing(&isolated)]);
        assert_eq!(once.matches("reject").count(), 2, "{once}");
        let nat = replacing(&nat(None, Nat::default()));
        assert_eq!(listed(&[nat.clone(), replacing(&isolated)]), once);
        assert_eq!(listed(&[nat.clone(), replacing(&wanted(Way::Open))]), "");
        assert_eq!(listed(&[nat, removing("my-lab")]), "");
        assert_eq!(listed(&[removing("my-lab")]), "");
    }

    #[test]
    fn a_size_counts_chains_and_rules() {
        assert_eq!(size(&wanted(Way::Open)), 0);
        assert_eq!(size(&wanted(Way::Isolated)), 1 + 3);
        assert_eq!(size(&nat(None, Nat::default())), 1 + 5 + 1 + 5);
    }

    #[test]
    fn a_translation_is_json_as_nft_takes_it() {
        let nat = Nat::default();
        let ports = json!({ "range": [1024, 65535] });
        assert_eq!(
            translation(&nat, true),
            json!({ "masquerade": { "port": ports } })
        );
        assert_eq!(translation(&nat, false), json!({ "masquerade": null }));
    }
}
