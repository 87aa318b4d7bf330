//! What happens on the network, told once: a line in the log, and an object to
//! each follower of the control socket ([`stream`]).
//!
//! Whoever finds out about something gives it to [`Events::tell`], from any
//! thread. Guests can cause most of it, so each kind has an [`Allowance`]; what
//! exceeds it is counted and said with the next of its kind. The last
//! [`KEPT`] are kept. A follower has no queue of its own: it remembers how far
//! it has read of what is kept, and is told how many it was too slow for.
//!
//! The switch's threads take no part. They note what they see in a ring, and
//! [`watch`] makes events of that: moves of stations and conflicts of addresses,
//! [folded](fold) so that a guest cannot fill the log, and [`drops`] of frames.

pub(super) mod dhcp;
mod drops;
mod fold;
pub(super) mod stream;
pub(super) mod watch;

use super::allowance::Allowance;
use crate::events::{Event, Record, Weight, stamp};
use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch as channel;

/// Events that are kept for followers that come later.
const KEPT: usize = 1000;

/// What has happened on one network. Clones speak of the same one.
#[derive(Debug, Clone)]
pub(super) struct Events {
    told: Arc<Mutex<Told>>,
    /// The number of the latest, for followers that wait.
    latest: Arc<channel::Sender<u64>>,
}

#[derive(Debug)]
struct Told {
    network: String,
    /// In the order of their numbers, which have no gap.
    kept: VecDeque<Arc<Record>>,
    /// The number of the first of this run.
    first: u64,
    next: u64,
    allowances: HashMap<&'static str, Allowance>,
}

/// What a follower is given next.
#[derive(Debug, PartialEq)]
enum Next {
    /// This one.
    Record(Arc<Record>),
    /// Nothing yet.
    Nothing,
}

impl Events {
    /// None yet, of the network of that name.
    pub(super) fn new(network: &str) -> Self {
        // No number is used again after a restart: there are never as many events
        // as microseconds. A number of JSON holds them until the year 2255.
        let now = Timestamp::now().as_microsecond();
        let first = u64::try_from(now).unwrap_or_default().max(1);
        Self {
            told: Arc::new(Mutex::new(Told {
                network: network.to_owned(),
                kept: VecDeque::with_capacity(KEPT),
                first,
                next: first,
                allowances: HashMap::new(),
            })),
            latest: Arc::new(channel::Sender::new(first.saturating_sub(1))),
        }
    }

    /// Tells of `event`, unless too many of its kind came of late.
    pub(super) fn tell(&self, event: Event) {
        self.tell_at(event, Instant::now());
    }

    fn tell_at(&self, event: Event, now: Instant) {
        let Some(record) = self.told().keep(event, now) else {
            return;
        };
        log(&record);
        // Two threads may come here in the other order.
        self.latest.send_if_modified(|latest| {
            let newer = record.seq > *latest;
            *latest = record.seq.max(*latest);
            newer
        });
    }

    /// The number of the latest event.
    fn latest(&self) -> u64 {
        self.told().next.saturating_sub(1)
    }

    /// What comes after the event with the number `seen`.
    fn after(&self, seen: u64) -> Next {
        self.told().after(seen)
    }

    /// Told when there is a new event.
    fn follow(&self) -> channel::Receiver<u64> {
        self.latest.subscribe()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn keep(&mut self, event: Event, now: Instant) -> Option<Arc<Record>> {
        let allowance = self
            .allowances
            .entry(event.kind())
            .or_insert_with(|| Allowance::new(now));
        let left_out = allowance.take(now)?;
        let record = Arc::new(Record {
            seq: self.next,
            time: stamp(Timestamp::now()),
            network: self.network.clone(),
            left_out,
            event,
        });
        self.next = self.next.saturating_add(1);
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::clone(&record));
        Some(record)
    }

    fn after(&self, seen: u64) -> Next {
        let oldest = self.kept.front().map_or(self.next, |record| record.seq);
        let wanted = seen.saturating_add(1);
        // Of a run that was by a clock that was ahead.
        let unknown = wanted > self.next;
        if wanted >= oldest && !unknown {
            let place = usize::try_from(wanted.saturating_sub(oldest)).ok();
            let record = place.and_then(|place| self.kept.get(place));
            return record.map_or(Next::Nothing, |it| Next::Record(Arc::clone(it)));
        }
        // The last of those that it has missed, so that it goes on from there.
        let seq = oldest.saturating_sub(1);
        let count = match wanted {
            // 0 asks for all that is kept, and is told how many are not.
            1 => seq.checked_sub(self.first.saturating_sub(1)),
            _ if wanted >= self.first && !unknown => Some(oldest.saturating_sub(wanted)),
            _ => None,
        };
        if count == Some(0) {
            return self.after(seq);
        }
        Next::Record(Arc::new(Record {
            seq,
            time: stamp(Timestamp::now()),
            network: self.network.clone(),
            left_out: 0,
            event: Event::Lost { count },
        }))
    }
}

/// The line in the log.
fn log(record: &Record) {
    let event = &record.event;
    let left_out = crate::events::left_out(record.left_out);
    match event.weight() {
        Weight::Routine => tracing::debug!("{event}{left_out}"),
        Weight::News => tracing::info!("{event}{left_out}"),
        Weight::Trouble => tracing::warn!("{event}{left_out}"),
        Weight::Failure => tracing::error!("{event}{left_out}"),
    }
}

#[cfg(test)]
mod tests;
