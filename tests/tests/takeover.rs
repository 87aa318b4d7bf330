//! A running network goes from one process to the next, and no guest notices.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::time::Duration;
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::lan::{Lan, ROUTER};
use vmlan_tests::manager::Manager;
use vmlan_tests::restarts::{Lab, config};
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, taps};
use vmlan_tests::wait::{self, SOON};

/// The host's own address on the LAN.
const OWN: &str = "10.77.0.7";

fn kill_and_start(switch: &mut Switch, manager: &Manager) -> Result<()> {
    switch.kill();
    switch.launch_under(manager)
}

/// All that there was has gone: ports, stored files, what was left to a next
/// process.
fn nothing_left(switch: &Switch, manager: &Manager) -> Result<()> {
    wait::until("an empty store", SOON, || {
        let kept = manager.kept();
        ensure!(kept.is_empty(), "{kept:?}");
        Ok(())
    })?;
    assert!(!switch.run_file("").exists());
    Ok(())
}

#[test]
fn ten_takeovers_under_load_lose_no_guest_and_no_byte() -> Result<()> {
    let mut lab = Lab::start(None)?;
    let report = lab.run(10, true, Switch::take_over, |_| ())?;
    println!("takeover: {report}");
    let status = lab.switch.json("status")?;
    assert_eq!(status["ports"], 5, "{status}");
    lab.switch.stop()?;
    let left = lab.switch.namespace.netdevs()?;
    assert_eq!(left, ["lo", "v1", "vnet0"]);
    Ok(())
}

#[test]
fn three_kills_under_a_service_manager_lose_no_guest_and_no_byte() -> Result<()> {
    let manager = Manager::start(None)?;
    let mut lab = Lab::start(Some(&manager))?;
    let restart = |switch: &mut Switch| kill_and_start(switch, &manager);
    let report = lab.run(3, false, restart, |_| ())?;
    println!("kill: {report}");
    lab.switch.stop()?;
    nothing_left(&lab.switch, &manager)
}

#[test]
fn a_restart_by_the_service_manager_keeps_counters_and_stations() -> Result<()> {
    let manager = Manager::start(None)?;
    let mut lab = Lab::start(Some(&manager))?;
    let restart = |switch: &mut Switch| {
        switch.signal(Signal::USR2)?;
        let status = switch.wait()?;
        ensure!(status.success(), "{status}\n{}", switch.log());
        switch.launch_under(&manager)
    };
    let station = "52:54:00:00:0e:02";
    lab.switch.cli("fdb add 52:54:00:00:0e:77 v1")?.success()?;
    let report = lab.run(2, true, restart, |_| ())?;
    println!("restart: {report}");
    assert_eq!(lab.switch.station(station)?["port"], "stream0");
    assert_eq!(lab.switch.station("52:54:00:00:0e:77")?["static"], true);
    let states = manager.states();
    let ready = states.iter().filter(|state| *state == "READY=1").count();
    assert_eq!(ready, 3, "{states:?}");
    assert!(!states.contains(&"STOPPING=1".to_owned()), "{states:?}");
    lab.switch.stop()?;
    assert!(manager.states().contains(&"STOPPING=1".to_owned()));
    nothing_left(&lab.switch, &manager)
}

#[test]
fn a_worker_that_hangs_is_noticed_and_its_guests_go_on() -> Result<()> {
    let manager = Manager::start(Some(Duration::from_secs(2)))?;
    let mut lab = Lab::start(Some(&manager))?;
    // Longer than the watchdog allows: workers without a frame feed it too.
    let fed = manager.fed_ago().context("never fed")?;
    assert!(fed < Duration::from_secs(2), "{fed:?}");
    let hung = lab.switch.hang("worker0")?;
    manager.wait_for_missed_watchdog()?;
    // As systemd does then.
    lab.switch.signal(Signal::ABORT)?;
    // A traced thread ends only with its tracer.
    drop(hung);
    lab.switch.wait()?;
    lab.switch.launch_under(&manager)?;
    lab.stream.namespace.ping("192.168.122.14")?;
    lab.container.ping("192.168.122.11")?;
    assert!(!lab.stream.is_cut());
    assert_eq!(lab.switch.port("stream0")?["state"], "up");
    lab.switch.stop()
}

#[test]
fn a_takeover_that_fails_leaves_the_running_one_as_it_was() -> Result<()> {
    let mut lab = Lab::start(None)?;
    let id = lab.switch.id()?;
    let own = udhcpc(&lab.container, "")?.address;
    let refused = |config: &str, status: i32, said: &str| -> Result<()> {
        lab.switch.write_config(config)?;
        let outcome = lab.switch.refuse_takeover()?;
        assert_eq!(outcome.status, status, "{outcome:?}");
        assert!(outcome.stderr.contains(said), "{outcome:?}");
        Ok(())
    };
    let config = config();
    refused(&config.replace("122.1/24", "123.1/24"), 2, "`address`")?;
    refused(&config.replace("vmlan0", "vmlan1"), 2, "`interface`")?;
    // This one is found out only when the network was handed over already.
    let missing = "\n[[port]]\nname = \"no\"\nkind = \"packet\"\ninterface = \"no\"\n";
    refused(&(config.clone() + missing), 1, "no")?;
    assert_eq!(lab.switch.id()?, id);
    lab.switch.alive()?;
    lab.stream.namespace.ping("192.168.122.14")?;
    lab.container.ping("192.168.122.1")?;
    assert_eq!(udhcpc(&lab.container, "")?.address, own);
    lab.switch.write_config(&config)?;
    lab.switch.take_over()?;
    lab.stream.namespace.ping("192.168.122.14")?;
    assert_eq!(udhcpc(&lab.container, "")?.address, own);
    assert!(lab.switch.refuse()?.stderr.contains("already served"));
    Ok(())
}

#[test]
fn a_takeover_with_another_configuration_applies_it() -> Result<()> {
    let mut lab = Lab::start(None)?;
    let before = lab.switch.port("v1")?["rx"]["frames"].as_u64();
    let config = config().replace("c1", "c2") + "[switch]\nworkers = 2\nageing = \"100s\"\n";
    lab.switch.write_config(&config)?;
    lab.switch.take_over()?;
    let ports = lab.switch.json("ports")?.to_string();
    assert!(
        !ports.contains("\"c1\"") && ports.contains("\"c2\""),
        "{ports}"
    );
    assert!(lab.switch.port("v1")?["rx"]["frames"].as_u64() >= before);
    lab.stream.namespace.ping("192.168.122.14")?;
    lab.tap.namespace.ping("192.168.122.1")?;
    // The container's netdev went with the port.
    assert!(lab.container.run("ip link show eth0").is_err());
    lab.switch.stop()
}

#[test]
fn rules_and_forwarding_stay_over_a_takeover_and_go_at_the_end() -> Result<()> {
    let config = ISOLATED.replace("isolated", "nat") + &taps(&["c1"]);
    let mut switch = Switch::start(&config)?;
    let rules = |switch: &Switch| switch.namespace.run("nft list ruleset");
    let before = rules(&switch)?;
    assert!(before.contains("vmlan_lab"), "{before}");
    switch.take_over()?;
    assert_eq!(rules(&switch)?, before);
    let forwards = "cat /proc/sys/net/ipv4/ip_forward";
    assert_eq!(switch.namespace.run(forwards)?.trim(), "1");
    switch.stop()?;
    assert_eq!(rules(&switch)?, "");
    assert_eq!(switch.namespace.run(forwards)?.trim(), "0");
    assert_eq!(switch.namespace.netdevs()?, ["lo"]);
    Ok(())
}

#[test]
fn the_hosts_place_on_the_lan_stays_over_a_takeover_and_a_kill() -> Result<()> {
    let config = "name = \"lab\"\ninterface = \"vmlan0\"\nforward = \"bridge\"\n\
                  uplink = \"eth0\"\nmove-addresses = true\n";
    let manager = Manager::start(None)?;
    let mut switch = Switch::prepare(config)?;
    let lan = Lan::new(&switch.namespace, "eth0")?;
    switch.namespace.run(&format!(
        "ip addr add {OWN}/24 brd + dev eth0 && ip route add default via {ROUTER}"
    ))?;
    let nic = switch.namespace.run("ip -br addr show dev eth0")?;
    let moved = |switch: &Switch| -> Result<()> {
        let own = switch.namespace.run("ip -br addr show dev vmlan0")?;
        ensure!(own.contains(OWN), "{own}");
        lan.host.run(&format!("ping -c 1 -W 5 {OWN}"))?;
        switch
            .namespace
            .run(&format!("ping -c 1 -W 5 {ROUTER}"))
            .map(drop)
    };
    switch.launch()?;
    moved(&switch)?;
    switch.take_over()?;
    moved(&switch)?;
    switch.stop()?;
    switch.launch_under(&manager)?;
    moved(&switch)?;
    switch.kill();
    // Nobody answers, and nobody has lost anything.
    assert!(switch.namespace.netdevs()?.contains(&"vmlan0".to_owned()));
    switch.launch_under(&manager)?;
    moved(&switch)?;
    switch.stop()?;
    assert_eq!(switch.namespace.run("ip -br addr show dev eth0")?, nic);
    nothing_left(&switch, &manager)
}

#[test]
fn files_that_nobody_can_use_any_more_are_dropped() -> Result<()> {
    let manager = Manager::start(None)?;
    let mut lab = Lab::start(Some(&manager))?;
    lab.switch.kill();
    // Somebody has cleaned up, and the configuration is of another network.
    std::fs::remove_dir_all(lab.switch.run_file(""))?;
    lab.switch.launch_under(&manager)?;
    assert!(lab.switch.port("stream0").is_err());
    let kept = manager.kept();
    assert!(
        !kept.iter().any(|name| name.contains("stream0")),
        "{kept:?}"
    );
    lab.container.run("ip link show eth0").unwrap_err();
    lab.tap.namespace.ping("192.168.122.14")?;
    lab.switch.stop()
}
