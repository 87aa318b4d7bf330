use super::*;
use proptest::prelude::*;

fn load(text: &str) -> Result<Loaded, ConfigError> {
    Loaded::parse(Path::new("lab.toml"), text, None)
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    load(text).map(|loaded| loaded.config)
}

/// What is wrong with `text`: position, message and mend of each problem.
fn problems(text: &str) -> Vec<(usize, usize, String, String)> {
    let error = parse(text).expect_err(text);
    let problem = |located: &Located| {
        let (line, column) = located.position().unwrap();
        let Problem { message, help } = located.problem().clone();
        (line, column, message, help.unwrap_or_default())
    };
    error.problems().iter().map(problem).collect()
}

/// `text` has one problem, at `place`, whose message and mend hold these.
#[track_caller]
fn refused(text: &str, place: (usize, usize), message: &str, mend: &str) {
    let found = problems(text);
    let [(line, column, said, help)] = found.as_slice() else {
        panic!("one problem expected: {found:#?}");
    };
    assert!(said.contains(message), "{found:#?}");
    assert!(help.contains(mend), "{found:#?}");
    assert_eq!((*line, *column), place, "{found:#?}");
}

const WHOLE: &str = r#"
name      = "lab"
interface = "vmlan1"
address   = "192.168.122.1/24"
mac       = "52:54:00:12:34:56"
mtu       = 9000
domain    = "Lab.example"
forward   = "bridge"
uplink    = "eth0"

[switch]
ageing   = "10m"
fdb-size = 64
workers  = 1
fastpath = "auto"

[dhcp]
enabled    = true
range      = ["192.168.122.2", "192.168.122.254"]
lease-time = "infinite"
options    = { ntp-server = ["192.168.122.1"], 121 = "10.0.0.0/8,192.168.122.1", ttl = 64 }

[[dhcp.host]]
mac     = "52:54:00:aa:bb:cc"
address = "192.168.122.10"
name    = "db"

[[dhcp.host]]
client-id = "01:52:54:00:aa:bb:cd"
address   = "192.168.122.11"

[attach]
match = ["vnet*", "tap?"]

[[port]]
name = "lan0"
kind = "packet"
interface = "eth1"

[[port]]
name    = "ct1"
kind    = "tap"
offload = false
queues  = 1
"#;

#[test]
fn an_empty_file_is_the_built_in_network() {
    let built_in = Config::built_in(NetworkName::default());
    assert_eq!(parse("").unwrap(), built_in);
    assert_eq!(built_in.interface.unwrap().as_str(), "vmlan0");
    assert_eq!(built_in.address, Address::Auto);
    assert_eq!(built_in.forward, Forward::Isolated);
    assert!(built_in.dhcp.enabled);
    assert!(built_in.attach[0].matches("vnet0"));
}

#[test]
fn every_key_is_read() {
    let config = parse(WHOLE).unwrap();
    assert_eq!(config.name.as_str(), "lab");
    assert_eq!(config.interface.unwrap().as_str(), "vmlan1");
    assert_eq!(
        config.address,
        Address::Fixed("192.168.122.1/24".parse().unwrap())
    );
    assert_eq!(config.mac.unwrap().to_string(), "52:54:00:12:34:56");
    assert_eq!(config.mtu, 9000);
    assert_eq!(config.domain.as_deref(), Some("lab.example"));
    assert_eq!(config.forward, Forward::Bridge);
    assert_eq!(config.uplink.unwrap().as_str(), "eth0");
    let switch = Switch {
        ageing: Some(Duration::from_secs(600)),
        fdb_size: 64,
    };
    assert_eq!(config.switch, switch);
    assert!(config.dhcp.enabled);
    assert_eq!(config.dhcp.lease_time, LeaseTime::Infinite);
    let (first, last) = config.dhcp.range.unwrap();
    assert_eq!((first.octets()[3], last.octets()[3]), (2, 254));
    let options: Vec<_> = config
        .dhcp
        .options
        .iter()
        .map(|o| o.key.get_ref().as_str())
        .collect();
    assert_eq!(options, ["ntp-server", "121", "ttl"]);
    assert_eq!(config.dhcp.options[2].value.get_ref(), &Value::Number(64));
    assert_eq!(config.dhcp.hosts.len(), 2);
    assert_eq!(config.dhcp.hosts[0].name.as_deref(), Some("db"));
    assert_eq!(
        config.dhcp.hosts[1].client_id.as_deref(),
        Some("01:52:54:00:aa:bb:cd")
    );
    assert!(config.attach[1].matches("tap7"));
    assert_eq!(config.ports.len(), 2);
    assert_eq!(config.ports[0].interface.as_str(), "eth1");
    assert_eq!(config.ports[1].interface.as_str(), "ct1");
    assert!(!config.ports[1].offload);
}

#[test]
fn a_config_is_equal_wherever_its_keys_stand() {
    let moved = format!("# a comment\n\n{WHOLE}");
    assert_eq!(parse(WHOLE).unwrap(), parse(&moved).unwrap());
    let changed = WHOLE.replace("ttl = 64", "ttl = 65");
    assert_ne!(parse(WHOLE).unwrap().dhcp, parse(&changed).unwrap().dhcp);
}

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
    for forward in ["nat", "route", "open"] {
        let message = format!("forward = \"{forward}\" is not built yet");
        refused(
            &format!("forward = \"{forward}\""),
            (1, 11),
            &message,
            "\"isolated\" or \"bridge\"",
        );
    }
    refused(
        "forward = \"natt\"",
        (1, 11),
        "unknown way to forward \"natt\"",
        "\"nat\"",
    );
    refused(
        "[switch]\nworkers = 4",
        (2, 11),
        "not built yet",
        "workers = 1",
    );
    refused(
        "[switch]\nfastpath = \"required\"",
        (2, 12),
        "not built yet",
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
        "2 queues are not in this version",
        "1",
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
        "between 10.0.0.0 and 10.0.0.255",
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
    refused(&with("10.0.9.1"), (4, 11), "not in the subnet", "between");
    refused(
        &host("address = \"10.0.0.2\""),
        (2, 1),
        "neither `mac` nor `client-id`",
        "mac =",
    );
    refused(
        &host("mac = \"52:54:00:00:00:01\""),
        (2, 1),
        "no `address`",
        "add",
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
    assert!(warning("uplink = \"eth0\"").contains("isolated network is not used"));
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
fn an_option_can_be_located_after_parsing() {
    let loaded = load("[dhcp]\noptions = { nonsense = \"x\" }").unwrap();
    let option = &loaded.config.dhcp.options[0];
    let error = loaded
        .source
        .unwrap()
        .error(option.key.span(), Problem::new("no such option"));
    assert!(
        error
            .to_string()
            .starts_with("lab.toml:2:13: no such option\n"),
        "{error}"
    );
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

#[test]
fn without_a_file_only_the_default_network_runs() {
    let loaded = Loaded::find(None, Some(&"no-such-net".parse().unwrap()));
    let error = loaded.unwrap_err().to_string();
    assert!(error.contains("/etc/vmlan/no-such-net.toml"), "{error}");
    assert!(error.contains("--config FILE"), "{error}");
}

proptest! {
    #[test]
    fn any_text_is_a_config_or_an_error(text in any::<String>()) {
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().starts_with("lab.toml:"));
        }
    }

    /// Texts that come further than noise does: the whole file with a part
    /// replaced.
    #[test]
    fn a_damaged_file_is_a_config_or_an_error(
        from in 0..WHOLE.len(), len in 0..40usize, put in "[ -~\n]{0,12}"
    ) {
        let to = (from + len).min(WHOLE.len());
        let text = format!("{}{put}{}", &WHOLE[..from], &WHOLE[to..]);
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().starts_with("lab.toml:"));
        }
    }

    /// Any value at any key: types and ranges, never a panic.
    #[test]
    fn any_value_of_any_key_is_read_or_refused(
        key in "(name|interface|address|mac|mtu|domain|forward|uplink|switch|dhcp|attach|port|dhcp\\.range|dhcp\\.host|dhcp\\.lease-time|dhcp\\.options|attach\\.match|switch\\.ageing|switch\\.fdb-size)",
        value in "(-?[0-9]{1,20}|\"[ -!#-\\[\\]-~]{0,20}\"|true|1\\.5|\\[\\]|\\{\\}|\\[\\{\\}\\]|\\[1, \"x\"\\]|\\[\\[\\]\\]|1979-05-27|0x1f|nan)"
    ) {
        if let Err(error) = parse(&format!("{key} = {value}")) {
            prop_assert!(error.to_string().contains('^'));
        }
    }
}
