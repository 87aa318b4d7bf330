//! Counts of what happened, to show that the inputs reach what they are for.

use std::collections::BTreeMap;
use std::fmt;

/// Numbers by kind of event and name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally(BTreeMap<(&'static str, &'static str), u64>);

impl Tally {
    /// Counts `n` more of `name`.
    pub fn add(&mut self, kind: &'static str, name: &'static str, n: u64) {
        *self.0.entry((kind, name)).or_default() += n;
    }

    /// How many there were.
    #[must_use]
    pub fn get(&self, kind: &'static str, name: &'static str) -> u64 {
        self.0.get(&(kind, name)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Tally {
    /// A line for each number, kinds and names in the order of the alphabet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((kind, name), n) in &self.0 {
            writeln!(f, "{kind:<10} {name:<32} {n:>12}")?;
        }
        Ok(())
    }
}
