//! Several workers: whatever port a frame comes in by, and whichever worker
//! reads it there, it leaves by every other, whole and in order.

use anyhow::Result;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::guest::{Guest, Link};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, packets, taps};
use vmlan_tests::transfer;
use vmlan_tests::wait;

const MAC1: &str = "52:54:00:00:0d:01";
const MAC2: &str = "52:54:00:00:0d:02";
const MAC3: &str = "52:54:00:00:0d:03";
const MINUTES: Duration = Duration::from_secs(120);
const TWO_WORKERS: &str = "[switch]\nworkers = 2\n";

const FLOWS: u32 = 16;
/// Datagrams of a flow that are sent before the receiver reads.
const BURST: u32 = 4;
const ROUNDS: u32 = 1500;

/// A port with two queues.
fn two_queues(kind: &str, name: &str) -> String {
    format!("[[port]]\nname = \"{name}\"\nkind = \"{kind}\"\nqueues = 2\n")
}

/// A namespace whose `eth0` is the other end of the switch's netdev `name`.
fn plugged(name: &str, switch: &Switch) -> Result<Namespace> {
    let namespace = Namespace::new(name)?;
    namespace.veth("eth0", &switch.namespace, name)?;
    Ok(namespace)
}

#[test]
fn every_kind_of_port_reaches_every_other_by_either_worker() -> Result<()> {
    let config = ISOLATED.to_owned()
        + TWO_WORKERS
        + &two_queues("tap", "c1")
        + &taps(&["c2"])
        + &two_queues("packet", "v1")
        + &packets(&["v2"]);
    let mut switch = Switch::prepare(&config)?;
    let v1 = plugged("v1", &switch)?;
    let v2 = plugged("v2", &switch)?;
    switch.launch()?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;
    let stations = [&c1, &c2, &v1, &v2];
    let mut addresses = Vec::new();
    for station in stations {
        addresses.push(udhcpc(station, "")?.address);
    }
    for (from, sender) in stations.iter().enumerate() {
        for (to, receiver) in stations.iter().enumerate() {
            if from != to {
                transfer::tcp(*sender, *receiver, addresses[to], 8, MINUTES)?;
            }
        }
        // By the host's own interface as well, which has a queue a worker.
        let host = switch.namespace.as_ref();
        transfer::tcp(*sender, host, "192.168.122.1", 8, MINUTES)?;
    }
    for reason in ["egress-full", "bad-offload", "too-big", "same-port"] {
        assert_eq!(switch.drops(reason)?, 0, "{}", switch.json("ports")?);
    }
    for worker in ["worker0", "worker1"] {
        assert!(
            switch.thread_ticks(worker)? > 0,
            "{worker} had nothing to do"
        );
    }
    Ok(())
}

#[test]
fn flows_over_several_queues_keep_their_order() -> Result<()> {
    let config = ISOLATED.to_owned()
        + TWO_WORKERS
        + &two_queues("packet", "v1")
        + &two_queues("packet", "v2");
    let mut switch = Switch::prepare(&config)?;
    let v1 = plugged("v1", &switch)?;
    let v2 = plugged("v2", &switch)?;
    switch.launch()?;
    udhcpc(&v1, "")?;
    let two = udhcpc(&v2, "")?.address;
    let before = [
        switch.thread_ticks("worker0")?,
        switch.thread_ticks("worker1")?,
    ];
    // Datagrams that wait for ARP are sent when the answer comes, while others go
    // past them.
    v1.ping(two)?;
    let receiver = v2.enter(|| Ok(UdpSocket::bind((two, 5001))?))?;
    receiver.set_read_timeout(Some(wait::SOON))?;
    let senders = v1.enter(|| {
        (0..FLOWS)
            .map(|_| {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
                socket.connect((two, 5001))?;
                Ok(socket)
            })
            .collect::<Result<Vec<_>>>()
    })?;
    let mut last: HashMap<SocketAddr, u32> = HashMap::new();
    for first in (0..ROUNDS * BURST).step_by(BURST as usize) {
        for number in first..first + BURST {
            for sender in &senders {
                sender.send(&number.to_be_bytes())?;
            }
        }
        // All of them, so that none is lost for want of room.
        for _ in 0..BURST * FLOWS {
            let mut datagram = [0; 4];
            let (_, flow) = receiver.recv_from(&mut datagram)?;
            let number = u32::from_be_bytes(datagram);
            let before = last.insert(flow, number);
            let next = before.map_or(0, |before| before + 1);
            assert_eq!(
                number, next,
                "a datagram of {flow} overtook another from {first} on"
            );
        }
    }
    assert_eq!(last.len(), FLOWS as usize);
    // That all flows fall to one queue happens once in 32,768 times.
    for (worker, before) in ["worker0", "worker1"].into_iter().zip(before) {
        let ticks = switch.thread_ticks(worker)? - before;
        assert!(ticks > 0, "{worker} had nothing to do");
    }
    Ok(())
}

#[test]
fn a_stream_guest_is_reached_by_both_workers_at_a_time() -> Result<()> {
    let config = ISOLATED.to_owned() + TWO_WORKERS + &taps(&["c1", "c2"]);
    let switch = Switch::start(&config)?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;
    let guest = Guest::boot(
        &switch.namespace,
        MAC3,
        Link::Stream(&switch.run_file("vm.sock")),
    )?;
    udhcpc(&c1, "")?;
    udhcpc(&c2, "")?;
    let address = guest.lease()?.address;
    // The taps have a worker each; one floods the guest with pings while the
    // other sends it data.
    let mut pings = c2.spawn(&format!("exec ping -i 0.002 -s 1400 {address}"))?;
    pings.wait_for_line("an answer", 0, wait::SOON, |line| line.contains("ttl="))?;
    transfer::tcp(&c1, &guest, address, 20, MINUTES)?;
    pings.running()?;
    let answered = pings.stdout();
    assert!(!answered.contains("DUP!"), "{answered}");
    guest.ping("192.168.122.1")
}

#[test]
fn ports_come_and_go_while_both_workers_are_busy() -> Result<()> {
    let config = ISOLATED.to_owned() + TWO_WORKERS + &taps(&["c1", "c2"]);
    let switch = Switch::start(&config)?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;
    udhcpc(&c1, "")?;
    let two = udhcpc(&c2, "")?.address;
    std::thread::scope(|scope| {
        let load = scope.spawn(|| transfer::tcp(&c1, &c2, two, 400, MINUTES));
        let mut rounds = 0;
        while !load.is_finished() {
            let queues = 1 + rounds % 2;
            switch
                .cli(&format!("port add x{rounds} --kind tap queues={queues}"))?
                .success()?;
            switch.cli(&format!("port del x{rounds}"))?.success()?;
            rounds += 1;
        }
        assert!(rounds > 3, "only {rounds} while data moved");
        load.join().unwrap().map(drop)
    })?;
    assert_eq!(switch.json("status")?["ports"], 3);
    let left = switch.namespace.netdevs()?;
    assert!(!left.iter().any(|name| name.starts_with('x')), "{left:?}");
    Ok(())
}

#[test]
fn without_io_uring_frames_are_sent_by_ordinary_calls() -> Result<()> {
    let config = ISOLATED.to_owned() + &packets(&["v1"]) + &taps(&["c1"]);
    let mut switch = Switch::prepare(&config)?;
    let v1 = plugged("v1", &switch)?;
    switch.launch_refusing("io_uring_setup", "error=EPERM")?;
    assert!(switch.log().contains("no io_uring"), "{}", switch.log());
    let c1 = switch.container("c1", MAC1)?;
    let one = udhcpc(&c1, "")?.address;
    let two = udhcpc(&v1, "")?.address;
    let both_ways = || {
        transfer::tcp(&c1, &v1, two, 20, MINUTES)?;
        transfer::tcp(&v1, &c1, one, 20, MINUTES)
    };
    both_ways()?;
    // Super-frames that are cut leave in two parts, by other calls.
    v1.run("ethtool -K eth0 tx off sg off tso off gso off gro off")?;
    switch.cli("port set v1 offload=false")?.success()?;
    switch.cli("port set c1 offload=false")?.success()?;
    both_ways()?;
    switch.stop()
}

#[test]
fn an_io_uring_that_fails_costs_a_burst_and_no_more() -> Result<()> {
    for (error, fails) in [("error=EAGAIN:when=40", false), ("error=EIO:when=40", true)] {
        let config = ISOLATED.to_owned() + &taps(&["c1", "c2"]);
        let mut switch = Switch::prepare(&config)?;
        switch.launch_refusing("io_uring_enter", error)?;
        let c1 = switch.container("c1", MAC1)?;
        let c2 = switch.container("c2", MAC2)?;
        udhcpc(&c1, "")?;
        let two = udhcpc(&c2, "")?.address;
        transfer::tcp(&c1, &c2, two, 20, MINUTES)?;
        let log = switch.log();
        assert_eq!(log.contains("io_uring failed"), fails, "{error}: {log}");
        assert!(
            switch.drops("egress-error")? <= 64,
            "{}",
            switch.json("ports")?
        );
        switch.stop()?;
    }
    Ok(())
}

#[test]
fn a_flow_between_multiqueue_taps_stays_with_its_worker() -> Result<()> {
    // With a port of one queue in between, the queues of the two TAPs go to the
    // workers in different order.
    let config = ISOLATED.to_owned() + TWO_WORKERS + &taps(&["c1"]) + &two_queues("tap", "c2");
    let switch = Switch::start(&config)?;
    let c2 = switch.container("c2", MAC2)?;
    let two = udhcpc(&c2, "")?.address;
    transfer::tcp(switch.namespace.as_ref(), &c2, two, 200, MINUTES)?;
    let counters = c2.run("nstat -asz TcpExtTCPOFOQueue TcpInSegs")?;
    let count = |name: &str| {
        let line = counters.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.and_then(|value| value.parse::<f64>().ok())
    };
    let (early, all) = (count("TcpExtTCPOFOQueue"), count("TcpInSegs"));
    // A loss somewhere has a few segments wait; a flow that goes back and forth
    // between the workers, most of them.
    assert!(early < all.map(|all| all / 20.0), "{counters}");
    Ok(())
}

#[test]
fn more_queues_than_workers_are_refused_with_the_mend() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + TWO_WORKERS))?;
    let refused = switch.cli("port add x --kind tap queues=3")?;
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.stderr.contains("3 queues"), "{}", refused.stderr);
    assert!(refused.stderr.contains("workers"), "{}", refused.stderr);
    let ports = switch.json("ports")?;
    assert_eq!(ports.as_array().map(Vec::len), Some(1), "{ports}");
    Ok(())
}
