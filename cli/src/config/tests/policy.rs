//! Whom DHCP serves from where: pools, hosts and matches.

use super::*;
use vmlan_dhcp::{Condition, HostKey};

const NETWORK: &str = "address = \"10.0.0.1/24\"\n";

fn dhcp(text: &str) -> Dhcp {
    parse(&format!("{NETWORK}{text}")).unwrap().dhcp
}

fn served(text: &str) -> vmlan_dhcp::Config {
    let config = parse(&format!("{NETWORK}{text}")).unwrap();
    let gateway = "10.0.0.1/24".parse().unwrap();
    served::dhcp(&config, Some(gateway), None).unwrap().unwrap()
}

#[test]
fn every_key_of_a_pool_is_read() {
    let config = served(
        r#"
[dhcp]
key = "client-id"
sequential = true
known-only = true
probe = false
[[dhcp.pool]]
range = ["10.1.0.10", "10.1.0.19"]
subnet = "10.1.0.0/24"
router = "10.1.0.254"
tag = ["red", "!blue"]
set = "far"
lease-time = "2h"
known-only = true
"#,
    );
    assert!(config.sequential && config.known_only && !config.probe);
    assert_eq!(config.identity, Identity::ClientId);
    assert_eq!(config.set[0].as_str(), "vmlan0");
    let [whole, far] = config.ranges.as_slice() else {
        panic!("{config:?}");
    };
    assert_eq!(*whole.addresses.end(), Ipv4Addr::new(10, 0, 0, 254));
    assert_eq!(far.subnet, "10.1.0.0/24".parse().ok());
    assert_eq!(far.router, "10.1.0.254".parse().ok());
    assert_eq!(far.tags.to_string(), "red !blue");
    assert_eq!(far.set[0].as_str(), "far");
    assert_eq!(far.lease_time, Some(vmlan_dhcp::LeaseTime::Seconds(7200)));
    assert!(far.known_only);
}

#[test]
fn a_pool_of_the_own_subnet_stands_for_the_whole_of_it() {
    let pool = "[[dhcp.pool]]\nrange = [\"10.0.0.10\", \"10.0.0.19\"]\n";
    let config = served(pool);
    assert_eq!(config.ranges.len(), 1);
    assert!(config.probe, "unless it is switched off");
    let both = format!("[dhcp]\nrange = [\"10.0.0.2\", \"10.0.0.9\"]\n{pool}");
    assert_eq!(served(&both).ranges.len(), 2);
}

#[test]
fn pools_are_checked() {
    let pool = |lines: &str| format!("{NETWORK}[[dhcp.pool]]\n{lines}");
    refused(&pool("tag = \"a\""), (2, 1), "no `range`", "first and last");
    refused(
        &pool("range = [\"10.0.0.2\"]"),
        (3, 9),
        "two addresses",
        "first and the last",
    );
    refused(
        &pool("range = [\"10.0.0.2\", \"10.0.1.2\"]"),
        (3, 22),
        "not in the subnet 10.0.0.0/24",
        "10.0.0.254",
    );
    refused(
        &pool("range = [\"10.1.0.2\", \"10.1.0.9\"]\nsubnet = \"10.1.0.5/24\""),
        (4, 10),
        "address in a subnet",
        "10.1.0.0/24",
    );
    refused(
        &pool("range = [\"10.0.0.2\", \"10.0.0.9\"]\nsubnet = \"10.0.0.0/16\""),
        (4, 10),
        "overlaps the network",
        "10.0.0.0/24",
    );
    refused(
        &pool("range = [\"10.0.0.2\", \"10.0.0.9\"]\nrouter = \"10.0.0.3\""),
        (4, 10),
        "no router of its own",
        "[[dhcp.option]]",
    );
    let range = "range = [\"10.0.0.2\", \"10.0.0.9\"]";
    refused(
        &pool(&format!("{range}\n[[dhcp.pool]]\n{range}")),
        (5, 9),
        "overlaps the one of line 3",
        "part them",
    );
}

#[test]
fn hosts_are_told_by_any_of_their_keys() {
    let hosts = dhcp(
        r#"
[[dhcp.host]]
mac = ["52:54:00:00:00:01", "52:54:00:00:01:*"]
client-id = "01:02"
set = ["red", "blue"]
lease-time = "infinite"
[[dhcp.host]]
name = "db"
address = "10.0.0.9"
[[dhcp.host]]
mac = "52:54:00:00:00:07"
ignore = true
"#,
    )
    .hosts;
    let keys: Vec<_> = hosts[0].keys.iter().map(ToString::to_string).collect();
    assert_eq!(
        keys,
        ["52:54:00:00:00:01", "52:54:00:00:01:*", "client-id 01:02"]
    );
    assert_eq!(hosts[0].set.len(), 2);
    assert_eq!(hosts[1].keys, [HostKey::Name("db".into())]);
    assert!(hosts[2].ignore);
}

#[test]
fn one_station_may_be_a_host_on_each_subnet() {
    let text = |second: &str| {
        format!(
            "{NETWORK}[[dhcp.pool]]\nrange = [\"10.1.0.2\", \"10.1.0.9\"]\n\
             subnet = \"10.1.0.0/24\"\n\
             [[dhcp.host]]\nmac = \"52:54:00:00:00:01\"\naddress = \"10.0.0.9\"\n\
             [[dhcp.host]]\nmac = \"52:54:00:00:00:01\"\naddress = \"{second}\"\n"
        )
    };
    assert!(parse(&text("10.1.0.77")).is_ok());
    refused(
        &text("10.0.0.77"),
        (9, 7),
        "belongs to the host of line 6",
        "",
    );
    let at = problems(&text("10.1.0.255"));
    assert!(at[0].2.contains("end of the subnet"), "{at:?}");
}

#[test]
fn every_condition_of_a_match_is_read() {
    let matches = dhcp(
        r#"
[[dhcp.match]]
port = "vnet*"
vendor-class = "PXE"
user-class = "iPXE"
circuit-id = "eth1"
remote-id = "01:02"
subscriber-id = "joe"
mac = "52:54:*:*:*:*"
arch = "x86_64-efi"
option = 60
value = "x"
tag = "!known"
set = "t"
[[dhcp.match]]
option = "user-class"
ignore = true
"#,
    )
    .matches;
    assert_eq!(matches[0].conditions.len(), 10);
    let conditions = &matches[0].conditions;
    assert!(conditions.contains(&Condition::CircuitId(b"eth1".to_vec())));
    assert!(conditions.contains(&Condition::RemoteId(vec![1, 2])));
    let any = Condition::Option {
        code: 77,
        value: Vec::new(),
    };
    assert_eq!(matches[1].conditions, [any]);
    assert!(matches[1].ignore);
}

#[test]
fn matches_are_checked() {
    let rule = |lines: &str| format!("{NETWORK}[[dhcp.match]]\n{lines}");
    refused(&rule("set = \"a\""), (2, 1), "asks for nothing", "port");
    refused(&rule("port = \"a\""), (2, 1), "does nothing", "set =");
    refused(
        &rule("port = \"\"\nset = \"a\""),
        (3, 8),
        "empty",
        "leave it out",
    );
    refused(
        &rule("option = \"vendor-clas\"\nset = \"a\""),
        (3, 10),
        "unknown DHCP option",
        "vendor-class",
    );
    refused(
        &rule("port = \"a\"\nvalue = 1\nset = \"a\""),
        (4, 9),
        "without `option`",
        "which option",
    );
    refused(
        &rule("port = \"a\"\nset = \"a b\""),
        (4, 7),
        "not a tag",
        "",
    );
    refused(
        &format!("{NETWORK}[dhcp]\nkey = \"mack\""),
        (3, 7),
        "unknown key of leases",
        "mac",
    );
}

#[test]
fn a_tag_that_nothing_sets_is_warned_of() {
    let text = "address = \"10.0.0.1/24\"\ninterface = \"lan0\"\n\
        [[dhcp.host]]\nmac = \"52:54:00:00:00:01\"\nset = [\"red\", \"slow\"]\n\
        [[dhcp.option]]\noption = 6\nvalue = \"9.9.9.9\"\n\
        tag = [\"red\", \"!slwo\", \"known\", \"lan0\"]\n\
        [[dhcp.pool]]\nrange = [\"10.0.0.2\", \"10.0.0.9\"]\ntag = \"guests\"\n";
    let warnings = load(text).unwrap().warnings;
    let warnings: Vec<String> = warnings.iter().map(Located::one_line).collect();
    let [slow, guests] = warnings.as_slice() else {
        panic!("{warnings:#?}");
    };
    assert!(slow.contains("lab.toml:9:7"), "{slow}");
    assert!(slow.contains("did you mean \"slow\"?"), "{slow}");
    assert!(guests.contains("lab.toml:12:7"), "{guests}");
    assert!(guests.contains("vmlan host add"), "{guests}");
}
