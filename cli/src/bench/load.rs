//! What the work costs: CPU time of the whole machine, from `/proc/stat`. It
//! counts what a process's own times leave out, such as a kernel bridge's work
//! in the context of others.

use anyhow::{Context as _, Result};
use serde::Serialize;
use std::fs;

/// CPU seconds that all CPUs have been busy since boot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CpuTime(f64);

impl CpuTime {
    /// Reads `/proc/stat`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let ticks = busy_ticks(&text).context("/proc/stat has no line `cpu`")?;
        Ok(Self(
            ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        ))
    }

    /// Seconds since `before`.
    pub(crate) fn since(self, before: Self) -> f64 {
        (self.0 - before.0).max(0.0)
    }
}

/// The sum of user, nice, system, irq and softirq (proc_stat(5)). Idle, iowait
/// and what a hypervisor stole are no work; guest is part of user.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    let &[user, nice, system, _idle, _iowait, irq, softirq, ..] = fields.as_slice() else {
        return None;
    };
    Some(user + nice + system + irq + softirq)
}

/// CPU time spent on an amount of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Cost {
    /// CPU seconds for 10^9 payload bytes received.
    pub(crate) per_gigabyte: Option<f64>,
    /// CPU seconds for 10^6 frames received; absent where frames cannot be
    /// counted.
    pub(crate) per_million_frames: Option<f64>,
}

impl Cost {
    /// The cost where `seconds` were spent on this much.
    pub(crate) fn new(seconds: f64, bytes: u64, frames: Option<u64>) -> Self {
        let per = |amount: u64, unit: f64| (amount > 0).then(|| seconds / (amount as f64 / unit));
        Self {
            per_gigabyte: per(bytes, 1e9),
            per_million_frames: frames.and_then(|frames| per(frames, 1e6)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_no_work() {
        let stat = "cpu  10 2 30 400 50 6 7 80 9 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_ticks(stat), Some(10 + 2 + 30 + 6 + 7));
        assert_eq!(busy_ticks("intr 1\n"), None);
    }

    #[test]
    fn the_cost_is_for_a_gigabyte_and_a_million_frames() {
        let cost = Cost::new(2.0, 4_000_000_000, Some(500_000));
        assert_eq!(cost.per_gigabyte, Some(0.5));
        assert_eq!(cost.per_million_frames, Some(4.0));
        assert_eq!(Cost::new(2.0, 0, None).per_gigabyte, None);
    }
}
