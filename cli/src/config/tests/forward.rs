//! `forward` and `[nat]`.

use super::*;

#[test]
fn nat_is_read_with_libvirts_defaults() {
    assert_eq!(parse("").unwrap().nat, Nat::default());
    let config = parse(
        "uplink = \"eth0\"\n[nat]\nports = [20000, 29999]\n\
         addresses = [\"203.0.113.5\", \"203.0.113.9\"]",
    )
    .unwrap();
    assert_eq!(config.forward, Forward::Nat);
    assert_eq!(config.nat.ports, (20_000, 29_999));
    let ends = ["203.0.113.5", "203.0.113.9"].map(|end| end.parse().unwrap());
    assert_eq!(config.nat.addresses, Some((ends[0], ends[1])));
    let one = parse("[nat]\naddresses = [\"203.0.113.5\"]").unwrap();
    assert_eq!(one.nat.addresses, Some((ends[0], ends[0])));
}

#[test]
fn ports_and_addresses_of_nat_have_a_form() {
    let ports = |text: &str, message: &str, help: &str| {
        refused(&format!("[nat]\nports = {text}"), (2, 9), message, help);
    };
    ports("[2000, 1000]", "end before they start", "[1000, 2000]");
    ports("[0, 1000]", "a port is a number", "[1024, 65535]");
    ports("[1, 65536]", "a port is a number", "");
    ports("[1]", "two numbers", "");
    ports("\"1-2\"", "the ports are text", "[1024, 65535]");
    let addresses = |text: &str, message: &str, help: &str| {
        refused(
            &format!("[nat]\naddresses = {text}"),
            (2, 13),
            message,
            help,
        );
    };
    addresses("[]", "one or two", "203.0.113.5");
    addresses(
        "[\"10.0.0.2\", \"10.0.0.1\"]",
        "end before",
        "[\"10.0.0.1\"",
    );
    addresses("[\"224.0.0.1\"]", "seen outside", "the host has");
    refused("[nat]\nport = [1, 2]", (2, 1), "unknown key", "`ports`");
    refused("natt = 1", (1, 1), "unknown key", "`nat`");
}

#[test]
fn what_the_host_routes_needs_its_interface() {
    for forward in ["nat", "route", "open"] {
        refused(
            &format!("forward = \"{forward}\"\ninterface = \"\""),
            (1, 11),
            "needs the host's own interface",
            "\"vmlan0\"",
        );
    }
    let config = parse("interface = \"\"").unwrap();
    assert_eq!(config.forward, Forward::Isolated, "nothing else is left");
}
