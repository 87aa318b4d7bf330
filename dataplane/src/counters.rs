//! What a port has counted. Numbers only grow.

use crate::policy::DropCounts;
use crate::port::Sent;

/// Both directions of a port, as the switch sees them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// What the switch received from the port: what the guest sent.
    pub rx: Counters,
    /// What the switch sent out of the port.
    pub tx: Counters,
}

impl PortCounters {
    /// Adds what another worker has counted of the port.
    pub fn add(&mut self, other: &Self) {
        for (sum, part) in [(&mut self.rx, &other.rx), (&mut self.tx, &other.tx)] {
            sum.frames += part.frames;
            sum.bytes += part.bytes;
            sum.drops.merge(&part.drops);
        }
    }
}

/// One direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames. A super-frame is one, until it is cut.
    pub frames: u64,
    /// Bytes of frame, without FCS and without any offload header.
    pub bytes: u64,
    /// Frames dropped, by reason. Received ones that were then dropped count
    /// under `frames` as well.
    pub drops: DropCounts,
}

impl Counters {
    /// Counts one frame of `len` bytes.
    pub fn count(&mut self, len: usize) {
        self.frames += 1;
        self.bytes += len as u64;
    }

    /// Adds what a transmit reported.
    pub fn merge(&mut self, sent: &Sent) {
        self.frames += sent.frames;
        self.bytes += sent.bytes;
        self.drops.merge(&sent.drops);
    }
}
