//! What becomes of packets in a chain.
//!
//! Each rule fits the packets, or does not, or fits some of them, as a rule may
//! look at addresses and ports: those go on either way. So what is found out is
//! what happens to packets of which nothing is known but their netdevs: whether
//! they are dropped, and whether a rule that lets any of them through, or drops
//! them, names the network's own interface.

use super::listing::{Chain, Rule, xt_target};
use super::packet::{Packet, Truth};
use serde_json::Value;
use std::collections::BTreeMap;

/// `NFT_JUMP_STACK_SIZE` (net/netfilter/nf_tables.h): no chain is deeper.
const DEEPEST: usize = 16;

/// Rules that are looked at for one kind of packets, at most: a chain is looked
/// at again for each rule that leads to it.
const MOST: usize = 100_000;

/// The elements of named sets and maps, by family, table and name.
pub(super) type Sets = BTreeMap<(String, String, String), Vec<Value>>;

/// All rules, by family, table and chain.
pub(super) struct Rules<'a> {
    by_chain: BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a Rule<'a>>>,
    sets: &'a Sets,
}

/// What a chain does with packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End<'a> {
    Accept,
    Drop(Drop<'a>),
    /// They go on behind the rule that led here.
    Return,
}

/// What drops packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drop<'a> {
    /// The chain and the handle of the rule; [`None`]: a chain's policy.
    pub(super) rule: Option<(&'a str, u64)>,
    /// It, or a rule that led there, names the network's interface.
    pub(super) names: bool,
}

/// What was seen on the way.
#[derive(Debug, Default)]
pub(super) struct Seen<'a> {
    /// A rule that lets some through, or leads elsewhere, names the network's
    /// interface.
    pub(super) lets_us: bool,
    /// A set or map that cannot be read, by which packets may be dropped.
    pub(super) unread: Option<&'a str>,
    rules: usize,
}

/// What a rule does with those that it fits.
enum Verdict<'a> {
    Accept,
    Drop,
    Return,
    Jump(&'a str),
    Goto(&'a str),
}

/// A verdict with the packets that come to it.
struct Case<'a> {
    fits: Truth,
    names: bool,
    unread: Option<&'a str>,
    verdict: Verdict<'a>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(rules: &'a [Rule<'a>], sets: &'a Sets) -> Self {
        let mut by_chain: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for rule in rules {
            let key = (rule.family, rule.table, rule.chain);
            by_chain.entry(key).or_default().push(rule);
        }
        Self { by_chain, sets }
    }

    /// What the base chain `chain` does with `packet` in the end, and what was
    /// seen.
    pub(super) fn walk(&self, chain: &Chain<'a>, packet: Packet<'_>) -> (End<'a>, Seen<'a>) {
        let mut seen = Seen::default();
        let place = (chain.family, chain.table, chain.name);
        let end = match self.pass(place, packet, &mut seen, 0) {
            End::Return if chain.policy == Some("drop") => End::Drop(Drop {
                rule: None,
                names: false,
            }),
            End::Return => End::Accept,
            end => end,
        };
        (end, seen)
    }

    /// Whether rules of the base chain `base` lead to the chain `name`, whatever
    /// the packets are.
    pub(super) fn leads_to(&self, base: &Chain<'a>, name: &str) -> bool {
        let mut reached = vec![base.name];
        let mut next = 0;
        while let Some(&chain) = reached.get(next) {
            next += 1;
            let rules = self.by_chain.get(&(base.family, base.table, chain));
            for target in rules.into_iter().flatten().flat_map(|it| it.targets()) {
                if !reached.contains(&target) {
                    reached.push(target);
                }
            }
        }
        reached.contains(&name)
    }

    fn pass(
        &self,
        place: (&'a str, &'a str, &'a str),
        packet: Packet<'_>,
        seen: &mut Seen<'a>,
        depth: usize,
    ) -> End<'a> {
        let (family, table, chain) = place;
        // Some may be back where they came from, for other rules to judge.
        let mut some_returned = false;
        for rule in self.by_chain.get(&place).into_iter().flatten() {
            seen.rules += 1;
            if seen.rules > MOST || depth > DEEPEST {
                return End::Return;
            }
            for case in self.cases(rule, packet) {
                let is_sure = case.fits == Truth::Yes;
                let end = match case.verdict {
                    Verdict::Accept => {
                        seen.lets_us |= case.names;
                        End::Accept
                    }
                    Verdict::Drop => End::Drop(Drop {
                        rule: Some((chain, rule.handle)),
                        names: case.names,
                    }),
                    Verdict::Return if is_sure => return End::Return,
                    Verdict::Return => {
                        some_returned = depth > 0;
                        continue;
                    }
                    Verdict::Jump(to) | Verdict::Goto(to) => {
                        match self.pass((family, table, to), packet, seen, depth + 1) {
                            End::Drop(drop) => End::Drop(Drop {
                                names: drop.names || case.names,
                                ..drop
                            }),
                            End::Accept => {
                                seen.lets_us |= case.names;
                                End::Accept
                            }
                            End::Return if is_sure && matches!(case.verdict, Verdict::Goto(_)) => {
                                return End::Return;
                            }
                            End::Return => continue,
                        }
                    }
                };
                if is_sure {
                    let is_drop = matches!(end, End::Drop(_));
                    return if is_drop && some_returned {
                        End::Return
                    } else {
                        end
                    };
                }
                if let (End::Drop(_), Some(set)) = (end, case.unread) {
                    seen.unread = Some(set);
                }
            }
        }
        End::Return
    }

    /// What `rule` does with `packet`; nothing where it does not fit.
    fn cases(&self, rule: &'a Rule<'a>, packet: Packet<'_>) -> Vec<Case<'a>> {
        let (mut fits, mut names, mut unread) = (Truth::Yes, false, None);
        let mut cases = Vec::new();
        for statement in rule.statements() {
            if let Some(it) = statement.get("match") {
                let (Some(key), Some(value)) = (it.get("left"), it.get("right")) else {
                    fits = fits.and(Truth::Perhaps);
                    continue;
                };
                let is_not = it.get("op").and_then(Value::as_str) == Some("!=");
                let mut holds = Truth::No;
                match self.values(rule, value) {
                    Ok(values) => {
                        for value in values {
                            names |= !is_not && packet.names(key, value);
                            holds = holds.or(packet.has(key, value));
                        }
                    }
                    Err(set) => {
                        holds = packet.unread(key);
                        unread = unread.or((holds == Truth::Perhaps).then_some(set));
                    }
                }
                fits = fits.and(if is_not { !holds } else { holds });
            } else if let Some(map) = statement.get("vmap") {
                let (Some(key), Some(data)) = (map.get("key"), map.get("data")) else {
                    continue;
                };
                let elements = match self.values(rule, data) {
                    Ok(elements) => elements,
                    Err(set) => {
                        // Any of its verdicts may be a drop.
                        cases.push(Case {
                            fits: fits.and(packet.unread(key)),
                            names: false,
                            unread: Some(set),
                            verdict: Verdict::Drop,
                        });
                        continue;
                    }
                };
                for element in elements {
                    let (Some(value), Some(then)) = (element.get(0), element.get(1)) else {
                        continue;
                    };
                    if let Some(verdict) = verdict(then) {
                        cases.push(Case {
                            fits: fits.and(packet.has(key, value)),
                            names: names || packet.names(key, value),
                            unread,
                            verdict,
                        });
                    }
                }
            } else if let Some(verdict) = verdict(statement) {
                cases.push(Case {
                    fits,
                    names,
                    unread,
                    verdict,
                });
            } else if !is_silent(statement) {
                fits = fits.and(Truth::Perhaps);
            }
        }
        cases.retain(|case| case.fits != Truth::No);
        cases
    }

    /// What stands for `value`: itself, the elements of a set in the rule, or of
    /// one that is named.
    ///
    /// # Errors
    /// The name of a set whose elements are not known.
    fn values(&self, rule: &Rule<'a>, value: &'a Value) -> Result<Vec<&'a Value>, &'a str> {
        if let Some(set) = value.get("set").and_then(Value::as_array) {
            return Ok(set.iter().collect());
        }
        let Some(name) = value.as_str().and_then(|it| it.strip_prefix('@')) else {
            return Ok(vec![value]);
        };
        let place = [rule.family, rule.table, name].map(str::to_owned);
        let elements = self.sets.get(&place.into());
        elements.map(|it| it.iter().collect()).ok_or(name)
    }
}

fn verdict(statement: &Value) -> Option<Verdict<'_>> {
    let target = |key| statement.get(key)?.get("target")?.as_str();
    if let Some(target) = target("jump") {
        return Some(Verdict::Jump(target));
    }
    if let Some(target) = target("goto") {
        return Some(Verdict::Goto(target));
    }
    let has = |key| statement.get(key).is_some();
    if has("accept") {
        Some(Verdict::Accept)
    } else if has("drop") || has("reject") {
        Some(Verdict::Drop)
    } else if has("return") {
        Some(Verdict::Return)
    } else {
        match xt_target(statement)? {
            "REJECT" | "DROP" => Some(Verdict::Drop),
            _ => None,
        }
    }
}

/// Whether a statement lets the next one happen whatever the packet is.
fn is_silent(statement: &Value) -> bool {
    ["counter", "log", "mangle", "set", "flow", "notrack"]
        .iter()
        .any(|it| statement.get(it).is_some())
        || xt_target(statement).is_some()
}
