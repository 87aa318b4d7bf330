//! Real clients through the whole of a lease, up to the refusal when the range
//! has moved away from under it.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use vmlan_tests::dhcp_client::{Dhclient, Udhcpc};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::process::Process;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, taps};
use vmlan_tests::wait;

const MAC1: &str = "52:54:00:00:00:01";
const MAC2: &str = "52:54:00:00:00:02";

/// The longest that dhcpcd may take for anything; it waits at random before it
/// asks.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network with the range 192.168.122.FIRST to 192.168.122.LAST.
fn network(first: u8, last: u8) -> String {
    format!(
        "{ISOLATED}[dhcp]\nrange = [\"192.168.122.{first}\", \"192.168.122.{last}\"]\n{}",
        taps(&["c1", "c2"])
    )
}

/// Moves the range from 2…99 to 100…199.
fn move_range(switch: &Switch) -> Result<()> {
    switch.write_config(&network(100, 199))?;
    switch.cli("reload")?.success().map(drop)
}

fn is_moved(address: Ipv4Addr) -> bool {
    (100..=199).contains(&address.octets()[3])
}

#[test]
fn udhcpc_and_dhclient_are_refused_and_served_anew_when_the_range_moves() -> Result<()> {
    let switch = Switch::start(&network(2, 99))?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;
    let (client, one) = Udhcpc::start(&c1, "")?;
    let dhclient = Dhclient::new()?;
    let two = dhclient.lease(&c2)?;
    assert!(!is_moved(one.address) && !is_moved(two.address));
    assert_eq!(client.renew()?.address, one.address);

    move_range(&switch)?;
    let moved = client.renew().with_context(|| client.log())?;
    assert!(is_moved(moved.address), "{moved:?}");
    assert!(
        client.log().contains("received DHCP NAK"),
        "{}",
        client.log()
    );
    // It remembers its lease: INIT-REBOOT, then all anew.
    let moved = dhclient.lease(&c2)?;
    assert!(is_moved(moved.address), "{moved:?}");
    assert_eq!(moved.option("event"), "BOUND");
    dhclient.release(&c2)
}

/// dhcpcd in the foreground, which says in its log what it does.
struct Dhcpcd(Process);

impl Dhcpcd {
    /// Starts it on `eth0`; its leases are in `folder`.
    fn start(namespace: &Namespace, folder: &Path) -> Result<Self> {
        // The mounts are its own: `ip netns exec` gives it a mount namespace.
        Ok(Self(namespace.spawn(&format!(
            "mkdir -p /run/dhcpcd /var/lib/dhcpcd
            mount -t tmpfs none /run/dhcpcd
            mount --bind {} /var/lib/dhcpcd
            exec dhcpcd -4 -A -B -d -f /dev/null -c /bin/true eth0",
            folder.display()
        ))?))
    }

    /// Waits until it logs `words` behind the line `start`; gives the line.
    fn says(&self, start: usize, words: &str) -> Result<String> {
        wait::until(words, PATIENCE, || {
            let mut lines = self.0.stderr_from(start).into_iter();
            let line = lines.find(|line| line.contains(words));
            line.with_context(|| self.0.stderr())
        })
    }

    /// Has it do what `signal` means; gives the line where its log then is.
    fn signal(&self, signal: Signal) -> Result<usize> {
        let start = self.0.stderr_from(0).len();
        self.0.signal(signal)?;
        Ok(start)
    }

    /// The address that it says that it leased, behind the line `start`, once
    /// `namespace` uses it: before that, a signal or a RELEASE may be lost.
    fn leased(&self, start: usize, namespace: &Namespace) -> Result<Ipv4Addr> {
        let line = self.says(start, "leased ")?;
        let address = line.split("leased ").nth(1).unwrap_or_default();
        let address = address.split_whitespace().next().unwrap_or_default();
        let address = address.parse().with_context(|| line.clone())?;
        wait::until("the address", PATIENCE, || {
            namespace.run(&format!("ping -c 1 -W 1 -I {address} 192.168.122.1"))
        })?;
        Ok(address)
    }
}

#[test]
fn dhcpcd_leases_renews_rebinds_reboots_is_refused_and_releases() -> Result<()> {
    let switch = Switch::start(&network(2, 99))?;
    let c1 = switch.container("c1", MAC1)?;
    let folder = tempfile::tempdir()?;
    let mut dhcpcd = Dhcpcd::start(&c1, folder.path())?;
    let address = dhcpcd.leased(0, &c1)?;
    assert!(!is_moved(address));
    assert_eq!(switch.lease(MAC1)?["address"], format!("{address}/24"));

    for (signal, words) in [
        (Signal::USR1, "renewing lease"),
        (Signal::HUP, "rebinding lease"),
    ] {
        let start = dhcpcd.signal(signal)?;
        dhcpcd.says(start, words)?;
        assert_eq!(dhcpcd.leased(start, &c1)?, address);
    }

    // It keeps its lease and asks for it again.
    dhcpcd.signal(Signal::TERM)?;
    dhcpcd.0.wait(PATIENCE)?;
    let mut dhcpcd = Dhcpcd::start(&c1, folder.path())?;
    dhcpcd.says(0, "rebinding lease")?;
    assert_eq!(dhcpcd.leased(0, &c1)?, address);

    move_range(&switch)?;
    let start = dhcpcd.signal(Signal::HUP)?;
    dhcpcd.says(start, "NAK")?;
    let moved = dhcpcd.leased(start, &c1)?;
    assert!(is_moved(moved), "{moved}");

    dhcpcd.signal(Signal::ALARM)?;
    wait::until("the release", PATIENCE, || {
        let bound = switch
            .lease(MAC1)
            .is_ok_and(|lease| lease["state"] == "bound");
        ensure!(!bound, "still bound");
        Ok(())
    })?;
    dhcpcd.0.wait(PATIENCE).map(drop)
}
