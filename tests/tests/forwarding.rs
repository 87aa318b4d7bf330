//! Learning, flooding and what is not forwarded, frame by frame.

use anyhow::{Result, ensure};
use vmlan_tests::capture::Capture;
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::frame::{BROADCAST, is_plain, plain, station, text};
use vmlan_tests::station::Station;
use vmlan_tests::stream_peer::StreamPeer;
use vmlan_tests::switch::{ISOLATED, Switch, packets, taps};
use vmlan_tests::vmm::Vmm;
use vmlan_tests::wait;

/// A switch with `section` as its `[switch]`, and packet ports `vm0`, `vm1` and
/// `vm2` whose taps the test holds.
fn start(section: &str) -> Result<(Switch, [Vmm; 3])> {
    let config = format!(
        "{ISOLATED}[switch]\n{section}\n{}",
        packets(&["vm0", "vm1", "vm2"])
    );
    let mut switch = Switch::prepare(&config)?;
    let vmms = [
        Vmm::new(&switch.namespace, "vm0")?,
        Vmm::new(&switch.namespace, "vm1")?,
        Vmm::new(&switch.namespace, "vm2")?,
    ];
    switch.launch()?;
    Ok((switch, vmms))
}

/// Sends a broadcast from `from` that has to arrive at `to` as the next frame
/// of a test: whatever was to come before it has come by then.
fn nothing_before(from: &Vmm, to: &Vmm, number: u8) -> Result<()> {
    let marker = plain(BROADCAST, station(number), 0xeeee);
    from.send(&marker)?;
    let frames = to.receive_until("the marker", |frame| frame == marker)?;
    let others: Vec<_> = frames
        .iter()
        .filter(|frame| is_plain(frame) && **frame != marker)
        .collect();
    ensure!(others.is_empty(), "unexpected: {others:02x?}");
    Ok(())
}

#[test]
fn a_station_is_learned_flooded_to_until_then_and_found_after() -> Result<()> {
    let (switch, [a, b, c]) = start("")?;

    // Unknown: to all but where it came from.
    let unknown = plain(station(2), station(1), 1);
    a.send(&unknown)?;
    b.receive("the flooded frame", |frame| frame == unknown)?;
    c.receive("the flooded frame", |frame| frame == unknown)?;
    nothing_before(&b, &a, 2)?;
    c.receive("the marker", is_plain)?;

    let shown = switch.station(&text(station(1)))?;
    assert_eq!(shown["port"], "vm0");
    assert_eq!(shown["static"], false);
    assert_eq!(shown["vlan"], 0);
    assert!(
        shown["age"].as_f64().is_some_and(|age| age < 10.0),
        "{shown}"
    );
    assert_eq!(switch.station(&text(station(2)))?["port"], "vm1");

    // Known: there, and nowhere else.
    let known = plain(station(1), station(2), 2);
    b.send(&known)?;
    a.receive("the frame for a known station", |frame| frame == known)?;
    nothing_before(&a, &c, 1)?;
    Ok(())
}

#[test]
fn a_station_that_moves_is_found_at_its_new_port() -> Result<()> {
    let (switch, [a, b, c]) = start("")?;
    a.send(&plain(BROADCAST, station(1), 1))?;
    c.receive("the first", is_plain)?;
    assert_eq!(switch.station(&text(station(1)))?["port"], "vm0");

    b.send(&plain(BROADCAST, station(1), 2))?;
    c.receive("the second", is_plain)?;
    assert_eq!(switch.station(&text(station(1)))?["port"], "vm1");
    let frame = plain(station(1), station(3), 3);
    c.send(&frame)?;
    b.receive("the frame at the new port", |got| got == frame)?;
    Ok(())
}

#[test]
fn a_silent_station_ages_away() -> Result<()> {
    let (switch, [a, b, c]) = start("ageing = \"3s\"")?;
    a.send(&plain(BROADCAST, station(1), 1))?;
    c.receive("the frame", is_plain)?;
    assert_eq!(switch.station(&text(station(1)))?["port"], "vm0");
    wait::until("the station's end", wait::SOON, || {
        ensure!(switch.station(&text(station(1))).is_err(), "still there");
        Ok(())
    })?;
    let frame = plain(station(1), station(3), 2);
    c.send(&frame)?;
    b.receive("the flooded frame", |got| got == frame)?;
    Ok(())
}

#[test]
fn a_flush_forgets_what_was_learned_and_keeps_what_was_set() -> Result<()> {
    let (switch, [a, b, c]) = start("")?;
    a.send(&plain(BROADCAST, station(1), 1))?;
    b.send(&plain(BROADCAST, station(2), 1))?;
    let both = |frame: &[u8]| is_plain(frame) && frame[11] == 2;
    c.receive("both", both)?;
    switch
        .cli(&format!("fdb add {} vm2", text(station(3))))?
        .success()?;
    assert_eq!(switch.station(&text(station(3)))?["static"], true);

    switch.cli("fdb flush --port vm0")?.success()?;
    assert!(switch.station(&text(station(1))).is_err());
    assert_eq!(switch.station(&text(station(2)))?["port"], "vm1");
    switch.cli("fdb flush")?.success()?;
    assert!(switch.station(&text(station(2))).is_err());
    assert_eq!(switch.station(&text(station(3)))?["port"], "vm2");
    Ok(())
}

#[test]
fn a_static_entry_holds_against_what_frames_say() -> Result<()> {
    let (switch, [a, b, c]) = start("")?;
    switch
        .cli(&format!("fdb add {} vm2", text(station(9))))?
        .success()?;

    // Not flooded, although the station never spoke.
    let frame = plain(station(9), station(1), 1);
    a.send(&frame)?;
    c.receive("the frame for the static station", |got| got == frame)?;
    nothing_before(&a, &b, 1)?;

    // Whoever uses its address elsewhere does not take it over.
    b.send(&plain(BROADCAST, station(9), 2))?;
    let marker = plain(BROADCAST, station(2), 3);
    b.send(&marker)?;
    c.receive("the marker", |got| got == marker)?;
    assert_eq!(switch.station(&text(station(9)))?["port"], "vm2");

    switch
        .cli(&format!("fdb del {}", text(station(9))))?
        .success()?;
    assert!(switch.station(&text(station(9))).is_err());
    let unknown = switch.cli(&format!("fdb add {} vm7", text(station(9))))?;
    assert_eq!(unknown.status, 1);
    assert!(unknown.stderr.contains("vm7"), "{}", unknown.stderr);
    Ok(())
}

#[test]
fn a_full_table_still_forwards_and_counts() -> Result<()> {
    let (switch, [a, b, c]) = start("fdb-size = 16")?;
    for number in 0..64 {
        a.send(&plain(BROADCAST, station(number), 1))?;
    }
    c.receive("the last", |frame| is_plain(frame) && frame[11] == 63)?;
    let fdb = switch.json("status")?["fdb"].clone();
    assert_eq!(fdb["used"], 16, "{fdb}");
    assert_eq!(fdb["size"], 16, "{fdb}");
    assert_eq!(fdb["refused"], 48, "{fdb}");

    // Station 63 found no room: it is flooded to.
    b.receive("the last", |frame| is_plain(frame) && frame[11] == 63)?;
    let frame = plain(station(63), station(0), 2);
    b.send(&frame)?;
    a.receive("the frame", |got| got == frame)?;
    c.receive("the flooded frame", |got| got == frame)?;
    Ok(())
}

#[test]
fn link_local_group_addresses_are_not_forwarded() -> Result<()> {
    let (switch, [a, b, _c]) = start("")?;
    for last in 0..=0x0f {
        a.send(&plain([0x01, 0x80, 0xc2, 0, 0, last], station(1), 1))?;
    }
    nothing_before(&a, &b, 1)?;
    assert_eq!(switch.port("vm0")?["rx"]["drops"]["link-local"], 16);
    // The next address is an ordinary multicast.
    let frame = plain([0x01, 0x80, 0xc2, 0, 0, 0x10], station(1), 2);
    a.send(&frame)?;
    b.receive("the multicast", |got| got == frame)?;
    Ok(())
}

#[test]
fn what_no_station_may_send_is_dropped_with_its_reason() -> Result<()> {
    let (switch, [a, b, _c]) = start("")?;
    a.send(&plain(BROADCAST, [0x01, 0, 0x5e, 0, 0, 1], 1))?;
    nothing_before(&a, &b, 1)?;
    assert_eq!(switch.port("vm0")?["rx"]["drops"]["multicast-source"], 1);

    let mut peer = StreamPeer::connect(&switch.run_file("vm.sock"))?;
    peer.send(&[1, 2, 3])?;
    let mut long = plain(BROADCAST, station(4), 2);
    long.resize(1500 + 14 + 4 + 1, 0);
    peer.send(&long)?;
    let good = plain(BROADCAST, station(4), 3);
    peer.send(&good)?;
    let frames = b.receive_until("the good frame", |frame| frame == good)?;
    assert!(!frames.contains(&long));
    let drops = switch.port("stream0")?["rx"]["drops"].clone();
    assert_eq!(drops["runt"], 1, "{drops}");
    assert_eq!(drops["too-big"], 1, "{drops}");
    assert!(switch.station("01:00:5e:00:00:01").is_err());
    Ok(())
}

#[test]
fn a_tagged_frame_keeps_its_tag_through_a_packet_port() -> Result<()> {
    let (_switch, [a, b, _c]) = start("")?;
    let mut tagged = plain(BROADCAST, station(1), 1);
    // 802.1Q, priority 3, VLAN 42: the kernel takes it out of the frame.
    tagged.splice(12..12, [0x81, 0x00, 0x60, 0x2a]);
    a.send(&tagged)?;
    let got = b.receive("the tagged frame", |frame| frame[6..12] == station(1))?;
    assert_eq!(got, tagged);
    Ok(())
}

#[test]
fn a_full_size_tagged_frame_is_not_too_big() -> Result<()> {
    let (switch, [a, _b, _c]) = start("")?;
    let mut peer = StreamPeer::connect(&switch.run_file("vm.sock"))?;
    let mut frame = plain(BROADCAST, station(4), 3);
    frame.splice(12..12, [0x81, 0x00, 0x00, 0x2a]);
    frame.resize(1500 + 14 + 4, 0);
    peer.send(&frame)?;
    a.receive("the long frame", |got| got == frame)?;
    assert_eq!(switch.drops("too-big")?, 0);
    Ok(())
}

#[test]
fn a_stream_that_breaks_its_protocol_is_hung_up_on() -> Result<()> {
    let (mut switch, [a, b, _c]) = start("")?;
    let mut liar = StreamPeer::connect(&switch.run_file("vm.sock"))?;
    liar.send_raw(&u32::MAX.to_be_bytes())?;
    liar.hung_up()?;
    wait::until("the port's end", wait::SOON, || {
        ensure!(switch.port("stream0").is_err(), "still there");
        Ok(())
    })?;
    switch.alive()?;
    nothing_before(&a, &b, 1)
}

#[test]
fn a_request_for_a_leased_live_address_is_answered_and_not_flooded() -> Result<()> {
    let range = "[dhcp]\nrange = [\"192.168.122.2\", \"192.168.122.100\"]\n";
    let switch = Switch::start(&(ISOLATED.to_owned() + range + &taps(&["c1", "c2", "c3"])))?;
    let [c1, c2, c3] = [
        switch.container("c1", "52:54:00:00:00:01")?,
        switch.container("c2", "52:54:00:00:00:02")?,
        switch.container("c3", "52:54:00:00:00:03")?,
    ];
    udhcpc(&c1, "")?;
    let leased = udhcpc(&c2, "")?.address;
    c2.ping("192.168.122.1")?;

    let mut third = Capture::start(&c3, "eth0", "arp")?;
    let answer = c1.run(&format!("arping -b -c 2 -w 5 -I eth0 {leased}"))?;
    assert!(answer.contains("52:54:00:00:00:02"), "{answer}");
    // Nobody has this one, so everybody is asked.
    let free = "192.168.122.200";
    c1.shell(&format!("arping -b -c 1 -w 1 -I eth0 {free}"), wait::SOON)?;
    let seen = third.until(&format!("who-has {free}"))?;
    assert!(!seen.contains(&format!("who-has {leased} ")), "{seen}");
    Ok(())
}

#[test]
fn a_probe_is_never_answered_for_the_probers_own_lease() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1", "c2"])))?;
    let c1 = switch.container("c1", "52:54:00:00:00:01")?;
    let c2 = switch.container("c2", "52:54:00:00:00:02")?;
    let own = udhcpc(&c1, "")?.address;
    udhcpc(&c2, "")?;

    // Duplicate address detection as a client does it before it takes its
    // lease: sender 0.0.0.0, address not set yet. arping overlooks an answer
    // with its own MAC, so that the wire has to show that there was none.
    let mut wire = Capture::start(&c1, "eth0", "arp")?;
    c1.run("ip addr flush dev eth0")?;
    c1.run(&format!("arping -D -c 2 -w 3 -I eth0 {own}"))?;
    c1.run(&format!("ip addr add {own}/24 dev eth0"))?;
    c1.run("arping -c 1 -w 5 -I eth0 192.168.122.1")?;
    let seen = wire.until("Reply 192.168.122.1 ")?;
    assert!(seen.contains(&format!("who-has {own}")), "{seen}");
    assert!(!seen.contains(&format!("Reply {own} ")), "{seen}");
    // From another station the address is a duplicate.
    let other = c2.shell(&format!("arping -D -c 2 -w 3 -I eth0 {own}"), wait::SOON)?;
    assert_eq!(other.status, 1, "{other:?}");
    Ok(())
}

#[test]
fn the_switch_answers_for_the_gateway_where_there_is_no_host_interface() -> Result<()> {
    let config = ISOLATED.replace("\"vmlan0\"", "\"\"") + &taps(&["c1"]);
    let switch = Switch::start(&config)?;
    assert_eq!(switch.namespace.netdevs()?, ["c1", "lo"]);
    let c1 = switch.container("c1", "52:54:00:00:00:01")?;
    udhcpc(&c1, "")?;
    let mac = switch.json("status")?["mac"].clone();
    let mac = mac.as_str().unwrap_or("no MAC").to_uppercase();
    let answer = c1.run("arping -c 1 -w 5 -I eth0 192.168.122.1")?;
    assert!(answer.contains(&mac), "{answer}, want {mac}");
    Ok(())
}
