//! What the bench is at, on stderr.

use super::peer::Peer;
use super::work::WorkName;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Says how far the bench is.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    runs: usize,
    done: Cell<usize>,
}

impl Progress {
    /// Of a bench of `runs` runs.
    pub(crate) fn new(runs: usize) -> Self {
        Self {
            start: Instant::now(),
            runs,
            done: Cell::new(0),
        }
    }

    /// Says something that is not part of a run.
    pub(crate) fn say(&self, text: &str) {
        eprintln!("{} {text}", clock(self.start.elapsed()));
    }

    /// A run starts.
    pub(crate) fn run(&self, round: u32, work: WorkName, peer: Peer) {
        let done = self.done.get();
        let left = remaining(self.start.elapsed(), done, self.runs)
            .map(|left| format!(", {} left", clock(left).trim_start()))
            .unwrap_or_default();
        self.done.set(done + 1);
        self.say(&format!(
            "[{}/{}{left}] round {round}: {} with {peer}",
            done + 1,
            self.runs,
            work.name(),
        ));
    }
}

/// The time that is left where `done` of `runs` took `elapsed`.
fn remaining(elapsed: Duration, done: usize, runs: usize) -> Option<Duration> {
    let done = u32::try_from(done).ok().filter(|done| *done > 0)?;
    let left = u32::try_from(runs).ok()?.saturating_sub(done);
    Some(elapsed / done * left)
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:3}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_as_the_time_so_far() {
        let minute = Duration::from_secs(60);
        assert_eq!(remaining(minute, 0, 10), None);
        assert_eq!(remaining(minute, 2, 10), Some(4 * minute));
        assert_eq!(remaining(minute, 10, 10), Some(Duration::ZERO));
        assert_eq!(clock(Duration::from_secs(125)), "  2:05");
    }
}
