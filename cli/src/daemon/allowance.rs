//! A bound for log lines that guests cause: what exceeds it is counted, and
//! said with the next line that is allowed.

use std::time::{Duration, Instant};

/// Lines that may come at once.
const BURST: u32 = 100;
/// Time after which one more line may come.
const REFILL: Duration = Duration::from_millis(200);

/// How many lines may still come.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    refilled: Instant,
    unsaid: u64,
}

impl Allowance {
    /// With all that may come at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            refilled: now,
            unsaid: 0,
        }
    }

    /// Calls `line` if it may come, with what to put behind it: how many did
    /// not, or nothing.
    pub(super) fn say(&mut self, now: Instant, line: impl FnOnce(&str)) {
        match self.take(now) {
            None => {}
            Some(0) => line(""),
            Some(n) => line(&format!(" ({n} more lines before this one are left out)")),
        }
    }

    /// Whether one more may come: then how many did not since the last one.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        let refills = now.saturating_duration_since(self.refilled).as_millis() / REFILL.as_millis();
        if let Ok(refills) = u32::try_from(refills)
            && refills > 0
        {
            self.left = self.left.saturating_add(refills).min(BURST);
            self.refilled = now;
        }
        let Some(rest) = self.left.checked_sub(1) else {
            self.unsaid += 1;
            return None;
        };
        self.left = rest;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_allowance_are_counted_and_said_later() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let mut said = Vec::new();
        for _ in 0..BURST + 7 {
            allowance.say(start, |unsaid| said.push(unsaid.to_owned()));
        }
        assert_eq!(said.len(), BURST as usize);
        allowance.say(start + REFILL, |unsaid| said.push(unsaid.to_owned()));
        assert_eq!(
            said.last().map(String::as_str),
            Some(" (7 more lines before this one are left out)")
        );
    }
}
