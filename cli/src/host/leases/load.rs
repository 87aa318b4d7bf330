//! Reads what is there: the lease file, and the journals behind it.

use super::disk::Disk;
use super::{LEASES, LeaseFileError, journal_number};
use vmlan_dhcp::clock::Anchor;
use vmlan_dhcp::journal::{self, Book};
use vmlan_dhcp::leasefile;

/// Faults of one file that are named.
const NAMED: usize = 10;

/// What the files say.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) book: Book,
    /// The clocks, as last noted.
    pub(super) anchor: Option<Anchor>,
    /// The journals that there are, the oldest first.
    pub(super) journals: Vec<u64>,
    /// Files with something in them that makes no sense.
    pub(super) damaged: Vec<String>,
    /// Journals at whose end are lines that make no sense: cut off while they
    /// were written, most likely.
    pub(super) torn: Vec<String>,
    /// What to tell the operator.
    pub(super) remarks: Vec<String>,
}

/// Reads all up to the journal with the number `through`.
pub(super) fn load<D: Disk>(disk: &D, through: u64) -> Result<Found, LeaseFileError> {
    let mut found = Found::default();
    let failed = |name: &str, error| LeaseFileError::new(disk, "read", name, error);
    let names = disk.names().map_err(|e| failed(LEASES, e))?;
    found.journals = names.iter().filter_map(|n| journal_number(n)).collect();
    found.journals.retain(|number| *number <= through);
    found.journals.sort_unstable();
    if let Some(file) = disk.read(LEASES).map_err(|e| failed(LEASES, e))? {
        found.take_file(disk, &file);
    }
    for number in found.journals.clone() {
        let name = super::journal_name(number);
        // It may have been removed since the names were read.
        if let Some(bytes) = disk.read(&name).map_err(|e| failed(&name, e))? {
            found.take_journal(disk, &name, &bytes);
        }
    }
    Ok(found)
}

impl Found {
    /// Files to keep under another name before they go.
    pub(super) fn to_keep(&self) -> Vec<String> {
        let torn = self.torn.iter().filter(|it| !self.damaged.contains(it));
        self.damaged.iter().chain(torn).cloned().collect()
    }

    fn take_file(&mut self, disk: &impl Disk, file: &[u8]) {
        let mut faults = Vec::new();
        for line in leasefile::parse(file) {
            match line {
                Ok(lease) => self.book.enter(lease),
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        self.blame(disk, LEASES, &faults);
    }

    fn take_journal(&mut self, disk: &impl Disk, name: &str, bytes: &[u8]) {
        let read = journal::read(bytes);
        if let Some(anchor) = read.anchor() {
            self.anchor = Some(anchor.clone());
        }
        if read.is_whole() {
            // What was before is void, and so is what is wrong with it.
            self.damaged.clear();
            self.torn.clear();
            self.remarks.clear();
        }
        if read.torn > 0 {
            self.remarks.push(format!(
                "{}: the last {} bytes were cut off while they were written, and are dropped: \
                 nothing of them was acknowledged",
                disk.shown(name).display(),
                read.torn
            ));
        }
        if read.torn_line {
            self.torn.push(name.to_owned());
        }
        let faults = read.damaged.iter();
        let faults: Vec<_> = faults
            .map(|line| format!("line {line}: not as it was written"))
            .collect();
        self.blame(disk, name, &faults);
        for record in read.records {
            self.book.apply(record);
        }
    }

    fn blame(&mut self, disk: &impl Disk, name: &str, faults: &[String]) {
        if faults.is_empty() {
            return;
        }
        let shown = disk.shown(name);
        let named = faults.iter().take(NAMED);
        self.remarks
            .extend(named.map(|fault| format!("{}: {fault}", shown.display())));
        self.remarks.push(format!(
            "{} lines of {} make no sense and are left out",
            faults.len(),
            shown.display()
        ));
        self.damaged.push(name.to_owned());
    }
}
