//! Bytes as a journal, and as a lease file.
//!
//! Whatever stands in them: reading ends; what was read and is written again
//! reads the same; reading a journal over its own result changes nothing; and a
//! journal that is cut off loses no record but the one that is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmlan_dhcp::journal::{self, Book, Journal, Record};
use vmlan_dhcp::{Lease, leasefile};

fuzz_target!(|data: &[u8]| {
    read_as_lease_file(data);
    let read = journal::read(data);
    assert!(read.torn <= data.len());
    written_again(&read.records);
    cut(data, &read);
    // The checksum keeps nearly every spoiled line from what is behind it: so
    // here each line gets the right one.
    let summed = with_sums(data);
    let read = journal::read(&summed);
    written_again(&read.records);
    cut(&summed, &read);
});

fn read_as_lease_file(data: &[u8]) {
    let lines: Vec<Result<Lease, _>> = leasefile::parse(data).collect();
    let leases: Vec<Lease> = lines.into_iter().flatten().collect();
    let text = leasefile::format(&leases);
    let again: Result<Vec<Lease>, _> = leasefile::parse(text.as_bytes()).collect();
    assert_eq!(again.as_ref(), Ok(&leases));
}

fn written_again(records: &[Record]) {
    let mut text = String::new();
    for record in records {
        journal::write(&mut text, record);
    }
    let again = journal::read(text.as_bytes());
    assert_eq!(again.records, records);
    assert_eq!((again.damaged, again.torn), (Vec::new(), 0));

    let mut once = Book::default();
    records.iter().for_each(|r| once.apply(r.clone()));
    let mut twice = once.clone();
    records.iter().for_each(|r| twice.apply(r.clone()));
    assert_eq!(once, twice, "reading it twice is not reading it once");
    let file = leasefile::format(once.leases());
    let mut filed = Book::default();
    leasefile::parse(file.as_bytes())
        .flatten()
        .for_each(|lease| filed.enter(lease));
    assert_eq!(once, filed, "the lease file says something else");
}

/// Cuts the journal in its last line, and in its middle.
fn cut(data: &[u8], whole: &Journal) {
    for len in [data.len().saturating_sub(1), data.len() / 2] {
        let (kept, lost) = data.split_at(len);
        let read = journal::read(kept);
        assert!(whole.records.starts_with(&read.records));
        // A line begun in what is kept ends in what is lost.
        let lines = lost.split_inclusive(|byte| *byte == b'\n').count();
        assert!(read.records.len() + lines >= whole.records.len());
    }
}

/// `data` with the right checksum in place of each line's first word.
fn with_sums(data: &[u8]) -> Vec<u8> {
    let mut summed = Vec::new();
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        let start = line
            .iter()
            .position(|byte| *byte == b' ')
            .map_or(0, |at| at + 1);
        let content = &line[start..];
        let sum = crc32c::crc32c(content.strip_suffix(b"\n").unwrap_or(content));
        summed.extend(format!("{sum:08x} ").into_bytes());
        summed.extend(content);
    }
    summed
}
