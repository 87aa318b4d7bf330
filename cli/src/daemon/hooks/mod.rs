//! A program of the operator's that is run when leases begin, change and end,
//! as dnsmasq runs its `--dhcp-script`.
//!
//! The DHCP server enters what has become of a lease in the [`book`], which
//! takes no longer than that; here the program is run for it, one run at a
//! time. A run has a time limit, and ends with all that it started when that is
//! over ([`run`]).
//!
//! When the program is first asked to follow it is run with `init`, with `del`
//! for each lease that ran out and is remembered, and with `old` for each that
//! is there. A reload says `old` of those once more.

mod book;
mod client;
mod run;

use super::allowance::Allowance;
use super::message;
use crate::config::{Config, Hook};
pub(super) use book::Action;
use book::{Book, Call, Holder};
use client::ClientData;
use run::{Surroundings, Told};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use vmlan_dhcp::{Change, Event, Lease, Outcome};

/// How long the end of the network waits for runs that are due.
const GRACE: Duration = Duration::from_secs(3);

/// The hook of a network, shared by who enters what happened and who runs the
/// program.
#[derive(Debug, Clone, Default)]
pub(super) struct Hooks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something may be due.
    due: Notify,
    /// A run has ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: there is no hook.
    program: Option<Program>,
    surroundings: Surroundings,
    book: Book,
    running: bool,
    runs: [u64; Action::ALL.len()],
    failed: u64,
}

#[derive(Debug, Clone)]
struct Program {
    path: PathBuf,
    limit: Duration,
}

/// What the hook has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Runs, in the order of [`Action::ALL`].
    pub(super) runs: [u64; Action::ALL.len()],
    /// Runs that failed.
    pub(super) failed: u64,
    /// States of leases that it was not told of, since the next came first.
    pub(super) merged: u64,
    /// Leases that it has to be told of.
    pub(super) waiting: u64,
}

impl Hooks {
    /// Runs the hook of `config` from now on, or none. Says whether the program
    /// is another one than before, which knows of no lease yet.
    pub(super) fn configure(&self, config: &Config) -> bool {
        let mut state = self.state();
        state.surroundings = Surroundings {
            interface: config.interface.as_ref().map(ToString::to_string),
            domain: config.domain.clone(),
        };
        let Some(hook) = &config.dhcp.hook else {
            (state.program, state.book) = (None, Book::default());
            return false;
        };
        let Hook {
            program,
            timeout,
            on_renewal,
        } = hook;
        let path = program.get_ref();
        let new = state.program.as_ref().is_none_or(|p| p.path != *path);
        if new {
            state.book = Book::new(*on_renewal);
        }
        state.book.set_on_renewal(*on_renewal);
        state.program = Some(Program {
            path: path.clone(),
            limit: *timeout,
        });
        new
    }

    /// Enters what a message in `frame` led to at `now` (epoch seconds), once it
    /// is on disk.
    pub(super) fn observe(&self, outcome: &Outcome, frame: &[u8], now: u64) {
        self.enter(|book| {
            expired(book, &outcome.events);
            let renewed = outcome.events.iter().find_map(|event| match event {
                Event::Renewed { address, .. } => Some(*address),
                _ => None,
            });
            if outcome.changes.is_empty() && renewed.is_none() {
                return;
            }
            let message = message::unwrap(frame).map(|received| received.message);
            let data = Arc::new(ClientData::read(message.unwrap_or_default(), &outcome.tags));
            changed(book, &outcome.changes, Some(&data), now);
            if let Some(address) = renewed.filter(|_| data.takes_up) {
                book.taken_up(address, &data);
            }
        });
    }

    /// Enters `changes`, made at `now` by no client.
    pub(super) fn changed(&self, changes: &[Change], now: u64) {
        self.enter(|book| changed(book, changes, None, now));
    }

    /// Enters the leases among `events` that ran out.
    pub(super) fn expired(&self, events: &[Event]) {
        self.enter(|book| expired(book, events));
    }

    /// Enters the leases that are there at `now`, as if each were news. With
    /// `all` also those that have run out: for a program that may have missed
    /// it.
    pub(super) fn restate<'a>(&self, leases: impl Iterator<Item = &'a Lease>, now: u64, all: bool) {
        self.enter(|book| {
            // Ended leases first, as with dnsmasq, and each in a fixed order.
            let mut leases: Vec<_> = leases.map(|lease| (lease.is_live(now), lease)).collect();
            leases.sort_unstable_by_key(|(live, lease)| (*live, lease.address));
            for (live, lease) in leases {
                if live || all {
                    book.restate(lease.address, lease.into(), live);
                }
            }
        });
    }

    /// What it has done; `None` where there is none.
    pub(super) fn tally(&self) -> Option<Tally> {
        let state = self.state();
        state.program.as_ref()?;
        Some(Tally {
            runs: state.runs,
            failed: state.failed,
            merged: state.book.merged(),
            waiting: state.book.len() as u64,
        })
    }

    /// Runs the program for as long as this is polled. `clock` gives the time
    /// that leases run by, and how far that of users is ahead of it.
    pub(super) async fn run(self, clock: impl Fn() -> (u64, i64)) {
        let mut log = Allowance::new(Instant::now());
        loop {
            let (now, skew) = clock();
            let Some((program, call, surroundings)) = self.begin() else {
                self.0.due.notified().await;
                continue;
            };
            let Program { path, limit } = &program;
            let told = Told {
                arguments: run::arguments(&call),
                environment: run::environment(&call, &surroundings, now, skew),
                // `init` of dnsmasq's programs prints the leases, which are
                // known here.
                quiet: call == Call::Init,
            };
            let ended = run::run(path, told, *limit, &mut log).await;
            self.end(ended.is_err());
            if let Err(failure) = ended {
                let (path, call) = (path.display(), describe(&call));
                let failure = super::network::chain(failure);
                log.say(Instant::now(), |unsaid| {
                    tracing::warn!("the hook {path} {call} {failure}{unsaid}");
                });
            }
        }
    }

    /// Waits until all that is due has been run, within reason.
    pub(super) async fn finish(&self) {
        let idle = async {
            while self.is_busy() {
                self.0.ended.notified().await;
            }
        };
        if tokio::time::timeout(GRACE, idle).await.is_err() {
            tracing::warn!("the hook has not been told of all leases; it is at the next start");
        }
    }

    fn is_busy(&self) -> bool {
        let state = self.state();
        state.program.is_some() && (state.running || state.book.len() > 0)
    }

    /// The run that is due.
    fn begin(&self) -> Option<(Program, Call, Surroundings)> {
        let mut state = self.state();
        let program = state.program.clone()?;
        let call = state.book.next()?;
        state.running = true;
        let action = match &call {
            Call::Init => Action::Init,
            Call::Lease(call) => call.action,
        };
        if let Some(runs) = state.runs.get_mut(action as usize) {
            *runs += 1;
        }
        Some((program, call, state.surroundings.clone()))
    }

    fn end(&self, failed: bool) {
        let mut state = self.state();
        state.running = false;
        state.failed += u64::from(failed);
        drop(state);
        self.0.ended.notify_waiters();
    }

    /// Has `entries` made in the book, if there is a hook.
    fn enter(&self, entries: impl FnOnce(&mut Book)) {
        let mut state = self.state();
        if state.program.is_some() {
            entries(&mut state.book);
            drop(state);
            self.0.due.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn expired(book: &mut Book, events: &[Event]) {
    for event in events {
        if let Event::Expired { address, .. } = event {
            book.set(*address, None, None);
        }
    }
}

fn changed(book: &mut Book, changes: &[Change], data: Option<&Arc<ClientData>>, now: u64) {
    for Change { before, after } in changes {
        let after = after.as_ref().filter(|lease| lease.is_live(now));
        let address = |lease: &Lease| lease.address;
        let left = before.as_ref().map(address);
        if let Some(left) = left.filter(|left| after.map(address) != Some(*left)) {
            book.set(left, None, None);
        }
        if let Some(lease) = after {
            book.set(lease.address, Some(Holder::from(lease)), data);
        }
    }
}

/// A run for the log.
fn describe(call: &Call) -> String {
    match call {
        Call::Init => Action::Init.name().to_owned(),
        Call::Lease(call) => {
            let (action, address): (_, Ipv4Addr) = (call.action.name(), call.address);
            format!("{action} {} {address}", call.holder.mac)
        }
    }
}
