use super::*;
use crate::config::Loaded;
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;
use vmlan_dhcp::MacAddr;

const GUEST: MacAddr = MacAddr(0x52, 0x54, 0, 0, 0, 1);
const OTHER: MacAddr = MacAddr(0x52, 0x54, 0, 0, 0, 2);

/// The zone of a configuration, at 10.0.0.1/24.
fn zone(text: &str) -> Zone {
    let text = format!("address = \"10.0.0.1/24\"\n{text}");
    let config = Loaded::parse(Path::new("x"), &text, None).unwrap().config;
    Zone::new(&Contents {
        dns: &config.dns,
        domain: config.domain.as_deref(),
        gateway: "10.0.0.1/24".parse().unwrap(),
        subnets: Vec::new(),
        hosts: &config.dhcp.hosts,
        closed: false,
    })
}

fn leases(list: &[(u8, &str, MacAddr)]) -> LeaseNames {
    let mut names = LeaseNames::default();
    for (last, label, mac) in list {
        let claim = Claim {
            label: (*label).into(),
            mac: *mac,
            client_id: None,
            ends: None,
        };
        names.set(Ipv4Addr::new(10, 0, 0, *last), Some(claim));
    }
    names
}

/// What is answered, in words: the data of the records, `no such name`, `no such
/// record`, or whom to ask.
fn asked(zone: &Zone, leases: &LeaseNames, text: &str, kind: RecordType) -> String {
    let query = Query::query(Name::from_ascii(format!("{text}.")).unwrap(), kind);
    match zone.look_up(&query, leases, Instant::now()) {
        Found::Records(records, _) => {
            let mut data: Vec<_> = records.iter().map(|it| it.data.to_string()).collect();
            data.sort();
            data.join(" ")
        }
        Found::Nothing(false, _) => "no such name".to_owned(),
        Found::Nothing(true, _) => "no such record".to_owned(),
        Found::Ask(route) => format!("{route:?}"),
    }
}

fn address_of(zone: &Zone, leases: &LeaseNames, name: &str) -> String {
    asked(zone, leases, name, RecordType::A)
}

const NOBODY: &str = "no such name";

#[test]
fn a_lease_has_its_name_alone_in_the_domain_and_in_reverse() {
    let (zone, leases) = (zone(""), leases(&[(9, "web", GUEST)]));
    for name in ["web", "web.vm", "WEB.Vm"] {
        assert_eq!(address_of(&zone, &leases, name), "10.0.0.9", "{name}");
        assert_eq!(
            asked(&zone, &leases, name, RecordType::AAAA),
            "no such record"
        );
    }
    let reverse = |name: &str| asked(&zone, &leases, name, RecordType::PTR);
    assert_eq!(reverse("9.0.0.10.in-addr.arpa"), "web.vm.");
    assert_eq!(reverse("8.0.0.10.in-addr.arpa"), NOBODY);
    assert_eq!(reverse("1.0.0.10.in-addr.arpa"), "gateway.vm.");
    assert_eq!(address_of(&zone, &leases, "a.web.vm"), NOBODY);
    assert_eq!(address_of(&zone, &leases, "gateway.vm"), "10.0.0.1");
}

#[test]
fn without_a_domain_names_stand_alone() {
    let (zone, leases) = (zone("domain = \"\""), leases(&[(9, "web", GUEST)]));
    assert_eq!(address_of(&zone, &leases, "web"), "10.0.0.9");
    let reverse = asked(&zone, &leases, "9.0.0.10.in-addr.arpa", RecordType::PTR);
    assert_eq!(reverse, "web.");
    assert_eq!(address_of(&zone, &leases, "web.vm"), "Host");
}

#[test]
fn a_guest_takes_no_name_that_is_not_its_own_to_take() {
    let zone = zone(
        "[[dhcp.host]]\nmac = \"52:54:00:00:00:02\"\nname = \"db\"\n\
         [[dhcp.host]]\nmac = \"52:54:00:00:00:03\"\naddress = \"10.0.0.77\"\nname = \"nas\"\n\
         [[dns.host]]\naddress = \"10.0.0.70\"\nnames = [\"mail\"]\n",
    );
    let taken = [
        "gateway",
        "wpad",
        "isatap",
        "localhost",
        "db",
        "nas",
        "mail",
    ];
    let claims: Vec<_> = (10..)
        .zip(taken)
        .map(|(n, name)| (n, name, GUEST))
        .collect();
    let leases = leases(&claims);
    let found = taken.map(|name| address_of(&zone, &leases, &format!("{name}.vm")));
    let kept = [
        "10.0.0.1",
        NOBODY,
        NOBODY,
        NOBODY,
        NOBODY,
        "10.0.0.77",
        "10.0.0.70",
    ];
    assert_eq!(found, kept);
    for (last, name, _) in claims {
        let reverse = format!("{last}.0.0.10.in-addr.arpa");
        let found = asked(&zone, &leases, &reverse, RecordType::PTR);
        assert_eq!(found, NOBODY, "{name}");
    }
    assert_eq!(address_of(&zone, &leases, "localhost"), "127.0.0.1");
}

#[test]
fn a_name_that_the_configuration_gives_belongs_to_that_station_alone() {
    let zone = zone("[[dhcp.host]]\nmac = \"52:54:00:00:00:02\"\nname = \"db\"\n");
    let first = leases(&[(20, "db", OTHER), (21, "db", GUEST)]);
    assert_eq!(address_of(&zone, &first, "db.vm"), "10.0.0.20");
    let reverse = |name: &str| asked(&zone, &first, name, RecordType::PTR);
    assert_eq!(reverse("20.0.0.10.in-addr.arpa"), "db.vm.");
    assert_eq!(reverse("21.0.0.10.in-addr.arpa"), NOBODY);
}

#[test]
fn a_name_moves_with_the_newest_claim_and_so_does_its_reverse() {
    let zone = zone("");
    let mut names = leases(&[(9, "web", GUEST), (10, "web", OTHER)]);
    assert_eq!(address_of(&zone, &names, "web.vm"), "10.0.0.10");
    let reverse = asked(&zone, &names, "9.0.0.10.in-addr.arpa", RecordType::PTR);
    assert_eq!(reverse, NOBODY);
    names.set(Ipv4Addr::new(10, 0, 0, 10), None);
    assert_eq!(address_of(&zone, &names, "web.vm"), "10.0.0.9");
}

#[test]
fn a_lease_is_kept_no_longer_than_it_lasts() {
    let (zone, now) = (zone("[dns]\nttl = \"30s\""), Instant::now());
    let mut names = LeaseNames::default();
    let query = Query::query(name("web.vm").unwrap(), RecordType::A);
    for (left, ttl) in [
        (Some(10), Some(10)),
        (Some(3600), Some(30)),
        (None, Some(30)),
        (Some(0), None),
    ] {
        let claim = Claim {
            label: "web".into(),
            mac: GUEST,
            client_id: None,
            ends: left.map(|left| now + Duration::from_secs(left)),
        };
        names.set(Ipv4Addr::new(10, 0, 0, 9), Some(claim));
        let found = match zone.look_up(&query, &names, now) {
            Found::Records(records, _) => Some(records[0].ttl),
            _ => None,
        };
        assert_eq!(found, ttl, "{left:?}");
    }
}

#[test]
fn records_of_the_configuration_are_answered() {
    let zone = zone(
        "[[dns.host]]\naddress = \"192.0.2.9\"\nnames = [\"mail\", \"mx.example.org\"]\n\
         [[dns.host]]\naddress = \"2001:db8::9\"\nnames = [\"mail\"]\n\
         [[dns.txt]]\nname = \"web\"\nvalue = [\"a\", \"b c\"]\n\
         [[dns.srv]]\nservice = \"ldap\"\nprotocol = \"tcp\"\ntarget = \"mail\"\nport = 389\n\
         [[dns.srv]]\nservice = \"x\"\nprotocol = \"udp\"\ndomain = \"example.org\"\n",
    );
    let leases = leases(&[(9, "web", GUEST)]);
    let ask = |name: &str, kind| asked(&zone, &leases, name, kind);
    assert_eq!(ask("mail", RecordType::A), "192.0.2.9");
    assert_eq!(ask("mail.vm", RecordType::AAAA), "2001:db8::9");
    assert_eq!(ask("mx.example.org", RecordType::A), "192.0.2.9");
    assert_eq!(ask("mx.example.org", RecordType::AAAA), "no such record");
    assert_eq!(ask("9.2.0.192.in-addr.arpa", RecordType::PTR), "mail.vm.");
    // A text beside a lease of the same name.
    assert_eq!(ask("web.vm", RecordType::TXT), "ab c");
    assert_eq!(ask("web.vm", RecordType::A), "10.0.0.9");
    assert_eq!(ask("_ldap._tcp.vm", RecordType::SRV), "0 0 389 mail.vm.");
    assert_eq!(ask("_x._udp.example.org", RecordType::SRV), "0 0 0 .");
    // What lies above a name exists.
    assert_eq!(ask("_tcp.vm", RecordType::A), "no such record");
    assert_eq!(ask("_udp.vm", RecordType::A), NOBODY);
    let query = Query::query(name("_ldap._tcp.vm").unwrap(), RecordType::SRV);
    let Found::Records(_, more) = zone.look_up(&query, &leases, Instant::now()) else {
        panic!("no answer");
    };
    assert_eq!(more.len(), 2, "{more:?}");
}

#[test]
fn what_is_not_known_of_the_own_domain_is_asked_of_nobody() {
    let unknown = LeaseNames::default();
    let zone = |dns: &str| zone(&format!("domain = \"lab.example\"\n[dns]\n{dns}"));
    let own = zone("");
    assert_eq!(address_of(&own, &unknown, "x.lab.example"), NOBODY);
    assert_eq!(address_of(&own, &unknown, "lab.example"), "no such record");
    assert!(asked(&own, &unknown, "lab.example", RecordType::SOA).contains("nobody.invalid"));
    assert_eq!(address_of(&own, &unknown, "x.example"), "Host");
    let shared = zone("authoritative = false");
    assert_eq!(address_of(&shared, &unknown, "x.lab.example"), "Host");
    let elsewhere =
        zone("[[dns.forwarder]]\ndomain = \"sub.lab.example\"\naddress = \"192.0.2.1\"");
    assert_eq!(address_of(&elsewhere, &unknown, "x.lab.example"), NOBODY);
    let asked = address_of(&elsewhere, &unknown, "x.sub.lab.example");
    assert_eq!(asked, "Servers([192.0.2.1:53])");
}

#[test]
fn what_means_nothing_outside_is_not_asked_outside() {
    let (unknown, zone) = (LeaseNames::default(), zone(""));
    let ask = |name: &str, kind| asked(&zone, &unknown, name, kind);
    for name in [
        "9.9.168.192.in-addr.arpa",
        "1.0.0.127.in-addr.arpa",
        "9.0.16.172.in-addr.arpa",
    ] {
        assert_eq!(ask(name, RecordType::PTR), NOBODY, "{name}");
    }
    assert_eq!(
        ask("168.192.in-addr.arpa", RecordType::NS),
        "no such record"
    );
    assert_eq!(ask("8.8.8.8.in-addr.arpa", RecordType::PTR), "Host");
    assert_eq!(ask("plain", RecordType::A), NOBODY);
    assert_eq!(ask("com", RecordType::DS), "Host");
    assert_eq!(ask("x.onion", RecordType::A), NOBODY);
    assert_eq!(ask("_dns.resolver.arpa", RecordType::SVCB), NOBODY);
    assert_eq!(ask("example.com", RecordType::HTTPS), "Host");
    assert_eq!(
        asked(
            &self::zone("[dns]\nforward-plain-names = true"),
            &unknown,
            "plain",
            RecordType::A
        ),
        "Host"
    );
}

#[test]
fn a_forwarder_goes_before_what_is_asked_of_nobody_else() {
    let unknown = LeaseNames::default();
    let zone = zone(
        "[[dns.forwarder]]\ndomain = \"10.in-addr.arpa\"\naddress = \"192.0.2.1\"\n\
         [[dns.forwarder]]\ndomain = \"plain\"\naddress = \"192.0.2.2\"\n\
         [[dns.forwarder]]\ndomain = \"ads.example\"\nlocal = true\n",
    );
    let ask = |name: &str| asked(&zone, &unknown, name, RecordType::PTR);
    assert_eq!(ask("9.9.9.10.in-addr.arpa"), "Servers([192.0.2.1:53])");
    assert_eq!(ask("plain"), "Servers([192.0.2.2:53])");
    assert_eq!(ask("x.ads.example"), NOBODY);
}

proptest! {
    #[test]
    fn any_name_has_an_answer(
        labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8),
        end in prop::sample::select(vec!["", "vm.", "in-addr.arpa.", "ip6.arpa.", "localhost."]),
        kind in any::<u16>(),
    ) {
        let zone = zone("[[dns.txt]]\nname = \"a.b\"\nvalue = \"x\"");
        let leases = leases(&[(9, "web", GUEST)]);
        let end = Name::from_ascii(if end.is_empty() { "." } else { end }).unwrap();
        let labels = labels.iter().map(Vec::as_slice);
        let name = Name::from_labels(labels).unwrap().append_domain(&end).unwrap();
        let query = Query::query(name, RecordType::from(kind));
        zone.look_up(&query, &leases, Instant::now());
    }
}
