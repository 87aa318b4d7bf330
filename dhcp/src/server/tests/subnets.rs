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
