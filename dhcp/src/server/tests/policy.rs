//! Who is served from where: ranges, hosts, tags and identities.

use super::*;
use crate::config::{Condition, ConfigError, HostKey, Identity, LeaseTime, Match};
use crate::options::Setting;
use crate::outcome::Event;
use crate::tag::{Tag, TagMatch};

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

fn tags(conditions: &[&str]) -> TagMatch {
    TagMatch::new(conditions.iter().copied()).unwrap()
}

fn range(first: u8, last: u8) -> Range {
    Range::new(ip(first)..=ip(last))
}

fn marking(condition: Condition, set: &str) -> Match {
    Match {
        conditions: vec![condition],
        set: vec![tag(set)],
        ignore: false,
    }
}

fn offered(server: &mut Server, message: Message) -> Ipv4Addr {
    received(&message.to(server, T0)).yiaddr
}

fn lease_seconds(reply: &Received) -> u32 {
    u32::from_be_bytes(reply.options[&51].clone().try_into().unwrap())
}

#[test]
fn ranges_that_ask_for_tags_go_first_and_set_their_own() {
    let mut config = config(254);
    config.ranges = vec![
        range(100, 100),
        Range {
            tags: tags(&["pxe", "!slow"]),
            set: vec![tag("lab")],
            lease_time: Some(LeaseTime::Seconds(600)),
            ..range(10, 10)
        },
    ];
    config.matches = vec![
        marking(Condition::VendorClass("PXE".into()), "pxe"),
        marking(Condition::UserClass("slow".into()), "slow"),
    ];
    let mut server = server(config);
    let pxe = |client| discover(client).option(60, b"MyPXEClient:Arch");
    let outcome = pxe(1).to(&mut server, T0);
    let set: Vec<_> = outcome.tags.iter().map(Tag::as_str).collect();
    assert_eq!(set, ["pxe", "lab"]);
    let offer = received(&outcome);
    assert_eq!((offer.yiaddr, lease_seconds(&offer)), (ip(10), 600));
    assert_eq!(offered(&mut server, pxe(2)), ip(100), "the first is full");
    assert_eq!(
        silence(&pxe(3).to(&mut server, T0)),
        Silence::RangeExhausted
    );
    let mut server = Server::new(server.config().clone(), [], 7, T0).unwrap();
    assert_eq!(offered(&mut server, pxe(3).option(77, b"slowly")), ip(100));
    // Asked for by name, an address is given by its range's conditions as well.
    assert_eq!(answered(&mut server, reboot(4, ip(10)), T0), NAK);
    let own = reboot(4, ip(10)).option(60, b"PXEClient");
    assert_eq!(answered(&mut server, own, T0), ACK);
}

#[test]
fn an_expired_lease_is_taken_back_only_by_who_its_range_serves() {
    let mut config = config(2);
    config.ranges.push(Range {
        tags: tags(&["red"]),
        ..range(10, 10)
    });
    config.matches = vec![marking(Condition::VendorClass("red".into()), "red")];
    let mut server = server(config);
    let red = |message: Message| message.option(60, b"red");
    assert_eq!(answered(&mut server, red(reboot(1, ip(10))), T0), ACK);
    lease(&mut server, 2, T0 + 10);
    let now = T0 + 3605;
    assert_eq!(
        silence(&discover(3).to(&mut server, now)),
        Silence::RangeExhausted,
        "the oldest is not for it"
    );
    assert_eq!(
        received(&red(discover(3)).to(&mut server, now)).yiaddr,
        ip(10)
    );
}

#[test]
fn an_inform_gets_the_options_of_the_range_that_its_address_is_of() {
    let mut config = config(254);
    config.ranges = vec![Range {
        set: vec![tag("lab")],
        ..range(100, 110)
    }];
    config.options = vec![Setting {
        tags: tags(&["lab"]),
        ..Setting::from((200, vec![7]))
    }];
    let mut server = server(config);
    for (address, want) in [(ip(105), true), (ip(111), false)] {
        let inform = Message::new(INFORM, mac(1)).ciaddr(address);
        let ack = received(&inform.to(&mut server, T0));
        assert_eq!(ack.options.contains_key(&200), want, "{address}");
    }
}

#[test]
fn a_match_sees_an_option_wherever_it_stands() {
    let mut config = config(254);
    let condition = Condition::Option {
        code: 175,
        value: vec![1, 2],
    };
    config.matches = vec![marking(condition, "tool")];
    config.options = vec![Setting {
        tags: tags(&["tool"]),
        ..Setting::from((200, vec![7]))
    }];
    let mut server = server(config);
    // One part of it among the options, the other in the field `file`.
    let mut message = discover(1).option(175, &[1]).option(52, &[1]);
    message.0[108..112].copy_from_slice(&[175, 1, 2, 255]);
    let offer = received(&message.clone().to(&mut server, T0));
    assert_eq!(offer.options[&200], [7]);
    // Without option 52 that is the name of a file.
    let mut message = discover(1).option(175, &[1]);
    message.0[108..112].copy_from_slice(&[175, 1, 2, 255]);
    let offer = received(&message.to(&mut server, T0));
    assert!(!offer.options.contains_key(&200));
}

#[test]
fn only_known_hosts_are_served_where_that_is_wanted() {
    let mut config = config(254);
    config.known_only = true;
    config.hosts = vec![Host::new(mac(1).into())];
    let mut server = server(config);
    lease(&mut server, 1, T0);
    let outcome = discover(2).to(&mut server, T0);
    assert_eq!(silence(&outcome), Silence::NotKnown);
}

#[test]
fn a_range_can_be_for_known_hosts_and_others_ignored() {
    let mut config = config(254);
    config.ranges = vec![Range {
        known_only: true,
        ..range(10, 20)
    }];
    config.hosts = vec![
        Host::new(HostKey::Mac("52:54:00:00:00:*".parse().unwrap())),
        Host {
            ignore: true,
            ..Host::new(mac(9).into())
        },
    ];
    config.matches = vec![Match {
        conditions: vec![Condition::VendorClass("bad".into())],
        set: Vec::new(),
        ignore: true,
    }];
    let mut server = server(config);
    lease(&mut server, 1, T0);
    assert_eq!(silence(&discover(9).to(&mut server, T0)), Silence::Ignored);
    let bad = discover(2).option(60, b"bad");
    assert_eq!(silence(&bad.to(&mut server, T0)), Silence::Ignored);
    let stranger = Message::new(DISCOVER, MacAddr(2, 0, 0, 0, 0, 1));
    assert_eq!(
        silence(&stranger.to(&mut server, T0)),
        Silence::RangeExhausted
    );
}

#[test]
fn a_port_is_told_by_its_name() {
    let mut config = config(2);
    config.ranges.push(Range {
        tags: tags(&["web"]),
        ..range(10, 20)
    });
    config.matches = vec![marking(Condition::Port("vnet*".into()), "web")];
    let mut server = server(config);
    server.name_origin(Origin(1), Some("vnet0"));
    server.name_origin(Origin(2), Some("eth0"));
    assert!(offered(&mut server, discover(1)) >= ip(10));
    assert_eq!(offered(&mut server, discover(2)), ip(2));
    server.name_origin(Origin(1), None);
    let outcome = discover(1).to(&mut server, T0 + 100);
    assert_eq!(received(&outcome).yiaddr, ip(2), "the port is gone");
}

#[test]
fn matches_see_what_was_set_before_them() {
    let agent_id = |code: u8, id: &[u8]| [&[code, u8::try_from(id.len()).unwrap()], id].concat();
    let cases: Vec<(Condition, Message)> = vec![
        (
            Condition::CircuitId(b"eth1".to_vec()),
            discover(1).option(82, &agent_id(1, b"eth1")),
        ),
        (
            Condition::RemoteId(vec![1, 2]),
            discover(1).option(82, &agent_id(2, &[1, 2])),
        ),
        (
            Condition::SubscriberId(b"joe".to_vec()),
            discover(1).option(82, &agent_id(6, b"joe")),
        ),
        (
            Condition::Mac("*:54:*:*:*:01".parse().unwrap()),
            discover(1),
        ),
        (
            Condition::Architecture("x86_64-efi".parse().unwrap()),
            discover(1).option(93, &[0, 7]),
        ),
        (
            Condition::Option {
                code: 175,
                value: Vec::new(),
            },
            discover(1).option(175, b"x"),
        ),
        (
            Condition::Option {
                code: 60,
                value: b"XE".to_vec(),
            },
            discover(1).option(60, b"PXE"),
        ),
    ];
    for (condition, message) in cases {
        let mut config = config(2);
        config.ranges[0].tags = tags(&["!both"]);
        config.ranges.push(Range {
            tags: tags(&["both"]),
            ..range(10, 10)
        });
        config.matches = vec![
            marking(condition.clone(), "one"),
            marking(Condition::Tags(tags(&["one", "!known"])), "both"),
        ];
        let mut server = server(config);
        let other = Message::new(DISCOVER, MacAddr(2, 0, 0, 0, 0, 2));
        assert_eq!(offered(&mut server, message), ip(10), "{condition:?}");
        assert_eq!(offered(&mut server, other), ip(2), "{condition:?}");
    }
}

#[test]
fn a_host_with_two_cards_has_its_address_at_the_one_without_a_rival() {
    let mut config = config(99);
    config.hosts = vec![Host {
        keys: vec![mac(1).into(), mac(2).into()],
        address: Some(ip(200)),
        lease_time: Some(LeaseTime::Seconds(300)),
        ..Host::new(mac(1).into())
    }];
    let mut server = server(config);
    assert_eq!(lease(&mut server, 1, T0), ip(200));
    let outcome = discover(2).to(&mut server, T0);
    assert_ne!(received(&outcome).yiaddr, ip(200));
    assert_eq!(lease_seconds(&received(&outcome)), 300);
    let given_back = Message::new(RELEASE, mac(1)).ciaddr(ip(200));
    given_back.to(&mut server, T0 + 1);
    assert_eq!(lease(&mut server, 2, T0 + 2), ip(200));
}

#[test]
fn a_host_is_known_by_the_name_that_it_gives_itself() {
    let mut config = config(99);
    config.hosts = vec![Host {
        address: Some(ip(200)),
        ..Host::new(HostKey::Name("db".into()))
    }];
    let mut server = server(config);
    assert_eq!(
        offered(&mut server, discover(1).option(12, b"DB.vm")),
        ip(200)
    );
    assert_ne!(
        offered(&mut server, discover(2).option(12, b"web")),
        ip(200)
    );
}

#[test]
fn sequential_addresses_are_the_lowest_free_ones() {
    let mut config = config(99);
    config.sequential = true;
    let mut server = server(config);
    let given: Vec<_> = (1..=4)
        .map(|client| lease(&mut server, client, T0))
        .collect();
    assert_eq!(given, [ip(2), ip(3), ip(4), ip(5)]);
    server.release(ip(3));
    assert_eq!(lease(&mut server, 9, T0), ip(3));
}

/// A server whose leases belong to client identifiers.
fn by_client_id() -> Server {
    let mut config = config(254);
    config.identity = Identity::ClientId;
    server(config)
}

fn id(message: Message) -> Message {
    message.option(61, &[0, 9, 9])
}

#[test]
fn one_client_id_is_one_client_and_two_stations_are_told_of() {
    let mut server = by_client_id();
    let first = offered(&mut server, id(discover(1)));
    id(select(1, first)).to(&mut server, T0);
    assert_eq!(offered(&mut server, id(discover(2))), first);
    let outcome = id(select(2, first)).to(&mut server, T0 + 1);
    assert_eq!(received(&outcome).kind, ACK);
    assert!(outcome.events.contains(&Event::DuplicateClientId {
        client_id: [0, 9, 9].into(),
        macs: [mac(1), mac(2)],
    }));
    let change = &outcome.changes[0];
    assert_eq!(change.before.as_ref().unwrap().mac, mac(1));
    assert_eq!(change.after.as_ref().unwrap().mac, mac(2));
    assert_eq!(server.records().count(), 1);
    server.undo(change, T0 + 1);
    assert_eq!(server.records().next().unwrap().mac, mac(1));
}

#[test]
fn a_boot_rom_without_client_id_and_its_system_are_one_client() {
    let mut server = by_client_id();
    let address = lease(&mut server, 1, T0);
    assert_eq!(offered(&mut server, id(discover(1))), address);
    assert_eq!(answered(&mut server, id(select(1, address)), T0), ACK);
    assert_eq!(offered(&mut server, discover(1)), address, "the ROM again");
    let other = discover(1).option(61, &[0, 7]);
    assert_ne!(offered(&mut server, other), address, "another system");
}

#[test]
fn identities_outlive_a_restart_by_the_lease_file() {
    let mut server = by_client_id();
    let address = offered(&mut server, id(discover(1)));
    id(select(1, address)).to(&mut server, T0);
    let leases: Vec<_> = server.records().cloned().collect();
    let config = server.config().clone();
    let mut again = Server::new(config, leases, 7, T0 + 5).unwrap();
    assert_eq!(offered(&mut again, id(discover(3))), address);
}

#[test]
fn leases_outlive_a_change_of_identity() {
    let mut server = by_client_id();
    let address = offered(&mut server, id(discover(1)));
    id(select(1, address)).to(&mut server, T0);
    server.reconfigure(config(254), T0 + 5).unwrap();
    assert_eq!(answered(&mut server, renew(1, address), T0 + 9), ACK);
    assert_ne!(offered(&mut server, id(discover(2))), address);
}

#[test]
fn a_change_of_identity_that_would_end_a_live_lease_is_refused() {
    let by_mac = config(254);
    let by_id = Config {
        identity: Identity::ClientId,
        ..by_mac.clone()
    };
    let mut server = server(by_mac.clone());
    let mut addresses = Vec::new();
    for clone in [1, 2] {
        let address = offered(&mut server, id(discover(clone)));
        id(select(clone, address)).to(&mut server, T0);
        addresses.push(address);
    }
    let error = server.reconfigure(by_id.clone(), T0 + 5).unwrap_err();
    let ConfigError::OneClient(first, second) = error else {
        panic!("{error}");
    };
    let mut named = [first, second];
    named.sort_unstable();
    addresses.sort_unstable();
    assert_eq!(named.as_slice(), addresses);
    assert_eq!(server.config(), &by_mac);
    assert_eq!(server.used(), 2);
    server.expire(T0 + 10_000);
    server.reconfigure(by_id, T0 + 10_000).unwrap();
}

#[test]
fn nobody_ends_a_lease_by_its_client_id_alone() {
    let mut server = by_client_id();
    let address = offered(&mut server, id(discover(1)));
    id(select(1, address)).to(&mut server, T0);
    let forged = id(Message::new(RELEASE, mac(2)).ciaddr(address));
    assert_eq!(silence(&forged.to(&mut server, T0 + 1)), Silence::NotHeld);
    let forged = id(Message::new(DECLINE, mac(2)).requested(address));
    assert_eq!(silence(&forged.to(&mut server, T0 + 1)), Silence::NotHeld);
    assert_eq!(server.used(), 1);
}
