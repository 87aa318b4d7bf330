//! One transfer: what is sent, and when it is sent again.
//!
//! The server sends a window of blocks and waits for the acknowledgement of the
//! last (RFC 7440); without that option a window is one block (RFC 1350). An
//! acknowledgement of a block in the middle says that what followed was lost:
//! the next window starts there. One that is older, or comes twice, is not
//! answered, so that packets that arrive twice do not double all that follow
//! ("sorcerer's apprentice", RFC 1123 §4.2.3.1); if it was meant, the clock
//! mends it.
//!
//! Blocks are counted from 1 and without end here. On the wire they have 16
//! bits: of an acknowledgement the number in the window counts that it can
//! mean, which is one at most.

use super::options::Agreed;
use super::packet::Packet;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// The first wait for an acknowledgement, if the client wants no other. It
/// doubles each time.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The longest wait, unless the client wants a longer one.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(8);
/// A client that has never acknowledged anything is given up after this time:
/// it may not be there at all.
const GIVE_UP_UNHEARD: Duration = Duration::from_secs(10);
/// One that was heard is given up after this time of silence, as with dnsmasq.
const GIVE_UP: Duration = Duration::from_secs(120);

/// The state of a transfer.
#[derive(Debug)]
pub struct Transfer {
    window: u64,
    phase: Phase,
    /// The last block that the client has, with all before it.
    acked: u64,
    /// The last block that was sent.
    sent: u64,
    /// The last block of the file, once it is known.
    last: Option<u64>,
    /// The first wait, and the present one.
    timeout: Duration,
    wait: Duration,
    resend_at: Instant,
    give_up_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The option acknowledgement was sent.
    Options,
    /// Blocks were sent, and none acknowledged yet, nor options.
    Unheard,
    /// The client is there.
    Heard,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until a packet comes or [`Transfer::deadline`] has passed.
    Wait,
    /// Send the option acknowledgement.
    Options,
    /// Send these blocks, as far as there are any: with the last of the file
    /// [`Transfer::ends_with`] has to be called.
    Blocks(RangeInclusive<u64>),
    /// The transfer is over.
    End(End),
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The client has the whole file.
    Complete,
    /// All was sent; the last acknowledgement did not come, which some clients
    /// never send.
    Unconfirmed,
    /// The client is silent.
    TimedOut,
    /// The client does not want it, or no more of it; RFC 1350 appendix I.
    Aborted {
        /// What it is.
        code: u16,
        /// In words, as the client sent it.
        message: Vec<u8>,
    },
    /// The client sent what does not belong to a transfer.
    Illegal,
}

impl Transfer {
    /// Starts a transfer at `now`, with the first step.
    #[must_use]
    pub fn begin(agreed: &Agreed, now: Instant) -> (Self, Step) {
        let timeout = agreed.timeout.unwrap_or(TIMEOUT);
        let mut transfer = Self {
            window: agreed.window.into(),
            phase: Phase::Unheard,
            acked: 0,
            sent: 0,
            last: None,
            timeout,
            wait: timeout,
            resend_at: now,
            give_up_at: now + GIVE_UP_UNHEARD.max(timeout * 2),
        };
        let step = if agreed.packet.is_some() {
            transfer.phase = Phase::Options;
            Step::Options
        } else {
            transfer.blocks()
        };
        transfer.rest(now);
        (transfer, step)
    }

    /// When [`Transfer::expired`] has to be called, if no packet comes before.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.resend_at.min(self.give_up_at)
    }

    /// Whether the client has acknowledged anything: so it is there, and wants
    /// the file.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.phase == Phase::Heard
    }

    /// Block `last`, which was to be sent, is the last of the file.
    pub fn ends_with(&mut self, last: u64) {
        self.last = Some(last);
        self.sent = self.sent.min(last);
    }

    /// The client sent `packet`.
    pub fn receive(&mut self, packet: &Packet<'_>, now: Instant) -> Step {
        match packet {
            Packet::Ack(block) => self.acknowledged(*block, now),
            Packet::Error { code, message } => Step::End(End::Aborted {
                code: *code,
                message: message.to_vec(),
            }),
            // Its request may come late a second time, from the same port.
            Packet::Read(_) => Step::Wait,
            Packet::Write | Packet::Unexpected => Step::End(End::Illegal),
        }
    }

    /// No packet came until [`Transfer::deadline`].
    pub fn expired(&mut self, now: Instant) -> Step {
        if now < self.deadline() {
            return Step::Wait;
        }
        if now >= self.give_up_at {
            return Step::End(self.give_up());
        }
        self.wait = (self.wait * 2).min(LONGEST_TIMEOUT.max(self.timeout));
        self.resend_at = now + self.wait;
        if self.phase == Phase::Options {
            Step::Options
        } else {
            self.blocks()
        }
    }

    /// How it ends where nobody is there any more.
    #[must_use]
    pub fn give_up(&self) -> End {
        if self.is_heard() && self.last == Some(self.sent) {
            End::Unconfirmed
        } else {
            End::TimedOut
        }
    }

    /// The client has the blocks up to the one with the low bits `block`.
    fn acknowledged(&mut self, block: u16, now: Instant) -> Step {
        if self.phase == Phase::Options {
            if block != 0 {
                return Step::Wait;
            }
        } else {
            let [.., high, low] = self.acked.to_be_bytes();
            let more = u64::from(block.wrapping_sub(u16::from_be_bytes([high, low])));
            if more == 0 || more > self.sent - self.acked {
                return Step::Wait;
            }
            self.acked += more;
        }
        self.phase = Phase::Heard;
        self.wait = self.timeout;
        self.give_up_at = now + GIVE_UP.max(self.timeout * 2);
        self.rest(now);
        if self.last == Some(self.acked) {
            return Step::End(End::Complete);
        }
        self.blocks()
    }

    /// The window behind what the client has.
    fn blocks(&mut self) -> Step {
        let last = self.last.unwrap_or(u64::MAX);
        let end = self.acked.saturating_add(self.window).min(last);
        self.sent = self.sent.max(end);
        Step::Blocks(self.acked.saturating_add(1)..=end)
    }

    fn rest(&mut self, now: Instant) {
        self.resend_at = now + self.wait;
    }
}

#[cfg(test)]
mod tests;
