//! Leases by real clients in namespaces on tap ports.

use anyhow::{Context, Result};
use std::fs;
use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};
use vmlan_tests::dhcp_client::{Dhclient, Lease, Udhcpc, udhcpc};
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, taps};
use vmlan_tests::wait;

const GATEWAY: &str = "192.168.122.1";
const MAC1: &str = "52:54:00:00:00:01";
const MAC2: &str = "52:54:00:00:00:02";
const MAC3: &str = "52:54:00:00:00:03";

fn in_default_range(address: Ipv4Addr) -> bool {
    (Ipv4Addr::new(192, 168, 122, 2)..=Ipv4Addr::new(192, 168, 122, 254)).contains(&address)
}

/// What every lease of [`ISOLATED`] says, whichever client asks.
fn check_options(lease: &Lease) {
    assert!(in_default_range(lease.address), "{lease:?}");
    assert_eq!(lease.option("broadcast"), "192.168.122.255");
    assert_eq!(lease.option("domain"), "vm");
    assert_eq!(lease.option("lease"), "3600");
    assert_eq!(lease.option("serverid"), GATEWAY);
    assert_eq!(lease.option("mtu"), "1500");
}

/// The lease file's line of `mac`, as its five fields.
fn line(switch: &Switch, mac: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(switch.state_file("leases"))?;
    let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    text.lines()
        .map(fields)
        .find(|fields| fields.get(1).is_some_and(|field| field == mac))
        .with_context(|| format!("no line of {mac} in {text:?}"))
}

#[test]
fn two_namespaces_lease_by_udhcpc_and_dhclient_and_reach_each_other() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1", "c2"])))?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;

    let one = udhcpc(&c1, "-O mtu -x hostname:web")?;
    let two = Dhclient::new()?.lease(&c2)?;
    for lease in [&one, &two] {
        check_options(lease);
    }
    assert_eq!(one.option("mask"), "24");
    assert_eq!(two.option("mask"), "255.255.255.0");
    assert_ne!(one.address, two.address);

    c1.ping(two.address)?;
    c2.ping(one.address)?;
    c1.ping(GATEWAY)?;
    c2.ping(GATEWAY)?;
    switch.namespace.ping(one.address)?;

    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    for (mac, lease) in [(MAC1, &one), (MAC2, &two)] {
        let shown = switch.lease(mac)?;
        assert_eq!(shown["address"], format!("{}/24", lease.address));
        assert_eq!(shown["protocol"], "ipv4");
        assert_eq!(shown["state"], "bound");
        let expiry = shown["expiry"].as_u64().context("expiry")?;
        assert!((now + 3000..=now + 3601).contains(&expiry), "{shown}");

        let fields = line(&switch, mac)?;
        assert_eq!(fields.len(), 5, "{fields:?}");
        assert_eq!(fields[0], expiry.to_string());
        assert_eq!(fields[2], lease.address.to_string());
    }
    assert_eq!(switch.lease(MAC1)?["hostname"], "web");
    assert_eq!(line(&switch, MAC1)?[3], "web");
    assert_eq!(switch.json("leases")?.as_array().map(Vec::len), Some(2));
    Ok(())
}

#[test]
fn leases_survive_kill_9_and_renew_to_the_same_address() -> Result<()> {
    let config = ISOLATED.to_owned()
        + &taps(&["c1", "c2"])
        + "[[port]]\nname = \"v3\"\nkind = \"packet\"\ninterface = \"v3\"\n";
    let mut switch = Switch::prepare(&config)?;
    // A veth outlives vmlan, so its client can renew without starting anew.
    let c3 = vmlan_tests::namespace::Namespace::new("c3")?;
    c3.veth("eth0", &switch.namespace, "v3")?;
    c3.run(&format!("ip link set eth0 address {MAC3}"))?;
    switch.launch()?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;

    let one = udhcpc(&c1, "")?;
    let dhclient = Dhclient::new()?;
    let two = dhclient.lease(&c2)?;
    let (client, three) = Udhcpc::start(&c3, "")?;
    let before = fs::read_to_string(switch.state_file("leases"))?;
    let mac = switch.json("status")?["mac"].clone();

    switch.kill();
    assert_eq!(before, fs::read_to_string(switch.state_file("leases"))?);
    drop((c1, c2));
    switch.launch()?;
    assert_eq!(switch.json("status")?["mac"], mac);
    assert_eq!(switch.json("leases")?.as_array().map(Vec::len), Some(3));

    // The taps are new ones, in new namespaces, with the clients' old MACs.
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;
    let renewed = client.renew()?;
    assert_eq!(renewed.option("event"), "renew");
    assert_eq!(renewed.address, three.address);
    let rebooted = dhclient.lease(&c2)?;
    assert_eq!(rebooted.option("event"), "REBOOT");
    assert_eq!(rebooted.address, two.address);
    assert_eq!(udhcpc(&c1, "")?.address, one.address);
    c1.ping(three.address)?;
    Ok(())
}

#[test]
fn a_static_host_gets_its_address_and_its_name() -> Result<()> {
    let config = ISOLATED.to_owned()
        + &format!(
            "[[dhcp.host]]\nmac = \"{MAC1}\"\naddress = \"192.168.122.10\"\nname = \"db\"\n"
        )
        + &taps(&["c1", "c2"]);
    let switch = Switch::start(&config)?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;

    // Nobody else gets it, not even by asking.
    let other = udhcpc(&c2, "-r 192.168.122.10")?;
    assert_ne!(other.address, Ipv4Addr::new(192, 168, 122, 10));
    let lease = udhcpc(&c1, "")?;
    assert_eq!(lease.address, Ipv4Addr::new(192, 168, 122, 10));
    assert_eq!(lease.option("hostname"), "db");
    assert_eq!(switch.lease(MAC1)?["hostname"], "db");
    Ok(())
}

#[test]
fn a_range_over_the_gateway_never_gives_the_gateway_away() -> Result<()> {
    let config = ISOLATED.to_owned()
        + "[dhcp]\nrange = [\"192.168.122.1\", \"192.168.122.2\"]\n"
        + &taps(&["c1", "c2"]);
    let switch = Switch::start(&config)?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;

    assert_eq!(udhcpc(&c1, "")?.address, Ipv4Addr::new(192, 168, 122, 2));
    assert!(udhcpc(&c2, "-t 2 -T 1").is_err());
    assert_eq!(switch.json("leases")?.as_array().map(Vec::len), Some(1));

    // What is given back, and not in use any more, goes to the next.
    c1.run("ip addr flush dev eth0")?;
    switch.cli("lease del 192.168.122.2")?.success()?;
    assert_eq!(udhcpc(&c2, "")?.address, Ipv4Addr::new(192, 168, 122, 2));
    Ok(())
}

#[test]
fn a_released_address_is_free_and_comes_back_to_its_mac() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let c1 = switch.container("c1", MAC1)?;

    let (mut client, first) = Udhcpc::start(&c1, "")?;
    assert_eq!(switch.lease(MAC1)?["state"], "bound");
    client.release()?;
    wait::until("the release", wait::SOON, || {
        let bound = switch
            .lease(MAC1)
            .is_ok_and(|lease| lease["state"] == "bound");
        anyhow::ensure!(!bound, "still bound");
        Ok(())
    })?;
    drop(client);

    assert_eq!(udhcpc(&c1, "")?.address, first.address);
    Ok(())
}

#[test]
fn a_lease_ends_on_time_though_nobody_sends_anything() -> Result<()> {
    let mut switch = Switch::prepare(ISOLATED)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let file = switch.state_file("leases");
    fs::create_dir_all(file.parent().context("no folder")?)?;
    fs::write(&file, format!("{} {MAC1} 192.168.122.9 * *\n", now + 5))?;
    switch.launch()?;
    wait::until("the lease's end", wait::SOON, || {
        let log = switch.log();
        let told = log.contains("has not renewed 192.168.122.9");
        anyhow::ensure!(told, "{log}");
        Ok(())
    })
}

#[test]
fn leases_are_shown_with_the_columns_of_virsh() -> Result<()> {
    let switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let c1 = switch.container("c1", MAC1)?;
    let lease = udhcpc(&c1, "-x hostname:web")?;

    let text = switch.cli("leases")?.success()?;
    let header = text.lines().next().unwrap_or_default();
    let columns = [
        "Expiry Time",
        "MAC address",
        "Protocol",
        "IP address",
        "Hostname",
        "Client ID or DUID",
    ];
    let places: Vec<_> = columns.iter().map(|column| header.find(column)).collect();
    assert!(places.iter().all(Option::is_some), "{text}");
    assert!(places.is_sorted(), "{text}");
    let row = text.lines().find(|line| line.contains(MAC1));
    let row = row.with_context(|| text.clone())?;
    for cell in ["ipv4", &format!("{}/24", lease.address), "web"] {
        assert!(row.contains(cell), "{row}");
    }
    Ok(())
}
