//! The range that clients without an address of their own are served from.
//!
//! Which of its addresses are free stands in a bitmap with summary levels, so
//! that the next free one is found in a handful of steps however full a range
//! of up to 2^24 addresses is.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use foldhash::HashSet;

/// The most addresses a range may span: those of a /8.
pub(crate) const MAX_RANGE: u32 = 1 << 24;

/// A range of addresses, less those that are never handed out from it.
#[derive(Debug)]
pub(crate) struct Pool {
    first: u32,
    len: u32,
    reserved: HashSet<Ipv4Addr>,
    free: Bitmap,
    size: usize,
}

impl Pool {
    /// The pool of `range` (at most [`MAX_RANGE`] addresses are taken) without
    /// the `reserved` addresses; all others are free.
    pub(crate) fn new(range: &RangeInclusive<Ipv4Addr>, reserved: HashSet<Ipv4Addr>) -> Self {
        let first = u32::from(*range.start());
        let len = u32::from(*range.end())
            .saturating_sub(first)
            .saturating_add(1)
            .min(MAX_RANGE);
        let mut pool = Self {
            first,
            len,
            reserved,
            free: Bitmap::full(len),
            size: 0,
        };
        let excluded: Vec<u32> = pool
            .reserved
            .iter()
            .filter_map(|a| pool.index(*a))
            .collect();
        pool.size = (len as usize).saturating_sub(excluded.len());
        for index in excluded {
            pool.free.set(index, false);
        }
        pool
    }

    /// How many addresses it hands out in all.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Whether `address` is one that it hands out.
    pub(crate) fn contains(&self, address: Ipv4Addr) -> bool {
        self.index(address).is_some() && !self.reserved.contains(&address)
    }

    /// Notes that `address` is free or taken; one that the pool does not hand
    /// out is left alone.
    pub(crate) fn set_free(&mut self, address: Ipv4Addr, free: bool) {
        if let Some(index) = self.index(address)
            && !self.reserved.contains(&address)
        {
            self.free.set(index, free);
        }
    }

    /// Whether `address` is handed out and free.
    pub(crate) fn is_free(&self, address: Ipv4Addr) -> bool {
        self.index(address).is_some_and(|i| self.free.get(i))
    }

    /// The first free address from a start that `hash` chooses, going round.
    pub(crate) fn probe(&self, hash: u64) -> Option<Ipv4Addr> {
        let start = u32::try_from(hash % u64::from(self.len)).unwrap_or_default();
        let index = self.free.next(start).or_else(|| self.free.next(0))?;
        Some(Ipv4Addr::from(self.first.saturating_add(index)))
    }

    fn index(&self, address: Ipv4Addr) -> Option<u32> {
        let index = u32::from(address).checked_sub(self.first)?;
        (index < self.len).then_some(index)
    }
}

/// A set of numbers below a fixed length. Bit i of level n + 1 says whether
/// word i of level n has any bit set.
#[derive(Debug)]
struct Bitmap {
    levels: Vec<Vec<u64>>,
}

impl Bitmap {
    /// The set of all numbers below `len`.
    fn full(len: u32) -> Self {
        let mut levels = Vec::new();
        let mut bits = len as usize;
        loop {
            let mut words = vec![u64::MAX; bits.div_ceil(64)];
            let rest = bits % 64;
            if rest != 0
                && let Some(last) = words.last_mut()
            {
                *last = (1 << rest) - 1;
            }
            bits = words.len();
            levels.push(words);
            if bits <= 1 {
                return Self { levels };
            }
        }
    }

    fn get(&self, index: u32) -> bool {
        let word = self.levels.first().and_then(|l| l.get(index as usize / 64));
        word.is_some_and(|w| w >> (index % 64) & 1 == 1)
    }

    fn set(&mut self, index: u32, value: bool) {
        let (mut index, mut value) = (index as usize, value);
        for level in &mut self.levels {
            let Some(word) = level.get_mut(index / 64) else {
                return;
            };
            let before = *word;
            if value {
                *word |= 1 << (index % 64);
            } else {
                *word &= !(1 << (index % 64));
            }
            // The level above only tells an empty word from any other.
            if (before == 0) == (*word == 0) {
                return;
            }
            value = *word != 0;
            index /= 64;
        }
    }

    /// The least member that is at least `from`.
    fn next(&self, from: u32) -> Option<u32> {
        let mut index = from as usize;
        for (height, level) in self.levels.iter().enumerate() {
            let word = level.get(index / 64)?;
            let rest = word & (u64::MAX << (index % 64));
            if rest != 0 {
                let found = index / 64 * 64 + rest.trailing_zeros() as usize;
                return self.least_below(height, found);
            }
            index = index / 64 + 1;
        }
        None
    }

    /// The least member under bit `index` of level `height`.
    fn least_below(&self, height: usize, mut index: usize) -> Option<u32> {
        for level in self.levels.get(..height)?.iter().rev() {
            index = index * 64 + level.get(index)?.trailing_zeros() as usize;
        }
        u32::try_from(index).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_bitmap_finds_what_an_ordered_set_finds(
            len in 1u32..20_000,
            steps in prop::collection::vec((any::<u32>(), any::<bool>(), any::<u32>()), 0..300),
        ) {
            let mut bitmap = Bitmap::full(len);
            let mut set: BTreeSet<u32> = (0..len).collect();
            // Mostly empty is the case that takes the upper levels.
            for i in 0..len.saturating_sub(70) {
                bitmap.set(i, false);
                set.remove(&i);
            }
            for (index, value, from) in steps {
                let (index, from) = (index % len, from % len);
                bitmap.set(index, value);
                if value { set.insert(index); } else { set.remove(&index); }
                prop_assert_eq!(bitmap.next(from), set.range(from..).next().copied());
                prop_assert_eq!(bitmap.get(from), set.contains(&from));
            }
        }
    }

    #[test]
    fn a_probe_goes_round_and_skips_what_is_reserved() {
        let range = Ipv4Addr::new(10, 0, 0, 1)..=Ipv4Addr::new(10, 0, 0, 4);
        let reserved = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 4)];
        let mut pool = Pool::new(&range, reserved.into_iter().collect());
        assert_eq!(pool.size(), 2);
        assert_eq!(pool.probe(3), Some(Ipv4Addr::new(10, 0, 0, 2)));
        pool.set_free(Ipv4Addr::new(10, 0, 0, 2), false);
        pool.set_free(Ipv4Addr::new(10, 0, 0, 1), true);
        assert_eq!(pool.probe(0), Some(Ipv4Addr::new(10, 0, 0, 3)));
        pool.set_free(Ipv4Addr::new(10, 0, 0, 3), false);
        assert_eq!(pool.probe(0), None);
    }
}
