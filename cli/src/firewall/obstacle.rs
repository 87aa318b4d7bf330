//! What still stands in a network's way, and what a person can do about it.

use super::survey::{Dropping, Flavour, Hook, Owner, Survey};
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

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain, what, mend } = self;
        write!(f, "{chain} drops {what} (help: {mend})")
    }
}

/// What stands in the way of `wanted`. A chain of which a rule names the
/// network's interface is none: whoever wrote it knows what it is to do.
pub(crate) fn obstacles(survey: &Survey, wanted: &Wanted) -> Vec<Obstacle> {
    let unaware = survey.drops.iter().filter(|chain| !chain.knows_us);
    unaware
        .filter_map(|chain| match chain.hook {
            Hook::Forward if wanted.way.is_routed() => Some(Obstacle {
                chain: chain.clone(),
                what: format!("what the host forwards from and to {}", wanted.interface),
                mend: forward_mend(chain, wanted),
            }),
            Hook::Input if !wanted.services.is_empty() => {
                let names: Vec<_> = wanted.services.iter().map(|it| it.name()).collect();
                Some(Obstacle {
                    chain: chain.clone(),
                    what: format!("what guests ask of this host: {}", names.join(", ")),
                    mend: input_mend(chain, wanted),
                })
            }
            Hook::Forward | Hook::Input => None,
        })
        .collect()
}

fn forward_mend(chain: &Dropping, wanted: &Wanted) -> String {
    let interface = &wanted.interface;
    let only_nat = matches!(wanted.way, Way::Nat { .. });
    match chain.owner {
        Owner::Firewalld => zone_mend(interface),
        Owner::Ufw if only_nat => format!("`ufw route allow in on {interface}`"),
        Owner::Ufw => {
            format!("`ufw route allow in on {interface}` and `ufw route allow out on {interface}`")
        }
        Owner::Docker => iptables_mend("DOCKER-USER", interface, only_nat),
        Owner::Iptables(_) => iptables_mend(&chain.chain, interface, only_nat),
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

fn iptables_mend(chain: &str, interface: &str, only_nat: bool) -> String {
    let back = if only_nat {
        "-m conntrack --ctstate RELATED,ESTABLISHED "
    } else {
        ""
    };
    format!(
        "`iptables -I {chain} -i {interface} -j ACCEPT` and `iptables -I {chain} -o {interface} \
         {back}-j ACCEPT`"
    )
}

fn input_mend(chain: &Dropping, wanted: &Wanted) -> String {
    let interface = &wanted.interface;
    let each = |command: &dyn Fn(&str, u16) -> String| {
        let doors = wanted.services.iter().flat_map(|it| it.doors());
        let commands = doors.map(|(protocol, port)| command(protocol, *port));
        let commands: Vec<_> = commands.map(|it| format!("`{it}`")).collect();
        commands.join(" and ")
    };
    match chain.owner {
        Owner::Firewalld => zone_mend(interface),
        Owner::Ufw => each(&|protocol, port| {
            format!("ufw allow in on {interface} to any port {port} proto {protocol}")
        }),
        Owner::Docker | Owner::Iptables(Flavour::Nft | Flavour::Legacy) => {
            each(&|protocol, port| {
                let chain = &chain.chain;
                format!("iptables -I {chain} -i {interface} -p {protocol} --dport {port} -j ACCEPT")
            })
        }
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

fn zone_mend(interface: &str) -> String {
    format!(
        "put it in a zone that lets it through: `firewall-cmd --zone=trusted --add-interface={interface}`"
    )
}
