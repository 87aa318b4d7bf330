//! Clients of other subnets, behind relay agents and routers.

use super::*;

/// A range of 10.1.0.0/24.
fn far(first: u8, last: u8) -> Range {
    let ends = Ipv4Addr::new(10, 1, 0, first)..=Ipv4Addr::new(10, 1, 0, last);
    Range {
        subnet: Some("10.1.0.0/24".parse().unwrap()),
        ..Range::new(ends)
    }
}

impl Message {
    /// As a relay agent at `giaddr` sends it on.
    fn relayed(mut self, giaddr: Ipv4Addr) -> Self {
        self.0[24..28].copy_from_slice(&giaddr.octets());
        self
    }
}

#[test]
fn a_relayed_client_is_served_from_its_subnet_and_told_of_it() {
    let mut config = config(254);
    config.ranges.push(far(50, 60));
    let mut server = server(config);
    let agent = Ipv4Addr::new(10, 1, 0, 1);
    let offer = received(&discover(1).relayed(agent).to(&mut server, T0));
    let address = offer.yiaddr;
    assert!((50..=60).contains(&address.octets()[3]), "{address}");
    assert_eq!(address.octets()[..3], [10, 1, 0]);
    assert_eq!(offer.options[&1], [255, 255, 255, 0]);
    assert_eq!(offer.options[&28], [10, 1, 0, 255]);
    assert_eq!(offer.options[&3], agent.octets(), "its agent is its router");
    assert_eq!(offer.destination, Destination::Relay { address: agent });
    let select = select(1, address).relayed(agent);
    assert_eq!(answered(&mut server, select, T0), ACK);
    // It renews by the router, without the agent.
    let renewal = renew(1, address);
    let router = Sender {
        unicast: true,
        ..sender(1, 99)
    };
    let ack = received(&renewal.from(router, &mut server, T0 + 1800));
    assert_eq!(ack.kind, ACK);
    let by_router = Destination::Unicast {
        address,
        mac: mac(99),
    };
    assert_eq!(ack.destination, by_router);
    // Moved here, it rebinds, and is told that this is another network.
    let outcome = renew(1, address).to(&mut server, T0 + 3000);
    assert_eq!(received(&outcome).kind, NAK);
    let nak = received(&outcome).options[&56].clone();
    assert_eq!(nak, b"wrong network");
}

#[test]
fn who_plays_a_relay_agent_ends_no_lease_of_the_servers_own_subnet() {
    let mut config = config(254);
    config.ranges.push(far(50, 60));
    let mut server = server(config);
    let address = lease(&mut server, 1, T0);
    let agent = Ipv4Addr::new(10, 1, 0, 1);
    let release = Message::new(RELEASE, mac(1)).ciaddr(address);
    let decline = Message::new(DECLINE, mac(1)).requested(address);
    for message in [release, decline] {
        for forged in [
            message.clone().relayed(agent),
            message.clone().option(118, &agent.octets()),
        ] {
            let outcome = forged.from(sender(2, 2), &mut server, T0);
            assert_eq!(silence(&outcome), Silence::OtherSender);
        }
    }
    assert_eq!(server.used(), 1);
    // An agent of another subnet speaks for the clients there.
    let offer = received(&discover(3).relayed(agent).to(&mut server, T0)).yiaddr;
    let select = select(3, offer).relayed(agent);
    assert_eq!(answered(&mut server, select, T0), ACK);
    let release = Message::new(RELEASE, mac(3)).ciaddr(offer).relayed(agent);
    let outcome = release.from(sender(2, 99), &mut server, T0);
    assert_eq!(silence(&outcome), Silence::NoAnswerDue);
    assert_eq!(server.used(), 1);
}

#[test]
fn link_selection_goes_before_giaddr() {
    let mut config = config(254);
    config.ranges.push(far(50, 60));
    let mut server = server(config);
    let agent = Ipv4Addr::new(172, 16, 0, 1);
    let relayed = |message: Message| message.relayed(agent);
    let outcome = relayed(discover(1)).to(&mut server, T0);
    assert_eq!(silence(&outcome), Silence::UnknownSubnet);
    let selected = relayed(discover(1)).option(82, &[5, 4, 10, 1, 0, 0]);
    let offer = received(&selected.to(&mut server, T0));
    assert_eq!(offer.yiaddr.octets()[..3], [10, 1, 0]);
    assert_eq!(offer.destination, Destination::Relay { address: agent });
    assert!(!offer.options.contains_key(&3), "the agent is elsewhere");
}

#[test]
fn a_refusal_goes_to_where_a_client_renews_from_by_a_router() {
    let mut config = config(254);
    config.ranges.push(far(50, 60));
    let mut server = server(config);
    let address = Ipv4Addr::new(10, 1, 0, 99);
    let router = Sender {
        unicast: true,
        ..sender(1, 99)
    };
    let nak = received(&renew(1, address).from(router, &mut server, T0));
    let by_router = Destination::Unicast {
        address,
        mac: mac(99),
    };
    assert_eq!((nak.kind, nak.destination), (NAK, by_router));
    assert_eq!((nak.ciaddr, &nak.bytes[10..12]), (address, &[0, 0][..]));
    // To all it is told on this side of the router.
    let outcome = renew(1, address).to(&mut server, T0);
    assert_eq!(received(&outcome).destination, Destination::Broadcast);
}

#[test]
fn a_nak_by_a_relay_has_the_broadcast_flag() {
    let mut config = config(254);
    config.ranges.push(far(50, 60));
    let mut server = server(config);
    let agent = Ipv4Addr::new(10, 1, 0, 1);
    let nak = received(&reboot(1, ip(9)).relayed(agent).to(&mut server, T0));
    assert_eq!(nak.kind, NAK);
    assert_eq!(nak.destination, Destination::Relay { address: agent });
    assert_eq!(nak.bytes[10] & 0x80, 0x80);
}

/// A server on 10.9.0.0/24 that was one on 192.168.122.0/24, and two clients
/// from then.
fn moved() -> (Server, [Ipv4Addr; 2]) {
    let mut server = server(config(254));
    let leases = [1, 2].map(|client| lease(&mut server, client, T0));
    let address = |last| Ipv4Addr::new(10, 9, 0, last);
    let subnet = "10.9.0.0/24".parse().unwrap();
    let mut config = Config::new(address(1), subnet, address(2)..=address(99));
    config.former = vec!["192.168.122.1/24".parse().unwrap()];
    server.reconfigure(config, T0).unwrap();
    (server, leases)
}

#[test]
fn a_client_of_a_former_subnet_is_refused_by_the_server_that_it_knows_and_served_anew() {
    let (mut server, [address, _]) = moved();
    assert_eq!(server.subnet_of(address).to_string(), "192.168.122.0/24");
    for (message, unicast) in [
        (renew(1, address), true),
        (renew(1, address), false),
        (reboot(1, address), false),
        (select(1, address), false),
    ] {
        let sender = Sender {
            unicast,
            ..sender(1, 1)
        };
        let outcome = message.from(sender, &mut server, T0 + 1800);
        let nak = received(&outcome);
        assert_eq!((nak.kind, nak.destination), (NAK, Destination::Broadcast));
        assert_eq!(nak.options[&54], ip(1).octets(), "as the client knows it");
        let Answer::Reply(reply) = &outcome.answer else {
            panic!("no reply");
        };
        assert_eq!(reply.source, ip(1));
    }
    let offer = received(&discover(1).to(&mut server, T0 + 1801));
    assert_eq!(offer.options[&54], [10, 9, 0, 1]);
    let new = Message::new(REQUEST, mac(1))
        .requested(offer.yiaddr)
        .server_id(Ipv4Addr::new(10, 9, 0, 1))
        .to(&mut server, T0 + 1801);
    assert_eq!(received(&new).kind, ACK);
    let live: Vec<_> = server.bindings(T0 + 1802).map(|(it, _)| it).collect();
    assert!(!live.contains(&address) && live.len() == 2, "{live:?}");
}

#[test]
fn a_client_of_a_former_subnet_may_release_its_lease() {
    let (mut server, [_, address]) = moved();
    let release = Message::new(RELEASE, mac(2))
        .ciaddr(address)
        .server_id(ip(1));
    release.to(&mut server, T0 + 9);
    assert!(!server.bindings(T0 + 10).any(|(it, _)| it == address));
}

#[test]
fn another_address_of_the_server_in_the_same_subnet_is_told_at_renewal() {
    let mut server = server(config(254));
    let address = lease(&mut server, 1, T0);
    let mut config = Config::new(ip(254), "192.168.122.0/24".parse().unwrap(), ip(2)..=ip(99));
    config.ranges = vec![Range::new(ip(2)..=ip(253))];
    config.former = vec!["192.168.122.1/24".parse().unwrap()];
    server.reconfigure(config, T0).unwrap();
    let sender = Sender {
        unicast: true,
        ..sender(1, 1)
    };
    let ack = received(&renew(1, address).from(sender, &mut server, T0 + 1800));
    assert_eq!((ack.kind, ack.yiaddr), (ACK, address));
    assert_eq!(ack.options[&54], ip(254).octets());
    assert_eq!(ack.options[&3], ip(254).octets());
}
