//! What a reply carries and where it goes.

use super::*;
use crate::config::LeaseTime;
use crate::outcome::Event;

/// The ACK that `client` gets for address .42 by what `with` adds.
fn ack(config: Config, with: impl FnOnce(Message) -> Message) -> Received {
    let outcome = with(reboot(1, ip(42))).to(&mut server(config), T0);
    let ack = received(&outcome);
    assert_eq!(ack.kind, ACK);
    ack
}

fn full() -> Config {
    let mut config = config(254);
    config.domain = Some("vm".into());
    config.mtu = Some(1400);
    config.dns = vec![ip(1), ip(3)];
    config
}

#[test]
fn a_client_that_asks_for_nothing_special_is_told_everything() {
    let ack = ack(full(), |m| m);
    let want: BTreeMap<u8, Vec<u8>> = [
        (1, vec![255, 255, 255, 0]),
        (3, vec![192, 168, 122, 1]),
        (6, vec![192, 168, 122, 1, 192, 168, 122, 3]),
        (15, b"vm".to_vec()),
        (26, vec![5, 120]),
        (28, vec![192, 168, 122, 255]),
        (51, vec![0, 0, 14, 16]),
        (53, vec![ACK]),
        (54, vec![192, 168, 122, 1]),
        (58, vec![0, 0, 7, 8]),
        (59, vec![0, 0, 12, 78]),
    ]
    .into();
    assert_eq!(ack.options, want);
    assert!(ack.bytes.len() >= 300, "BOOTP's least size");
    assert_eq!(ack.bytes[4..8], [1, 2, 3, 4], "the client's xid");
    assert_eq!(ack.bytes[28..34], mac(1).octets());
}

#[test]
fn what_a_client_asks_for_comes_in_its_order() {
    let ack = ack(full(), |m| m.option(55, &[15, 3, 3, 99, 1, 12]));
    assert_eq!(ack.order, [53, 54, 51, 58, 59, 1, 28, 26, 15, 3]);
    let ack = self::ack(full(), |m| m.option(55, &[15, 28, 3, 1]));
    // The mask has to stand before the router.
    assert_eq!(ack.order, [53, 54, 51, 58, 59, 1, 26, 15, 28, 3]);
}

#[test]
fn configured_options_override_and_suppress_the_servers_own() {
    let mut config = full();
    config.options = vec![
        (3, vec![10, 0, 0, 1]).into(),
        (6, Vec::new()).into(),
        (42, vec![1, 2, 3, 4]).into(),
    ];
    let ack = ack(config, |m| m);
    assert_eq!(ack.options[&3], [10, 0, 0, 1]);
    assert!(!ack.options.contains_key(&6));
    assert_eq!(ack.options[&42], [1, 2, 3, 4]);
}

#[test]
fn an_infinite_lease_has_no_renewal_times() {
    let mut config = full();
    config.lease_time = LeaseTime::Infinite;
    let mut server = server(config);
    let outcome = reboot(1, ip(42)).to(&mut server, T0);
    let ack = received(&outcome);
    assert_eq!(ack.options[&51], [255; 4]);
    assert!(!ack.options.contains_key(&58) && !ack.options.contains_key(&59));
    assert_eq!(outcome.changes[0].after.as_ref().unwrap().expiry, 0);
    assert_eq!(server.expire(u64::MAX), []);
    assert_eq!(server.used(), 1);
}

#[test]
fn a_shorter_lease_is_given_on_request() {
    let mut server = server(full());
    let outcome = reboot(1, ip(42))
        .option(51, &[0, 0, 2, 88])
        .to(&mut server, T0);
    assert_eq!(received(&outcome).options[&51], [0, 0, 2, 88]);
    let lease = outcome.changes[0].after.as_ref().unwrap();
    assert_eq!(lease.expiry, T0 + 600);
}

#[test]
fn a_client_identifier_comes_back() {
    let ack = ack(full(), |m| m.option(61, &[0, 1, 2]));
    assert_eq!(ack.options[&61], [0, 1, 2]);
}

#[test]
fn a_reply_goes_to_the_new_address_at_the_clients_mac() {
    let want = Destination::Unicast {
        address: ip(42),
        mac: mac(1),
    };
    assert_eq!(ack(full(), |m| m).destination, want);
}

#[test]
fn a_reply_is_broadcast_to_a_client_that_asks_for_that() {
    let ack = ack(full(), Message::broadcast);
    assert_eq!(ack.destination, Destination::Broadcast);
    assert_eq!(ack.bytes[10..12], [0x80, 0], "the flag is given back");
}

#[test]
fn a_client_with_an_address_is_answered_there_even_if_it_asks_for_broadcast() {
    let outcome = renew(1, ip(42)).broadcast().to(&mut server(full()), T0);
    let want = Destination::Unicast {
        address: ip(42),
        mac: mac(1),
    };
    assert_eq!(received(&outcome).destination, want);
}

#[test]
fn a_nak_is_always_broadcast_and_names_nothing_but_the_reason() {
    let wrong = renew(1, Ipv4Addr::new(10, 0, 0, 1));
    let nak = received(&wrong.to(&mut server(full()), T0));
    assert_eq!(nak.kind, NAK);
    assert_eq!(nak.destination, Destination::Broadcast);
    assert_eq!(nak.order, [53, 54, 56]);
    assert_eq!(
        (nak.yiaddr, nak.ciaddr),
        (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED)
    );
}

#[test]
fn options_that_do_not_fit_are_left_out_and_told() {
    let mut config = full();
    config.options = vec![(200, vec![7; 300]).into(), (201, vec![8; 50]).into()];
    let mut server = server(config);
    let small = reboot(1, ip(42)).option(57, &[0, 1]).to(&mut server, T0);
    let ack = received(&small);
    assert!(ack.bytes.len() <= 576 - 28, "{}", ack.bytes.len());
    assert!(!ack.options.contains_key(&200));
    assert_eq!(ack.options[&201], [8; 50]);
    assert!(small.events.contains(&Event::OptionsLeftOut {
        mac: mac(1),
        codes: vec![200]
    }));

    let large = reboot(1, ip(42)).option(57, &[5, 220]).to(&mut server, T0);
    let ack = received(&large);
    assert_eq!(ack.options[&200], [7; 300], "in two parts (RFC 3396)");
    assert_eq!(ack.order.iter().filter(|c| **c == 200).count(), 2);
}

#[test]
fn a_clients_name_is_kept_if_it_is_one() {
    let kept = |m: Message| {
        let mut server = server(full());
        let outcome = m.to(&mut server, T0);
        let name = server.leases(T0).next().unwrap().hostname.map(String::from);
        let bad = outcome.events.contains(&Event::BadHostname { mac: mac(1) });
        (received(&outcome).kind, name, bad)
    };
    let request = || reboot(1, ip(42));
    assert_eq!(kept(request()), (ACK, None, false));
    let db = (ACK, Some("db".to_owned()), false);
    assert_eq!(kept(request().option(12, b"db")), db);
    assert_eq!(kept(request().option(81, b"\x00\x00\x00db.vm")), db);
    assert_eq!(kept(request().option(12, b"x").option(81, b"\0\0\0db")), db);
    assert_eq!(kept(request().option(12, b"db").option(81, b"\0\0\0")), db);
    assert_eq!(kept(request().option(12, b"a b\n")), (ACK, None, true));
}

#[test]
fn a_static_hosts_name_wins_and_is_sent_to_it() {
    let mut config = full();
    config.hosts = vec![host(mac(1).into(), 42, "db")];
    let mut server = server(config);
    let outcome = reboot(1, ip(42)).option(12, b"mine").to(&mut server, T0);
    assert_eq!(received(&outcome).options[&12], b"db");
    assert_eq!(server.leases(T0).next().unwrap().hostname, Some("db"));
    let asked = reboot(1, ip(42)).option(55, &[12]).to(&mut server, T0);
    assert_eq!(received(&asked).options[&12], b"db");
    let unasked = reboot(1, ip(42)).option(55, &[3]).to(&mut server, T0);
    assert!(!received(&unasked).options.contains_key(&12));
}

/// The names in the reply that has option 12, or `None` for no reply of it.
fn named(reply: &Received) -> Option<&[u8]> {
    reply.options.get(&12).map(Vec::as_slice)
}

#[test]
fn a_client_is_told_the_name_that_it_has() {
    let mut server = server(full());
    let ack = received(&reboot(1, ip(42)).option(12, b"mine").to(&mut server, T0));
    assert_eq!(named(&ack), Some(&b"mine"[..]));
    let offer = received(&discover(2).option(12, b"mine").to(&mut server, T0));
    assert_eq!(named(&offer), None, "as in dnsmasq");
}

#[test]
fn no_offer_has_another_name_than_its_client_gave() {
    let mut config = full();
    config.hosts = vec![host(HostKey::Mac(mac(1).into()), 42, "db")];
    let mut server = server(config);
    let offer = |server: &mut Server, m: Message| received(&m.to(server, T0)).options.remove(&12);
    assert_eq!(offer(&mut server, discover(1)), Some(b"db".to_vec()));
    assert_eq!(
        offer(&mut server, discover(1).option(12, b"DB.vm")),
        Some(b"db".to_vec())
    );
    assert_eq!(offer(&mut server, discover(1).option(12, b"web")), None);
    let fqdn = discover(1).option(81, b"\0\0\0web");
    assert_eq!(offer(&mut server, fqdn), Some(b"db".to_vec()));
}

#[test]
fn a_client_that_sends_its_whole_name_is_told_it_in_its_form() {
    let told = |config: Config, flags: u8, name: &[u8]| {
        let option = [&[flags, 0, 0], name].concat();
        let ack = ack(config, |m| m.option(81, &option).option(55, &[3]));
        ack.options.get(&81).cloned()
    };
    let some = |value: &[u8]| Some(value.to_vec());
    assert_eq!(told(full(), 0, b"db"), some(b"\x03\xff\xffdb.vm"));
    assert_eq!(told(full(), 0xf9, b"db.x"), some(b"\x01\xff\xffdb.vm"));
    assert_eq!(
        told(full(), 5, b"\x02db\x00"),
        some(b"\x05\xff\xff\x02db\x02vm\x00")
    );
    let mut without = full();
    without.domain = None;
    assert_eq!(
        told(without.clone(), 5, b"\x02db\x00"),
        some(b"\x05\xff\xff\x02db")
    );
    assert_eq!(told(without, 0, b""), None, "it has no name");
}
