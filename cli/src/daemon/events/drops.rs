//! Drops over a threshold: from samples of the counters to a beginning and an
//! end.

use std::collections::HashMap;
use std::time::{Duration, Instant};
use vmlan_dataplane::counters::PortCounters;
use vmlan_dataplane::policy::DropReason;
use vmlan_dataplane::table::PortId;

/// Time between two samples, while there are drops.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// How long there have to be fewer, for it to be over.
const QUIET: Duration = Duration::from_secs(10);

/// Which frames, as the switch sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    /// Those that came from the port.
    Rx,
    /// Those that were to go to it.
    Tx,
}

impl Direction {
    /// The name that users see.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rx => "rx",
            Self::Tx => "tx",
        }
    }
}

/// One counter of drops.
pub(super) type Which = (PortId, Direction, DropReason);

/// What a sample shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// There are more than the threshold.
    Began {
        /// Where and why.
        which: Which,
        /// How many a second.
        rate: u64,
    },
    /// There were not, for a while.
    Ended {
        /// Where and why.
        which: Which,
        /// How many there were.
        frames: u64,
        /// From the first sample over the threshold to the last, the first
        /// one's interval included.
        lasted: Duration,
    },
}

/// What was counted, and where there is too much of it.
#[derive(Debug)]
pub(super) struct Drops {
    /// When the last sample was taken.
    at: Instant,
    counted: HashMap<Which, u64>,
    over: HashMap<Which, Over>,
}

#[derive(Debug)]
struct Over {
    since: Instant,
    /// What had been counted before.
    before: u64,
    /// The last sample over the threshold.
    last: Instant,
    /// What had been counted by then.
    then: u64,
}

impl Drops {
    /// Nothing is counted yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            at: now,
            counted: HashMap::new(),
            over: HashMap::new(),
        }
    }

    /// Whether further samples are wanted though nothing may be dropped.
    pub(super) fn is_over(&self) -> bool {
        !self.over.is_empty()
    }

    /// Takes a sample of the counters of all ports. More than `threshold` drops
    /// a second are too many; 0: any number is fine.
    pub(super) fn sample(
        &mut self,
        ports: &[(PortId, PortCounters)],
        threshold: u64,
        now: Instant,
    ) -> Vec<Change> {
        // Drops that come in a shorter time are not taken for more than they are.
        let elapsed = now.saturating_duration_since(self.at).max(INTERVAL);
        let began = self.at;
        self.at = now;
        let before = std::mem::take(&mut self.counted);
        self.counted = counts(ports).collect();
        let counted = &self.counted;
        // A port that is gone has no counters any more, or another has its number.
        self.over
            .retain(|which, over| counted.get(which).is_some_and(|n| *n >= over.then));
        let mut changes = Vec::new();
        for (which, count) in counted {
            let old = before.get(which).copied().filter(|old| old <= count);
            let dropped = count.saturating_sub(old.unwrap_or_default());
            let rate = u128::from(dropped) * 1000 / elapsed.as_millis().max(1);
            let rate = u64::try_from(rate).unwrap_or(u64::MAX);
            if threshold == 0 || rate <= threshold {
                continue;
            }
            if let Some(over) = self.over.get_mut(which) {
                (over.last, over.then) = (now, *count);
                continue;
            }
            let over = Over {
                since: began,
                before: old.unwrap_or_default(),
                last: now,
                then: *count,
            };
            self.over.insert(*which, over);
            changes.push(Change::Began {
                which: *which,
                rate,
            });
        }
        self.over.retain(|which, over| {
            let goes_on = now.saturating_duration_since(over.last) < QUIET;
            if !goes_on {
                changes.push(Change::Ended {
                    which: *which,
                    frames: over.then.saturating_sub(over.before),
                    lasted: over.last.saturating_duration_since(over.since),
                });
            }
            goes_on
        });
        changes
    }
}

fn counts(ports: &[(PortId, PortCounters)]) -> impl Iterator<Item = (Which, u64)> {
    ports.iter().flat_map(|(id, counters)| {
        let rx = counters.rx.drops.iter();
        let tx = counters.tx.drops.iter();
        rx.map(|(reason, n)| ((*id, Direction::Rx, reason), n))
            .chain(tx.map(|(reason, n)| ((*id, Direction::Tx, reason), n)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHICH: Which = (PortId(3), Direction::Rx, DropReason::Runt);

    fn counted(n: u64) -> [(PortId, PortCounters); 1] {
        let mut counters = PortCounters::default();
        counters.rx.drops.add(DropReason::Runt, n);
        [(PortId(3), counters)]
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn drops_begin_over_the_threshold_and_end_once_it_was_quiet() {
        let start = Instant::now();
        let mut drops = Drops::new(start);
        let mut sample = |seconds, n| {
            let changes = drops.sample(&counted(n), 100, after(start, seconds));
            (changes, drops.is_over())
        };
        assert_eq!(sample(1, 100), (vec![], false));
        let began = Change::Began {
            which: WHICH,
            rate: 101,
        };
        assert_eq!(sample(2, 201), (vec![began], true));
        // It is told once, also where it falls below for a moment.
        assert_eq!(sample(3, 900), (vec![], true));
        assert_eq!(sample(4, 900), (vec![], true));
        assert_eq!(sample(5, 1900), (vec![], true));
        assert_eq!(sample(14, 2000), (vec![], true));
        let ended = Change::Ended {
            which: WHICH,
            frames: 1800,
            lasted: Duration::from_secs(4),
        };
        assert_eq!(sample(15, 2000), (vec![ended], false));
        assert_eq!(sample(16, 2000), (vec![], false));
    }

    #[test]
    fn a_few_drops_in_a_moment_or_in_a_long_time_are_no_flood() {
        let start = Instant::now();
        let mut drops = Drops::new(start);
        let moment = start + Duration::from_millis(10);
        assert_eq!(drops.sample(&counted(90), 100, moment), []);
        assert_eq!(
            drops.sample(&counted(100_090), 100, after(moment, 1000)),
            []
        );
        assert_eq!(
            drops.sample(&counted(200_091), 100, after(moment, 2000)),
            []
        );
    }

    #[test]
    fn a_threshold_of_0_is_none() {
        let start = Instant::now();
        let mut drops = Drops::new(start);
        assert_eq!(drops.sample(&counted(1_000_000), 0, after(start, 1)), []);
    }

    #[test]
    fn a_port_that_goes_takes_its_drops_along() {
        let start = Instant::now();
        let mut drops = Drops::new(start);
        let began = drops.sample(&counted(5000), 100, after(start, 1));
        assert_eq!(began.len(), 1);
        assert_eq!(drops.sample(&[], 100, after(start, 2)), []);
        assert!(!drops.is_over());
        // Another has its number.
        assert_eq!(drops.sample(&counted(7), 100, after(start, 3)), []);
        let again = drops.sample(&counted(5007), 100, after(start, 4));
        assert_eq!(again.len(), 1);
    }
}
