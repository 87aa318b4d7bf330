//! What followers read.

use super::*;
use std::net::Ipv4Addr;
use std::time::Duration;

fn expired(n: u32) -> Event {
    Event::LeaseExpired {
        mac: pnet_base::MacAddr(2, 0, 0, 0, 0, 1),
        address: Ipv4Addr::from(n),
    }
}

/// Tells of `count` events, slowly enough that none is left out.
fn tell(events: &Events, count: u32) {
    let start = Instant::now();
    for n in 0..count {
        events.tell_at(expired(n), start + Duration::from_secs(n.into()));
    }
}

/// All that a follower reads that has seen `since`.
fn read(events: &Events, mut since: u64) -> Vec<Event> {
    let mut read = Vec::new();
    while let Next::Record(record) = events.after(since) {
        since = record.seq;
        read.push(record.event.clone());
    }
    read
}

#[test]
fn a_follower_goes_on_where_it_was() {
    let events = Events::new("lab");
    let before = events.latest();
    tell(&events, 3);
    assert_eq!(read(&events, before), [expired(0), expired(1), expired(2)]);
    assert_eq!(read(&events, before + 2), [expired(2)]);
    assert_eq!(read(&events, before + 3), []);
    assert_eq!(read(&events, 0).len(), 3, "all that are kept");
}

#[test]
fn a_follower_that_is_too_slow_is_told_how_many_it_has_missed() {
    let events = Events::new("lab");
    let before = events.latest();
    tell(&events, 1500);
    for since in [before, 0] {
        let read = read(&events, since);
        assert_eq!(read[0], Event::Lost { count: Some(500) });
        assert_eq!(read[1], expired(500));
        assert_eq!(read.len(), 1001);
    }
    let read = read(&events, before + 100);
    assert_eq!(read[0], Event::Lost { count: Some(400) });
}

#[test]
fn a_follower_of_another_run_is_told_so() {
    let events = Events::new("lab");
    tell(&events, 2);
    for since in [events.latest() + 5, events.latest() / 2] {
        let read = read(&events, since);
        let lost = Event::Lost { count: None };
        assert_eq!(read, [lost, expired(0), expired(1)]);
    }
}

#[test]
fn too_many_of_a_kind_are_left_out_and_counted_and_other_kinds_are_not() {
    let events = Events::new("lab");
    let (start, before) = (Instant::now(), events.latest());
    for n in 0..1_000_000 {
        events.tell_at(expired(n), start);
    }
    events.tell_at(Event::LeasesWritten, start);
    let read = read(&events, before);
    assert_eq!(read.len(), 101);
    assert_eq!(read[100], Event::LeasesWritten);
    let later = start + Duration::from_secs(1);
    events.tell_at(expired(7), later);
    let Next::Record(last) = events.after(before + 101) else {
        panic!("it is not told");
    };
    assert_eq!((last.left_out, &last.event), (999_900, &expired(7)));
}
