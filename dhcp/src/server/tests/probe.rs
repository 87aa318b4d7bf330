//! The conflict probe before an offer.

use super::*;
use crate::outcome::Event;
use crate::probe::{Claimant, Probe};

/// A station that uses addresses unasked.
const SQUATTER: u8 = 99;

/// Serves .2 to `last` in order, with probes.
fn asking(last: u8) -> Server {
    server(Config {
        sequential: true,
        probe: true,
        ..config(last)
    })
}

fn probe(outcome: &Outcome) -> Probe {
    assert_eq!(outcome.changes, []);
    match &outcome.answer {
        Answer::Probe(probe) => *probe,
        _ => panic!("no probe: {outcome:?}"),
    }
}

/// The station `mac(last)`, which answers behind the port of that number.
fn claimant(last: u8) -> Claimant {
    Claimant {
        mac: mac(last),
        origin: Origin(last.into()),
    }
}

impl Message {
    /// Goes on after `probe`, which `user` has answered.
    fn after(self, probe: Probe, user: Option<u8>, server: &mut Server, now: u64) -> Outcome {
        let last = self.0[33];
        let sender = sender(last.into(), last);
        server.probed(probe, user.map(claimant), &self.bytes(), sender, now)
    }
}

#[test]
fn an_address_that_nobody_answers_for_is_offered_and_leased() {
    let mut server = asking(20);
    let asked = probe(&discover(1).to(&mut server, T0));
    assert_eq!(asked.address, ip(2));
    let offer = received(&discover(1).after(asked, None, &mut server, T0));
    assert_eq!((offer.kind, offer.yiaddr), (OFFER, ip(2)));
    let ack = received(&select(1, ip(2)).to(&mut server, T0));
    assert_eq!(ack.kind, ACK);
}

#[test]
fn an_address_in_use_is_put_aside_and_the_client_gets_another() {
    let mut server = asking(20);
    let asked = probe(&discover(1).to(&mut server, T0));
    let second = discover(1).after(asked, Some(SQUATTER), &mut server, T0);
    let told = Event::InUse {
        mac: mac(1),
        address: ip(2),
        holder: mac(SQUATTER),
        put_aside: true,
    };
    assert_eq!(second.events, [told]);
    let asked = probe(&second);
    assert_eq!(asked.address, ip(3));
    let offer = received(&discover(1).after(asked, None, &mut server, T0));
    assert_eq!(offer.yiaddr, ip(3));
    // Put aside for all, and as long as a declined one.
    let asked = probe(&discover(2).to(&mut server, T0 + 599));
    assert_eq!(asked.address, ip(3), "the offer of it has ended");
    assert_eq!(probe(&discover(3).to(&mut server, T0 + 600)).address, ip(2));
}

#[test]
fn a_static_address_in_use_is_not_given_to_its_host() {
    let mut server = server(Config {
        hosts: vec![host(HostKey::Mac(mac(1).into()), 200, "")],
        probe: true,
        sequential: true,
        ..config(20)
    });
    let asked = probe(&discover(1).to(&mut server, T0));
    assert_eq!(asked.address, ip(200));
    let second = discover(1).after(asked, Some(SQUATTER), &mut server, T0);
    let asked = probe(&second);
    let offer = discover(1).after(asked, None, &mut server, T0);
    assert_eq!(received(&offer).yiaddr, ip(2));
    let taken = |event: &&Event| matches!(event, Event::HostAddressTaken { .. });
    assert_eq!(second.events.iter().filter(taken).count(), 0);
    assert_eq!(offer.events.iter().filter(taken).count(), 1);
}

#[test]
fn the_client_itself_may_answer() {
    let mut server = asking(20);
    let asked = probe(&discover(1).to(&mut server, T0));
    let offer = discover(1).after(asked, Some(1), &mut server, T0);
    assert_eq!(received(&offer).yiaddr, ip(2));
}

#[test]
fn a_repeated_discover_begins_no_second_probe() {
    let mut server = asking(20);
    let asked = probe(&discover(1).to(&mut server, T0));
    let again = discover(1).to(&mut server, T0 + 1);
    assert_eq!(silence(&again), Silence::Probing);
    assert_eq!(probe(&discover(2).to(&mut server, T0 + 1)).address, ip(3));
    received(&discover(1).after(asked, None, &mut server, T0 + 1));
    // One that its caller forgot is made anew.
    assert_eq!(probe(&discover(2).to(&mut server, T0 + 6)).address, ip(3));
}

#[test]
fn a_live_lease_and_an_address_just_probed_are_not_probed() {
    let mut server = asking(20);
    let asked = probe(&discover(1).to(&mut server, T0));
    discover(1).after(asked, None, &mut server, T0);
    received(&discover(1).to(&mut server, T0 + 29));
    probe(&discover(1).to(&mut server, T0 + 30));
    received(&select(1, ip(2)).to(&mut server, T0 + 30));
    received(&discover(1).to(&mut server, T0 + 1800));
    // Ran out: somebody may have taken it since.
    let asked = probe(&discover(1).to(&mut server, T0 + 7200));
    assert_eq!(asked.address, ip(2));
}

#[test]
fn a_lease_that_is_deleted_by_hand_may_still_be_in_use() {
    let mut server = asking(20);
    let asked = probe(&discover(1).to(&mut server, T0));
    discover(1).after(asked, None, &mut server, T0);
    received(&select(1, ip(2)).to(&mut server, T0));
    server.release(ip(2)).unwrap();
    let asked = probe(&discover(2).requested(ip(2)).to(&mut server, T0 + 1));
    assert_eq!(asked.address, ip(2));
}

#[test]
fn a_declined_address_that_is_not_put_aside_is_probed_again() {
    let mut server = asking(20);
    // One port with all of its clients; of what these decline four are put aside.
    for client in 1..=5 {
        let sender = sender(1, client);
        let asked = probe(&discover(client).from(sender, &mut server, T0));
        let message = discover(client).bytes();
        let offer = server.probed(asked, None, &message, sender, T0);
        let address = received(&offer).yiaddr;
        let decline = Message::new(DECLINE, mac(client)).requested(address);
        let outcome = decline.from(sender, &mut server, T0);
        let put_aside = client < 5;
        let event = Event::Declined {
            mac: mac(client),
            address,
            put_aside,
        };
        assert_eq!(outcome.events, [event]);
    }
    let again = discover(5).from(sender(1, 5), &mut server, T0 + 1);
    assert_eq!(probe(&again).address, ip(6));
}

#[test]
fn an_address_leased_while_it_is_probed_is_not_put_aside() {
    let mut server = asking(20);
    let asked = probe(&discover(1).to(&mut server, T0));
    assert_eq!(received(&reboot(1, ip(2)).to(&mut server, T0)).kind, ACK);
    let offer = discover(1).after(asked, Some(SQUATTER), &mut server, T0);
    assert_eq!(received(&offer).yiaddr, ip(2));
    assert_eq!(received(&renew(1, ip(2)).to(&mut server, T0 + 9)).kind, ACK);
}

#[test]
fn a_rapid_commit_waits_for_the_probe_as_well() {
    let mut server = server(Config {
        rapid_commit: true,
        probe: true,
        ..config(20)
    });
    let rapid = || discover(1).option(80, &[]);
    let asked = probe(&rapid().to(&mut server, T0));
    let address = asked.address;
    let ack = rapid().after(asked, None, &mut server, T0);
    assert_eq!((received(&ack).kind, received(&ack).yiaddr), (ACK, address));
    assert_eq!(ack.changes.len(), 1);
}

#[test]
fn one_discover_comes_upon_six_addresses_in_use_and_the_next_goes_on() {
    let mut server = asking(200);
    let mut outcome = discover(1).to(&mut server, T0);
    for tried in 2..8 {
        let asked = probe(&outcome);
        assert_eq!(asked.address, ip(tried));
        outcome = discover(1).after(asked, Some(SQUATTER), &mut server, T0);
    }
    assert_eq!(silence(&outcome), Silence::AddressesInUse);
    assert_eq!(probe(&discover(1).to(&mut server, T0 + 3)).address, ip(8));
}

#[test]
fn who_answers_every_probe_keeps_few_addresses_from_the_others() {
    // 19 addresses: four of them are the least that one origin may put aside.
    let mut server = asking(20);
    let mut outcome = discover(1).to(&mut server, T0);
    for _ in 0..4 {
        outcome = discover(1).after(probe(&outcome), Some(SQUATTER), &mut server, T0);
    }
    let offer = discover(1).after(probe(&outcome), Some(SQUATTER), &mut server, T0);
    assert_eq!(received(&offer).yiaddr, ip(6));
    let put_aside = |event: &Event| {
        matches!(
            event,
            Event::InUse {
                put_aside: false,
                ..
            }
        )
    };
    assert!(offer.events.iter().any(put_aside), "{offer:?}");
}

#[test]
fn many_at_a_time_are_offered_without_a_probe() {
    let mut server = asking(200);
    let mut probes = 0;
    for client in 1..=120 {
        // Six ports, of which each has 16 at most, and 64 all together.
        let sender = sender((client % 6).into(), client);
        match discover(client).from(sender, &mut server, T0).answer {
            Answer::Probe(_) => probes += 1,
            Answer::Reply(_) => {}
            Answer::Silence(silence) => panic!("{silence}"),
        }
        if client == 60 {
            assert_eq!(probes, 60);
        }
    }
    assert_eq!(probes, 64);
    let mut server = asking(200);
    let of_one = (1..=40)
        .map(|client| discover(client).from(sender(1, client), &mut server, T0))
        .filter(|outcome| matches!(outcome.answer, Answer::Probe(_)));
    assert_eq!(of_one.count(), 16);
}

#[test]
fn a_client_behind_a_relay_agent_is_offered_without_a_probe() {
    let mut config = config(20);
    config.probe = true;
    let subnet = "10.0.0.0/24".parse().unwrap();
    let (first, last) = (Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 19));
    let mut range = Range::new(first..=last);
    range.subnet = Some(subnet);
    config.ranges.push(range);
    let mut server = server(config);
    let mut message = discover(1);
    message.0[24..28].copy_from_slice(&[10, 0, 0, 1]);
    assert_eq!(received(&message.to(&mut server, T0)).kind, OFFER);
}
