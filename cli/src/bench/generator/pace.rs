//! How many frames are due: without I/O and clock, so that it can be tested.

use std::time::Duration;

/// Frames that are sent between two looks at the clock, at most.
pub(crate) const BATCH: u32 = 32;
/// A sender that lags by more does not catch up: its frames would come as one
/// burst that no queue is made for.
const LAG: Duration = Duration::from_millis(1);

/// Spaces frames out evenly, in batches of up to [`BATCH`].
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    batch: u32,
    /// Between the starts of two batches; zero: as fast as can be.
    interval: Duration,
    /// When the next batch is due, from the start.
    next: Duration,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send this many frames.
    Frames(u32),
    /// Wait this long.
    Wait(Duration),
}

impl Pace {
    /// As fast as can be.
    pub(crate) const FULL: Self = Self {
        batch: BATCH,
        interval: Duration::ZERO,
        next: Duration::ZERO,
    };

    /// `rate` frames a second.
    pub(crate) fn new(rate: f64) -> Self {
        // About 10,000 batches a second: waking up costs, and a burst of
        // 100 µs is what any guest sends.
        let batch = [32_u32, 24, 16, 12, 8, 6, 4, 3, 2]
            .into_iter()
            .find(|batch| rate >= f64::from(*batch) * 10_000.0)
            .unwrap_or(1);
        Self {
            batch,
            interval: Duration::from_secs_f64(f64::from(batch) / rate.max(1.0)),
            next: Duration::ZERO,
        }
    }

    /// What is due at `now`, counted from the start.
    pub(crate) fn due(&mut self, now: Duration) -> Due {
        if now < self.next {
            return Due::Wait(self.next - now);
        }
        self.next = self.next.max(now.saturating_sub(LAG)) + self.interval;
        Due::Frames(self.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(pace: &mut Pace, step: Duration, end: Duration) -> u32 {
        let (mut now, mut sum) = (Duration::ZERO, 0);
        while now < end {
            match pace.due(now) {
                Due::Frames(n) => sum += n,
                Due::Wait(_) => now += step,
            }
        }
        sum
    }

    #[test]
    fn as_many_frames_are_due_as_the_rate_says() {
        for rate in [1_000_u32, 50_000, 300_000, 2_000_000] {
            let mut pace = Pace::new(rate.into());
            let frames = sent(&mut pace, Duration::from_micros(3), Duration::from_secs(1));
            let error = frames.abs_diff(rate);
            assert!(error <= 2 * BATCH, "{rate}: {frames}");
        }
    }

    #[test]
    fn a_sender_that_was_away_does_not_catch_up() {
        let mut pace = Pace::new(100_000.0);
        let mut burst = 0;
        while let Due::Frames(n) = pace.due(Duration::from_secs(1)) {
            burst += n;
        }
        assert!(burst <= 100 + BATCH, "{burst}");
    }

    #[test]
    fn without_a_rate_frames_are_always_due() {
        assert_eq!(Pace::FULL.clone().due(Duration::ZERO), Due::Frames(BATCH));
    }
}
