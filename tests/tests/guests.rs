//! Whole guests under qemu.

use anyhow::Result;
use std::time::Duration;
use vmlan_tests::guest::{Guest, Link};
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch};
use vmlan_tests::transfer;
use vmlan_tests::wait;

const MAC1: &str = "52:54:00:00:01:01";
const MAC2: &str = "52:54:00:00:01:02";

#[test]
fn a_guest_on_a_tap_and_one_on_a_stream_lease_ping_and_move_100_mib_both_ways() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + "[attach]\nmatch = [\"vnet*\"]\n"))?;
    let tap = Guest::boot(&switch.namespace, MAC1, Link::Tap("vnet0"))?;
    let stream = Guest::boot(
        &switch.namespace,
        MAC2,
        Link::Stream(&switch.run_file("vm.sock")),
    )?;
    assert_eq!(switch.port("vnet0")?["kind"], "packet");
    assert_eq!(switch.port("stream0")?["kind"], "stream");
    // The guest on the tap leaves checksums and segments to the switch.
    let features = tap.run("cat /sys/class/net/eth0/device/features")?;
    for (bit, name) in [(0, "CSUM"), (11, "HOST_TSO4"), (12, "HOST_TSO6")] {
        assert_eq!(features.trim().as_bytes().get(bit), Some(&b'1'), "{name}");
    }

    let one = tap.lease()?.address;
    let two = stream.lease()?.address;
    assert_ne!(one, two);
    tap.ping(two)?;
    stream.ping(one)?;
    tap.ping("192.168.122.1")?;
    stream.ping("192.168.122.1")?;
    for (mac, address, port) in [(MAC1, one, "vnet0"), (MAC2, two, "stream0")] {
        assert_eq!(switch.lease(mac)?["address"], format!("{address}/24"));
        assert_eq!(switch.station(mac)?["port"], port);
    }

    let minutes = Duration::from_secs(120);
    transfer::tcp(&tap, &stream, two, 100, minutes)?;
    transfer::tcp(&stream, &tap, one, 100, minutes)?;
    // The guest's super-frames did come in whole: the mean frame is longer
    // than any that fits the MTU.
    let rx = &switch.port("vnet0")?["rx"];
    let mean = rx["bytes"].as_u64().unwrap_or(0) / rx["frames"].as_u64().unwrap_or(1).max(1);
    assert!(mean > 1514, "{rx}");
    assert_eq!(switch.drops("too-big")?, 0, "{}", switch.json("ports")?);
    assert_eq!(switch.drops("bad-offload")?, 0, "{}", switch.json("ports")?);
    Ok(())
}

#[test]
fn a_guests_port_goes_with_the_guest() -> Result<()> {
    let mut switch = Switch::start(&(ISOLATED.to_owned() + "[attach]\nmatch = [\"vnet*\"]\n"))?;
    let tap = Guest::boot(&switch.namespace, MAC1, Link::Tap("vnet0"))?;
    let stream = Guest::boot(
        &switch.namespace,
        MAC2,
        Link::Stream(&switch.run_file("vm.sock")),
    )?;
    tap.lease()?;
    let address = stream.lease()?.address;

    drop(tap);
    wait::until("the tap's port to go", wait::SOON, || {
        anyhow::ensure!(switch.port("vnet0").is_err(), "still there");
        anyhow::ensure!(switch.station(MAC1).is_err(), "still in the FDB");
        Ok(())
    })?;
    stream.ping("192.168.122.1")?;
    drop(stream);
    wait::until("the stream's port to go", wait::SOON, || {
        anyhow::ensure!(switch.port("stream0").is_err(), "still there");
        Ok(())
    })?;

    // The next guest with that MAC is served as before.
    switch.alive()?;
    let again = Guest::boot(
        &switch.namespace,
        MAC2,
        Link::Stream(&switch.run_file("vm.sock")),
    )?;
    assert_eq!(again.lease()?.address, address);
    Ok(())
}
