//! The switch's own clock: it starts with the switch and only goes forward.

use crate::table::Tick;
use std::time::Instant;

/// Ticks in a day.
const DAY: u32 = 24 * 60 * 60 * Tick::PER_SECOND;

/// Tells the time that the tables and the step are given. Copies agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// The time. It starts at a day, so that there is a time before the start:
    /// stations that another process knew were seen then.
    #[must_use]
    pub fn now(&self) -> Tick {
        let tenths = self.started.elapsed().as_millis() / (1000 / u128::from(Tick::PER_SECOND));
        Tick(u32::try_from(tenths).map_or(u32::MAX, |tenths| tenths.saturating_add(DAY)))
    }
}
