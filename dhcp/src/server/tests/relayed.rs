//! Replies by way of a relay agent.

use super::*;

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
