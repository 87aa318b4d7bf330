//! vmlan under libvirt's domains, with real libvirtd, qemu and virsh.

use anyhow::{Context, Result, ensure};
use std::time::Instant;
use vmlan_tests::libvirt::Libvirt;
use vmlan_tests::station::Station;
use vmlan_tests::switch::entry;
use vmlan_tests::wait;

const MAC1: &str = "52:54:00:00:05:01";
const MAC2: &str = "52:54:00:00:05:02";

/// A network of vmlan on the bridge name that domains know.
const CONFIG: &str = r#"
name      = "default"
interface = "virbr0"
address   = "192.168.122.1/24"
domain    = "vm"
forward   = "isolated"

[libvirt]

[attach]
match = ["own*"]
"#;

/// The same network for libvirt.
const NETWORK: &str = "<network><name>default</name><forward mode='bridge'/>\
    <bridge name='virbr0'/><virtualport type='openvswitch'/>\
    <portgroup name='red'><vlan><tag id='42'/></vlan></portgroup></network>";

fn on_network(source: &str, mac: &str) -> String {
    format!(
        "<interface type='network'><mac address='{mac}'/><source network='default' {source}/>\
         <model type='virtio'/></interface>"
    )
}

/// A host whose network `default` is vmlan's.
fn host() -> Result<Libvirt> {
    let mut host = Libvirt::prepare()?;
    host.install_ovs_vsctl()?;
    host.start_libvirtd()?;
    host.start_vmlan(CONFIG)?;
    host.virsh("net-undefine default")?;
    host.start_network("default", NETWORK)?;
    Ok(host)
}

fn port(host: &Libvirt, name: &str) -> Result<serde_json::Value> {
    let ports = host.json("ports")?;
    entry(&ports, "name", name).with_context(|| format!("no port {name} in {ports}"))
}

#[test]
fn domains_boot_lease_and_reach_each_other_and_virsh_shows_them() -> Result<()> {
    let mut host = host()?;
    for (name, mac) in [("one", MAC1), ("two", MAC2)] {
        host.define_domain(name, &on_network("", mac))?;
    }
    let (one, two) = (host.launch("one")?, host.launch("two")?);
    let (one, two) = (one.booted()?, two.booted()?);
    let (first, second) = (one.lease("one")?.address, two.lease("two")?.address);
    one.ping(second)?;
    two.ping("192.168.122.1")?;

    let ids = port(&host, "vnet0")?["external-ids"].clone();
    assert_eq!(ids["attached-mac"], MAC1, "{ids}");
    assert_eq!(ids["iface-status"], "active", "{ids}");
    let uuid = host.virsh("domuuid one")?;
    assert_eq!(ids["vm-id"], uuid.trim(), "{ids}");
    let list = host.virsh("domiflist one")?;
    assert!(list.contains("vnet0") && list.contains(MAC1), "{list}");
    let statistics = host.virsh("domifstat one vnet0")?;
    assert!(statistics.contains("vnet0 rx_packets"), "{statistics}");

    // The files are written soon after.
    wait::until("libvirt's view of the leases", wait::SOON, || {
        let leases = host.virsh("net-dhcp-leases default")?;
        for (name, mac, address) in [("one", MAC1, first), ("two", MAC2, second)] {
            let line = leases.lines().find(|line| line.contains(mac));
            let line = line.with_context(|| leases.clone())?;
            // A network in this mode has no <ip>, so libvirt has no prefix to show.
            ensure!(line.contains(&format!("{address}/")), "{leases}");
            ensure!(line.contains(name), "{leases}");
        }
        Ok(())
    })?;
    let addresses = host.virsh("domifaddr two --source lease")?;
    assert!(addresses.contains(&format!("{second}/")), "{addresses}");
    assert!(addresses.contains("vnet1"), "{addresses}");
    for (module, name) in [("libvirt", "one"), ("libvirt_guest", "two")] {
        let address = if name == "one" { first } else { second };
        let found = host.run(&format!("getent -s {module} ahostsv4 {name}"))?;
        assert!(found.starts_with(&address.to_string()), "{module}: {found}");
    }

    // A domain without a network, whose tap a pattern takes.
    let ethernet =
        "<interface type='ethernet'><target dev='own0'/><model type='virtio'/></interface>";
    host.define_domain("three", ethernet)?;
    let three = host.launch("three")?;
    wait::until("the tap to be taken", wait::SOON, || {
        ensure!(port(&host, "own0")?["state"] == "up", "down");
        Ok(())
    })?;
    let three = three.booted()?;
    let third = three.lease("three")?.address;
    three.ping(first)?;
    two.ping(third)?;
    host.virsh("destroy three")?;
    drop(three);

    // What libvirt said once holds after a restart of vmlan.
    host.stop_vmlan()?;
    host.start_vmlan(CONFIG)?;
    assert_eq!(port(&host, "vnet0")?["external-ids"], ids);
    assert!(port(&host, "own0").is_err());
    one.ping(second)?;

    host.virsh("destroy one")?;
    wait::until("the port to go", wait::SOON, || {
        ensure!(port(&host, "vnet0").is_err(), "still there");
        Ok(())
    })?;
    port(&host, "vnet1")?;
    assert_ne!(first, second);
    Ok(())
}

#[test]
fn what_vmlan_cannot_do_is_refused_in_words_that_libvirt_shows() -> Result<()> {
    let mut host = host()?;
    host.define_domain("one", &on_network("portgroup='red'", MAC1))?;
    let refused = host.try_virsh("start one")?;
    assert_ne!(refused.status, 0);
    let said = refused.stderr;
    assert!(said.contains("to be in a VLAN (tag=42)"), "{said}");
    assert!(port(&host, "vnet0").is_err());

    // What is not applied is said, and the domain starts all the same.
    let limits = "<bandwidth><inbound average='1000' burst='64'/><outbound average='500'/>\
                  </bandwidth></interface>";
    let limited = on_network("", MAC2).replace("</interface>", limits);
    host.define_domain("two", &limited)?;
    let two = host.launch("two")?;
    let ids = port(&host, "vnet0")?["external-ids"].clone();
    let said = ids["bandwidth"].as_str().unwrap_or_default();
    assert!(said.contains("not limited"), "{ids}");
    assert!(host.vmlan_log().contains("bandwidth was asked for"));
    host.virsh("domiftune two vnet0 --inbound 2000")?;
    host.virsh("destroy two")?;
    drop(two);

    host.stop_vmlan()?;
    let start = Instant::now();
    let refused = host.try_virsh("start two")?;
    assert_ne!(refused.status, 0);
    assert!(start.elapsed() < wait::SOON / 2, "{:?}", start.elapsed());
    let said = refused.stderr;
    assert!(
        said.contains("network \"default\" is not running"),
        "{said}"
    );
    Ok(())
}
