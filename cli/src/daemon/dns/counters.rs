//! What the name server has done.

use crate::dns::refusal::Refusal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters, which only grow, and what there is at a time.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Counters {
    own: AtomicU64,
    cached: AtomicU64,
    forwarded: AtomicU64,
    /// By the number of the reason.
    refused: [AtomicU64; Refusal::ALL.len()],
    kept: AtomicU64,
    asking: AtomicU64,
}

/// Whose answer a question got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// Ours.
    Own,
    /// One that somebody gave before.
    Cached,
    /// That of somebody who was asked for it.
    Forwarded,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::daemon) struct Tally {
    /// Questions answered from the network's own names.
    pub(in crate::daemon) own: u64,
    /// From the cache.
    pub(in crate::daemon) cached: u64,
    /// By others.
    pub(in crate::daemon) forwarded: u64,
    /// Those that were refused or passed over, by the name of the reason.
    pub(in crate::daemon) refused: BTreeMap<&'static str, u64>,
    /// Answers in the cache.
    pub(in crate::daemon) kept: u64,
    /// Questions to others that are under way.
    pub(in crate::daemon) asking: u64,
}

impl Counters {
    pub(super) fn answered(&self, by: Answered) {
        let counter = match by {
            Answered::Own => &self.own,
            Answered::Cached => &self.cached,
            Answered::Forwarded => &self.forwarded,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        if let Some(counter) = self.refused.get(refusal as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn kept(&self, n: usize) {
        self.kept.store(n as u64, Ordering::Relaxed);
    }

    pub(super) fn asking(&self, n: usize) {
        self.asking.store(n as u64, Ordering::Relaxed);
    }

    pub(in crate::daemon) fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refused = Refusal::ALL.iter().zip(&self.refused);
        Tally {
            own: read(&self.own),
            cached: read(&self.cached),
            forwarded: read(&self.forwarded),
            refused: refused
                .map(|(refusal, counter)| (refusal.name(), read(counter)))
                .collect(),
            kept: read(&self.kept),
            asking: read(&self.asking),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_counter_of_its_own() {
        let counters = Counters::default();
        for refusal in Refusal::ALL {
            counters.refused(*refusal);
        }
        let tally = counters.tally();
        assert_eq!(tally.refused.len(), Refusal::ALL.len());
        assert!(tally.refused.values().all(|n| *n == 1), "{tally:?}");
    }
}
