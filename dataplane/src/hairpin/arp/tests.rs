use super::*;
use etherparse::{NetSlice, SlicedPacket};

const GATEWAY: (Ipv4Addr, MacAddr) = (
    Ipv4Addr::new(192, 168, 122, 1),
    MacAddr(0x52, 0x54, 0, 0, 0, 1),
);
const LEASED: (Ipv4Addr, MacAddr) = (
    Ipv4Addr::new(192, 168, 122, 7),
    MacAddr(0x52, 0x54, 0, 0, 0, 7),
);
const ASKING: (Ipv4Addr, MacAddr) = (
    Ipv4Addr::new(192, 168, 122, 9),
    MacAddr(0x52, 0x54, 0, 0, 0, 9),
);

const PORT: PortId = PortId(4);
const NOW: Tick = Tick(1000);

fn table() -> ArpTable {
    let mut table = ArpTable::default();
    table.set_gateway(GATEWAY.1, vec![GATEWAY.0], true);
    table.bind(LEASED.0, LEASED.1);
    table
}

fn request_from(sender: (Ipv4Addr, MacAddr), target: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(sender.1.octets());
    frame.extend([8, 6]);
    let packet = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: sender.1.octets(),
        sender_ipv4: sender.0.octets(),
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    };
    frame.extend(packet.to_bytes());
    frame
}

fn ask(table: &ArpTable, frame: &[u8], reachable: bool) -> Option<Answer> {
    table.answer(frame, &Header::parse(frame).unwrap(), |_| reachable)
}

#[test]
fn the_gateway_is_answered_for() {
    let answer = ask(&table(), &request_from(ASKING, GATEWAY.0), false).unwrap();
    let sliced = SlicedPacket::from_ethernet(answer.bytes()).unwrap();
    let Some(NetSlice::Arp(arp)) = sliced.net else {
        panic!("not ARP")
    };
    assert_eq!(arp.operation(), ArpOperation::REPLY);
    assert_eq!(arp.sender_hw_addr(), GATEWAY.1.octets());
    assert_eq!(arp.sender_protocol_addr(), GATEWAY.0.octets());
    assert_eq!(arp.target_hw_addr(), ASKING.1.octets());
    assert_eq!(arp.target_protocol_addr(), ASKING.0.octets());
    assert_eq!(answer.bytes()[..6], ASKING.1.octets());
    assert_eq!(answer.bytes()[6..12], GATEWAY.1.octets());
}

#[test]
fn a_live_lease_is_answered_for_and_a_silent_one_is_not() {
    let frame = request_from(ASKING, LEASED.0);
    let answer = ask(&table(), &frame, true).unwrap();
    assert_eq!(answer.bytes()[6..12], LEASED.1.octets());
    assert_eq!(ask(&table(), &frame, false), None);
}

#[test]
fn a_lease_that_ended_is_not_answered_for() {
    let mut table = table();
    table.unbind(LEASED.0);
    assert_eq!(ask(&table, &request_from(ASKING, LEASED.0), true), None);
}

#[test]
fn a_probe_is_answered_for_anybody_but_the_holder() {
    let other = (Ipv4Addr::UNSPECIFIED, ASKING.1);
    let holder = (Ipv4Addr::UNSPECIFIED, LEASED.1);
    assert!(ask(&table(), &request_from(other, LEASED.0), true).is_some());
    assert_eq!(ask(&table(), &request_from(holder, LEASED.0), true), None);
}

#[test]
fn an_announcement_is_not_answered() {
    let taking_over = (LEASED.0, ASKING.1);
    assert_eq!(
        ask(&table(), &request_from(taking_over, LEASED.0), true),
        None
    );
}

#[test]
fn a_request_that_names_another_sender_is_not_answered() {
    let mut frame = request_from(ASKING, GATEWAY.0);
    frame[11] = 0xaa;
    assert_eq!(ask(&table(), &frame, true), None);
}

#[test]
fn an_answer_carries_the_priority_of_the_request() {
    let mut frame = request_from(ASKING, GATEWAY.0);
    frame.splice(12..12, [0x81, 0, 0x60, 0]);
    let answer = ask(&table(), &frame, true).unwrap();
    assert_eq!(answer.bytes()[12..18], [0x81, 0, 0x60, 0, 8, 6]);
    assert_eq!(answer.bytes().len(), 18 + 28);
}

#[test]
fn a_request_in_another_vlan_is_not_answered() {
    let mut frame = request_from(ASKING, GATEWAY.0);
    frame.splice(12..12, [0x81, 0, 0x60, 5]);
    assert_eq!(ask(&table(), &frame, true), None);
}

fn hear(table: &mut ArpTable, frame: &[u8]) -> Heard {
    let header = Header::parse(frame).unwrap();
    table.hear(frame, &header, PORT, NOW)
}

#[test]
fn the_reply_to_a_probe_is_heard_while_the_probe_is_under_way() {
    let probe = probe(GATEWAY.1, LEASED.0);
    assert_eq!(claim(&probe), None, "it asks");
    let mut table = table();
    let answer = ask(&table, &probe, true).unwrap();
    let answer = answer.bytes();
    assert_eq!(answer[..42], reply(LEASED.1, LEASED.0, GATEWAY.1));
    assert_eq!(claim(answer), Some(LEASED));
    assert_eq!(hear(&mut table, answer), Heard::Nothing);
    table.watch(ASKING.0);
    assert_eq!(hear(&mut table, answer), Heard::Nothing);
    table.watch(LEASED.0);
    assert_eq!(hear(&mut table, answer), Heard::Reply);
    assert_eq!(hear(&mut table, &probe), Heard::Nothing);
    table.unwatch(LEASED.0);
    assert_eq!(hear(&mut table, answer), Heard::Nothing);
}

#[test]
fn whoever_asks_or_announces_claims_its_own_address() {
    let mut table = table();
    table.watch(ASKING.0);
    for target in [GATEWAY.0, ASKING.0] {
        let frame = request_from(ASKING, target);
        assert_eq!(claim(&frame), Some(ASKING));
        assert_eq!(hear(&mut table, &frame), Heard::Claim);
    }
}

#[test]
fn who_uses_an_address_without_a_lease_is_remembered() {
    let mut table = table();
    let speaks = |table: &mut ArpTable, station| {
        hear(table, &request_from(station, GATEWAY.0));
        table.seen(station.0, NOW)
    };
    assert_eq!(speaks(&mut table, ASKING), Some((ASKING.1, PORT)));
    assert_eq!(speaks(&mut table, LEASED), None, "by right");
    // From before the lease and during it nothing is kept against anybody.
    table.bind(ASKING.0, LEASED.1);
    assert_eq!(table.seen(ASKING.0, NOW), None);
    assert_eq!(speaks(&mut table, ASKING), None);
    table.unbind(ASKING.0);
    assert_eq!(table.seen(ASKING.0, NOW), None);
    assert_eq!(speaks(&mut table, ASKING), Some((ASKING.1, PORT)));

    let mut for_another = request_from((LEASED.0, ASKING.1), GATEWAY.0);
    for_another[11] = 0xaa;
    table.unbind(LEASED.0);
    hear(&mut table, &for_another);
    assert_eq!(table.seen(LEASED.0, NOW), None);
    let mut tagged = request_from(LEASED, GATEWAY.0);
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    hear(&mut table, &tagged);
    assert_eq!(table.seen(LEASED.0, NOW), None);
}

#[test]
fn a_reply_in_another_vlan_claims_nothing() {
    let reply = ask(&table(), &probe(GATEWAY.1, LEASED.0), true).unwrap();
    let mut frame = reply.bytes().to_vec();
    frame.splice(12..12, [0x81, 0, 0x60, 0]);
    assert_eq!(claim(&frame), Some(LEASED), "only a priority");
    frame[15] = 5;
    assert_eq!(claim(&frame), None);
}

#[test]
fn a_request_cut_short_is_not_answered() {
    let frame = request_from(ASKING, GATEWAY.0);
    for len in 14..frame.len() {
        assert_eq!(ask(&table(), &frame[..len], true), None, "{len} bytes");
    }
}
