//! How much of the range one origin can keep from the others without a lease.
//!
//! A guest can invent as many hardware addresses as it likes. Each can be
//! offered an address, and decline it; both put that address aside for a while
//! at no cost to the guest. So what the messages of one origin put aside has a
//! bound, which leaves most of the range to the others whatever it sends.
//!
//! Leases have no such bound: a client that asks for what it was offered gets
//! it. Whether a port may have many clients is not for this server to say: a
//! nested switch behind it has as many as it has guests.

/// Offers that clients of one origin may have outstanding in any range.
const MIN_OFFERS: usize = 8;
/// The part of the range that may be on offer to one origin beyond that.
const OFFERS_PART: usize = 4;
/// Declined addresses that one origin may have put aside in any range.
const MIN_DECLINED: usize = 4;
/// The part of the range that one origin may have put aside beyond that.
const DECLINED_PART: usize = 16;

/// The bounds for each origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OriginLimits {
    /// Offers outstanding.
    pub(super) offers: usize,
    /// Declined addresses that are put aside.
    pub(super) declined: usize,
}

impl OriginLimits {
    /// Those of a server that can give `capacity` leases at a time.
    pub(super) fn of(capacity: usize) -> Self {
        Self {
            offers: MIN_OFFERS.max(capacity / OFFERS_PART),
            declined: MIN_DECLINED.max(capacity / DECLINED_PART),
        }
    }
}
