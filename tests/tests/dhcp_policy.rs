//! Who is served what, by real clients in namespaces: hosts that come and go
//! while the network runs, tags by port, ports and stations that are not served.

use anyhow::{Context, Result};
use std::fs;
use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};
use vmlan_tests::dhcp_client::{Udhcpc, udhcpc};
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
    for (words, status, says) in [
        (format!("{MAC2} {chosen}"), 2, "belongs to another host"),
        (format!("{MAC2} db"), 2, "the name db belongs to another"),
        (format!("{MAC2} 192.168.122.300"), 2, "is no IPv4 address"),
        (format!("{MAC2} 10.0.0.1"), 2, "outside the subnet"),
        (format!("{MAC2} 192.168.122.1"), 2, "is the server's"),
        ("52:54".to_owned(), 2, "is no MAC address"),
    ] {
        let refused = switch.cli(&format!("host add {words}"))?;
        assert_eq!(refused.status, status, "{words}");
        let error = refused.stderr;
        assert!(error.contains(says), "{words}: {error}");
        assert!(!error.contains("configuration"), "{words}: {error}");
    }
    assert_eq!(
        switch.json("host list")?,
        serde_json::json!([{"mac": MAC1, "address": chosen, "name": "db", "set": "red",
                            "origin": "live"}])
    );

    switch.kill();
    drop(c1);
    switch.launch()?;
    let c1 = switch.container("c1", MAC1)?;
    assert_eq!(udhcpc(&c1, "")?.address, chosen, "after a restart");

    switch.cli("host del db")?.success()?;
    let again = switch.cli("host del db")?;
    assert_eq!(again.status, 1);
    assert!(again.stderr.contains("there is no host db"));
    assert_eq!(switch.json("host")?, serde_json::json!([]));
    // Nobody's own any more, it is a range's, which its client has a lease on.
    assert_eq!(udhcpc(&c1, "")?.address, chosen);
    Ok(())
}

#[test]
fn a_host_added_stands_back_while_the_configuration_has_it_otherwise() -> Result<()> {
    let configured = |host: &str| ISOLATED.to_owned() + host + &taps(&["c1"]);
    let switch = Switch::start(&configured(""))?;
    switch.cli(&format!("host add {MAC1} db"))?.success()?;
    let web = format!("[[dhcp.host]]\nmac = \"{MAC1}\"\nname = \"web\"\n");
    switch.write_config(&configured(&web))?;
    switch.cli("reload")?.success()?;
    let c1 = switch.container("c1", MAC1)?;
    assert_eq!(udhcpc(&c1, "-O hostname")?.option("hostname"), "web");
    let hosts = switch.cli("host")?.success()?;
    let left_out = format!("live, left out: {MAC1} stands in the configuration");
    for (name, source) in [(" web ", "config"), (" db ", left_out.as_str())] {
        let line = hosts.lines().find(|line| line.contains(name));
        let right = line.is_some_and(|line| line.contains(MAC1) && line.ends_with(source));
        assert!(right, "{name}: {hosts}");
    }
    let refused = switch.cli("host del web")?;
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains("stands in the configuration"));
    Ok(())
}

/// Two addresses: the first run out longest ago, the second since.
#[test]
fn an_exhausted_range_gives_the_oldest_expired_first_then_silence_that_is_counted() -> Result<()> {
    let range = "[dhcp]\nrange = [\"192.168.122.2\", \"192.168.122.3\"]\n";
    let mut switch = Switch::prepare(&(ISOLATED.to_owned() + range + &taps(&["c1", "c2", "c3"])))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let file = switch.state_file("leases");
    fs::create_dir_all(file.parent().context("no folder")?)?;
    let lines = [("02:00:00:00:00:01", 3, 200), ("02:00:00:00:00:02", 2, 100)];
    let line = |(mac, last, ago)| format!("{} {mac} 192.168.122.{last} * *\n", now - ago);
    fs::write(&file, lines.map(line).concat())?;
    switch.launch()?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;
    let c3 = switch.container("c3", MAC3)?;
    assert_eq!(udhcpc(&c1, "")?.address, Ipv4Addr::new(192, 168, 122, 3));
    assert_eq!(udhcpc(&c2, "")?.address, Ipv4Addr::new(192, 168, 122, 2));

    assert!(udhcpc(&c3, "-t 3 -T 1").is_err());
    let silent = &switch.json("status")?["dhcp"]["unanswered"]["range-exhausted"];
    assert_eq!(*silent, 3, "one for each DISCOVER");
    let shown = switch.cli("status")?.success()?;
    assert!(
        shown.contains("unanswered:  3 range-exhausted\n"),
        "{shown}"
    );
    let metrics = switch.namespace.run(&format!(
        "curl -sS --unix-socket {} http://vmlan/metrics",
        switch.run_file("control.sock").display()
    ))?;
    let counter = "vmlan_dhcp_unanswered_total{reason=\"range-exhausted\"} 3\n";
    assert!(metrics.contains(counter), "{metrics}");
    let log = switch.log();
    let said = format!("{MAC3} gets no address, range-exhausted: widen the range");
    assert_eq!(log.matches(&said).count(), 1, "once for all three: {log}");
    Ok(())
}

#[test]
fn a_reload_changes_lease_time_options_and_tags_and_ends_no_lease() -> Result<()> {
    let base = ISOLATED.to_owned() + &taps(&["c1"]);
    let switch = Switch::start(&base)?;
    let c1 = switch.container("c1", MAC1)?;
    let (client, before) = Udhcpc::start(&c1, "")?;
    assert_eq!(before.option("lease"), "3600");
    assert_eq!(before.option("dns"), "192.168.122.1");

    let dhcp = "\n[dhcp]\nlease-time = \"30m\"\n\
                [[dhcp.match]]\nport = \"c1\"\nset = \"red\"\n\
                [[dhcp.option]]\noption = \"dns-server\"\nvalue = [\"9.9.9.9\"]\ntag = \"red\"\n\
                [[dhcp.option]]\noption = \"domain-name\"\nvalue = \"blue\"\ntag = \"!red\"\n";
    switch.write_config(&(base + dhcp))?;
    switch.cli("reload")?.success()?;
    assert_eq!(switch.lease(MAC1)?["state"], "bound");
    let after = client.renew()?;
    assert_eq!(after.address, before.address);
    assert_eq!(after.option("lease"), "1800");
    assert_eq!(after.option("dns"), "9.9.9.9");
    assert_eq!(after.option("domain"), "vm");
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
    assert!(udhcpc(&c2, "-t 2 -T 1").is_err());
    switch.cli(&format!("host add {MAC2}"))?.success()?;
    udhcpc(&c2, "")?;
    Ok(())
}

#[test]
fn a_port_without_dhcp_is_not_served_until_it_is() -> Result<()> {
    let config = ISOLATED.to_owned() + &taps(&["c1"]) + "dhcp = false\n";
    let switch = Switch::start(&config)?;
    let c1 = switch.container("c1", MAC1)?;
    assert!(udhcpc(&c1, "-t 2 -T 1").is_err());
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
