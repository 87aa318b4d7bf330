//! Reloads that fail, in every way that a machine has: the network is as it was.

use anyhow::{Context, Result, ensure};
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::keys::{Keys, port};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::station::Station;
use vmlan_tests::switch::Switch;

const MAC1: &str = "52:54:00:00:0b:01";
const MAC2: &str = "52:54:00:00:0b:02";

#[test]
fn another_name_of_the_network_is_refused_with_the_reason() -> Result<()> {
    let mut keys = Keys::new();
    let switch = Switch::start(&keys.text())?;
    keys.set("name", "\"other\"");
    keys.set("domain", "\"other\"");
    switch.write_config(&keys.text())?;
    for command in ["reload", "reload --dry-run"] {
        let refused = switch.cli(command)?;
        assert_ne!(refused.status, 0);
        let words = "cannot become other while it runs";
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    Ok(())
}

/// All of a network that can be seen from outside.
fn state(switch: &Switch) -> Result<String> {
    let mut status = switch.json("status")?;
    if let Some(status) = status.as_object_mut() {
        for moving in ["uptime", "leases"] {
            status.remove(moving);
        }
        if let Some(fdb) = status
            .get_mut("fdb")
            .and_then(serde_json::Value::as_object_mut)
        {
            fdb.remove("used");
        }
    }
    let ports = switch.json("ports")?;
    let ports = ports.as_array().context("no ports")?.iter();
    let ports: Vec<String> = ports
        .map(|port| {
            let keys = ["name", "kind", "interface", "offload", "dhcp", "queues"];
            keys.map(|key| port[key].to_string()).join(" ")
        })
        .collect();
    let host = switch.namespace.run(
        "ip -4 -o addr | sed 's/valid_lft.*//'; ip -o link show vmlan0 | sed 's/qlen.*//'; \
         nft list ruleset | sed 's/packets.*bytes [0-9]*//'; \
         cat /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/conf/*/forwarding",
    )?;
    let threads = (0..8).filter(|n| switch.thread_ticks(&format!("worker{n}")).is_ok());
    Ok(format!(
        "{status}\n{}\n{host}\n{} workers",
        ports.join("\n"),
        threads.count()
    ))
}

/// A configuration in which all is different that can be.
fn all_different(keys: &Keys) -> Keys {
    let mut keys = keys.clone();
    for (key, value) in [
        ("address", "\"10.20.30.1/24\""),
        ("interface", "\"lab0\""),
        ("mac", "\"52:54:00:77:77:77\""),
        ("mtu", "9000"),
        ("domain", "\"other\""),
        ("forward", "\"route\""),
        ("switch.workers", "3"),
        ("switch.fdb-size", "100"),
        ("switch.ageing", "\"10s\""),
        ("dhcp.lease-time", "\"5m\""),
        ("attach.match", r#"["tap*"]"#),
    ] {
        keys.set(key, value);
    }
    keys.tables = port("c1", "dhcp = false\noffload = false") + &port("c4", "");
    keys
}

/// Wants that a reload of `text` fails with `words` and leaves all as it was.
fn fails_whole(switch: &mut Switch, text: &str, words: &str) -> Result<()> {
    let before = state(switch)?;
    switch.write_config(text)?;
    let failed = switch.cli("reload")?;
    ensure!(failed.status != 0, "{words}: {failed:?}");
    ensure!(failed.stderr.contains(words), "{words}: {}", failed.stderr);
    ensure!(
        !failed.stderr.contains("not taken back"),
        "{}",
        failed.stderr
    );
    let after = state(switch)?;
    ensure!(
        before == after,
        "{words}: before:\n{before}\nafter:\n{after}"
    );
    switch.alive()
}

#[test]
fn a_reload_that_fails_leaves_the_old_state_whole() -> Result<()> {
    let mut keys = Keys::new();
    keys.set("forward", "\"nat\"");
    let mut switch = Switch::start(&keys.text())?;
    let [c1, c2] = [switch.container("c1", MAC1)?, switch.container("c2", MAC2)?];
    udhcpc(&c1, "")?;
    let second = udhcpc(&c2, "")?.address;
    let other = Namespace::new("other")?;
    switch
        .namespace
        .run("ip link add br9 type bridge && ip link set br9 up")?;
    switch.namespace.veth("v9", &other, "eth0")?;
    switch
        .namespace
        .run("ip link set v9 master br9 && ip addr add 172.16.9.1/24 dev br9")?;
    let different = all_different(&keys);

    let mut file = different.clone();
    file.tables += "\n[[port]]\nname = \"v9\"\nkind = \"packet\"\n";
    fails_whole(&mut switch, &file.text(), "v9 belongs to br9")?;
    let mut file = different.clone();
    file.tables += "\n[[port]]\nname = \"v8\"\nkind = \"packet\"\n";
    fails_whole(&mut switch, &file.text(), "no netdev \"v8\"")?;
    let mut file = different.clone();
    file.set("address", "\"172.16.9.254/24\"");
    fails_whole(&mut switch, &file.text(), "in use: netdev br9")?;
    let mut file = different.clone();
    file.set("forward", "\"bridge\"");
    file.set("uplink", "\"nic7\"");
    fails_whole(&mut switch, &file.text(), "no netdev \"nic7\"")?;
    let mut file = different.clone();
    file.set("interface", "\"br9\"");
    fails_whole(&mut switch, &file.text(), "br9")?;
    let mut file = different.clone();
    file.set("tftp.root", "\"/\"");
    switch
        .namespace
        .run("ip addr add 10.20.30.1/32 dev lo; ip route add 10.99.0.0/16 dev br9")?;
    file.set("address", "\"10.99.0.1/16\"");
    fails_whole(&mut switch, &file.text(), "a route to 10.99.0.0/16")?;
    fails_whole(&mut switch, "name = \"lab\"\nforward = \n", "lab.toml:2:")?;
    fails_whole(
        &mut switch,
        "name = \"lab\"\nforwrad = \"nat\"\n",
        "lab.toml:2:1",
    )?;

    c1.ping(second)?;
    c1.ping("192.168.122.1")?;
    // By the same file, without what was in the way.
    switch.namespace.run("ip addr del 10.20.30.1/32 dev lo")?;
    switch.write_config(&different.text())?;
    let plan = switch.cli("reload --dry-run")?.success()?;
    let said = switch.cli("reload")?.success()?;
    for line in [
        "workers: 1 -> 3",
        "interface: vmlan0 -> lab0",
        "port c2 removed",
    ] {
        assert!(plan.contains(line) && said.contains(line), "{plan}\n{said}");
    }
    assert_eq!(switch.json("status")?["interface"], "lab0");
    assert_eq!(switch.port("c1")?["dhcp"], false);
    c1.ping("192.168.122.1")?;
    let again = switch.cli("reload --dry-run")?.success()?;
    assert_eq!(again.trim(), "nothing would change");
    switch.alive()
}

#[test]
fn without_nft_or_with_a_full_disk_nothing_changes() -> Result<()> {
    let keys = Keys::new();
    let mut switch = Switch::prepare(&keys.text())?;
    switch.launch_without_sbin()?;
    let mut different = all_different(&keys);
    different.set("forward", "\"nat\"");
    fails_whole(&mut switch, &different.text(), "nft")?;
    switch.kill();

    let mut switch = Switch::prepare(&keys.text())?;
    switch.launch_on_tmpfs()?;
    let filler = switch.state_file_inside("filler")?;
    // Until nothing fits any more.
    let _ = std::fs::write(&filler, vec![0; 1 << 20]);
    let mut different = all_different(&keys);
    different.set("address", "\"auto\"");
    fails_whole(&mut switch, &different.text(), "identity.toml")?;
    std::fs::remove_file(filler)?;
    switch.cli("reload")?.success().map(drop)
}
