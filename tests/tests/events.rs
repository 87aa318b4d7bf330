//! What happens on a network, as whoever follows it is told.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::follower::Follower;
use vmlan_tests::frame::{BROADCAST, Mac, plain, station, text};
use vmlan_tests::station::Station as _;
use vmlan_tests::stream_peer::StreamPeer;
use vmlan_tests::switch::{ISOLATED, Switch, taps};
use vmlan_tests::wait::{self, SOON};

const MAC1: &str = "52:54:00:00:00:01";
const MAC2: &str = "52:54:00:00:00:02";

/// Connects one more guest, and waits for its port.
fn connect(switch: &Switch, follower: &Follower, port: &str) -> Result<StreamPeer> {
    let peer = StreamPeer::connect(&switch.run_file("vm.sock"))?;
    follower.wait_for("port-joined", |event| event["port"] == port)?;
    Ok(peer)
}

/// Waits until the station `mac` is known behind `port`.
fn behind(switch: &Switch, mac: Mac, port: &str) -> Result<()> {
    wait::until("the station's place", SOON, || {
        let found = switch.station(&text(mac))?;
        ensure!(found.get("port") == Some(&port.into()), "{found}");
        Ok(())
    })
}

#[test]
fn a_follower_sees_ports_and_leases_come_and_go_and_the_end() -> Result<()> {
    let mut switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let mut follower = Follower::start(&switch)?;
    follower.wait_for("port-joined", |event| {
        event["port"] == "c1" && event["port-kind"] == "tap"
    })?;
    let client = switch.container("c1", MAC1)?;
    let address = udhcpc(&client, "")?.address.to_string();
    let bound = follower.wait_for("lease-bound", |event| event["mac"] == MAC1)?;
    assert_eq!(
        (&bound["address"], &bound["port"]),
        (&address.into(), &"c1".into())
    );
    assert_eq!(bound["network"], "lab");
    switch.cli("port del c1")?.success()?;
    let left = follower.wait_for("port-left", |event| event["port"] == "c1")?;
    assert_eq!(left["why"], Value::Null, "somebody asked for it");

    // The same again, and no more than that.
    let kept = switch
        .cli("events --history --no-follow --json")?
        .success()?;
    let seen = follower.events()?;
    assert_eq!(kept.lines().count(), seen.len(), "{kept}");
    let since = &bound["seq"];
    let rest = switch
        .cli(&format!("events --since {since} --no-follow"))?
        .success()?;
    assert_eq!(rest.lines().count(), 1, "{rest}");
    ensure!(
        rest.contains("  port-left            port c1 is gone"),
        "{rest}"
    );
    let log = switch.log();
    for line in [
        "port c1 (tap) is there",
        "gets 192.168.122.",
        "port c1 is gone",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }

    switch.stop()?;
    let (status, said) = follower.end()?;
    ensure!(
        status.success() && said.contains("has stopped"),
        "{status} {said}"
    );
    let all = follower.events()?;
    assert_eq!(
        all.last().map(|event| &event["why"]),
        Some(&"by SIGTERM".into())
    );
    // The numbers have no gap, and go on after a restart.
    switch.launch()?;
    let mut again = Follower::start(&switch)?;
    let started = again.wait_for("started", |_| true)?;
    ensure!(started["seq"].as_u64() > all.last().and_then(|event| event["seq"].as_u64()));
    let behind = switch
        .cli(&format!("events --since {since} --no-follow --json"))?
        .success()?;
    ensure!(behind.starts_with("{\"seq\""), "{behind}");
    let first: Value = serde_json::from_str(behind.lines().next().unwrap_or_default())?;
    assert_eq!(
        (&first["kind"], &first["count"]),
        (&"lost".into(), &Value::Null)
    );
    switch.kill();
    let (status, said) = again.end()?;
    assert_eq!(status.code(), Some(1), "{said}");
    ensure!(said.contains("vmlan was killed"), "{said}");
    Ok(())
}

#[test]
fn two_with_one_client_id_and_two_with_one_address_are_told_of() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1", "c2"])))?;
    let follower = Follower::start(&switch)?;
    let one = switch.container("c1", MAC1)?;
    let two = switch.container("c2", MAC2)?;
    let id = "-x 0x3d:00636c6f6e65";
    let address = udhcpc(&one, id)?.address;
    udhcpc(&two, id)?;
    let clones = follower.wait_for("duplicate-client-id", |_| true)?;
    assert_eq!(clones["client-id"], "00:63:6c:6f:6e:65");
    assert_eq!(clones["macs"], serde_json::json!([MAC1, MAC2]));

    // It sets the other's address by hand and uses it, for as long as it likes.
    two.run(&format!("ip addr add {address}/24 dev eth0"))?;
    two.run(&format!(
        "arping -c 1 -w 5 -s {address} -I eth0 192.168.122.1"
    ))?;
    let conflict = follower.wait_for("address-conflict", |_| true)?;
    assert_eq!(conflict["address"], address.to_string());
    assert_eq!(conflict["macs"], serde_json::json!([MAC1, MAC2]));
    assert_eq!(conflict["port"], "c2");
    // And the gateway's.
    two.run("ip addr add 192.168.122.1/24 dev eth0; arping -c 1 -U -I eth0 192.168.122.1 || true")?;
    follower.wait_for("address-conflict", |event| {
        event["address"] == "192.168.122.1"
    })?;
    assert_eq!(follower.of_kind("address-conflict")?.len(), 2);
    Ok(())
}

#[test]
fn a_station_that_flaps_a_million_times_makes_a_few_lines() -> Result<()> {
    const FRAMES: usize = 1_000_000;
    let switch = Switch::start(ISOLATED)?;
    let follower = Follower::start(&switch)?;
    let mut a = connect(&switch, &follower, "stream0")?;
    let mut b = connect(&switch, &follower, "stream1")?;
    let mac = station(7);
    a.send(&plain(BROADCAST, mac, 0))?;
    behind(&switch, mac, "stream0")?;
    b.send(&plain(BROADCAST, mac, 0))?;
    let moved = follower.wait_for("station-moved", |event| event["mac"] == text(mac))?;
    assert_eq!(
        (&moved["from"], &moved["to"]),
        (&"stream0".into(), &"stream1".into())
    );

    // To the other end of the segment, as nobody reads here.
    let frame = plain(mac, mac, 1);
    let mut bytes = u32::try_from(frame.len())?.to_be_bytes().to_vec();
    bytes.extend(&frame);
    for _ in 0..FRAMES / 2 {
        a.send_raw(&bytes)?;
        b.send_raw(&bytes)?;
    }
    let flapping = follower.wait_within(Duration::from_secs(25), "station-flapping", |_| true)?;
    assert_eq!(flapping["mac"], text(mac));
    ensure!(flapping["moves"].as_u64() > Some(500), "{flapping}");
    let log = switch.log();
    let lines = log.lines().filter(|line| line.contains("moved")).count();
    ensure!((2..=12).contains(&lines), "{log}");
    assert_eq!(follower.of_kind("station-moved")?.len(), 1);
    Ok(())
}

#[test]
fn a_guest_that_takes_everybodys_mac_makes_so_many_lines() -> Result<()> {
    const STATIONS: u16 = 2000;
    let switch = Switch::start(ISOLATED)?;
    let follower = Follower::start(&switch)?;
    let mut a = connect(&switch, &follower, "stream0")?;
    let mut b = connect(&switch, &follower, "stream1")?;
    let mac = |n: u16| {
        let [high, low] = n.to_be_bytes();
        [0x02, 0, 0, 0, high, low]
    };
    for n in 0..STATIONS {
        a.send(&plain(mac(0), mac(n), 0))?;
    }
    behind(&switch, mac(STATIONS - 1), "stream0")?;
    for n in 0..STATIONS {
        b.send(&plain(mac(0), mac(n), 0))?;
    }
    behind(&switch, mac(STATIONS - 1), "stream1")?;
    follower.wait_for("moves-uncounted", |event| {
        event["moves"].as_u64() > Some(500)
    })?;
    let moved = follower.of_kind("station-moved")?.len();
    ensure!((100..=120).contains(&moved), "{moved}");
    Ok(())
}

#[test]
fn drops_over_the_threshold_begin_and_end_and_those_below_do_not() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + "[events]\ndrops = 1000\n"))?;
    let follower = Follower::start(&switch)?;
    let mut guest = connect(&switch, &follower, "stream0")?;
    for _ in 0..500 {
        guest.send(&plain(station(9), BROADCAST, 0))?;
    }
    wait::until("the first drops", SOON, || {
        ensure!(switch.drops("multicast-source")? == 500);
        Ok(())
    })?;
    // Another reason, and many of it.
    for _ in 0..30_000 {
        guest.send(&plain([1, 0x80, 0xc2, 0, 0, 0], station(1), 0))?;
    }
    let began = follower.wait_for("drops-began", |_| true)?;
    assert_eq!(
        (&began["port"], &began["direction"]),
        (&"stream0".into(), &"rx".into())
    );
    assert_eq!(began["reason"], "link-local");
    ensure!(began["rate"].as_u64() > Some(1000), "{began}");
    let ended = follower.wait_within(Duration::from_secs(25), "drops-ended", |_| true)?;
    ensure!(ended["frames"].as_u64() > Some(20_000), "{ended}");
    assert_eq!(follower.of_kind("drops-began")?.len(), 1);
    Ok(())
}

#[test]
fn the_log_level_changes_while_vmlan_runs() -> Result<()> {
    let config = ISOLATED.to_owned() + &taps(&["c1"]);
    let switch = Switch::start(&config)?;
    let client = switch.container("c1", MAC1)?;
    let offers = || switch.log().matches("is offered").count();
    assert_eq!(switch.cli("log")?.success()?.trim(), "info");
    udhcpc(&client, "")?;
    assert_eq!(offers(), 0);
    switch.cli("log warn,vmlan::daemon=debug")?.success()?;
    assert_eq!(
        switch.cli("log")?.success()?.trim(),
        "warn,vmlan::daemon=debug"
    );
    udhcpc(&client, "")?;
    wait::until("a debug line", SOON, || {
        ensure!(offers() == 1);
        Ok(())
    })?;
    switch.cli("log info")?.success()?;
    udhcpc(&client, "")?;
    assert_eq!(offers(), 1);
    for wrong in ["debgu", "vmlan=loud", "a/b=info"] {
        let refused = switch.cli(&format!("log {wrong}"))?;
        assert_eq!(refused.status, 2, "{}", refused.stderr);
    }
    assert_eq!(switch.cli("log")?.success()?.trim(), "info");

    switch.write_config(&(config + "[log]\nlevel = \"debug\"\n"))?;
    let follower = Follower::start(&switch)?;
    switch.signal(Signal::HUP)?;
    let reloaded = follower.wait_for("reloaded", |_| true)?;
    assert_eq!(
        reloaded["done"],
        serde_json::json!(["the log is written by the filter debug now"])
    );
    udhcpc(&client, "")?;
    wait::until("a debug line", SOON, || {
        ensure!(offers() == 2);
        Ok(())
    })?;
    Ok(())
}
