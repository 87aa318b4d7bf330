//! STATE/NAME/leases on the disk, and the journals behind it. What stands in
//! them is the business of `vmlan_dhcp`; this is bytes to and from files.
//!
//! # Theory of operation
//!
//! `leases` is dnsmasq's lease file, for others to read. Writing it whole for
//! each lease would cost ever more with their number, so what changes is
//! appended to `leases.journal-N` and synced; then the ACKs may leave. Many
//! changes share one sync ([`LeaseStore::commit`]).
//!
//! Now and then the journals are worked into the lease file, which is called
//! *compaction*: [`LeaseStore::rotate`] opens journal N + 1, to which is written
//! from then on; [`compact`] reads the lease file and the journals up to N, as a
//! start does, and puts the outcome in the lease file's place. It needs nothing
//! but the files, so it runs on another thread while clients are answered.
//!
//! A journal can also be *whole* ([`LeaseStore::rewrite`]): it holds all leases
//! itself, and what is older is void. That is how the store gets over what it
//! cannot go on from: a write that failed half-way, a sync that failed (then the
//! kernel may have dropped what was written before, and a further sync would
//! not say so), a wall clock that was set, damage.
//!
//! # What a crash leaves
//!
//! Whichever step the machine stops at, a start finds every acknowledged lease:
//!
//! 1. *While a record is appended*: it is torn, and was not acknowledged. The
//!    records before it are whole. A start never appends to an old journal.
//! 2. *While a journal is opened*: it is missing or empty, and N is there. It is
//!    written to only once its name is synced.
//! 3. *While a lease file is written*: it has another name. The old one and all
//!    journals are there.
//! 4. *Between its renaming and the removal of journals*: these say again what
//!    the lease file has already. A record tells what holds for one address
//!    whatever held before, so that changes nothing.
//! 5. *While journals are removed*: the oldest goes first, and is gone on the
//!    disk before the next. What is left is the end of what was written, as in 4.
//! 6. *While a whole journal is written*: it has another name until it is synced.
//!    Once it has its own, nothing older counts.
//!
//! A file with something in it that makes no sense gets a second name first,
//! `….bad-1`, so that none of these steps removes it; then the rest of it is
//! written whole. So does a journal that ends in such lines: a write that was cut
//! off leaves them, and so may a bad disk.

mod compact;
mod disk;
mod load;
#[cfg(test)]
mod tests;

pub(crate) use compact::compact;
pub(crate) use disk::{Disk, Folder};

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use vmlan_dhcp::clock::{Anchor, shift};
use vmlan_dhcp::journal::{self, Record};
use vmlan_dhcp::{Change, Lease};

/// The lease file's name.
const LEASES: &str = "leases";
/// A new lease file while it is written.
const NEW_LEASES: &str = "leases.tmp";
/// A journal's name, without its number.
const JOURNAL: &str = "leases.journal-";
/// A new whole journal while it is written.
const NEW_JOURNAL: &str = "leases.journal.tmp";

/// The leases of one network on a disk.
#[derive(Debug)]
pub(crate) struct LeaseStore<D: Disk = Folder> {
    disk: Arc<D>,
    /// What is written to; `None`: nothing can be, until all is written anew.
    journal: Option<Journal<D::File>>,
    /// The number of the next journal.
    next: u64,
    /// Whether what the last journal holds is not known: only
    /// [`rewrite`](Self::rewrite) goes on from there.
    doubtful: bool,
    /// Files to keep under another name before they go.
    to_keep: Vec<String>,
    /// For lines on their way to the journal.
    buffer: String,
}

#[derive(Debug)]
struct Journal<F> {
    file: F,
    number: u64,
    /// Whether there is anything in it but its first line.
    used: bool,
}

/// What a store held when it was opened.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The leases.
    pub(crate) leases: Vec<Lease>,
    /// The clocks, as last noted.
    pub(crate) anchor: Option<Anchor>,
    /// Whether the next thing to do is [`LeaseStore::rewrite`]; else
    /// [`LeaseStore::rotate`] will do.
    pub(crate) damaged: bool,
    /// What to tell the operator.
    pub(crate) remarks: Vec<String>,
}

/// A file of the store cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub(crate) struct LeaseFileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl LeaseFileError {
    fn new(disk: &impl Disk, action: &'static str, name: &str, source: io::Error) -> Self {
        Self {
            action,
            path: disk.shown(name),
            source,
        }
    }
}

impl<D: Disk> LeaseStore<D> {
    /// Reads what is there. Nothing is written yet, and nothing can be before
    /// [`rotate`](Self::rotate) or [`rewrite`](Self::rewrite).
    ///
    /// # Errors
    /// Those of the file system, and a file of over 256 MiB.
    pub(crate) fn open(disk: Arc<D>) -> Result<(Self, Loaded), LeaseFileError> {
        let found = load::load(disk.as_ref(), u64::MAX)?;
        let store = Self {
            disk,
            journal: None,
            next: found.journals.last().map_or(1, |n| n.saturating_add(1)),
            doubtful: !found.damaged.is_empty(),
            to_keep: found.to_keep(),
            buffer: String::new(),
        };
        let loaded = Loaded {
            leases: found.book.into_leases().collect(),
            anchor: found.anchor,
            damaged: !found.damaged.is_empty(),
            remarks: found.remarks,
        };
        Ok((store, loaded))
    }

    /// The files, for [`compact`].
    pub(crate) fn disk(&self) -> Arc<D> {
        Arc::clone(&self.disk)
    }

    /// Whether changes can be written.
    pub(crate) fn is_ready(&self) -> bool {
        self.journal.is_some()
    }

    /// Writes `changes`, with times `skew` seconds later. Once this returns,
    /// they are on the disk.
    ///
    /// # Errors
    /// Those of the file system. What part is on the disk is not known then;
    /// all is to be written anew.
    pub(crate) fn commit<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a Change>,
        skew: i64,
    ) -> Result<(), LeaseFileError> {
        self.buffer.clear();
        if skew == 0 {
            journal::write_changes(&mut self.buffer, changes);
        } else {
            let shifted = |lease: &Option<Lease>| lease.as_ref().map(|l| shifted(l, skew));
            for change in changes {
                let change = Change {
                    before: change.before.clone(),
                    after: shifted(&change.after),
                };
                journal::write_changes(&mut self.buffer, [&change]);
            }
        }
        let Some(journal) = &mut self.journal else {
            return Err(self.not_open());
        };
        let name = journal_name(journal.number);
        journal.used = true;
        let written = self
            .disk
            .append(&mut journal.file, self.buffer.as_bytes())
            .and_then(|()| self.disk.sync(&journal.file));
        if written.is_err() {
            self.journal = None;
            self.doubtful = true;
        }
        written.map_err(|e| LeaseFileError::new(self.disk.as_ref(), "write", &name, e))
    }

    /// Writes all `leases`, with times `skew` seconds later, to a new journal
    /// that makes everything older void. Once this returns, it is on the disk.
    ///
    /// # Errors
    /// Those of the file system. What was on the disk still is, but only doing
    /// this again goes on from there.
    pub(crate) fn rewrite<'a>(
        &mut self,
        anchor: Anchor,
        leases: impl IntoIterator<Item = &'a Lease>,
        skew: i64,
    ) -> Result<(), LeaseFileError> {
        self.keep_files()?;
        let whole = true;
        let mut text = String::new();
        journal::write(&mut text, &Record::Opened { anchor, whole });
        for lease in leases {
            journal::write_lease(&mut text, &shifted(lease, skew));
        }
        let number = self.take_number();
        let name = journal_name(number);
        // Should it fail, the new journal may have its name all the same, and
        // then nothing in the old one counts any more.
        self.journal = None;
        self.doubtful = true;
        let disk = self.disk.as_ref();
        let written = disk.create(NEW_JOURNAL).and_then(|mut file| {
            let written = disk
                .append(&mut file, text.as_bytes())
                .and_then(|()| disk.sync(&file));
            if written.is_err() {
                // Room for others on a full disk. The first error is the one
                // to report.
                drop(disk.remove(NEW_JOURNAL));
            }
            written.map(|()| file)
        });
        let placed = written.and_then(|file| {
            disk.rename(NEW_JOURNAL, &name)?;
            disk.sync_names()?;
            Ok(file)
        });
        let file = placed.map_err(|e| LeaseFileError::new(disk, "write", &name, e))?;
        self.journal = Some(Journal {
            file,
            number,
            used: true,
        });
        self.doubtful = false;
        Ok(())
    }

    /// Opens a new journal, unless nothing was written to this one. Gives the
    /// number up to which journals are for [`compact`].
    ///
    /// # Errors
    /// Those of the file system; the old journal is written to on then. And
    /// that [`rewrite`](Self::rewrite) has to come first.
    pub(crate) fn rotate(&mut self, anchor: Anchor) -> Result<u64, LeaseFileError> {
        if let Some(journal) = &self.journal
            && !journal.used
        {
            return Ok(journal.number.saturating_sub(1));
        }
        if self.doubtful {
            return Err(self.not_open());
        }
        let number = self.take_number();
        let name = journal_name(number);
        let whole = false;
        let mut text = String::new();
        journal::write(&mut text, &Record::Opened { anchor, whole });
        let disk = self.disk.as_ref();
        let opened = disk.create(&name).and_then(|mut file| {
            disk.append(&mut file, text.as_bytes())?;
            disk.sync(&file)?;
            disk.sync_names()?;
            Ok(file)
        });
        let file = opened.map_err(|e| LeaseFileError::new(disk, "write", &name, e))?;
        self.journal = Some(Journal {
            file,
            number,
            used: false,
        });
        Ok(number.saturating_sub(1))
    }

    fn not_open(&self) -> LeaseFileError {
        let error = io::Error::other("all leases have to be written anew first");
        LeaseFileError::new(self.disk.as_ref(), "write", LEASES, error)
    }

    fn keep_files(&mut self) -> Result<(), LeaseFileError> {
        keep(self.disk.as_ref(), &self.to_keep)?;
        self.to_keep.clear();
        Ok(())
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        number
    }
}

/// Gives the files `names` a second name, and says so.
fn keep(disk: &impl Disk, names: &[String]) -> Result<(), LeaseFileError> {
    let failed = |name, error| LeaseFileError::new(disk, "put aside", name, error);
    for name in names {
        let kept = disk.keep(name).map_err(|e| failed(name, e))?;
        tracing::warn!(
            "{} as it was is kept as {}",
            disk.shown(name).display(),
            disk.shown(&kept).display()
        );
    }
    if names.is_empty() {
        return Ok(());
    }
    disk.sync_names().map_err(|e| failed(LEASES, e))
}

fn shifted(lease: &Lease, skew: i64) -> Lease {
    Lease {
        expiry: shift(lease.expiry, skew),
        ..lease.clone()
    }
}

fn journal_name(number: u64) -> String {
    format!("{JOURNAL}{number}")
}

fn journal_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix(JOURNAL)?.parse().ok()?;
    // `007` and `+7` are somebody's copies.
    (journal_name(number) == name).then_some(number)
}
