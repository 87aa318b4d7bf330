//! What other firewalls do on this host, as values.
//!
//! nftables hands a packet to the base chains of all tables in turn: an accept
//! ends one chain only, a drop is for good. So no rule of ours can let through
//! what another table drops; that table has to. A survey finds the chains that
//! drop what none of their rules takes, and whose they are. It reads what `nft`
//! lists, which has iptables' rules too where iptables stands on nftables, and
//! asks `iptables-legacy` where it does not. Its parts:
//!
//! - [`listing`]: the chains and rules that are listed, [`legacy`]: those of
//!   `iptables-legacy` in the same form;
//! - [`packet`]: what is known of packets, and which keys of rules fit them;
//! - [`walk`]: what becomes of them in a chain.

mod legacy;
mod listing;
mod packet;
mod walk;

use super::rules::{FAMILY, PREFIX, table_name};
use super::tool::{Tool, ToolError};
use super::wanted::{Wanted, Way};
use listing::{Chain, Rule, elements, objects, sets_of_netdevs};
use packet::Packet;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use walk::{Drop, End, Rules, Sets};

pub(super) const NFT: Tool = Tool {
    program: "nft",
    package: "nftables",
};

/// Names the tables of iptables that stand in the kernel beside nftables.
const LEGACY_TABLES: &str = "/proc/thread-self/net/ip_tables_names";

/// What stands in the firewalls of this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Chains that drop what is wanted.
    pub(crate) drops: Vec<Dropping>,
    /// Where Docker leaves room for rules of others: its chain DOCKER-USER.
    pub(crate) docker_user: Option<Flavour>,
    /// The rules of firewalld, if it has any.
    pub(crate) firewalld: Option<Firewalld>,
    /// Programs that want the host to forward, by their rules; sorted.
    pub(crate) forwarders: Vec<String>,
    /// Chains and rules in the network's own table.
    pub(super) own: usize,
}

/// A chain that drops what none of its rules takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dropping {
    /// What passes it.
    pub(crate) hook: Hook,
    /// Family and name of its table, as `ip filter`.
    pub(crate) table: String,
    /// Its name.
    pub(crate) chain: String,
    /// Who made it.
    pub(crate) owner: Owner,
    /// Why it drops what the network wants let through.
    pub(crate) why: Why,
}

/// Why a chain drops what a network wants let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// No rule in it lets the network through. Where one does, for some of its
    /// packets, whoever wrote it knows what it is to do.
    Unaware,
    /// A rule drops what comes or goes by the network's interface, by name.
    Rule {
        /// Its chain, the base chain or one that that leads to.
        chain: String,
        /// The command that deletes it.
        delete: String,
    },
    /// It may: that hangs on a set or map by this name, which cannot be read.
    Unread(String),
}

/// Where in the host's stack a chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// What the host forwards.
    Forward,
    /// What is for the host itself.
    Input,
}

/// Who made a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Docker, which sets the policy of iptables' FORWARD.
    Docker,
    /// firewalld.
    Firewalld,
    /// ufw.
    Ufw,
    /// iptables, by whomever.
    Iptables(Flavour),
    /// nftables, by whomever.
    Nftables,
}

/// The two iptables, whose rules are separate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// The rules stand in nftables.
    Nft,
    /// In the kernel's older tables.
    Legacy,
}

impl Flavour {
    /// Its program, the one that changes these rules.
    pub(super) fn tool(self) -> Tool {
        Tool {
            program: match self {
                Self::Nft => "iptables-nft",
                Self::Legacy => "iptables-legacy",
            },
            package: "iptables",
        }
    }
}

/// The rules of firewalld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Firewalld {
    /// The zone that the network's interface is in, if it is in one.
    pub(crate) zone: Option<String>,
}

impl fmt::Display for Dropping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain {} of table {}", self.chain, self.table)?;
        match self.owner {
            Owner::Docker => f.write_str(" (Docker's)"),
            Owner::Firewalld => f.write_str(" (firewalld's)"),
            Owner::Ufw => f.write_str(" (ufw's)"),
            Owner::Iptables(Flavour::Legacy) => f.write_str(" (iptables-legacy)"),
            Owner::Iptables(Flavour::Nft) | Owner::Nftables => Ok(()),
        }
    }
}

impl Survey {
    /// Looks at the firewalls of this thread's network namespace, for `network`,
    /// and at what they do to what is `wanted`, if anything is.
    ///
    /// # Errors
    /// `nft` is not there, or may not list.
    pub(crate) async fn take(network: &str, wanted: Option<&Wanted>) -> Result<Self, ToolError> {
        // Sets may be large: those of addresses tell nothing.
        let listed = list(&["-j", "-t", "list", "ruleset"]).await?;
        let mut sets = Sets::new();
        for (family, table, name, kind) in sets_of_netdevs(&listed) {
            // One that has gone meanwhile is one that is not known.
            if let Ok(set) = list(&["-j", "list", kind, family, table, name]).await {
                let place = [family, table, name].map(str::to_owned);
                sets.insert(place.into(), elements(&set));
            }
        }
        let mut survey = Self::of(&listed, &sets, Flavour::Nft, network, wanted);
        let legacy = std::fs::read_to_string(LEGACY_TABLES).unwrap_or_default();
        if legacy.lines().any(|table| table == "filter") {
            let rules = Flavour::Legacy.tool().run(&["-S"], b"").await?;
            let listed = legacy::listed(&rules);
            let sets = Sets::new();
            survey.add(Self::of(&listed, &sets, Flavour::Legacy, network, wanted));
        }
        Ok(survey)
    }

    /// Reads what `nft -j list ruleset` says, with the elements of `sets`.
    /// iptables' rules in there are of `flavour`.
    fn of(
        listed: &Value,
        sets: &Sets,
        flavour: Flavour,
        network: &str,
        wanted: Option<&Wanted>,
    ) -> Self {
        let own = table_name(network);
        let mut survey = Self::default();
        let mut forwarders = BTreeSet::new();
        let rules: Vec<Rule<'_>> = objects(listed, "rule").filter_map(Rule::of).collect();
        let chains: Vec<Chain<'_>> = objects(listed, "chain").filter_map(Chain::of).collect();
        let by_chain = Rules::new(&rules, sets);
        let has_chain = |family: &str, table: &str, wanted: &dyn Fn(&str) -> bool| {
            let mut in_table = chains.iter().filter(|it| it.is_in(family, table));
            in_table.any(|it| wanted(it.name))
        };
        for chain in &chains {
            if chain.is_in(FAMILY, &own) {
                survey.own += 1;
                continue;
            }
            let (family, table) = (chain.family, chain.table);
            forwarders.extend(known_forwarder(table, chain.name));
            let (Some(hook), Some(wanted)) = (chain.hook(), wanted) else {
                continue;
            };
            if (hook, family, table) == (Hook::Forward, "ip", "filter")
                && by_chain.leads_to(chain, DOCKER_USER)
            {
                survey.docker_user = Some(flavour);
            }
            let Some(why) = why_dropped(&by_chain, chain, hook, flavour, wanted) else {
                continue;
            };
            let owner = match hook {
                _ if table == "firewalld" => Owner::Firewalld,
                _ if has_chain(family, table, &|it| it.starts_with("ufw-")) => Owner::Ufw,
                Hook::Forward
                    if survey.docker_user.is_some() && (family, table) == ("ip", "filter") =>
                {
                    Owner::Docker
                }
                _ if (family, table) == ("ip", "filter") => Owner::Iptables(flavour),
                _ => Owner::Nftables,
            };
            survey.drops.push(Dropping {
                hook,
                table: format!("{family} {table}"),
                chain: chain.name.to_owned(),
                owner,
                why,
            });
        }
        for rule in &rules {
            if (rule.family, rule.table) == (FAMILY, &own) {
                survey.own += 1;
            } else if rule.translates() {
                forwarders.insert(owner_of_translation(rule.table, rule.chain));
            }
        }
        if wanted.is_none() && has_chain("ip", "filter", &|it| it == DOCKER_USER) {
            survey.docker_user = Some(flavour);
        }
        let mut of_firewalld = rules.iter().filter(|rule| rule.table == "firewalld");
        if chains.iter().any(|chain| chain.table == "firewalld") {
            let zone =
                wanted.and_then(|it| of_firewalld.find_map(|rule| rule.zone_of(&it.interface)));
            survey.firewalld = Some(Firewalld { zone });
        }
        survey.forwarders = forwarders.into_iter().collect();
        survey
    }

    /// Adds what stands in the kernel's older tables.
    fn add(&mut self, legacy: Self) {
        self.drops.extend(legacy.drops);
        self.docker_user = self.docker_user.or(legacy.docker_user);
        self.forwarders.extend(legacy.forwarders);
        self.forwarders.sort();
        self.forwarders.dedup();
    }
}

async fn list(arguments: &[&str]) -> Result<Value, ToolError> {
    let text = NFT.run(arguments, b"").await?;
    serde_json::from_str(&text).map_err(|error| ToolError::Strange {
        command: NFT.command(arguments),
        why: error.to_string(),
    })
}

/// Why the base chain `chain`, at `hook`, drops what is `wanted`, if it does.
fn why_dropped(
    rules: &Rules<'_>,
    chain: &Chain<'_>,
    hook: Hook,
    flavour: Flavour,
    wanted: &Wanted,
) -> Option<Why> {
    let (own, uplink) = (wanted.interface.as_str(), wanted.way.uplink());
    let only_answers = matches!(wanted.way, Way::Nat { .. });
    let packets = match hook {
        Hook::Forward => vec![
            Packet::outward(own, uplink),
            Packet::inward(own, uplink, only_answers),
        ],
        Hook::Input => vec![Packet::to_host(own)],
    };
    let walks: Vec<_> = packets.iter().map(|it| rules.walk(chain, *it)).collect();
    // iptables' matches cannot be looked into: one for answers may be there.
    let lets_answers = only_answers && walks.iter().any(|(_, seen)| seen.lets_us);
    let certain = walks.iter().find_map(|(end, seen)| match end {
        End::Drop(_) if seen.lets_us => None,
        End::Drop(Drop {
            rule: Some((of, handle)),
            names: true,
        }) => Some(Why::Rule {
            chain: (*of).to_owned(),
            delete: match flavour {
                Flavour::Nft => {
                    let Chain { family, table, .. } = chain;
                    format!("nft delete rule {family} {table} {of} handle {handle}")
                }
                Flavour::Legacy => format!("{} -D {of} {handle}", flavour.tool().program),
            },
        }),
        End::Drop(_) if lets_answers => None,
        End::Drop(_) => Some(Why::Unaware),
        End::Accept | End::Return => None,
    });
    let mut unread = walks.iter().filter_map(|(_, seen)| seen.unread);
    certain.or_else(|| Some(Why::Unread(unread.next()?.to_owned())))
}

/// The chain that Docker has others put their rules in (its manual, "Packet
/// filtering and firewalls").
pub(super) const DOCKER_USER: &str = "DOCKER-USER";

/// The program that has a chain by this name, if it is one that forwards.
fn known_forwarder(table: &str, chain: &str) -> Option<String> {
    let known = if chain.starts_with("DOCKER") || table == "docker-bridges" {
        "Docker"
    } else if chain.starts_with("LIBVIRT_FW") || table == "libvirt_network" {
        "libvirt"
    } else if chain.starts_with("NETAVARK") || table == "netavark" {
        "Podman"
    } else {
        return None;
    };
    Some(known.to_owned())
}

fn owner_of_translation(table: &str, chain: &str) -> String {
    let of_vmlan = || table.strip_prefix(PREFIX).map(|it| format!("network {it}"));
    known_forwarder(table, chain)
        .or_else(of_vmlan)
        .unwrap_or_else(|| format!("chain {chain} of table {table}"))
}

#[cfg(test)]
mod tests;
