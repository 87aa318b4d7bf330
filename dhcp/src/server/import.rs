//! Leases of another server, taken over while this one runs.

use super::Server;
use crate::lease::Lease;
use crate::outcome::{Change, LeftOut};

impl Server {
    /// Takes over live `leases` that another server has given; gives the
    /// changes, which are to be written down like any other, and the leases that
    /// it did not take.
    ///
    /// What this server has given itself goes before. A lease is taken whether
    /// or not the configuration would give it: its client is told when it
    /// renews.
    pub fn import(
        &mut self,
        leases: impl IntoIterator<Item = Lease>,
        now: u64,
    ) -> (Vec<Change>, Vec<(Lease, LeftOut)>) {
        let mut leases: Vec<Lease> = leases.into_iter().collect();
        // As when loading: of two rivals the longer lease counts.
        leases.sort_by_key(|l| std::cmp::Reverse(if l.expiry == 0 { u64::MAX } else { l.expiry }));
        self.expire(now);
        let (mut changes, mut left_out) = (Vec::new(), Vec::new());
        for lease in leases {
            match self.obstacle_to_import(&lease, now) {
                Some(reason) => left_out.push((lease, reason)),
                None => self.table.put(lease, now, &mut changes),
            }
        }
        (changes, left_out)
    }

    fn obstacle_to_import(&self, lease: &Lease, now: u64) -> Option<LeftOut> {
        let address = lease.address;
        let own = self.table.lease_of(lease.into());
        let there = self.table.lease_at(address);
        if self.links.find(address).is_none() || self.config.never_served().contains(&address) {
            Some(LeftOut::OtherSubnet)
        } else if !lease.is_live(now) {
            Some(LeftOut::RanOut)
        } else if own.is_some_and(|l| l.is_live(now)) {
            Some(LeftOut::ClientHasAnother)
        } else if there.is_some_and(|l| l.is_live(now)) {
            Some(LeftOut::AddressTaken)
        } else if own.or(there).is_none() && self.table.records() >= self.config.max_leases {
            Some(LeftOut::LeaseLimit)
        } else {
            None
        }
    }
}
