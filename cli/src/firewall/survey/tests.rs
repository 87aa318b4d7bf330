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
    Survey::take("lab", "vmlan0").await.unwrap()
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
            assert!(survey.drops[0].knows_us, "{survey:?}");
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
            let known = survey.drops.iter().map(|it| (it.hook, it.knows_us));
            known.collect::<Vec<_>>()
        },
    );
    assert_eq!(known, [(Hook::Forward, true), (Hook::Input, false)]);
}

#[test]
fn a_rule_names_the_interface_by_a_pattern_a_set_or_a_map_too() {
    let known = |rule: &'static str| {
        after(rule, async |survey| {
            let known = survey.drops.iter().map(|it| it.knows_us);
            known.collect::<Vec<_>>()
        })
    };
    for (rule, expected) in [
        ("iifname \"vmlan*\" accept", true),
        ("iifname { eth0, vmlan0 } accept", true),
        ("oifname vmap { vmlan0 : accept, eth0 : drop }", true),
        ("iifname \"virbr*\" accept", false),
        ("iifname { eth0, vmlan1 } accept", false),
        ("ip protocol { tcp, udp } accept", false),
    ] {
        let make = format!(
            "nft 'table inet own {{ chain f {{ type filter hook forward priority 0; policy drop;
                 {rule}; }}
 }}'"
        );
        assert_eq!(known(make.leak()), [expected], "{rule}");
    }
    let legacy = "iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -i";
    for (name, expected) in [("vmlan+", true), ("vmlan0", true), ("virbr+", false)] {
        let make = format!("{legacy} {name} -j ACCEPT");
        assert_eq!(known(make.leak()), [expected], "{name}");
    }
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
        assert!(mend.contains("--add-interface=vmlan0"), "{mend}");
        let zone = Some("libvirt".to_owned());
        let survey = Survey::take("lab", "virbr0").await.unwrap();
        assert_eq!(survey.firewalld, Some(Firewalld { zone }));
        assert!(survey.drops[0].knows_us);
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
