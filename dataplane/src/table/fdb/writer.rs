//! What changes which stations the table holds, under the writers' lock.

use super::{BUSY, EMPTY, Entry, Fdb, Learned, Place, PortState, STATIC, key};
use crate::table::{PortId, Tick};
use std::sync::atomic::Ordering::{Relaxed, Release};

/// What only writers touch.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Slots in use, by live entries or dead ones.
    occupied: usize,
    /// Ports that have learned entries.
    active: usize,
    /// Keys of the static entries: few, as people set them.
    pub(super) statics: Vec<u64>,
    swept_to: usize,
}

/// Slots that an insert into a full table looks at for a dead entry, and then
/// for one of a port with more than its share: a bound on what a flood of new
/// stations can cost.
const ROOM_SEARCH: usize = 64;

impl Fdb {
    /// Learns a station that is new here, under the lock.
    #[cold]
    pub(super) fn learn_slowly(&self, key: u64, port: PortId, now: Tick) -> Learned {
        let writer = &mut *self.writer();
        let place = Place {
            seen: now,
            generation: self.generation(port.0),
            port: port.0,
        };
        match self.find(key) {
            Some((at, old)) => {
                let live = self.is_live(&old, now);
                if live && old.generation == STATIC {
                    return Learned::Pinned {
                        to: PortId(old.port),
                    };
                }
                self.replace(writer, at, old, place);
                match (live, old.port == port.0) {
                    (false, _) => Learned::New,
                    (true, true) => Learned::Known,
                    (true, false) => Learned::Moved {
                        from: PortId(old.port),
                    },
                }
            }
            None if self.insert(writer, key, place, now) => Learned::New,
            None => Learned::Full,
        }
    }

    /// Takes over one station of another table, if it is not known and there is
    /// room.
    pub(super) fn adopt_one(&self, entry: &Entry, now: Tick) {
        let key = key(entry.mac, entry.vlan);
        let writer = &mut *self.writer();
        let is_known = self
            .find(key)
            .is_some_and(|(_, place)| self.is_live(&place, now));
        if is_known || writer.occupied >= self.capacity {
            return;
        }
        let place = Place {
            seen: Tick(now.0.wrapping_sub(entry.age)),
            generation: match entry.is_static {
                true => STATIC,
                false => self.generation(entry.port.0),
            },
            port: entry.port.0,
        };
        match self.find(key) {
            Some((at, old)) => self.replace(writer, at, old, place),
            None => {
                self.insert(writer, key, place, now);
            }
        }
        if entry.is_static {
            writer.statics.push(key);
        }
    }

    pub(super) fn flush_port_locked(&self, writer: &mut Writer, port: PortId) {
        let Some(state) = self.ports.get(usize::from(port.0)) else {
            return;
        };
        if state.entries.swap(0, Relaxed) > 0 {
            writer.active -= 1;
        }
        let next = state.generation.load(Relaxed) + 1;
        if next < STATIC {
            state.generation.store(next, Relaxed);
            return;
        }
        // The numbers start again: no entry may still carry an old one.
        let mut at = 0;
        while let Some((key, place)) = self.entry(at) {
            if key != EMPTY && place.port == port.0 && place.generation != STATIC {
                self.vacate(writer, at);
            } else {
                at += 1;
            }
        }
        state.generation.store(0, Relaxed);
    }

    pub(super) fn sweep_locked(&self, writer: &mut Writer, now: Tick, budget: usize) {
        for _ in 0..budget.min(self.slots.len()) {
            let at = writer.swept_to;
            match self.entry(at) {
                // Another entry may move into the slot: look at it again.
                Some((key, place)) if key != EMPTY && !self.is_live(&place, now) => {
                    self.vacate(writer, at);
                }
                _ => writer.swept_to = self.next(at),
            }
        }
    }

    /// Puts a station that is not there into the table; false if there is no
    /// room.
    pub(super) fn insert(&self, writer: &mut Writer, key: u64, place: Place, now: Tick) -> bool {
        if writer.occupied >= self.capacity {
            self.sweep_locked(writer, now, ROOM_SEARCH);
        }
        if writer.occupied >= self.capacity && !self.evict(writer, place.port) {
            self.refused.fetch_add(1, Relaxed);
            return false;
        }
        let mut at = self.home(key);
        while self.entry(at).is_some_and(|(key, _)| key != EMPTY) {
            at = self.next(at);
        }
        writer.occupied += 1;
        self.count_in(writer, &place);
        self.put(at, key, place);
        true
    }

    /// Makes room for a station of `port`, if the port has less than its share
    /// and another one has more.
    fn evict(&self, writer: &mut Writer, port: u16) -> bool {
        let entries = |port: u16| {
            let state = self.ports.get(usize::from(port));
            state.map_or(0, |state| state.entries.load(Relaxed) as usize)
        };
        let newcomer = usize::from(entries(port) == 0);
        let share = self.capacity / (writer.active + newcomer).max(1);
        if entries(port) >= share {
            return false;
        }
        for _ in 0..ROOM_SEARCH {
            let at = writer.swept_to;
            match self.entry(at) {
                Some((key, place))
                    if key != EMPTY
                        && place.generation != STATIC
                        && entries(place.port) > share =>
                {
                    self.vacate(writer, at);
                    return true;
                }
                _ => writer.swept_to = self.next(at),
            }
        }
        false
    }

    /// Gives an entry another place.
    pub(super) fn replace(&self, writer: &mut Writer, at: usize, old: Place, new: Place) {
        self.count_out(writer, &old);
        self.count_in(writer, &new);
        if let Some(slot) = self.slots.get(at) {
            slot.value.store(new.pack(), Release);
        }
    }

    fn count_in(&self, writer: &mut Writer, place: &Place) {
        if let Some(state) = self.counted(place)
            && state.entries.fetch_add(1, Relaxed) == 0
        {
            writer.active += 1;
        }
    }

    fn count_out(&self, writer: &mut Writer, place: &Place) {
        if let Some(state) = self.counted(place)
            && state.entries.load(Relaxed) > 0
            && state.entries.fetch_sub(1, Relaxed) == 1
        {
            writer.active -= 1;
        }
    }

    /// The port that an entry counts for: none for a static one, and for one
    /// that a flush has killed, as the flush has taken it off already.
    fn counted(&self, place: &Place) -> Option<&PortState> {
        let current = place.generation == self.generation(place.port);
        let state = self.ports.get(usize::from(place.port));
        state.filter(|_| current && place.generation != STATIC)
    }

    /// Empties a slot and moves up the entries behind it that would no longer
    /// be found (backward-shift deletion: no tombstones to search through).
    pub(super) fn vacate(&self, writer: &mut Writer, at: usize) {
        let Some((_, gone)) = self.entry(at) else {
            return;
        };
        self.count_out(writer, &gone);
        writer.occupied -= 1;
        let mut hole = at;
        let mut next = self.next(at);
        while let Some((key, place)) = self.entry(next) {
            if key == EMPTY {
                break;
            }
            let from_home = next.wrapping_sub(self.home(key)) & self.mask();
            let from_hole = next.wrapping_sub(hole) & self.mask();
            if from_home >= from_hole {
                self.put(hole, key, place);
                hole = next;
            }
            next = self.next(next);
        }
        if let Some(slot) = self.slots.get(hole) {
            slot.key.store(EMPTY, Release);
        }
    }

    /// Hands a slot over to another station, under the lock.
    fn put(&self, at: usize, key: u64, place: Place) {
        if let Some(slot) = self.slots.get(at) {
            slot.key.store(BUSY, Release);
            slot.value.store(place.pack(), Release);
            slot.key.store(key, Release);
        }
    }

    /// A slot as it is, under the lock.
    fn entry(&self, at: usize) -> Option<(u64, Place)> {
        let slot = self.slots.get(at)?;
        let place = Place::unpack(slot.value.load(Relaxed));
        Some((slot.key.load(Relaxed), place))
    }
}
