//! What a guest cannot reach: the host, and what lies behind it, by the netdev
//! that the switch has taken.

use anyhow::{Context, Result, ensure};
use etherparse::PacketBuilder;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::net::UdpSocket;
use std::process::Command;
use vmlan_tests::frame::{BROADCAST, Mac, plain, station};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::process::{self, Process};
use vmlan_tests::station::Station;
use vmlan_tests::stream_peer::StreamPeer;
use vmlan_tests::switch::{ISOLATED, Switch, program};
use vmlan_tests::vmm::Vmm;
use vmlan_tests::wait;

const ATTACH: &str = "[attach]\nmatch = [\"vnet*\"]\n";

/// A UDP port that nothing else uses.
const PORT: u16 = 4711;

/// The host's address in the LAN, and that of another one there.
const HOST: [u8; 4] = [10, 9, 0, 1];
const LAN: [u8; 4] = [10, 9, 0, 2];

/// A host that forwards, with a guest behind the taken netdev `vnet7`, a LAN on
/// the other side, and a service on both.
struct Router {
    switch: Switch,
    guest: Vmm,
    host: UdpSocket,
    lan: UdpSocket,
    _lan: Namespace,
}

impl Router {
    fn start() -> Result<Self> {
        let switch = Switch::prepare(&(ISOLATED.to_owned() + ATTACH))?;
        let lan = Namespace::new("lan")?;
        switch.namespace.veth("lan0", &lan, "eth0")?;
        // As lax as a host can be.
        switch.namespace.run(
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 \
             net.ipv4.conf.default.rp_filter=0; ip addr add 10.9.0.1/24 dev lan0",
        )?;
        lan.run("ip addr add 10.9.0.2/24 dev eth0; ip route add default via 10.9.0.1")?;
        let guest = Vmm::new(&switch.namespace, "vnet7")?;
        let service = |namespace: &Namespace| {
            namespace.enter(|| {
                let socket = UdpSocket::bind(("0.0.0.0", PORT))?;
                socket.set_read_timeout(Some(wait::SOON))?;
                Ok(socket)
            })
        };
        Ok(Self {
            host: service(&switch.namespace)?,
            lan: service(&lan)?,
            switch,
            guest,
            _lan: lan,
        })
    }

    fn launch(&mut self) -> Result<()> {
        self.switch.launch()?;
        self.wait_for_port()
    }

    fn wait_for_port(&self) -> Result<()> {
        wait::until("vnet7", wait::SOON, || self.switch.port("vnet7")).map(drop)
    }

    /// What the guest gets through to LAN host and host, sent to the netdev's
    /// own MAC.
    fn reached(&self) -> Result<[bool; 2]> {
        let mac = mac(&self.switch.namespace.mac("vnet7")?)?;
        self.guest.send(&datagram(mac, LAN)?)?;
        self.guest.send(&datagram(mac, HOST)?)?;
        // What is sent later takes the same ways, and comes later.
        self.host.send_to(b"end", ("10.9.0.2", PORT))?;
        self.lan.send_to(b"end", ("10.9.0.1", PORT))?;
        Ok([guest_came(&self.lan)?, guest_came(&self.host)?])
    }
}

/// Whether something of the guest came before the end.
fn guest_came(socket: &UdpSocket) -> Result<bool> {
    let mut came = false;
    loop {
        let mut text = [0; 16];
        let length = socket.recv(&mut text).context("the end")?;
        match text.get(..length) {
            Some(b"end") => return Ok(came),
            Some(b"guest") => came = true,
            other => anyhow::bail!("{other:?}"),
        }
    }
}

fn datagram(to: Mac, address: [u8; 4]) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(station(1), to)
        .ipv4([192, 168, 122, 77], address, 64)
        .udp(PORT, PORT)
        .write(&mut frame, b"guest")?;
    Ok(frame)
}

fn mac(text: &str) -> Result<Mac> {
    let bytes: Result<Vec<u8>, _> = text.split(':').map(|b| u8::from_str_radix(b, 16)).collect();
    bytes?.try_into().ok().context("no MAC")
}

const NOTHING: [bool; 2] = [false, false];
const ALL: [bool; 2] = [true, true];

#[test]
fn a_guest_reaches_neither_host_nor_lan_by_the_netdev_that_the_switch_has_taken() -> Result<()> {
    let mut router = Router::start()?;
    assert_eq!(
        router.reached()?,
        ALL,
        "the test reaches what it should not"
    );
    router.launch()?;
    assert_eq!(router.reached()?, NOTHING);

    // The port still gets all frames, and by its host interface the host does.
    let other = Vmm::new(&router.switch.namespace, "vnet8")?;
    wait::until("vnet8", wait::SOON, || router.switch.port("vnet8"))?;
    let frame = plain(BROADCAST, station(1), 1);
    router.guest.send(&frame)?;
    other.receive("a frame from vnet7", |got| got == frame)?;
    let own = mac(&router.switch.namespace.mac("vmlan0")?)?;
    router.guest.send(&datagram(own, [192, 168, 122, 1])?)?;
    let mut text = [0; 16];
    assert_eq!(router.host.recv(&mut text)?, b"guest".len());

    // Whoever writes new firewall rules changes nothing, nor does a new name.
    router.switch.namespace.run("nft flush ruleset")?;
    assert_eq!(router.reached()?, NOTHING);

    router.switch.cli("detach vnet7")?.success()?;
    assert_eq!(router.reached()?, ALL, "it is given back");
    router.switch.cli("attach vnet7")?.success()?;
    assert_eq!(router.reached()?, NOTHING);
    router.switch.stop()?;
    assert_eq!(router.reached()?, ALL, "it is given back");
    let rules = router.switch.namespace.run("nft list ruleset")?;
    assert_eq!(rules.trim(), "");
    Ok(())
}

#[test]
fn a_taken_netdev_stays_closed_under_another_name() -> Result<()> {
    let mut router = Router::start()?;
    router.launch()?;
    let rename = |from: &str, to: &str| {
        router.switch.namespace.run(&format!(
            "ip link set {from} down; ip link set {from} name {to}; ip link set {to} up"
        ))
    };
    rename("vnet7", "vnet6")?;
    rename("vnet6", "vnet7")?;
    rename("vnet7", "tap7")?;
    wait::until("the new name", wait::SOON, || {
        let rules = router.switch.namespace.run("nft list ruleset")?;
        ensure!(rules.contains("\"tap7\""), "{rules}");
        Ok(())
    })?;
    rename("tap7", "vnet7")?;
    wait::until("the old name", wait::SOON, || {
        let rules = router.switch.namespace.run("nft list ruleset")?;
        ensure!(rules.contains("\"vnet7\""), "{rules}");
        Ok(())
    })?;
    assert_eq!(router.reached()?, NOTHING);
    Ok(())
}

#[test]
fn after_a_crash_a_guest_reaches_nothing_and_the_next_start_can_give_back() -> Result<()> {
    let mut router = Router::start()?;
    router.launch()?;
    // The kernel has taken the rules for the netdev away; the sysctls are the
    // second line, and the only one where there is no nftables.
    router.switch.kill();
    let tables = router.switch.namespace.run("nft list tables netdev")?;
    assert_eq!(tables.trim(), "");
    assert_eq!(router.reached()?, NOTHING);

    router.launch()?;
    assert_eq!(router.reached()?, NOTHING);
    router.switch.stop()?;
    assert_eq!(router.reached()?, ALL);
    Ok(())
}

#[test]
fn isolation_outlasts_a_program_that_turns_on_forwarding() -> Result<()> {
    let mut router = Router::start()?;
    router
        .switch
        .namespace
        .run("sysctl -qw net.ipv4.ip_forward=0")?;
    router.launch()?;
    router
        .switch
        .namespace
        .run("sysctl -qw net.ipv4.ip_forward=1")?;
    for netdev in ["vmlan0", "vnet7"] {
        wait::until(netdev, wait::SOON, || {
            let key = format!("net.ipv4.conf.{netdev}.forwarding");
            let now = router.switch.namespace.run(&format!("sysctl -n {key}"))?;
            ensure!(now.trim() == "0", "{now}");
            Ok(())
        })?;
    }
    let log = router.switch.log();
    assert!(log.contains("net.ipv4.conf.vmlan0.forwarding"), "{log}");
    let own = mac(&router.switch.namespace.mac("vmlan0")?)?;
    router.guest.send(&datagram(own, LAN)?)?;
    assert_eq!(router.reached()?, NOTHING);

    // What the host has by now is what the netdev gets back.
    router.switch.cli("detach vnet7")?.success()?;
    assert_eq!(router.reached()?, ALL);

    router
        .switch
        .namespace
        .run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=0")?;
    wait::until("no IPv6 on vmlan0", wait::SOON, || {
        let key = "net.ipv6.conf.vmlan0.disable_ipv6";
        let now = router.switch.namespace.run(&format!("sysctl -n {key}"))?;
        ensure!(now.trim() == "1", "{now}");
        Ok(())
    })
}

#[test]
fn a_detached_netdev_stays_detached_until_it_is_attached_or_another_one() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + ATTACH))?;
    let vnet = Vmm::new(&switch.namespace, "vnet8")?;
    let attached = || wait::until("vnet8", wait::SOON, || switch.port("vnet8")).map(drop);
    // A later netdev that is taken shows that the events before were seen.
    let changes_seen = |marker: &str| -> Result<Vmm> {
        let marked = Vmm::new(&switch.namespace, marker)?;
        wait::until(marker, wait::SOON, || switch.port(marker))?;
        Ok(marked)
    };
    attached()?;
    switch.cli("detach vnet8")?.success()?;
    let again = "ip link set vnet8 down; ip link set vnet8 mtu 1400; ip link set vnet8 up";
    switch.namespace.run(again)?;
    let _one = changes_seen("vnet1")?;
    assert!(switch.port("vnet8").is_err(), "it is taken again");

    switch.cli("attach vnet8")?.success()?;
    switch.cli("port del vnet8")?.success()?;
    switch.namespace.run(again)?;
    let _two = changes_seen("vnet2")?;
    assert!(switch.port("vnet8").is_err(), "it is taken again");

    drop(vnet);
    wait::until("its end", wait::SOON, || {
        ensure!(!switch.namespace.netdevs()?.contains(&"vnet8".to_owned()));
        Ok(())
    })?;
    let _anew = Vmm::new(&switch.namespace, "vnet8")?;
    attached()
}

#[test]
fn a_netdev_that_cannot_be_attached_is_warned_of_once() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + ATTACH))?;
    // A port by its name is there already: it cannot be attached.
    switch
        .cli("port add vnet5 --kind tap interface=other")?
        .success()?;
    let _taken = Vmm::new(&switch.namespace, "vnet5")?;
    for mtu in 1400..1410 {
        switch
            .namespace
            .run(&format!("ip link set vnet5 mtu {mtu}"))?;
    }
    let _marker = Vmm::new(&switch.namespace, "vnet6")?;
    wait::until("vnet6", wait::SOON, || switch.port("vnet6"))?;
    let log = switch.log();
    let warnings = log
        .lines()
        .filter(|line| line.contains("cannot be attached"));
    assert_eq!(warnings.count(), 1, "{log}");
    Ok(())
}

#[test]
fn a_loop_of_connections_fills_neither_log_nor_memory() -> Result<()> {
    let mut switch = Switch::start(ISOLATED)?;
    let path = switch.run_file("vm.sock");
    for _ in 0..500 {
        StreamPeer::connect(&path)?;
    }
    wait::until("all to end", wait::SOON, || {
        let ports = switch.json("ports")?;
        ensure!(
            ports.as_array().is_some_and(|ports| ports.len() == 1),
            "{ports}"
        );
        Ok(())
    })?;
    let log = switch.log();
    let lines = log.lines().filter(|line| line.contains("stream")).count();
    assert!((100..300).contains(&lines), "{lines} lines:\n{log}");
    switch.alive()
}

#[test]
fn connections_beyond_the_last_port_wait_and_are_warned_of_once() -> Result<()> {
    // This process holds as many sockets, and vmlan raises its own limit.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(limit.current.unwrap_or(u64::MAX).max(4096)).min(limit.maximum);
    setrlimit(Resource::Nofile, limit)?;
    let mut switch = Switch::start(&ISOLATED.replace("\"vmlan0\"", "\"\""))?;
    let path = switch.run_file("vm.sock");
    let mut peers = Vec::new();
    for _ in 0..1024 + 20 {
        peers.push(StreamPeer::connect(&path)?);
    }
    wait::until("all ports to be used", wait::SOON, || {
        let log = switch.log();
        ensure!(log.contains("all 1024 ports are in use"), "{log}");
        Ok(())
    })?;
    let log = switch.log();
    assert_eq!(log.matches("all 1024 ports are in use").count(), 1, "{log}");
    assert!(!log.contains("refused"), "{log}");
    // The others come in as ports end.
    let mut last = peers.pop().context("no peer")?;
    drop(peers);
    let frame = plain(BROADCAST, station(4), 3);
    last.send(&frame)?;
    let first = StreamPeer::connect(&path)?;
    wait::until("its frame", wait::SOON, || {
        switch.station("52:54:00:00:00:04").map(drop)
    })?;
    drop(first);
    switch.alive()
}

#[test]
fn two_namespaces_may_each_have_an_interface_by_the_same_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spaces = [Namespace::new("one")?, Namespace::new("two")?];
    let launch = |space: &Namespace, network: &str| -> Result<Process> {
        let config = folder.path().join(format!("{network}.toml"));
        let text = ISOLATED.replace("\"lab\"", &format!("\"{network}\""));
        std::fs::write(&config, text)?;
        Process::spawn(command(space, folder.path(), network, &config)?)
    };
    let mut running = [launch(&spaces[0], "one")?, launch(&spaces[1], "two")?];
    for process in &mut running {
        process.wait_for_line("ready: ", 0, wait::SOON, |line| line.starts_with("ready: "))?;
    }
    // In one namespace it is refused as before.
    let config = folder.path().join("one.toml");
    let text = std::fs::read_to_string(&config)?.replace("\"one\"", "\"third\"");
    let third = folder.path().join("third.toml");
    std::fs::write(&third, text)?;
    let refused = process::run(
        command(&spaces[0], folder.path(), "third", &third)?,
        wait::SOON,
    )?;
    assert!(
        refused.stderr.contains("belongs to network \"one\""),
        "{refused:?}"
    );
    Ok(())
}

fn command(
    space: &Namespace,
    folder: &std::path::Path,
    network: &str,
    config: &std::path::Path,
) -> Result<Command> {
    let mut command = space.command(program()?);
    command
        .args(["run", "--network", network, "--config"])
        .arg(config);
    command.arg("--run-dir").arg(folder.join("run"));
    command.arg("--state-dir").arg(folder.join("state"));
    Ok(command)
}
