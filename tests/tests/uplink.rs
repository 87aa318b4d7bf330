//! The host's own place on the LAN that its guests are bridged to: moved from
//! the NIC to the host interface, and back.

use anyhow::{Context, Result, ensure};
use std::fmt::Display;
use std::net::Ipv4Addr;
use vmlan_tests::capture::Capture;
use vmlan_tests::dhcp_client::{Dhclient, udhcpc};
use vmlan_tests::guest::{Guest, Link};
use vmlan_tests::lan::{HOST, Lan, RANGE, ROUTER};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::process::Process;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{Switch, taps};
use vmlan_tests::wait;

const MAC1: &str = "52:54:00:00:03:01";
const MAC2: &str = "52:54:00:00:03:02";

/// The host's own address on the LAN.
const OWN: &str = "10.77.0.7";
/// What is behind the router.
const OUTSIDE: &str = "192.0.2.1";

const BRIDGE: &str = r#"
name      = "lab"
interface = "vmlan0"
forward   = "bridge"
uplink    = "eth0"
"#;

fn moving() -> String {
    format!("{BRIDGE}move-addresses = true\n")
}

/// A host on the LAN by `eth0`, with addresses and routes; vmlan is not started
/// yet.
fn host(config: &str) -> Result<(Switch, Lan)> {
    let switch = Switch::prepare(config)?;
    let lan = Lan::new(&switch.namespace, "eth0")?;
    lan.router.run(&format!(
        "ip addr add 2001:db8:77::1/64 dev lan0 nodad && ip addr add {OUTSIDE}/32 dev lo \
         && ip addr add 2001:db8::1/128 dev lo && sysctl -qw net.ipv6.conf.all.forwarding=1"
    ))?;
    let host = &switch.namespace;
    host.run(&format!(
        "ip addr add {OWN}/24 brd + dev eth0 \
         && ip addr add 10.77.0.8/24 brd + dev eth0 \
         && ip addr add 2001:db8:77::7/64 dev eth0 \
         && ip route add default via {ROUTER} metric 100 proto static \
         && ip -6 route add default via 2001:db8:77::1 \
         && ip route add 198.51.100.0/24 via {ROUTER} src 10.77.0.8 table 77"
    ))?;
    settle(host)?;
    ping(host, OUTSIDE)?;
    ping(host, "2001:db8::1")?;
    Ok((switch, lan))
}

/// Waits until duplicate address detection is done.
fn settle(host: &Namespace) -> Result<()> {
    wait::until("settled addresses", wait::SOON, || {
        let tentative = host.run("ip -br addr show tentative")?;
        ensure!(!tentative.contains("::"), "{tentative}");
        Ok(())
    })
}

/// Addresses of the NIC and all routes, as `ip` tells them.
fn picture(host: &Namespace) -> Result<String> {
    settle(host)?;
    host.run(
        "ip -j addr show dev eth0; ip -j -d route show table all; ip -6 -j -d route show table all",
    )
}

fn ping(from: &Namespace, to: impl Display) -> Result<()> {
    from.run(&format!("ping -c 1 -W 5 {to}")).map(drop)
}

/// The MAC that `arping` from the LAN's other host finds at the host's address.
fn answers(lan: &Lan) -> Result<String> {
    let answer = lan
        .host
        .run(&format!("arping -c 1 -w 5 -I eth0 {OWN}"))?
        .to_lowercase();
    let mac = answer.split(['[', ']']).nth(1);
    Ok(mac.context(answer.clone())?.to_owned())
}

#[test]
fn the_host_and_its_guests_are_stations_of_the_lan_and_the_nic_gets_all_back() -> Result<()> {
    let (mut switch, lan) = host(&(moving() + &taps(&["c1"])))?;
    let before = picture(&switch.namespace)?;
    let nic = switch.namespace.mac("eth0")?;
    assert_eq!(answers(&lan)?, nic);
    let mut arp = Capture::start(&lan.host, "eth0", &format!("arp src host {OWN}"))?;

    switch.launch()?;
    let own = switch.namespace.mac("vmlan0")?;
    assert_ne!(own, nic);
    // Told without being asked.
    arp.until(&format!("{own} > ff:ff:ff:ff:ff:ff"))?;
    let known = lan.host.run(&format!("ip neigh show {OWN}"))?;
    assert!(known.is_empty() || known.contains(&own), "{known}");
    assert_eq!(answers(&lan)?, own);
    let host = &switch.namespace;
    let left = host.run("ip -br addr show dev eth0")?;
    assert!(!left.contains("10.77") && !left.contains("::"), "{left}");
    for address in [OUTSIDE, "2001:db8::1"] {
        ping(host, address)?;
        let way = host.run(&format!("ip route get {address}"))?;
        assert!(way.contains("dev vmlan0"), "{way}");
    }
    ping(&lan.host, OWN)?;
    ping(&lan.router, "2001:db8:77::7")?;

    let container = switch.container("c1", MAC1)?;
    let guest = Guest::boot(
        &switch.namespace,
        MAC2,
        Link::Stream(&switch.run_file("vm.sock")),
    )?;
    for lease in [udhcpc(&container, "")?, guest.lease()?] {
        assert!((RANGE[0]..=RANGE[1]).contains(&lease.address), "{lease:?}");
        ping(&lan.host, lease.address)?;
        ping(&switch.namespace, lease.address)?;
    }
    guest.ping(OWN)?;
    ping(&container, HOST)?;
    // The LAN's "physical switch" has all of them on one port.
    let fdb = lan.router.run("bridge fdb show brport plug1 dynamic")?;
    for mac in [MAC1, MAC2, &own] {
        assert!(fdb.contains(mac), "{mac} in {fdb}");
    }

    switch.stop()?;
    assert_eq!(picture(&switch.namespace)?, before);
    assert_eq!(answers(&lan)?, nic);
    ping(&switch.namespace, OUTSIDE)
}

#[test]
fn after_kill_the_addresses_come_back_by_command_and_at_the_next_start() -> Result<()> {
    let (mut switch, lan) = host(&moving())?;
    let before = picture(&switch.namespace)?;
    switch.launch()?;
    switch.kill();
    assert!(ping(&switch.namespace, OUTSIDE).is_err(), "it needs a mend");
    let found = switch.cli("doctor --config CONFIG")?;
    let mend = "`vmlan uplink restore --network ";
    assert!(found.stdout.contains(mend), "{found:?}");
    let said = switch.cli("uplink restore")?.success()?;
    assert!(said.contains(OWN), "{said}");
    assert_eq!(picture(&switch.namespace)?, before);
    ping(&switch.namespace, OUTSIDE)?;
    let said = switch.cli("uplink restore")?.success()?;
    assert!(said.contains("moved nothing"), "{said}");

    switch.launch()?;
    let refused = switch.cli("uplink restore")?;
    assert!(refused.stderr.contains("already served"), "{refused:?}");
    switch.kill();
    switch.launch()?;
    assert!(switch.log().contains("put back after the last run"));
    assert_eq!(answers(&lan)?, switch.namespace.mac("vmlan0")?);
    ping(&switch.namespace, OUTSIDE)?;
    switch.kill();
    switch.write_config(BRIDGE)?;
    switch.launch()?;
    assert_eq!(answers(&lan)?, switch.namespace.mac("eth0")?);
    switch.stop()?;
    assert_eq!(picture(&switch.namespace)?, before);
    Ok(())
}

#[test]
fn with_the_nics_mac_the_lan_notices_nothing() -> Result<()> {
    let (mut switch, lan) = host(&format!("{}mac = \"uplink\"\n", moving()))?;
    let before = picture(&switch.namespace)?;
    let nic = switch.namespace.mac("eth0")?;
    ping(&lan.host, OWN)?;
    // Over both moves. What comes in between is heard twice rather than not.
    let pings = lan
        .host
        .spawn(&format!("exec ping -q -i 0.01 -c 300 -W 1 {OWN}"))?;
    switch.launch()?;
    assert_eq!(switch.namespace.mac("vmlan0")?, nic);
    assert_eq!(answers(&lan)?, nic);
    ping(&switch.namespace, OUTSIDE)?;
    ping(&switch.namespace, "2001:db8::1")?;
    switch.stop()?;
    let said = summary(pings)?;
    let received = said.split(", ").nth(1).unwrap_or_default();
    let received: u32 = received.split(' ').next().unwrap_or_default().parse()?;
    assert!(received >= 298, "{said}");
    assert_eq!(picture(&switch.namespace)?, before);
    Ok(())
}

/// The line with which a `ping -q` ends.
fn summary(mut pings: Process) -> Result<String> {
    pings.wait_for_line("the end of ping", 0, wait::SOON, |line| {
        line.contains("packets transmitted")
    })
}

#[test]
fn an_uplink_that_is_taken_away_gets_its_addresses_back_first() -> Result<()> {
    let (mut switch, lan) = host(&moving())?;
    let before = picture(&switch.namespace)?;
    switch.launch()?;
    switch.cli("detach eth0")?.success()?;
    let own = switch.namespace.run("ip -br addr show dev vmlan0")?;
    assert!(!own.contains("10.77"), "{own}");
    ping(&switch.namespace, OUTSIDE)?;
    assert_eq!(answers(&lan)?, switch.namespace.mac("eth0")?);
    switch.cli("attach eth0")?.success()?;
    assert_eq!(answers(&lan)?, switch.namespace.mac("vmlan0")?);
    switch.stop()?;
    assert_eq!(picture(&switch.namespace)?, before);
    Ok(())
}

/// A NIC without an address; the host interface is a plain netdev, on which
/// the host's own client finds one.
#[test]
fn the_hosts_own_dhcp_client_gets_an_address_on_the_host_interface() -> Result<()> {
    // The clients of the tests work on `eth0`.
    let config = BRIDGE.replace("eth0", "nic0").replace("vmlan0", "eth0");
    let mut switch = Switch::prepare(&config)?;
    let lan = Lan::new(&switch.namespace, "nic0")?;
    switch.launch()?;
    let host = &switch.namespace;
    for lease in [udhcpc(host, "")?, Dhclient::new()?.lease(host)?] {
        assert!((RANGE[0]..=RANGE[1]).contains(&lease.address));
        ping(&lan.host, lease.address)?;
        ping(host, HOST)?;
    }
    switch.stop()
}

/// The files for systemd-networkd that the documentation has.
const NIC_FILE: &str = "[Match]\\nName=eth0\\n[Link]\\nUnmanaged=yes\\n";
const INTERFACE_FILE: &str = "[Match]\\nName=vmlan0\\n[Network]\\nDHCP=ipv4\\n";

#[test]
fn systemd_networkd_gets_an_address_on_the_host_interface_each_time_it_appears() -> Result<()> {
    let mut switch = Switch::prepare(BRIDGE)?;
    let lan = Lan::new(&switch.namespace, "eth0")?;
    // How it runs without systemd is told in dhcp_networkd.rs.
    let networkd = switch.namespace.spawn(&format!(
        "mount -o remount,ro /sys
        mount -t tmpfs none /run
        mkdir -p /run/systemd/network /run/systemd/system
        for folder in links leases lldp; do mkdir -p /run/systemd/netif/$folder; done
        printf '{NIC_FILE}' >/run/systemd/network/10-eth0.network
        printf '{INTERFACE_FILE}' >/run/systemd/network/20-vmlan0.network
        chown -R systemd-network /run/systemd/netif
        SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console \
            exec /lib/systemd/systemd-networkd"
    ))?;
    wait::until("networkd", wait::SOON, || {
        let log = networkd.stderr();
        ensure!(log.contains("eth0: Unmanaging interface"), "{log}");
        Ok(())
    })?;
    let mut first = None;
    for _ in 0..2 {
        switch.launch()?;
        let address = wait::until("the address", wait::SOON * 3, || {
            let shown = switch.namespace.run("ip -4 -br addr show dev vmlan0")?;
            let address = shown.split_whitespace().nth(2);
            let address = address.and_then(|text| text.split('/').next());
            Ok(address.context("none yet")?.parse::<Ipv4Addr>()?)
        })
        .with_context(|| networkd.stderr())?;
        assert!((RANGE[0]..=RANGE[1]).contains(&address));
        assert_eq!(*first.get_or_insert(address), address);
        ping(&lan.host, address)?;
        switch.stop()?;
    }
    Ok(())
}
