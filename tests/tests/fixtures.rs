//! The fixtures against a Linux bridge and dnsmasq: what fails here is the
//! test bed's fault, not vmlan's.

use anyhow::{Context, Result, ensure};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;
use vmlan_tests::capture::Capture;
use vmlan_tests::dhcp_client::{Dhclient, Udhcpc, udhcpc};
use vmlan_tests::frame;
use vmlan_tests::guest::{Guest, Link};
use vmlan_tests::lan::{HOST, Lan, RANGE, ROUTER};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::process;
use vmlan_tests::station::Station;
use vmlan_tests::stream_peer::StreamPeer;
use vmlan_tests::transfer;
use vmlan_tests::vmm::Vmm;
use vmlan_tests::wait::{self, SOON};

/// A namespace with a Linux bridge `br0`, `uplink` to the LAN in it.
fn bridge() -> Result<(Namespace, Lan)> {
    let bridge = Namespace::new("bridge")?;
    let lan = Lan::new(&bridge, "uplink")?;
    bridge.run(
        "sysctl -qw net.ipv6.conf.default.disable_ipv6=1; \
         ip link add br0 type bridge && ip link set br0 up && ip link set uplink master br0",
    )?;
    Ok((bridge, lan))
}

fn container(bridge: &Namespace, name: &str, mac: &str) -> Result<Namespace> {
    let container = Namespace::new(name)?;
    container.veth("eth0", bridge, name)?;
    container.run(&format!("ip link set eth0 address {mac}"))?;
    bridge.run(&format!("ip link set {name} master br0"))?;
    Ok(container)
}

#[test]
fn dhcp_clients_lease_renew_and_come_back() -> Result<()> {
    let (bridge, lan) = bridge()?;
    let c1 = container(&bridge, "c1", "52:54:00:00:00:01")?;
    let c2 = container(&bridge, "c2", "52:54:00:00:00:02")?;
    let resolv = std::fs::read("/etc/resolv.conf").ok();

    let (mut client, lease) = Udhcpc::start(&c1, "-x hostname:web")?;
    assert!((RANGE[0]..=RANGE[1]).contains(&lease.address));
    assert_eq!(lease.option("router"), ROUTER.to_string());
    assert_eq!(client.renew()?.address, lease.address);
    assert!(lan.log().contains("web"), "{}", lan.log());
    c1.ping(HOST)?;

    let dhclient = Dhclient::new()?;
    let first = dhclient.lease(&c2)?;
    assert_eq!(first.option("event"), "BOUND");
    let second = dhclient.lease(&c2)?;
    assert_eq!(second.option("event"), "REBOOT");
    assert_eq!(first.address, second.address);
    c2.ping(lease.address)?;

    client.release()?;
    dhclient.release(&c2)?;
    assert_eq!(resolv, std::fs::read("/etc/resolv.conf").ok());
    Ok(())
}

#[test]
fn a_capture_shows_frames_in_their_order() -> Result<()> {
    let (bridge, lan) = bridge()?;
    let c1 = container(&bridge, "c1", "52:54:00:00:00:01")?;
    let lease = udhcpc(&c1, "")?;
    let mut capture = Capture::start(&lan.host, "eth0", "arp")?;
    // Nobody answers: only the requests are wanted.
    c1.shell("arping -c 1 -w 1 -I eth0 10.77.0.9", Duration::from_secs(5))?;
    c1.run(&format!("arping -c 1 -w 5 -I eth0 {HOST}"))?;
    let text = capture.until(&format!("who-has {HOST}"))?;
    assert!(text.contains("who-has 10.77.0.9"), "{text}");
    assert!(text.contains(&lease.address.to_string()), "{text}");
    Ok(())
}

#[test]
fn a_vmm_sends_and_receives_raw_frames() -> Result<()> {
    let (bridge, _lan) = bridge()?;
    let [a, b] = [Vmm::new(&bridge, "vnet0")?, Vmm::new(&bridge, "vnet1")?];
    bridge.run("ip link set vnet0 master br0 && ip link set vnet1 master br0")?;
    let mut frame = vec![0xff; 6];
    frame.extend([0x52, 0x54, 0, 0, 0, 9, 0x88, 0xb5]);
    frame.resize(60, 7);
    a.send(&frame)?;
    assert_eq!(b.receive("the frame", |got| got == frame)?, frame);
    Ok(())
}

#[test]
fn a_stream_peer_speaks_what_qemu_speaks() -> Result<()> {
    let namespace = Namespace::new("stream")?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("vm.sock");
    let listener = UnixListener::bind(&path)?;
    let mac = frame::station(0x20);
    let guest = Guest::boot(&namespace, &frame::text(mac), Link::Stream(&path))?;
    let mut peer = StreamPeer::new(listener.accept()?.0)?;

    // Its DISCOVER, from port 68 to port 67 by UDP.
    guest.shell("udhcpc -i eth0 -f -n -q -t 1 -T 1 -s /bin/true", SOON)?;
    let discover = peer.receive("a DISCOVER", |frame| {
        frame.get(34..38) == Some(&[0, 68, 0, 67])
    })?;
    assert_eq!(discover[..6], frame::BROADCAST);
    assert_eq!(discover[6..12], mac);

    // A frame for it is counted by its NIC.
    let count = "cat /sys/class/net/eth0/statistics/rx_packets";
    let before: u64 = guest.run(count)?.trim().parse()?;
    peer.send(&frame::plain(mac, frame::station(1), 1))?;
    wait::until("the frame in the guest", SOON, || {
        let now: u64 = guest.run(count)?.trim().parse()?;
        anyhow::ensure!(now == before + 1, "{now} frames");
        Ok(())
    })
}

#[test]
fn two_guests_lease_ping_and_move_data_both_ways() -> Result<()> {
    let (bridge, _lan) = bridge()?;
    let mut guests = Vec::new();
    for number in 0..2 {
        let tap = format!("vnet{number}");
        bridge.run(&format!(
            "ip tuntap add {tap} mode tap vnet_hdr && ip link set {tap} master br0"
        ))?;
        let mac = format!("52:54:00:00:00:1{number}");
        let guest = Guest::boot(&bridge, &mac, Link::Tap(&tap))?;
        let lease = guest.lease().context("lease")?;
        guests.push((guest, lease.address));
    }
    let [(a, a_address), (b, b_address)] = guests.as_slice() else {
        anyhow::bail!("two guests were booted");
    };
    a.ping(b_address)?;
    b.ping(a_address)?;
    assert_eq!(a.shell("exit 3", Duration::from_secs(5))?.status, 3);
    let minute = Duration::from_secs(60);
    for (from, to, address) in [(a, b, b_address), (b, a, a_address)] {
        let time = transfer::tcp(from, to, address, 100, minute)?;
        println!("100 MiB in {time:?}");
    }
    Ok(())
}

#[test]
fn a_namespace_takes_its_processes_along() -> Result<()> {
    let namespace = Namespace::new("short")?;
    let mut sleeper = namespace.spawn("exec sleep 600")?;
    let name = namespace.name().to_owned();
    wait::until("the process in its namespace", SOON, || {
        let mut pids = Command::new("ip");
        pids.args(["netns", "pids", &name]);
        let pids = process::run(pids, SOON)?.success()?;
        ensure!(!pids.trim().is_empty(), "none yet");
        Ok(())
    })?;
    drop(namespace);
    sleeper.wait(SOON)?;
    let mut list = Command::new("ip");
    list.args(["netns", "list"]);
    assert!(!process::run(list, SOON)?.success()?.contains(&name));
    Ok(())
}
