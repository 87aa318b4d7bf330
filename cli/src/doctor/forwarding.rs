//! What the host's kernel does with packets between guests and outside.

use super::Finding;
use super::facts::Facts;
use crate::config::Forward;
use crate::firewall::obstacle::Obstacle;
use crate::firewall::survey::{Dropping, Owner, Why};

const CHECK: &str = "forwarding";

/// Forwarding itself, strict reverse path filters, and rules of others that
/// drop.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = firewalls(facts);
    if facts.config.forward.is_routed() {
        findings.extend(ip_forward(facts));
        findings.extend(ways_out(facts));
        findings.extend(rp_filter(facts));
    }
    findings
}

/// Chains of others that drop. Docker's and firewalld's are opened by vmlan
/// itself, once it runs.
fn firewalls(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "firewall";
    let obstacles = match &facts.firewall {
        Ok(obstacles) => obstacles,
        Err(why) => {
            let what = format!("other firewalls were not looked at: {why}");
            let help = "run this as root, with the package nftables installed";
            return vec![Finding::unknown(CHECK, what).help(help)];
        }
    };
    let judge = |obstacle: &Obstacle| {
        let Dropping { owner, why, .. } = &obstacle.chain;
        let has_place = matches!(owner, Owner::Docker | Owner::Firewalld);
        // What passes an open network is what the host's own rules let through.
        let opened = has_place && *why == Why::Unaware && facts.config.forward != Forward::Open;
        if opened && facts.status.is_err() {
            let fine = format!("{}: `vmlan run` lets that through", obstacle.message());
            return Finding::fine(CHECK, fine);
        }
        let finding = if obstacle.is_certain() {
            Finding::obstacle(CHECK, obstacle.message())
        } else {
            Finding::unknown(CHECK, obstacle.message())
        };
        finding.help(obstacle.mend.clone())
    };
    let found: Vec<_> = obstacles.iter().map(judge).collect();
    if found.is_empty() && facts.config.forward.is_routed() {
        return vec![Finding::fine(CHECK, "no other firewall is in the way")];
    }
    found
}

fn ip_forward(facts: &Facts) -> Vec<Finding> {
    vec![match (facts.kernel.ip_forward, &facts.status) {
        (Some(true), _) => Finding::fine(CHECK, "the kernel forwards IPv4"),
        (Some(false), Err(_)) => Finding::fine(
            CHECK,
            "the kernel does not forward yet: `vmlan run` turns it on",
        ),
        (Some(false), Ok(_)) => Finding::obstacle(
            CHECK,
            "net.ipv4.ip_forward is 0: somebody has turned forwarding off, so nothing \
             leaves the host for guests",
        )
        .help(
            "`vmlan reload` turns it on again; see who turns it off: /etc/sysctl.conf, \
             /etc/sysctl.d",
        ),
        (None, _) => Finding::unknown(CHECK, "cannot read net.ipv4.ip_forward"),
    }]
}

/// The netdevs of the host's default routes.
fn defaults(facts: &Facts) -> Vec<&str> {
    let defaults = facts.routes.iter().filter(|it| it.to.prefix_len() == 0);
    let mut ways: Vec<_> = defaults.filter_map(|it| it.netdev.as_deref()).collect();
    ways.sort_unstable();
    ways.dedup();
    ways
}

/// Where guests get out by: whether a route leads there, and whether what comes
/// back by it is forwarded, as a netdev can be left out of `ip_forward`.
fn ways_out(facts: &Facts) -> Vec<Finding> {
    let defaults = defaults(facts);
    let uplink = facts.config.uplink.as_ref().map(|uplink| uplink.as_str());
    let mut findings = Vec::new();
    match uplink {
        // That it is not there is said elsewhere.
        Some(uplink) if facts.netdevs.iter().all(|it| it.name != uplink) => {}
        Some(uplink) if !defaults.contains(&uplink) => {
            let what = format!(
                "no default route leads out by {uplink}, the only way out: what guests send \
                 elsewhere is refused"
            );
            let help = match defaults.first() {
                Some(way) => format!("take {way} as `uplink`, or leave that out"),
                None => format!("`ip route add default via ROUTER dev {uplink}`"),
            };
            findings.push(Finding::warning(CHECK, what).help(help));
        }
        None if defaults.is_empty() => {
            let what = "the host has no default route: guests reach the host's own subnets alone";
            findings.push(Finding::warning(CHECK, what).help("`ip route add default via ROUTER`"));
        }
        _ => {}
    }
    if facts.kernel.ip_forward != Some(true) {
        return findings;
    }
    let ways = uplink.map_or(defaults, |uplink| vec![uplink]);
    let shut = |way: &&str| facts.kernel.not_forwarding.iter().any(|it| it == way);
    for way in ways.into_iter().filter(shut) {
        let what = format!(
            "net.ipv4.conf.{way}.forwarding is 0: what comes back to guests by {way} is dropped"
        );
        // A dot in a netdev's name would part the words of the sysctl's.
        let help = format!(
            "`sysctl net/ipv4/conf/{way}/forwarding=1`, and see who sets it: /etc/sysctl.d, or \
             IPv4Forwarding= of systemd-networkd"
        );
        findings.push(Finding::obstacle(CHECK, what).help(help));
    }
    findings
}

/// A strict filter drops an answer that comes in by another netdev than the
/// one that the route to its sender leads out of (`ip-sysctl.rst`, 1). The
/// larger of the values of `all` and of the netdev counts. Where there is one
/// way out, it does harm only if it has dropped something.
fn rp_filter(facts: &Facts) -> Option<Finding> {
    let value = |name: &str| {
        let all = &facts.kernel.rp_filter;
        let found = all.iter().find(|(netdev, _)| netdev == name);
        found.map_or(0, |(_, value)| *value)
    };
    let is_strict = |netdev: &str| value("all").max(value(netdev)) == 1;
    let ways = defaults(facts);
    let strict = ways.iter().find(|netdev| is_strict(netdev));
    let (strict, what) = match strict {
        Some(strict) if ways.len() > 1 => {
            let what = format!(
                "there are several ways out ({}), and the strict reverse path filter of {strict} \
                 drops answers that come by another one than the packet left by",
                ways.join(", ")
            );
            (vec![*strict], what)
        }
        _ if facts.kernel.rp_dropped == 0 => return None,
        _ => {
            let addresses = facts.addresses.iter().map(|it| it.netdev.as_str());
            let mut strict: Vec<_> = addresses
                .filter(|it| *it != "lo" && !facts.is_own(it) && is_strict(it))
                .collect();
            strict.dedup();
            if strict.is_empty() {
                return None;
            }
            let what = format!(
                "strict reverse path filters ({}) have dropped {} packets since the host started: \
                 they came by another netdev than the route to their sender leads out of",
                strict.join(", "),
                facts.kernel.rp_dropped
            );
            (strict, what)
        }
    };
    let commands = strict
        .iter()
        .map(|it| format!("`sysctl net/ipv4/conf/{it}/rp_filter=2`"));
    let commands: Vec<_> = commands.collect();
    let help = format!("{}, the loose one", commands.join(" and "));
    Some(Finding::warning("rp_filter", what).help(help))
}

#[cfg(test)]
mod tests {
    use super::super::facts::values::{address, facts, netdev, route, running};
    use super::super::{Level, forwarding};
    use crate::config::Forward;

    #[test]
    fn forwarding_that_somebody_turned_off_is_an_obstacle_to_a_running_network() {
        let mut facts = facts("");
        facts.config.forward = Forward::Nat;
        facts.kernel.ip_forward = Some(false);
        let levels: Vec<_> = forwarding::check(&facts).iter().map(|f| f.level).collect();
        assert_eq!(levels, [Level::Fine; 2]);
        facts.status = Ok(running());
        let found = forwarding::check(&facts);
        assert_eq!(found[1].level, Level::Obstacle);
        assert!(found[1].help.as_deref().unwrap().contains("`vmlan reload`"));
        facts.config.forward = Forward::Isolated;
        assert_eq!(forwarding::check(&facts), []);
    }

    #[test]
    fn a_strict_filter_matters_where_there_are_several_ways_out() {
        let mut facts = facts("");
        facts.config.forward = Forward::Route;
        facts.kernel.rp_filter = vec![("all".into(), 0), ("eth1".into(), 1)];
        facts.routes = vec![route("0.0.0.0/0", "eth0")];
        assert_eq!(forwarding::check(&facts).len(), 2);
        facts.routes.push(route("0.0.0.0/0", "eth1"));
        let found = forwarding::check(&facts);
        assert_eq!(found[2].level, Level::Warning);
        assert!(found[2].message.contains("filter of eth1"), "{found:?}");
        facts.kernel.rp_filter[0].1 = 2;
        assert_eq!(forwarding::check(&facts).len(), 2);
    }

    #[test]
    fn a_strict_filter_that_has_dropped_something_is_named() {
        let mut facts = facts("");
        facts.kernel.rp_filter = vec![("all".into(), 1), ("eth1".into(), 0)];
        let addresses = [("127.0.0.1/8", "lo"), ("10.1.0.5/24", "eth1")];
        facts.addresses = addresses.map(|(it, netdev)| address(it, netdev)).into();
        assert_eq!(forwarding::check(&facts).len(), 2);
        facts.kernel.rp_dropped = 3;
        let found = forwarding::check(&facts);
        assert!(
            found[2].message.contains("(eth1) have dropped 3 packets"),
            "{found:?}"
        );
        let help = found[2].help.as_deref().unwrap();
        assert!(help.contains("net/ipv4/conf/eth1/rp_filter=2"), "{help}");
        facts.kernel.rp_filter[0].1 = 0;
        assert_eq!(forwarding::check(&facts).len(), 2, "none is strict now");
    }

    #[test]
    fn a_way_out_that_leads_nowhere_or_lets_nothing_back_is_named() {
        let mut facts = facts("uplink = \"eth1\"\n");
        assert_eq!(
            forwarding::check(&facts).len(),
            2,
            "that it is not there is said"
        );
        facts.netdevs = vec![netdev("eth1")];
        let levels = |facts: &_| {
            let found = forwarding::check(facts);
            let ways = found.iter().skip(2);
            ways.map(|it| (it.level, it.help.clone().unwrap()))
                .collect::<Vec<_>>()
        };
        let (level, help) = levels(&facts).remove(0);
        assert_eq!(level, Level::Warning);
        assert!(help.contains("take eth0 as `uplink`"), "{help}");
        facts.routes.push(route("0.0.0.0/0", "eth1"));
        assert_eq!(levels(&facts), []);
        facts.kernel.not_forwarding = vec!["eth0".into(), "vnet0".into()];
        assert_eq!(levels(&facts), [], "nothing of guests comes by these");
        facts.config.uplink = None;
        let (level, help) = levels(&facts).remove(0);
        assert_eq!(level, Level::Obstacle);
        assert!(help.contains("net/ipv4/conf/eth0/forwarding=1"), "{help}");
        facts.kernel.ip_forward = Some(false);
        assert_eq!(levels(&facts), [], "that all is off is said once");
        facts.routes.clear();
        let (level, help) = levels(&facts).remove(0);
        assert_eq!(level, Level::Warning);
        assert!(help.contains("ip route add default"), "{help}");
    }
}
