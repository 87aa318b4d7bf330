//! systemd-networkd, without systemd and without a bus, through a lease.
//!
//! What it does only when told over D-Bus (`networkctl renew`) it is brought to
//! by a renewal time of seconds.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::fs;
use std::time::Duration;
use vmlan_tests::namespace::Namespace;
use vmlan_tests::process::Process;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, taps};
use vmlan_tests::wait;

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
    says(&process, 0, "DHCPv4 client: STARTED")?;
    Ok(process)
}

/// Waits until it logs `words` behind the line `start`; gives the line's number.
fn says(process: &Process, start: usize, words: &str) -> Result<usize> {
    wait::until(words, PATIENCE, || {
        let lines = process.stderr_from(start);
        let place = lines.iter().position(|line| line.contains(words));
        Ok(start + place.with_context(|| lines.join("\n"))?)
    })
}

/// Waits until the lease is live and `wanted` takes its address; gives that.
fn leased(switch: &Switch, wanted: impl Fn(&str) -> bool) -> Result<String> {
    wait::until("the lease", PATIENCE, || {
        let lease = switch.lease(MAC)?;
        let field = |name| lease.get(name).and_then(|value| value.as_str());
        ensure!(field("state") == Some("bound"), "{lease}");
        let address = field("address").context("address")?;
        ensure!(wanted(address), "{address}");
        Ok(address.to_owned())
    })
}

#[test]
fn networkd_leases_renews_is_refused_and_releases() -> Result<()> {
    let switch = Switch::start(&network(2, 9))?;
    let c1 = switch.container("c1", MAC)?;
    let mut client = networkd(&c1)?;
    let address = leased(&switch, |_| true)?;
    let first = says(&client, 0, "DHCPv4 client: ACK")?;
    says(&client, first + 1, "DHCPv4 client: ACK")?;
    assert_eq!(leased(&switch, |_| true)?, address);

    switch.write_config(&network(100, 199))?;
    switch.cli("reload")?.success()?;
    // While it renews it does not hear what is broadcast, as a NAK has to be
    // (RFC 2131 §4.1); it does when it rebinds.
    let rebinds = says(&client, first, "DHCPv4 client: REQUEST (rebinding)")?;
    let refused = says(&client, rebinds, "DHCPv4 client: NAK")?;
    says(&client, refused, "DHCPv4 client: ACK")?;
    let moved = leased(&switch, |address| address.starts_with("192.168.122.1"))?;
    // Before it uses the address, its RELEASE would have no way to the server.
    let source = moved.split('/').next().unwrap_or_default();
    wait::until("the address", PATIENCE, || {
        c1.run(&format!("ping -c 1 -W 1 -I {source} 192.168.122.1"))
    })?;

    client.signal(Signal::TERM)?;
    client.wait(PATIENCE)?;
    wait::until("the release", PATIENCE, || {
        let bound = switch
            .lease(MAC)
            .is_ok_and(|lease| lease["state"] == "bound");
        ensure!(!bound, "still bound");
        Ok(())
    })
}
