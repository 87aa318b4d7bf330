//! What the TFTP server has done.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters, which only grow, and the number of transfers that run.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Counters {
    running: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    bytes: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) struct Tally {
    /// Transfers that run.
    pub(in crate::daemon) running: u64,
    /// Files that were sent whole.
    pub(in crate::daemon) sent: u64,
    /// Transfers that ended before that.
    pub(in crate::daemon) failed: u64,
    /// Requests that were not served.
    pub(in crate::daemon) refused: u64,
    /// Bytes of file in the packets sent, those sent again included.
    pub(in crate::daemon) bytes: u64,
}

impl Counters {
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self, n: usize) {
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn running(&self, n: usize) {
        self.running.store(n as u64, Ordering::Relaxed);
    }

    /// A transfer ended.
    pub(super) fn ended(&self, whole: bool) {
        let counter = if whole { &self.sent } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::daemon) fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            running: read(&self.running),
            sent: read(&self.sent),
            failed: read(&self.failed),
            refused: read(&self.refused),
            bytes: read(&self.bytes),
        }
    }
}
