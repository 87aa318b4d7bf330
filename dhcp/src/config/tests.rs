use pnet_base::MacAddr;

use super::*;

fn config() -> Config {
    let ip = |last| Ipv4Addr::new(192, 168, 122, last);
    Config::new(ip(1), Ipv4Net::new(ip(0), 24).unwrap(), ip(2)..=ip(254))
}

/// The error of the good configuration after `spoil`, as users read it.
fn error(spoil: impl FnOnce(&mut Config)) -> String {
    let mut config = config();
    config.validate().unwrap();
    spoil(&mut config);
    config.validate().unwrap_err().to_string()
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn host(mac: u8, address: &str) -> Host {
    Host {
        address: Some(ip(address)),
        ..Host::new(MacAddr(0x52, 0x54, 0, 0, 0, mac).into())
    }
}

#[test]
fn a_range_must_lie_in_the_subnet_and_hand_out_something() {
    assert_eq!(
        error(|c| c.ranges = vec![Range::new(ip("192.168.122.2")..=ip("192.168.123.4"))]),
        "range 192.168.122.2 to 192.168.123.4 leaves the subnet 192.168.122.0/24: take both ends from the subnet"
    );
    assert!(
        error(|c| c.ranges = vec![Range::new(ip("192.168.122.9")..=ip("192.168.122.2"))])
            .contains("swap")
    );
    for (first, last) in [("1", "1"), ("0", "1"), ("255", "255")] {
        let range = ip(&format!("192.168.122.{first}"))..=ip(&format!("192.168.122.{last}"));
        assert!(
            error(|c| c.ranges = vec![Range::new(range.clone())]).contains("nothing to hand out")
        );
    }
    let mut config = config();
    config.ranges = vec![Range::new(ip("192.168.122.0")..=ip("192.168.122.255"))];
    assert_eq!(config.validate(), Ok(()), "the gateway in it is left out");
}

#[test]
fn server_and_router_must_be_reachable_in_the_subnet() {
    for address in ["10.0.0.1", "192.168.122.0", "192.168.122.255"] {
        assert!(error(|c| c.server = ip(address)).starts_with("server address"));
    }
    assert!(error(|c| c.router = Some(ip("10.0.0.1"))).starts_with("router 10.0.0.1"));
    assert!(error(|c| c.subnet = "192.168.122.0/31".parse().unwrap()).contains("no room"));
    assert!(error(|c| c.subnet = "192.0.0.0/7".parse().unwrap()).contains("no room"));
}

#[test]
fn a_hosts_address_must_be_its_own_and_in_the_subnet() {
    assert_eq!(
        error(|c| c.hosts = vec![host(1, "10.0.0.9")]),
        "host 52:54:00:00:00:01 has the address 10.0.0.9, which is outside the subnet 192.168.122.0/24"
    );
    for address in ["192.168.122.0", "192.168.122.1", "192.168.122.255"] {
        assert!(error(|c| c.hosts = vec![host(1, address)]).contains("take another one"));
    }
    assert_eq!(
        error(|c| c.hosts = vec![host(1, "192.168.122.9"), host(2, "192.168.122.9")]),
        "hosts 52:54:00:00:00:01 and 52:54:00:00:00:02 both have the address 192.168.122.9: give one of them another"
    );
}

#[test]
fn a_host_needs_good_keys_of_its_own() {
    assert!(
        error(|c| c.hosts = vec![host(1, "192.168.122.9"), host(1, "192.168.122.8")])
            .contains("there twice")
    );
    let mut bad = host(1, "192.168.122.9");
    bad.keys = vec![MacAddr(1, 0, 0, 0, 0, 0).into()];
    assert!(error(|c| c.hosts = vec![bad]).contains("unusable key"));
    let mut bad = host(1, "192.168.122.9");
    bad.keys = vec![HostKey::ClientId(Vec::new())];
    assert!(error(|c| c.hosts = vec![bad]).contains("unusable key"));
    let mut bad = host(1, "192.168.122.9");
    bad.keys.clear();
    assert!(error(|c| c.hosts = vec![bad]).contains("no key"));
    let mut bad = host(1, "192.168.122.9");
    bad.name = Some("no_label".into());
    assert!(error(|c| c.hosts = vec![bad]).contains("'no_label'"));
}

#[test]
fn the_rest_is_checked_too() {
    assert!(error(|c| c.lease_time = LeaseTime::Seconds(119)).contains("119 s"));
    assert!(error(|c| c.domain = Some("a b".into())).contains("'a b'"));
    assert!(error(|c| c.mtu = Some(60)).contains("MTU 60"));
    assert!(error(|c| c.max_leases = 0).contains("max_leases"));
    assert!(error(|c| c.options = vec![(54, vec![1]).into()]).contains("option 54"));
    assert!(
        error(|c| c.options = vec![(42, vec![1]).into(), (42, vec![2]).into()]).contains("twice")
    );
}

#[test]
fn a_client_gets_the_shorter_time_but_not_less_than_two_minutes() {
    let hour = LeaseTime::Seconds(3600);
    for (own, asked, want) in [
        (hour, None, hour),
        (hour, Some(600), LeaseTime::Seconds(600)),
        (hour, Some(1), LeaseTime::Seconds(120)),
        (hour, Some(7200), hour),
        (hour, Some(u32::MAX), hour),
        (LeaseTime::Infinite, Some(600), LeaseTime::Seconds(600)),
        (LeaseTime::Infinite, Some(u32::MAX), LeaseTime::Infinite),
        (LeaseTime::Infinite, None, LeaseTime::Infinite),
    ] {
        assert_eq!(own.shortened_to(asked), want, "{own:?} {asked:?}");
    }
}
