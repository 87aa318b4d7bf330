//! Which address goes to whom.

use std::collections::BTreeSet;

use super::*;
use crate::outcome::Event;

#[test]
fn every_address_of_the_range_is_given_out_once_and_no_other() {
    let mut config = config(20);
    config.ranges = vec![Range::new(ip(0)..=ip(20))];
    config.router = Some(ip(5));
    config.hosts = vec![host(mac(200).into(), 7, "")];
    let mut server = server(config);
    let given: BTreeSet<_> = (1..=17).map(|c| lease(&mut server, c, T0)).collect();
    let want: BTreeSet<_> = (2..=20).filter(|n| ![5, 7].contains(n)).map(ip).collect();
    assert_eq!(given, want);
    assert_eq!(
        silence(&discover(18).to(&mut server, T0)),
        Silence::RangeExhausted
    );
    assert_eq!(server.capacity(), 18);
    assert_eq!(lease(&mut server, 200, T0), ip(7));
}

#[test]
fn an_offered_address_is_offered_to_nobody_else_meanwhile() {
    let mut server = server(config(2));
    assert_eq!(received(&discover(1).to(&mut server, T0)).yiaddr, ip(2));
    assert_eq!(
        silence(&discover(2).to(&mut server, T0 + 59)),
        Silence::RangeExhausted
    );
    assert_eq!(answered(&mut server, reboot(2, ip(2)), T0 + 59), NAK);
    assert_eq!(
        received(&discover(2).to(&mut server, T0 + 60)).yiaddr,
        ip(2)
    );
    let late = received(&select(1, ip(2)).to(&mut server, T0 + 61));
    assert_eq!(late.kind, NAK);
    assert_eq!(late.options[&56], b"address in use");
}

#[test]
fn the_address_follows_from_mac_and_key_alone() {
    let first = lease(&mut server(config(254)), 1, T0);
    assert_eq!(lease(&mut server(config(254)), 1, T0 + 999_999), first);
    let others: BTreeSet<_> = (0..20)
        .map(|key| {
            let mut server = Server::new(config(254), [], key, T0).unwrap();
            lease(&mut server, 1, T0)
        })
        .collect();
    assert!(others.len() > 10, "the key counts: {others:?}");
}

#[test]
fn an_expired_lease_goes_to_its_client_again() {
    let mut server = server(config(254));
    let address = received(&discover(1).requested(ip(42)).to(&mut server, T0));
    assert_eq!(address.yiaddr, ip(42), "not where the hash leads");
    assert_eq!(answered(&mut server, select(1, ip(42)), T0), ACK);
    let events = server.expire(T0 + 3600);
    assert_eq!(
        events,
        [Event::Expired {
            mac: mac(1),
            address: ip(42)
        }]
    );
    assert_eq!(server.used(), 0);
    assert_eq!(lease(&mut server, 1, T0 + 99_999), ip(42));
}

#[test]
fn the_oldest_expired_lease_goes_first_once_the_range_is_exhausted() {
    let mut server = server(config(4));
    let given: Vec<_> = [0, 100, 200]
        .into_iter()
        .zip(1..)
        .map(|(after, client)| lease(&mut server, client, T0 + after))
        .collect();
    let now = T0 + 3600 + 150;
    let outcome = discover(9).to(&mut server, now);
    assert_eq!(received(&outcome).yiaddr, given[0]);
    assert_eq!(
        received(&discover(8).to(&mut server, now)).yiaddr,
        given[1],
        "the oldest is on offer now"
    );
    assert_eq!(
        silence(&discover(7).to(&mut server, now)),
        Silence::RangeExhausted,
        "the third is live"
    );
    let outcome = select(9, given[0]).to(&mut server, now);
    assert_eq!(received(&outcome).kind, ACK);
    assert_eq!(outcome.changes.len(), 2);
    assert_eq!(outcome.changes[0].before.as_ref().unwrap().mac, mac(1));
    assert_eq!(outcome.changes[0].after, None);
    assert!(outcome.events.contains(&Event::Forgotten {
        mac: mac(1),
        address: given[0]
    }));
}

#[test]
fn a_requested_address_is_honoured_when_free_and_in_the_range() {
    let mut server = server(config(99));
    let wish = |client: u8, last: u8| discover(client).requested(ip(last));
    assert_eq!(received(&wish(1, 42).to(&mut server, T0)).yiaddr, ip(42));
    assert_ne!(received(&wish(2, 42).to(&mut server, T0)).yiaddr, ip(42));
    for unusable in [1, 200, 255] {
        let got = received(&wish(3, unusable).to(&mut server, T0)).yiaddr;
        assert_ne!(got, ip(unusable));
    }
}

#[test]
fn a_static_host_gets_its_address_in_or_out_of_the_range() {
    let mut config = config(99);
    config.hosts = vec![
        host(mac(1).into(), 50, "db"),
        host(HostKey::ClientId(vec![1, 2, 3]), 150, ""),
        host(mac(3).into(), 60, ""),
    ];
    let mut server = server(config);
    assert_eq!(lease(&mut server, 1, T0), ip(50));
    let by_id = |m: Message| m.option(61, &[1, 2, 3]);
    // The client identifier goes before the MAC.
    let offer = received(&by_id(discover(3)).to(&mut server, T0));
    assert_eq!(offer.yiaddr, ip(150));
    assert_eq!(answered(&mut server, by_id(select(3, ip(150))), T0), ACK);
    assert_eq!(answered(&mut server, reboot(9, ip(60)), T0), NAK);
    assert_eq!(answered(&mut server, reboot(1, ip(51)), T0), NAK);
}

#[test]
fn a_static_host_is_served_from_the_range_while_its_address_is_taken() {
    let mut server = server(config(99));
    assert_eq!(answered(&mut server, reboot(1, ip(50)), T0), ACK);
    let mut config = config(99);
    config.hosts = vec![host(mac(2).into(), 50, "")];
    server.reconfigure(config, T0).unwrap();

    let outcome = discover(2).to(&mut server, T0 + 1);
    let other = received(&outcome).yiaddr;
    assert_ne!(other, ip(50));
    assert!(outcome.events.contains(&Event::HostAddressTaken {
        mac: mac(2),
        address: ip(50),
        holder: Some(mac(1))
    }));
    assert_eq!(answered(&mut server, select(2, other), T0 + 1), ACK);
    // The former holder is told at its renewal, but keeps others away until then.
    assert_eq!(answered(&mut server, renew(1, ip(50)), T0 + 1800), NAK);
    assert_eq!(answered(&mut server, renew(2, other), T0 + 1800), ACK);
    // Free again, it goes to the host.
    assert_eq!(answered(&mut server, renew(2, other), T0 + 3600), NAK);
    assert_eq!(lease(&mut server, 2, T0 + 3600), ip(50));
}

#[test]
fn two_macs_with_one_client_id_get_two_addresses_and_an_event() {
    let mut server = server(config(254));
    let id = |m: Message| m.option(61, &[0, 9, 9]);
    let first = received(&id(discover(1)).to(&mut server, T0)).yiaddr;
    id(select(1, first)).to(&mut server, T0);
    let second = received(&id(discover(2)).to(&mut server, T0)).yiaddr;
    assert_ne!(first, second);
    let outcome = id(select(2, second)).to(&mut server, T0);
    let event = Event::DuplicateClientId {
        client_id: [0, 9, 9].into(),
        macs: [mac(1), mac(2)],
    };
    assert_eq!(received(&outcome).kind, ACK);
    assert!(outcome.events.contains(&event));
    let renewal = id(renew(2, second)).to(&mut server, T0 + 9);
    assert!(!renewal.events.contains(&event), "told once");
}

#[test]
fn a_clone_is_told_of_though_the_first_station_of_its_identifier_is_gone() {
    let id = |m: Message| m.option(61, &[0, 9, 9]);
    let takes = |server: &mut Server, client, now| {
        let offer = received(&id(discover(client)).to(server, now));
        let outcome = id(select(client, offer.yiaddr)).to(server, now);
        let rival = outcome.events.into_iter().find_map(|event| match event {
            Event::DuplicateClientId { macs, .. } => Some(macs),
            _ => None,
        });
        (offer.yiaddr, rival)
    };
    for forgotten in [true, false] {
        let mut server = server(config(254));
        let (first, rival) = takes(&mut server, 1, T0);
        assert_eq!(rival, None);
        assert_eq!(takes(&mut server, 2, T0 + 9).1, Some([mac(1), mac(2)]));
        let later = T0 + 3605;
        if forgotten {
            server.release(first).unwrap();
        }
        // The first one has run out by then, the second has not.
        assert_eq!(takes(&mut server, 3, later).1, Some([mac(2), mac(3)]));
    }
}

#[test]
fn leases_are_limited_and_the_limit_makes_room_by_forgetting() {
    let mut config = config(254);
    config.max_leases = 3;
    let mut server = server(config);
    assert_eq!(server.capacity(), 3);
    for client in 1..=3 {
        lease(&mut server, client, T0);
    }
    assert_eq!(
        silence(&discover(4).to(&mut server, T0)),
        Silence::LeaseLimit
    );
    assert_eq!(
        silence(&reboot(4, ip(99)).to(&mut server, T0)),
        Silence::LeaseLimit
    );
    lease(&mut server, 3, T0 + 99);
    // Two have run out: there is room for as many new clients.
    lease(&mut server, 4, T0 + 3600);
    lease(&mut server, 5, T0 + 3600);
    assert_eq!(server.records().count(), 3);
    assert_eq!(
        silence(&discover(6).to(&mut server, T0 + 3600)),
        Silence::LeaseLimit
    );
}

#[test]
fn offers_count_as_leases_to_come() {
    let mut config = config(254);
    config.max_leases = 2;
    let mut server = server(config);
    for client in 1..=2 {
        received(&discover(client).to(&mut server, T0));
    }
    assert_eq!(
        silence(&discover(3).to(&mut server, T0)),
        Silence::LeaseLimit
    );
    received(&discover(3).to(&mut server, T0 + 60));
}
