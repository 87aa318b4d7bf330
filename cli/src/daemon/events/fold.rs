//! Folds what happens to one thing again and again: the first time is told at
//! once, further ones together when their window ends, which then begins anew.
//! Who causes them makes one line a window of it.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Things that windows are open for at a time: a bound on the memory that guests
/// can have taken.
const MOST: usize = 1024;

/// What happens to things of the type `K`, the last time as `V` says.
#[derive(Debug)]
pub(super) struct Fold<K, V> {
    window: Duration,
    open: HashMap<K, Window<V>>,
}

#[derive(Debug)]
struct Window<V> {
    since: Instant,
    /// Times since then that nobody was told of.
    times: u64,
    last: V,
}

/// What became of one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// It is the first, to be told at once.
    First,
    /// It comes with the next that [`Fold::over`] gives.
    Folded,
    /// Too many windows are open: nobody will be told.
    NoRoom,
}

/// What happened in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Folded<K, V> {
    /// To what.
    pub(super) key: K,
    /// The last time.
    pub(super) last: V,
    /// How often, at least once.
    pub(super) times: u64,
    /// How long the window was.
    pub(super) lasted: Duration,
}

impl<K: Clone + Eq + Hash, V: Copy> Fold<K, V> {
    /// With windows of that length.
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            open: HashMap::new(),
        }
    }

    /// Takes note of `times` more.
    pub(super) fn note(&mut self, key: K, value: V, times: u64, now: Instant) -> Noted {
        if let Some(window) = self.open.get_mut(&key) {
            let elapsed = now.saturating_duration_since(window.since);
            if window.times > 0 || elapsed < self.window {
                window.times = window.times.saturating_add(times);
                window.last = value;
                return Noted::Folded;
            }
        }
        if self.open.len() >= MOST {
            self.forget_quiet(now);
        }
        if self.open.len() >= MOST && !self.open.contains_key(&key) {
            return Noted::NoRoom;
        }
        let window = Window {
            since: now,
            times: 0,
            last: value,
        };
        self.open.insert(key, window);
        Noted::First
    }

    /// When a window ends in which something was folded.
    pub(super) fn due(&self) -> Option<Instant> {
        let folded = self.open.values().filter(|window| window.times > 0);
        folded.map(|window| window.since + self.window).min()
    }

    /// What was folded in the windows that have ended.
    pub(super) fn over(&mut self, now: Instant) -> Vec<Folded<K, V>> {
        let mut over = Vec::new();
        for (key, window) in &mut self.open {
            let lasted = now.saturating_duration_since(window.since);
            if lasted < self.window || window.times == 0 {
                continue;
            }
            over.push(Folded {
                key: key.clone(),
                last: window.last,
                times: std::mem::take(&mut window.times),
                lasted,
            });
            window.since = now;
        }
        self.forget_quiet(now);
        over
    }

    fn forget_quiet(&mut self, now: Instant) {
        let length = self.window;
        self.open.retain(|_, window| {
            window.times > 0 || now.saturating_duration_since(window.since) < length
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(10);

    #[test]
    fn the_first_is_told_at_once_and_the_rest_at_the_end_of_the_window() {
        let start = Instant::now();
        let mut fold = Fold::new(WINDOW);
        assert_eq!(fold.note('a', 0, 1, start), Noted::First);
        assert_eq!(fold.due(), None, "nothing is left to tell");
        for n in 1..=500 {
            assert_eq!(fold.note('a', n, 1, start), Noted::Folded);
        }
        assert_eq!(fold.due(), Some(start + WINDOW));
        assert_eq!(fold.over(start + WINDOW / 2), []);
        let folded = Folded {
            key: 'a',
            last: 500,
            times: 500,
            lasted: WINDOW,
        };
        assert_eq!(fold.over(start + WINDOW), [folded]);
        assert_eq!(fold.over(start + WINDOW), []);
        // It goes on in the next window, and is new after a quiet one.
        assert_eq!(fold.note('a', 1, 1, start + WINDOW), Noted::Folded);
        assert_eq!(fold.over(start + 2 * WINDOW).len(), 1);
        assert_eq!(fold.note('a', 1, 1, start + 3 * WINDOW), Noted::First);
    }

    #[test]
    fn there_are_so_many_windows_and_quiet_ones_make_room() {
        let start = Instant::now();
        let mut fold = Fold::new(WINDOW);
        for n in 0..MOST {
            assert_eq!(fold.note(n, (), 1, start), Noted::First);
        }
        assert_eq!(fold.note(MOST, (), 1, start), Noted::NoRoom);
        assert_eq!(fold.note(0, (), 1, start), Noted::Folded);
        assert_eq!(fold.note(MOST, (), 1, start + WINDOW), Noted::First);
    }

    proptest! {
        /// Nothing is told twice or forgotten, and of one thing there is a line a
        /// window.
        #[test]
        fn all_is_told_in_few_lines(
            steps in proptest::collection::vec((0..4_u8, 0..4000_u64, any::<bool>()), 1..300)
        ) {
            let start = Instant::now();
            let (mut now, mut fold) = (start, Fold::new(WINDOW));
            let (mut noted, mut told, mut lines) = ([0; 4], [0; 4], [0_u128; 4]);
            let mut look = |fold: &mut Fold<u8, ()>, now, told: &mut [u64; 4]| {
                for folded in fold.over(now) {
                    told[usize::from(folded.key)] += folded.times;
                    lines[usize::from(folded.key)] += 1;
                }
                lines
            };
            for (key, pause, looks) in steps {
                now += Duration::from_millis(pause);
                noted[usize::from(key)] += 1;
                if fold.note(key, (), 1, now) == Noted::First {
                    told[usize::from(key)] += 1;
                }
                if looks {
                    look(&mut fold, now, &mut told);
                }
            }
            now += WINDOW;
            let lines = look(&mut fold, now, &mut told);
            prop_assert_eq!(told, noted);
            let windows = (now - start).as_millis() / WINDOW.as_millis();
            prop_assert!(lines.into_iter().all(|lines| lines <= windows));
            prop_assert_eq!(fold.due(), None);
        }
    }
}
