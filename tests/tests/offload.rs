//! Offloads on and off: no byte is changed, no super-frame is lost.

use anyhow::{Context, Result};
use serde_json::Value;
use std::net::IpAddr;
use std::time::Duration;
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::guest::{Guest, Link};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, packets, taps};
use vmlan_tests::transfer;
use vmlan_tests::wait;

const MAC1: &str = "52:54:00:00:04:01";
const MAC2: &str = "52:54:00:00:04:02";
const MINUTES: Duration = Duration::from_secs(120);

/// Loads the way from `from` to `address` with iperf3 for 2 s and gives the
/// bytes that arrived.
fn iperf3(from: &Namespace, to: &Namespace, address: &str, arguments: &str) -> Result<u64> {
    let mut server = to.spawn("exec iperf3 -s -1 --forceflush")?;
    server.wait_for_line("iperf3's server", 0, wait::SOON, |line| {
        line.contains("Server listening")
    })?;
    let report = from
        .shell(
            &format!("iperf3 -c {address} -t 2 -J {arguments}"),
            Duration::from_secs(30),
        )?
        .success()?;
    let report: Value = serde_json::from_str(&report)?;
    server.wait(wait::SOON)?;
    report
        .pointer("/end/sum_received/bytes")
        .and_then(Value::as_u64)
        .with_context(|| report.to_string())
}

/// No frame was dropped for its size or its offload metadata.
fn nothing_too_big(switch: &Switch) -> Result<()> {
    for reason in ["too-big", "bad-offload"] {
        assert_eq!(switch.drops(reason)?, 0, "{}", switch.json("ports")?);
    }
    Ok(())
}

/// Mean length in bytes of what the switch received from `port`.
fn mean_frame(switch: &Switch, port: &str) -> Result<u64> {
    let port = switch.port(port)?;
    let count = |name| port.pointer(name).and_then(Value::as_u64);
    let bytes = count("/rx/bytes").context("no bytes")?;
    Ok(bytes / count("/rx/frames").context("no frames")?.max(1))
}

fn set_offloads(namespace: &Namespace, state: &str) -> Result<()> {
    namespace
        .run(&format!(
            "ethtool -K eth0 tx {state} sg {state} tso {state} gso {state} gro {state}"
        ))
        .map(drop)
}

#[test]
fn between_taps_no_byte_changes_with_offloads_on_and_off() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1", "c2"])))?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;
    let one = udhcpc(&c1, "")?.address;
    let two = udhcpc(&c2, "")?.address;
    c1.run("ip addr add fd00::1/64 dev eth0 nodad")?;
    c2.run("ip addr add fd00::2/64 dev eth0 nodad")?;

    // As it comes up, a tap port has its offloads on.
    let features = c1.run("ethtool -k eth0")?;
    for feature in ["tx-checksumming", "tcp-segmentation-offload"] {
        assert!(features.contains(&format!("{feature}: on")), "{features}");
    }
    for (first, second) in [("on", "on"), ("off", "off"), ("on", "off"), ("off", "on")] {
        set_offloads(&c1, first)?;
        set_offloads(&c2, second)?;
        for address in [two.to_string(), "fd00::2".to_owned()] {
            assert!(iperf3(&c1, &c2, &address, "")? > 0);
            assert!(iperf3(&c1, &c2, &address, "-R")? > 0);
        }
        transfer::tcp(&c1, &c2, two, 100, MINUTES)?;
        transfer::tcp(&c2, &c1, one, 100, MINUTES)?;
        transfer::tcp(&c1, &c2, "fd00::2", 100, MINUTES)?;
        if (first, second) == ("on", "on") {
            assert!(mean_frame(&switch, "c1")? > 1514, "no super-frame came");
        }
    }
    nothing_too_big(&switch)
}

#[test]
fn udp_arrives_whole_with_offloads_on_and_off() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1", "c2"])))?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;
    udhcpc(&c1, "")?;
    let two = udhcpc(&c2, "")?.address;
    for state in ["on", "off"] {
        set_offloads(&c1, state)?;
        // 4000 bytes: fragments without UFO, which no tap has any more.
        for length in [1400, 4000] {
            transfer::udp(&c1, &c2, two, 2000, length)?;
        }
    }
    nothing_too_big(&switch)
}

#[test]
fn from_a_tap_to_a_stream_guest_no_byte_changes_with_offloads_on_and_off() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let c1 = switch.container("c1", MAC1)?;
    let guest = Guest::boot(
        &switch.namespace,
        MAC2,
        Link::Stream(&switch.run_file("vm.sock")),
    )?;
    let one = udhcpc(&c1, "")?.address;
    let two = guest.lease()?.address;
    c1.run("ip addr add fd00::1/64 dev eth0 nodad")?;
    guest.run("ip addr add fd00::2/64 dev eth0")?;
    wait::until("IPv6 in the guest", wait::SOON, || c1.ping("fd00::2"))?;
    for state in ["on", "off"] {
        set_offloads(&c1, state)?;
        transfer::tcp(&c1, &guest, two, 100, MINUTES)?;
        transfer::tcp(&guest, &c1, one, 100, MINUTES)?;
        // TCP over IPv6 is segmented on its own way.
        transfer::tcp(&c1, &guest, "fd00::2", 20, MINUTES)?;
    }
    nothing_too_big(&switch)
}

#[test]
fn the_host_and_a_tap_move_data_unchanged() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let c1 = switch.container("c1", MAC1)?;
    let one = udhcpc(&c1, "")?.address;
    transfer::tcp(
        &c1,
        switch.namespace.as_ref(),
        "192.168.122.1",
        100,
        MINUTES,
    )?;
    transfer::tcp(switch.namespace.as_ref(), &c1, one, 100, MINUTES)?;
    nothing_too_big(&switch)
}

#[test]
fn a_veth_taken_as_packet_port_and_a_tap_move_data_unchanged() -> Result<()> {
    let mut switch = Switch::prepare(&(ISOLATED.to_owned() + &packets(&["v1"]) + &taps(&["c1"])))?;
    let v1 = Namespace::new("v1")?;
    v1.veth("eth0", &switch.namespace, "v1")?;
    switch.launch()?;
    let c1 = switch.container("c1", MAC1)?;
    let one = udhcpc(&c1, "")?.address;
    let two = udhcpc(&v1, "")?.address;
    for state in ["on", "off"] {
        set_offloads(&v1, state)?;
        transfer::tcp(&c1, &v1, two, 100, MINUTES)?;
        transfer::tcp(&v1, &c1, one, 100, MINUTES)?;
    }
    nothing_too_big(&switch)
}

/// Makes the VXLAN netdev `vx` on `eth0` in each of two namespaces, with 10.9.0.1
/// and fd09::1 at the first address and 10.9.0.2 and fd09::2 at the second.
fn vxlan(ends: [(&Namespace, IpAddr); 2], arguments: &str) -> Result<()> {
    let [one, two] = ends;
    for (number, (namespace, local), (_, remote)) in [(1, one, two), (2, two, one)] {
        namespace.run(&format!(
            "ip link add vx type vxlan id 7 dev eth0 dstport 4789 \
             local {local} remote {remote} {arguments} && \
             ip link set vx up && \
             ip addr add 10.9.0.{number}/24 dev vx && \
             ip addr add fd09::{number}/64 dev vx nodad"
        ))?;
    }
    Ok(())
}

/// What a namespace received with a wrong checksum: TCP would send it again, so
/// that it shows nowhere else.
fn checksum_errors(namespace: &Namespace) -> Result<String> {
    namespace.run("nstat -asz TcpInCsumErrors UdpInCsumErrors Udp6InCsumErrors")
}

#[test]
fn tcp_in_a_vxlan_moves_as_super_frames_and_no_byte_changes() -> Result<()> {
    let ports = packets(&["v1", "v2"]) + &taps(&["c1"]);
    let mut switch = Switch::prepare(&(ISOLATED.to_owned() + &ports))?;
    let v1 = Namespace::new("v1")?;
    v1.veth("eth0", &switch.namespace, "v1")?;
    let v2 = Namespace::new("v2")?;
    v2.veth("eth0", &switch.namespace, "v2")?;
    switch.launch()?;
    let c1 = switch.container("c1", MAC1)?;
    let mut addresses = Vec::new();
    for (number, namespace) in [(1_u8, &v1), (2, &v2), (3, &c1)] {
        addresses.push(IpAddr::V4(udhcpc(namespace, "")?.address));
        namespace.run(&format!("ip addr add fd00::{number}/64 dev eth0 nodad"))?;
    }
    let six = ["fd00::1", "fd00::2", "fd00::3"].map(str::parse);
    let [v1_six, v2_six, c1_six] = six;
    let (v1_six, v2_six, c1_six) = (v1_six?, v2_six?, c1_six?);
    let [v1_four, v2_four, c1_four] = addresses[..] else {
        anyhow::bail!("{addresses:?}");
    };

    for (near, far, arguments) in [
        ((&v1, v1_four), (&v2, v2_four), "udpcsum"),
        ((&v1, v1_four), (&v2, v2_four), "noudpcsum"),
        ((&v1, v1_six), (&v2, v2_six), ""),
        (
            (&v1, v1_six),
            (&v2, v2_six),
            "udp6zerocsumtx udp6zerocsumrx",
        ),
        ((&v1, v1_four), (&c1, c1_four), "udpcsum"),
        ((&v1, v1_six), (&c1, c1_six), ""),
    ] {
        vxlan([near, far], arguments)?;
        // Not from 0: an end without its VXLAN yet takes no checksum of 0.
        let before = [checksum_errors(near.0)?, checksum_errors(far.0)?];
        for address in ["10.9.0.2", "fd09::2"] {
            transfer::tcp(near.0, far.0, address, 20, MINUTES)?;
        }
        transfer::tcp(far.0, near.0, "10.9.0.1", 20, MINUTES)?;
        let after = [checksum_errors(near.0)?, checksum_errors(far.0)?];
        assert_eq!(before, after, "with {arguments:?}");
        for (namespace, _) in [near, far] {
            namespace.run("ip link del vx")?;
        }
    }
    assert!(
        mean_frame(&switch, "v1")? > 1514,
        "no super-frame came: {}",
        switch.json("ports")?
    );
    nothing_too_big(&switch)
}
