//! What one port can keep from the others.

use super::*;
use crate::lease::LeaseState;
use crate::outcome::Event;

/// The addresses in `state`.
fn count(server: &Server, state: LeaseState) -> usize {
    server.leases(T0).filter(|v| v.state == state).count()
}

/// A DISCOVER of each of `clients` by port `origin`, each from an address of
/// its own: how many are offered one.
fn discovers(server: &mut Server, clients: std::ops::Range<u8>, origin: u32) -> usize {
    let offered = |client| {
        let outcome = discover(client).from(sender(origin, client), server, T0);
        match outcome.answer {
            Answer::Reply(_) | Answer::Probe(_) => true,
            Answer::Silence(silence) => {
                assert_eq!(silence, Silence::OriginLimit);
                false
            }
        }
    };
    clients.map(offered).filter(|offered| *offered).count()
}

/// DISCOVER and DECLINE of `client` by port `origin`.
fn decline(server: &mut Server, client: u8, origin: u32) -> (Ipv4Addr, Outcome) {
    let sender = sender(origin, client);
    let address = received(&discover(client).from(sender, server, T0)).yiaddr;
    let decline = Message::new(DECLINE, mac(client)).requested(address);
    (address, decline.from(sender, server, T0))
}

#[test]
fn invented_clients_of_one_port_are_offered_a_quarter_of_the_range() {
    // 200 addresses.
    let mut server = server(config(201));
    assert_eq!(discovers(&mut server, 1..201, 1), 50);
    assert_eq!(count(&server, LeaseState::Offered), 50);
    // Who has an offer gets it again; a client of another port gets its own.
    assert_eq!(discovers(&mut server, 1..51, 1), 50);
    assert_eq!(discovers(&mut server, 201..206, 2), 5);
    // There is room again as offers are taken up, or end.
    let address = received(&discover(1).from(sender(1, 1), &mut server, T0)).yiaddr;
    let ack = select(1, address).from(sender(1, 1), &mut server, T0);
    assert_eq!(received(&ack).kind, ACK);
    assert_eq!(discovers(&mut server, 100..102, 1), 1);
    received(&discover(150).from(sender(1, 150), &mut server, T0 + 60));
}

#[test]
fn an_offer_counts_where_its_client_is_now() {
    let mut server = server(config(201));
    assert_eq!(discovers(&mut server, 1..51, 1), 50);
    assert_eq!(discovers(&mut server, 1..11, 2), 10);
    assert_eq!(count(&server, LeaseState::Offered), 50);
    assert_eq!(discovers(&mut server, 60..80, 1), 10);
}

#[test]
fn a_client_with_a_lease_is_answered_whatever_its_port_has_on_offer() {
    let mut server = server(config(201));
    let address = lease(&mut server, 1, T0);
    assert_eq!(discovers(&mut server, 100..200, 1), 50);
    assert_eq!(lease(&mut server, 1, T0), address);
}

#[test]
fn invented_clients_of_one_port_can_put_a_sixteenth_of_the_range_aside() {
    let mut server = server(config(201));
    for client in 1..200 {
        let (address, outcome) = decline(&mut server, client, 1);
        let event = Event::Declined {
            mac: mac(client),
            address,
            put_aside: client <= 12,
        };
        assert_eq!(silence(&outcome), Silence::NoAnswerDue);
        assert_eq!(outcome.events, [event]);
    }
    assert_eq!(count(&server, LeaseState::Declined), 12);
    assert_eq!(count(&server, LeaseState::Offered), 0);
    // Another port's declined address is put aside still.
    decline(&mut server, 200, 2);
    assert_eq!(count(&server, LeaseState::Declined), 13);
}

#[test]
fn a_small_range_has_room_for_a_few_of_one_port() {
    let mut server = server(config(21));
    assert_eq!(discovers(&mut server, 1..21, 1), 8);
    for client in 1..9 {
        decline(&mut server, client, 1);
    }
    assert_eq!(count(&server, LeaseState::Declined), 4);
}

#[test]
fn a_decline_that_could_not_be_written_is_undone_whole() {
    let mut server = server(config(201));
    let address = lease(&mut server, 1, T0);
    for _ in 0..20 {
        let message = Message::new(DECLINE, mac(1)).requested(address);
        let outcome = message.to(&mut server, T0);
        assert_eq!(count(&server, LeaseState::Declined), 1);
        server.undo(&outcome.changes[0], T0);
        assert_eq!(count(&server, LeaseState::Declined), 0);
    }
    assert_eq!(answered(&mut server, renew(1, address), T0), ACK);
}

#[test]
fn forty_thousand_clients_of_one_port_get_their_leases() {
    let server_address = Ipv4Addr::new(10, 0, 0, 1);
    let subnet = "10.0.0.0/16".parse().unwrap();
    let range = Ipv4Addr::new(10, 0, 0, 2)..=Ipv4Addr::new(10, 0, 255, 254);
    let mut config = Config::new(server_address, subnet, range);
    config.max_leases = 60_000;
    let mut server = Server::new(config, [], 7, T0).unwrap();
    for number in 0..40_000_u32 {
        let [_, b, c, d] = number.to_be_bytes();
        let sender = Sender {
            origin: Origin(1),
            mac: MacAddr(2, 0, 0, b, c, d),
            unicast: false,
        };
        let now = T0 + u64::from(number / 8000);
        let offer = Message::new(DISCOVER, sender.mac).from(sender, &mut server, now);
        // One REQUEST in fifty is lost.
        if number % 50 != 0 {
            let request = Message::new(REQUEST, sender.mac)
                .requested(received(&offer).yiaddr)
                .server_id(server_address);
            assert_eq!(received(&request.from(sender, &mut server, now)).kind, ACK);
        }
    }
    assert_eq!(server.used(), 40_000 - 800);
}
