//! What guests reach outside, who reaches them, and what is left on the host
//! afterwards: with nothing else there, with Docker and with firewalld.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use vmlan_tests::namespace::Namespace;
use vmlan_tests::outside::{Docker, Firewalld, GUEST, HOST, Outside, Reached, SERVER};
use vmlan_tests::station::Station;
use vmlan_tests::{transfer, wait};

const NAT: &str = "forward = \"nat\"";
const ROUTE: &str = "forward = \"route\"";
const OPEN: &str = "forward = \"open\"";
const ISOLATED: &str = "forward = \"isolated\"";

/// Each way to forward passes what it is to pass and no more.
fn each_way_is_as_it_should_be(outside: &mut Outside, open: bool) -> Result<()> {
    let (rules, forwards) = (outside.rules()?, outside.forwards()?);
    outside.launch(NAT)?;
    let out = outside.outward()?;
    ensure!(out.all_from(HOST), "nat: {out:?}");
    ensure!(out.udp.is_some_and(|seen| seen.port() >= 1024), "{out:?}");
    let into = outside.inward()?;
    ensure!(into == Reached::NOTHING, "nat: {into:?}");
    outside.guest()?.ping("192.168.122.1")?;

    reload(outside, ROUTE)?;
    let (out, into) = (outside.outward()?, outside.inward()?);
    ensure!(out.all_from(GUEST), "route: {out:?}");
    if open {
        ensure!(into.all_from(SERVER), "route: {into:?}");
        reload(outside, OPEN)?;
        let (out, into) = (outside.outward()?, outside.inward()?);
        ensure!(out.all_from(GUEST), "open: {out:?}");
        ensure!(into.all_from(SERVER), "open: {into:?}");
    }

    reload(outside, ISOLATED)?;
    let (out, into) = (outside.outward()?, outside.inward()?);
    ensure!(out == Reached::NOTHING, "isolated: {out:?}");
    ensure!(into == Reached::NOTHING, "isolated: {into:?}");
    outside.guest()?.ping("192.168.122.1")?;
    outside.stop()?;
    is_as_it_was(outside, &rules, forwards)
}

fn reload(outside: &Outside, config: &str) -> Result<()> {
    outside.configure(config)?;
    let said = outside.switch.cli("reload")?.success()?;
    ensure!(said.contains("forward is"), "{said}");
    Ok(())
}

fn is_as_it_was(outside: &Outside, rules: &str, forwards: bool) -> Result<()> {
    let now = outside.rules()?;
    ensure!(now == rules, "before:\n{rules}\nafter:\n{now}");
    ensure!(outside.forwards()? == forwards, "ip_forward has changed");
    Ok(())
}

#[test]
fn each_way_to_forward_passes_what_it_says() -> Result<()> {
    each_way_is_as_it_should_be(&mut Outside::new()?, true)
}

#[test]
fn an_isolated_network_stays_so_on_a_host_that_forwards() -> Result<()> {
    let mut outside = Outside::new()?;
    outside
        .switch
        .namespace
        .run("sysctl -qw net.ipv4.ip_forward=1")?;
    let rules = outside.rules()?;
    outside.launch(ISOLATED)?;
    assert_eq!(outside.outward()?, Reached::NOTHING);
    assert_eq!(outside.inward()?, Reached::NOTHING);
    outside.stop()?;
    is_as_it_was(&outside, &rules, true)
}

#[test]
fn nat_shows_the_ports_and_addresses_that_it_is_told() -> Result<()> {
    let mut outside = Outside::new()?;
    outside
        .switch
        .namespace
        .run("ip addr add 203.0.113.5/24 dev wan0")?;
    outside.launch(&format!(
        "{NAT}\n[nat]\nports = [20000, 20009]\naddresses = [\"203.0.113.5\"]"
    ))?;
    let out = outside.outward()?;
    assert!(out.all_from("203.0.113.5"), "{out:?}");
    for seen in [out.tcp, out.udp].into_iter().flatten() {
        assert!((20_000..=20_009).contains(&seen.port()), "{out:?}");
    }
    outside.stop()
}

#[test]
fn with_an_uplink_there_is_no_other_way_out() -> Result<()> {
    let mut outside = Outside::new()?;
    let other = Namespace::new("other")?;
    outside.switch.namespace.veth("wan1", &other, "eth0")?;
    outside
        .switch
        .namespace
        .run("ip addr add 198.51.100.1/24 dev wan1")?;
    other.run("ip addr add 198.51.100.2/24 dev eth0")?;
    let reaches_other = |outside: &Outside| -> Result<bool> {
        let ping = outside
            .guest()?
            .shell("ping -c 1 -W 1 198.51.100.2", wait::SOON)?;
        Ok(ping.status == 0)
    };
    outside.launch(NAT)?;
    assert!(reaches_other(&outside)?);
    reload(&outside, &format!("{NAT}\nuplink = \"wan0\""))?;
    assert!(!reaches_other(&outside)?);
    let out = outside.outward()?;
    assert!(out.all_from(HOST), "{out:?}");
    outside.stop()
}

#[test]
fn tcp_with_offloads_arrives_whole_behind_nat() -> Result<()> {
    let mut outside = Outside::new()?;
    outside.launch(NAT)?;
    let guest = outside.guest()?;
    let offloads = guest.run("ethtool -k eth0")?;
    assert!(
        offloads.contains("tcp-segmentation-offload: on"),
        "{offloads}"
    );
    let within = Duration::from_secs(30);
    let took = transfer::tcp(guest, &outside.internet, SERVER, 64, within)?;
    println!("64 MiB in {took:?}");
    outside.stop()
}

#[test]
fn what_a_killed_run_has_left_is_put_back_by_the_next() -> Result<()> {
    let mut outside = Outside::new()?;
    let rules = outside.rules()?;
    outside.launch(NAT)?;
    outside.kill();
    assert_ne!(outside.rules()?, rules, "the kernel keeps them");
    assert!(outside.forwards()?);
    // With another configuration, which needs none of it.
    outside.launch("forward = \"bridge\"\ninterface = \"\"")?;
    is_as_it_was(&outside, &rules, false)?;
    outside.kill();

    outside.launch(NAT)?;
    outside.kill();
    outside.launch(NAT)?;
    let out = outside.outward()?;
    assert!(out.all_from(HOST), "{out:?}");
    outside.stop()?;
    is_as_it_was(&outside, &rules, false)
}

#[test]
fn rules_that_somebody_flushes_come_again() -> Result<()> {
    let mut outside = Outside::new()?;
    outside.launch(NAT)?;
    let rules = outside.rules()?;
    outside.switch.namespace.run("nft flush ruleset")?;
    wait::until("the rules", wait::SOON, || {
        let now = outside.rules()?;
        ensure!(
            now.matches("masquerade").count() == rules.matches("masquerade").count(),
            "{now}"
        );
        Ok(())
    })?;
    let out = outside.outward()?;
    assert!(out.all_from(HOST), "{out:?}");
    outside.stop()?;
    assert!(!outside.rules()?.contains("vmlan"));
    Ok(())
}

#[test]
fn without_nft_nat_says_what_is_missing_and_leaves_nothing() -> Result<()> {
    let outside = Outside::new()?;
    outside.configure(NAT)?;
    let said = outside.switch.refuse_without_sbin()?;
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.stderr.contains("the package nftables"), "{said:?}");
    assert!(!outside.forwards()?);
    assert_eq!(outside.switch.namespace.netdevs()?, ["lo", "wan0"]);
    Ok(())
}

#[test]
fn a_subnet_that_the_host_has_already_is_refused() -> Result<()> {
    let outside = Outside::new()?;
    outside
        .switch
        .namespace
        .run("ip addr add 192.168.122.77/24 dev wan0")?;
    outside.configure(NAT)?;
    let said = outside.switch.refuse()?;
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.stderr.contains("192.168.122.77/24"), "{said:?}");
    assert!(said.stderr.contains("wan0"), "{said:?}");
    Ok(())
}

#[test]
fn with_docker_all_is_as_without() -> Result<()> {
    let mut outside = Outside::new()?;
    let docker = Docker::start(&outside.switch.namespace)?;
    assert!(outside.forwards()?, "Docker has turned it on");
    each_way_is_as_it_should_be_with_docker(&mut outside)?;

    // Somebody flushes the chain; then Docker itself starts again.
    let host = std::sync::Arc::clone(&outside.switch.namespace);
    let listed = || host.run("iptables -S DOCKER-USER");
    let before = listed()?;
    outside.launch(NAT)?;
    host.run("iptables -F DOCKER-USER; iptables -A DOCKER-USER -j RETURN")?;
    wait::until("our rules", wait::SOON, || {
        let now = listed()?;
        ensure!(now.matches("vmlan:lab").count() == 2, "{now}");
        Ok(())
    })?;
    docker.stop()?;
    let _docker = Docker::start(&host)?;
    let out = outside.outward()?;
    assert!(out.all_from(HOST), "{out:?}\n{}", listed()?);
    outside.kill();
    assert_eq!(listed()?.matches("vmlan:lab").count(), 2);
    outside.launch(NAT)?;
    assert_eq!(listed()?.matches("vmlan:lab").count(), 2);
    outside.kill();
    let said = outside.switch.cli("cleanup")?.success()?;
    assert!(
        said.contains("its rules in the chain DOCKER-USER"),
        "{said}"
    );
    assert_eq!(listed()?, before);
    Ok(())
}

fn each_way_is_as_it_should_be_with_docker(outside: &mut Outside) -> Result<()> {
    // Docker drops what nobody lets through: an open network has no rule.
    outside.launch(OPEN)?;
    assert_eq!(outside.outward()?, Reached::NOTHING);
    let log = outside.switch.log();
    assert!(
        log.contains("chain FORWARD of table ip filter (Docker's) drops"),
        "{log}"
    );
    outside.stop()?;
    let rules = outside.rules()?;
    outside.launch(NAT)?;
    let log = outside.switch.log();
    assert!(log.contains("Docker is here"), "{log}");
    assert!(!log.contains("WARN"), "{log}");
    let out = outside.outward()?;
    assert!(out.all_from(HOST), "{out:?}");
    assert_eq!(outside.inward()?, Reached::NOTHING);
    reload(outside, ROUTE)?;
    let (out, into) = (outside.outward()?, outside.inward()?);
    assert!(
        out.all_from(GUEST) && into.all_from(SERVER),
        "{out:?} {into:?}"
    );
    reload(outside, ISOLATED)?;
    assert_eq!(outside.outward()?, Reached::NOTHING);
    assert_eq!(outside.inward()?, Reached::NOTHING);
    outside.stop()?;
    is_as_it_was(outside, &rules, true)
}

#[test]
fn with_firewalld_and_its_zone_libvirt_guests_get_out() -> Result<()> {
    with_firewalld(true)
}

#[test]
fn with_firewalld_alone_guests_get_out() -> Result<()> {
    with_firewalld(false)
}

fn with_firewalld(has_libvirt: bool) -> Result<()> {
    let mut outside = Outside::new()?;
    let firewalld = Firewalld::start(&mut outside.switch, has_libvirt)?;
    let host = std::sync::Arc::clone(&outside.switch.namespace);
    let zone = if has_libvirt { "libvirt" } else { "trusted" };
    let in_zone = || firewalld.command(&host, &format!("--zone={zone} --list-interfaces"));

    // firewalld refuses what is in no zone for it.
    outside.launch(OPEN)?;
    assert_eq!(outside.outward()?, Reached::NOTHING);
    outside.stop()?;
    assert_eq!(in_zone()?.trim(), "");

    outside.launch(NAT)?;
    assert_eq!(in_zone()?.trim(), "vmlan0");
    let log = outside.switch.log();
    assert!(
        log.contains(&format!("vmlan0 is in its zone {zone}")),
        "{log}"
    );
    let out = outside.outward()?;
    assert!(out.all_from(HOST), "{out:?}");
    assert_eq!(outside.inward()?, Reached::NOTHING);
    outside.guest()?.ping("192.168.122.1")?;

    // Others reach routed guests by libvirt's zone, or by a policy.
    reload(&outside, ROUTE)?;
    if !has_libvirt {
        assert_eq!(outside.inward()?, Reached::NOTHING);
        let said = outside.switch.cli("doctor --config CONFIG")?.stdout;
        let help = said.lines().find(|it| it.contains("--new-policy"));
        for command in help.context(said.clone())?.split('`').skip(1).step_by(2) {
            let arguments = command.strip_prefix("firewall-cmd ").context("?")?;
            firewalld.command(&host, arguments)?;
        }
        wait::until("the zone after the reload", wait::SOON, || {
            ensure!(in_zone()?.trim() == "vmlan0", "not yet");
            Ok(())
        })?;
    }
    let (out, into) = (outside.outward()?, outside.inward()?);
    assert!(
        out.all_from(GUEST) && into.all_from(SERVER),
        "{out:?} {into:?}"
    );
    reload(&outside, NAT)?;
    assert_eq!(in_zone()?.trim(), "vmlan0");

    // What it forgets comes again, and so does what a crash leaves.
    firewalld.command(&host, &format!("--zone={zone} --remove-interface=vmlan0"))?;
    wait::until("the zone", wait::SOON, || {
        ensure!(in_zone()?.trim() == "vmlan0", "not yet");
        Ok(())
    })?;
    firewalld.command(&host, "--reload")?;
    wait::until("the way out", wait::SOON, || {
        let out = outside.outward()?;
        ensure!(out.all_from(HOST), "{out:?}");
        Ok(())
    })?;
    outside.kill();
    outside.launch(ISOLATED)?;
    assert_eq!(outside.outward()?, Reached::NOTHING);
    assert_eq!(outside.inward()?, Reached::NOTHING);
    outside.stop()?;
    assert_eq!(in_zone()?.trim(), "");
    assert!(!outside.rules()?.contains("vmlan"));
    assert!(!outside.forwards()?);
    // A zone that somebody has chosen stays.
    firewalld.command(&host, "--zone=internal --add-interface=vmlan0")?;
    outside.launch(NAT)?;
    outside.stop()?;
    // An open network passes as its zone has it.
    if has_libvirt {
        firewalld.command(&host, "--zone=libvirt-routed --change-interface=vmlan0")?;
        outside.launch(OPEN)?;
        let (out, into) = (outside.outward()?, outside.inward()?);
        assert!(
            out.all_from(GUEST) && into.all_from(SERVER),
            "{out:?} {into:?}"
        );
        outside.stop()?;
        firewalld.command(&host, "--zone=internal --change-interface=vmlan0")?;
    }
    let chosen = firewalld.command(&host, "--zone=internal --list-interfaces")?;
    assert_eq!(chosen.trim(), "vmlan0");
    Ok(())
}

#[test]
fn a_default_network_translates() -> Result<()> {
    let mut outside = Outside::new()?;
    outside.launch("")?;
    let status = outside.switch.json("status")?;
    assert_eq!(status["forward"], "nat");
    let tcp = outside.outward()?.tcp.context("no TCP")?;
    assert_eq!(tcp.ip().to_string(), HOST);
    outside.stop()
}
