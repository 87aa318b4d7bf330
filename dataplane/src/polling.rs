//! Bounded, adaptive polling: whether a worker that has nothing to do looks
//! once more before it sleeps.
//!
//! Being woken up costs more than looking. So after a busy burst, and only
//! then, a worker may look for a while. How long adapts: the time doubles up to
//! the bound while something comes in it, and halves while nothing does, down
//! to none; from there it is tried again once in [`RETRY`] busy bursts. At rest
//! nothing is polled.

use std::time::{Duration, Instant};

/// Frames that make a round a busy one.
const BUSY: usize = 8;

/// The shortest time that is worth a look: about a system call.
const SHORTEST: Duration = Duration::from_micros(1);

/// Busy bursts after which a worker that has given up polling tries it again.
const RETRY: u32 = 256;

/// When a worker polls.
#[derive(Debug)]
pub(crate) struct Polling {
    bound: Duration,
    /// For how long it polls after the next busy burst; zero: it does not.
    time: Duration,
    /// The end of the polling that is under way.
    until: Option<Instant>,
    /// Busy bursts since it gave up.
    idle: u32,
}

impl Polling {
    /// Polls for no longer than `bound`; zero: never.
    pub(crate) fn new(bound: Duration) -> Self {
        Self {
            bound,
            time: bound.min(SHORTEST),
            until: None,
            idle: 0,
        }
    }

    /// How long it polls at most.
    pub(crate) fn bound(&self) -> Duration {
        self.bound
    }

    /// Whether to look again rather than to sleep, nothing being ready.
    pub(crate) fn goes_on(&mut self) -> bool {
        let Some(until) = self.until else {
            return false;
        };
        let goes_on = Instant::now() < until;
        if !goes_on {
            self.until = None;
            self.time /= 2;
            if self.time < SHORTEST {
                self.time = Duration::ZERO;
            }
        }
        goes_on
    }

    /// Takes note that everything was seen to, `frames` of it.
    pub(crate) fn drained(&mut self, frames: usize) {
        // A command alone is no reason to poll or to stop.
        if self.bound.is_zero() || frames == 0 {
            return;
        }
        if self.until.take().is_some() {
            self.time = (self.time * 2).min(self.bound);
        }
        if frames < BUSY {
            return;
        }
        if self.time.is_zero() {
            self.idle += 1;
            if self.idle < RETRY {
                return;
            }
            self.idle = 0;
            self.time = self.bound.min(SHORTEST);
        }
        self.until = Some(Instant::now() + self.time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_micros(50);

    /// Polls to the end, nothing coming.
    fn in_vain(polling: &mut Polling) -> bool {
        let polled = polling.until.is_some();
        while polling.goes_on() {}
        polled
    }

    #[test]
    fn nothing_is_polled_at_rest_or_after_a_few_frames() {
        let mut polling = Polling::new(BOUND);
        assert!(!polling.goes_on());
        polling.drained(0);
        polling.drained(BUSY - 1);
        assert!(!polling.goes_on());
        let mut never = Polling::new(Duration::ZERO);
        never.drained(64);
        assert!(!never.goes_on());
    }

    #[test]
    fn the_time_grows_to_the_bound_while_something_comes() {
        let mut polling = Polling::new(BOUND);
        polling.drained(64);
        for _ in 0..20 {
            assert!(polling.until.is_some());
            polling.drained(64);
        }
        assert_eq!(polling.time, BOUND);
    }

    #[test]
    fn polling_in_vain_ends_and_is_tried_again_later() {
        let mut polling = Polling::new(BOUND);
        for _ in 0..20 {
            polling.drained(64);
        }
        let mut tries = 0;
        loop {
            if !in_vain(&mut polling) {
                break;
            }
            tries += 1;
            polling.drained(64);
        }
        assert!(tries < 10, "{tries}");
        let bursts = (1..).find(|_| {
            polling.drained(64);
            polling.until.is_some()
        });
        assert_eq!(bursts, Some(RETRY - 1));
    }
}
