//! The forwarding database: which station (MAC and VLAN) is behind which port.
//!
//! Theory of operation: one flat array of slots, at most half full, searched by
//! linear probing from a keyed hash of the station (guests choose their MACs,
//! so an unkeyed hash could be filled with collisions; foldhash's *fast* kind
//! crowds MACs that are numbered in turn under one key in fifty, its *quality*
//! kind does not). A slot is two words, four slots a cache line: a look-up is
//! one hash and, nearly always, one line.
//!
//! **Readers never wait.** Workers look up and refresh ages without a lock. A
//! slot changes hands as busy, value, key, so a reader that finds its key
//! before and after it read the value has the value of that key. A reader that
//! comes in the middle of a move may miss the station: that frame is flooded,
//! as if the station were not known yet. New and moved stations, and removals,
//! take the writers' lock.
//!
//! **Nothing runs for an entry to die.** An entry is *live* while it is static,
//! or was seen within the ageing time and since its port was last flushed:
//! flushing changes the port's generation, and every entry that carries the
//! old one is dead. Dead entries are ignored at once; their slots are taken
//! back by [`Fdb::sweep`], and when an insert finds no room.
//!
//! **One guest cannot fill it.** A port may use whatever room there is. Once
//! there is none, a port with less than its share (the capacity divided by the
//! ports that have stations) takes a place from one that has more.

mod writer;

use super::{MAX_PORTS, PortId, Tick};
use crate::MacAddr;
use crate::port::sys::memory::prefer_huge_pages;
use foldhash::quality::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};
use writer::Writer;
use zerocopy::FromZeros;

/// Learned and static stations.
#[derive(Debug)]
pub struct Fdb {
    slots: Box<[Slot]>,
    capacity: usize,
    /// In ticks; [`NEVER`]: entries do not age.
    ageing: AtomicU32,
    hasher: RandomState,
    ports: Box<[PortState]>,
    refused: AtomicU64,
    /// When [`Fdb::sweep_when_due`] last swept, in ticks.
    swept: AtomicU32,
    writer: Mutex<Writer>,
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

#[derive(Debug, FromZeros)]
#[repr(C)]
struct Slot {
    /// [`EMPTY`], [`BUSY`] or a station's [`key`].
    key: AtomicU64,
    /// A [`Place`], packed.
    value: AtomicU64,
}

/// What a slot says of its station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    seen: Tick,
    /// The port's generation when the station was seen, or [`STATIC`].
    generation: u16,
    port: u16,
}

/// What the table keeps for each port.
#[derive(Debug, FromZeros)]
#[repr(C)]
struct PortState {
    /// Learned entries of the current generation that occupy a slot.
    entries: AtomicU32,
    generation: AtomicU16,
    padding: [u8; 2],
}

const EMPTY: u64 = 0;
const BUSY: u64 = 2;
/// Set in every station's key, so that it is neither of the above.
const OCCUPIED: u64 = 1;
const STATIC: u16 = u16::MAX;
const NEVER: u32 = u32::MAX;
/// Slots that are looked at once a second.
const SWEEP: usize = 1024;

impl Fdb {
    /// An empty table for `capacity` stations; entries not seen for `ageing`
    /// tenths of a second are forgotten, never with `None`.
    ///
    /// Memory is 32 to 64 bytes a station, mapped as it is used.
    #[must_use]
    pub fn new(capacity: usize, ageing: Option<u32>) -> Self {
        let capacity = capacity.max(1);
        let slots = capacity.saturating_mul(2).next_power_of_two();
        Self {
            slots: zeroed(slots),
            capacity,
            ageing: AtomicU32::new(ageing.unwrap_or(NEVER)),
            hasher: RandomState::default(),
            ports: zeroed(MAX_PORTS.into()),
            refused: AtomicU64::new(0),
            swept: AtomicU32::new(0),
            writer: Mutex::default(),
        }
    }

    /// Stations that fit in.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Changes the ageing time, in tenths of a second; `None`: never.
    pub fn set_ageing(&self, ageing: Option<u32>) {
        self.ageing.store(ageing.unwrap_or(NEVER), Relaxed);
    }

    /// An empty table like this one, for `capacity` stations.
    #[must_use]
    pub fn resized(&self, capacity: usize) -> Self {
        let ageing = self.ageing.load(Relaxed);
        let new = Self::new(capacity, (ageing != NEVER).then_some(ageing));
        new.refused.store(self.refused(), Relaxed);
        new
    }

    /// Takes over the live stations of `other` that are not known here: pinned
    /// ones first, then those seen last, as many as there is room for.
    pub fn adopt(&self, other: &Self, now: Tick) {
        let mut entries: Vec<Entry> = other.entries(now).collect();
        entries.sort_unstable_by_key(|entry| (!entry.is_static, entry.age));
        for entry in entries {
            self.adopt_one(&entry, now);
        }
    }

    /// How often a station could not be learned for want of room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The port that a station is behind, if that is known.
    #[must_use]
    #[inline]
    pub fn lookup(&self, mac: MacAddr, vlan: u16, now: Tick) -> Option<PortId> {
        let (_, place) = self.find(key(mac, vlan))?;
        self.is_live(&place, now).then_some(PortId(place.port))
    }

    /// Notes that a station sent a frame into `port`.
    #[inline]
    pub fn learn(&self, mac: MacAddr, vlan: u16, port: PortId, now: Tick) -> Learned {
        let key = key(mac, vlan);
        if let Some((at, old)) = self.find(key)
            && self.is_live(&old, now)
            && old.port == port.0
        {
            // Writing the age at most once a second keeps the line clean.
            if old.generation != STATIC && now.since(old.seen) >= Tick::PER_SECOND {
                self.refresh(at, old, now);
            }
            return Learned::Known;
        }
        self.learn_slowly(key, port, now)
    }

    /// Pins a station to `port`, replacing what was known of it.
    ///
    /// # Errors
    /// [`FdbFull`] if it is new and there is no room.
    pub fn add_static(
        &self,
        mac: MacAddr,
        vlan: u16,
        port: PortId,
        now: Tick,
    ) -> Result<(), FdbFull> {
        let key = key(mac, vlan);
        let place = Place {
            seen: now,
            generation: STATIC,
            port: port.0,
        };
        let writer = &mut *self.writer();
        match self.find(key) {
            Some((at, old)) => self.replace(writer, at, old, place),
            None if self.insert(writer, key, place, now) => {}
            None => return Err(FdbFull(self.capacity)),
        }
        if !writer.statics.contains(&key) {
            writer.statics.push(key);
        }
        Ok(())
    }

    /// Takes over what another table had of a station, if there is room.
    pub fn remember(&self, station: &Entry, now: Tick) {
        let Entry {
            mac, vlan, port, ..
        } = *station;
        if station.is_static {
            // One that does not fit is unknown, as with `learn`.
            let _ = self.add_static(mac, vlan, port, now);
        } else {
            self.learn(mac, vlan, port, Tick(now.0.saturating_sub(station.age)));
        }
    }

    /// Forgets a station, static or not; false if it was not known.
    pub fn remove(&self, mac: MacAddr, vlan: u16, now: Tick) -> bool {
        let key = key(mac, vlan);
        let writer = &mut *self.writer();
        let Some((at, place)) = self.find(key) else {
            return false;
        };
        writer.statics.retain(|other| *other != key);
        self.vacate(writer, at);
        self.is_live(&place, now)
    }

    /// Forgets what was learned behind `port`, in O(1). Static entries stay.
    pub fn flush_port(&self, port: PortId) {
        self.flush_port_locked(&mut self.writer(), port);
    }

    /// Forgets everything that was learned. Static entries stay.
    pub fn flush(&self) {
        let writer = &mut *self.writer();
        for port in 0..MAX_PORTS {
            self.flush_port_locked(writer, PortId(port));
        }
    }

    /// Forgets everything behind `port`, static entries too, as it is gone.
    pub fn forget_port(&self, port: PortId) {
        let writer = &mut *self.writer();
        self.flush_port_locked(writer, port);
        for key in std::mem::take(&mut writer.statics) {
            match self.find(key) {
                Some((at, place)) if place.port == port.0 => self.vacate(writer, at),
                _ => writer.statics.push(key),
            }
        }
    }

    /// Takes back the slots of entries that are no longer live, looking at no
    /// more than `budget` slots from where the last sweep ended.
    pub fn sweep(&self, now: Tick, budget: usize) {
        self.sweep_locked(&mut self.writer(), now, budget);
    }

    /// Does a part of [`Fdb::sweep`] once a second, whichever worker calls: a
    /// table of the default size is gone through within 16 seconds, and a part
    /// takes a few microseconds.
    #[inline]
    pub fn sweep_when_due(&self, now: Tick) {
        let last = self.swept.load(Relaxed);
        if now.since(Tick(last)) < Tick::PER_SECOND {
            return;
        }
        let due = self
            .swept
            .compare_exchange(last, now.0, Relaxed, Relaxed)
            .is_ok();
        if due {
            self.sweep(now, SWEEP);
        }
    }

    /// The live stations, in no order.
    pub fn entries(&self, now: Tick) -> impl Iterator<Item = Entry> + '_ {
        self.slots.iter().filter_map(move |slot| {
            let key = slot.key.load(Acquire);
            let place = slot.read(key)?;
            (key & OCCUPIED != 0 && self.is_live(&place, now)).then(|| {
                let is_static = place.generation == STATIC;
                let [a, b, c, d, e, f, high, low] = key.to_be_bytes();
                Entry {
                    mac: MacAddr(a, b, c, d, e, f),
                    vlan: u16::from_be_bytes([high, low]) >> 1,
                    port: PortId(place.port),
                    is_static,
                    age: if is_static { 0 } else { now.since(place.seen) },
                }
            })
        })
    }

    /// Where the entry for `key` is, and what it says. Ends, as half of the
    /// slots are empty.
    #[inline]
    fn find(&self, key: u64) -> Option<(usize, Place)> {
        let mut at = self.home(key);
        loop {
            let slot = self.slots.get(at)?;
            match slot.key.load(Acquire) {
                EMPTY => return None,
                found if found == key => return Some((at, slot.read(key)?)),
                _ => at = self.next(at),
            }
        }
    }

    #[inline]
    fn is_live(&self, place: &Place, now: Tick) -> bool {
        if place.generation == STATIC {
            return true;
        }
        let ageing = self.ageing.load(Relaxed);
        place.generation == self.generation(place.port)
            && (now.since(place.seen) < ageing || ageing == NEVER)
    }

    #[inline]
    fn generation(&self, port: u16) -> u16 {
        let state = self.ports.get(usize::from(port));
        state.map_or(0, |state| state.generation.load(Relaxed))
    }

    /// Notes that a station was seen again. Should the slot have changed hands
    /// since `old` was read, to a station with the very same `old`, that one is
    /// taken as seen instead: it is behind the same port, and was as well.
    fn refresh(&self, at: usize, old: Place, now: Tick) {
        if let Some(slot) = self.slots.get(at) {
            let new = Place { seen: now, ..old };
            let _ = slot
                .value
                .compare_exchange(old.pack(), new.pack(), Relaxed, Relaxed);
        }
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "masked right after")]
        let hash = self.hasher.hash_one(key) as usize;
        hash & self.mask()
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & self.mask()
    }

    /// The number of slots is a power of two.
    #[inline]
    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The value of `key`, if the slot is still its own after reading it.
    #[inline]
    fn read(&self, key: u64) -> Option<Place> {
        let value = self.value.load(Acquire);
        (self.key.load(Relaxed) == key).then(|| Place::unpack(value))
    }
}

impl Place {
    #[inline]
    fn pack(self) -> u64 {
        u64::from(self.seen.0) << 32 | u64::from(self.generation) << 16 | u64::from(self.port)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "takes the packed fields")]
    fn unpack(value: u64) -> Self {
        Self {
            seen: Tick((value >> 32) as u32),
            generation: (value >> 16) as u16,
            port: value as u16,
        }
    }
}

/// Memory that the kernel maps as zeroes when it is first touched, by huge
/// pages where it is large. A size that
/// cannot be had gives none; the configuration bounds it far below that.
fn zeroed<T: FromZeros>(len: usize) -> Box<[T]> {
    let mut memory = <[T]>::new_box_zeroed_with_elems(len).unwrap_or_default();
    prefer_huge_pages(&mut memory);
    memory
}

#[inline]
fn key(mac: MacAddr, vlan: u16) -> u64 {
    let [a, b, c, d, e, f] = mac.octets();
    let [high, low] = (vlan << 1).to_be_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, high, low]) | OCCUPIED
}

#[cfg(test)]
mod tests;
