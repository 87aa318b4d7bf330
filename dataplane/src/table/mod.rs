//! Where the stations are.

pub mod fdb;

pub use fdb::Fdb;

use std::fmt;

/// A port's number inside the switch, below [`MAX_PORTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u16);

/// Ports that a switch can have, as many as a Linux bridge.
pub const MAX_PORTS: u16 = 1024;

/// A point in time, in tenths of a second since a day before the switch started: as fine as
/// ages are shown, and small enough to stand in every table entry (it lasts 13
/// years).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u32);

impl Tick {
    /// Ticks in a second.
    pub const PER_SECOND: u32 = 10;

    /// Ticks from `earlier` to this one; 0 where it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A set of ports.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct PortSet([u64; MAX_PORTS as usize / 64]);

impl PortSet {
    /// Adds `port`.
    pub fn insert(&mut self, port: PortId) {
        if let Some(word) = self.0.get_mut(usize::from(port.0 / 64)) {
            *word |= 1 << (port.0 % 64);
        }
    }

    /// Takes `port` out.
    pub fn remove(&mut self, port: PortId) {
        if let Some(word) = self.0.get_mut(usize::from(port.0 / 64)) {
            *word &= !(1 << (port.0 % 64));
        }
    }

    /// Whether `port` is in it.
    #[must_use]
    pub fn contains(&self, port: PortId) -> bool {
        self.0
            .get(usize::from(port.0 / 64))
            .is_some_and(|word| word & (1 << (port.0 % 64)) != 0)
    }

    /// Whether no port is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The set without the ports of `other`.
    #[must_use]
    pub fn without(mut self, other: &Self) -> Self {
        for (word, out) in self.0.iter_mut().zip(other.0) {
            *word &= !out;
        }
        self
    }

    /// The ports in it, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = PortId> + '_ {
        (0u16..).zip(&self.0).flat_map(|(i, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = u16::try_from(rest.trailing_zeros()).ok()?;
                (rest != 0).then(|| {
                    rest &= rest - 1;
                    PortId(i * 64 + bit)
                })
            })
        })
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|port| port.0))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_set_lists_what_was_put_in() {
        let mut set = PortSet::default();
        assert!(set.is_empty());
        for port in [0, 63, 64, 1023] {
            set.insert(PortId(port));
        }
        set.insert(PortId(5));
        set.remove(PortId(5));
        let listed: Vec<u16> = set.iter().map(|port| port.0).collect();
        assert_eq!(listed, [0, 63, 64, 1023]);
        assert!(set.contains(PortId(64)) && !set.contains(PortId(5)));
    }

    #[test]
    fn a_port_above_the_limit_is_never_in_a_set() {
        let mut set = PortSet::default();
        set.insert(PortId(1024));
        assert!(set.is_empty() && !set.contains(PortId(1024)));
    }
}
