//! Each error has a place and a mend.

use super::*;

#[test]
fn an_error_is_shown_with_file_line_column_caret_and_mend() {
    let error = parse("name = \"lab\"\n  adress = \"auto\"\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "\
lab.toml:2:3: unknown key `adress`
   2 |   adress = \"auto\"
     |   ^^^^^^
help: did you mean `address`?"
    );
}

#[test]
fn all_errors_are_found_in_one_go_in_the_order_of_the_file() {
    let found = problems("mtu = 1\nnmae = \"x\"\nforward = \"natt\"\n[switch]\nageing = true\n");
    let lines: Vec<_> = found.iter().map(|(line, ..)| *line).collect();
    assert_eq!(lines, [1, 2, 3, 5]);
}

#[test]
fn syntax_errors_have_a_place() {
    for (text, line) in [
        ("name = \n", 1),
        ("mtu = 1500\nname = \"lab\n", 2),
        ("[dhcp\nenabled = true", 1),
        ("mtu = 1500\nmtu = 1500\n", 2),
        ("name = lab", 1),
    ] {
        assert_eq!(problems(text)[0].0, line, "{text}: {:?}", problems(text));
    }
}

#[test]
fn a_type_error_points_at_the_value() {
    refused("mtu = \"1500\"", (1, 7), "`mtu` is text", "a whole number");
    refused(
        "name = 5",
        (1, 8),
        "`name` is a whole number",
        "text in quotes",
    );
    refused("dhcp = 1", (1, 8), "`dhcp` is a whole number", "a table");
    refused(
        "[dhcp]\nenabled = \"yes\"",
        (2, 11),
        "`enabled` is text",
        "true or false",
    );
    refused(
        "[attach]\nmatch = \"vnet*\"",
        (2, 9),
        "`match` is text",
        "a list",
    );
    refused(
        "[attach]\nmatch = [\"a*\", 1]",
        (2, 16),
        "`match` is a whole number",
        "a list",
    );
    refused(
        "[port]\nname = \"x\"",
        (1, 1),
        "`port` is a table",
        "[[…port]]",
    );
    refused(
        "mtu = 2026-01-01",
        (1, 7),
        "`mtu` is a date or time",
        "a whole number",
    );
    refused(
        "[dhcp.options]\nx = 1.5",
        (2, 5),
        "`x` is a number with a fraction",
        "text",
    );
}

#[test]
fn unknown_keys_are_found_in_every_table() {
    refused(
        "lease-time = \"1h\"",
        (1, 1),
        "unknown key `lease-time`",
        "",
    );
    refused("[swich]", (1, 2), "unknown key `swich`", "`switch`");
    refused(
        "[switch]\nfdbsize = 1",
        (2, 1),
        "unknown key `fdbsize`",
        "`fdb-size`",
    );
    refused(
        "[dhcp]\nlease_time = \"1h\"",
        (2, 1),
        "unknown key `lease_time`",
        "`lease-time`",
    );
    refused(
        "[attach]\nmatches = []",
        (2, 1),
        "unknown key `matches`",
        "`match`",
    );
    let host = "address = \"192.168.122.1/24\"\n[[dhcp.host]]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.168.122.9\"\nnaem = \"x\"";
    refused(host, (5, 1), "unknown key `naem`", "`name`");
    let port = "[[port]]\nname = \"x\"\nkind = \"tap\"\nofload = true";
    refused(port, (4, 1), "unknown key `ofload`", "`offload`");
    let port = "[[port]]\nname = \"x\"\nkind = \"tap\"\nnmae = \"y\"";
    refused(port, (4, 1), "unknown key `nmae`", "`name`");
}

#[test]
fn names_and_numbers_have_bounds() {
    refused(
        "name = \"Lab\"",
        (1, 8),
        "no name for a network",
        "a-z, 0-9 and -",
    );
    refused(
        "interface = \"a b\"",
        (1, 13),
        "no name for a network interface",
        "",
    );
    refused(
        "uplink = \"\"",
        (1, 10),
        "no name for a network interface",
        "",
    );
    refused("mtu = 575", (1, 7), "out of range", "576 to 65520");
    refused("mtu = 65521", (1, 7), "out of range", "576 to 65520");
    refused("mtu = 99999999999999999999", (1, 7), "out of range", "576");
    refused("[switch]\nfdb-size = 0", (2, 12), "out of range", "1 to");
    refused("[dhcp]\nmax-leases = 0", (2, 14), "out of range", "1 to");
    refused(
        "[switch]\nworkers = 257",
        (2, 11),
        "out of range",
        "0 to 256",
    );
    for text in ["2ms", "soon", "-1us"] {
        let polling = format!("[switch]\npolling = \"{text}\"");
        refused(&polling, (2, 11), "no time to poll for", "\"off\"");
    }
    refused(
        "[switch]\nageing = \"soon\"",
        (2, 10),
        "no time",
        "\"300s\"",
    );
    refused(
        "mac = \"01:00:5e:00:00:01\"",
        (1, 7),
        "group address",
        "even",
    );
    refused("domain = \"a b\"", (1, 10), "no host or domain name", "");
    refused("[dhcp]\nlease-time = \"1m\"", (2, 14), "too short", "2m");
    assert_eq!(parse("interface = \"\"").unwrap().interface, None);
    assert_eq!(parse("[switch]\nageing = 0").unwrap().switch.ageing, None);
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    refused(
        "forward = \"natt\"",
        (1, 11),
        "unknown way to forward \"natt\"",
        "\"nat\"",
    );
    refused(
        "[switch]\nfastpath = \"required\"",
        (2, 12),
        "not in this version",
        "\"auto\"",
    );
    let port = |line: &str| format!("[[port]]\nname = \"x\"\nkind = \"tap\"\n{line}");
    refused(
        &port("vlan = 10"),
        (4, 1),
        "`vlan` of a port is not in this version",
        "leave it out",
    );
    refused(
        &port("trunk = [10, 20]"),
        (4, 1),
        "`trunk` of a port",
        "leave it out",
    );
    refused(
        &port("queues = 2"),
        (4, 10),
        "2 queues want as many workers, the switch has 1",
        "`workers = 2`",
    );
    refused(
        &port("queues = 0"),
        (4, 10),
        "queues = 0 is out of range",
        "1 to 256",
    );
    let kind = "[[port]]\nname = \"x\"\nkind = \"vhost-user\"";
    refused(
        kind,
        (3, 8),
        "\"vhost-user\" are not in this version",
        "\"tap\"",
    );
}

#[test]
fn what_fails_at_run_time_is_shown_at_its_port() {
    let text =
        "forward = \"bridge\"\nuplink = \"eth0\"\n[[port]]\nname = \"p\"\nkind = \"packet\"\n";
    let config = parse(text).unwrap();
    let error = |name: &str| {
        let problem = Problem::new("there is no netdev").help("make one");
        config.places.port_error(&name.parse().unwrap(), problem)
    };
    assert_eq!(
        error("p").to_string(),
        "lab.toml:3:1: port p: there is no netdev\n   3 | [[port]]\n     | ^^^^^^^^\nhelp: make one"
    );
    assert_eq!(
        error("p").one_line(),
        "lab.toml:3:1: port p: there is no netdev (help: make one)"
    );
    assert_eq!(error("eth0").position(), Some((2, 10)));
    assert!(error("x").to_string().starts_with("lab.toml: port x: "));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.toml");
    let error = Loaded::read(&path, None).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}: cannot read it", path.display())),
        "{error}"
    );

    std::fs::write(&path, b"name = \"lab\"\ndomain = \"\xff\"").unwrap();
    let error = Loaded::read(&path, None).unwrap_err().to_string();
    assert!(
        error.contains("x.toml:2:11: here is a byte that is not UTF-8"),
        "{error}"
    );

    std::fs::write(&path, "#".repeat(1 << 21)).unwrap();
    let error = Loaded::read(&path, None).unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
}
