//! Start, end, restart, reload, and ports that come and go while it runs.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::frame::{BROADCAST, plain, station};
use vmlan_tests::guest::{Guest, Link};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::station::Station;
use vmlan_tests::stream_peer::StreamPeer;
use vmlan_tests::switch::{ISOLATED, Switch, User, packets, taps};
use vmlan_tests::vmm::Vmm;
use vmlan_tests::wait;

const MAC1: &str = "52:54:00:00:03:01";
const MAC2: &str = "52:54:00:00:03:02";

/// All that a switch makes is gone: netdevs and sockets.
fn nothing_left(switch: &Switch) -> Result<()> {
    assert_eq!(switch.namespace.netdevs()?, ["lo"]);
    let left: Vec<_> = match fs::read_dir(switch.run_file("")) {
        Ok(entries) => entries.collect::<Result<_, _>>()?,
        Err(_) => Vec::new(),
    };
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn the_built_in_network_serves_and_says_how_to_attach_a_guest() -> Result<()> {
    let mut switch = Switch::prepare_as(User::Root, None)?;
    switch.launch()?;
    let socket = switch.run_file("vm.sock");
    let printed = switch.printed() + &switch.log();
    let line = format!("addr.path={}", socket.display());
    assert!(printed.contains("-netdev stream"), "{printed}");
    assert!(printed.contains(&line), "{printed}");

    let status = switch.json("status")?;
    assert_eq!(status["network"], "default");
    assert_eq!(status["interface"], "vmlan0");
    assert_eq!(status["address"], "192.168.122.1/24");
    assert_eq!(status["forward"], "nat");
    assert_eq!(status["mtu"], 1500);
    assert_eq!(status["mac"], switch.namespace.mac("vmlan0")?, "{status}");
    let guest = Guest::boot(&switch.namespace, MAC1, Link::Stream(&socket))?;
    guest.lease()?;
    guest.ping("192.168.122.1")
}

#[test]
fn an_address_that_the_host_uses_is_not_picked() -> Result<()> {
    let mut switch = Switch::prepare_as(User::Root, None)?;
    let other = Namespace::new("other")?;
    switch.namespace.veth("eth9", &other, "eth0")?;
    switch
        .namespace
        .run("ip addr add 192.168.122.7/24 dev eth9")?;
    switch.launch()?;
    assert_eq!(switch.json("status")?["address"], "192.168.123.1/24");

    // What was picked is kept, even when another would be free now.
    switch.stop()?;
    switch.namespace.run("ip link del eth9")?;
    switch.launch()?;
    assert_eq!(switch.json("status")?["address"], "192.168.123.1/24");
    Ok(())
}

#[test]
fn sigterm_and_sigint_remove_all_that_was_made() -> Result<()> {
    let mut switch = Switch::prepare(&(ISOLATED.to_owned() + &taps(&["c1", "c2"])))?;
    for signal in [Signal::TERM, Signal::INT] {
        switch.launch()?;
        let netdevs = switch.namespace.netdevs()?;
        assert_eq!(netdevs, ["c1", "c2", "lo", "vmlan0"]);
        let _peer = StreamPeer::connect(&switch.run_file("vm.sock"))?;
        assert!(switch.printed().starts_with("ready: "));
        switch.signal(signal)?;
        let status = switch.wait()?;
        assert_eq!(status.code(), Some(0), "{}", switch.log());
        nothing_left(&switch)?;
    }
    Ok(())
}

#[test]
fn a_taken_netdev_stays_when_vmlan_ends() -> Result<()> {
    let mut switch = Switch::prepare(&(ISOLATED.to_owned() + &packets(&["v1"])))?;
    let other = Namespace::new("other")?;
    switch.namespace.veth("v1", &other, "eth0")?;
    switch.launch()?;
    switch.stop()?;
    assert_eq!(switch.namespace.netdevs()?, ["lo", "v1"]);
    Ok(())
}

#[test]
fn a_second_start_after_kill_9_cleans_up_and_works() -> Result<()> {
    let mut switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let mac = switch.namespace.mac("vmlan0")?;
    switch.kill();
    // Its sockets are still there; nobody listens on them.
    assert!(switch.run_file("vm.sock").exists());

    switch.launch()?;
    assert_eq!(switch.namespace.mac("vmlan0")?, mac);
    let c1 = switch.container("c1", MAC1)?;
    udhcpc(&c1, "")?;
    c1.ping("192.168.122.1")?;
    StreamPeer::connect(&switch.run_file("vm.sock"))?;
    switch.stop()?;
    nothing_left(&switch)
}

#[test]
fn a_second_vmlan_on_the_same_network_is_refused_and_harms_nothing() -> Result<()> {
    let mut switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let c1 = switch.container("c1", MAC1)?;
    udhcpc(&c1, "")?;
    let refused = switch.refuse()?;
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("lab"), "{}", refused.stderr);
    switch.alive()?;
    c1.ping("192.168.122.1")?;
    switch.json("ports")?;
    Ok(())
}

#[test]
fn commands_without_a_daemon_say_so() -> Result<()> {
    let switch = Switch::prepare(ISOLATED)?;
    for command in ["status", "ports --json", "fdb", "leases", "reload"] {
        let outcome = switch.cli(command)?;
        assert_eq!(outcome.status, 1, "{command}");
        assert!(outcome.stderr.contains("lab"), "{}", outcome.stderr);
    }
    Ok(())
}

#[test]
fn not_root_it_runs_with_vm_sock_only_and_says_so_in_one_line() -> Result<()> {
    let mut switch = Switch::prepare_as(User::Nobody, None)?;
    switch.launch()?;
    let said = switch.printed() + "\n" + &switch.log();
    let lines = said
        .lines()
        .filter(|line| line.to_lowercase().contains("root"));
    assert_eq!(lines.count(), 1, "{said}");
    assert!(said.contains("vm.sock"), "{said}");
    assert_eq!(switch.namespace.netdevs()?, ["lo"]);

    let guest = Guest::boot(
        &switch.namespace,
        MAC1,
        Link::Stream(&switch.run_file("vm.sock")),
    )?;
    let lease = guest.lease()?;
    assert_eq!(
        switch.lease(MAC1)?["address"],
        format!("{}/24", lease.address)
    );
    drop(guest);
    switch.stop()?;
    nothing_left(&switch)
}

#[test]
fn the_control_socket_speaks_http_to_curl() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let c1 = switch.container("c1", MAC1)?;
    udhcpc(&c1, "")?;
    let socket = switch.run_file("control.sock");
    let mode = fs::metadata(&socket)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o660);

    let curl = |path: &str| {
        switch.namespace.run(&format!(
            "curl -sS --max-time 5 --unix-socket {} -w '\\n%{{http_code}}' http://vmlan{path}",
            socket.display()
        ))
    };
    for what in ["status", "ports", "fdb", "leases"] {
        let answer = curl(&format!("/v1/{what}"))?;
        let (body, code) = answer.rsplit_once('\n').context("no code")?;
        assert_eq!(code, "200", "{answer}");
        let body: Value = serde_json::from_str(body).with_context(|| body.to_owned())?;
        if what == "leases" {
            assert_eq!(body, switch.json("leases")?);
        }
    }
    for (request, code, words) in [
        ("/v1/nothing", "404", "no such resource"),
        ("/v1/status -X DELETE", "405", "method"),
        ("/v1/ports/c9 -X DELETE", "404", "no port c9"),
        ("/v1/ports/a%2fb -X DELETE", "400", "\"help\""),
        ("/v1/attach/c1 -X DELETE", "404", "port del c1"),
        (
            "/v1/fdb/52:54:00:00:00:99 -X DELETE",
            "404",
            "not in the table",
        ),
        (
            "/v1/fdb/52:54:00:00:00:99?vlan=4095 -X DELETE",
            "400",
            "4095 is no VLAN",
        ),
        ("/v1/leases/192.168.122.99 -X DELETE", "404", "not leased"),
        // As a form, which is what curl says of it.
        ("/v1/fdb/flush -d {}", "200", "forgotten"),
        ("/v1/fdb -d {}", "400", "missing field"),
    ] {
        let answer = curl(request)?;
        assert!(answer.ends_with(code), "{request}: {answer}");
        assert!(answer.contains(words), "{request}: {answer}");
        let (body, _) = answer.rsplit_once('\n').context("no code")?;
        serde_json::from_str::<Value>(body).with_context(|| body.to_owned())?;
        assert!(!body.contains("\\nhelp"), "{request}: {body}");
    }
    // Whatever is sent there, it answers the next.
    switch.namespace.shell(
        &format!(
            "head -c 100000 /dev/urandom | curl -s --max-time 5 --unix-socket {} \
             --data-binary @- http://vmlan/v1/ports",
            socket.display()
        ),
        wait::SOON,
    )?;
    switch.json("status").map(drop)
}

#[test]
fn a_reload_applies_what_changed_and_touches_nothing_else() -> Result<()> {
    let config = ISOLATED.to_owned() + &taps(&["c1", "c2"]);
    let mut switch = Switch::start(&config)?;
    let c1 = switch.container("c1", MAC1)?;
    let address = udhcpc(&c1, "")?.address;
    let frames = switch.port("c1")?["rx"]["frames"].clone();
    assert!(frames.as_u64() > Some(0));

    switch.write_config(
        &(ISOLATED.to_owned()
            + "[switch]\nageing = \"60s\"\n"
            + "[[dhcp.host]]\nmac = \"52:54:00:00:03:03\"\naddress = \"192.168.122.33\"\n"
            + &taps(&["c1", "c3"])),
    )?;
    let said = switch.cli("reload")?.success()?;
    assert!(said.contains("c2") && said.contains("c3"), "{said}");
    assert!(switch.port("c2").is_err());
    assert!(!switch.namespace.netdevs()?.contains(&"c2".to_owned()));
    let c3 = switch.container("c3", "52:54:00:00:03:03")?;
    assert_eq!(udhcpc(&c3, "")?.address.to_string(), "192.168.122.33");
    c3.ping(address)?;
    assert!(switch.port("c1")?["rx"]["frames"].as_u64() >= frames.as_u64());

    // The same again: nothing to do. A broken file: nothing is done.
    assert_eq!(switch.cli("reload")?.status, 0);
    switch.write_config("name = \"lab\"\nforwrad = \"isolated\"\n")?;
    let refused = switch.cli("reload")?;
    assert_ne!(refused.status, 0);
    assert!(refused.stderr.contains("forwrad"), "{}", refused.stderr);
    c3.ping(address)?;

    // SIGHUP does the same.
    switch.write_config(&(ISOLATED.to_owned() + &taps(&["c1", "c3", "c4"])))?;
    switch.signal(Signal::HUP)?;
    switch.namespace.wait_for_netdev("c4")?;
    c3.ping(address)?;
    switch.alive()
}

#[test]
fn a_port_that_failed_in_a_reload_is_tried_again() -> Result<()> {
    let mut switch = Switch::start(ISOLATED)?;
    switch.write_config(&(ISOLATED.to_owned() + &taps(&["c1"]) + &packets(&["v1"])))?;
    let failed = switch.cli("reload")?;
    assert_eq!(failed.status, 1, "{failed:?}");
    for words in ["nothing is changed", "v1", "lab.toml:"] {
        assert!(failed.stderr.contains(words), "{words}: {failed:?}");
    }
    assert!(switch.port("v1").is_err() && switch.port("c1").is_err());
    // One line of the log says what could not be done.
    let log = switch.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("nothing is changed"));
    assert_eq!(lines.count(), 1, "{log}");

    // By the same file, once what was missing is there. Nothing says so to
    // vmlan but the reload: what appears is left alone while it has a master.
    let other = Namespace::new("other")?;
    switch
        .namespace
        .run("ip link add br9 type bridge && ip link add v1 master br9 type veth peer name v2")?;
    assert!(switch.port("v1").is_err());
    let failed = switch.cli("reload")?;
    assert!(failed.stderr.contains("br9"), "{failed:?}");
    switch.namespace.run("ip link del v1")?;
    switch.namespace.veth("v1", &other, "eth0")?;
    wait::until("v1", wait::SOON, || {
        switch.cli("reload")?.success()?;
        switch.port("v1")
    })?;
    udhcpc(&other, "")?;
    switch.alive()
}

#[test]
fn a_tap_that_could_not_be_made_is_made_by_the_next_reload() -> Result<()> {
    let switch = Switch::start(ISOLATED)?;
    switch.namespace.run("ip tuntap add c1 mode tap")?;
    switch.write_config(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    assert_eq!(switch.cli("reload")?.status, 1);
    switch.namespace.run("ip link del c1")?;
    let said = switch.cli("reload")?.success()?;
    assert!(said.contains("port c1 added"), "{said}");
    assert_eq!(switch.port("c1")?["kind"], "tap");
    assert!(switch.cli("reload")?.success()?.contains("nothing"));
    Ok(())
}

#[test]
fn a_reload_keeps_the_nic_of_a_container_whose_offload_changes() -> Result<()> {
    let config = ISOLATED.to_owned() + &taps(&["c1"]);
    let switch = Switch::start(&config)?;
    let c1 = switch.container("c1", MAC1)?;
    udhcpc(&c1, "")?;
    switch.write_config(&(config + "offload = false\n"))?;
    let said = switch.cli("reload")?.success()?;
    assert!(said.contains("port c1 changed"), "{said}");
    c1.ping("192.168.122.1")?;
    let features = c1.run("ethtool -k eth0")?;
    assert!(
        features.contains("tcp-segmentation-offload: off"),
        "{features}"
    );
    Ok(())
}

#[test]
fn a_reload_to_a_larger_mtu_warns_of_netdevs_that_keep_theirs() -> Result<()> {
    let config = ISOLATED.to_owned() + &packets(&["v1"]) + &taps(&["c1"]);
    let mut switch = Switch::prepare(&config)?;
    let other = Namespace::new("other")?;
    switch.namespace.veth("v1", &other, "eth0")?;
    switch.launch()?;
    switch.write_config(&format!("mtu = 9000\n{config}"))?;
    let said = switch.cli("reload")?.success()?;
    assert!(said.contains("MTU is 9000 now"), "{said}");
    assert!(said.contains("ip link set v1 mtu 9000"), "{said}");
    let mtu = switch.namespace.run("cat /sys/class/net/c1/mtu")?;
    assert_eq!(mtu.trim(), "9000");
    Ok(())
}

#[test]
fn a_packet_netdev_that_vanishes_takes_its_port_along_and_nothing_else() -> Result<()> {
    let config = ISOLATED.to_owned() + &taps(&["c1", "c2"]) + &packets(&["v1"]);
    let mut switch = Switch::prepare(&config)?;
    let other = Namespace::new("other")?;
    switch.namespace.veth("v1", &other, "eth0")?;
    switch.launch()?;
    let [c1, c2] = [switch.container("c1", MAC1)?, switch.container("c2", MAC2)?];
    udhcpc(&other, "")?;
    let mac = other.mac("eth0")?;
    assert_eq!(switch.station(&mac)?["port"], "v1");

    switch.namespace.run("ip link del v1")?;
    wait::until("the port's end", wait::SOON, || {
        ensure!(switch.port("v1").is_err(), "still there");
        ensure!(switch.station(&mac).is_err(), "its station still there");
        Ok(())
    })?;
    assert!(switch.log().contains("v1"), "{}", switch.log());
    switch.alive()?;
    udhcpc(&c1, "")?;
    c1.ping(udhcpc(&c2, "")?.address)
}

#[test]
fn a_tap_that_moves_between_namespaces_stays_connected() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let first = switch.container("c1", MAC1)?;
    let address = udhcpc(&first, "")?.address;
    first.ping("192.168.122.1")?;

    let second = Namespace::new("second")?;
    second.adopt(&first, "eth0", MAC1)?;
    drop(first);
    assert_eq!(udhcpc(&second, "")?.address, address);
    second.ping("192.168.122.1")?;
    wait::until("the port to be up", wait::SOON, || {
        let port = switch.port("c1")?;
        ensure!(port["kind"] == "tap" && port["state"] == "up", "{port}");
        Ok(())
    })
}

#[test]
fn a_tap_whose_netdev_goes_with_its_namespace_does_not_stop_the_switch() -> Result<()> {
    let mut switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1", "c2"])))?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;
    udhcpc(&c1, "")?;
    c1.run("ip link del eth0")?;
    drop(c1);
    udhcpc(&c2, "")?;
    c2.ping("192.168.122.1")?;
    switch.alive()
}

#[test]
fn a_link_that_goes_down_and_up_is_followed() -> Result<()> {
    let mut switch = Switch::prepare(&(ISOLATED.to_owned() + &packets(&["v1"])))?;
    let other = Namespace::new("other")?;
    switch.namespace.veth("v1", &other, "eth0")?;
    switch.launch()?;
    let state = |wanted: &str| {
        wait::until(wanted, wait::SOON, || {
            let state = switch.port("v1")?["state"].clone();
            ensure!(state == wanted, "{state}");
            Ok(())
        })
    };
    state("up")?;
    other.run("ip link set eth0 down")?;
    state("down")?;
    other.run("ip link set eth0 up")?;
    state("up")?;
    udhcpc(&other, "").map(drop)
}

#[test]
fn netdevs_are_attached_by_name_by_command_and_given_back() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + "[attach]\nmatch = [\"vnet*\"]\n"))?;
    let vnet = Vmm::new(&switch.namespace, "vnet7")?;
    wait::until("vnet7", wait::SOON, || switch.port("vnet7"))?;
    let other = Vmm::new(&switch.namespace, "other")?;
    assert!(switch.port("other").is_err());
    switch.cli("attach other")?.success()?;
    assert_eq!(switch.port("other")?["kind"], "packet");

    let frame = plain(BROADCAST, station(1), 1);
    vnet.send(&frame)?;
    other.receive("a frame from vnet7", |got| got == frame)?;

    let again = switch.cli("attach other")?;
    assert_eq!(again.status, 1, "{again:?}");
    assert!(again.stderr.contains("other"), "{}", again.stderr);
    switch.cli("detach other")?.success()?;
    assert!(switch.port("other").is_err());
    assert!(switch.namespace.netdevs()?.contains(&"other".to_owned()));
    let missing = switch.cli("detach other")?;
    assert_eq!(missing.status, 1);
    assert!(missing.stderr.contains("other"), "{}", missing.stderr);
    Ok(())
}

#[test]
fn a_netdev_with_a_master_is_refused_and_left_alone() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + "[attach]\nmatch = [\"vnet*\"]\n"))?;
    switch.namespace.run(
        "ip link add br9 type bridge && ip tuntap add tap9 mode tap \
         && ip link set tap9 master br9 && ip link set tap9 up",
    )?;
    let refused = switch.cli("attach tap9")?;
    assert_eq!(refused.status, 1, "{refused:?}");
    for word in ["tap9", "br9"] {
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
    // One that matches is not taken either; another one, made later, is.
    switch.namespace.run(
        "ip link add slave type veth peer name tap8 && ip link set slave master br9 \
         && ip link set slave name vnet8 && ip link set vnet8 up",
    )?;
    let _next = Vmm::new(&switch.namespace, "vnet9")?;
    wait::until("vnet9", wait::SOON, || switch.port("vnet9"))?;
    let master = switch
        .namespace
        .run("cat /sys/class/net/vnet8/master/uevent")?;
    assert!(master.contains("br9"), "{master}");
    for left_alone in ["tap9", "vnet8"] {
        assert!(switch.port(left_alone).is_err());
    }
    Ok(())
}
