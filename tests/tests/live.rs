//! A reload of each key while guests talk: no port is detached, and lost frames
//! are counted. `cargo test -p vmlan-tests --test live -- --nocapture` prints a
//! table of them.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Instant;
use vmlan_tests::dhcp_client::{Udhcpc, udhcpc};
use vmlan_tests::keys::{Keys, port};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::numbered::{Account, Numbered};
use vmlan_tests::process::Process;
use vmlan_tests::station::Station;
use vmlan_tests::switch::Switch;
use vmlan_tests::wait;

const MAC1: &str = "52:54:00:00:0a:01";
const MAC2: &str = "52:54:00:00:0a:02";

/// Two guests that talk to each other, and one of them to the host.
struct Bed {
    keys: Keys,
    switch: Switch,
    guests: [Namespace; 2],
    iperf: [Process; 2],
    between: Numbered,
    to_host: Numbered,
    table: String,
}

impl Bed {
    fn new() -> Result<Self> {
        let keys = Keys::new();
        let switch = Switch::start(&keys.text())?;
        let guests = [switch.container("c1", MAC1)?, switch.container("c2", MAC2)?];
        udhcpc(&guests[0], "")?;
        let address = udhcpc(&guests[1], "")?.address;
        let server = guests[1].spawn("exec iperf3 -s")?;
        wait::until("iperf3", wait::SOON, || {
            guests[1].run("ss -tln | grep :5201")
        })?;
        // Not as fast as it can: what overload drops is no reload's doing.
        let client = guests[0].spawn(&format!(
            "exec iperf3 -c {address} -t 600 -b 100M --forceflush"
        ))?;
        let host = Ipv4Addr::new(192, 168, 122, 1);
        Ok(Self {
            between: Numbered::start(&guests[0], &guests[1], address, 7000)?,
            to_host: Numbered::start(&guests[0], &switch.namespace, host, 7001)?,
            keys,
            switch,
            guests,
            iperf: [server, client],
            table: format!(
                "{:<34} {:>7} {:>7} {:>9} {:>9}\n",
                "key", "ms", "sent", "lost", "to host"
            ),
        })
    }

    /// Reloads with `key` set to `value`, and wants no port detached. Gives what
    /// became of the frames between the guests, and to the host.
    fn reload(&mut self, key: &str, value: &str) -> Result<[Account; 2]> {
        self.keys.set(key, value);
        let what = format!("{key} = {value}");
        self.apply(&what)
    }

    fn apply(&mut self, what: &str) -> Result<[Account; 2]> {
        let before = self.counters()?;
        self.between.account();
        self.to_host.account();
        self.switch.write_config(&self.keys.text())?;
        let plan = self.switch.cli("reload --dry-run")?.success()?;
        let start = Instant::now();
        let said = self
            .switch
            .cli("reload")?
            .success()
            .context(what.to_owned())?;
        let took = start.elapsed().as_millis();
        ensure!(!said.contains("nothing has changed"), "{what}: {said}");
        for line in said.lines().filter(|line| !line.starts_with("MTU of port")) {
            ensure!(plan.contains(line), "{what}: {line} is not planned: {plan}");
        }
        let accounts = [self.between.account(), self.to_host.account()];
        let [between, to_host] = accounts;
        let _ = writeln!(
            self.table,
            "{what:<34} {took:>7} {:>7} {:>9} {:>9}",
            between.sent, between.lost, to_host.lost
        );
        ensure!(
            between.doubled + to_host.doubled == 0,
            "{what}: {accounts:?}"
        );
        for (port, (id, frames)) in self.counters()? {
            if let Some((old_id, old)) = before.get(&port) {
                ensure!(
                    id == *old_id && frames >= *old,
                    "{what}: {port} is another port"
                );
            }
        }
        let log = self.switch.log();
        for gone in ["port c1 is gone", "port c2 is gone"] {
            ensure!(!log.contains(gone), "{what}: {log}");
        }
        for process in &mut self.iperf {
            process.running().with_context(|| what.to_owned())?;
        }
        Ok(accounts)
    }

    /// Of each guest's port, its netdev's place and what came in by it.
    fn counters(&self) -> Result<BTreeMap<String, (Value, u64)>> {
        ["c1", "c2"]
            .into_iter()
            .map(|name| {
                let port = self.switch.port(name)?;
                let frames = port
                    .pointer("/rx/frames")
                    .and_then(Value::as_u64)
                    .context("no counter")?;
                Ok((
                    name.to_owned(),
                    (port.get("interface").cloned().unwrap_or_default(), frames),
                ))
            })
            .collect()
    }

    /// The same, for a key that must not cost a frame.
    fn lossless(&mut self, key: &str, value: &str) -> Result<()> {
        let accounts = self.reload(key, value)?;
        ensure!(
            accounts.iter().all(|it| it.lost == 0),
            "{key} = {value}: {accounts:?}"
        );
        Ok(())
    }
}

#[test]
fn every_key_changes_under_load_and_no_port_is_detached() -> Result<()> {
    let mut bed = Bed::new()?;
    let folder = tempfile::tempdir()?;
    let root = format!("\"{}\"", folder.path().display());
    // What guests are told concerns no frame.
    for (key, value) in [
        ("domain", "\"lab.test\""),
        ("dhcp.range", r#"["192.168.122.100", "192.168.122.200"]"#),
        ("dhcp.lease-time", "\"10m\""),
        ("dhcp.options", r#"{ ntp-server = ["192.168.122.1"] }"#),
        (
            "dhcp.host",
            r#"[{ mac = "52:54:00:00:0a:07", address = "192.168.122.7" }]"#,
        ),
        ("dhcp.probe", "false"),
        ("dhcp.sequential", "true"),
        ("dhcp.rapid-commit", "true"),
        ("dhcp.known-only", "true"),
        ("dhcp.max-leases", "50"),
        ("dhcp.key", "\"client-id\""),
        ("dhcp.filename", "\"pxelinux.0\""),
        ("dhcp.hook", r#"{ program = "/bin/true" }"#),
        ("dhcp.enabled", "false"),
        ("dhcp.enabled", "true"),
        ("tftp.root", &root),
        ("tftp.lowercase", "true"),
        ("libvirt.status-dir", &root),
        ("attach.match", r#"["vnet*"]"#),
        // The switch itself.
        ("switch.ageing", "\"60s\""),
        ("switch.polling", "\"50us\""),
        ("switch.fdb-size", "64"),
        ("switch.fdb-size", "100000"),
        ("switch.workers", "2"),
        ("switch.workers", "3"),
        ("switch.workers", "1"),
        // The host's side of it.
        ("forward", "\"nat\""),
        ("nat.ports", "[2000, 60000]"),
        ("uplink", "\"wan9\""),
        ("forward", "\"route\""),
        ("forward", "\"open\""),
        ("uplink", ""),
        ("forward", "\"isolated\""),
        ("mtu", "9000"),
        ("mtu", "1500"),
    ] {
        let tried = bed.lossless(key, value);
        tried.with_context(|| bed.table.clone())?;
    }
    for (what, tables) in [
        (
            "[[port]] c3 added",
            port("c1", "") + &port("c2", "") + &port("c3", ""),
        ),
        ("[[port]] c3 removed", port("c1", "") + &port("c2", "")),
        (
            "[[port]] dhcp = false",
            port("c1", "dhcp = false") + &port("c2", ""),
        ),
        (
            "[[port]] offload = false",
            port("c1", "offload = false") + &port("c2", ""),
        ),
    ] {
        bed.keys.tables = tables;
        let [between, to_host] = bed.apply(what)?;
        ensure!(between.lost + to_host.lost == 0, "{what}: {}", bed.table);
    }
    // These concern who talks to the host, for the moment until it is told.
    for (key, value) in [
        ("mac", "\"52:54:00:77:77:77\""),
        ("mac", ""),
        ("interface", "\"lab0\""),
        ("interface", "\"vmlan0\""),
    ] {
        let [between, _] = bed.reload(key, value)?;
        ensure!(between.lost == 0, "{key} = {value}: {}", bed.table);
    }
    // Who knows the old gateway still reaches it.
    bed.keys.set("dhcp.range", "");
    bed.keys.set("dhcp.options", "");
    bed.keys.set("dhcp.host", "");
    bed.lossless("address", "\"192.168.50.1/24\"")?;
    bed.guests[0].run("ip addr add 192.168.50.9/24 dev eth0")?;
    bed.guests[0].ping("192.168.50.1")?;
    bed.lossless("address", "\"192.168.50.254/24\"")?;
    println!("{}", bed.table);
    bed.switch.alive()
}

/// Addresses of the host's own interface.
fn addresses(switch: &Switch) -> Result<Vec<String>> {
    let text = switch.namespace.run("ip -4 -o addr show dev vmlan0")?;
    let mut words = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(3));
    Ok(words.by_ref().map(str::to_owned).collect())
}

#[test]
fn clients_of_the_old_subnet_are_moved_and_the_old_gateway_stays_until_then() -> Result<()> {
    let mut keys = Keys::new();
    keys.set("forward", "\"nat\"");
    let mut switch = Switch::start(&keys.text())?;
    let [c1, c2] = [switch.container("c1", MAC1)?, switch.container("c2", MAC2)?];
    let (client, old) = Udhcpc::start(&c1, "")?;
    let second = udhcpc(&c2, "")?.address;
    keys.set("address", "\"10.20.30.1/24\"");
    switch.write_config(&keys.text())?;
    let said = switch.cli("reload")?.success()?;
    assert!(said.contains("192.168.122.1/24 -> 10.20.30.1/24"), "{said}");
    assert_eq!(addresses(&switch)?, ["192.168.122.1/24", "10.20.30.1/24"]);
    let rules = switch.namespace.run("nft list table inet vmlan_lab")?;
    let both = "ip saddr { 10.20.30.0/24, 192.168.122.0/24 }";
    assert!(rules.contains(both), "{rules}");
    c1.ping("192.168.122.1")?;
    c1.ping(second)?;

    let new = client.renew().with_context(|| client.log())?;
    assert!(
        client.log().contains("received DHCP NAK"),
        "{}",
        client.log()
    );
    assert!(
        new.address.octets().starts_with(&[10, 20, 30]),
        "{new:?} after {old:?}"
    );
    assert_eq!(new.option("router"), "10.20.30.1");
    c1.ping("10.20.30.1")?;
    // The second one still has a lease from then.
    assert_eq!(addresses(&switch)?.len(), 2);
    assert_eq!(switch.lease(MAC2)?["address"], format!("{second}/24"));
    c2.ping("192.168.122.1")?;
    // Nor does the next process forget it.
    switch.take_over()?;
    assert_eq!(addresses(&switch)?.len(), 2);
    c2.ping("192.168.122.1")?;
    switch.cli(&format!("lease del {second}"))?.success()?;
    wait::until("the old address to go", wait::SOON, || {
        ensure!(addresses(&switch)? == ["10.20.30.1/24"]);
        let rules = switch.namespace.run("nft list table inet vmlan_lab")?;
        ensure!(!rules.contains("192.168.122"), "{rules}");
        Ok(())
    })?;
    c1.ping("10.20.30.1")?;
    let new = udhcpc(&c2, "")?;
    assert!(new.address.octets().starts_with(&[10, 20, 30]), "{new:?}");
    switch.alive()
}

#[test]
fn what_is_set_by_hand_on_a_port_shows_and_lasts_until_a_reload_says_otherwise() -> Result<()> {
    let keys = Keys::new();
    let switch = Switch::start(&keys.text())?;
    let c1 = switch.container("c1", MAC1)?;
    udhcpc(&c1, "")?;
    switch
        .cli("port set c1 offload=false dhcp=false")?
        .success()?;
    let port = switch.port("c1")?;
    assert_eq!(
        (&port["offload"], &port["dhcp"]),
        (&false.into(), &false.into())
    );
    c1.ping("192.168.122.1")?;
    for (keys, words) in [
        ("ofload=true", "did you mean `offload`?"),
        ("queues=2", "the queues of a port cannot change"),
        ("interface=c9", "the interface of a port cannot change"),
        ("kind=packet", "the kind of a port cannot change"),
        ("vlan=7", "not in this version"),
    ] {
        let refused = switch.cli(&format!("port set c1 {keys}"))?;
        assert_ne!(refused.status, 0, "{keys}");
        assert!(refused.stderr.contains(words), "{keys}: {}", refused.stderr);
    }
    let said = switch.cli("reload")?.success()?;
    assert!(
        said.contains("port c1 changed: offload = true, dhcp = true"),
        "{said}"
    );
    assert_eq!(switch.port("c1")?["dhcp"], true);
    udhcpc(&c1, "").map(drop)
}

#[test]
fn a_network_becomes_part_of_a_lan_and_is_one_of_its_own_again() -> Result<()> {
    let mut keys = Keys::new();
    keys.set("forward", "\"nat\"");
    let mut switch = Switch::start(&keys.text())?;
    let [c1, c2] = [switch.container("c1", MAC1)?, switch.container("c2", MAC2)?];
    let [first, second] = [udhcpc(&c1, "")?.address, udhcpc(&c2, "")?.address];
    let lan = Namespace::new("lan")?;
    switch.namespace.veth("nic1", &lan, "eth0")?;
    lan.run("ip addr add 192.168.122.77/24 dev eth0; ip addr add 172.16.1.1/24 dev eth0")?;
    switch.namespace.run("ip addr add 172.16.1.2/24 dev nic1")?;
    let mut between = Numbered::start(&c1, &c2, second, 7000)?;

    let mut bridged = keys.clone();
    bridged.set("forward", "\"bridge\"");
    bridged.set("uplink", "\"nic1\"");
    bridged.set("address", "");
    bridged.set("dhcp.lease-time", "");
    for move_addresses in ["false", "true", "false"] {
        bridged.set("move-addresses", move_addresses);
        switch.write_config(&bridged.text())?;
        let said = switch.cli("reload")?.success()?;
        let moved = if move_addresses == "true" {
            "vmlan0"
        } else {
            "nic1"
        };
        let there = switch
            .namespace
            .run(&format!("ip -4 addr show dev {moved}"))?;
        assert!(there.contains("172.16.1.2"), "{said}{there}");
        assert!(switch.port("nic1").is_ok(), "{said}");
        lan.ping(first)?;
        lan.ping(second)?;
    }
    assert!(!switch.namespace.run("nft list ruleset")?.contains("vmlan"));
    assert_eq!(addresses(&switch)?, [""; 0]);
    // As for any station of the LAN.
    let ipv6 = "cat /proc/sys/net/ipv6/conf/vmlan0/disable_ipv6";
    assert_eq!(switch.namespace.run(ipv6)?.trim(), "0");

    switch.write_config(&keys.text())?;
    let said = switch.cli("reload")?.success()?;
    for line in ["forward is nat now", "port nic1 removed", "DHCP is on now"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(lan.ping(first).is_err());
    c1.ping("192.168.122.1")?;
    assert_eq!(switch.namespace.run(ipv6)?.trim(), "1");
    // Before the client takes the address off its interface.
    assert_eq!(between.account().lost, 0);
    assert_eq!(udhcpc(&c1, "")?.address, first);
    switch.alive()
}
