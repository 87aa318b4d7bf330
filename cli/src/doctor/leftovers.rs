//! What runs that were killed have left on the host.

use super::Finding;
use super::facts::Facts;
use crate::firewall;

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
    let mut kept = Vec::new();
    if left.rules {
        kept.push(format!("the nftables table {table}"));
    }
    if left.forwarding {
        kept.push("net.ipv4.ip_forward = 1".to_owned());
    }
    let netdevs = left.netdevs.iter();
    kept.extend(netdevs.map(|it| format!("sysctls that keep the host off {it}")));
    if !kept.is_empty() {
        let what = format!(
            "the last run was killed, and this may be there still: {}",
            kept.join(", ")
        );
        let help = format!(
            "`vmlan cleanup --network {name}` takes it away, or the next `vmlan run` takes it over"
        );
        findings.push(Finding::warning("leftovers", what).help(help));
    }
    for other in &facts.left_by_others {
        let what = format!("network {other} was killed, and has left something on this host");
        let help = format!("`vmlan cleanup --network {other}`, or start it again");
        findings.push(Finding::warning("leftovers", what).help(help));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::facts::values::facts;
    use super::*;
    use crate::daemon::leftovers::Leftovers;

    #[test]
    fn what_a_killed_run_has_left_is_named_with_what_takes_it_away() {
        let mut facts = facts("");
        assert_eq!(check(&facts), []);
        facts.leftovers = Leftovers {
            uplink: Some(("eth0".into(), vec!["10.1.0.5/24".into()])),
            rules: true,
            forwarding: true,
            netdevs: vec!["eth1".into()],
        };
        facts.left_by_others = vec!["lab".into()];
        let found = check(&facts);
        let levels: Vec<_> = found.iter().map(|it| it.level).collect();
        assert_eq!(levels, [Level::Obstacle, Level::Warning, Level::Warning]);
        let helps: Vec<_> = found.iter().flat_map(|it| &it.help).collect();
        assert!(found[0].message.ends_with("without 10.1.0.5/24"));
        assert!(helps[0].contains("vmlan uplink restore --network default"));
        let kept = "vmlan_default, net.ipv4.ip_forward = 1, sysctls that keep the host off eth1";
        assert!(found[1].message.ends_with(kept), "{found:?}");
        assert!(helps[1].contains("`vmlan cleanup --network default`"));
        assert!(helps[2].contains("`vmlan cleanup --network lab`"));
    }
}
