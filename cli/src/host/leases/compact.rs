//! Compaction: journals are worked into the lease file.

use super::disk::Disk;
use super::load::load;
use super::{LEASES, LeaseFileError, NEW_LEASES, journal_name, keep};
use vmlan_dhcp::leasefile;

/// How much of the lease file is written at a time, in bytes.
const PIECE: usize = 64 << 10;

/// Works the journals up to the number `through`, to which nobody writes any
/// more, into the lease file, and removes them. Only one thread does so at a
/// time.
///
/// # Errors
/// Those of the file system. Lease file and journals together still hold all
/// leases then, and doing it again mends it.
pub(crate) fn compact(disk: &impl Disk, through: u64) -> Result<(), LeaseFileError> {
    let found = load(disk, through)?;
    if found.journals.is_empty() {
        return Ok(());
    }
    for remark in &found.remarks {
        tracing::warn!("{remark}");
    }
    keep(disk, &found.to_keep())?;
    let written = disk.create(NEW_LEASES).and_then(|mut file| {
        let mut text = String::with_capacity(2 * PIECE);
        for lease in found.book.leases() {
            // Writing to a string does not fail.
            let _ = leasefile::write_line(&mut text, lease);
            if text.len() >= PIECE {
                disk.append(&mut file, text.as_bytes())?;
                text.clear();
            }
        }
        disk.append(&mut file, text.as_bytes())?;
        disk.sync(&file)
    });
    if written.is_err() {
        // Room for others on a full disk. The first error is the one to report.
        drop(disk.remove(NEW_LEASES));
    }
    written
        .and_then(|()| disk.rename(NEW_LEASES, LEASES))
        .and_then(|()| disk.sync_names())
        .map_err(|e| LeaseFileError::new(disk, "write", LEASES, e))?;
    for number in found.journals {
        let name = journal_name(number);
        disk.remove(&name)
            .and_then(|()| disk.sync_names())
            .map_err(|e| LeaseFileError::new(disk, "remove", &name, e))?;
    }
    Ok(())
}
