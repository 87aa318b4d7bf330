mod notices;

use super::*;
use crate::hairpin::arp;
use etherparse::{ArpEthIpv4Packet, ArpOperation, PacketBuilder};

const OWN: MacAddr = MacAddr(0x52, 0x54, 0, 0, 0, 1);
const A: (MacAddr, PortId) = (MacAddr(0x52, 0x54, 0, 0, 0, 0xa), PortId(0));
const B: (MacAddr, PortId) = (MacAddr(0x52, 0x54, 0, 0, 0, 0xb), PortId(1));
const LAN: (MacAddr, PortId) = (MacAddr(0x52, 0x54, 0, 0, 0, 0xc), PortId(2));
const NOW: Tick = Tick(100);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 1);
const LEASED: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 7);

/// Ports 0 and 1 with stations, port 2 the uplink, no host interface.
fn switch(dhcp: bool) -> Forwarder {
    let mut switch = Forwarder::new(Settings {
        mac: OWN,
        gateway: Some(GATEWAY),
        mtu: 1500,
        dhcp,
        dns: false,
        ageing: Some(3000),
        fdb_size: 64,
        former_gateways: Vec::new(),
    });
    switch.add_port(A.1, Role::Station);
    switch.add_port(B.1, Role::Station);
    switch.add_port(LAN.1, Role::Uplink);
    switch
}

fn frame(source: MacAddr, destination: MacAddr) -> Frame {
    let mut bytes = destination.octets().to_vec();
    bytes.extend(source.octets());
    bytes.extend([0x88, 0xb5]); // local experimental
    bytes.resize(60, 0);
    Frame::from_bytes(&bytes)
}

fn udp(source: MacAddr, destination: MacAddr, from: u16, to: u16) -> Frame {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(source.octets(), destination.octets())
        .ipv4([0; 4], [255; 4], 64)
        .udp(from, to)
        .write(&mut bytes, b"message")
        .unwrap();
    Frame::from_bytes(&bytes)
}

fn who_has(source: MacAddr, target: Ipv4Addr) -> Frame {
    let mut bytes = vec![0xff; 6];
    bytes.extend(source.octets());
    bytes.extend([8, 6]);
    let packet = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: source.octets(),
        sender_ipv4: [192, 168, 122, 50],
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    };
    bytes.extend(packet.to_bytes());
    Frame::from_bytes(&bytes)
}

fn ports(ports: &[PortId]) -> PortSet {
    let mut set = PortSet::default();
    for port in ports {
        set.insert(*port);
    }
    set
}

#[test]
fn an_unknown_destination_is_flooded_but_never_back() {
    let verdict = switch(false).step(&frame(A.0, B.0), A.1, NOW);
    assert_eq!(verdict, Verdict::Flood(ports(&[B.1, LAN.1])));
}

#[test]
fn a_broadcast_is_flooded_even_where_all_stations_are_known() {
    let mut switch = switch(false);
    switch.step(&frame(B.0, A.0), B.1, NOW);
    let verdict = switch.step(&frame(A.0, MacAddr::broadcast()), A.1, NOW);
    assert_eq!(verdict, Verdict::Flood(ports(&[B.1, LAN.1])));
}

#[test]
fn a_learned_station_gets_its_frames_alone() {
    let mut switch = switch(false);
    switch.step(&frame(B.0, A.0), B.1, NOW);
    assert_eq!(
        switch.step(&frame(A.0, B.0), A.1, NOW),
        Verdict::Unicast(B.1)
    );
}

#[test]
fn a_station_that_moved_is_followed() {
    let mut switch = switch(false);
    switch.step(&frame(B.0, A.0), B.1, NOW);
    switch.step(&frame(B.0, A.0), LAN.1, NOW);
    assert_eq!(
        switch.step(&frame(A.0, B.0), A.1, NOW),
        Verdict::Unicast(LAN.1)
    );
}

#[test]
fn a_frame_for_its_own_side_is_dropped() {
    let mut switch = switch(false);
    switch.step(&frame(B.0, A.0), A.1, NOW);
    assert_eq!(
        switch.step(&frame(A.0, B.0), A.1, NOW),
        Verdict::Drop(DropReason::SamePort)
    );
}

#[test]
fn a_frame_with_nowhere_to_go_is_dropped_by_name() {
    let mut switch = switch(false);
    switch.remove_port(B.1);
    switch.remove_port(LAN.1);
    assert_eq!(
        switch.step(&frame(A.0, B.0), A.1, NOW),
        Verdict::Drop(DropReason::NoEgress)
    );
}

#[test]
fn a_full_table_still_forwards() {
    let mut switch = switch(false);
    for n in 0..200 {
        let station = MacAddr(2, 0, 0, 0, 1, n);
        let verdict = switch.step(&frame(station, B.0), A.1, NOW);
        assert_eq!(verdict, Verdict::Flood(ports(&[B.1, LAN.1])));
    }
    assert_eq!(switch.fdb().refused(), 200 - 64);
}

#[test]
fn nobody_else_may_send_as_the_switch() {
    let mut switch = switch(false);
    assert_eq!(
        switch.step(&frame(OWN, B.0), A.1, NOW),
        Verdict::Drop(DropReason::OwnSource)
    );
    switch.add_port(PortId(9), Role::Host);
    assert!(matches!(
        switch.step(&frame(OWN, B.0), PortId(9), NOW),
        Verdict::Flood(_)
    ));
}

#[test]
fn frames_for_the_switch_go_to_the_host_interface_where_there_is_one() {
    let mut switch = switch(false);
    assert_eq!(
        switch.step(&frame(A.0, OWN), A.1, NOW),
        Verdict::Drop(DropReason::ForSwitch)
    );
    switch.add_port(PortId(9), Role::Host);
    assert_eq!(
        switch.step(&frame(A.0, OWN), A.1, NOW),
        Verdict::Unicast(PortId(9))
    );
}

#[test]
fn the_gateway_answers_arp_only_without_a_host_interface() {
    let mut switch = switch(false);
    assert!(matches!(
        switch.step(&who_has(A.0, GATEWAY), A.1, NOW),
        Verdict::Answer(_)
    ));
    switch.add_port(PortId(9), Role::Host);
    assert!(matches!(
        switch.step(&who_has(A.0, GATEWAY), A.1, NOW),
        Verdict::Flood(_)
    ));
}

#[test]
fn arp_for_a_lease_is_answered_while_its_holder_is_seen_behind_another_port() {
    let mut switch = switch(false);
    switch.arp_mut().bind(LEASED, B.0);
    let asked = who_has(A.0, LEASED);
    assert!(matches!(switch.step(&asked, A.1, NOW), Verdict::Flood(_)));
    switch.step(&frame(B.0, A.0), B.1, NOW);
    assert!(matches!(switch.step(&asked, A.1, NOW), Verdict::Answer(_)));
    assert!(matches!(switch.step(&asked, B.1, NOW), Verdict::Flood(_)));
}

#[test]
fn a_client_message_goes_to_the_embedded_server_alone() {
    let discover = udp(A.0, MacAddr::broadcast(), 68, 67);
    assert_eq!(switch(true).step(&discover, A.1, NOW), Verdict::Punt);
    let renewal = udp(A.0, OWN, 68, 67);
    assert_eq!(switch(true).step(&renewal, A.1, NOW), Verdict::Punt);
    assert!(matches!(
        switch(false).step(&discover, A.1, NOW),
        Verdict::Flood(_)
    ));
}

#[test]
fn a_port_without_dhcp_has_its_messages_forwarded_like_others() {
    let mut switch = switch(true);
    let discover = udp(A.0, MacAddr::broadcast(), 68, 67);
    switch.set_dhcp(A.1, false);
    let flooded = switch.step(&discover, A.1, NOW);
    assert!(matches!(flooded, Verdict::Flood(_)), "{flooded:?}");
    switch.set_dhcp(A.1, true);
    assert_eq!(switch.step(&discover, A.1, NOW), Verdict::Punt);
}

#[test]
fn a_message_that_is_routed_through_the_gateway_goes_on() {
    let mut relayed = Vec::new();
    PacketBuilder::ethernet2(A.0.octets(), OWN.octets())
        .ipv4([192, 168, 122, 9], [10, 9, 9, 9], 64)
        .udp(67, 67)
        .write(&mut relayed, b"message")
        .unwrap();
    let mut switch = switch(true);
    switch.add_port(PortId(9), Role::Host);
    assert_eq!(
        switch.step(&Frame::from_bytes(&relayed), A.1, NOW),
        Verdict::Unicast(PortId(9))
    );
}

#[test]
fn dhcp_in_a_vlan_goes_to_other_guests_but_not_to_the_embedded_server() {
    let mut tagged = udp(A.0, MacAddr::broadcast(), 68, 67);
    tagged.insert_vlan_tag(ethernet::VLAN, 7);
    assert_eq!(
        switch(true).step(&tagged, A.1, NOW),
        Verdict::Flood(ports(&[B.1]))
    );
}

#[test]
fn dhcp_does_not_cross_the_uplink_while_the_embedded_server_is_on() {
    let mut switch = switch(true);
    switch.step(&frame(LAN.0, A.0), LAN.1, NOW);
    for (message, ingress) in [
        (udp(LAN.0, MacAddr::broadcast(), 68, 67), LAN.1),
        (udp(LAN.0, MacAddr::broadcast(), 67, 68), LAN.1),
        (udp(A.0, LAN.0, 68, 67), A.1),
    ] {
        assert_eq!(
            switch.step(&message, ingress, NOW),
            Verdict::Drop(DropReason::DhcpUplink)
        );
    }
    let to_unknown = udp(A.0, MacAddr(2, 2, 2, 2, 2, 2), 68, 67);
    assert_eq!(
        switch.step(&to_unknown, A.1, NOW),
        Verdict::Flood(ports(&[B.1]))
    );
}

/// An ARP packet from B, which says that it has [`LEASED`].
fn claim(operation: ArpOperation, to: MacAddr) -> Frame {
    let mut bytes = to.octets().to_vec();
    bytes.extend(B.0.octets());
    bytes.extend([8, 6]);
    let packet = ArpEthIpv4Packet {
        operation,
        sender_mac: B.0.octets(),
        sender_ipv4: LEASED.octets(),
        target_mac: to.octets(),
        target_ipv4: [0; 4],
    };
    bytes.extend(packet.to_bytes());
    Frame::from_bytes(&bytes)
}

#[test]
fn a_reply_to_a_probe_goes_to_the_responder_and_only_then() {
    let reply = claim(ArpOperation::REPLY, OWN);
    let mut switch = switch(true);
    let host = PortId(3);
    switch.add_port(host, Role::Host);
    switch.arp_mut().watch(LEASED);
    assert_eq!(switch.step(&reply, B.1, NOW), Verdict::Punt);
    assert_eq!(switch.step(&reply, host, NOW), Verdict::Punt);
    assert!(!switch.take_overheard());
    switch.arp_mut().unwatch(LEASED);
    assert_eq!(switch.step(&reply, B.1, NOW), Verdict::Unicast(host));
    assert!(!switch.take_overheard());
}

#[test]
fn who_claims_a_probed_address_to_others_is_overheard() {
    let all = MacAddr::broadcast();
    let mut switch = switch(true);
    let host = PortId(3);
    switch.add_port(host, Role::Host);
    switch.step(&frame(A.0, B.0), A.1, NOW);
    let others = ports(&[A.1, LAN.1, host]);
    for (to, verdict) in [
        (A.0, Verdict::Unicast(A.1)),
        (all, Verdict::Flood(others)),
        (OWN, Verdict::Unicast(host)),
    ] {
        let request = claim(ArpOperation::REQUEST, to);
        assert_eq!(switch.step(&request, B.1, NOW), verdict);
        assert!(!switch.take_overheard(), "nobody asks");
        switch.arp_mut().watch(LEASED);
        assert_eq!(switch.step(&request, B.1, NOW), verdict);
        assert!(switch.take_overheard());
        assert!(!switch.take_overheard(), "once");
        switch.arp_mut().unwatch(LEASED);
    }
    switch.arp_mut().watch(LEASED);
    switch.step(&claim(ArpOperation::REPLY, all), B.1, NOW);
    assert!(switch.take_overheard(), "RFC 5227 §2.6: some reply to all");
}

#[test]
fn a_station_seen_with_an_address_counts_while_it_is_behind_its_port() {
    let mut switch = switch(true);
    let all = MacAddr::broadcast();
    assert_eq!(switch.seen(LEASED, NOW), None);
    switch.step(&claim(ArpOperation::REQUEST, all), B.1, NOW);
    assert_eq!(switch.seen(LEASED, NOW), Some(B));
    switch.step(&frame(B.0, all), A.1, NOW);
    assert_eq!(switch.seen(LEASED, NOW), None, "it moved");
    switch.step(&claim(ArpOperation::REQUEST, all), B.1, NOW);
    assert_eq!(switch.seen(LEASED, NOW), Some(B));
    switch.remove_port(B.1);
    assert_eq!(switch.seen(LEASED, NOW), None, "its port is gone");
}
