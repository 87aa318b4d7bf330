//! What is told of messages that get no answer, where an operator can mend it.
//!
//! A client without an address asks on for as long as it runs, so of one reason
//! there is an event a minute, with the number of those that stand for it.

use crate::events::Event;
use pnet_base::MacAddr;
use std::time::{Duration, Instant};
use vmlan_dhcp::Silence;

/// How long nothing more is said of a reason.
const QUIET: Duration = Duration::from_secs(60);

/// When something was last said of each reason for no answer.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    reasons: [Reason; Silence::ALL.len()],
}

#[derive(Debug, Clone, Copy, Default)]
struct Reason {
    said: Option<Instant>,
    unsaid: u64,
}

impl Unanswered {
    /// What to tell at `now` of a message that got no answer, if one is due;
    /// `client` says whose message it is.
    pub(super) fn event(
        &mut self,
        silence: Silence,
        client: impl FnOnce() -> Option<MacAddr>,
        now: Instant,
    ) -> Option<Event> {
        let reason = self.reasons.get_mut(silence as usize)?;
        let mend = mend(silence)?;
        let quiet = |said: Instant| now.saturating_duration_since(said) < QUIET;
        if reason.said.is_some_and(quiet) {
            reason.unsaid += 1;
            return None;
        }
        reason.said = Some(now);
        Some(Event::NoAddress {
            mac: client(),
            reason: silence.name().to_owned(),
            mend: mend.to_owned(),
            more: std::mem::take(&mut reason.unsaid),
        })
    }
}

/// What an operator can do about it.
fn mend(silence: Silence) -> Option<&'static str> {
    match silence {
        Silence::RangeExhausted => Some("widen the range under [dhcp]"),
        Silence::LeaseLimit => Some("raise max-leases under [dhcp]"),
        Silence::NotRecorded => Some("leases cannot be written, `vmlan status` says why"),
        Silence::OriginLimit => Some("too many are on offer to stations behind its port"),
        Silence::AddressesInUse => {
            Some("stations without a lease answer for those that were tried")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Option<MacAddr> {
        Some(MacAddr(0x52, 0x54, 0, 0, 0, 1))
    }

    #[test]
    fn a_reason_is_said_once_a_minute_with_how_often_it_was_not() {
        let start = Instant::now();
        let mut unanswered = Unanswered::default();
        let mut after = |seconds, silence| {
            let event = unanswered.event(silence, client, start + Duration::from_secs(seconds));
            event.map(|event| event.to_string())
        };
        let first = "DHCP: 52:54:00:00:00:01 gets no address, range-exhausted: widen the range \
                     under [dhcp]";
        assert_eq!(after(0, Silence::RangeExhausted).as_deref(), Some(first));
        assert_eq!(after(1, Silence::RangeExhausted), None);
        assert_eq!(after(59, Silence::RangeExhausted), None);
        assert!(after(59, Silence::LeaseLimit).is_some(), "another reason");
        let later = format!("{first} (2 more messages since the last such line)");
        assert_eq!(after(60, Silence::RangeExhausted), Some(later));
        assert_eq!(after(61, Silence::NotKnown), None, "as configured");
    }

    #[test]
    fn each_reason_has_a_place_of_its_own() {
        for (place, silence) in Silence::ALL.iter().enumerate() {
            assert_eq!(*silence as usize, place, "{silence}");
        }
    }
}
