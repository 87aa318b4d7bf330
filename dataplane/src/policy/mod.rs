//! What may pass, and the name of every reason why something did not.

pub mod admit;

/// Why a frame, or a part of one, was not forwarded. Each has a counter per
/// port and direction, shown by `vmlan ports --json` under `drops`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum DropReason {
    /// Shorter than an Ethernet header (14 bytes).
    Runt,
    /// Longer than the network's MTU plus header and tag; for a super-frame,
    /// one of its segments is.
    TooBig,
    /// The source address is a group address (IEEE 802.3 clause 3.2.3).
    MulticastSource,
    /// The source address is the switch's own.
    OwnSource,
    /// The destination is in 01:80:C2:00:00:0X (IEEE 802.1D table 7-10).
    LinkLocal,
    /// The destination is behind the port that the frame came from.
    SamePort,
    /// There is no other port to send it to.
    NoEgress,
    /// For the switch itself, which has no use for it.
    ForSwitch,
    /// The offload header contradicts the frame, or asks for what no sender of
    /// this kind may ask for.
    BadOffload,
    /// The egress could not take more; what waits there is kept.
    EgressFull,
    /// The egress netdev is down or gone.
    LinkDown,
    /// The egress refused the frame for another reason.
    EgressError,
    /// A DHCP message that would cross the uplink while the embedded server
    /// serves this segment (in either direction).
    DhcpUplink,
    /// A frame for the embedded server, which has too many waiting.
    ResponderBusy,
}

impl DropReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 14] = [
        Self::Runt,
        Self::TooBig,
        Self::MulticastSource,
        Self::OwnSource,
        Self::LinkLocal,
        Self::SamePort,
        Self::NoEgress,
        Self::ForSwitch,
        Self::BadOffload,
        Self::EgressFull,
        Self::LinkDown,
        Self::EgressError,
        Self::DhcpUplink,
        Self::ResponderBusy,
    ];

    /// The name that users see: lower case, words joined by `-`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Runt => "runt",
            Self::TooBig => "too-big",
            Self::MulticastSource => "multicast-source",
            Self::OwnSource => "own-source",
            Self::LinkLocal => "link-local",
            Self::SamePort => "same-port",
            Self::NoEgress => "no-egress",
            Self::ForSwitch => "for-switch",
            Self::BadOffload => "bad-offload",
            Self::EgressFull => "egress-full",
            Self::LinkDown => "link-down",
            Self::EgressError => "egress-error",
            Self::DhcpUplink => "dhcp-uplink",
            Self::ResponderBusy => "responder-busy",
        }
    }
}

/// A number for each [`DropReason`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DropCounts([u64; DropReason::ALL.len()]);

impl DropCounts {
    /// Adds `n` drops for `reason`.
    pub fn add(&mut self, reason: DropReason, n: u64) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += n;
        }
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (to, from) in self.0.iter_mut().zip(other.0) {
            *to += from;
        }
    }

    /// Whether none was dropped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|n| *n == 0)
    }

    /// How many were dropped for `reason`.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or_default()
    }

    /// The reasons that were counted at all, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .into_iter()
            .map(|reason| (reason, self.get(reason)))
            .filter(|(_, n)| *n > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_number_and_name() {
        for (i, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
        let mut names: Vec<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::ALL.len());
    }
}
