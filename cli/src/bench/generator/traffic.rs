//! Traffic between guests for a while: one thread sends, one receives and
//! checks, and the calling one looks at the counters.

use super::frame::{Shape, Template};
use super::guest::Guest;
use super::inbox::{Count, Depth, Inbox};
use super::pace::{Due, Pace};
use crate::bench::interrupt;
use crate::bench::load::CpuTime;
use anyhow::{Context as _, Result, anyhow};
use rustix::thread::set_current_timer_slack;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// After the last frame sent, this much silence means that none comes any
/// more.
const SILENCE: Duration = Duration::from_millis(60);
/// Frames of one flow before the next one has its turn, where there are more.
const TURN: u32 = 8;

/// Frames from one guest to another, or to all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    /// Number of the guest that sends.
    pub(crate) from: u8,
    /// Number of the guest that is meant, or
    /// [`EVERYONE`](super::frame::EVERYONE).
    pub(crate) to: u8,
    /// What the frames look like.
    pub(crate) shape: Shape,
}

/// What is sent, and who listens.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    /// The flows, which take turns.
    pub(crate) flows: Vec<Flow>,
    /// Frames a second over all flows; [`None`]: as fast as can be.
    pub(crate) rate: Option<f64>,
    /// The guest that does not read what it gets, if there is one.
    pub(crate) stuck: Option<usize>,
    /// How long is counted; a quarter of it goes before, uncounted.
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// All that was sent.
    pub(crate) sent: Count,
    /// For how long was sent, in seconds.
    pub(crate) sending: f64,
    /// All that was received, to the last frame.
    pub(crate) received: Count,
    /// What each guest received of that.
    pub(crate) by_guest: Vec<Count>,
    /// What was received in the counted time.
    pub(crate) counted: Count,
    /// The counted time in seconds.
    pub(crate) seconds: f64,
    /// CPU seconds of the whole machine in the counted time.
    pub(crate) cpu: f64,
}

impl Outcome {
    /// Frames a second that were sent.
    pub(crate) fn sent_rate(&self) -> f64 {
        self.sent.frames as f64 / self.sending
    }

    /// Frames a second that were received.
    pub(crate) fn frame_rate(&self) -> f64 {
        self.counted.frames as f64 / self.seconds
    }

    /// Payload bits a second that were received.
    pub(crate) fn bit_rate(&self) -> f64 {
        self.counted.bytes as f64 * 8.0 / self.seconds
    }

    /// The part of the bytes sent that was not received, where each frame goes
    /// to `copies` guests.
    pub(crate) fn loss(&self, copies: u64) -> f64 {
        let wanted = self.sent.bytes.saturating_mul(copies).max(1);
        wanted.saturating_sub(self.received.bytes) as f64 / wanted as f64
    }
}

/// Two counters that one thread writes and another reads, on a cache line of
/// their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shown {
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl Shown {
    fn set(&self, count: Count) {
        self.frames.store(count.frames, Ordering::Relaxed);
        self.bytes.store(count.bytes, Ordering::Relaxed);
    }

    fn get(&self) -> Count {
        Count {
            frames: self.frames.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl Traffic {
    /// Sends from the sequence number `sequence` on, which is moved on, so that
    /// no frame is like one before.
    ///
    /// # Errors
    /// A frame was [`Wrong`](super::Wrong), a netdev is gone, or the bench was
    /// interrupted.
    pub(crate) fn run(&self, guests: &[Guest], sequence: &mut u64) -> Result<Outcome> {
        let first = *sequence;
        let (end, ended, shown) = (
            AtomicBool::new(false),
            AtomicBool::new(false),
            Shown::default(),
        );
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let sent = self.send(guests, first, &end);
                end.store(true, Ordering::Release);
                ended.store(true, Ordering::Release);
                sent
            });
            let receiver = scope.spawn(|| {
                let received = self.receive(guests, &ended, &shown);
                // Without a receiver there is nothing to send for.
                end.store(true, Ordering::Release);
                received
            });
            let counted = self.count(&end, &shown);
            end.store(true, Ordering::Release);
            let panicked = |_| anyhow!("a thread of the generator panicked");
            let (sent, next, sending) = sender.join().map_err(panicked)??;
            *sequence = next;
            let (received, by_guest) = receiver.join().map_err(panicked)??;
            let (counted, seconds, cpu) = counted?;
            Ok(Outcome {
                sent,
                sending,
                received,
                by_guest,
                counted,
                seconds,
                cpu,
            })
        })
    }

    /// Looks at the counters at the start and the end of the counted time.
    fn count(&self, end: &AtomicBool, shown: &Shown) -> Result<(Count, f64, f64)> {
        interrupt::sleep(self.time / 4)?;
        let (start, before, cpu) = (Instant::now(), shown.get(), CpuTime::now()?);
        let stop = start + self.time;
        // Not longer where the generator has failed.
        while Instant::now() < stop && !end.load(Ordering::Acquire) {
            let left = stop.saturating_duration_since(Instant::now());
            interrupt::sleep(left.min(Duration::from_millis(50)))?;
        }
        let (seconds, after) = (start.elapsed().as_secs_f64(), shown.get());
        let cpu = CpuTime::now()?.since(cpu);
        let counted = Count {
            frames: after.frames - before.frames,
            bytes: after.bytes - before.bytes,
        };
        Ok((counted, seconds, cpu))
    }

    fn send(&self, guests: &[Guest], first: u64, end: &AtomicBool) -> Result<(Count, u64, f64)> {
        // Sleeps between batches end when they should, not up to 50 µs later.
        set_current_timer_slack(NonZeroU64::new(1)).context("cannot set the timer slack")?;
        let mut flows = self
            .flows
            .iter()
            .map(|flow| {
                let guest = guests
                    .get(usize::from(flow.from))
                    .context("no such guest")?;
                Ok((guest, Template::new(flow.from, flow.to, flow.shape, 0)))
            })
            .collect::<Result<Vec<_>>>()?;
        let mut pace = self.rate.map_or(Pace::FULL, Pace::new);
        let turn = if flows.len() == 1 { u32::MAX } else { TURN };
        let (mut sent, mut sequence) = (Count::default(), first);
        let (mut current, mut left) = (0, turn);
        let start = Instant::now();
        while !end.load(Ordering::Acquire) {
            let due = match pace.due(start.elapsed()) {
                Due::Frames(due) => due,
                Due::Wait(time) => {
                    thread::sleep(time);
                    continue;
                }
            };
            for _ in 0..due {
                if left == 0 {
                    current = (current + 1) % flows.len();
                    left = turn;
                }
                let (guest, template) = flows.get_mut(current).context("no flow")?;
                template.number(sequence);
                guest.send(template)?;
                sent.add(template.payload());
                sequence += 1;
                left -= 1;
            }
        }
        Ok((sent, sequence, start.elapsed().as_secs_f64()))
    }

    fn receive(
        &self,
        guests: &[Guest],
        ended: &AtomicBool,
        shown: &Shown,
    ) -> Result<(Count, Vec<Count>)> {
        let mut inbox = Inbox::new(guests);
        let open = |index| self.stuck != Some(index);
        let mut last = Instant::now();
        loop {
            // Asked before the look, so that what came before the end counts.
            let over = ended.load(Ordering::Acquire);
            if inbox.turn(Duration::from_millis(10), Depth::Sample, open)? {
                shown.set(inbox.total());
                last = Instant::now();
            } else if over && last.elapsed() > SILENCE {
                let counts = (0..guests.len()).map(|index| inbox.count(index)).collect();
                return Ok((inbox.total(), counts));
            }
        }
    }
}
