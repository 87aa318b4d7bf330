//! When leases are written, and by which clock they run.
//!
//! Changes go to the journal at once ([`Keeper::save`]). The lease file follows
//! when nothing has changed for [`QUIET`], and every [`OFTEN`] at least while
//! things do.
//!
//! When something cannot be written, the keeper is *stuck*: nothing further is
//! recorded, so the server gives no new lease, and tells a client that renews
//! what is left of the lease on disk. Every [`RETRY`] it tries to write all
//! leases anew, and goes on as soon as that works. What the kernel still had to
//! write when it reported an error is taken for lost.

use super::clocks::Clocks;
use crate::daemon::events::Events;
use crate::events::Event;
use crate::host::leases::{Folder, LeaseFileError, LeaseStore};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use vmlan_dhcp::clock::LeaseClock;
use vmlan_dhcp::{Change, Lease, Server};

/// The lease file is written when so long nothing has changed,
const QUIET: Duration = Duration::from_secs(1);
/// and so long after something has at the latest.
const OFTEN: Duration = Duration::from_secs(10);
/// Between two tries to get over an error.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the leases of one network.
#[derive(Debug)]
pub(super) struct Keeper {
    folder: Arc<Folder>,
    clocks: Clocks,
    /// `None` while DHCP is off.
    kept: Option<Kept>,
    /// Told when [`Keeper::due`] has changed.
    changed: Arc<Notify>,
    events: Events,
}

#[derive(Debug)]
struct Kept {
    store: LeaseStore,
    clock: LeaseClock,
    /// Whether all leases are to be written before anything else.
    whole: bool,
    /// When something was written that is not in the lease file: first and last.
    unfiled: Option<(Instant, Instant)>,
    stuck: Option<Trouble>,
    /// Why the lease file is not as it should be.
    file: Option<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    text: String,
    since: Instant,
}

impl Keeper {
    /// One for the folder STATE/NAME.
    pub(super) fn new(folder: &Path, clocks: Clocks, events: Events) -> Self {
        Self {
            folder: Arc::new(Folder::new(folder)),
            clocks,
            kept: None,
            changed: Arc::default(),
            events,
        }
    }

    /// Reads what is there, and tells of what is wrong with it.
    pub(super) fn load(&mut self) -> Result<Vec<Lease>, LeaseFileError> {
        let (store, loaded) = LeaseStore::open(Arc::clone(&self.folder))?;
        for remark in &loaded.remarks {
            tracing::warn!("{remark}");
        }
        let moment = self.clocks.moment();
        let clock = LeaseClock::start(&self.clocks.boot, moment, loaded.anchor.as_ref());
        let now = Instant::now();
        self.kept = Some(Kept {
            store,
            clock,
            whole: loaded.damaged,
            // What a crash has left in journals is put in the file at once.
            unfiled: Some((now.checked_sub(OFTEN).unwrap_or(now), now)),
            stuck: None,
            file: None,
        });
        Ok(loaded.leases)
    }

    /// Has all leases written anew with the next chance: what is on disk is not
    /// what is served.
    pub(super) fn rewrite(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.whole = true;
        }
    }

    /// Writes no more, and forgets the leases; [`Keeper::load`] goes on.
    pub(super) fn close(&mut self) {
        self.kept = None;
    }

    /// The time that leases run by, in seconds.
    pub(super) fn now(&self) -> u64 {
        let moment = self.clocks.moment();
        let kept = self.kept.as_ref();
        kept.map_or(moment.wall, |kept| kept.clock.now(moment))
    }

    /// How long it is until `at`.
    pub(super) fn until(&self, at: u64) -> Duration {
        let seconds = at.saturating_sub(self.now());
        Duration::from_secs(seconds).saturating_sub(self.clocks.fraction())
    }

    /// How far the wall clock is ahead of [`Keeper::now`].
    pub(super) fn skew(&self) -> i64 {
        self.kept.as_ref().map_or(0, |kept| kept.clock.skew())
    }

    /// Makes ready to write, and says whether it is. Where the wall clock was
    /// set, or something could not be written before, all leases of `server`
    /// are written anew for that.
    pub(super) fn ready(&mut self, server: &Server, now: Instant) -> bool {
        let moment = self.clocks.moment();
        let Some(kept) = &mut self.kept else {
            return false;
        };
        if kept.clock.step(moment) {
            tracing::warn!(
                "the wall clock was set: leases run on, and are written with the new time"
            );
            kept.whole = true;
        }
        if kept.store.is_ready() && !kept.whole {
            return true;
        }
        if let Some(trouble) = &kept.stuck
            && now.saturating_duration_since(trouble.since) < RETRY
        {
            return false;
        }
        let anchor = kept.clock.anchor(moment);
        let result = if kept.whole {
            let skew = kept.clock.skew();
            kept.store.rewrite(anchor, server.records(), skew)
        } else {
            kept.store.rotate(anchor).map(drop)
        };
        match result {
            Ok(()) => {
                kept.whole = false;
                if kept.stuck.take().is_some() {
                    self.events.tell(Event::LeasesWritten);
                }
                kept.wrote(now, &self.changed);
                true
            }
            Err(error) => {
                kept.stick(error, now, &self.changed, &self.events);
                false
            }
        }
    }

    /// Puts `changes` on disk.
    pub(super) fn save<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a Change>,
        now: Instant,
    ) -> Result<(), String> {
        // Whoever serves has loaded; an ACK without a record must not be.
        let Some(kept) = &mut self.kept else {
            return Err("the lease store is closed".to_owned());
        };
        if let Some(trouble) = &kept.stuck {
            return Err(trouble.text.clone());
        }
        match kept.store.commit(changes, kept.clock.skew()) {
            Ok(()) => {
                kept.wrote(now, &self.changed);
                Ok(())
            }
            Err(error) => {
                kept.whole = true;
                Err(kept.stick(error, now, &self.changed, &self.events))
            }
        }
    }

    /// Why leases cannot be written, or the lease file is not as it should be.
    pub(super) fn trouble(&self) -> Option<&str> {
        let kept = self.kept.as_ref()?;
        let trouble = kept.stuck.as_ref().or(kept.file.as_ref())?;
        Some(&trouble.text)
    }

    /// Told when [`Keeper::due`] may have become earlier.
    pub(super) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// When the lease file is to be written, or an error to be got over.
    pub(super) fn due(&self) -> Option<Instant> {
        let kept = self.kept.as_ref()?;
        if let Some(trouble) = kept.stuck.as_ref().or(kept.file.as_ref()) {
            return Some(trouble.since + RETRY);
        }
        let (first, last) = kept.unfiled?;
        Some((last + QUIET).min(first + OFTEN))
    }

    /// What [`compact`](crate::host::leases::compact) is to do now for the lease
    /// file to be as of this moment.
    pub(super) fn rotate(&mut self, now: Instant) -> Option<(Arc<Folder>, u64)> {
        let moment = self.clocks.moment();
        let kept = self.kept.as_mut()?;
        if !kept.store.is_ready() {
            return None;
        }
        match kept.store.rotate(kept.clock.anchor(moment)) {
            Ok(through) => {
                kept.unfiled = None;
                Some((kept.store.disk(), through))
            }
            Err(error) => {
                kept.file_failed(error, now);
                None
            }
        }
    }

    /// Takes note of how that went.
    pub(super) fn compacted(&mut self, result: Result<(), LeaseFileError>, now: Instant) {
        let Some(kept) = &mut self.kept else { return };
        match result {
            Ok(()) => kept.file = None,
            Err(error) => kept.file_failed(error, now),
        }
    }
}

impl Kept {
    fn wrote(&mut self, now: Instant, changed: &Notify) {
        let first = self.unfiled.map_or(now, |(first, _)| first);
        if self.unfiled.replace((first, now)).is_none() {
            changed.notify_one();
        }
    }

    fn stick(
        &mut self,
        error: LeaseFileError,
        now: Instant,
        changed: &Notify,
        events: &Events,
    ) -> String {
        let text = super::super::network::chain(error);
        if self.stuck.is_none() {
            events.tell(Event::LeasesStuck {
                error: text.clone(),
            });
        }
        let trouble = Trouble {
            text: text.clone(),
            since: now,
        };
        self.stuck = Some(trouble);
        changed.notify_one();
        text
    }

    fn file_failed(&mut self, error: LeaseFileError, now: Instant) {
        let text = super::super::network::chain(error);
        if self.file.is_none() {
            tracing::warn!("the lease file is not up to date: {text}");
        }
        self.file = Some(Trouble { text, since: now });
    }
}
