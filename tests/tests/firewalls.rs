//! Firewalls of others that vmlan leaves alone: what the doctor says of them is
//! what mends.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vmlan_tests::namespace::Namespace;
use vmlan_tests::outside::{GUEST, HOST, Outside, Reached, SERVER};
use vmlan_tests::station::Station;
use vmlan_tests::switch::Switch;
use vmlan_tests::ufw::Ufw;
use vmlan_tests::wait;

/// The obstacles that the doctor finds of `check`.
fn obstacles(switch: &Switch, check: &str) -> Result<Vec<Value>> {
    let said = switch.cli("doctor --json --config CONFIG")?;
    let found: Vec<Value> = serde_json::from_str(&said.stdout)
        .with_context(|| format!("{}{}", said.stdout, said.stderr))?;
    let levels = ["obstacle", "warning", "unknown"];
    let counts = |it: &Value| it["check"] == check && levels.iter().any(|l| it["level"] == *l);
    Ok(found.into_iter().filter(counts).collect())
}

/// The commands in the help of `finding`: what stands in backquotes.
fn commands(finding: &Value) -> Vec<String> {
    let help = finding["help"].as_str().unwrap_or_default();
    help.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn with_ufw_the_doctor_names_the_commands_that_let_guests_out_and_in() -> Result<()> {
    let mut outside = Outside::new()?;
    let host = std::sync::Arc::clone(&outside.switch.namespace);
    let ufw = Ufw::enable(&host)?;
    outside.launch("forward = \"route\"\n[tftp]\nroot = \"/etc\"")?;
    let log = outside.switch.log();
    assert!(log.contains("(ufw's) drops what the host"), "{log}");
    // But for ping, which it lets through.
    assert!(matches!(
        outside.outward()?,
        Reached {
            tcp: None,
            udp: None,
            ..
        }
    ));
    assert!(matches!(
        outside.inward()?,
        Reached {
            tcp: None,
            udp: None,
            ..
        }
    ));

    let found = obstacles(&outside.switch, "firewall")?;
    assert_eq!(found.len(), 2, "{found:#?}");
    for command in found.iter().flat_map(commands) {
        let arguments = command.strip_prefix("ufw ").context(command.clone())?;
        ufw.command(&host, arguments)?;
    }
    assert_eq!(obstacles(&outside.switch, "firewall")?, [] as [Value; 0]);
    let (out, into) = (outside.outward()?, outside.inward()?);
    assert!(
        out.all_from(GUEST) && into.all_from(SERVER),
        "{out:?} {into:?}"
    );
    let tftp = "busybox tftp -g -l /dev/stdout -r debian_version 192.168.122.1";
    assert!(!outside.guest()?.run(tftp)?.is_empty());

    // Somebody denies what is let through.
    ufw.command(&host, "route delete allow in on vmlan0")?;
    ufw.command(&host, "route deny in on vmlan0")?;
    assert!(outside.outward()?.tcp.is_none());
    let found = obstacles(&outside.switch, "firewall")?;
    assert_eq!(found.len(), 1, "{found:#?}");
    let message = found[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("in chain ufw-user-forward"), "{message}");
    outside.stop()
}

#[test]
fn a_table_that_drops_by_a_set_of_netdevs_is_named_with_its_rule() -> Result<()> {
    let mut outside = Outside::new()?;
    let host = std::sync::Arc::clone(&outside.switch.namespace);
    host.run(
        "nft 'table inet site { set shut { type ifname; elements = { eth7, vmlan0 } ; }
         chain f { type filter hook forward priority 10; iifname @shut counter drop; } ; }'",
    )?;
    outside.launch("forward = \"nat\"")?;
    assert_eq!(outside.outward()?, Reached::NOTHING);
    let found = obstacles(&outside.switch, "firewall")?;
    assert_eq!(found.len(), 1, "{found:#?}");
    let command = commands(&found[0]).remove(0);
    assert!(
        command.starts_with("nft delete rule inet site f handle "),
        "{command}"
    );
    host.run(&command)?;
    assert_eq!(obstacles(&outside.switch, "firewall")?, [] as [Value; 0]);
    assert!(outside.outward()?.all_from(HOST));
    outside.stop()
}

#[test]
fn a_strict_filter_that_drops_answers_is_found_and_mended() -> Result<()> {
    let mut outside = Outside::new()?;
    let host = std::sync::Arc::clone(&outside.switch.namespace);
    // Answers come back by another way than the requests went.
    host.veth("wan1", &outside.internet, "eth1")?;
    host.run(
        "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.wan0.rp_filter=0 \
         net.ipv4.conf.wan1.rp_filter=1; ip addr add 198.51.100.1/24 dev wan1",
    )?;
    outside.internet.run(&format!(
        "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0 \
         net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.eth1.rp_filter=0; ip addr add 198.51.100.2/24 dev eth1; \
         ip route add {HOST} via 198.51.100.1 dev eth1 src {SERVER}"
    ))?;
    outside.launch("forward = \"nat\"")?;
    assert_eq!(obstacles(&outside.switch, "rp_filter")?, [] as [Value; 0]);
    assert!(outside.outward()?.tcp.is_none());
    let found = obstacles(&outside.switch, "rp_filter")?;
    assert_eq!(found.len(), 1, "{found:#?}");
    let message = found[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("(wan1) have dropped"), "{message}");

    // Before anything is lost, where there are two ways out.
    host.run("ip route add default via 198.51.100.2 metric 100")?;
    let found = obstacles(&outside.switch, "rp_filter")?;
    let message = found[0]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("several ways out (wan0, wan1)"),
        "{message}"
    );
    let [command] = commands(&found[0]).try_into().unwrap();
    let command: String = command;
    host.run(&command)?;
    let out = outside.outward()?;
    assert!(out.all_from(HOST), "{out:?}");
    outside.stop()
}

#[test]
fn a_reload_turns_forwarding_on_again_and_says_so() -> Result<()> {
    let mut outside = Outside::new()?;
    outside.launch("forward = \"nat\"")?;
    let host = std::sync::Arc::clone(&outside.switch.namespace);
    let told = |outside: &Outside| {
        outside
            .switch
            .log()
            .matches("somebody has turned off")
            .count()
    };
    for times in 1..=2 {
        host.run("sysctl -qw net.ipv4.ip_forward=0")?;
        wait::until("the warning", wait::SOON, || {
            ensure!(told(&outside) >= times, "not yet");
            Ok(())
        })?;
        let off = obstacles(&outside.switch, "forwarding")?;
        assert!(
            off[0]["help"]
                .as_str()
                .unwrap_or_default()
                .contains("vmlan reload"),
            "{off:#?}"
        );
        let said = outside.switch.cli("reload")?.success()?;
        assert!(
            said.contains("net.ipv4.ip_forward was changed by somebody: it is set again"),
            "{said}"
        );
        assert!(outside.outward()?.all_from(HOST));
        let again = outside.switch.cli("reload")?.success()?;
        assert!(again.contains("nothing has changed"), "{again}");
        assert_eq!(told(&outside), times, "{}", outside.switch.log());
    }
    outside.stop()
}

#[test]
fn cleanup_takes_away_what_a_killed_run_has_left() -> Result<()> {
    let mut outside = Outside::new()?;
    let host = std::sync::Arc::clone(&outside.switch.namespace);
    let other = Namespace::new("other")?;
    host.veth("v1", &other, "eth0")?;
    let state = || {
        host.run(
            "ip -o link | sed 's/qdisc.*//'; ip addr; ip route; nft list ruleset; \
             sysctl -a 2>/dev/null | grep -E 'rp_filter|arp_ignore|forward|disable_ipv6'",
        )
    };
    let before = state()?;
    outside.launch("forward = \"nat\"")?;
    outside.switch.cli("attach v1")?.success()?;
    let refused = outside.switch.cli("cleanup")?;
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("already served"), "{refused:?}");
    outside.kill();
    wait::until("the end of its netdevs", wait::SOON, || {
        ensure!(!host.netdevs()?.contains(&"vmlan0".to_owned()), "not yet");
        Ok(())
    })?;
    assert_ne!(state()?, before);

    let found = obstacles(&outside.switch, "leftovers")?;
    let command = commands(&found[0]).remove(0);
    assert_eq!(command, "vmlan cleanup --network lab");
    let said = outside.switch.cli("cleanup")?.success()?;
    for line in [
        "put back: the host listens on v1 again",
        "removed: the nftables table vmlan_lab",
        "net.ipv4.ip_forward is off again",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert_eq!(state()?, before);
    assert!(!outside.switch.run_file("").exists());
    let again = outside.switch.cli("cleanup")?.success()?;
    assert_eq!(again, "network lab has left nothing\n");
    assert_eq!(obstacles(&outside.switch, "leftovers")?, [] as [Value; 0]);
    Ok(())
}
