//! What keys mean together.

use super::*;

#[test]
fn addresses_keep_to_the_subnet() {
    refused(
        "address = \"10.0.0.0/24\"",
        (1, 11),
        "the subnet itself",
        "10.0.0.1/24",
    );
    refused(
        "address = \"10.0.0.255/24\"",
        (1, 11),
        "broadcast",
        "10.0.0.1/24",
    );
    refused(
        "address = \"10.0.0.1\"",
        (1, 11),
        "prefix length",
        "10.0.0.1/24",
    );
    let dhcp = |rest: &str| format!("address = \"10.0.0.1/24\"\n[dhcp]\n{rest}");
    refused(
        &dhcp("range = [\"10.0.0.2\", \"10.0.1.9\"]"),
        (3, 22),
        "10.0.1.9 is not in the subnet 10.0.0.0/24",
        "from 10.0.0.1 to 10.0.0.254",
    );
    refused(
        &dhcp("range = [\"10.0.0.9\", \"10.0.0.2\"]"),
        (3, 9),
        "ends before it starts",
        "[\"10.0.0.2\", \"10.0.0.9\"]",
    );
    refused(
        &dhcp("range = [\"10.0.0.9\"]"),
        (3, 9),
        "two addresses",
        "first and the last",
    );
    refused(
        &dhcp("range = [\"10.0.0.2\", \"x\"]"),
        (3, 22),
        "no IPv4 address",
        "",
    );
}

#[test]
fn a_range_may_hold_the_gateway_among_others() {
    let range = |first: u8, last: u8| {
        parse(&format!(
            "address = \"10.0.0.1/24\"\n[dhcp]\nrange = [\"10.0.0.{first}\", \"10.0.0.{last}\"]"
        ))
    };
    for (first, last) in [(0, 255), (1, 2), (0, 2), (2, 2), (254, 255)] {
        assert!(range(first, last).is_ok(), "{first} to {last}");
    }
    for (first, last) in [(1, 1), (0, 0), (255, 255), (0, 1)] {
        let error = range(first, last).unwrap_err().to_string();
        assert!(
            error.contains("lab.toml:3:9: the range has no address"),
            "{error}"
        );
        assert!(error.contains("the gateway 10.0.0.1"), "{error}");
    }
}

#[test]
fn static_hosts_are_checked() {
    let host = |lines: &str| format!("address = \"10.0.0.1/24\"\n[[dhcp.host]]\n{lines}");
    let with = |address: &str| {
        host(&format!(
            "mac = \"52:54:00:00:00:01\"\naddress = \"{address}\""
        ))
    };
    assert!(parse(&with("10.0.0.2")).is_ok());
    refused(
        &with("10.0.0.1"),
        (4, 11),
        "address of the gateway",
        "another",
    );
    refused(&with("10.0.0.0"), (4, 11), "end of the subnet", "another");
    refused(
        &with("10.0.9.1"),
        (4, 11),
        "not in the subnet",
        "from 10.0.0.1",
    );
    refused(
        &host("address = \"10.0.0.2\""),
        (2, 1),
        "none of `mac`, `client-id` and `name`",
        "mac =",
    );
    let two = |second: &str| format!("{}\n[[dhcp.host]]\n{second}", with("10.0.0.2"));
    refused(
        &two("mac = \"52:54:00:00:00:01\"\naddress = \"10.0.0.3\""),
        (6, 7),
        "MAC address 52:54:00:00:00:01 belongs to the host of line 3",
        "its own",
    );
    refused(
        &two("mac = \"52:54:00:00:00:02\"\naddress = \"10.0.0.2\""),
        (7, 11),
        "address 10.0.0.2 belongs to the host of line 4",
        "its own",
    );
}

#[test]
fn fixed_addresses_need_a_fixed_subnet() {
    let range = "[dhcp]\nrange = [\"10.0.0.2\", \"10.0.0.9\"]";
    refused(range, (2, 9), "needs a known subnet", "address = ");
    assert!(parse("address = \"auto\"\n[dhcp]\nenabled = true").is_ok());
}

#[test]
fn dhcp_is_off_in_a_bridge_unless_enabled() {
    let bridge = "forward = \"bridge\"\nuplink = \"eth0\"\n";
    let config = parse(bridge).unwrap();
    assert!(!config.dhcp.enabled);
    assert_eq!(config.address, Address::None);
    assert!(
        !parse(&format!("{bridge}[dhcp]\nlease-time = \"2h\""))
            .unwrap()
            .dhcp
            .enabled
    );
    refused(
        &format!("{bridge}[dhcp]\nenabled = true"),
        (4, 11),
        "needs an address of its own",
        "address = ",
    );
    let served = format!("{bridge}address = \"10.0.0.1/24\"\n[dhcp]\nenabled = true");
    assert!(parse(&served).unwrap().dhcp.enabled);
}

#[test]
fn nothing_is_meant_twice() {
    let ports = |second: &str| {
        format!(
            "interface = \"vmlan0\"\nforward = \"bridge\"\nuplink = \"eth0\"\n[[port]]\nname = \"a\"\nkind = \"packet\"\ninterface = \"eth1\"\n[[port]]\n{second}"
        )
    };
    refused(
        &ports("name = \"a\"\nkind = \"tap\""),
        (9, 8),
        "port name a is already the port a",
        "another",
    );
    refused(
        &ports("name = \"b\"\nkind = \"packet\"\ninterface = \"eth1\""),
        (11, 13),
        "netdev eth1 is already the port a",
        "another",
    );
    refused(
        &ports("name = \"b\"\nkind = \"packet\"\ninterface = \"eth0\""),
        (11, 13),
        "netdev eth0 is already the uplink",
        "another",
    );
    refused(
        &ports("name = \"b\"\nkind = \"tap\"\ninterface = \"vmlan0\""),
        (11, 13),
        "netdev vmlan0 is already the host's own interface",
        "another",
    );
    refused(
        &ports("name = \"eth0\"\nkind = \"tap\""),
        (9, 8),
        "the port of the uplink",
        "another",
    );
    refused(
        "forward = \"bridge\"\nuplink = \"vmlan0\"",
        (2, 10),
        "the host's own interface",
        "another",
    );
}

#[test]
fn a_port_needs_a_name_and_a_kind() {
    refused("[[port]]\nkind = \"tap\"", (1, 1), "no `name`", "name =");
    refused(
        "[[port]]\nname = \"a\"",
        (1, 1),
        "the port a has no kind",
        "kind = ",
    );
    refused(
        "[[port]]\nname = \"a/b\"\nkind = \"tap\"",
        (2, 8),
        "no name for a port",
        "",
    );
}

#[test]
fn odd_settings_are_warned_of() {
    let warning = |text: &str| load(text).unwrap().warnings[0].to_string();
    assert!(warning("forward = \"bridge\"").contains("lab.toml:1:11: this bridge leads nowhere"));
    let isolated = "forward = \"isolated\"\nuplink = \"eth0\"";
    assert!(warning(isolated).contains("isolated network is not used"));
    let open = "forward = \"open\"\nuplink = \"eth0\"";
    assert!(warning(open).contains("an open network has no rules"));
    let route = "forward = \"route\"\n[nat]\nports = [1, 2]";
    assert!(warning(route).contains("[nat] is used with forward = \"nat\" only"));
    assert!(load(WHOLE).unwrap().warnings.is_empty());
}

#[test]
fn a_file_for_another_network_is_refused() {
    let lab: NetworkName = "lab".parse().unwrap();
    let parse = |text| Loaded::parse(Path::new("lab.toml"), text, Some(&lab));
    assert_eq!(parse("").unwrap().config.name, lab);
    assert!(parse("").unwrap().config.attach.is_empty());
    let error = parse("name = \"other\"").unwrap_err().to_string();
    assert!(
        error.contains("lab.toml:1:8: this is the network other"),
        "{error}"
    );
    assert!(error.contains("--network other"), "{error}");
}

#[test]
fn what_only_the_dhcp_server_knows_is_found_with_the_rest() {
    let text = "mtu = 1\naddress = \"192.168.7.1/24\"\n\
                [[dhcp.host]]\nmac = \"52:54:00:00:00:01\"\n\
                address = \"192.168.7.9\"\nname = \"two.labels\"\n\
                [dhcp.options]\nntp-sever = [\"192.168.7.1\"]\nfoo = 1\n42 = \"here\"\n\
                51 = 60\n26 = 1400\nmtu = 1400\n";
    let found = problems(text);
    let places: Vec<_> = found
        .iter()
        .map(|(line, column, ..)| (*line, *column))
        .collect();
    assert_eq!(
        places,
        [(1, 7), (6, 8), (8, 1), (9, 1), (10, 6), (11, 1), (13, 1)],
        "{found:#?}"
    );
    let helps: Vec<_> = found.iter().map(|(.., help)| help.as_str()).collect();
    assert!(helps.iter().all(|help| !help.is_empty()), "{found:#?}");
    assert_eq!(helps[2], "did you mean `ntp-server`?");
    assert!(helps[3].contains("its number"), "{found:#?}");
    assert!(found[6].2.contains("line 12"), "{found:#?}");
}
