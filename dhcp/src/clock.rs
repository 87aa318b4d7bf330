//! The time that leases run by, when the host's clock does not keep it.
//!
//! A client counts its lease from the ACK on, by its own clock. So a lease has
//! to end after so many seconds, whatever the host's wall clock is set to
//! meanwhile: forward, and addresses in use would be given to others; back, and
//! they would be kept for nobody. But lease files tell the end of a lease by
//! the wall clock, since that is what outlasts a reboot and what others read.
//! The rules:
//!
//! 1. While the server runs, and over restarts of it within one boot, leases
//!    run by the time since boot (`CLOCK_BOOTTIME`, which also counts while the
//!    machine sleeps). Setting the wall clock neither ends nor prolongs one.
//! 2. After a reboot the wall clock counts, as nothing else is known, but it
//!    is never taken to be earlier than the last time noted on disk: a machine
//!    without a battery does not give out leases for ever.
//! 3. What is on disk tells the end of each lease by the wall clock as it was
//!    set when it was written. When that is set anew by more than
//!    [`TOLERANCE`], all leases have to be written again:
//!    [`LeaseClock::step`] says so.
//!
//! What no rule can know: a clock that was set forward while the machine was
//! off. Then leases end early for this server. Their addresses are still the
//! last to be given to others, and are probed for before.
//!
//! [`LeaseClock::now`] is the time for [`Server`](crate::Server); times
//! on disk and for users are [`LeaseClock::skew`] later.

/// Seconds by which the wall clock may drift from what is on disk: a clock that
/// is adjusted bit by bit is not worth writing all leases again.
pub const TOLERANCE: u64 = 5;

/// The clocks of a host at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since boot, time asleep included.
    pub uptime: u64,
    /// Seconds of the Unix epoch by the wall clock.
    pub wall: u64,
}

/// How the time on disk and the time since boot lie to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Which boot: Linux's `boot_id`, without blanks.
    pub boot: Box<str>,
    /// Seconds since that boot.
    pub uptime: u64,
    /// The same moment in epoch seconds as on disk.
    pub epoch: u64,
}

/// The time that leases run by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseClock {
    boot: Box<str>,
    /// When this clock was started, in seconds since boot.
    uptime: u64,
    /// The same moment by this clock.
    epoch: u64,
    /// How far times on disk are ahead of this clock.
    skew: i64,
}

impl LeaseClock {
    /// The clock that goes on from what is on disk at `moment` of the boot
    /// `boot`; `last` is the latest anchor there.
    #[must_use]
    pub fn start(boot: &str, moment: Moment, last: Option<&Anchor>) -> Self {
        let epoch = match last {
            Some(last) if *last.boot == *boot => last
                .epoch
                .saturating_add(moment.uptime.saturating_sub(last.uptime)),
            Some(last) => moment.wall.max(last.epoch),
            None => moment.wall,
        };
        Self {
            boot: boot.into(),
            uptime: moment.uptime,
            epoch,
            skew: 0,
        }
    }

    /// The time to give to the server.
    #[must_use]
    pub fn now(&self, moment: Moment) -> u64 {
        self.epoch
            .saturating_add(moment.uptime.saturating_sub(self.uptime))
    }

    /// How far times on disk and for users are ahead of [`now`](Self::now), in
    /// seconds; negative where they are behind.
    #[must_use]
    pub fn skew(&self) -> i64 {
        self.skew
    }

    /// Follows the wall clock if it was set since the leases were written: true
    /// if it was, and then all of them are to be written with the new
    /// [`skew`](Self::skew).
    pub fn step(&mut self, moment: Moment) -> bool {
        let now = self.now(moment);
        let skew = signed(moment.wall).saturating_sub(signed(now));
        let stepped = skew.abs_diff(self.skew) > TOLERANCE;
        if stepped {
            self.skew = skew;
        }
        stepped
    }

    /// What to note on disk.
    #[must_use]
    pub fn anchor(&self, moment: Moment) -> Anchor {
        Anchor {
            boot: self.boot.clone(),
            uptime: moment.uptime,
            epoch: shift(self.now(moment), self.skew),
        }
    }
}

/// The end of a lease by another clock: 0, no end, stays so.
#[must_use]
pub fn shift(expiry: u64, skew: i64) -> u64 {
    match expiry {
        0 => 0,
        _ => expiry.saturating_add_signed(skew).max(1),
    }
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment {
        uptime: 100,
        wall: 1_700_000_000,
    };

    /// `seconds` after the start, by a wall clock that was set by `set`.
    fn later(seconds: u64, set: i64) -> Moment {
        Moment {
            uptime: START.uptime + seconds,
            wall: (START.wall + seconds).saturating_add_signed(set),
        }
    }

    #[test]
    fn a_clock_that_is_set_neither_ends_nor_prolongs_a_lease() {
        for set in [3600, -3600] {
            let mut clock = LeaseClock::start("a", START, None);
            let expiry = clock.now(START) + 600;
            assert!(!clock.step(later(10, 0)));
            assert!(clock.step(later(10, set)));
            assert_eq!(expiry - clock.now(later(10, set)), 590);
            // On disk its end is by the wall clock.
            let end = shift(expiry, clock.skew());
            assert_eq!(end - later(10, set).wall, 590);
            assert!(!clock.step(later(20, set)), "once for each time it is set");
        }
    }

    #[test]
    fn a_restart_in_the_same_boot_counts_the_time_since_boot() {
        for set in [3600, -3600] {
            let clock = LeaseClock::start("a", START, None);
            let anchor = clock.anchor(later(5, 0));
            let mut next = LeaseClock::start("a", later(65, set), Some(&anchor));
            assert_eq!(next.now(later(65, set)), START.wall + 65);
            assert!(next.step(later(65, set)));
        }
    }

    #[test]
    fn after_a_reboot_the_wall_clock_counts_but_not_one_that_lags_behind() {
        let anchor = LeaseClock::start("a", START, None).anchor(later(5, 0));
        let moment = |wall| Moment { uptime: 3, wall };
        let on = moment(START.wall + 500);
        let clock = LeaseClock::start("b", on, Some(&anchor));
        assert_eq!(clock.now(on), START.wall + 500);
        // 1970, as without a battery; the right time comes later.
        let mut clock = LeaseClock::start("b", moment(9), Some(&anchor));
        assert_eq!(clock.now(moment(9)), START.wall + 5);
        assert!(clock.step(moment(9)));
        assert_eq!(shift(clock.now(moment(9)), clock.skew()), 9);
        assert!(clock.step(on));
        assert_eq!(clock.now(on), START.wall + 5);
    }

    #[test]
    fn a_small_drift_is_let_be() {
        let mut clock = LeaseClock::start("a", START, None);
        assert!(!clock.step(later(10, 5)));
        assert!(!clock.step(later(10, -5)));
        assert!(clock.step(later(10, 6)));
    }

    #[test]
    fn a_lease_without_end_has_none_by_any_clock() {
        assert_eq!(shift(0, -5), 0);
        assert_eq!(shift(3, -5), 1);
        assert_eq!(shift(3, 5), 8);
    }
}
