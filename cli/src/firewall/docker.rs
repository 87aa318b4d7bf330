//! Docker, which has iptables drop what the host forwards, and DOCKER-USER for
//! the rules of others.
//!
//! The rules of a network carry its name as their comment, so that they are
//! found by whoever comes after a crash.

use super::survey::{DOCKER_USER, Flavour};
use super::tool::ToolError;
use super::wanted::{Wanted, Way};

/// How long `iptables` waits for others that change rules, in seconds.
const WAIT: &str = "5";

/// The rules that `wanted` needs in DOCKER-USER: all words of an `iptables`
/// command behind the chain's name.
pub(super) fn rules(wanted: &Wanted) -> Vec<Vec<String>> {
    let interface = wanted.interface.as_str();
    let (mut out, mut into) = (vec!["-i", interface], vec!["-o", interface]);
    if let Some(uplink) = wanted.way.uplink() {
        out.extend(["-o", uplink]);
        into.extend(["-i", uplink]);
    }
    match &wanted.way {
        Way::Nat { .. } => into.extend(["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"]),
        Way::Route { .. } => {}
        Way::Open | Way::Isolated => return Vec::new(),
    }
    let comment = comment(&wanted.network);
    let target = ["-m", "comment", "--comment", &comment, "-j", "ACCEPT"];
    [out, into]
        .into_iter()
        .map(|rule| {
            rule.iter()
                .chain(&target)
                .map(|word| (*word).to_owned())
                .collect()
        })
        .collect()
}

fn comment(network: &str) -> String {
    format!("vmlan:{network}")
}

/// Puts `rules` of `network` in DOCKER-USER and takes others of its out. Says
/// whether something was different.
///
/// # Errors
/// `iptables` fails.
pub(super) async fn set(
    flavour: Flavour,
    network: &str,
    rules: &[Vec<String>],
) -> Result<bool, ToolError> {
    let iptables = flavour.tool();
    let listed = iptables.run(&["-w", WAIT, "-S", DOCKER_USER], b"").await?;
    let there = of_network(&listed, network);
    let is_there = |rule: &Vec<String>| there.iter().any(|it| is_same(it, rule));
    if there.len() == rules.len() && rules.iter().all(is_there) {
        return Ok(false);
    }
    for rule in there {
        change(flavour, "-D", &rule).await?;
    }
    // Each goes in front of the one before.
    for rule in rules.iter().rev() {
        change(flavour, "-I", rule).await?;
    }
    Ok(true)
}

async fn change(flavour: Flavour, action: &str, rule: &[String]) -> Result<(), ToolError> {
    let mut arguments = vec!["-w", WAIT, action, DOCKER_USER];
    arguments.extend(rule.iter().map(String::as_str));
    flavour.tool().run(&arguments, b"").await.map(drop)
}

/// The rules of `network` in what `iptables -S DOCKER-USER` lists, without the
/// chain.
fn of_network(listed: &str, network: &str) -> Vec<Vec<String>> {
    let comment = comment(network);
    let rule = |line: &str| {
        let rule = line.strip_prefix("-A DOCKER-USER ")?;
        // None of our words has a space; those of others may, in quotes.
        let words = rule
            .split(' ')
            .map(|word| word.trim_matches('"').to_owned());
        let words: Vec<String> = words.collect();
        words.contains(&comment).then_some(words)
    };
    listed.lines().filter_map(rule).collect()
}

/// `iptables` lists the words of a rule in an order of its own.
fn is_same(one: &[String], other: &[String]) -> bool {
    let sorted = |rule: &[String]| {
        let mut words = rule.to_vec();
        words.sort();
        words
    };
    sorted(one) == sorted(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(uplink: Option<&str>) -> Wanted {
        Wanted {
            network: "lab".to_owned(),
            interface: "vmlan0".to_owned(),
            way: Way::Route {
                subnet: "10.0.0.0/24".parse().unwrap(),
                uplink: uplink.map(str::to_owned),
            },
            former: Vec::new(),
            services: Vec::new(),
        }
    }

    #[test]
    fn a_listed_rule_is_known_again_and_those_of_others_are_not() {
        let listed = "\
-N DOCKER-USER
-A DOCKER-USER -i eth0 -o vmlan0 -m comment --comment \"vmlan:lab\" -j ACCEPT
-A DOCKER-USER -i vmlan0 -o eth0 -m comment --comment vmlan:lab -j ACCEPT
-A DOCKER-USER -i vmlan1 -m comment --comment vmlan:lab2 -j ACCEPT
-A DOCKER-USER -m comment --comment \"not of vmlan\" -j RETURN
";
        let there = of_network(listed, "lab");
        assert_eq!(there.len(), 2);
        let rules = rules(&wanted(Some("eth0")));
        assert!(is_same(&there[0], &rules[1]), "{there:?}");
        assert!(is_same(&there[1], &rules[0]), "{there:?}");
        assert!(!is_same(&there[1], &super::rules(&wanted(None))[0]));
    }

    #[test]
    fn what_is_not_to_be_let_through_has_no_rule() {
        for way in [Way::Open, Way::Isolated] {
            let wanted = Wanted {
                way,
                ..wanted(None)
            };
            assert!(rules(&wanted).is_empty());
        }
    }
}
