//! Who is served what, by real clients in namespaces: hosts that come and go
//! while the network runs, tags by port, ports and stations that are not served.

use anyhow::Result;
use std::net::Ipv4Addr;
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, taps};

const MAC1: &str = "52:54:00:00:00:01";
const MAC2: &str = "52:54:00:00:00:02";
const MAC3: &str = "52:54:00:00:00:03";

#[test]
fn a_host_added_while_the_network_runs_gets_its_address_and_keeps_it() -> Result<()> {
    let mut switch = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let c1 = switch.container("c1", MAC1)?;
    let chosen = Ipv4Addr::new(192, 168, 122, 200);
    assert_ne!(udhcpc(&c1, "")?.address, chosen);

    switch
        .cli(&format!("host add {MAC1} {chosen} db --set red"))?
        .success()?;
    assert_eq!(switch.lease(MAC1)?["state"], "bound", "no lease is lost");
    let lease = udhcpc(&c1, "-O hostname")?;
    assert_eq!(lease.address, chosen);
    assert_eq!(lease.option("hostname"), "db");
    let twice = switch.cli(&format!("host add {MAC2} {chosen}"))?;
    assert!(twice.success().is_err());

    switch.kill();
    drop(c1);
    switch.launch()?;
    let c1 = switch.container("c1", MAC1)?;
    assert_eq!(udhcpc(&c1, "")?.address, chosen, "after a restart");

    switch.cli("host del db")?.success()?;
    let again = switch.cli("host del db")?;
    assert!(again.success().is_err());
    // Nobody's own any more, it is a range's, which its client has a lease on.
    assert_eq!(udhcpc(&c1, "")?.address, chosen);
    Ok(())
}

#[test]
fn ports_are_served_from_ranges_by_their_names() -> Result<()> {
    let config = ISOLATED.to_owned()
        + r#"
[dhcp]
range = ["192.168.122.10", "192.168.122.19"]
[[dhcp.match]]
port = "web*"
set  = "web"
[[dhcp.pool]]
range = ["192.168.122.100", "192.168.122.109"]
tag   = "web"
[[dhcp.option]]
option = "domain-name"
value  = "web.vm"
tag    = "web"
"# + &taps(&["c1", "web1"]);
    let switch = Switch::start(&config)?;
    let c1 = switch.container("c1", MAC1)?;
    let web1 = switch.container("web1", MAC2)?;
    let plain = udhcpc(&c1, "")?;
    assert!((10..20).contains(&plain.address.octets()[3]), "{plain:?}");
    assert_eq!(plain.option("domain"), "vm");
    let web = udhcpc(&web1, "")?;
    assert!((100..110).contains(&web.address.octets()[3]), "{web:?}");
    assert_eq!(web.option("domain"), "web.vm");
    Ok(())
}

#[test]
fn strangers_are_not_served_where_only_known_hosts_are() -> Result<()> {
    let known = format!("[dhcp]\nknown-only = true\n[[dhcp.host]]\nmac = \"{MAC1}\"\n");
    let switch = Switch::start(&(ISOLATED.to_owned() + &known + &taps(&["c1", "c2"])))?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;
    udhcpc(&c1, "")?;
    assert!(udhcpc(&c2, "").is_err());
    switch.cli(&format!("host add {MAC2}"))?.success()?;
    udhcpc(&c2, "")?;
    Ok(())
}

#[test]
fn a_port_without_dhcp_is_not_served_until_it_is() -> Result<()> {
    let config = ISOLATED.to_owned() + &taps(&["c1"]) + "dhcp = false\n";
    let switch = Switch::start(&config)?;
    let c1 = switch.container("c1", MAC1)?;
    assert!(udhcpc(&c1, "").is_err());
    switch.cli("port set c1 dhcp=true")?.success()?;
    udhcpc(&c1, "")?;
    Ok(())
}

#[test]
fn an_address_that_a_station_uses_without_a_lease_is_not_given_to_others() -> Result<()> {
    let range = "[dhcp]\nsequential = true\nrange = [\"192.168.122.2\", \"192.168.122.9\"]\n";
    let config = ISOLATED.to_owned() + range + &taps(&["c1", "c2", "c3"]);
    let switch = Switch::start(&config)?;
    let squatter = switch.container("c1", MAC1)?;
    squatter.run("ip addr add 192.168.122.2/24 dev eth0")?;
    let c2 = switch.container("c2", MAC2)?;
    let c3 = switch.container("c3", MAC3)?;
    // Each is answered while the other's address is being asked for.
    let (second, third) = std::thread::scope(|scope| {
        let third = scope.spawn(|| udhcpc(&c3, ""));
        (udhcpc(&c2, ""), third.join())
    });
    let third = third.map_err(|_| anyhow::anyhow!("the client's thread panicked"))?;
    let mut given = [second?.address, third?.address];
    given.sort();
    assert_eq!(given.map(|address| address.octets()[3]), [3, 4]);
    let log = switch.log();
    let found = log.lines().find(|line| line.contains("without a lease"));
    let found = found.unwrap_or_else(|| panic!("{log}"));
    assert!(found.contains("192.168.122.2,"), "{found}");
    assert!(found.contains(MAC1), "{found}");
    assert_eq!(switch.lease(MAC1)?["state"], "declined");
    Ok(())
}

#[test]
fn an_address_of_the_host_itself_is_not_given_away() -> Result<()> {
    let range = "[dhcp]\nsequential = true\nrange = [\"192.168.122.2\", \"192.168.122.9\"]\n";
    let switch = Switch::start(&(ISOLATED.to_owned() + range + &taps(&["c1"])))?;
    switch
        .namespace
        .run("ip addr add 192.168.122.2/24 dev vmlan0")?;
    let c1 = switch.container("c1", MAC1)?;
    assert_eq!(udhcpc(&c1, "")?.address, Ipv4Addr::new(192, 168, 122, 3));
    Ok(())
}
