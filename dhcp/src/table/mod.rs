//! Who holds which address.
//!
//! Every address is in at most one lease record, and every client has at most
//! one; what makes a client is the [`Identity`]. Beside the records stand
//! offers and declined addresses, each for a limited time. All look-ups and
//! changes take a few steps whatever the size. `records` keeps the records; this
//! keeps them, offers, declined addresses and the pools in step: an address is
//! free in its pool when nothing stands on it, and a lease that ran out is in
//! its pool as long as its address may go to another client once nothing else
//! is free.

mod records;

use std::net::Ipv4Addr;

use crate::hash::HashMap;
use pnet_base::MacAddr;

use crate::config::Identity;
use crate::hold::Holds;
use crate::lease::Lease;
use crate::outcome::Change;
use crate::pool::Pools;
use crate::sender::Origin;
use records::Records;

/// How long an offer holds its address, in seconds.
pub(crate) const OFFER_SECONDS: u64 = 60;
/// How long a declined address is put aside, in seconds: dnsmasq's back-off.
pub(crate) const DECLINE_SECONDS: u64 = 600;

/// What stands in the way of giving an address to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Another client has a lease on it.
    Leased(MacAddr),
    /// Another client had a lease on it, and it is kept for that one.
    Remembered,
    /// It was offered to another client.
    Offered,
    /// It was declined a while ago.
    Declined,
}

/// What a client says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientRef<'a> {
    pub(crate) mac: MacAddr,
    pub(crate) client_id: Option<&'a [u8]>,
}

impl<'a> From<&'a Lease> for ClientRef<'a> {
    /// The client that has it.
    fn from(lease: &'a Lease) -> Self {
        Self {
            mac: lease.mac,
            client_id: lease.client_id.as_deref(),
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Table {
    pools: Pools,
    records: Records,
    offers: Holds,
    offer_of: HashMap<MacAddr, Ipv4Addr>,
    declined: Holds,
}

impl Table {
    /// An empty table of leases of `identity`, that serves from `pools`.
    pub(crate) fn new(identity: Identity, pools: Pools) -> Self {
        Self {
            pools,
            records: Records::new(identity),
            offers: Holds::lasting(OFFER_SECONDS),
            offer_of: HashMap::default(),
            declined: Holds::lasting(DECLINE_SECONDS),
        }
    }

    /// Serves from `pools` from now on. Records and declined addresses stay;
    /// offers on addresses that are in none of them end.
    pub(crate) fn set_pools(&mut self, pools: Pools) {
        self.pools = pools;
        let offers: Vec<_> = self.offers.iter().collect();
        for (address, hold) in offers {
            if !self.pools.contains(address) {
                self.withdraw(hold.mac);
            }
        }
        let taken: Vec<Ipv4Addr> = self
            .records
            .iter()
            .map(|lease| lease.address)
            .chain(self.offers.iter().map(|(a, _)| a))
            .chain(self.declined.iter().map(|(a, _)| a))
            .collect();
        for address in taken {
            self.refresh(address);
        }
    }

    /// Takes every record out, to be put into a table of another identity.
    pub(crate) fn into_leases(self) -> impl Iterator<Item = Lease> {
        self.records.into_leases()
    }

    /// Brings the table to `now`: ends offers and back-offs, and hands each
    /// lease that ran out to `expired`. Where the clock was set back, leases
    /// that ran out only by the old time are live again.
    pub(crate) fn advance(&mut self, now: u64, mut expired: impl FnMut(&Lease)) {
        while let Some(address) = self.offers.over(now) {
            if let Some(hold) = self.offers.get(address) {
                self.withdraw(hold.mac);
            }
        }
        while let Some(address) = self.declined.over(now) {
            self.declined.remove(address);
            self.refresh(address);
        }
        while let Some(address) = self.records.run_out(now) {
            self.refresh(address);
            if let Some(lease) = self.lease_at(address) {
                expired(lease);
            }
        }
        while let Some((expiry, address)) = self.records.revive(now) {
            self.pools.set_reclaimable(address, expiry, false);
        }
    }

    /// The record of `client`.
    ///
    /// By client identifier this is as in dnsmasq: a client that sends none is
    /// whoever has its MAC, and one that sends one for the first time takes over
    /// the record of its MAC that has none: a boot ROM and what it boots are one
    /// client.
    pub(crate) fn lease_of(&self, client: ClientRef<'_>) -> Option<&Lease> {
        self.records.of(client)
    }

    /// The record on `address`.
    pub(crate) fn lease_at(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.records.at(address)
    }

    /// A lease live at `now` with this client identifier, of another station
    /// than `mac`.
    pub(crate) fn rival(&self, client_id: &[u8], mac: MacAddr, now: u64) -> Option<&Lease> {
        self.records.rival(client_id, mac, now)
    }

    /// The address on offer to `mac`.
    pub(crate) fn offer_to(&self, mac: MacAddr) -> Option<Ipv4Addr> {
        self.offer_of.get(&mac).copied()
    }

    /// What keeps `client` from having `address`, if anything does. Whether the
    /// configuration would let it is not looked at.
    pub(crate) fn obstacle(
        &self,
        address: Ipv4Addr,
        client: ClientRef<'_>,
        now: u64,
    ) -> Option<Obstacle> {
        if self.declined.get(address).is_some() {
            return Some(Obstacle::Declined);
        }
        let own = self.lease_of(client).map(|l| l.address) == Some(address);
        let record = self.lease_at(address);
        if let Some(lease) = record.filter(|l| l.is_live(now)) {
            return (!own).then_some(Obstacle::Leased(lease.mac));
        }
        if let Some(offer) = self.offers.get(address) {
            return (offer.mac != client.mac).then_some(Obstacle::Offered);
        }
        record.and_then(|_| (!own).then_some(Obstacle::Remembered))
    }

    /// The ranges that addresses are chosen from.
    pub(crate) fn pools(&self) -> &Pools {
        &self.pools
    }

    /// The address of the record that is missed least when the table is full:
    /// the one that ran out longest ago.
    pub(crate) fn least_needed(&self) -> Option<Ipv4Addr> {
        self.records.oldest_expired()
    }

    /// When the next lease runs out.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.records.next_expiry()
    }

    /// Leases that have not run out.
    pub(crate) fn live(&self) -> usize {
        self.records.live()
    }

    /// Records: leases live and remembered.
    pub(crate) fn records(&self) -> usize {
        self.records.len()
    }

    /// Offers outstanding.
    pub(crate) fn offered(&self) -> usize {
        self.offers.len()
    }

    /// Offers outstanding to clients of `origin`.
    pub(crate) fn offered_to(&self, origin: Origin) -> usize {
        self.offers.of_origin(origin)
    }

    /// The origin that the offer to `mac` counts for.
    pub(crate) fn origin_of_offer(&self, mac: MacAddr) -> Option<Origin> {
        let address = self.offer_of.get(&mac)?;
        self.offers.get(*address).map(|hold| hold.origin)
    }

    /// Addresses put aside because clients of `origin` declined them.
    pub(crate) fn declined_by(&self, origin: Origin) -> usize {
        self.declined.of_origin(origin)
    }

    /// Every record, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.records.iter()
    }

    /// Every offer, in no order: address, client, end.
    pub(crate) fn offers(&self) -> impl Iterator<Item = (Ipv4Addr, MacAddr, u64)> + '_ {
        self.offers.iter().map(|(a, h)| (a, h.mac, h.until))
    }

    /// Every declined address, in no order: address, client, end.
    pub(crate) fn declined(&self) -> impl Iterator<Item = (Ipv4Addr, MacAddr, u64)> + '_ {
        self.declined.iter().map(|(a, h)| (a, h.mac, h.until))
    }

    /// Holds `address` for the client `mac`, whose message came by `origin`, in
    /// place of what was on offer to it before.
    pub(crate) fn offer(&mut self, address: Ipv4Addr, mac: MacAddr, origin: Origin, now: u64) {
        self.withdraw(mac);
        self.offers.insert(address, mac, origin, now);
        self.offer_of.insert(mac, address);
        self.refresh(address);
    }

    /// Ends the offer to `mac`, if there is one.
    pub(crate) fn withdraw(&mut self, mac: MacAddr) {
        if let Some(address) = self.offer_of.remove(&mac) {
            self.offers.remove(address);
            self.refresh(address);
        }
    }

    /// Puts `address` aside because the client `mac` declined it, by `origin`.
    /// Of more than `limit` such addresses the oldest is freed.
    pub(crate) fn decline(
        &mut self,
        address: Ipv4Addr,
        mac: MacAddr,
        origin: Origin,
        now: u64,
        limit: usize,
    ) {
        if self.declined.len() >= limit
            && let Some(oldest) = self.declined.oldest()
        {
            self.declined.remove(oldest);
            self.refresh(oldest);
        }
        self.declined.insert(address, mac, origin, now);
        self.refresh(address);
    }

    /// Forgets the record on `address` if it is not that of `client`.
    pub(crate) fn evict(
        &mut self,
        address: Ipv4Addr,
        client: ClientRef<'_>,
        changes: &mut Vec<Change>,
    ) {
        if self.lease_of(client).map(|l| l.address) != Some(address) {
            self.remove(address, changes);
        }
    }

    /// Records `lease` in place of its client's record and of any other
    /// client's on that address, and notes what that changed.
    pub(crate) fn put(&mut self, lease: Lease, now: u64, changes: &mut Vec<Change>) {
        self.evict(lease.address, ClientRef::from(&lease), changes);
        let before = self.lease_of(ClientRef::from(&lease)).map(|l| l.address);
        let before = before.and_then(|address| self.take(address));
        self.withdraw(lease.mac);
        if let Some(offer) = self.offers.get(lease.address) {
            self.withdraw(offer.mac);
        }
        changes.push(Change {
            before,
            after: Some(lease.clone()),
        });
        self.insert(lease, now);
    }

    /// Forgets the record on `address`, if there is one, and notes that.
    pub(crate) fn remove(&mut self, address: Ipv4Addr, changes: &mut Vec<Change>) {
        if let Some(lease) = self.take(address) {
            changes.push(Change {
                before: Some(lease),
                after: None,
            });
        }
    }

    /// Takes `change` back, unless something else has happened since to what
    /// it changed. A client that gets its lease back has not declined it.
    pub(crate) fn undo(&mut self, change: &Change, now: u64) {
        match (&change.before, &change.after) {
            (_, Some(after)) => {
                if self.lease_at(after.address) != Some(after) {
                    return;
                }
                self.take(after.address);
            }
            (Some(before), None) if self.lease_of(before.into()).is_some() => return,
            _ => {}
        }
        if let Some(before) = &change.before
            && self.lease_at(before.address).is_none()
        {
            let declined = self.declined.get(before.address);
            if declined.is_some_and(|hold| hold.mac == before.mac) {
                self.declined.remove(before.address);
            }
            self.insert(before.clone(), now);
        }
    }

    fn insert(&mut self, lease: Lease, now: u64) {
        let address = lease.address;
        self.records.insert(lease, now);
        self.refresh(address);
    }

    fn take(&mut self, address: Ipv4Addr) -> Option<Lease> {
        if let Some(expiry) = self.records.ended(address) {
            self.pools.set_reclaimable(address, expiry, false);
        }
        let lease = self.records.take(address)?;
        self.refresh(address);
        Some(lease)
    }

    /// Brings the pools up to date after something changed on `address`.
    fn refresh(&mut self, address: Ipv4Addr) {
        let held = self.offers.get(address).is_some() || self.declined.get(address).is_some();
        let recorded = self.lease_at(address).is_some();
        self.pools.set_free(address, !held && !recorded);
        if let Some(expiry) = self.records.ended(address) {
            self.pools.set_reclaimable(address, expiry, !held);
        }
    }
}
