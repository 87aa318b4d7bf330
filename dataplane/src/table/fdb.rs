//! The forwarding database: which station (MAC and VLAN) is behind which port.
//!
//! Theory of operation: one flat array of slots, at most half full, searched by
//! linear probing from a keyed hash of the station (guests choose their MACs,
//! so an unkeyed hash could be filled with collisions). A look-up is one hash
//! and, nearly always, one cache line; learning a known station costs the same.
//!
//! An entry is *live* while it is static, or was seen within the ageing time
//! and since its port was last flushed. Entries that are not live are ignored
//! at once, and their slots are taken back by [`Fdb::sweep`] or when an insert
//! comes upon them. So flushing a port is O(1): the port's generation changes,
//! and every entry that carries the old one is dead.

use super::{MAX_PORTS, PortId, Tick};
use crate::MacAddr;
use foldhash::fast::RandomState;
use std::hash::BuildHasher;

/// Learned and static stations.
#[derive(Debug)]
pub struct Fdb {
    slots: Box<[Slot]>,
    capacity: usize,
    ageing: Option<u32>,
    hasher: RandomState,
    /// Entries, live or not, that occupy a slot.
    occupied: usize,
    generations: Box<[u16]>,
    /// Keys of the static entries: few, as people set them.
    statics: Vec<u64>,
    refused: u64,
    swept_to: usize,
}

/// What [`Fdb::learn`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// The station was known behind this port.
    Known,
    /// The station is new.
    New,
    /// The station was behind another port until now.
    Moved {
        /// That port.
        from: PortId,
    },
    /// A static entry names another port; it stays.
    Pinned {
        /// That port.
        to: PortId,
    },
    /// No room: the station stays unknown and is flooded to.
    Full,
}

/// One live station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The station's address.
    pub mac: MacAddr,
    /// Its VLAN, 0 without a tag.
    pub vlan: u16,
    /// The port that it is behind.
    pub port: PortId,
    /// Set by hand: it neither ages nor moves.
    pub is_static: bool,
    /// Tenths of a second since it was last seen; 0 for a static one.
    pub age: u32,
}

/// The table holds as many stations as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the FDB is full ({0} stations): raise `fdb-size`")]
pub struct FdbFull(pub usize);

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// 0: empty. Else the MAC in the high 48 bits, the VLAN above [`OCCUPIED`].
    key: u64,
    seen: Tick,
    port: u16,
    generation: u16,
}

const OCCUPIED: u64 = 1;
const STATIC: u16 = u16::MAX;

impl Fdb {
    /// An empty table for `capacity` stations; entries not seen for `ageing`
    /// tenths of a second are forgotten, never with `None`.
    #[must_use]
    pub fn new(capacity: usize, ageing: Option<u32>) -> Self {
        let capacity = capacity.max(1);
        let slots = capacity.saturating_mul(2).next_power_of_two();
        Self {
            slots: vec![Slot::default(); slots].into_boxed_slice(),
            capacity,
            ageing,
            hasher: RandomState::default(),
            occupied: 0,
            generations: vec![0; MAX_PORTS.into()].into_boxed_slice(),
            statics: Vec::new(),
            refused: 0,
            swept_to: 0,
        }
    }

    /// Stations that fit in.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Changes the ageing time, in tenths of a second; `None`: never.
    pub fn set_ageing(&mut self, ageing: Option<u32>) {
        self.ageing = ageing;
    }

    /// How often a station could not be learned for want of room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The port that a station is behind, if that is known.
    #[must_use]
    pub fn lookup(&self, mac: MacAddr, vlan: u16, now: Tick) -> Option<PortId> {
        let slot = self.slot(self.find(key(mac, vlan))?);
        self.is_live(&slot, now).then_some(PortId(slot.port))
    }

    /// Notes that a station sent a frame into `port`.
    pub fn learn(&mut self, mac: MacAddr, vlan: u16, port: PortId, now: Tick) -> Learned {
        let key = key(mac, vlan);
        let generation = self.generation(port);
        let Some(at) = self.find(key) else {
            return self.insert(key, port, generation, now);
        };
        let old = self.slot(at);
        let live = self.is_live(&old, now);
        if live && old.generation == STATIC {
            return if old.port == port.0 {
                Learned::Known
            } else {
                Learned::Pinned {
                    to: PortId(old.port),
                }
            };
        }
        if live && old.port == port.0 && now.since(old.seen) < Tick::PER_SECOND {
            // Writing the age at most once a second keeps the cache line clean.
            return Learned::Known;
        }
        self.put(
            at,
            Slot {
                key,
                seen: now,
                port: port.0,
                generation,
            },
        );
        match (live, old.port == port.0) {
            (false, _) => Learned::New,
            (true, true) => Learned::Known,
            (true, false) => Learned::Moved {
                from: PortId(old.port),
            },
        }
    }

    /// Pins a station to `port`, replacing what was known of it.
    ///
    /// # Errors
    /// [`FdbFull`] if it is new and there is no room.
    pub fn add_static(
        &mut self,
        mac: MacAddr,
        vlan: u16,
        port: PortId,
        now: Tick,
    ) -> Result<(), FdbFull> {
        let key = key(mac, vlan);
        match self.find(key) {
            Some(at) => self.put(
                at,
                Slot {
                    key,
                    seen: now,
                    port: port.0,
                    generation: STATIC,
                },
            ),
            None => {
                if self.insert(key, port, STATIC, now) == Learned::Full {
                    return Err(FdbFull(self.capacity));
                }
            }
        }
        if !self.statics.contains(&key) {
            self.statics.push(key);
        }
        Ok(())
    }

    /// Forgets a station, static or not; false if it was not known.
    pub fn remove(&mut self, mac: MacAddr, vlan: u16, now: Tick) -> bool {
        match self.find(key(mac, vlan)) {
            Some(at) => {
                let slot = self.slot(at);
                self.statics.retain(|key| *key != slot.key);
                self.vacate(at);
                self.is_live(&slot, now)
            }
            None => false,
        }
    }

    /// Forgets what was learned behind `port`, in O(1). Static entries stay.
    pub fn flush_port(&mut self, port: PortId) {
        let Some(generation) = self.generations.get_mut(usize::from(port.0)) else {
            return;
        };
        *generation += 1;
        if *generation == STATIC {
            // The numbers start again: no entry may still carry an old one.
            *generation = 0;
            self.retain(|slot| slot.generation == STATIC || slot.port != port.0);
        }
    }

    /// Forgets everything that was learned. Static entries stay.
    pub fn flush(&mut self) {
        self.retain(|slot| slot.generation == STATIC);
    }

    /// Forgets everything behind `port`, static entries too, as it is gone.
    pub fn forget_port(&mut self, port: PortId) {
        self.flush_port(port);
        for key in std::mem::take(&mut self.statics) {
            match self.find(key) {
                Some(at) if self.slot(at).port == port.0 => self.vacate(at),
                _ => self.statics.push(key),
            }
        }
    }

    /// Takes back the slots of entries that are no longer live, looking at no
    /// more than `budget` slots from where the last sweep ended.
    pub fn sweep(&mut self, now: Tick, budget: usize) {
        for _ in 0..budget.min(self.slots.len()) {
            let slot = self.slot(self.swept_to);
            if slot.key != 0 && !self.is_live(&slot, now) {
                // Another entry may have moved into the slot: look at it again.
                self.vacate(self.swept_to);
            } else {
                self.swept_to = self.next(self.swept_to);
            }
        }
    }

    /// The live stations, in no order.
    pub fn entries(&self, now: Tick) -> impl Iterator<Item = Entry> + '_ {
        self.slots
            .iter()
            .filter(move |slot| slot.key != 0 && self.is_live(slot, now))
            .map(move |slot| {
                let is_static = slot.generation == STATIC;
                let [a, b, c, d, e, f, vlan_high, vlan_low] = slot.key.to_be_bytes();
                Entry {
                    mac: MacAddr(a, b, c, d, e, f),
                    vlan: u16::from_be_bytes([vlan_high, vlan_low]) >> 1,
                    port: PortId(slot.port),
                    is_static,
                    age: if is_static { 0 } else { now.since(slot.seen) },
                }
            })
    }

    fn generation(&self, port: PortId) -> u16 {
        let generation = self.generations.get(usize::from(port.0));
        generation.copied().unwrap_or_default()
    }

    fn is_live(&self, slot: &Slot, now: Tick) -> bool {
        slot.generation == STATIC
            || (slot.generation == self.generation(PortId(slot.port))
                && self.ageing.is_none_or(|limit| now.since(slot.seen) < limit))
    }

    fn insert(&mut self, key: u64, port: PortId, generation: u16, now: Tick) -> Learned {
        if self.occupied >= self.capacity {
            // Dead entries may be all that is in the way. Looking at a bounded
            // number keeps a flood of new stations from costing more than that.
            self.sweep(now, 64);
            if self.occupied >= self.capacity {
                self.refused += 1;
                return Learned::Full;
            }
        }
        let mut at = self.home(key);
        while self.slot(at).key != 0 {
            at = self.next(at);
        }
        self.put(
            at,
            Slot {
                key,
                seen: now,
                port: port.0,
                generation,
            },
        );
        self.occupied += 1;
        Learned::New
    }

    /// Where the entry for `key` is. Ends, as half of the slots are empty.
    fn find(&self, key: u64) -> Option<usize> {
        let mut at = self.home(key);
        loop {
            match self.slot(at).key {
                0 => return None,
                found if found == key => return Some(at),
                _ => at = self.next(at),
            }
        }
    }

    /// Empties a slot and moves up the entries behind it that would no longer
    /// be found (backward-shift deletion: no tombstones to search through).
    fn vacate(&mut self, at: usize) {
        let mask = self.slots.len() - 1;
        let mut hole = at;
        let mut next = self.next(at);
        loop {
            let slot = self.slot(next);
            if slot.key == 0 {
                break;
            }
            let from_home = next.wrapping_sub(self.home(slot.key)) & mask;
            let from_hole = next.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.put(hole, slot);
                hole = next;
            }
            next = self.next(next);
        }
        self.put(hole, Slot::default());
        self.occupied -= 1;
    }

    fn retain(&mut self, keep: impl Fn(&Slot) -> bool) {
        let mut at = 0;
        while at < self.slots.len() {
            let slot = self.slot(at);
            if slot.key != 0 && !keep(&slot) {
                self.vacate(at);
            } else {
                at += 1;
            }
        }
    }

    fn home(&self, key: u64) -> usize {
        // Truncation is meant: the mask keeps fewer bits than usize has.
        #[expect(clippy::cast_possible_truncation, reason = "masked right after")]
        let hash = self.hasher.hash_one(key) as usize;
        hash & (self.slots.len() - 1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    fn slot(&self, at: usize) -> Slot {
        self.slots.get(at).copied().unwrap_or_default()
    }

    fn put(&mut self, at: usize, slot: Slot) {
        if let Some(to) = self.slots.get_mut(at) {
            *to = slot;
        }
    }
}

fn key(mac: MacAddr, vlan: u16) -> u64 {
    let [a, b, c, d, e, f] = mac.octets();
    let [high, low] = (vlan << 1).to_be_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, high, low]) | OCCUPIED
}

#[cfg(test)]
mod tests {
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
        let mut fdb = Fdb::new(8, Some(3000));
        assert_eq!(fdb.lookup(mac(1), 0, NOW), None);
        assert_eq!(fdb.learn(mac(1), 0, P1, NOW), Learned::New);
        assert_eq!(fdb.learn(mac(1), 0, P1, NOW), Learned::Known);
        assert_eq!(fdb.lookup(mac(1), 0, NOW), Some(P1));
        assert_eq!(fdb.lookup(mac(1), 7, NOW), None, "another VLAN");
    }

    #[test]
    fn a_station_that_moves_is_found_at_its_new_port() {
        let mut fdb = Fdb::new(8, Some(3000));
        fdb.learn(mac(1), 0, P1, NOW);
        assert_eq!(fdb.learn(mac(1), 0, P2, NOW), Learned::Moved { from: P1 });
        assert_eq!(fdb.lookup(mac(1), 0, NOW), Some(P2));
    }

    #[test]
    fn a_silent_station_is_forgotten_after_the_ageing_time() {
        let mut fdb = Fdb::new(8, Some(3000));
        fdb.learn(mac(1), 0, P1, Tick(0));
        fdb.learn(mac(1), 0, P1, Tick(2000));
        assert_eq!(fdb.lookup(mac(1), 0, Tick(4999)), Some(P1));
        assert_eq!(fdb.lookup(mac(1), 0, Tick(5000)), None);
        assert_eq!(fdb.entries(Tick(5000)).count(), 0);
        assert_eq!(fdb.learn(mac(1), 0, P2, Tick(5000)), Learned::New);
    }

    #[test]
    fn without_ageing_a_station_stays() {
        let mut fdb = Fdb::new(8, None);
        fdb.learn(mac(1), 0, P1, Tick(0));
        assert_eq!(fdb.lookup(mac(1), 0, Tick(u32::MAX)), Some(P1));
    }

    #[test]
    fn a_static_entry_neither_moves_nor_ages_nor_is_flushed() {
        let mut fdb = Fdb::new(8, Some(3000));
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
        let mut fdb = Fdb::new(4, Some(3000));
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
        let mut fdb = Fdb::new(8, Some(3000));
        fdb.learn(mac(1), 0, P1, NOW);
        fdb.learn(mac(2), 0, P2, NOW);
        fdb.flush_port(P1);
        assert_eq!(fdb.lookup(mac(1), 0, NOW), None);
        assert_eq!(fdb.lookup(mac(2), 0, NOW), Some(P2));
    }

    #[test]
    fn a_flush_stays_a_flush_when_generations_come_round() {
        let mut fdb = Fdb::new(8, None);
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
            let mut fdb = Fdb::new(64, Some(AGEING));
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
}
