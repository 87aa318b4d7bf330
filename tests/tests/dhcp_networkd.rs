//! systemd-networkd, without systemd and without a bus, through a lease.
//!
//! What it does only when told over D-Bus (`networkctl renew`) it is brought to
//! by a renewal time of seconds.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use std::fs;
use std::time::Duration;
use vmlan_tests::dhcp_client::{lose_unicasts, pass_unicasts};
use vmlan_tests::exchange::{Exchange, Step};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::process::Process;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, taps};
use vmlan_tests::wait;

const SERVER: &str = "192.168.122.1";
const MAC: &str = "52:54:00:00:00:01";
/// The longest that it may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

const NETWORK: &str =
    "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n";

/// A network with the range 192.168.122.FIRST to 192.168.122.LAST.
fn network(first: u8, last: u8) -> String {
    format!(
        "{ISOLATED}[dhcp]\nrange = [\"192.168.122.{first}\", \"192.168.122.{last}\"]\n\
        options = {{ T1 = 3, T2 = 6 }}\n{}",
        taps(&["c1"])
    )
}

/// Starts it on `eth0` of `namespace`.
fn networkd(namespace: &Namespace) -> Result<Process> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), NETWORK)?;
    // The mounts are its own: `ip netns exec` gives it a mount namespace. A
    // /sys that is read-only tells it not to wait for udev.
    let process = namespace.spawn(&format!(
        "exec 3<{}
        mount -o remount,ro /sys
        mount -t tmpfs none /run
        mkdir -p /run/systemd/network /run/systemd/system
        for folder in links leases lldp; do mkdir -p /run/systemd/netif/$folder; done
        cat <&3 >/run/systemd/network/10.network
        chown -R systemd-network /run/systemd/netif
        SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console \
            exec /lib/systemd/systemd-networkd",
        file.path().display()
    ))?;
    // By then it has read its file.
    wait::until("its start", PATIENCE, || {
        let log = process.stderr();
        ensure!(log.contains("DHCPv4 client: STARTED"), "{log}");
        Ok(())
    })?;
    Ok(process)
}

#[test]
fn networkd_takes_renews_rebinds_reboots_is_refused_and_releases() -> Result<()> {
    let switch = Switch::start(&network(2, 9))?;
    let c1 = switch.container("c1", MAC)?;
    let exchange = Exchange::capture(&c1)?;
    let mut client = networkd(&c1)?;
    let (offer, next) = exchange.answered(0, Step::Discover, Step::Offer, PATIENCE)?;
    let (_, next) = exchange.answered(next, Step::Select, Step::Ack, PATIENCE)?;
    let address = offer.address;
    let kept = |start, step| {
        let (ack, next) = exchange.answered(start, step, Step::Ack, PATIENCE)?;
        ensure!(ack.address == address, "{ack:?}, not {address}");
        anyhow::Ok(next)
    };
    let next = kept(next, Step::Renew)?;
    lose_unicasts(&c1, SERVER)?;
    kept(next, Step::Rebind)?;
    pass_unicasts(&c1)?;

    // It asks for its address again when its link comes back.
    c1.run("ip link set eth0 down")?;
    let next = exchange.so_far()?;
    c1.run("ip link set eth0 up")?;
    let next = kept(next, Step::InitReboot)?;

    switch.write_config(&network(100, 199))?;
    switch.cli("reload")?.success()?;
    // While it renews it does not hear what is broadcast, as a NAK has to be
    // (RFC 2131 §4.1); it does when it rebinds.
    let (_, next) = exchange.answered(next, Step::Rebind, Step::Nak, PATIENCE)?;
    let (ack, next) = exchange.answered(next, Step::Select, Step::Ack, PATIENCE)?;
    let moved = ack.address;
    ensure!((100..=199).contains(&moved.octets()[3]), "{moved}");
    // Before it uses the address, its RELEASE would have no way to the server.
    wait::until("the address", PATIENCE, || {
        c1.run(&format!("ping -c 1 -W 1 -I {moved} {SERVER}"))
    })?;

    client.signal(Signal::TERM)?;
    let release = exchange.seen(next, Step::Release, PATIENCE)?;
    assert_eq!(release.address, moved);
    client.wait(PATIENCE)?;
    wait::until("the release", PATIENCE, || {
        let lease = switch.lease(MAC)?;
        ensure!(lease["state"] == "expired", "{lease}");
        Ok(())
    })
}
