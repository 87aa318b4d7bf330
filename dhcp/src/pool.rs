//! The ranges that clients without an address of their own are served from.
//!
//! What is kept of a range grows with the addresses taken, not with those that
//! there are: a /8 with ten leases is ten leases.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crate::hash::HashSet;

/// All ranges, none of which overlaps another, and the addresses in them that
/// are never handed out.
#[derive(Debug)]
pub(crate) struct Pools {
    pools: Vec<Pool>,
    /// The first address of each and its place in `pools`, in order.
    order: Vec<(u32, usize)>,
    reserved: HashSet<Ipv4Addr>,
    size: usize,
}

/// One range.
#[derive(Debug)]
pub(crate) struct Pool {
    first: u32,
    last: u32,
    taken: Runs,
    /// Leases that ran out, by their end and address, whose address may go to
    /// another client.
    reclaimable: BTreeSet<(u64, Ipv4Addr)>,
}

impl Pools {
    /// The pools of `ranges`, in their order, without the `reserved` addresses;
    /// all others are free.
    pub(crate) fn new<'a>(
        ranges: impl IntoIterator<Item = &'a RangeInclusive<Ipv4Addr>>,
        reserved: HashSet<Ipv4Addr>,
    ) -> Self {
        let pools: Vec<Pool> = ranges.into_iter().map(Pool::new).collect();
        let mut order: Vec<_> = pools
            .iter()
            .enumerate()
            .map(|(i, p)| (p.first, i))
            .collect();
        order.sort_unstable();
        let mut all = Self {
            size: pools.iter().map(Pool::len).sum(),
            pools,
            order,
            reserved: HashSet::default(),
        };
        for address in &reserved {
            if let Some(pool) = all.spanning_mut(*address) {
                pool.taken.insert(u32::from(*address));
                all.size -= 1;
            }
        }
        all.reserved = reserved;
        all
    }

    /// How many addresses they hand out in all.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The place, in the order of [`new`](Self::new), of the pool that hands
    /// `address` out.
    pub(crate) fn holding(&self, address: Ipv4Addr) -> Option<usize> {
        self.place(address)
            .filter(|_| !self.reserved.contains(&address))
    }

    /// Whether one of them hands `address` out.
    pub(crate) fn contains(&self, address: Ipv4Addr) -> bool {
        self.holding(address).is_some()
    }

    /// Whether `address` is handed out and free.
    pub(crate) fn is_free(&self, address: Ipv4Addr) -> bool {
        let pool = self.place(address).and_then(|place| self.get(place));
        pool.is_some_and(|pool| !pool.taken.contains(address.into()))
    }

    /// The pool at `place`.
    pub(crate) fn get(&self, place: usize) -> Option<&Pool> {
        self.pools.get(place)
    }

    /// Notes that `address` is free or taken; one that no pool hands out is
    /// left alone.
    pub(crate) fn set_free(&mut self, address: Ipv4Addr, free: bool) {
        if self.reserved.contains(&address) {
            return;
        }
        if let Some(pool) = self.spanning_mut(address) {
            if free {
                pool.taken.remove(address.into());
            } else {
                pool.taken.insert(address.into());
            }
        }
    }

    /// Notes whether the lease on `address` that ended at `expiry` may be taken
    /// back.
    pub(crate) fn set_reclaimable(&mut self, address: Ipv4Addr, expiry: u64, may: bool) {
        let may = may && !self.reserved.contains(&address);
        if let Some(pool) = self.spanning_mut(address) {
            if may {
                pool.reclaimable.insert((expiry, address));
            } else {
                pool.reclaimable.remove(&(expiry, address));
            }
        }
    }

    fn place(&self, address: Ipv4Addr) -> Option<usize> {
        let address = u32::from(address);
        let after = self.order.partition_point(|(first, _)| *first <= address);
        let (_, place) = self.order.get(after.checked_sub(1)?)?;
        (address <= self.pools.get(*place)?.last).then_some(*place)
    }

    fn spanning_mut(&mut self, address: Ipv4Addr) -> Option<&mut Pool> {
        let place = self.place(address)?;
        self.pools.get_mut(place)
    }
}

impl Pool {
    fn new(range: &RangeInclusive<Ipv4Addr>) -> Self {
        Self {
            first: u32::from(*range.start()),
            last: u32::from(*range.end()),
            taken: Runs::default(),
            reclaimable: BTreeSet::new(),
        }
    }

    fn len(&self) -> usize {
        self.last.saturating_sub(self.first) as usize + 1
    }

    /// The first free address from a start that `hash` chooses, going round.
    pub(crate) fn probe(&self, hash: u64) -> Option<Ipv4Addr> {
        let offset = u32::try_from(hash % self.len() as u64).unwrap_or_default();
        let start = self.first.saturating_add(offset);
        let found = self.next_free(start).or_else(|| self.next_free(self.first));
        found.map(Ipv4Addr::from)
    }

    /// The lease that ran out longest ago: its end and address.
    pub(crate) fn oldest_expired(&self) -> Option<(u64, Ipv4Addr)> {
        self.reclaimable.first().copied()
    }

    fn next_free(&self, from: u32) -> Option<u32> {
        let free = match self.taken.around(from) {
            Some((_, last)) => last.checked_add(1)?,
            None => from,
        };
        (free <= self.last).then_some(free)
    }
}

/// A set of numbers, kept as runs without a gap: the first of each and its
/// last. Two runs never touch, so that the number behind one is not in the set.
#[derive(Debug, Default)]
struct Runs(BTreeMap<u32, u32>);

impl Runs {
    /// The run that `number` is in.
    fn around(&self, number: u32) -> Option<(u32, u32)> {
        let (first, last) = self.0.range(..=number).next_back()?;
        (*last >= number).then_some((*first, *last))
    }

    fn contains(&self, number: u32) -> bool {
        self.around(number).is_some()
    }

    fn insert(&mut self, number: u32) {
        if self.contains(number) {
            return;
        }
        let before = number.checked_sub(1).and_then(|n| self.around(n));
        let first = before.map_or(number, |(first, _)| first);
        let after = number.checked_add(1).and_then(|n| self.0.remove(&n));
        self.0.insert(first, after.unwrap_or(number));
    }

    fn remove(&mut self, number: u32) {
        let Some((first, last)) = self.around(number) else {
            return;
        };
        self.0.remove(&first);
        if first < number {
            self.0.insert(first, number - 1);
        }
        if number < last {
            self.0.insert(number + 1, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    proptest! {
        #[test]
        fn runs_do_what_a_set_does(
            changes in prop::collection::vec((0..60_u32, any::<bool>()), 0..200),
            from in 0..60_u32,
        ) {
            let (mut runs, mut set) = (Runs::default(), BTreeSet::new());
            for (number, put) in changes {
                if put {
                    runs.insert(number);
                    set.insert(number);
                } else {
                    runs.remove(number);
                    set.remove(&number);
                }
                prop_assert_eq!(runs.contains(number), put);
            }
            let listed: BTreeSet<u32> = runs.0.iter().flat_map(|(a, b)| *a..=*b).collect();
            prop_assert_eq!(&listed, &set);
            // As few runs as there can be: the next free number is one step off.
            let starts = set.iter().filter(|n| n.checked_sub(1).is_none_or(|b| !set.contains(&b)));
            prop_assert_eq!(runs.0.len(), starts.count());
            let free = runs.around(from).map_or(from, |(_, last)| last + 1);
            prop_assert_eq!((from..).find(|n| !set.contains(n)), Some(free));
        }
    }

    #[test]
    fn the_ends_of_all_addresses_are_numbers_like_others() {
        let mut runs = Runs::default();
        for number in [u32::MAX, 0, u32::MAX - 1, 1] {
            runs.insert(number);
        }
        assert_eq!(runs.0.len(), 2);
        let last = Ipv4Addr::BROADCAST;
        let mut pools = Pools::new([&(last..=last)], HashSet::default());
        pools.set_free(last, false);
        assert_eq!(pools.get(0).unwrap().probe(0), None);
    }

    #[test]
    fn a_probe_goes_round_and_skips_what_is_reserved() {
        let reserved = [ip(1), ip(4)];
        let mut pools = Pools::new([&(ip(1)..=ip(4))], reserved.into_iter().collect());
        assert_eq!(pools.size(), 2);
        assert_eq!(pools.get(0).unwrap().probe(3), Some(ip(2)));
        pools.set_free(ip(2), false);
        pools.set_free(ip(1), true);
        assert_eq!(pools.get(0).unwrap().probe(0), Some(ip(3)));
        pools.set_free(ip(3), false);
        assert_eq!(pools.get(0).unwrap().probe(0), None);
        assert!(!pools.is_free(ip(4)) && !pools.contains(ip(4)));
    }

    #[test]
    fn an_address_is_of_the_range_that_spans_it() {
        let ranges = [ip(100)..=ip(110), ip(1)..=ip(10), ip(50)..=ip(50)];
        let pools = Pools::new(&ranges, [ip(5)].into_iter().collect());
        let places = [1, 5, 10, 11, 49, 50, 51, 99, 100, 110, 111];
        let held: Vec<_> = places.map(|last| pools.holding(ip(last))).into();
        let (none, first) = (None, Some(0));
        let want = [
            Some(1),
            none,
            Some(1),
            none,
            none,
            Some(2),
            none,
            none,
            first,
            first,
            none,
        ];
        assert_eq!(held, want);
        assert_eq!(pools.size(), 21);
    }

    #[test]
    fn the_largest_range_costs_what_is_taken_of_it() {
        let range = Ipv4Addr::new(10, 0, 0, 0)..=Ipv4Addr::new(10, 255, 255, 255);
        let mut pools = Pools::new([&range], HashSet::default());
        assert_eq!(pools.size(), 1 << 24);
        for last in 0..=255 {
            pools.set_free(ip(last), false);
        }
        assert_eq!(pools.get(0).unwrap().taken.0.len(), 1);
        assert_eq!(
            pools.get(0).unwrap().probe(7),
            Some(Ipv4Addr::new(10, 0, 1, 0))
        );
    }
}
