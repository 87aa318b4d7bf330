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
