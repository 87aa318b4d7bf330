//! The differences that there are for a reason.
//!
//! The file has one kind of them a line: `CASES | WHAT | OURS | THEIRS | REASON`,
//! the first four with `*` and `?`. The reason is the first cell of a row of the
//! documentation's tables.

use super::Difference;
use anyhow::{Context, Result, ensure};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use vmlan_dhcp::glob;

/// One kind of difference.
#[derive(Debug)]
pub struct Known {
    /// Its line.
    pub text: String,
    /// The words that the documentation has of it.
    pub reason: String,
    patterns: [String; 4],
    met: Cell<bool>,
}

/// All kinds in `file`.
///
/// # Errors
/// It cannot be read, or a line has not five parts.
pub fn read(file: &Path) -> Result<Vec<Known>> {
    let text = fs::read_to_string(file)?;
    let lines = text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let [case, what, ours, theirs, reason] = <[&str; 5]>::try_from(parts)
                .ok()
                .with_context(|| format!("not five parts: {line}"))?;
            ensure!(!reason.is_empty(), "no reason: {line}");
            Ok(Known {
                text: line.to_owned(),
                reason: reason.to_owned(),
                patterns: [case, what, ours, theirs].map(str::to_owned),
                met: Cell::new(false),
            })
        })
        .collect()
}

impl Known {
    /// Whether `difference` is one of this kind.
    #[must_use]
    pub fn covers(&self, difference: &Difference) -> bool {
        let Difference {
            case,
            what,
            ours,
            theirs,
            ..
        } = difference;
        let parts = [case, what, ours, theirs];
        let fits = self
            .patterns
            .iter()
            .zip(parts)
            .all(|(pattern, part)| glob::matches(pattern.as_bytes(), part.as_bytes()));
        self.met.set(self.met.get() || fits);
        fits
    }

    /// Whether there was one.
    #[must_use]
    pub fn met(&self) -> bool {
        self.met.get()
    }
}
