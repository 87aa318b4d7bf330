//! What the step notes beside its verdict.

use super::*;
use crate::notice::Claimed;

/// All that two stations say: `source` announces that it has `address`.
fn announce(switch: &mut Forwarder, source: (MacAddr, PortId), address: Ipv4Addr, now: Tick) {
    let bytes = arp::announcement(source.0, address);
    let frame = Frame::from_bytes(&bytes);
    switch.begin_burst();
    switch.step(&frame, source.1, now);
}

fn claims(switch: &Forwarder) -> Vec<Claimed> {
    switch.notices.claims().collect()
}

fn claimed(address: Ipv4Addr, holder: MacAddr, by: (MacAddr, PortId)) -> Claimed {
    Claimed {
        address,
        holder,
        by: by.0,
        port: by.1,
    }
}

#[test]
fn a_station_that_comes_in_elsewhere_is_noted_as_moved() {
    let mut switch = switch(true);
    let mut send = |port| {
        switch.begin_burst();
        switch.step(&frame(A.0, B.0), port, NOW);
        switch.notices.moves().collect::<Vec<_>>()
    };
    assert_eq!(send(A.1), []);
    assert_eq!(send(A.1), []);
    let moved = |from, to| Moved {
        mac: A.0,
        vlan: 0,
        from,
        to,
    };
    assert_eq!(send(B.1), [moved(A.1, B.1)]);
    assert_eq!(send(A.1), [moved(B.1, A.1)]);
}

#[test]
fn who_claims_a_leased_address_or_the_gateways_is_noted() {
    for dhcp in [true, false] {
        let mut switch = switch(dhcp);
        switch.arp_mut().bind(LEASED, A.0);
        announce(&mut switch, A, LEASED, NOW);
        assert_eq!(claims(&switch), [], "its own");
        announce(&mut switch, B, LEASED, NOW);
        assert_eq!(claims(&switch), [claimed(LEASED, A.0, B)]);
        announce(&mut switch, B, GATEWAY, NOW);
        assert_eq!(claims(&switch), [claimed(GATEWAY, OWN, B)]);
    }
}

#[test]
fn who_claims_an_address_without_a_lease_is_noted_while_the_other_is_there() {
    let address = Ipv4Addr::new(192, 168, 122, 200);
    let mut switch = switch(true);
    announce(&mut switch, A, address, NOW);
    announce(&mut switch, B, address, NOW);
    assert_eq!(claims(&switch), [claimed(address, A.0, B)]);
    announce(&mut switch, A, address, NOW);
    assert_eq!(claims(&switch), [claimed(address, B.0, A)]);
    // Long ago, or gone.
    announce(&mut switch, B, address, Tick(NOW.0 + 301));
    assert_eq!(claims(&switch), []);
    switch.remove_port(B.1);
    switch.add_port(B.1, Role::Station);
    announce(&mut switch, A, address, Tick(NOW.0 + 302));
    assert_eq!(claims(&switch), []);
}
