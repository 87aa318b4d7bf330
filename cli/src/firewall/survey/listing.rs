//! What `nft -j list ruleset` lists (libnftables-json(5)), read as far as a
//! survey wants it: chains and rules, and where one leads.

use super::Hook;
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
    expression: &'a [Value],
}

impl<'a> Rule<'a> {
    pub(super) fn of(object: &'a Value) -> Option<Self> {
        Some(Self {
            family: text(object, "family")?,
            table: text(object, "table")?,
            chain: text(object, "chain")?,
            expression: object.get("expr")?.as_array()?,
        })
    }

    pub(super) fn is_in(&self, chain: &Chain<'_>) -> bool {
        chain.is_in(self.family, self.table) && self.chain == chain.name
    }

    fn is_of(&self, base: &Chain<'_>, chain: &str) -> bool {
        base.is_in(self.family, self.table) && self.chain == chain
    }

    /// The chains that it leads to.
    fn targets(&self) -> impl Iterator<Item = &'a str> {
        self.expression.iter().filter_map(|it| {
            let target = it.pointer("/jump/target").or(it.pointer("/goto/target"));
            target?.as_str()
        })
    }

    /// Whether it drops whatever comes to it.
    pub(super) fn ends(&self) -> bool {
        let is_end = |it: &Value| {
            it.get("drop").is_some()
                || it.get("reject").is_some()
                || matches!(xt_target(it), Some("REJECT" | "DROP"))
        };
        let is_silent = |it: &Value| it.get("counter").is_some() || it.get("log").is_some();
        self.expression.last().is_some_and(is_end)
            && self.expression.iter().all(|it| is_silent(it) || is_end(it))
    }

    /// Whether it looks for the netdev `interface`: by its name, by a pattern, or
    /// in a set or map that stands in the rule.
    pub(super) fn names(&self, interface: &str) -> bool {
        self.expression.iter().any(|it| {
            let (key, named) = match it.get("vmap") {
                Some(map) => (map.get("key"), map.get("data")),
                None => (it.pointer("/match/left"), it.pointer("/match/right")),
            };
            let key = key.and_then(|it| it.pointer("/meta/key")?.as_str());
            matches!(key, Some("iif" | "iifname" | "oif" | "oifname"))
                && named.is_some_and(|it| has_netdev(it, interface))
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

/// The rules that packets in `base` may come by, in it and in the chains that
/// it leads to.
pub(super) fn passed<'a>(
    base: &Chain<'a>,
    rules: &'a [Rule<'a>],
) -> impl Iterator<Item = &'a Rule<'a>> {
    let mut reached = vec![base.name];
    let mut next = 0;
    while let Some(&chain) = reached.get(next) {
        next += 1;
        for rule in rules.iter().filter(|it| it.is_of(base, chain)) {
            let new = rule.targets().filter(|target| !reached.contains(target));
            let new: Vec<&str> = new.collect();
            reached.extend(new);
        }
    }
    let (family, table) = (base.family, base.table);
    let is_in = move |it: &&Rule<'_>| it.family == family && it.table == table;
    rules
        .iter()
        .filter(is_in)
        .filter(move |it| reached.contains(&it.chain))
}

/// Whether `named`, a name, pattern, set or map of netdevs, has `interface`.
fn has_netdev(named: &Value, interface: &str) -> bool {
    if let Some(name) = named.as_str() {
        return match name.strip_suffix('*') {
            Some(start) => interface.starts_with(start),
            None => name == interface,
        };
    }
    let elements = named.get("set").and_then(Value::as_array);
    elements.into_iter().flatten().any(|element| {
        // One of a map is a key with its value.
        let key = element.get(0).unwrap_or(element);
        key.as_str().is_some_and(|_| has_netdev(key, interface))
    })
}

/// The target of iptables in a rule, where `nft` has no words of its own for
/// it.
fn xt_target(expression: &Value) -> Option<&str> {
    let xt = expression.get("xt")?;
    (text(xt, "type") == Some("target")).then(|| text(xt, "name"))?
}
