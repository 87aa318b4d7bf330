//! Waiting for a condition, within a deadline.

use anyhow::{Context, Result};
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(10);

/// Enough for whatever the switch or a tool does at once, on a busy machine.
pub const SOON: Duration = Duration::from_secs(10);

/// Calls `condition` until it succeeds, and gives what it gave.
///
/// # Errors
/// The condition's last error, once `within` has passed; `what` says what was
/// waited for.
pub fn until<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("{what}: not within {within:?}"));
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}
