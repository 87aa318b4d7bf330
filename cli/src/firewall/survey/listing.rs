//! What `nft -j list ruleset` lists (libnftables-json(5)), read as far as a
//! survey wants it: chains, rules, and sets of netdevs.

use super::Hook;
use super::packet::Packet;
use serde_json::Value;

/// The objects of one kind in the order that `nft` lists them.
pub(super) fn objects<'a>(
    listed: &'a Value,
    kind: &'static str,
) -> impl Iterator<Item = &'a Value> {
    let all = listed.get("nftables").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(move |it| it.get(kind))
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

/// A chain.
pub(super) struct Chain<'a> {
    pub(super) family: &'a str,
    pub(super) table: &'a str,
    pub(super) name: &'a str,
    hook: Option<&'a str>,
    pub(super) policy: Option<&'a str>,
}

impl<'a> Chain<'a> {
    pub(super) fn of(object: &'a Value) -> Option<Self> {
        Some(Self {
            family: text(object, "family")?,
            table: text(object, "table")?,
            name: text(object, "name")?,
            hook: text(object, "hook"),
            policy: text(object, "policy"),
        })
    }

    pub(super) fn is_in(&self, family: &str, table: &str) -> bool {
        (self.family, self.table) == (family, table)
    }

    /// Where it stands, if IPv4 packets pass it there.
    pub(super) fn hook(&self) -> Option<Hook> {
        match (self.family, self.hook?) {
            ("ip" | "inet", "forward") => Some(Hook::Forward),
            ("ip" | "inet", "input") => Some(Hook::Input),
            _ => None,
        }
    }
}

/// A rule.
pub(super) struct Rule<'a> {
    pub(super) family: &'a str,
    pub(super) table: &'a str,
    pub(super) chain: &'a str,
    /// By which `nft` deletes it.
    pub(super) handle: u64,
    expression: &'a [Value],
}

impl<'a> Rule<'a> {
    pub(super) fn of(object: &'a Value) -> Option<Self> {
        Some(Self {
            family: text(object, "family")?,
            table: text(object, "table")?,
            chain: text(object, "chain")?,
            handle: object.get("handle")?.as_u64()?,
            expression: object.get("expr")?.as_array()?,
        })
    }

    /// What it does to a packet, word by word (libnftables-json(5),
    /// "STATEMENTS").
    pub(super) fn statements(&self) -> &'a [Value] {
        self.expression
    }

    /// The chains that it leads to.
    pub(super) fn targets(&self) -> impl Iterator<Item = &'a str> {
        self.expression.iter().filter_map(|it| {
            let target = it.pointer("/jump/target").or(it.pointer("/goto/target"));
            target?.as_str()
        })
    }

    /// Whether it looks for the netdev `interface`.
    fn names(&self, interface: &str) -> bool {
        let packet = Packet::by(interface);
        self.expression.iter().any(|it| {
            let Some(it) = it.get("match") else {
                return false;
            };
            let (Some(key), Some(value)) = (it.get("left"), it.get("right")) else {
                return false;
            };
            packet.names(key, value)
        })
    }

    /// Whether it gives packets another source.
    pub(super) fn translates(&self) -> bool {
        self.expression.iter().any(|it| {
            it.get("masquerade").is_some()
                || it.get("snat").is_some()
                || matches!(xt_target(it), Some("MASQUERADE" | "SNAT"))
        })
    }

    /// firewalld's zone for what comes by `interface`, if this rule says it.
    pub(super) fn zone_of(&self, interface: &str) -> Option<String> {
        if !self.names(interface) {
            return None;
        }
        let mut zones = self
            .targets()
            .filter_map(|it| it.strip_prefix("filter_FWD_"));
        zones.next().map(str::to_owned)
    }
}

/// The target of iptables in a rule, where `nft` has no words of its own for
/// it.
pub(super) fn xt_target(expression: &Value) -> Option<&str> {
    let xt = expression.get("xt")?;
    (text(xt, "type") == Some("target")).then(|| text(xt, "name"))?
}

/// The sets and maps of netdevs by their names: family, table, name, and
/// whether it is a map. `nft` lists them without elements where it is told to be
/// terse.
pub(super) fn sets_of_netdevs(listed: &Value) -> Vec<(&str, &str, &str, &'static str)> {
    let is_netdev = |it: &Value| matches!(it.as_str(), Some("ifname" | "iface_index"));
    let of_kind = |kind: &'static str| {
        objects(listed, kind).filter_map(move |set| {
            let key = set.get("type")?;
            let parts = key
                .as_array()
                .map_or(std::slice::from_ref(key), Vec::as_slice);
            let [family, table, name] = ["family", "table", "name"].map(|it| text(set, it));
            parts
                .iter()
                .any(is_netdev)
                .then_some((family?, table?, name?, kind))
        })
    };
    of_kind("set").chain(of_kind("map")).collect()
}

/// The elements of the one set or map that is `listed`.
pub(super) fn elements(listed: &Value) -> Vec<Value> {
    let sets = objects(listed, "set").chain(objects(listed, "map"));
    let elements = sets.filter_map(|set| set.get("elem")?.as_array());
    elements.flatten().cloned().collect()
}
