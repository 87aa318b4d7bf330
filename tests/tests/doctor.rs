//! `vmlan doctor` beside real obstacles.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vmlan_tests::lan::{Lan, ROUTER};
use vmlan_tests::libvirt::Libvirt;
use vmlan_tests::process::Process;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, User};
use vmlan_tests::wait;

/// What the doctor finds, and its exit status.
fn doctor(switch: &Switch) -> Result<(Vec<Value>, i32)> {
    let outcome = switch.cli("doctor --json --config CONFIG")?;
    let findings = serde_json::from_str(&outcome.stdout)
        .with_context(|| format!("{}{}", outcome.stdout, outcome.stderr))?;
    Ok((findings, outcome.status))
}

/// The messages of the findings of `check` with the given level.
fn of<'a>(findings: &'a [Value], check: &str, level: &str) -> Vec<&'a str> {
    let found = findings
        .iter()
        .filter(|finding| finding["check"] == check && finding["level"] == level);
    found
        .filter_map(|finding| finding["message"].as_str())
        .collect()
}

/// A name server on the gateway's address.
fn name_server(switch: &Switch) -> Result<Process> {
    let server = switch.namespace.spawn(
        "exec dnsmasq --keep-in-foreground --log-facility=- --conf-file=/dev/null --no-resolv \
         --pid-file= --user=root --listen-address=192.168.122.1 --bind-interfaces \
         --address=/#/192.168.122.1",
    )?;
    wait::until("the name server", wait::SOON, || {
        ensure!(server.stderr().contains("started"), "{}", server.stderr());
        Ok(())
    })?;
    Ok(server)
}

#[test]
fn obstacles_are_named_with_their_mend_and_a_sound_host_has_none() -> Result<()> {
    let switch = Switch::start(&format!("{ISOLATED}\n[attach]\nmatch = [\"vnet*\"]\n"))?;
    let server = name_server(&switch)?;
    let (sound, code) = doctor(&switch)?;
    assert_eq!(code, 0, "{sound:#?}");
    assert_eq!(
        of(&sound, "dhcp", "fine"),
        ["vmlan leases addresses, 0 of 253 so far"]
    );
    assert_eq!(
        of(&sound, "dns", "fine"),
        ["the name server 192.168.122.1 answers"]
    );

    drop(server);
    switch.namespace.run(
        "ip link add br0 type bridge && ip addr add 192.168.122.129/25 dev br0 \
         && ip link set br0 up && ip link add vnet7 type veth peer name far \
         && ip link set vnet7 master br0",
    )?;
    let (found, code) = doctor(&switch)?;
    assert_eq!(code, 1, "{found:#?}");
    for (check, start) in [
        ("netdevs", "vnet7 belongs to br0"),
        (
            "subnet",
            "192.168.122.0/24 overlaps 192.168.122.129/25 of br0",
        ),
        (
            "dns",
            "guests are told the name server 192.168.122.1, which does not",
        ),
    ] {
        let messages = of(&found, check, "obstacle");
        assert_eq!(messages.len(), 1, "{found:#?}");
        assert!(messages[0].starts_with(start), "{messages:?}");
    }
    let helps = found.iter().filter(|f| f["level"] == "obstacle");
    assert!(
        helps.into_iter().all(|f| f["help"].is_string()),
        "{found:#?}"
    );
    let text = switch.cli("doctor --config CONFIG")?.stdout;
    let mend = "help: take it out with `ip link set vnet7 nomaster`";
    assert!(text.contains(mend), "{text}");

    // What it says works.
    switch
        .namespace
        .run("ip link set vnet7 nomaster && ip addr flush dev br0")?;
    let (mended, _) = doctor(&switch)?;
    assert_eq!(of(&mended, "netdevs", "obstacle"), [] as [&str; 0]);
    assert_eq!(of(&mended, "subnet", "obstacle"), [] as [&str; 0]);
    Ok(())
}

#[test]
fn dhcp_servers_of_a_lan_are_found_and_a_second_one_is_warned_of() -> Result<()> {
    let config = "name = \"lab\"\nforward = \"bridge\"\nuplink = \"uplink0\"\n\
                  interface = \"\"\n[[port]]\nname = \"c1\"\nkind = \"tap\"\n";
    let mut switch = Switch::prepare(config)?;
    let mut lan = Lan::new(&switch.namespace, "uplink0")?;
    switch.launch()?;
    let (found, code) = doctor(&switch)?;
    assert_eq!(code, 0, "{found:#?}");
    let fine = format!("{ROUTER} answers");
    assert_eq!(of(&found, "dhcp", "fine"), [fine]);

    // Somebody's guest thinks that it has to serve the others.
    let guest = switch.container("c1", "52:54:00:00:00:66")?;
    guest.run("ip addr add 10.77.0.66/24 dev eth0")?;
    let rogue = guest.spawn(
        "exec dnsmasq --keep-in-foreground --log-facility=- --conf-file=/dev/null --port=0 \
         --pid-file= --user=root --leasefile-ro --no-ping --dhcp-authoritative \
         --dhcp-range=10.77.0.200,10.77.0.210,5m",
    )?;
    wait::until("the second server", wait::SOON, || {
        ensure!(rogue.stderr().contains("DHCP, IP range"), "no range yet");
        Ok(())
    })?;
    let (found, _) = doctor(&switch)?;
    let mut servers = of(&found, "dhcp", "fine");
    servers.extend(of(&found, "dhcp", "warning"));
    assert_eq!(servers.len(), 2, "{found:#?}");
    assert!(
        servers.iter().any(|text| text.contains("10.77.0.66")),
        "{servers:?}"
    );

    drop(rogue);
    lan.stop_dnsmasq();
    let (found, code) = doctor(&switch)?;
    assert_eq!(code, 1, "{found:#?}");
    let none = "no DHCP server answers on the segment";
    assert_eq!(of(&found, "dhcp", "obstacle"), [none]);
    Ok(())
}

#[test]
fn a_network_of_libvirts_that_has_no_description_is_named() -> Result<()> {
    let host = Libvirt::start()?;
    host.write(
        "/run/network.xml",
        "<network><name>fleeting</name><forward mode='nat'/><bridge name='virbr7'/>\
         <ip address='10.7.0.1' netmask='255.255.255.0'/></network>",
    )?;
    host.virsh("net-create /run/network.xml")?;
    host.write(
        "/etc/vmlan/default.toml",
        "name = \"default\"\naddress = \"10.7.0.9/24\"\n",
    )?;
    host.run("ip link add vnet3 type veth peer name far && ip link set vnet3 master virbr7")?;
    let said = host.shell("vmlan doctor --json", wait::SOON)?;
    let found: Vec<Value> = serde_json::from_str(&said.stdout)?;
    let of_libvirt = "virbr7 (the libvirt network \"fleeting\")";
    for check in ["netdevs", "subnet"] {
        let messages = of(&found, check, "obstacle");
        assert!(messages[0].contains(of_libvirt), "{found:#?}");
    }
    Ok(())
}

#[test]
fn missing_rights_are_named() -> Result<()> {
    let switch = Switch::prepare_as(User::PowerlessRoot, Some(ISOLATED))?;
    let (found, code) = doctor(&switch)?;
    assert_eq!(code, 1, "{found:#?}");
    let rights = of(&found, "rights", "obstacle");
    assert_eq!(rights.len(), 2, "{found:#?}");
    assert!(rights[0].contains("CAP_NET_ADMIN") && rights[1].contains("CAP_NET_RAW"));
    Ok(())
}
