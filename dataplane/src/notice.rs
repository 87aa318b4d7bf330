//! What workers see beside forwarding, for somebody else to tell of.
//!
//! A worker never waits for that and takes no memory: it leaves a copy in a ring
//! of fixed size, or counts what found no room, and wakes whoever reads. It does
//! so once until that one [`listens`](Notices::listen) again: so the reader sets
//! the pace, and a guest that causes a million notices causes one system call.
//! Drops have counters already; for them a worker only wakes.

use crate::MacAddr;
use crate::table::PortId;
use crossbeam_queue::ArrayQueue;
use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, fence};

/// Moves that may wait.
const MOVES: usize = 1024;
/// Claims that may wait.
const CLAIMS: usize = 256;

/// A station came in by another port than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The station.
    pub mac: MacAddr,
    /// Its VLAN, 0 without a tag.
    pub vlan: u16,
    /// The port that it was behind.
    pub from: PortId,
    /// The port that it is behind.
    pub to: PortId,
}

/// A station says by ARP that it has an address which another one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// The address.
    pub address: Ipv4Addr,
    /// Who has it: by its lease, as the gateway, or as it was heard of late.
    pub holder: MacAddr,
    /// Who says that it has it.
    pub by: MacAddr,
    /// Where that one is.
    pub port: PortId,
}

/// What the workers of one switch have noticed.
#[derive(Debug)]
pub struct Notices {
    moves: ArrayQueue<Moved>,
    missed: AtomicU64,
    claims: ArrayQueue<Claimed>,
    /// Whether the reader has been woken, and has not listened since.
    raised: AtomicBool,
    /// [`None`]: nobody reads.
    wake: Option<(PipeReader, PipeWriter)>,
}

impl Default for Notices {
    /// None, which nobody is woken for.
    fn default() -> Self {
        Self {
            moves: ArrayQueue::new(MOVES),
            missed: AtomicU64::new(0),
            claims: ArrayQueue::new(CLAIMS),
            raised: AtomicBool::new(false),
            wake: None,
        }
    }
}

impl Notices {
    /// None yet, with a pipe to wake a reader by.
    ///
    /// # Errors
    /// There is no pipe to be had.
    pub(crate) fn waking() -> io::Result<Self> {
        Ok(Self {
            wake: Some(io::pipe()?),
            ..Self::default()
        })
    }

    /// Notes a move.
    pub(crate) fn moved(&self, moved: Moved) {
        if self.moves.push(moved).is_err() {
            self.missed.fetch_add(1, Relaxed);
        }
        self.raise();
    }

    /// Notes a claim. One that finds no room is missed: whoever means it says it
    /// again.
    pub(crate) fn claimed(&self, claimed: Claimed) {
        let _ = self.claims.push(claimed);
        self.raise();
    }

    /// Wakes the reader, as something has changed that it can see itself: frames
    /// were dropped, or a station was not learned.
    #[inline]
    pub(crate) fn raise(&self) {
        // Against the one in `listen`: either this sees that the reader listens,
        // or the reader sees what was noted before.
        fence(SeqCst);
        if !self.raised.load(Relaxed) {
            self.wake_up();
        }
    }

    #[cold]
    fn wake_up(&self) {
        if !self.raised.swap(true, AcqRel)
            && let Some((_, wake)) = &self.wake
        {
            // It has room for the one byte that may be in it.
            let _ = (&*wake).write(&[0]);
        }
    }

    /// The end of the pipe that has a byte to read once there is something to
    /// see; to be read before each [`listen`](Self::listen).
    ///
    /// # Errors
    /// No further file can be opened.
    pub fn wakes(&self) -> io::Result<OwnedFd> {
        match &self.wake {
            Some((wakes, _)) => wakes.try_clone().map(Into::into),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Wants to be woken again. What comes from now on does so; what is there
    /// already is to be [taken](Self::moves) afterwards.
    pub fn listen(&self) {
        self.raised.store(false, Relaxed);
        fence(SeqCst);
    }

    /// Takes the moves that wait, in the order in which they came.
    pub fn moves(&self) -> impl Iterator<Item = Moved> {
        (0..MOVES).map_while(|_| self.moves.pop())
    }

    /// How many moves found no room since this was last asked.
    pub fn missed_moves(&self) -> u64 {
        self.missed.swap(0, Relaxed)
    }

    /// Takes the claims that wait.
    pub fn claims(&self) -> impl Iterator<Item = Claimed> {
        (0..CLAIMS).map_while(|_| self.claims.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read as _;

    fn moved(n: u16) -> Moved {
        Moved {
            mac: MacAddr(2, 0, 0, 0, 0, 1),
            vlan: 0,
            from: PortId(0),
            to: PortId(n),
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_and_the_oldest_stay() {
        let notices = Notices::default();
        for n in 0..1100 {
            notices.moved(moved(n));
        }
        let kept: Vec<_> = notices.moves().map(|moved| moved.to.0).collect();
        assert_eq!(kept, (0..1024).collect::<Vec<_>>());
        assert_eq!(notices.missed_moves(), 76);
        assert_eq!(notices.missed_moves(), 0);
    }

    #[test]
    fn the_reader_is_woken_once_until_it_listens_again() {
        let notices = Notices::waking().unwrap();
        let mut wakes = File::from(notices.wakes().unwrap());
        let mut bytes = [0; 8];
        for _ in 0..3 {
            for _ in 0..100_000 {
                notices.raise();
            }
            assert_eq!(wakes.read(&mut bytes).unwrap(), 1);
            notices.listen();
        }
    }
}
