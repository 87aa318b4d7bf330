//! With real `nft` and `iptables`, each in a namespace of its own.

use super::super::docker;
use super::super::obstacle::obstacles;
use super::super::trial;
use super::super::wanted::{Service, Wanted, Way};
use super::*;
use crate::config::Nat;
use crate::host::netns::block_on_in_new_netns;
use std::process::Command;

/// Runs `script` in the caller's namespace.
fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{script}: {said} (has tests/install.sh run?)"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What `look` gives where `script` was run before.
fn after<T: Send>(script: &'static str, look: impl AsyncFnOnce(Survey) -> T + Send) -> T {
    block_on_in_new_netns(async || {
        sh(script);
        look(taken().await).await
    })
}

async fn taken() -> Survey {
    Survey::take("lab", Some(&wanted())).await.unwrap()
}

fn wanted() -> Wanted {
    Wanted {
        network: "lab".to_owned(),
        interface: "vmlan0".to_owned(),
        way: Way::Nat {
            subnet: "10.0.0.0/24".parse().unwrap(),
            uplink: None,
            nat: Nat::default(),
        },
        former: Vec::new(),
        services: vec![Service::Tftp],
    }
}

/// What dockerd 20.10 makes of iptables.
const DOCKER: &str = "
    ipt -P FORWARD DROP; ipt -N DOCKER; ipt -N DOCKER-USER; ipt -A DOCKER-USER -j RETURN
    ipt -A FORWARD -j DOCKER-USER; ipt -A FORWARD -o docker0 -j DOCKER
    ipt -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE";

#[test]
fn an_empty_host_drops_nothing() {
    assert_eq!(after("true", async |survey| survey), Survey::default());
}

#[test]
fn docker_drops_until_its_chain_has_our_rules_which_go_without_a_trace() {
    for (program, flavour) in [
        ("iptables-nft", Flavour::Nft),
        ("iptables-legacy", Flavour::Legacy),
    ] {
        block_on_in_new_netns(async || {
            let list = format!("{program} -S; {program} -t nat -S");
            sh(&format!("ipt() {{ {program} \"$@\"; }}; {DOCKER}"));
            let before = sh(&list);
            let survey = taken().await;
            assert_eq!(survey.docker_user, Some(flavour));
            assert_eq!(survey.drops.len(), 1, "{survey:?}");
            assert_eq!(survey.drops[0].owner, Owner::Docker);
            assert_eq!(obstacles(&survey, &wanted()).len(), 1);

            let rules = docker::rules(&wanted());
            assert!(docker::set(flavour, "lab", &rules).await.unwrap());
            assert!(!docker::set(flavour, "lab", &rules).await.unwrap());
            let survey = taken().await;
            assert_eq!(survey.drops, [], "it knows us");
            assert!(obstacles(&survey, &wanted()).is_empty());
            assert!(survey.forwarders.contains(&"Docker".to_owned()));

            assert!(docker::set(flavour, "lab", &[]).await.unwrap());
            assert_eq!(sh(&list), before);
        });
    }
}

#[test]
fn a_policy_and_a_last_rule_drop_alike() {
    let drops = after(
        "nft 'table inet own { chain in { type filter hook input priority 0; policy drop;
             tcp dport 22 accept; }
           chain forwarded { type filter hook forward priority 0; ct state established accept;
             counter reject; }
 }
         table inet lax { chain in { type filter hook input priority 0; tcp dport 1 drop; }
           chain out { type filter hook output priority 0; drop; }
 }
         table ip6 other { chain forwarded { type filter hook forward priority 0; drop; }
 }'",
        async |survey| survey.drops,
    );
    let found: Vec<_> = drops.iter().map(|it| (it.hook, it.to_string())).collect();
    assert_eq!(
        found,
        [
            (Hook::Input, "chain in of table inet own".to_owned()),
            (
                Hook::Forward,
                "chain forwarded of table inet own".to_owned()
            ),
        ]
    );
}

#[test]
fn a_chain_that_leads_to_a_rule_for_the_interface_is_no_obstacle() {
    let known = after(
        "nft 'table inet own { chain forwarded { type filter hook forward priority 0; policy drop;
             jump guests; }
           chain guests { iifname vmlan0 accept; }
           chain in { type filter hook input priority 0; policy drop; }
 }'",
        async |survey| {
            let known = survey.drops.iter().map(|it| it.hook);
            known.collect::<Vec<_>>()
        },
    );
    assert_eq!(known, [Hook::Input]);
}

#[test]
fn a_rule_names_the_interface_by_a_pattern_a_set_or_a_map_too() {
    let known = |rule: &'static str| after(rule, async |survey| survey.drops.is_empty());
    for (rule, expected) in [
        ("iifname \"vmlan*\" accept", true),
        ("iifname { eth0, vmlan0 } accept", true),
        ("oifname vmap { vmlan0 : accept, eth0 : drop }", true),
        (
            "iifname . oifname { vmlan0 . eth0, eth0 . vmlan0 } accept",
            true,
        ),
        ("iifname \"virbr*\" accept", false),
        ("iifname { eth0, vmlan1 } accept", false),
        ("ip protocol { tcp, udp } accept", false),
    ] {
        let make = format!(
            "nft 'table inet own {{ chain f {{ type filter hook forward priority 0; policy drop;
                 {rule}; }}
 }}'"
        );
        assert_eq!(known(make.leak()), expected, "{rule}");
    }
    let legacy = "iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -i";
    for (name, expected) in [("vmlan+", true), ("vmlan0", true), ("virbr+", false)] {
        let make = format!("{legacy} {name} -j ACCEPT");
        assert_eq!(known(make.leak()), expected, "{name}");
    }
}

/// Whether a chain with `rules` and the policy accept is in the way, and why.
fn why(sets: &str, rules: &str) -> Option<Why> {
    let make = format!(
        "nft 'table inet own {{ {sets}
         chain f {{ type filter hook forward priority 0; {rules}; }}
         chain guests {{ reject; }}
 }}'"
    );
    after(make.leak(), async |mut survey| {
        assert!(survey.drops.len() < 2, "{survey:?}");
        survey.drops.pop().map(|it| it.why)
    })
}

#[test]
fn a_rule_that_drops_what_comes_by_the_interface_is_found_in_sets_and_maps_too() {
    const SET: &str = "set shut { type ifname; elements = { eth7, vmlan0 }
 }";
    const MAP: &str =
        "map ways { type ifname : verdict; elements = { eth7 : accept, vmlan0 : drop }
 }";
    const OTHERS: &str = "set shut { type ifname; elements = { eth7 }
 }";
    for (sets, rule) in [
        ("", "iifname vmlan0 drop"),
        ("", "iifname { eth7, \"vmlan*\" } counter reject"),
        ("", "oifname vmlan0 drop"),
        ("", "iifname vmap { vmlan0 : drop }"),
        ("", "iifname vmlan0 jump guests"),
        ("", "meta nfproto ipv4 iifname vmlan0 log drop"),
        (SET, "iifname @shut drop"),
        (MAP, "iifname vmap @ways"),
    ] {
        let why = why(sets, rule);
        assert!(matches!(why, Some(Why::Rule { .. })), "{rule}: {why:?}");
    }
    for (sets, rule) in [
        (OTHERS, "iifname @shut drop"),
        (SET, "iifname @shut tcp dport 25 drop"),
        (SET, "iifname != @shut ip saddr 10.9.0.0/16 drop"),
        ("", "ct state established accept; oifname vmlan0 drop"),
        ("", "ct state vmap { established : accept, invalid : drop }"),
        ("", "iifname vmlan0 accept; oifname vmlan0 accept; drop"),
        ("", "iifname eth7 drop; oifname eth7 drop"),
        ("", "meta nfproto ipv6 iifname vmlan0 drop"),
    ] {
        assert_eq!(why(sets, rule), None, "{rule}");
    }
    // Chains that look for what is not local, as ufw's do.
    let not_local = "jump strange; iifname vmlan0 udp dport 69 accept; drop";
    let strange = "chain strange { fib daddr type local return; drop; }
";
    assert_eq!(why(strange, not_local), None);
    // Whoever is not in it is dropped.
    assert_eq!(why(OTHERS, "iifname != @shut drop"), Some(Why::Unaware));
    assert_eq!(why("", "iifname != eth7 drop"), Some(Why::Unaware));
}

#[test]
fn a_set_that_cannot_be_read_is_told_of() {
    let listed = block_on_in_new_netns(async || {
        sh("nft 'table inet own { set shut { type ifname; }
             chain f { type filter hook forward priority 0; iifname @shut drop; }
 }'");
        list(&["-j", "-t", "list", "ruleset"]).await.unwrap()
    });
    let survey = Survey::of(&listed, &Sets::new(), Flavour::Nft, "lab", Some(&wanted()));
    let found = obstacles(&survey, &wanted());
    assert!(!found[0].is_certain(), "{found:?}");
    let message = found[0].message();
    assert!(
        message.ends_with("its set @shut cannot be read"),
        "{message}"
    );
}

/// The rules of Docker 29 with its nftables backend for docker0, in parts (moby,
/// integration/network/bridge/nftablesdoc).
const DOCKER_NFTABLES: &str = "nft 'table ip docker-bridges {
    map filter-forward-in-jumps { type ifname : verdict
        elements = { docker0 : jump filter-forward-in__docker0 }
 }
    map filter-forward-out-jumps { type ifname : verdict
        elements = { docker0 : jump filter-forward-out__docker0 }
 }
    chain filter-FORWARD { type filter hook forward priority filter; policy accept;
        oifname vmap @filter-forward-in-jumps
        iifname vmap @filter-forward-out-jumps
 }
    chain raw-PREROUTING { type filter hook prerouting priority raw; policy accept;
        ip daddr 172.17.0.2 iifname != docker0 counter drop
 }
    chain filter-forward-in__docker0 { ct state established,related counter accept
        iifname docker0 counter accept
        counter drop
 }
    chain filter-forward-out__docker0 { ct state established,related counter accept
        counter accept
 }
    chain nat-postrouting-out__docker0 {
        oifname != docker0 ip saddr 172.17.0.0/16 counter masquerade
 }
 }'";

#[test]
fn docker_on_nftables_shuts_off_its_own_bridges_alone() {
    block_on_in_new_netns(async || {
        sh(DOCKER_NFTABLES);
        let survey = taken().await;
        assert_eq!(survey.drops, []);
        assert_eq!(survey.docker_user, None);
        assert_eq!(survey.forwarders, ["Docker"]);

        // What it had made of iptables stays until the next boot.
        sh("iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER");
        let survey = taken().await;
        assert_eq!(survey.docker_user, None, "nothing leads there any more");
        let found = obstacles(&survey, &wanted());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].mend.starts_with("`iptables -I FORWARD -i vmlan0"));
        for command in found[0].mend.split('`').skip(1).step_by(2) {
            sh(command);
        }
        assert_eq!(taken().await.drops, []);
    });
}

#[test]
fn a_trial_changes_nothing_and_says_what_the_kernel_refuses() {
    let left = block_on_in_new_netns(async || {
        trial(None).await.unwrap();
        trial(Some(&wanted())).await.unwrap();
        let nowhere = Wanted {
            interface: "longer-than-a-netdev".to_owned(),
            ..wanted()
        };
        assert!(trial(Some(&nowhere)).await.is_err());
        sh("nft list ruleset")
    });
    assert_eq!(left, "");
}

#[test]
fn each_mend_mends() {
    for (make, applied) in [
        (
            "nft 'table inet own { chain f { type filter hook forward priority 0; iifname vmlan0 drop; }
 }'",
            1,
        ),
        (
            "nft 'table inet own { chain forwarded { type filter hook forward priority 0; policy drop; }
            chain in { type filter hook input priority 0; policy drop; }
 }'",
            2,
        ),
        (
            "iptables-nft -P FORWARD DROP; iptables-nft -P INPUT DROP",
            2,
        ),
        ("iptables-nft -A FORWARD -j REJECT", 1),
        (
            "iptables-legacy -P FORWARD DROP; iptables-legacy -P INPUT DROP",
            2,
        ),
        (
            "iptables-legacy -N X; iptables-legacy -A FORWARD -j X
             iptables-legacy -A X -o lo -j ACCEPT; iptables-legacy -A X -i vmlan+ -j DROP",
            1,
        ),
    ] {
        after(make, async |survey| {
            let found = obstacles(&survey, &wanted());
            assert_eq!(found.len(), applied, "{found:?}");
            for obstacle in found {
                // Every second part stands in backquotes: a command.
                for command in obstacle.mend.split('`').skip(1).step_by(2) {
                    sh(command);
                }
            }
            assert_eq!(obstacles(&taken().await, &wanted()), []);
        });
    }
}

#[test]
fn ufw_is_told_from_others_and_has_its_own_commands() {
    after(
        "iptables-nft -P FORWARD DROP; iptables-nft -P INPUT DROP
         iptables-nft -N ufw-user-forward; iptables-nft -A FORWARD -j ufw-user-forward",
        async |survey| {
            let found = obstacles(&survey, &wanted());
            assert!(
                found.iter().all(|it| it.chain.owner == Owner::Ufw),
                "{found:?}"
            );
            let mends: Vec<_> = found.iter().map(|it| it.mend.as_str()).collect();
            assert!(
                mends.contains(&"`ufw route allow in on vmlan0`"),
                "{mends:?}"
            );
            let input = "`ufw allow in on vmlan0 to any port 69 proto udp`";
            assert!(mends.contains(&input), "{mends:?}");
        },
    );
}

#[test]
fn the_zone_of_firewalld_is_known_by_its_rules() {
    let make = "nft 'table inet firewalld {
        chain filter_FORWARD { type filter hook forward priority 10; jump filter_FORWARD_ZONES
            reject with icmpx admin-prohibited; }
        chain filter_FORWARD_ZONES { iifname \"virbr0\" goto filter_FWD_libvirt
            goto filter_FWD_public; }
        chain filter_FWD_libvirt { accept; }
        chain filter_FWD_public { return; }
 }'";
    after(make, async |survey| {
        assert_eq!(survey.firewalld, Some(Firewalld { zone: None }));
        assert_eq!(survey.drops[0].owner, Owner::Firewalld);
        let mend = &obstacles(&survey, &wanted())[0].mend;
        assert!(mend.contains("--change-interface=vmlan0"), "{mend}");
        let zone = Some("libvirt".to_owned());
        let of_libvirt = Wanted {
            interface: "virbr0".to_owned(),
            ..wanted()
        };
        let survey = Survey::take("lab", Some(&of_libvirt)).await.unwrap();
        assert_eq!(survey.firewalld, Some(Firewalld { zone }));
        assert_eq!(survey.drops, []);
    });
}

#[test]
fn who_forwards_is_known_by_name_or_by_its_translation() {
    let forwarders = after(
        "iptables-nft -N LIBVIRT_FWO; iptables-nft -N DOCKER
         nft 'table inet netavark { chain NETAVARK-1 { return; }
 }
         table ip mine { chain post { type nat hook postrouting priority 100; masquerade; }
 }
         table inet vmlan_lab { chain post { type nat hook postrouting priority 100; masquerade; }
 }
         table inet vmlan_b { chain post { type nat hook postrouting priority 100; masquerade; }
 }'",
        async |survey| survey.forwarders,
    );
    assert_eq!(
        forwarders,
        [
            "Docker",
            "Podman",
            "chain post of table mine",
            "libvirt",
            "network b"
        ]
    );
}
