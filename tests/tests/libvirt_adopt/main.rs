//! A libvirt network is adopted and released, with real libvirtd, dnsmasq,
//! qemu and virsh.

mod description;
mod guests;
mod refused;
mod undone;

use anyhow::{Result, ensure};
use std::time::Duration;
use vmlan_tests::libvirt::Libvirt;
use vmlan_tests::process::{self, Outcome};
use vmlan_tests::station::Station;
use vmlan_tests::wait;

const MAC1: &str = "52:54:00:00:06:01";
const MAC2: &str = "52:54:00:00:06:02";

/// An adoption starts and stops a network and vmlan.
const ADOPTION: Duration = Duration::from_secs(60);

/// All that an adoption may change.
const FILES: &str = "for file in /etc/vmlan/* /etc/libvirt/qemu/networks/* /usr/local/sbin/* \
                     /etc/libvirt/hooks/network.d/* /var/lib/vmlan/*/libvirt.*; do [ ! -f $file ] || sha256sum $file; done; \
                     virsh -q net-list --all";

fn vmlan(host: &Libvirt, arguments: &str) -> Result<Outcome> {
    let mut command = host.command("vmlan");
    command.args(arguments.split_whitespace());
    process::run(command, ADOPTION)
}

fn on_default(mac: &str) -> String {
    format!(
        "<interface type='network'><mac address='{mac}'/><source network='default'/>\
         <model type='virtio'/></interface>"
    )
}

fn description(host: &Libvirt) -> Result<String> {
    host.virsh("net-dumpxml --inactive default")
}

/// The kind of the netdev `virbr0`.
fn kind(host: &Libvirt) -> Result<String> {
    kind_of(host, "virbr0")
}

fn kind_of(host: &Libvirt, bridge: &str) -> Result<String> {
    let link = host.run(&format!("ip -details link show {bridge}"))?;
    let bridge = link.contains(" bridge ") && !link.contains(" tun ");
    Ok(if bridge { "bridge" } else { "tap" }.to_owned())
}

/// Ends vmlan as a crash does.
fn kill_vmlan(host: &Libvirt) -> Result<()> {
    host.run("kill -9 $(sed -n 's/^pid = //p' /run/vmlan/default/lock)")?;
    // The kernel closes its files one by one.
    wait::until("vmlan's end", wait::SOON, || {
        let links = host.run("ip link")?;
        ensure!(!links.contains("virbr0"), "{links}");
        host.run("flock -n /run/vmlan/default/lock true").map(drop)
    })
}

/// Adds a tap to `bridge`, as that of a guest.
fn add_tap(host: &Libvirt, tap: &str, bridge: &str) -> Result<()> {
    host.run(&format!(
        "ip tuntap add {tap} mode tap; ip link set {tap} up master {bridge}"
    ))
    .map(drop)
}

/// The bridge that `netdev` is a port of; empty: none.
fn master(host: &Libvirt, netdev: &str) -> Result<String> {
    let script = format!("basename $(readlink /sys/class/net/{netdev}/master) || true");
    Ok(host.run(&script)?.trim().to_owned())
}

/// Puts a virsh in place that does `script` first.
fn wrap_virsh(host: &Libvirt, script: &str) -> Result<()> {
    let path = "/usr/local/bin/virsh";
    host.write(
        path,
        &format!("#!/bin/sh\n{script}\nexec /usr/bin/virsh \"$@\"\n"),
    )?;
    host.run(&format!("chmod +x {path}")).map(drop)
}
