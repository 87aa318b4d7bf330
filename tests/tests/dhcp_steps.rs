//! Real clients through each step of a lease: they take it, renew, rebind, ask
//! for it again after a reboot, are refused when the range has moved away from
//! under it, and give it back.
//!
//! What they do is seen on the wire. Renewal and rebinding come after seconds by
//! options 58 and 59; where a client goes by the length of its lease alone, it
//! has a short one. systemd-networkd and iPXE have files of their own.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vmlan_tests::dhcp_client::{Dhclient, Dhcpcd, Udhcpc, lose_unicasts, pass_unicasts};
use vmlan_tests::exchange::{Exchange, Step};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, taps};
use vmlan_tests::wait;

const SERVER: &str = "192.168.122.1";
const MAC: &str = "52:54:00:00:00:01";

/// The longest that a client may take for anything; some wait at random before
/// they ask.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network with the range 192.168.122.FIRST to 192.168.122.LAST.
fn network(first: u8, last: u8) -> String {
    format!(
        "{ISOLATED}[dhcp]\nrange = [\"192.168.122.{first}\", \"192.168.122.{last}\"]\n\
        options = {{ T1 = 3, T2 = 6 }}\n{}",
        taps(&["c1"])
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

/// The network, its one client's namespace and what that says.
fn lab() -> Result<(Switch, Namespace, Exchange)> {
    let switch = Switch::start(&network(2, 99))?;
    let c1 = switch.container("c1", MAC)?;
    let exchange = Exchange::capture(&c1)?;
    Ok((switch, c1, exchange))
}

/// Waits for DISCOVER, OFFER, REQUEST and ACK behind `start`; gives the address
/// and where to go on.
fn leased(exchange: &Exchange, start: usize) -> Result<(Ipv4Addr, usize)> {
    let (offer, next) = exchange.answered(start, Step::Discover, Step::Offer, PATIENCE)?;
    let (ack, next) = exchange.answered(next, Step::Select, Step::Ack, PATIENCE)?;
    ensure!(ack.address == offer.address, "{offer:?}, {ack:?}");
    Ok((ack.address, next))
}

/// Waits until `step` behind `start` is answered by an ACK of `address`; gives
/// where to go on.
fn kept(exchange: &Exchange, start: usize, step: Step, address: Ipv4Addr) -> Result<usize> {
    let (ack, next) = exchange.answered(start, step, Step::Ack, PATIENCE)?;
    ensure!(ack.address == address, "{ack:?}, not {address}");
    Ok(next)
}

/// Waits until the client uses `address`: before that, a RELEASE or a signal may
/// be lost.
fn used(namespace: &Namespace, address: Ipv4Addr) -> Result<()> {
    wait::until("the address", PATIENCE, || {
        let ping = format!("ping -c 1 -W 1 -I {address} {SERVER}");
        namespace.run(&ping).map(drop)
    })
}

/// Waits for the RELEASE behind `start`, and until `address` is free.
fn released(switch: &Switch, exchange: &Exchange, start: usize, address: Ipv4Addr) -> Result<()> {
    let release = exchange.seen(start, Step::Release, PATIENCE)?;
    ensure!(release.address == address, "{release:?}, not {address}");
    wait::until("the release", PATIENCE, || {
        let lease = switch.lease(MAC)?;
        let state = lease.get("state").and_then(|state| state.as_str());
        ensure!(state == Some("expired"), "{lease}");
        Ok(())
    })
}

#[test]
fn udhcpc_takes_renews_is_refused_asks_again_and_releases() -> Result<()> {
    let (switch, c1, exchange) = lab()?;
    let (client, _) = Udhcpc::start(&c1, "")?;
    let (address, next) = leased(&exchange, 0)?;
    assert_eq!(client.renew()?.option("event"), "renew");
    let next = kept(&exchange, next, Step::Renew, address)?;

    // It keeps no lease, so it asks for the address by a DISCOVER.
    drop(client);
    let (mut client, again) = Udhcpc::start(&c1, &format!("-r {address}"))?;
    assert_eq!(again.address, address);
    let (_, next) = leased(&exchange, next)?;
    used(&c1, address)?;
    client.release()?;
    released(&switch, &exchange, next, address)?;
    drop(client);

    let next = exchange.so_far()?;
    let (client, _) = Udhcpc::start(&c1, "")?;
    let (_, next) = leased(&exchange, next)?;
    move_range(&switch)?;
    let moved = client.renew()?.address;
    let (_, next) = exchange.answered(next, Step::Renew, Step::Nak, PATIENCE)?;
    assert!(is_moved(moved), "{moved}");
    assert_eq!(leased(&exchange, next)?.0, moved);
    Ok(())
}

/// udhcpc goes by the length of its lease alone, and rebinds in the last half
/// minute. A server that cannot write tells what is left of a lease.
#[test]
fn udhcpc_rebinds_when_its_lease_is_about_to_end() -> Result<()> {
    // What a network keeps beside its leases is there when it starts.
    let mut switch = Switch::start(&network(2, 99))?;
    switch.stop()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let file = switch.state_file("leases");
    fs::write(&file, format!("{} {MAC} 192.168.122.9 * *\n", now + 29))?;
    switch.launch_read_only()?;
    let c1 = switch.container("c1", MAC)?;
    let exchange = Exchange::capture(&c1)?;
    let (client, lease) = Udhcpc::start(&c1, "")?;
    let (address, next) = leased(&exchange, 0)?;
    assert_eq!(lease.address, address);
    lose_unicasts(&c1, SERVER)?;
    assert_eq!(client.renew()?.address, address);
    kept(&exchange, next, Step::Rebind, address).map(drop)
}

#[test]
fn dhclient_takes_renews_rebinds_reboots_is_refused_and_releases() -> Result<()> {
    let (switch, c1, exchange) = lab()?;
    let dhclient = Dhclient::new()?;
    let client = dhclient.stay(&c1)?;
    let (address, next) = leased(&exchange, 0)?;
    let next = kept(&exchange, next, Step::Renew, address)?;
    lose_unicasts(&c1, SERVER)?;
    kept(&exchange, next, Step::Rebind, address)?;
    pass_unicasts(&c1)?;

    drop(client);
    let next = exchange.so_far()?;
    let client = dhclient.stay(&c1)?;
    let next = kept(&exchange, next, Step::InitReboot, address)?;
    drop(client);
    used(&c1, address)?;
    dhclient.release(&c1)?;
    released(&switch, &exchange, next, address)?;

    let next = exchange.so_far()?;
    let _client = dhclient.stay(&c1)?;
    let (_, next) = leased(&exchange, next)?;
    move_range(&switch)?;
    let (_, next) = exchange.answered(next, Step::Renew, Step::Nak, PATIENCE)?;
    let (moved, _) = leased(&exchange, next)?;
    assert!(is_moved(moved), "{moved}");
    Ok(())
}

#[test]
fn dhcpcd_takes_renews_rebinds_reboots_is_refused_and_releases() -> Result<()> {
    let (switch, c1, exchange) = lab()?;
    let dhcpcd = Dhcpcd::new()?;
    let mut client = dhcpcd.stay(&c1)?;
    let (address, next) = leased(&exchange, 0)?;
    used(&c1, address)?;
    let next = kept(&exchange, next, Step::Renew, address)?;
    lose_unicasts(&c1, SERVER)?;
    kept(&exchange, next, Step::Rebind, address)?;
    pass_unicasts(&c1)?;

    // It keeps its lease and asks for it again.
    client.signal(Signal::TERM)?;
    client.wait(PATIENCE)?;
    let next = exchange.so_far()?;
    let mut client = dhcpcd.stay(&c1)?;
    let next = kept(&exchange, next, Step::InitReboot, address)?;

    move_range(&switch)?;
    let (_, next) = exchange.answered(next, Step::Renew, Step::Nak, PATIENCE)?;
    let (moved, next) = leased(&exchange, next)?;
    assert!(is_moved(moved), "{moved}");
    used(&c1, moved)?;
    client.signal(Signal::ALARM)?;
    released(&switch, &exchange, next, moved)?;
    client.wait(PATIENCE).map(drop)
}
