//! What still stands in a network's way, and what a person can do about it.

use super::survey::{Dropping, Flavour, Hook, Owner, Survey, Why};
use super::wanted::{Wanted, Way};
use std::fmt;

/// A chain of another firewall that drops what the network wants let through.
/// Shown, it is one line with the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The chain.
    pub(crate) chain: Dropping,
    /// What it drops.
    pub(crate) what: String,
    /// How to mend it: commands, or words.
    pub(crate) mend: String,
}

impl Obstacle {
    /// What is in the way, without the mend.
    pub(crate) fn message(&self) -> String {
        let Self { chain, what, .. } = self;
        match &chain.why {
            Why::Unaware => format!("{chain} drops {what}"),
            Why::Rule { chain: of, .. } if *of == chain.chain => {
                format!("{chain} drops {what}, by a rule for that interface")
            }
            Why::Rule { chain: of, .. } => {
                format!("{chain} drops {what}, by a rule for that interface in chain {of}")
            }
            Why::Unread(set) => {
                format!("{chain} may drop {what}: its set @{set} cannot be read")
            }
        }
    }

    /// Whether it is known to be in the way.
    pub(crate) fn is_certain(&self) -> bool {
        !matches!(self.chain.why, Why::Unread(_))
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (help: {})", self.message(), self.mend)
    }
}

/// What stands in the way of `wanted`.
pub(crate) fn obstacles(survey: &Survey, wanted: &Wanted) -> Vec<Obstacle> {
    let zone = survey.firewalld.as_ref().and_then(|it| it.zone.as_deref());
    let found = |chain: &Dropping, what: String, let_through: &dyn Fn() -> String| Obstacle {
        chain: chain.clone(),
        what,
        mend: rule_mend(chain, wanted, zone).unwrap_or_else(let_through),
    };
    let drops = survey.drops.iter();
    drops
        .filter_map(|chain| match chain.hook {
            Hook::Forward if wanted.way.is_routed() => Some(found(
                chain,
                format!("what the host forwards from and to {}", wanted.interface),
                &|| forward_mend(chain, wanted, zone),
            )),
            Hook::Input if !wanted.services.is_empty() => {
                let names: Vec<_> = wanted.services.iter().map(|it| it.name()).collect();
                let what = format!("what guests ask of this host: {}", names.join(", "));
                Some(found(chain, what, &|| input_mend(chain, wanted)))
            }
            Hook::Forward | Hook::Input => None,
        })
        .collect()
}

/// How to mend what a rule for the network's interface does, or a set that
/// cannot be read.
fn rule_mend(chain: &Dropping, wanted: &Wanted, zone: Option<&str>) -> Option<String> {
    let Dropping {
        table, owner, why, ..
    } = chain;
    match (why, owner) {
        (Why::Unaware, _) => None,
        (Why::Unread(set), _) => Some(format!(
            "run this as root, or look whether {} is in it: `nft list set {table} {set}`",
            wanted.interface
        )),
        (Why::Rule { .. }, Owner::Firewalld) => Some(firewalld_mend(wanted, zone)),
        (Why::Rule { .. }, Owner::Ufw) => Some(
            "`ufw status numbered` shows the rule that denies it, `ufw delete NUMBER` takes it away"
                .to_owned(),
        ),
        (Why::Rule { delete, .. }, _) => Some(format!(
            "`{delete}`, and take the rule out of the file that makes it"
        )),
    }
}

fn forward_mend(chain: &Dropping, wanted: &Wanted, zone: Option<&str>) -> String {
    let interface = &wanted.interface;
    let only_nat = matches!(wanted.way, Way::Nat { .. });
    match chain.owner {
        Owner::Firewalld => firewalld_mend(wanted, zone),
        Owner::Ufw if only_nat => format!("`ufw route allow in on {interface}`"),
        Owner::Ufw => {
            format!("`ufw route allow in on {interface}` and `ufw route allow out on {interface}`")
        }
        Owner::Docker => iptables_mend("iptables -I DOCKER-USER", interface, only_nat),
        Owner::Iptables(flavour) => {
            iptables_mend(&iptables_insert(flavour, &chain.chain), interface, only_nat)
        }
        Owner::Nftables => {
            let (insert, back) = (insert(chain), if only_nat { RELATED } else { "" });
            format!(
                "`{insert} iifname {interface} accept` and `{insert} oifname {interface} \
                 {back}accept`, and the same in the file that makes this table"
            )
        }
    }
}

const RELATED: &str = "ct state established,related ";

/// The start of a command for those who have chosen one iptables for `iptables`.
fn iptables_insert(flavour: Flavour, chain: &str) -> String {
    match flavour {
        Flavour::Nft => format!("iptables -I {chain}"),
        Flavour::Legacy => format!("iptables-legacy -I {chain}"),
    }
}

fn iptables_mend(insert: &str, interface: &str, only_nat: bool) -> String {
    let back = if only_nat {
        "-m conntrack --ctstate RELATED,ESTABLISHED "
    } else {
        ""
    };
    format!("`{insert} -i {interface} -j ACCEPT` and `{insert} -o {interface} {back}-j ACCEPT`")
}

fn input_mend(chain: &Dropping, wanted: &Wanted) -> String {
    let interface = &wanted.interface;
    let each = |command: &dyn Fn(&str, u16) -> String| {
        let doors = wanted.services.iter().flat_map(|it| it.doors());
        let commands = doors.map(|(protocol, port)| command(protocol, *port));
        let commands: Vec<_> = commands.map(|it| format!("`{it}`")).collect();
        commands.join(" and ")
    };
    let iptables = |flavour| {
        let insert = iptables_insert(flavour, &chain.chain);
        each(&|protocol, port| {
            format!("{insert} -i {interface} -p {protocol} --dport {port} -j ACCEPT")
        })
    };
    match chain.owner {
        Owner::Firewalld => firewalld_mend(wanted, None),
        Owner::Ufw => each(&|protocol, port| {
            format!("ufw allow in on {interface} to any port {port} proto {protocol}")
        }),
        Owner::Docker => iptables(Flavour::Nft),
        Owner::Iptables(flavour) => iptables(flavour),
        Owner::Nftables => each(&|protocol, port| {
            format!(
                "{} iifname {interface} {protocol} dport {port} accept",
                insert(chain)
            )
        }),
    }
}

fn insert(chain: &Dropping) -> String {
    format!("nft insert rule {} {}", chain.table, chain.chain)
}

/// A zone for the interface, which is in `zone` now. That one lets guests out,
/// but for others to reach them takes a policy.
fn firewalld_mend(wanted: &Wanted, zone: Option<&str>) -> String {
    let interface = &wanted.interface;
    match zone {
        Some(zone @ "trusted") if !matches!(wanted.way, Way::Nat { .. }) => {
            let policy = format!("firewall-cmd --permanent --policy to-{interface}");
            format!(
                "a policy lets others reach guests: `firewall-cmd --permanent --new-policy \
                 to-{interface}`, `{policy} --set-target ACCEPT`, `{policy} --add-ingress-zone \
                 ANY`, `{policy} --add-egress-zone {zone}` and `firewall-cmd --reload`"
            )
        }
        _ => format!(
            "put it in a zone that lets it through: `firewall-cmd --zone=trusted \
             --change-interface={interface}`, for good with --permanent"
        ),
    }
}
