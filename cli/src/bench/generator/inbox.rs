//! Receives for all guests and checks what comes: who it is for, in which
//! order, and its bytes.

use super::Wrong;
use super::frame::{Arrival, EVERYONE, checksum_holds};
use super::guest::{BUFFER, Guest};
use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::time::Duration;

/// Frames that are read from one guest before the next has its turn.
const TURN: usize = 64;

/// How much of a frame is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The tag of each, all of every 64th: costs little.
    Sample,
    /// Every byte and checksum.
    Full,
}

/// Frames and payload bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Frames; a super-frame is one, and so is each segment of one that was
    /// cut.
    pub(crate) frames: u64,
    /// Payload bytes behind the Ethernet header, of a super-frame behind the
    /// TCP header.
    pub(crate) bytes: u64,
}

impl Count {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
    }
}

/// What is known about what one guest has from another.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    /// The last sequence number.
    last: Option<u64>,
    salt: u16,
}

/// Where the frames for all guests come in.
#[derive(Debug)]
pub(crate) struct Inbox<'g> {
    guests: &'g [Guest],
    heard: Vec<Heard>,
    buffer: Vec<u8>,
    /// What each guest has got.
    counts: Vec<Count>,
    total: Count,
}

impl<'g> Inbox<'g> {
    pub(crate) fn new(guests: &'g [Guest]) -> Self {
        Self {
            guests,
            heard: vec![Heard::default(); guests.len() * guests.len()],
            buffer: vec![0; BUFFER],
            counts: vec![Count::default(); guests.len()],
            total: Count::default(),
        }
    }

    /// All that came so far.
    pub(crate) fn total(&self) -> Count {
        self.total
    }

    /// What came for guest `index` so far.
    pub(crate) fn count(&self, index: usize) -> Count {
        self.counts.get(index).copied().unwrap_or_default()
    }

    /// Waits up to `timeout` until a frame comes for a guest that `open`
    /// takes, and reads what there is. Says whether anything came.
    ///
    /// # Errors
    /// [`Wrong`], or a netdev is gone.
    pub(crate) fn turn(
        &mut self,
        timeout: Duration,
        depth: Depth,
        open: impl Fn(usize) -> bool,
    ) -> Result<bool> {
        let guests = self.guests;
        let open: Vec<_> = guests
            .iter()
            .enumerate()
            .filter(|(i, _)| open(*i))
            .collect();
        let mut fds: Vec<_> = open
            .iter()
            .map(|(_, guest)| PollFd::new(guest, PollFlags::IN))
            .collect();
        let timeout = Timespec::try_from(timeout).context("a timeout")?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error).context("cannot wait for frames"),
        }
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        for ((index, guest), _) in open.iter().zip(ready).filter(|(_, ready)| *ready) {
            self.read(*index, guest, depth)?;
        }
        Ok(true)
    }

    fn read(&mut self, index: usize, guest: &Guest, depth: Depth) -> Result<()> {
        // Taken out for as long as a frame in it is looked at.
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..TURN {
            let Some((header, frame)) = guest.receive(&mut buffer)? else {
                break;
            };
            if let Some(arrival) = Arrival::parse(frame) {
                if depth == Depth::Full {
                    checksum_holds(&header, frame)?;
                }
                self.accept(index, &arrival, depth)?;
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    /// Checks and counts what guest `index` has got.
    fn accept(&mut self, index: usize, arrival: &Arrival<'_>, depth: Depth) -> Result<(), Wrong> {
        // A segment without a tag is taken to belong to the last frame; its
        // bytes would show otherwise.
        let from = arrival.tag.map(|tag| usize::from(tag.from));
        let place = match from {
            Some(from) => index * self.guests.len() + from,
            None => {
                let row = index * self.guests.len();
                let last = |place: &usize| self.heard.get(*place).is_some_and(|h| h.last.is_some());
                (row..row + self.guests.len()).find(last).unwrap_or(row)
            }
        };
        let Some(heard) = self.heard.get_mut(place) else {
            return Err(Wrong(
                "a frame came from a guest that there is not".to_owned(),
            ));
        };
        if let Some(tag) = arrival.tag {
            if tag.to != EVERYONE && usize::from(tag.to) != index {
                return Err(Wrong(format!(
                    "guest {index} got a frame that was for guest {}",
                    tag.to
                )));
            }
            if usize::from(tag.from) == index {
                return Err(Wrong(format!("guest {index} got a frame of its own back")));
            }
            if let Some(last) = heard.last
                && tag.sequence <= last
            {
                return Err(Wrong(format!(
                    "guest {index} got frame {} of guest {} after {last}: twice or out of order",
                    tag.sequence, tag.from
                )));
            }
            heard.last = Some(tag.sequence);
            heard.salt = tag.salt;
        }
        let salt = heard.salt;
        if depth == Depth::Full || self.total.frames.is_multiple_of(64) {
            arrival.compare(salt)?;
        }
        self.total.add(arrival.payload.len());
        if let Some(count) = self.counts.get_mut(index) {
            count.add(arrival.payload.len());
        }
        Ok(())
    }
}
