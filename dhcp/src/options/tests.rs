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
