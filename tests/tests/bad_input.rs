//! What is wrong is refused with a message that names the thing and the mend,
//! and leaves nothing half made.

use anyhow::Result;
use vmlan_tests::namespace::Namespace;
use vmlan_tests::process::Outcome;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, User, packets, taps};

/// Has vmlan refuse `switch`'s config, and checks that nothing is left of the
/// attempt: `netdevs` are all that there are, and no socket.
fn refuse(switch: &Switch, status: i32, words: &[&str], netdevs: &[&str]) -> Result<Outcome> {
    let refused = switch.refuse()?;
    assert_eq!(refused.status, status, "{refused:?}");
    for word in words {
        assert!(
            refused.stderr.contains(word),
            "no {word:?} in: {}",
            refused.stderr
        );
    }
    assert!(!refused.stdout.contains("ready: "), "{}", refused.stdout);
    assert_eq!(switch.namespace.netdevs()?, netdevs);
    for socket in ["control.sock", "vm.sock"] {
        assert!(!switch.run_file(socket).exists(), "{socket} is left");
    }
    Ok(refused)
}

/// A config that is wrong in itself: `run` and `check` refuse it alike, with
/// exit status 2 and the place, `LINE:COLUMN`.
fn refuse_config(config: &str, place: &str, words: &[&str]) -> Result<()> {
    let switch = Switch::prepare(config)?;
    let place = format!("lab.toml:{place}");
    let words = [&[place.as_str()], words].concat();
    refuse(&switch, 2, &words, &["lo"])?;
    let checked = switch.cli("check CONFIG")?;
    assert_eq!(checked.status, 2, "{checked:?}");
    for word in words {
        assert!(checked.stderr.contains(word), "{}", checked.stderr);
    }
    Ok(())
}

#[test]
fn a_config_that_is_no_toml_is_shown_with_its_line() -> Result<()> {
    let config = "name = \"lab\"\naddress = \"192.168.122.1/24\nforward = \"isolated\"\n";
    refuse_config(config, "2:", &["address = \"192.168.122.1/24"])
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() -> Result<()> {
    let config = "name = \"lab\"\nadress = \"192.168.122.1/24\"\n";
    refuse_config(
        config,
        "2:1",
        &["adress = \"192.168.122.1/24\"", "`adress`", "`address`"],
    )?;
    let config = "name = \"lab\"\n[[port]]\nname = \"c1\"\nkind = \"tap\"\ninterfce = \"c1\"\n";
    refuse_config(config, "5:1", &["`interfce`", "`interface`"])
}

#[test]
fn a_value_that_its_key_does_not_take_is_refused() -> Result<()> {
    let name = "name = \"lab\"\n";
    for (line, words) in [
        ("address = \"192.168.122.1\"", &["192.168.122.1"][..]),
        ("address = \"192.168.122.300/24\"", &["192.168.122.300"]),
        ("mtu = 100", &["576", "65520"]),
        ("mtu = \"big\"", &["mtu"]),
        ("mac = \"01:00:5e:00:00:01\"", &["01:00:5e:00:00:01"]),
        ("forward = \"isolatd\"", &["isolatd", "isolated"]),
        ("interface = \"a-name-that-is-too-long\"", &["15"]),
    ] {
        refuse_config(&format!("{name}{line}\n"), "2:", words)?;
    }
    Ok(())
}

#[test]
fn an_address_outside_the_subnet_is_refused() -> Result<()> {
    let head = "name = \"lab\"\naddress = \"192.168.122.1/24\"\n";
    let host = "[[dhcp.host]]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.168.123.10\"\n";
    refuse_config(
        &(head.to_owned() + host),
        "5:",
        &["192.168.123.10", "192.168.122.0/24"],
    )?;
    let range = "[dhcp]\nrange = [\"192.168.122.2\", \"192.168.123.20\"]\n";
    refuse_config(
        &(head.to_owned() + range),
        "4:",
        &["192.168.123.20", "192.168.122.0/24"],
    )
}

#[test]
fn a_range_that_holds_nothing_but_the_gateway_is_refused() -> Result<()> {
    let config = "name = \"lab\"\naddress = \"192.168.122.1/24\"\n\
                  [dhcp]\nrange = [\"192.168.122.1\", \"192.168.122.1\"]\n";
    refuse_config(config, "4:", &["range", "192.168.122.1"])?;
    let host = "name = \"lab\"\naddress = \"192.168.122.1/24\"\n\
                [[dhcp.host]]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.168.122.1\"\n";
    refuse_config(host, "5:", &["gateway", "192.168.122.1"])
}

#[test]
fn a_port_name_or_a_netdev_that_is_taken_twice_is_refused() -> Result<()> {
    let lines = ISOLATED.lines().count();
    let place = |line: usize| format!("{}:", lines + line);
    let twice = ISOLATED.to_owned() + &taps(&["c1", "c1"]);
    refuse_config(&twice, &place(8), &["c1", "already"])?;
    let host =
        ISOLATED.to_owned() + "\n[[port]]\nname = \"c1\"\nkind = \"tap\"\ninterface = \"vmlan0\"\n";
    refuse_config(&host, &place(5), &["vmlan0", "already"])
}

#[test]
fn two_networks_with_one_interface_name_do_not_both_start() -> Result<()> {
    let mut first = Switch::start(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let second = first.beside(&(ISOLATED.replace(".122.", ".133.") + &taps(&["c2"])))?;
    let refused = second.refuse()?;
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("vmlan0"), "{}", refused.stderr);
    assert_eq!(first.namespace.netdevs()?, ["c1", "lo", "vmlan0"]);
    first.alive()?;
    first.json("status").map(drop)
}

#[test]
fn a_netdev_that_is_not_vmlans_is_not_taken_over() -> Result<()> {
    let switch = Switch::prepare(ISOLATED)?;
    let other = Namespace::new("other")?;
    switch.namespace.veth("vmlan0", &other, "eth0")?;
    refuse(&switch, 1, &["vmlan0"], &["lo", "vmlan0"])?;
    Ok(())
}

#[test]
fn a_missing_device_is_named() -> Result<()> {
    let switch = Switch::prepare(&(ISOLATED.to_owned() + &taps(&["c1"]) + &packets(&["eth9"])))?;
    let line = ISOLATED.lines().count() + 7;
    refuse(
        &switch,
        1,
        &["eth9", &format!("lab.toml:{line}:1: ")],
        &["lo"],
    )?;

    let bridge = "name = \"lab\"\ninterface = \"\"\nforward = \"bridge\"\nuplink = \"eth9\"\n";
    let switch = Switch::prepare(bridge)?;
    refuse(&switch, 1, &["eth9", "lab.toml:4:10: "], &["lo"])?;

    let switch = Switch::start(ISOLATED)?;
    let refused = switch.cli("attach eth9")?;
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("eth9"), "{}", refused.stderr);
    Ok(())
}

#[test]
fn a_netdev_with_a_master_is_named_with_it() -> Result<()> {
    let switch = Switch::prepare(&(ISOLATED.to_owned() + &packets(&["v1"])))?;
    let other = Namespace::new("other")?;
    switch.namespace.veth("v1", &other, "eth0")?;
    switch
        .namespace
        .run("ip link add br9 type bridge && ip link set v1 master br9")?;
    refuse(&switch, 1, &["v1", "br9"], &["br9", "lo", "v1"])?;
    Ok(())
}

#[test]
fn no_permission_for_taps_is_named() -> Result<()> {
    let config = ISOLATED.to_owned() + &taps(&["c1"]);
    for user in [User::Nobody, User::PowerlessRoot] {
        let switch = Switch::prepare_as(user, Some(&config))?;
        let refused = refuse(&switch, 1, &[], &["lo"])?;
        assert!(
            refused.stderr.contains("/dev/net/tun") || refused.stderr.contains("CAP_NET_ADMIN"),
            "{user:?}: {}",
            refused.stderr
        );
    }
    Ok(())
}

#[test]
fn a_missing_config_is_named() -> Result<()> {
    let switch = Switch::prepare(ISOLATED)?;
    std::fs::remove_file(switch.config_path())?;
    refuse(&switch, 2, &["lab.toml"], &["lo"])?;
    Ok(())
}

#[test]
fn bad_usage_exits_2() -> Result<()> {
    let switch = Switch::prepare(ISOLATED)?;
    for arguments in [
        "",
        "rnu",
        "ports --jsno",
        "fdb --json flush",
        "attach",
        "fdb add x y",
    ] {
        let refused = switch.cli(arguments)?;
        assert_eq!(refused.status, 2, "{arguments}: {refused:?}");
        assert!(!refused.stderr.is_empty());
    }
    Ok(())
}

#[test]
fn a_good_config_is_explained() -> Result<()> {
    let switch = Switch::prepare(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let explained = switch.cli("check CONFIG")?.success()?;
    for word in ["lab", "vmlan0", "192.168.122.1/24", "isolated", "c1"] {
        assert!(explained.contains(word), "{explained}");
    }
    assert_eq!(switch.namespace.netdevs()?, ["lo"]);
    Ok(())
}
