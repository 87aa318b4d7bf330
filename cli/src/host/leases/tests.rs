//! The store on a real folder, and on one that loses power.

mod power;

use super::*;
use power::{PowerDisk, Step};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use vmlan_dhcp::journal::Book;

pub(super) fn lease(last: u8, expiry: u64) -> Lease {
    Lease {
        mac: [0x52, 0x54, 0, 0, 0, last].into(),
        address: Ipv4Addr::new(192, 168, 122, last),
        expiry,
        hostname: None,
        client_id: None,
    }
}

fn put(last: u8, expiry: u64) -> Change {
    Change {
        before: None,
        after: Some(lease(last, expiry)),
    }
}

fn anchor() -> Anchor {
    Anchor {
        boot: "b".into(),
        uptime: 1,
        epoch: 2,
    }
}

fn store(folder: &Path) -> (LeaseStore, Loaded) {
    LeaseStore::open(Arc::new(Folder::new(folder))).unwrap()
}

fn leases(folder: &Path) -> Vec<Lease> {
    store(folder).1.leases
}

fn names(folder: &Path) -> Vec<String> {
    let mut names = Folder::new(folder).names().unwrap();
    names.sort();
    names
}

#[test]
fn what_was_committed_is_loaded_before_and_after_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, loaded) = store(folder.path());
    assert!(loaded.leases.is_empty() && !loaded.damaged);
    store.rotate(anchor()).unwrap();
    store.commit(&[put(2, 0), put(3, 7)], 0).unwrap();
    assert_eq!(leases(folder.path()), [lease(2, 0), lease(3, 7)]);
    let through = store.rotate(anchor()).unwrap();
    store.commit(&[put(3, 8)], 0).unwrap();
    compact(store.disk().as_ref(), through).unwrap();
    assert_eq!(names(folder.path()), ["leases", "leases.journal-2"]);
    assert_eq!(leases(folder.path()), [lease(2, 0), lease(3, 8)]);
    assert_eq!(
        fs::read_to_string(folder.path().join("leases")).unwrap(),
        "0 52:54:00:00:00:02 192.168.122.2 * *\n7 52:54:00:00:00:03 192.168.122.3 * *\n"
    );
}

#[test]
fn a_whole_journal_takes_the_place_of_all_that_is_older() {
    let folder = tempfile::tempdir().unwrap();
    let file = "7 52:54:00:00:00:03 192.168.122.3 * *\n";
    fs::write(folder.path().join("leases"), file).unwrap();
    let (mut store, _) = store(folder.path());
    store.rotate(anchor()).unwrap();
    store.commit(&[put(2, 9)], 0).unwrap();
    store.rewrite(anchor(), &[lease(4, 100)], -1).unwrap();
    store.commit(&[put(5, 200)], -1).unwrap();
    assert_eq!(leases(folder.path()), [lease(4, 99), lease(5, 199)]);
    let through = store.rotate(anchor()).unwrap();
    compact(store.disk().as_ref(), through).unwrap();
    assert_eq!(leases(folder.path()), [lease(4, 99), lease(5, 199)]);
}

#[test]
fn a_damaged_file_is_kept_and_the_rest_of_it_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let file = b"7 52:54:00:00:00:03 192.168.122.3 * *\n0 \xff\n";
    fs::write(path.join("leases"), file).unwrap();
    let mut journal = String::new();
    journal::write_changes(&mut journal, &[put(2, 1), put(4, 1), put(5, 1)]);
    let mut bytes = journal.into_bytes();
    bytes[70] ^= 1;
    fs::write(path.join("leases.journal-3"), &bytes).unwrap();
    let (mut store, loaded) = store(path);
    assert!(loaded.damaged);
    let remarks = loaded.remarks.join("\n");
    assert!(remarks.contains("leases: line 2"), "{remarks}");
    assert!(remarks.contains("leases.journal-3: line 2"), "{remarks}");
    let good = [lease(2, 1), lease(3, 7), lease(5, 1)];
    assert_eq!(loaded.leases, good);
    store.rewrite(anchor(), &good, 0).unwrap();
    let through = store.rotate(anchor()).unwrap();
    compact(store.disk().as_ref(), through).unwrap();
    assert_eq!(leases(path), good);
    assert_eq!(fs::read(path.join("leases.bad-1")).unwrap(), file);
    assert_eq!(
        fs::read(path.join("leases.journal-3.bad-1")).unwrap(),
        bytes
    );
}

#[test]
fn somebodys_copy_of_a_journal_stands_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = store(folder.path());
    store.rotate(anchor()).unwrap();
    store.commit(&[put(2, 0)], 0).unwrap();
    for copy in [
        "leases.journal-01",
        "leases.journal-+1",
        "leases.journal-1~",
    ] {
        fs::copy(
            folder.path().join("leases.journal-1"),
            folder.path().join(copy),
        )
        .unwrap();
    }
    let through = store.rotate(anchor()).unwrap();
    compact(store.disk().as_ref(), through).unwrap();
    assert_eq!(leases(folder.path()), [lease(2, 0)]);
    assert_eq!(names(folder.path()).len(), 5, "{:?}", names(folder.path()));
}

#[test]
fn a_torn_journal_is_told_and_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = String::new();
    journal::write_changes(&mut journal, &[put(2, 1), put(4, 1)]);
    let torn = &journal.as_bytes()[..journal.len() - 3];
    fs::write(folder.path().join("leases.journal-1"), torn).unwrap();
    let (_, loaded) = store(folder.path());
    assert!(!loaded.damaged);
    assert!(
        loaded.remarks[0].contains("cut off"),
        "{:?}",
        loaded.remarks
    );
    assert_eq!(loaded.leases, [lease(2, 1)]);
}

#[test]
fn lines_at_the_end_of_a_journal_that_make_no_sense_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = String::new();
    journal::write_changes(&mut journal, &[put(2, 1), put(4, 1)]);
    journal.replace_range(journal.len() - 3..journal.len() - 1, "zz");
    fs::write(folder.path().join("leases.journal-1"), &journal).unwrap();
    let (mut store, loaded) = store(folder.path());
    assert!(!loaded.damaged);
    assert_eq!(loaded.leases, [lease(2, 1)]);
    let through = store.rotate(anchor()).unwrap();
    compact(store.disk().as_ref(), through).unwrap();
    let kept = folder.path().join("leases.journal-1.bad-1");
    assert_eq!(fs::read_to_string(kept).unwrap(), journal);
    assert_eq!(leases(folder.path()), [lease(2, 1)]);
}

#[test]
fn a_journal_without_records_is_not_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = store(folder.path());
    assert_eq!(store.rotate(anchor()).unwrap(), 0);
    assert_eq!(store.rotate(anchor()).unwrap(), 0);
    assert_eq!(names(folder.path()), ["leases.journal-1"]);
}

#[test]
fn an_error_names_the_file_and_nothing_more_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = store(folder.path());
    assert!(store.commit(&[put(2, 1)], 0).is_err());
    fs::remove_dir(folder.path()).unwrap();
    let message = store.rotate(anchor()).unwrap_err().to_string();
    let path = folder.path().join("leases.journal-1");
    assert_eq!(message, format!("cannot write {}", path.display()));
    assert!(!store.is_ready());
}

/// What the daemon does with a store.
#[derive(Debug, Clone)]
enum Act {
    Commit(BTreeMap<u8, Option<u64>>),
    Rotate,
    Compact,
    Rewrite,
    /// The next step on the disk but so many fails.
    Fail(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    // A client at most once in a commit: so what a cut leaves of one is told by
    // looking at each client by itself.
    let change = prop::option::weighted(0.8, 1u64..99);
    let changes = || prop::collection::btree_map(2u8..8, change.clone(), 1..4);
    prop::collection::vec(
        prop_oneof![
            6 => changes().prop_map(Act::Commit),
            2 => Just(Act::Rotate),
            2 => Just(Act::Compact),
            1 => Just(Act::Rewrite),
            1 => (0u8..6).prop_map(Act::Fail),
        ],
        1..25,
    )
}

/// A store on a disk of [`PowerDisk`], used as the daemon uses one, and what it
/// has acknowledged at which step.
struct Run {
    disk: Arc<PowerDisk>,
    store: LeaseStore<PowerDisk>,
    /// What the server holds.
    served: Book,
    /// From this step on, all of this is acknowledged.
    acknowledged: Vec<(usize, Book)>,
    through: u64,
}

impl Run {
    fn new() -> Self {
        let disk = Arc::new(PowerDisk::default());
        let (store, _) = LeaseStore::open(Arc::clone(&disk)).unwrap();
        Self {
            disk,
            store,
            served: Book::default(),
            acknowledged: vec![(0, Book::default())],
            through: 0,
        }
    }

    fn acknowledge(&mut self) {
        let at = self.disk.steps().len();
        self.acknowledged.push((at, self.served.clone()));
    }

    fn act(&mut self, act: &Act) {
        if !self.store.is_ready() && self.rewrite().is_err() {
            return;
        }
        match act {
            Act::Commit(entries) => {
                let changes: Vec<Change> = {
                    let changes = entries.iter();
                    changes.filter_map(|(l, e)| self.change(*l, *e)).collect()
                };
                let mut next = self.served.clone();
                let mut text = String::new();
                journal::write_changes(&mut text, &changes);
                for record in journal::read(text.as_bytes()).records {
                    next.apply(record);
                }
                if self.store.commit(&changes, 0).is_ok() {
                    self.served = next;
                    self.acknowledge();
                }
            }
            Act::Rotate => self.through = self.store.rotate(anchor()).unwrap_or(self.through),
            Act::Compact => drop(compact(self.disk.as_ref(), self.through)),
            Act::Rewrite => drop(self.rewrite()),
            Act::Fail(after) => self.disk.fail_after((*after).into()),
        }
    }

    fn rewrite(&mut self) -> Result<(), LeaseFileError> {
        let leases: Vec<Lease> = self.served.leases().cloned().collect();
        self.store.rewrite(anchor(), &leases, 0)
    }

    fn change(&self, last: u8, expiry: Option<u64>) -> Option<Change> {
        match expiry {
            Some(expiry) => Some(put(last, expiry)),
            None => Some(Change {
                before: self.served.leases().find(|l| l.mac.5 == last).cloned(),
                after: None,
            })
            .filter(|change| change.before.is_some()),
        }
    }

    /// What was acknowledged at `step`, and what comes next.
    fn around(&self, step: usize) -> (&Book, Option<&Book>) {
        let next = self.acknowledged.partition_point(|(at, _)| *at <= step);
        let (_, now) = &self.acknowledged[next - 1];
        (now, self.acknowledged.get(next).map(|(_, book)| book))
    }
}

/// Whether each lease is as in one book or as in the other.
fn between(found: &[Lease], now: &Book, next: Option<&Book>) -> bool {
    (0..=255).all(|last| {
        let of = |leases: &mut dyn Iterator<Item = &Lease>| {
            leases.filter(|l| l.mac.5 == last).last().cloned()
        };
        let lease = of(&mut found.iter());
        // A commit that failed may have left some of its records, as one that
        // the power cut short: they were nobody's yet.
        lease == of(&mut now.leases()) || next.is_some_and(|b| lease == of(&mut b.leases()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn wherever_the_power_is_cut_every_acknowledged_lease_is_found(
        acts in acts(),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new();
        let mut failing = false;
        for act in &acts {
            // Of a commit that fails some records can stay in a journal until it
            // is made void; what is found is then not one of two books.
            failing |= matches!(act, Act::Fail(_));
            run.act(act);
        }
        let steps = run.disk.steps();
        for cut in 0..=steps.len() {
            for choice in 0..6 {
                let disk = Arc::new(PowerDisk::after(&steps[..cut], seed ^ choice));
                let (mut store, loaded) = LeaseStore::open(Arc::clone(&disk)).unwrap();
                let (now, next) = run.around(cut);
                if !failing {
                    prop_assert!(!loaded.damaged, "{:?}", loaded.remarks);
                    prop_assert!(
                        between(&loaded.leases, now, next),
                        "cut at {cut} of {steps:?}: {:?} is neither {now:?} nor {next:?}",
                        loaded.leases,
                    );
                }
                // A start goes on from there, and loses nothing either.
                let through = store.rotate(anchor()).unwrap();
                compact(disk.as_ref(), through).unwrap();
                let (_, again) = LeaseStore::open(disk).unwrap();
                prop_assert_eq!(again.leases, loaded.leases);
            }
        }
    }

    #[test]
    fn whichever_step_fails_every_acknowledged_lease_is_found(acts in acts()) {
        let mut run = Run::new();
        for act in &acts {
            run.act(act);
            let steps = run.disk.steps();
            // The machine stops right now; the daemon is between two acts.
            let disk = Arc::new(PowerDisk::after(&steps, 0));
            let (_, loaded) = LeaseStore::open(disk).unwrap();
            let (now, _) = run.around(steps.len());
            if run.store.is_ready() {
                prop_assert_eq!(loaded.leases, now.leases().cloned().collect::<Vec<_>>());
            }
        }
        prop_assert!(matches!(run.disk.steps().first(), None | Some(Step::Create(..))));
    }
}
