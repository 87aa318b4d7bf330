use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const NOW: Tick = Tick(1000);
const P1: PortId = PortId(1);
const P2: PortId = PortId(2);

fn mac(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr(2, 0, a, b, c, d)
}

#[test]
fn a_station_is_found_where_it_was_learned() {
    let fdb = Fdb::new(8, Some(3000));
    assert_eq!(fdb.lookup(mac(1), 0, NOW), None);
    assert_eq!(fdb.learn(mac(1), 0, P1, NOW), Learned::New);
    assert_eq!(fdb.learn(mac(1), 0, P1, NOW), Learned::Known);
    assert_eq!(fdb.lookup(mac(1), 0, NOW), Some(P1));
    assert_eq!(fdb.lookup(mac(1), 7, NOW), None, "another VLAN");
}

#[test]
fn a_station_that_moves_is_found_at_its_new_port() {
    let fdb = Fdb::new(8, Some(3000));
    fdb.learn(mac(1), 0, P1, NOW);
    assert_eq!(fdb.learn(mac(1), 0, P2, NOW), Learned::Moved { from: P1 });
    assert_eq!(fdb.lookup(mac(1), 0, NOW), Some(P2));
}

#[test]
fn a_silent_station_is_forgotten_after_the_ageing_time() {
    let fdb = Fdb::new(8, Some(3000));
    fdb.learn(mac(1), 0, P1, Tick(0));
    fdb.learn(mac(1), 0, P1, Tick(2000));
    assert_eq!(fdb.lookup(mac(1), 0, Tick(4999)), Some(P1));
    assert_eq!(fdb.lookup(mac(1), 0, Tick(5000)), None);
    assert_eq!(fdb.entries(Tick(5000)).count(), 0);
    assert_eq!(fdb.learn(mac(1), 0, P2, Tick(5000)), Learned::New);
}

#[test]
fn without_ageing_a_station_stays() {
    let fdb = Fdb::new(8, None);
    fdb.learn(mac(1), 0, P1, Tick(0));
    assert_eq!(fdb.lookup(mac(1), 0, Tick(u32::MAX)), Some(P1));
}

#[test]
fn a_static_entry_neither_moves_nor_ages_nor_is_flushed() {
    let fdb = Fdb::new(8, Some(3000));
    fdb.add_static(mac(1), 0, P1, NOW).unwrap();
    assert_eq!(fdb.learn(mac(1), 0, P2, NOW), Learned::Pinned { to: P1 });
    fdb.flush();
    fdb.flush_port(P1);
    assert_eq!(fdb.lookup(mac(1), 0, Tick(u32::MAX)), Some(P1));
    assert!(fdb.remove(mac(1), 0, NOW));
    assert_eq!(fdb.lookup(mac(1), 0, NOW), None);
}

#[test]
fn a_full_table_refuses_and_counts_and_learns_again_once_there_is_room() {
    let fdb = Fdb::new(4, Some(3000));
    for n in 0..4 {
        assert_eq!(fdb.learn(mac(n), 0, P1, Tick(n)), Learned::New);
    }
    assert_eq!(fdb.learn(mac(9), 0, P1, NOW), Learned::Full);
    assert_eq!(fdb.add_static(mac(9), 0, P1, NOW), Err(FdbFull(4)));
    assert_eq!(fdb.refused(), 2);
    assert_eq!(fdb.learn(mac(9), 0, P1, Tick(3000)), Learned::New);
    assert_eq!(fdb.entries(Tick(3000)).count(), 4);
}

#[test]
fn flushing_a_port_leaves_the_others() {
    let fdb = Fdb::new(8, Some(3000));
    fdb.learn(mac(1), 0, P1, NOW);
    fdb.learn(mac(2), 0, P2, NOW);
    fdb.flush_port(P1);
    assert_eq!(fdb.lookup(mac(1), 0, NOW), None);
    assert_eq!(fdb.lookup(mac(2), 0, NOW), Some(P2));
}

#[test]
fn a_flush_stays_a_flush_when_generations_come_round() {
    let fdb = Fdb::new(8, None);
    fdb.learn(mac(1), 0, P1, NOW);
    for _ in 0..=u16::MAX {
        fdb.flush_port(P1);
        assert_eq!(fdb.lookup(mac(1), 0, NOW), None);
    }
}

#[test]
fn a_port_that_fills_the_table_makes_room_for_the_share_of_another() {
    let fdb = Fdb::new(1000, Some(3000));
    for n in 0..5000 {
        fdb.learn(mac(n), 0, P1, NOW);
    }
    let mut learned = 0;
    for n in 10_000..10_600 {
        learned += usize::from(fdb.learn(mac(n), 0, P2, NOW) == Learned::New);
    }
    let behind = |port| fdb.entries(NOW).filter(|entry| entry.port == port).count();
    assert_eq!(behind(P2), 500, "half of it, as two ports have stations");
    assert_eq!(behind(P1), 500);
    assert_eq!(learned, 500);
}

#[test]
fn stations_numbered_in_turn_lie_near_where_they_are_searched() {
    for _ in 0..200 {
        let fdb = Fdb::new(1000, None);
        let mut longest = 0;
        for n in 0..1000 {
            fdb.learn(mac(n), 0, P1, NOW);
            let key = key(mac(n), 0);
            let (at, _) = fdb.find(key).expect("just learned");
            longest = longest.max(at.wrapping_sub(fdb.home(key)) & fdb.mask());
        }
        assert!(longest < 150, "{longest} slots of {}", fdb.slots.len());
    }
}

#[test]
fn a_flushed_port_starts_from_nothing_again() {
    let fdb = Fdb::new(16, Some(3000));
    for round in 0..4 {
        for n in 0..16 {
            let station = mac(round * 100 + n);
            assert_eq!(
                fdb.learn(station, 0, P1, NOW),
                Learned::New,
                "round {round}"
            );
        }
        assert_eq!(fdb.learn(mac(9999), 0, P1, NOW), Learned::Full);
        fdb.flush_port(P1);
        assert_eq!(fdb.entries(NOW).count(), 0);
    }
}

#[test]
fn a_reader_never_sees_the_place_of_another_station() {
    use std::sync::atomic::AtomicBool;
    let fdb = Fdb::new(64, None);
    let done = AtomicBool::new(false);
    // Station n is only ever behind port n, in a table that is churned hard.
    let port = |n: u32| PortId(u16::try_from(n).unwrap());
    std::thread::scope(|scope| {
        let reader = || {
            let mut seen = 0u64;
            while !done.load(Relaxed) {
                for n in 0..200 {
                    if let Some(found) = fdb.lookup(mac(n), 0, NOW) {
                        assert_eq!(found, port(n));
                        seen += 1;
                    }
                }
            }
            seen
        };
        let reading = [scope.spawn(reader), scope.spawn(reader)];
        for round in 0..300u32 {
            for n in 0..200 {
                fdb.learn(mac(n * 7 % 200), 0, port(n * 7 % 200), Tick(1000 + round));
                fdb.remove(mac((n + round) % 200), 0, NOW);
            }
        }
        done.store(true, Relaxed);
        for thread in reading {
            assert!(thread.join().unwrap() > 0);
        }
    });
}

#[derive(Debug, Clone)]
enum Step {
    Learn(u32, u16),
    Remove(u32),
    FlushPort(u16),
    ForgetPort(u16),
    Pass(u32),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u32..40, 0u16..4).prop_map(|(m, p)| Step::Learn(m, p)),
        2 => (0u32..40).prop_map(Step::Remove),
        1 => (0u16..4).prop_map(Step::FlushPort),
        1 => (0u16..4).prop_map(Step::ForgetPort),
        2 => (0u32..40).prop_map(Step::Pass),
        1 => Just(Step::Sweep),
    ]
}

proptest! {
    /// Against the plainest model there is: a map and the rule of ageing.
    #[test]
    fn the_table_agrees_with_a_map(steps in prop::collection::vec(step(), 0..400)) {
        const AGEING: u32 = 100;
        let fdb = Fdb::new(64, Some(AGEING));
        let mut model: HashMap<u32, (u16, u32)> = HashMap::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Learn(m, p) => {
                    fdb.learn(mac(m), 0, PortId(p), Tick(now));
                    let known = model.get(&m).copied();
                    let fresh = known.is_some_and(|(port, seen)| {
                        port == p && now - seen < Tick::PER_SECOND
                    });
                    if !fresh {
                        model.insert(m, (p, now));
                    }
                }
                Step::Remove(m) => {
                    fdb.remove(mac(m), 0, Tick(now));
                    model.remove(&m);
                }
                Step::FlushPort(p) => {
                    fdb.flush_port(PortId(p));
                    model.retain(|_, (port, _)| *port != p);
                }
                Step::ForgetPort(p) => {
                    fdb.forget_port(PortId(p));
                    model.retain(|_, (port, _)| *port != p);
                }
                Step::Pass(ticks) => now += ticks,
                Step::Sweep => fdb.sweep(Tick(now), 1000),
            }
            model.retain(|_, (_, seen)| now - *seen < AGEING);
            for m in 0..40 {
                let want = model.get(&m).map(|(port, _)| PortId(*port));
                prop_assert_eq!(fdb.lookup(mac(m), 0, Tick(now)), want);
            }
            prop_assert_eq!(fdb.entries(Tick(now)).count(), model.len());
        }
    }
}

#[test]
fn a_table_of_another_size_takes_over_who_is_pinned_and_who_was_seen_last() {
    let old = Fdb::new(8, Some(3000));
    for n in 1..=6 {
        old.learn(mac(n), 0, P1, Tick(100 * n));
    }
    old.add_static(mac(7), 0, P2, NOW).unwrap();
    let stations = |fdb: &Fdb| {
        let mut all: Vec<_> = fdb.entries(NOW).collect();
        all.sort_unstable_by_key(|entry| entry.mac);
        all
    };
    let larger = old.resized(1024);
    larger.adopt(&old, NOW);
    assert_eq!(stations(&larger), stations(&old));
    assert_eq!(larger.capacity(), 1024);

    let smaller = old.resized(3);
    smaller.learn(mac(6), 0, P2, NOW);
    smaller.adopt(&old, NOW);
    let kept = stations(&smaller);
    let kept: Vec<_> = kept.iter().map(|entry| (entry.mac, entry.port)).collect();
    assert_eq!(
        kept,
        [(mac(5), P1), (mac(6), P2), (mac(7), P2)],
        "it has moved"
    );
    assert!(smaller.remove(mac(7), 0, NOW) && smaller.lookup(mac(7), 0, NOW).is_none());
    // The ports' shares are those of the new table.
    larger.flush_port(P1);
    assert_eq!(stations(&larger).len(), 1);
    assert_eq!(stations(&old).len(), 7);
}
