//! Each message in each state (RFC 2131 §4.3).

use super::*;
use crate::lease::LeaseState;
use crate::outcome::{Event, Refusal};

/// The state of the only address held, and until when.
fn held(server: &Server, now: u64) -> Vec<(Ipv4Addr, LeaseState, u64)> {
    let views = server.leases(now);
    views.map(|v| (v.address, v.state, v.expiry)).collect()
}

#[test]
fn discover_is_offered_an_address_that_is_held_for_a_minute() {
    let mut server = server(config(254));
    let outcome = discover(1).to(&mut server, T0);
    let offer = received(&outcome);
    assert_eq!(offer.kind, OFFER);
    assert_eq!(offer.ciaddr, Ipv4Addr::UNSPECIFIED);
    assert_eq!(offer.siaddr, ip(1));
    assert_eq!(outcome.changes, [], "an offer is not written down");
    assert_eq!(
        outcome.events,
        [Event::Offered {
            mac: mac(1),
            address: offer.yiaddr
        }]
    );
    assert_eq!(
        held(&server, T0),
        [(offer.yiaddr, LeaseState::Offered, T0 + 60)]
    );
    server.expire(T0 + 60);
    assert_eq!(held(&server, T0 + 60), []);
}

#[test]
fn selecting_binds_the_offered_address() {
    let mut server = server(config(254));
    let offer = received(&discover(1).to(&mut server, T0));
    let outcome = select(1, offer.yiaddr).to(&mut server, T0 + 1);
    let ack = received(&outcome);
    assert_eq!((ack.kind, ack.yiaddr), (ACK, offer.yiaddr));
    let [change] = &outcome.changes[..] else {
        panic!("{outcome:?}");
    };
    assert_eq!(change.before, None);
    let lease = change.after.as_ref().unwrap();
    assert_eq!((lease.mac, lease.address), (mac(1), offer.yiaddr));
    assert_eq!(lease.expiry, T0 + 1 + 3600);
    assert_eq!(
        outcome.events,
        [Event::Bound {
            mac: mac(1),
            address: offer.yiaddr
        }]
    );
    assert_eq!(
        held(&server, T0 + 1),
        [(offer.yiaddr, LeaseState::Bound, T0 + 3601)]
    );
    assert_eq!(server.used(), 1);
    let bindings: Vec<_> = server.bindings(T0 + 1).collect();
    assert_eq!(bindings, [(offer.yiaddr, mac(1))]);
}

#[test]
fn selecting_another_server_frees_the_offer_in_silence() {
    let mut server = server(config(254));
    let offer = received(&discover(1).to(&mut server, T0));
    let chosen = reboot(1, offer.yiaddr).server_id(ip(200));
    assert_eq!(silence(&chosen.to(&mut server, T0)), Silence::OtherServer);
    assert_eq!(held(&server, T0), []);
}

#[test]
fn selecting_survives_a_restart_between_offer_and_request() {
    let address = received(&discover(1).to(&mut server(config(254)), T0)).yiaddr;
    let mut restarted = server(config(254));
    assert_eq!(answered(&mut restarted, select(1, address), T0), ACK);
}

#[test]
fn a_request_again_gets_the_same_ack_again() {
    let mut server = server(config(254));
    let address = lease(&mut server, 1, T0);
    let again = select(1, address).to(&mut server, T0 + 5);
    assert_eq!(
        (received(&again).kind, received(&again).yiaddr),
        (ACK, address)
    );
    assert_eq!(server.used(), 1);
}

#[test]
fn init_reboot_is_acked_for_the_right_address_only() {
    let mut server = server(config(254));
    let address = lease(&mut server, 1, T0);
    assert_eq!(answered(&mut server, reboot(1, address), T0 + 9), ACK);

    let other = ip(if address == ip(77) { 78 } else { 77 });
    let outcome = reboot(1, other).to(&mut server, T0 + 9);
    assert_eq!(received(&outcome).kind, NAK);
    assert_eq!(outcome.changes, []);
    assert_eq!(
        outcome.events,
        [Event::Refused {
            mac: mac(1),
            address: other,
            refusal: Refusal::WrongAddress
        }]
    );
}

#[test]
fn an_unknown_clients_init_reboot_is_naked_unless_the_address_is_free() {
    let mut server = server(config(99));
    let taken = lease(&mut server, 1, T0);
    for (address, refusal) in [
        (Ipv4Addr::new(10, 0, 0, 9), Refusal::WrongSubnet),
        (ip(200), Refusal::NotServed),
        (ip(1), Refusal::NotServed),
        (ip(255), Refusal::NotServed),
        (taken, Refusal::InUse),
    ] {
        let nak = received(&reboot(9, address).to(&mut server, T0));
        assert_eq!(nak.kind, NAK, "{address}");
        assert_eq!(
            nak.options[&56],
            refusal.name().replace('-', " ").as_bytes()
        );
    }
    let free = ip(if taken == ip(50) { 51 } else { 50 });
    assert_eq!(answered(&mut server, reboot(9, free), T0), ACK);
}

#[test]
fn renewing_extends_the_lease() {
    let mut server = server(config(254));
    let address = lease(&mut server, 1, T0);
    let outcome = renew(1, address).to(&mut server, T0 + 1800);
    let ack = received(&outcome);
    assert_eq!((ack.kind, ack.yiaddr, ack.ciaddr), (ACK, address, address));
    let change = &outcome.changes[0];
    assert_eq!(change.before.as_ref().unwrap().expiry, T0 + 3600);
    assert_eq!(change.after.as_ref().unwrap().expiry, T0 + 5400);
    assert_eq!(
        outcome.events,
        [Event::Renewed {
            mac: mac(1),
            address
        }]
    );
}

#[test]
fn a_renewal_just_after_another_is_acked_by_the_record_and_changes_nothing() {
    let mut server = server(config(254));
    let address = lease(&mut server, 1, T0);
    for message in [select(1, address), reboot(1, address), renew(1, address)] {
        let outcome = message.to(&mut server, T0 + 59);
        let ack = received(&outcome);
        assert_eq!((ack.kind, ack.yiaddr), (ACK, address));
        assert_eq!(ack.options[&51], 3541_u32.to_be_bytes());
        assert_eq!(ack.options[&58], 1770_u32.to_be_bytes());
        assert_eq!(outcome.changes, []);
        let event = Event::Renewed {
            mac: mac(1),
            address,
        };
        assert_eq!(outcome.events, [event]);
    }
    assert_eq!(
        held(&server, T0 + 59),
        [(address, LeaseState::Bound, T0 + 3600)]
    );
    let later = renew(1, address).to(&mut server, T0 + 60);
    assert_eq!(received(&later).options[&51], 3600_u32.to_be_bytes());
    assert_eq!(later.changes.len(), 1);
}

#[test]
fn of_a_short_lease_an_eighth_may_have_passed() {
    let mut config = config(254);
    config.lease_time = crate::LeaseTime::Seconds(120);
    let mut server = server(config);
    let address = lease(&mut server, 1, T0);
    assert_eq!(renew(1, address).to(&mut server, T0 + 14).changes, []);
    let later = renew(1, address).to(&mut server, T0 + 15);
    assert_eq!(later.changes.len(), 1);
}

#[test]
fn a_lease_without_end_is_written_once() {
    let mut config = config(254);
    config.lease_time = crate::LeaseTime::Infinite;
    let mut server = server(config);
    let address = lease(&mut server, 1, T0);
    let renewal = renew(1, address).to(&mut server, T0 + 99_999);
    assert_eq!(received(&renewal).options[&51], [255; 4]);
    assert_eq!(renewal.changes, []);
}

#[test]
fn a_renewal_that_changes_more_than_the_time_is_written_at_once() {
    let mut server = server(config(254));
    let address = lease(&mut server, 1, T0);
    for message in [
        renew(1, address).option(12, b"db"),
        renew(1, address).option(61, &[0, 7]),
        renew(1, address).option(51, &600_u32.to_be_bytes()),
        renew(1, address),
    ] {
        let outcome = message.to(&mut server, T0 + 1);
        assert_eq!(received(&outcome).kind, ACK);
        assert_eq!(outcome.changes.len(), 1, "{outcome:?}");
    }
    // A clock set back: the record says more than the client may have.
    let earlier = renew(1, address).to(&mut server, T0 - 999);
    assert_eq!(earlier.changes.len(), 1);
}

#[test]
fn rebinding_recovers_a_lease_that_the_server_lost() {
    let mut server = server(config(254));
    assert_eq!(answered(&mut server, renew(1, ip(42)), T0), ACK);
    assert_eq!(held(&server, T0), [(ip(42), LeaseState::Bound, T0 + 3600)]);
    assert_eq!(answered(&mut server, renew(2, ip(42)), T0), NAK);
}

#[test]
fn a_request_about_no_address_is_not_answered() {
    let mut server = server(config(254));
    let outcome = Message::new(REQUEST, mac(1)).to(&mut server, T0);
    assert_eq!(silence(&outcome), Silence::NoAddress);
}

#[test]
fn a_declined_address_is_put_aside_for_ten_minutes() {
    let mut server = server(config(3));
    let address = lease(&mut server, 1, T0);
    let decline = Message::new(DECLINE, mac(1))
        .requested(address)
        .server_id(ip(1));
    let outcome = decline.to(&mut server, T0 + 1);
    assert_eq!(silence(&outcome), Silence::NoAnswerDue);
    assert_eq!(outcome.changes[0].after, None);
    assert_eq!(
        held(&server, T0 + 1),
        [(address, LeaseState::Declined, T0 + 601)]
    );
    let other = lease(&mut server, 1, T0 + 1);
    assert_ne!(other, address);
    assert_eq!(
        silence(&discover(2).to(&mut server, T0 + 600)),
        Silence::RangeExhausted
    );
    assert_eq!(answered(&mut server, reboot(3, address), T0 + 600), NAK);
    assert_eq!(lease(&mut server, 2, T0 + 601), address);
}

#[test]
fn nobody_can_decline_or_release_the_address_of_another() {
    let mut server = server(config(254));
    let address = lease(&mut server, 1, T0);
    let decline = Message::new(DECLINE, mac(2))
        .requested(address)
        .server_id(ip(1));
    assert_eq!(silence(&decline.to(&mut server, T0)), Silence::NotHeld);
    let release = Message::new(RELEASE, mac(2)).ciaddr(address);
    assert_eq!(silence(&release.to(&mut server, T0)), Silence::NotHeld);
    let release = Message::new(RELEASE, mac(1)).ciaddr(address);
    let release = release.server_id(ip(9));
    assert_eq!(silence(&release.to(&mut server, T0)), Silence::OtherServer);
    assert_eq!(server.used(), 1);
}

#[test]
fn a_station_cannot_decline_or_release_in_the_name_of_another() {
    let mut server = server(config(254));
    let address = lease(&mut server, 1, T0);
    let decline = Message::new(DECLINE, mac(1)).requested(address);
    let release = Message::new(RELEASE, mac(1)).ciaddr(address);
    for message in [decline, release.clone()] {
        // From another port, and from a neighbour behind the same one.
        for port in [1, 2] {
            let outcome = message.clone().from(sender(port, 2), &mut server, T0);
            assert_eq!(silence(&outcome), Silence::OtherSender);
            assert_eq!((outcome.changes, outcome.events), (vec![], vec![]));
        }
    }
    assert_eq!(held(&server, T0), [(address, LeaseState::Bound, T0 + 3600)]);
    let own = release.from(sender(1, 1), &mut server, T0);
    assert_eq!(silence(&own), Silence::NoAnswerDue);
}

#[test]
fn a_released_address_is_remembered_for_its_client() {
    let mut server = server(config(254));
    let address = lease(&mut server, 1, T0);
    let release = Message::new(RELEASE, mac(1))
        .ciaddr(address)
        .server_id(ip(1));
    let outcome = release.clone().to(&mut server, T0 + 9);
    assert_eq!(silence(&outcome), Silence::NoAnswerDue);
    assert_eq!(outcome.changes[0].after.as_ref().unwrap().expiry, T0 + 9);
    assert_eq!(
        held(&server, T0 + 9),
        [(address, LeaseState::Expired, T0 + 9)]
    );
    assert_eq!(server.used(), 0);
    assert_eq!(
        silence(&release.to(&mut server, T0 + 9)),
        Silence::NotHeld,
        "a second time there is nothing to release"
    );
    assert_eq!(lease(&mut server, 1, T0 + 10), address);
}

#[test]
fn inform_gets_parameters_but_neither_address_nor_time() {
    let mut server = server(config(99));
    let outcome = Message::new(INFORM, mac(1))
        .ciaddr(ip(200))
        .to(&mut server, T0);
    let ack = received(&outcome);
    assert_eq!((ack.kind, ack.ciaddr), (ACK, ip(200)));
    assert_eq!(ack.yiaddr, Ipv4Addr::UNSPECIFIED);
    for code in [51, 58, 59] {
        assert!(!ack.options.contains_key(&code), "option {code}");
    }
    assert_eq!(ack.options[&3], ip(1).octets());
    assert_eq!(outcome.changes, []);
    assert_eq!(held(&server, T0), []);

    let elsewhere = Message::new(INFORM, mac(1)).ciaddr(Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(
        silence(&elsewhere.to(&mut server, T0)),
        Silence::WrongSubnet
    );
    let nowhere = Message::new(INFORM, mac(1));
    assert_eq!(silence(&nowhere.to(&mut server, T0)), Silence::NoAddress);
}
