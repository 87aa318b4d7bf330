//! Replies by way of a relay agent.

use super::*;
use crate::options::Setting;

/// The agent's address.
const AGENT: u8 = 250;
/// Circuit "eth1", remote "ab".
const INFO: &[u8] = b"\x01\x04eth1\x02\x02ab";

fn relayed(mut message: Message) -> Message {
    message.0[24..28].copy_from_slice(&ip(AGENT).octets());
    message
}

#[test]
fn a_reply_goes_to_the_agent_with_what_it_said_last() {
    let mut server = server(config(200));
    for message in [
        discover(1),
        reboot(1, ip(42)).broadcast(),
        renew(1, ip(42)).option(55, &[3, 6]),
    ] {
        let reply = received(&relayed(message).option(82, INFO).to(&mut server, T0));
        let agent = Destination::Relay { address: ip(AGENT) };
        assert_eq!(reply.destination, agent);
        assert_eq!(reply.bytes[24..28], ip(AGENT).octets());
        assert_eq!(reply.options[&82], INFO);
        assert_eq!(reply.order.last(), Some(&82));
    }
}

#[test]
fn a_nak_by_an_agent_asks_it_to_broadcast() {
    let message = reboot(1, Ipv4Addr::new(10, 0, 0, 9)).option(82, INFO);
    let nak = received(&relayed(message).to(&mut server(config(200)), T0));
    assert_eq!(nak.kind, NAK);
    assert_eq!(nak.destination, Destination::Relay { address: ip(AGENT) });
    assert_eq!(nak.bytes[10..12], [0x80, 0]);
    assert_eq!(nak.order, [53, 54, 56, 82]);
}

#[test]
fn what_an_agent_says_keeps_its_place_in_a_full_message() {
    let mut config = config(200);
    config.options = (224..232)
        .map(|code| (code, vec![code; 90]).into())
        .collect();
    let info: Vec<u8> = [&[1, 253], &[7; 253][..]].concat();
    let message = relayed(reboot(1, ip(42))).option(82, &info);
    let outcome = message
        .option(55, &[224, 225, 226, 227])
        .to(&mut server(config), T0);
    let ack = received(&outcome);
    assert!(ack.bytes.len() <= 548);
    assert_eq!((&ack.options[&82], ack.order.last()), (&info, Some(&82)));
    assert_eq!(
        ack.options[&52],
        [1],
        "one of them stands in the field `file`"
    );
}

#[test]
fn information_longer_than_an_option_is_not_given_back() {
    let half = [9; 200];
    let message = relayed(discover(1)).option(82, &half).option(82, &half);
    let outcome = message.to(&mut server(config(200)), T0);
    assert!(!received(&outcome).options.contains_key(&82));
    let (mac, codes) = (mac(1), vec![82]);
    assert!(
        outcome
            .events
            .contains(&crate::Event::OptionsLeftOut { mac, codes })
    );
}

#[test]
fn an_agent_can_have_the_server_known_by_another_address() {
    let mut server = server(config(200));
    let other = Ipv4Addr::new(10, 1, 0, 1);
    let info = [&[11, 4][..], &other.octets()].concat();
    let offer = received(&relayed(discover(1)).option(82, &info).to(&mut server, T0));
    assert_eq!(offer.options[&54], other.octets());
    let select = |id| reboot(1, offer.yiaddr).server_id(id).option(82, &info);
    for id in [other, ip(1)] {
        assert_eq!(answered(&mut server, relayed(select(id)), T0), ACK);
    }
    let stranger = relayed(select(ip(7))).to(&mut server, T0);
    assert_eq!(silence(&stranger), Silence::OtherServer);
}

#[test]
fn a_client_cannot_do_the_same_for_itself() {
    let info = [&[11, 4][..], &[10, 1, 0, 1]].concat();
    let offer = received(
        &discover(1)
            .option(82, &info)
            .to(&mut server(config(200)), T0),
    );
    assert_eq!(offer.options[&54], ip(1).octets());
    assert_eq!(offer.options[&82], info);
}

/// An agent on 10.1.0.0/24, of which [`beyond`] serves a range.
const FAR_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// A client's address there.
const FAR: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 50);

fn beyond() -> Config {
    let mut config = config(200);
    config.ranges.push(Range {
        subnet: Some("10.1.0.0/24".parse().unwrap()),
        ..Range::new(FAR..=Ipv4Addr::new(10, 1, 0, 60))
    });
    config
}

/// Sent on by an agent at `agent`, behind port `origin`.
fn by_agent(mut message: Message, agent: Ipv4Addr, origin: u32, server: &mut Server) -> Outcome {
    message.0[24..28].copy_from_slice(&agent.octets());
    message.from(sender(origin, 99), server, T0)
}

/// Sent to the server alone, and brought by a router behind port `origin`.
fn by_router(message: Message, origin: u32, server: &mut Server) -> Outcome {
    let router = Sender {
        unicast: true,
        ..sender(origin, 99)
    };
    message.from(router, server, T0 + 1800)
}

/// The router that an ACK tells of.
fn router(outcome: &Outcome) -> Option<Vec<u8>> {
    let ack = received(outcome);
    assert_eq!(ack.kind, ACK);
    ack.options.get(&3).cloned()
}

#[test]
fn a_client_that_renews_without_its_agent_is_told_the_same_router() {
    let mut server = server(beyond());
    let first = by_agent(reboot(1, FAR), FAR_AGENT, 7, &mut server);
    assert_eq!(router(&first), Some(FAR_AGENT.octets().to_vec()));
    let renewed = by_router(renew(1, FAR), 7, &mut server);
    assert_eq!(router(&renewed), router(&first));
    assert_eq!(received(&renewed).options[&1], [255, 255, 255, 0]);
    // A reload forgets nothing of a subnet that is still served.
    server.reconfigure(beyond(), T0).unwrap();
    let renewed = by_router(renew(1, FAR), 7, &mut server);
    assert_eq!(router(&renewed), router(&first));
}

#[test]
fn a_client_keeps_its_router_after_a_restart_and_rebinds_where_it_is_unknown() {
    let mut before = server(beyond());
    by_agent(reboot(1, FAR), FAR_AGENT, 7, &mut before);
    let leases: Vec<_> = before.records().cloned().collect();
    let mut server = Server::new(beyond(), leases.clone(), 7, T0).unwrap();
    let silent = by_router(renew(1, FAR), 7, &mut server);
    assert_eq!(silence(&silent), Silence::AgentUnknown);
    assert_eq!(silent.changes, []);
    // One that asks for no router loses none.
    let modest = by_router(renew(1, FAR).option(55, &[1, 6]), 7, &mut server);
    assert_eq!(router(&modest), None);
    // Whoever is there asks by the agent next.
    let rebound = by_agent(renew(1, FAR), FAR_AGENT, 7, &mut server);
    assert_eq!(router(&rebound), Some(FAR_AGENT.octets().to_vec()));
    assert_eq!(
        router(&by_router(renew(1, FAR), 7, &mut server)),
        router(&rebound)
    );

    // A router that is configured needs no agent.
    for configure in [
        |config: &mut Config| config.ranges[1].router = Some(FAR_AGENT),
        |config: &mut Config| config.options = vec![Setting::from((3, vec![10, 1, 0, 1]))],
    ] {
        let mut config = beyond();
        configure(&mut config);
        let mut server = Server::new(config, leases.clone(), 7, T0).unwrap();
        let renewed = by_router(renew(1, FAR), 7, &mut server);
        assert_eq!(router(&renewed), Some(FAR_AGENT.octets().to_vec()));
    }
}

#[test]
fn an_agent_counts_for_who_comes_by_its_port_alone() {
    let mut server = server(beyond());
    by_agent(reboot(1, FAR), FAR_AGENT, 7, &mut server);
    let forged = Ipv4Addr::new(10, 1, 0, 66);
    by_agent(discover(2), forged, 8, &mut server);
    let renewed = by_router(renew(1, FAR), 7, &mut server);
    assert_eq!(router(&renewed), Some(FAR_AGENT.octets().to_vec()));
    server.name_origin(Origin(7), None);
    let renewed = by_router(renew(1, FAR), 7, &mut server);
    assert_eq!(silence(&renewed), Silence::AgentUnknown);
}

#[test]
fn an_agent_on_another_subnet_is_no_router_by_a_renewal_either() {
    let mut server = server(beyond());
    let selected = reboot(1, FAR).option(82, &[5, 4, 10, 1, 0, 0]);
    let elsewhere = Ipv4Addr::new(172, 16, 0, 1);
    assert_eq!(router(&by_agent(selected, elsewhere, 7, &mut server)), None);
    assert_eq!(router(&by_router(renew(1, FAR), 7, &mut server)), None);
}
