use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 1);

fn encode(key: &str, value: &Value) -> Result<(u8, Vec<u8>), OptionError> {
    super::encode(key, value, SERVER)
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn bytes(key: &str, value: &Value) -> Vec<u8> {
    encode(key, value).unwrap().1
}

#[test]
fn addresses_come_as_text_or_list() {
    let want = (42, vec![192, 168, 122, 1, 10, 0, 0, 1]);
    for value in [
        text("192.168.122.1,10.0.0.1"),
        text("192.168.122.1, 10.0.0.1"),
        Value::List(vec![text("192.168.122.1"), text("10.0.0.1")]),
    ] {
        assert_eq!(encode("ntp-server", &value), Ok(want.clone()));
        assert_eq!(encode("42", &value), Ok(want.clone()));
    }
}

#[test]
fn numbers_have_their_options_width_and_limit() {
    assert_eq!(bytes("mtu", &Value::Number(1400)), [5, 120]);
    assert_eq!(bytes("26", &text("1400")), [5, 120]);
    assert_eq!(bytes("default-ttl", &Value::Number(64)), [64]);
    assert_eq!(bytes("ip-forward-enable", &Value::Bool(true)), [1]);
    assert_eq!(bytes("arp-timeout", &Value::Number(60)), [0, 0, 0, 60]);
    for (key, value) in [
        ("mtu", Value::Number(65_536)),
        ("mtu", Value::Number(-1)),
        ("mtu", Value::Bool(true)),
        ("default-ttl", Value::Number(256)),
        ("arp-timeout", Value::Number(1 << 32)),
        ("mtu", text("big")),
    ] {
        let error = encode(key, &value).unwrap_err();
        assert!(
            matches!(error, OptionError::Value { .. }),
            "{key} {value:?}"
        );
    }
}

#[test]
fn routes_carry_only_the_significant_bytes_of_a_prefix() {
    assert_eq!(
        bytes(
            "classless-static-route",
            &text("0.0.0.0/0,10.0.0.1,10.17.0.0/16,10.0.0.2,10.0.0.9,10.0.0.3")
        ),
        [
            0, 10, 0, 0, 1, 16, 10, 17, 10, 0, 0, 2, 32, 10, 0, 0, 9, 10, 0, 0, 3
        ]
    );
    for bad in [
        "10.0.0.0/8",
        "10.0.0.1/8,10.0.0.1",
        "10.0.0.0/33,10.0.0.1",
        "10.0.0.0/8,x",
    ] {
        assert!(encode("121", &text(bad)).is_err(), "{bad}");
    }
}

#[test]
fn a_search_list_is_in_wire_form() {
    assert_eq!(
        bytes("domain-search", &text("vm,eng.example.")),
        b"\x02vm\x00\x03eng\x07example\x00"
    );
    assert!(encode("119", &text("a..b")).is_err());
}

#[test]
fn an_option_without_a_known_form_is_guessed() {
    assert_eq!(
        bytes("224", &text("10.0.0.1,10.0.0.2")),
        [10, 0, 0, 1, 10, 0, 0, 2]
    );
    assert_eq!(bytes("224", &text("01:ff")), [1, 255]);
    assert_eq!(bytes("224", &text("hello")), b"hello");
    assert_eq!(bytes("224", &text("300")), [1, 44]);
    assert_eq!(bytes("224", &Value::Number(7)), [7]);
    assert_eq!(
        bytes(
            "224",
            &Value::List(vec![Value::Number(1), Value::Number(2)])
        ),
        [1, 2]
    );
    assert!(encode("224", &Value::List(vec![Value::Bool(true)])).is_err());
}

#[test]
fn an_empty_value_is_one_that_is_not_sent() {
    for key in ["router", "mtu", "domain-name", "121", "224"] {
        assert_eq!(bytes(key, &text("")), [] as [u8; 0], "{key}");
        assert_eq!(bytes(key, &Value::List(Vec::new())), [] as [u8; 0], "{key}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let error = encode("ntp-servers", &text("x")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown option 'ntp-servers'; did you mean 'ntp-server', or a number from 1 to 254?"
    );
    assert!(matches!(
        encode("256", &text("x")),
        Err(OptionError::Unknown { .. })
    ));
}

#[test]
fn what_the_server_computes_cannot_be_set() {
    for key in [
        "0",
        "50",
        "51",
        "52",
        "53",
        "54",
        "55",
        "57",
        "61",
        "80",
        "81",
        "82",
        "118",
        "255",
        "lease-time",
        "rapid-commit",
        "server-ip-address",
    ] {
        assert!(
            matches!(encode(key, &text("1")), Err(OptionError::Computed(_))),
            "{key}"
        );
    }
}

#[test]
fn the_address_of_all_zeros_is_the_server() {
    assert_eq!(
        bytes("ntp-server", &text("0.0.0.0,10.0.0.1"))[..4],
        SERVER.octets()
    );
    assert_eq!(bytes("224", &text("0.0.0.0")), SERVER.octets());
    assert_eq!(bytes("broadcast", &text("0.0.0.0")), SERVER.octets());
    let route = bytes("121", &text("0.0.0.0/0,0.0.0.0"));
    assert_eq!(route, [0; 5], "a route is what it is");
    assert_eq!(
        bytes("policy-filter", &text("10.0.0.1,0.0.0.0"))[4..],
        [0; 4]
    );
    assert_eq!(encode_encapsulated(8, &text("0.0.0.0")), Ok(vec![0; 4]));
}

#[test]
fn an_address_stands_alone_and_a_pair_has_two() {
    for (key, value) in [
        ("broadcast", "10.0.0.1,10.0.0.2"),
        ("static-route", "10.0.0.1"),
        ("policy-filter", "10.0.0.1,10.0.0.2,10.0.0.3"),
    ] {
        assert!(encode(key, &text(value)).is_err(), "{key}");
    }
    assert_eq!(bytes("static-route", &text("10.0.0.9,10.0.0.1")).len(), 8);
}

#[test]
fn a_time_has_a_unit_or_counts_seconds() {
    for (value, seconds) in [("30m", 1800_u32), ("2h", 7200), ("90", 90), ("1W", 604_800)] {
        assert_eq!(bytes("T1", &text(value)), seconds.to_be_bytes(), "{value}");
    }
    assert_eq!(
        bytes("ipv6-only", &Value::Number(300)),
        300_u32.to_be_bytes()
    );
    for bad in ["m", "-1m", "5000000000", "9999999w", "1y"] {
        assert!(encode("T2", &text(bad)).is_err(), "{bad}");
    }
}

#[test]
fn a_time_offset_can_be_negative() {
    assert_eq!(
        bytes("time-offset", &Value::Number(-3600)),
        (-3600_i32).to_be_bytes()
    );
    assert_eq!(bytes("2", &text("-3600")), (-3600_i32).to_be_bytes());
    assert_eq!(bytes("2", &text("00:00:0e:10")), 3600_i32.to_be_bytes());
    assert!(encode("2", &Value::Number(1 << 31)).is_err());
}

#[test]
fn bytes_in_hex_suit_a_number_of_their_width() {
    assert_eq!(bytes("mtu", &text("05:dc")), [5, 220]);
    assert!(encode("mtu", &text("05:dc:00")).is_err());
    assert_eq!(bytes("vendor-encap", &text("ff:00")), [255, 0]);
}

#[test]
fn sip_servers_are_names_or_addresses() {
    assert_eq!(
        bytes("sip-server", &text("10.0.0.1,10.0.0.2")),
        [1, 10, 0, 0, 1, 10, 0, 0, 2]
    );
    assert_eq!(
        bytes("120", &text("a.vm,b.vm")),
        b"\x00\x01a\x02vm\x00\x01b\x02vm\x00"
    );
    assert!(encode("120", &text("a.vm,10.0.0.1")).is_err());
}

#[test]
fn a_guess_follows_dnsmasq() {
    assert_eq!(bytes("224", &text("1b")), [1]);
    assert_eq!(bytes("224", &text("1s")), [0, 1]);
    assert_eq!(bytes("224", &text("1i")), [0, 0, 0, 1]);
    assert_eq!(bytes("224", &text("70000")), [0, 1, 17, 112]);
    assert_eq!(
        bytes("224", &text("10.0.0.0/8,10.0.0.1")),
        [8, 10, 10, 0, 0, 1]
    );
    assert_eq!(bytes("224", &text("a,b")), b"a,b");
    assert_eq!(bytes("224", &text("a:b")), [10, 11]);
    assert_eq!(bytes("224", &text("a:")), b"a:");
    assert_eq!(bytes("224", &text("-5")), (-5_i32).to_be_bytes());
}

#[test]
fn a_value_has_a_longest() {
    assert_eq!(bytes("200", &text(&"x".repeat(MAX_VALUE))).len(), MAX_VALUE);
    let long = encode("200", &text(&"x".repeat(MAX_VALUE + 1)));
    assert!(matches!(long, Err(OptionError::Long { length: 1025, .. })));
    let long = encode_encapsulated(1, &text(&"x".repeat(254)));
    assert!(matches!(long, Err(OptionError::Long { most: 253, .. })));
}

/// What the real dnsmasq lists, where it is installed.
#[test]
fn every_name_of_dnsmasq_is_known_with_its_number() {
    let Ok(output) = std::process::Command::new("dnsmasq")
        .args(["--help", "dhcp"])
        .output()
    else {
        return;
    };
    let list = String::from_utf8(output.stdout).unwrap();
    let known: Vec<(&str, u8)> = all().collect();
    let mut count = 0;
    for line in list.lines().skip(1) {
        let (code, name) = line.trim().split_once(' ').unwrap();
        assert!(known.contains(&(name, code.parse().unwrap())), "{line}");
        count += 1;
    }
    assert!(count > 50, "{list}");
}

#[test]
fn each_name_stands_for_one_option_and_the_table_is_sorted() {
    let names: std::collections::HashSet<_> = all().map(|(name, _)| name.to_lowercase()).collect();
    assert_eq!(names.len(), all().count());
    assert!(all().is_sorted_by_key(|(_, code)| code));
}

fn any_value() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        any::<String>().prop_map(Value::Text),
        "[0-9a-f:./, ]{0,40}".prop_map(Value::Text),
        "[0-9]{1,12}[bsimhdw]?".prop_map(Value::Text),
        "[a-z.,-]{0,60}".prop_map(Value::Text),
        any::<i64>().prop_map(Value::Number),
        any::<bool>().prop_map(Value::Bool),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(Value::List)
    })
}

proptest::proptest! {
    #[test]
    fn any_value_of_any_option_is_encoded_or_refused(code: u8, value in any_value()) {
        if let Ok((same, bytes)) = encode(&code.to_string(), &value) {
            proptest::prop_assert_eq!(same, code);
            proptest::prop_assert!(bytes.len() <= MAX_VALUE);
        }
        if let Ok(bytes) = encode_encapsulated(code, &value) {
            proptest::prop_assert!(bytes.len() <= MAX_ENCAPSULATED);
        }
    }
}
