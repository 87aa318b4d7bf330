//! The journal beside the lease file: what has changed since that was written.
//!
//! A journal is lines, so that a person can read it and damage stays within the
//! line that it hits. Each starts with the CRC-32C (RFC 3720 §12.1) of what
//! stands behind it, in hex:
//!
//! ```text
//! e7c8b9d2 journal 1 5f0c…-boot-id 4711 1700000000 onward
//! 0d4b1f66 + 1700003600 52:54:00:aa:bb:cc 192.168.122.10 db 01:52:54:00:aa:bb:cc
//! 9a0c77e1 - 192.168.122.11
//! ```
//!
//! `+` is a line of the lease file ([`leasefile`]): from now on this lease is on
//! its address. `-`: nobody's is. The first line says what the clocks were, by
//! which [`clock`](crate::clock) tells how much time has passed, and whether
//! the journal goes on from what was written before (`onward`) or holds all
//! leases by itself (`whole`).
//!
//! Each record says what holds for one address whatever held before. So reading
//! a journal, or a part of it, a second time over its own result changes
//! nothing; that is what makes it safe to write the lease file anew at any
//! moment and drop the journals behind it later.
//!
//! A journal that was being written when the machine stopped ends with a piece
//! of a record, or with blocks of zeros: it is *torn*. Nothing in that piece was
//! acknowledged. A line that makes no sense in front of one that does is
//! *damage*: what stood there may have been acknowledged.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;

use crate::clock::Anchor;
use crate::lease::Lease;
use crate::leasefile;
use crate::outcome::Change;

/// The version of the format that is written.
const VERSION: &str = "1";

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The first one.
    Opened {
        /// The clocks at that moment.
        anchor: Anchor,
        /// The records that follow are all that there is: whatever was written
        /// earlier, in the lease file or in other journals, is void.
        whole: bool,
    },
    /// This lease, live or not, is on its address.
    Held(Lease),
    /// No lease is on this address.
    Free(Ipv4Addr),
}

/// What could be read of a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// The records, in the order of writing.
    pub records: Vec<Record>,
    /// The numbers of the lines, from 1, that make no sense though later ones do.
    pub damaged: Vec<usize>,
    /// Bytes at the end, behind the last whole record, that are none.
    pub torn: usize,
    /// Whether there is a whole line among them. Blocks of a write that was cut
    /// off may get to the disk in any order, so that is no proof of damage; but
    /// neither is it one that the line was not acknowledged.
    pub torn_line: bool,
}

impl Journal {
    /// The clocks at the time of its opening.
    #[must_use]
    pub fn anchor(&self) -> Option<&Anchor> {
        self.records.iter().find_map(|record| match record {
            Record::Opened { anchor, .. } => Some(anchor),
            _ => None,
        })
    }

    /// Whether it holds all leases by itself. One whose first line is damaged
    /// does not say so, and then more is kept than there may be.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(
            self.records.first(),
            Some(Record::Opened { whole: true, .. })
        )
    }
}

/// Reads a journal: whatever makes sense in it.
#[must_use]
pub fn read(journal: &[u8]) -> Journal {
    let mut read = Journal::default();
    // Lines and bytes without sense since the last record.
    let mut doubtful = Vec::new();
    for (index, line) in journal.split_inclusive(|b| *b == b'\n').enumerate() {
        if let Some(record) = parse_line(line) {
            read.damaged.append(&mut doubtful);
            read.torn = 0;
            read.torn_line = false;
            read.records.push(record);
        } else {
            doubtful.push(index + 1);
            read.torn += line.len();
            read.torn_line |= line.ends_with(b"\n");
        }
    }
    read
}

/// Appends `record` as a line.
pub fn write(to: &mut String, record: &Record) {
    line(to, |to| match record {
        Record::Opened { anchor, whole } => {
            let scope = if *whole { "whole" } else { "onward" };
            let Anchor {
                boot,
                uptime,
                epoch,
            } = anchor;
            // Writing to a string does not fail, here and below.
            let _ = write!(to, "journal {VERSION} {boot} {uptime} {epoch} {scope}");
        }
        Record::Held(lease) => held(to, lease),
        Record::Free(address) => free(to, *address),
    });
}

/// Appends what `changes` came to, in their order.
pub fn write_changes<'a>(to: &mut String, changes: impl IntoIterator<Item = &'a Change>) {
    for change in changes {
        let after = change.after.as_ref();
        if let Some(before) = &change.before
            && after.is_none_or(|after| after.address != before.address)
        {
            line(to, |to| free(to, before.address));
        }
        if let Some(after) = after {
            line(to, |to| held(to, after));
        }
    }
}

/// Appends `lease` as the lease on its address.
pub fn write_lease(to: &mut String, lease: &Lease) {
    line(to, |to| held(to, lease));
}

/// Leases by address, as records tell of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book(BTreeMap<Ipv4Addr, Lease>);

impl Book {
    /// Takes a line of the lease file.
    pub fn enter(&mut self, lease: Lease) {
        self.0.insert(lease.address, lease);
    }

    /// Takes what a journal says.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Opened { whole: true, .. } => self.0.clear(),
            Record::Opened { whole: false, .. } => {}
            Record::Held(lease) => self.enter(lease),
            Record::Free(address) => {
                self.0.remove(&address);
            }
        }
    }

    /// The leases, by address.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.0.values()
    }

    /// The same, to keep.
    pub fn into_leases(self) -> impl Iterator<Item = Lease> {
        self.0.into_values()
    }
}

/// Appends a line: what `content` writes, and its checksum in front.
fn line(to: &mut String, content: impl FnOnce(&mut String)) {
    let start = to.len();
    to.push_str("00000000 ");
    content(to);
    let sum = to.as_bytes().get(start + 9..).map_or(0, crc32c::crc32c);
    to.push('\n');
    to.replace_range(start..start + 8, &format!("{sum:08x}"));
}

fn held(to: &mut String, lease: &Lease) {
    to.push_str("+ ");
    // Its line end is the line's.
    let _ = leasefile::write_line(to, lease);
    to.pop();
}

fn free(to: &mut String, address: Ipv4Addr) {
    let _ = write!(to, "- {address}");
}

fn parse_line(line: &[u8]) -> Option<Record> {
    let line = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (sum, content) = line.split_once(' ')?;
    // As text: a hex digit whose case was changed is damage too.
    if sum != format!("{:08x}", crc32c::crc32c(content.as_bytes())) {
        return None;
    }
    let (kind, rest) = content.split_once(' ')?;
    match kind {
        "+" => leasefile::parse_line(rest).ok().map(Record::Held),
        "-" => rest.parse().ok().map(Record::Free),
        "journal" => {
            let mut fields = rest.split(' ');
            let mut next = || fields.next();
            let version = next()?;
            let (boot, uptime, epoch, scope) = (next()?, next()?, next()?, next()?);
            (version == VERSION).then_some(())?;
            Some(Record::Opened {
                anchor: Anchor {
                    boot: boot.into(),
                    uptime: uptime.parse().ok()?,
                    epoch: epoch.parse().ok()?,
                },
                whole: scope == "whole",
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lease(last: u8, expiry: u64) -> Lease {
        Lease {
            mac: [0x52, 0x54, 0, 0, 0, last].into(),
            address: Ipv4Addr::new(192, 168, 122, last),
            expiry,
            hostname: last.is_multiple_of(2).then(|| "web".into()),
            client_id: last.is_multiple_of(3).then(|| [1, last].into()),
        }
    }

    fn opened(whole: bool) -> Record {
        let anchor = Anchor {
            boot: "0d5e-a".into(),
            uptime: 7,
            epoch: 1_700_000_000,
        };
        Record::Opened { anchor, whole }
    }

    fn text(records: &[Record]) -> String {
        let mut text = String::new();
        for record in records {
            write(&mut text, record);
        }
        text
    }

    fn sample() -> Vec<Record> {
        let mut records = vec![opened(false)];
        records.extend((1..20).map(|n| Record::Held(lease(n, n.into()))));
        records.push(Record::Free(Ipv4Addr::new(192, 168, 122, 3)));
        records
    }

    fn book(records: &[Record]) -> Book {
        let mut book = Book::default();
        records.iter().for_each(|r| book.apply(r.clone()));
        book
    }

    #[test]
    fn what_is_written_is_read_back() {
        let records = sample();
        let read = read(text(&records).as_bytes());
        assert_eq!(read.records, records);
        assert_eq!((read.damaged, read.torn), (vec![], 0));
    }

    #[test]
    fn the_checksum_is_the_one_of_the_rfc() {
        // RFC 3720 §B.4: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_cut_anywhere_loses_only_the_record_that_it_hits() {
        let records = sample();
        let text = text(&records);
        for len in 0..text.len() {
            let cut = &text.as_bytes()[..len];
            let whole = cut.iter().filter(|b| **b == b'\n').count();
            let read = read(cut);
            assert_eq!(read.records, records[..whole], "{len} bytes");
            assert_eq!(read.damaged, [] as [usize; 0]);
            let rest = cut.rsplit(|b| *b == b'\n').next().unwrap().len();
            assert_eq!(read.torn, rest);
        }
    }

    #[test]
    fn one_wrong_byte_anywhere_is_seen_and_costs_two_records_at_most() {
        let records = sample();
        let text = text(&records);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << (at % 7);
            let read = read(&bytes);
            assert!(read.records.len() + 2 >= records.len(), "byte {at}");
            assert!(read.records.iter().all(|r| records.contains(r)));
            assert!(!read.damaged.is_empty() || read.torn > 0, "byte {at}");
        }
    }

    #[test]
    fn a_tail_of_zeros_is_torn_and_zeros_within_are_damage() {
        let text = text(&sample());
        let mut tail = text.clone().into_bytes();
        tail.extend([0; 512]);
        assert_eq!(read(&tail).torn, 512);
        assert!(!read(&tail).torn_line);
        tail.push(b'\n');
        assert!(read(&tail).torn_line);
        let mut hole = text.into_bytes();
        hole[60..200].fill(0);
        assert!(!read(&hole).damaged.is_empty());
    }

    #[test]
    fn a_whole_journal_makes_void_what_was_before() {
        let mut records = sample();
        records.push(opened(true));
        records.push(Record::Held(lease(9, 9)));
        let leases: Vec<Lease> = book(&records).into_leases().collect();
        assert_eq!(leases, [lease(9, 9)]);
    }

    #[test]
    fn a_lease_that_moves_leaves_its_former_address() {
        let (before, mut after) = (lease(1, 1), lease(1, 2));
        after.address = Ipv4Addr::new(192, 168, 122, 200);
        let change = Change {
            before: Some(before.clone()),
            after: Some(after.clone()),
        };
        let mut journal = text(&[Record::Held(before)]);
        write_changes(&mut journal, [&change]);
        let records = read(journal.as_bytes()).records;
        assert_eq!(book(&records).into_leases().collect::<Vec<_>>(), [after]);
    }

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let record = (0u8..12, 1u64..100, any::<bool>()).prop_map(|(last, expiry, held)| {
            let lease = lease(last, expiry);
            if held {
                Record::Held(lease)
            } else {
                Record::Free(lease.address)
            }
        });
        prop::collection::vec(record, 0..60)
    }

    proptest! {
        #[test]
        fn any_part_read_again_over_a_later_state_changes_nothing(
            records in records(),
            from in any::<prop::sample::Index>(),
        ) {
            let from = from.index(records.len() + 1);
            let mut twice = book(&records);
            records[from..].iter().for_each(|r| twice.apply(r.clone()));
            prop_assert_eq!(twice, book(&records));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let read = read(&bytes);
            prop_assert!(read.torn <= bytes.len());
        }
    }
}
