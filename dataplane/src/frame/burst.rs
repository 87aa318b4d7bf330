//! A burst: the frames that one receive brings in, in buffers that are used
//! again for the next.

use super::Frame;
use crate::policy::{DropCounts, DropReason};

/// Frames in a burst at most.
pub const BURST: usize = 64;

/// Work after which a burst takes no further frame, in bytes to be copied: four
/// super-frames. The other ports wait for as long as it takes.
const WORK: usize = 256 << 10;

/// What cutting off a segment costs, as bytes to be copied.
const SEGMENT_WORK: usize = 256;

/// Up to [`BURST`] frames from one port, and what the port refused on the way.
///
/// A port fills [`Burst::vacant`] frames and [accepts](Burst::accept) or
/// [refuses](Burst::refuse) each. Buffers are allocated once.
#[derive(Debug)]
pub struct Burst {
    frames: Vec<Frame>,
    used: usize,
    work: usize,
    refused: DropCounts,
}

impl Default for Burst {
    fn default() -> Self {
        Self {
            frames: (0..BURST).map(|_| Frame::default()).collect(),
            used: 0,
            work: 0,
            refused: DropCounts::default(),
        }
    }
}

impl Burst {
    /// Empties the burst for the next receive; the buffers stay.
    pub fn clear(&mut self) {
        self.used = 0;
        self.work = 0;
        self.refused = DropCounts::default();
    }

    /// Frames that a port may still fill; none once the burst
    /// [is full](Burst::is_full).
    pub fn vacant(&mut self) -> &mut [Frame] {
        let from = if self.is_full() {
            self.frames.len()
        } else {
            self.used
        };
        self.frames.get_mut(from..).unwrap_or_default()
    }

    /// The frames that a port has filled and neither accepted nor refused yet:
    /// like [`Burst::vacant`], also when the burst has become full meanwhile.
    pub fn received(&mut self) -> &mut [Frame] {
        self.frames.get_mut(self.used..).unwrap_or_default()
    }

    /// Takes the vacant frame at `index` into the burst, behind the accepted
    /// ones. What stood between moves up by a swap, so a port that walks its
    /// received frames in order passes `index` minus the number accepted since.
    pub fn accept(&mut self, index: usize) {
        let at = self.used + index;
        if let Some(frame) = self.frames.get(at) {
            let segments = frame.offload().segments(frame.len());
            self.work += frame.len() + segments * SEGMENT_WORK;
            self.frames.swap(self.used, at);
            self.used += 1;
        }
    }

    /// Counts a frame that the port received but could not use.
    pub fn refuse(&mut self, reason: DropReason) {
        self.refused.add(reason, 1);
    }

    /// The accepted frames, in the order of their arrival.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        self.frames.get(..self.used).unwrap_or_default()
    }

    /// What the port refused since [`Burst::clear`].
    #[must_use]
    pub fn refused(&self) -> &DropCounts {
        &self.refused
    }

    /// Whether the burst is to be forwarded before more is received: by the
    /// number of its frames or the work that they make.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used == self.frames.len() || self.work >= WORK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_super_frames_fill_a_burst() {
        let mut burst = Burst::default();
        while let Some(frame) = burst.vacant().first_mut() {
            frame.set(&[0; 65_536]);
            burst.accept(0);
        }
        assert_eq!(burst.frames().len(), 4);
    }

    #[test]
    fn accepted_frames_keep_their_order_around_a_refused_one() {
        let mut burst = Burst::default();
        for (i, frame) in (0..3).zip(burst.vacant()) {
            frame.set(&[i; 20]);
        }
        burst.accept(0);
        burst.refuse(DropReason::Runt);
        burst.accept(1);
        let first: Vec<u8> = burst.frames().iter().map(|f| f.bytes()[0]).collect();
        assert_eq!(first, [0, 2]);
        assert_eq!(burst.refused().get(DropReason::Runt), 1);
    }
}
