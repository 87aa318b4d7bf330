//! The host's clocks, read.

use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::time::{Duration, SystemTime};
use vmlan_dhcp::clock::Moment;

/// Which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The clocks that leases run by.
pub(super) struct Clocks {
    /// Which boot the time since boot counts from.
    pub(super) boot: String,
    read: Box<dyn Fn() -> (Duration, Duration) + Send>,
}

impl Clocks {
    /// The host's own.
    pub(super) fn host() -> Self {
        let boot = std::fs::read_to_string(BOOT_ID);
        Self {
            boot: boot.map_or_else(|_| unknown(), |id| id.trim().to_owned()),
            read: Box::new(|| {
                let uptime = clock_gettime(ClockId::Boottime);
                let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                (
                    Duration::try_from(uptime).unwrap_or_default(),
                    // A clock before 1970 counts as 0.
                    wall.unwrap_or_default(),
                )
            }),
        }
    }

    /// Such as `read` says: time since boot and since 1970.
    #[cfg(test)]
    pub(super) fn fake(read: impl Fn() -> (Duration, Duration) + Send + 'static) -> Self {
        Self {
            boot: "test".to_owned(),
            read: Box::new(read),
        }
    }

    /// What they say.
    pub(super) fn moment(&self) -> Moment {
        let (uptime, wall) = (self.read)();
        Moment {
            uptime: uptime.as_secs(),
            wall: wall.as_secs(),
        }
    }

    /// How far into the present second of the time since boot it is.
    pub(super) fn fraction(&self) -> Duration {
        Duration::from_nanos((self.read)().0.subsec_nanos().into())
    }
}

/// Without /proc no two starts count as of one boot.
fn unknown() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    format!("unknown-{}", now.unwrap_or_default().as_nanos())
}

impl fmt::Debug for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clocks")
            .field("boot", &self.boot)
            .finish_non_exhaustive()
    }
}
