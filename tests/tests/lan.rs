//! A network that is joined to a LAN by a packet uplink.

use anyhow::Result;
use vmlan_tests::capture::Capture;
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::guest::{Guest, Link};
use vmlan_tests::lan::{HOST, Lan, RANGE, ROUTER};
use vmlan_tests::station::Station;
use vmlan_tests::switch::{Switch, taps};

const MAC1: &str = "52:54:00:00:02:01";
const MAC2: &str = "52:54:00:00:02:02";

/// A bridge to the LAN; the host has no interface in it.
const BRIDGE: &str = r#"
name      = "lab"
interface = ""
forward   = "bridge"
uplink    = "uplink0"
"#;

/// Starts vmlan with `config` beside a LAN on `uplink0`.
fn start(config: &str) -> Result<(Switch, Lan)> {
    let mut switch = Switch::prepare(config)?;
    let lan = Lan::new(&switch.namespace, "uplink0")?;
    switch.launch()?;
    Ok((switch, lan))
}

#[test]
fn guests_lease_from_the_lans_own_server_and_are_seen_with_their_own_macs() -> Result<()> {
    let (switch, lan) = start(&(BRIDGE.to_owned() + &taps(&["c1"])))?;
    let mut dhcp = Capture::start(&lan.router, "plug1", "udp port 67 or udp port 68")?;
    assert_eq!(switch.port("uplink0")?["kind"], "packet");

    let container = switch.container("c1", MAC1)?;
    let guest = Guest::boot(
        &switch.namespace,
        MAC2,
        Link::Stream(&switch.run_file("vm.sock")),
    )?;
    let one = udhcpc(&container, "")?;
    let two = guest.lease()?;
    for (lease, mac) in [(&one, MAC1), (&two, MAC2)] {
        assert!((RANGE[0]..=RANGE[1]).contains(&lease.address), "{lease:?}");
        assert_eq!(lease.option("serverid"), ROUTER.to_string());
        let answer = lan
            .host
            .run(&format!("arping -c 1 -w 5 -I eth0 {}", lease.address))?;
        assert!(answer.to_lowercase().contains(mac), "{answer}");
        lan.host.ping(lease.address)?;
    }
    container.ping(HOST)?;
    guest.ping(ROUTER)?;
    guest.ping(one.address)?;

    // dnsmasq was the only one to speak.
    let messages = dhcp.until("Reply")?;
    let mut replies = messages.lines().filter(|line| line.contains("Reply"));
    assert!(
        replies.all(|line| line.contains(&format!("{ROUTER}.67 >"))),
        "{messages}"
    );
    assert_eq!(switch.json("leases")?, serde_json::json!([]));
    assert_eq!(switch.station(MAC1)?["port"], "c1");
    assert_eq!(switch.station(MAC2)?["port"], "stream0");
    assert_eq!(switch.station(&lan.host.mac("eth0")?)?["port"], "uplink0");
    Ok(())
}

#[test]
fn the_embedded_server_neither_answers_the_lan_nor_lets_guests_ask_it() -> Result<()> {
    let config = r#"
name      = "lab"
interface = ""
address   = "10.77.0.200/24"
forward   = "bridge"
uplink    = "uplink0"
[dhcp]
enabled = true
range   = ["10.77.0.201", "10.77.0.220"]
"#;
    let (switch, mut lan) = start(&(config.to_owned() + &taps(&["c1"])))?;
    let container = switch.container("c1", MAC1)?;
    let mut wire = Capture::start(&lan.router, "plug1", "arp or udp port 67 or udp port 68")?;

    // The guest is served by the embedded server, and the LAN hears nothing.
    let lease = udhcpc(&container, "")?;
    assert_eq!(lease.option("serverid"), "10.77.0.200");
    assert!(!lan.log().contains(MAC1), "{}", lan.log());

    // A host of the LAN whose own server is down gets no lease from here.
    lan.stop_dnsmasq();
    lan.host.run("ip addr flush dev eth0")?;
    assert!(udhcpc(&lan.host, "-t 2 -T 1").is_err());
    lan.host
        .run(&format!("ip addr add {HOST}/24 brd + dev eth0"))?;
    assert_eq!(switch.json("leases")?.as_array().map(Vec::len), Some(1));
    assert!(
        switch.drops("dhcp-uplink")? > 0,
        "{}",
        switch.json("ports")?
    );

    // Back with the LAN's own server, the LAN is served as ever; and all that
    // the guest asked would have been on the wire by the time that this is.
    lan.start_dnsmasq()?;
    assert_eq!(
        udhcpc(&lan.host, "")?.option("serverid"),
        ROUTER.to_string()
    );
    container.run(&format!("arping -c 1 -w 5 -I eth0 {ROUTER}"))?;
    let wire = wire.until(&format!("who-has {ROUTER}"))?;
    assert!(!wire.contains(&format!("from {MAC1}")), "{wire}");
    assert!(!wire.contains("10.77.0.200.67"), "{wire}");
    Ok(())
}
