//! What became of the messages of clients, counted.

use std::collections::BTreeMap;
use vmlan_dhcp::{Event, Refusal, Silence};

/// Counts by the name of what is counted. They only grow.
type ByName = BTreeMap<&'static str, u64>;

/// Counters of a server since the program started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::daemon) struct Counters {
    /// Replies sent.
    pub(in crate::daemon) replies: u64,
    /// Messages that got none, by the reason.
    pub(in crate::daemon) unanswered: ByName,
    /// NAKs among the replies, by the reason.
    pub(in crate::daemon) refused: ByName,
    /// Addresses found in use by somebody without a lease, by who said so:
    /// the client that was to have it (`decline`) or a station (`probe`).
    pub(in crate::daemon) conflicts: ByName,
    /// Leases begun under a client identifier that another station has too.
    pub(in crate::daemon) shared_client_ids: u64,
}

impl Default for Counters {
    /// All there are, each at 0.
    fn default() -> Self {
        Self {
            replies: 0,
            unanswered: Silence::ALL.iter().map(|s| (s.name(), 0)).collect(),
            refused: Refusal::ALL.iter().map(|r| (r.name(), 0)).collect(),
            conflicts: [(DECLINE, 0), (PROBE, 0)].into(),
            shared_client_ids: 0,
        }
    }
}

const DECLINE: &str = "decline";
const PROBE: &str = "probe";

impl Counters {
    /// Takes note of a reply sent.
    pub(super) fn reply(&mut self) {
        self.replies += 1;
    }

    /// Takes note of a message that gets no answer, but for those that are due
    /// none, or whose answer is still to come.
    pub(super) fn silence(&mut self, silence: Silence) {
        if matches!(silence, Silence::NoAnswerDue | Silence::Probing) {
            return;
        }
        *self.unanswered.entry(silence.name()).or_default() += 1;
    }

    /// Takes note of what happened.
    pub(super) fn event(&mut self, event: &Event) {
        let counter = match event {
            Event::Refused { refusal, .. } => self.refused.entry(refusal.name()).or_default(),
            Event::Declined { .. } => self.conflicts.entry(DECLINE).or_default(),
            Event::InUse { .. } => self.conflicts.entry(PROBE).or_default(),
            Event::DuplicateClientId { .. } => &mut self.shared_client_ids,
            _ => return,
        };
        *counter += 1;
    }
}
