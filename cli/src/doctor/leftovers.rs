//! What a run that was killed has left on the host.

use super::Finding;
use super::facts::Facts;
use crate::firewall;
use crate::host::{forwarding, uplink};
use std::path::Path;

/// What a run that was killed has left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Leftovers {
    /// The NIC whose addresses went with it, and these addresses.
    uplink: Option<(String, Vec<String>)>,
    /// Rules of the firewall may be there still.
    rules: bool,
    /// The host may forward since.
    forwarding: bool,
}

impl Leftovers {
    /// Those in `run`, the folder RUN/NAME of a network that is not served.
    pub(super) fn find(run: &Path) -> Self {
        Self {
            uplink: uplink::left(run),
            rules: run.join(firewall::RECORD).exists(),
            forwarding: run.join(forwarding::RECORD).exists(),
        }
    }
}

/// Addresses that the host lacks, and rules and settings that nobody needs.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let name = &facts.config.name;
    let mut findings = Vec::new();
    let left = &facts.leftovers;
    if let Some((nic, addresses)) = &left.uplink {
        let what = format!(
            "the last run was killed while it had the addresses of {nic}: the host is without {}",
            addresses.join(", ")
        );
        let help = format!("`vmlan uplink restore --network {name}`, or start it again");
        findings.push(Finding::obstacle("uplink", what).help(help));
    }
    let table = firewall::table_name(name.as_str());
    let kept: Vec<_> = [
        (left.rules, format!("the nftables table {table}")),
        (left.forwarding, "net.ipv4.ip_forward = 1".to_owned()),
    ]
    .into_iter()
    .filter_map(|(is_left, what)| is_left.then_some(what))
    .collect();
    if !kept.is_empty() {
        let what = format!(
            "the last run was killed, and this may be there still: {}",
            kept.join(", ")
        );
        findings.push(
            Finding::warning("leftovers", what)
                .help("the next `vmlan run` takes it over, and away at its end"),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::facts::tests::facts;
    use super::*;
    use std::fs;

    #[test]
    fn what_a_killed_run_has_left_is_named_with_what_takes_it_away() {
        let mut facts = facts("");
        assert_eq!(check(&facts), []);
        facts.leftovers = Leftovers {
            uplink: Some(("eth0".into(), vec!["10.1.0.5/24".into()])),
            rules: true,
            forwarding: true,
        };
        let found = check(&facts);
        let levels: Vec<_> = found.iter().map(|it| it.level).collect();
        assert_eq!(levels, [Level::Obstacle, Level::Warning]);
        assert!(found[0].message.ends_with("without 10.1.0.5/24"));
        let help = found[0].help.as_deref().unwrap();
        assert!(help.contains("vmlan uplink restore --network default"));
        assert!(found[1].message.contains("vmlan_default, net.ipv4"));
    }

    #[test]
    fn records_of_a_run_say_what_is_left() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(Leftovers::find(run.path()), Leftovers::default());
        fs::write(run.path().join("firewall.toml"), "").unwrap();
        fs::write(run.path().join("uplink.toml"), "of another boot").unwrap();
        let left = Leftovers::find(run.path());
        assert!(left.rules && !left.forwarding && left.uplink.is_none());
    }
}
