//! Addresses set aside for a while: offered, or declined. How many of them are
//! set aside by messages of one origin is counted along.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::hash::HashMap;
use pnet_base::MacAddr;

use crate::sender::Origin;

/// Why and until when an address is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    /// The client that it was offered to, or that declined it.
    pub(crate) mac: MacAddr,
    /// Where its message came by.
    pub(crate) origin: Origin,
    /// The first second at which it is free again.
    pub(crate) until: u64,
}

/// The addresses set aside for one reason, each for the same number of seconds.
#[derive(Debug)]
pub(crate) struct Holds {
    seconds: u64,
    by_address: HashMap<Ipv4Addr, Hold>,
    by_deadline: BTreeSet<(u64, Ipv4Addr)>,
    /// How many each origin has; one that has none is not in it.
    by_origin: HashMap<Origin, usize>,
}

impl Holds {
    /// None yet; each will last `seconds`.
    pub(crate) fn lasting(seconds: u64) -> Self {
        Self {
            seconds,
            by_address: HashMap::default(),
            by_deadline: BTreeSet::new(),
            by_origin: HashMap::default(),
        }
    }

    /// Sets `address` aside from `now` on, in place of what held it before.
    pub(crate) fn insert(&mut self, address: Ipv4Addr, mac: MacAddr, origin: Origin, now: u64) {
        self.remove(address);
        let until = now.saturating_add(self.seconds);
        let hold = Hold { mac, origin, until };
        self.by_address.insert(address, hold);
        self.by_deadline.insert((until, address));
        *self.by_origin.entry(origin).or_default() += 1;
    }

    /// Ends the hold on `address`, if there is one.
    pub(crate) fn remove(&mut self, address: Ipv4Addr) -> Option<Hold> {
        let hold = self.by_address.remove(&address)?;
        self.by_deadline.remove(&(hold.until, address));
        if let Some(count) = self.by_origin.get_mut(&hold.origin) {
            *count -= 1;
            if *count == 0 {
                self.by_origin.remove(&hold.origin);
            }
        }
        Some(hold)
    }

    /// The hold on `address`.
    pub(crate) fn get(&self, address: Ipv4Addr) -> Option<Hold> {
        self.by_address.get(&address).copied()
    }

    /// An address whose hold is over at `now`, or would last longer than a
    /// fresh one because the clock was set back.
    pub(crate) fn over(&self, now: u64) -> Option<Ipv4Addr> {
        if let Some((until, address)) = self.by_deadline.first()
            && *until <= now
        {
            return Some(*address);
        }
        match self.by_deadline.last() {
            Some((until, address)) if *until > now.saturating_add(self.seconds) => Some(*address),
            _ => None,
        }
    }

    /// The address whose hold ends first.
    pub(crate) fn oldest(&self) -> Option<Ipv4Addr> {
        self.by_deadline.first().map(|(_, address)| *address)
    }

    /// How many addresses are held.
    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }

    /// How many addresses are held by messages of `origin`.
    pub(crate) fn of_origin(&self, origin: Origin) -> usize {
        self.by_origin.get(&origin).copied().unwrap_or_default()
    }

    /// Every hold, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ipv4Addr, Hold)> + '_ {
        self.by_address.iter().map(|(a, h)| (*a, *h))
    }
}
