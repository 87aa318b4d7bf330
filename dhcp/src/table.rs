//! Who holds which address.
//!
//! Every address is in at most one lease record, and every client has at most
//! one. Beside the records stand offers and declined addresses, each for a
//! limited time. All look-ups and changes take a few steps whatever the size:
//! records are found by MAC, by address and by client identifier, and ordered
//! by their expiry in one of three sets:
//!
//! - `timers`: leases that will run out;
//! - `reclaimable`: leases that ran out, whose address the pool may give to
//!   another client, oldest first, once nothing else is free;
//! - `parked`: leases that ran out, whose address is out of the pool (a static
//!   host's) or just offered.
//!
//! A lease without end is in none.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use foldhash::HashMap;
use pnet_base::MacAddr;

use crate::hold::Holds;
use crate::lease::Lease;
use crate::outcome::Change;
use crate::pool::Pool;
use crate::sender::{Origin, Sender};

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

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Table {
    pool: Pool,
    leases: HashMap<MacAddr, Lease>,
    by_address: HashMap<Ipv4Addr, MacAddr>,
    by_client_id: HashMap<Box<[u8]>, MacAddr>,
    timers: BTreeSet<(u64, Ipv4Addr)>,
    reclaimable: BTreeSet<(u64, Ipv4Addr)>,
    parked: BTreeSet<(u64, Ipv4Addr)>,
    offers: Holds,
    offer_of: HashMap<MacAddr, Ipv4Addr>,
    declined: Holds,
}

impl Table {
    /// An empty table that serves from `pool`.
    pub(crate) fn new(pool: Pool) -> Self {
        Self {
            pool,
            leases: HashMap::default(),
            by_address: HashMap::default(),
            by_client_id: HashMap::default(),
            timers: BTreeSet::new(),
            reclaimable: BTreeSet::new(),
            parked: BTreeSet::new(),
            offers: Holds::lasting(OFFER_SECONDS),
            offer_of: HashMap::default(),
            declined: Holds::lasting(DECLINE_SECONDS),
        }
    }

    /// Serves from `pool` from now on. Records and declined addresses stay;
    /// offers on addresses that are not in it end.
    pub(crate) fn set_pool(&mut self, pool: Pool) {
        self.pool = pool;
        let offers: Vec<_> = self.offers.iter().collect();
        for (address, hold) in offers {
            if !self.pool.contains(address) {
                self.withdraw(hold.mac);
            }
        }
        let taken: Vec<Ipv4Addr> = self
            .by_address
            .keys()
            .copied()
            .chain(self.offers.iter().map(|(a, _)| a))
            .chain(self.declined.iter().map(|(a, _)| a))
            .collect();
        for address in taken {
            self.refresh(address);
        }
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
        while let Some(&(expiry, address)) = self.timers.first()
            && expiry <= now
        {
            self.timers.remove(&(expiry, address));
            self.parked.insert((expiry, address));
            self.refresh(address);
            if let Some(lease) = self.lease_at(address) {
                expired(lease);
            }
        }
        for set in [&mut self.parked, &mut self.reclaimable] {
            while let Some(&(expiry, address)) = set.last()
                && expiry > now
            {
                set.remove(&(expiry, address));
                self.timers.insert((expiry, address));
            }
        }
    }

    /// The record of the client `mac`.
    pub(crate) fn lease_of(&self, mac: MacAddr) -> Option<&Lease> {
        self.leases.get(&mac)
    }

    /// The record on `address`.
    pub(crate) fn lease_at(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.leases.get(self.by_address.get(&address)?)
    }

    /// The client that has a record with this client identifier; where several
    /// have, the first of them.
    pub(crate) fn mac_of_client_id(&self, client_id: &[u8]) -> Option<MacAddr> {
        self.by_client_id.get(client_id).copied()
    }

    /// The address on offer to `mac`.
    pub(crate) fn offer_to(&self, mac: MacAddr) -> Option<Ipv4Addr> {
        self.offer_of.get(&mac).copied()
    }

    /// What keeps `mac` from having `address`, if anything does. Whether the
    /// configuration would let it is not looked at.
    pub(crate) fn obstacle(&self, address: Ipv4Addr, mac: MacAddr, now: u64) -> Option<Obstacle> {
        if self.declined.get(address).is_some() {
            return Some(Obstacle::Declined);
        }
        let record = self.lease_at(address);
        let live = record.filter(|l| l.is_live(now));
        if let Some(lease) = live {
            return (lease.mac != mac).then_some(Obstacle::Leased(lease.mac));
        }
        if let Some(offer) = self.offers.get(address) {
            return (offer.mac != mac).then_some(Obstacle::Offered);
        }
        record.and_then(|l| (l.mac != mac).then_some(Obstacle::Remembered))
    }

    /// The range that addresses are chosen from.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The address whose lease ran out longest ago, if the pool may give it
    /// away.
    pub(crate) fn oldest_expired(&self) -> Option<Ipv4Addr> {
        self.reclaimable.first().map(|(_, address)| *address)
    }

    /// The record that is missed least when the table is full.
    pub(crate) fn least_needed(&self) -> Option<MacAddr> {
        let (_, address) = self.reclaimable.first().or_else(|| self.parked.first())?;
        self.by_address.get(address).copied()
    }

    /// When the next lease runs out.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.timers.first().map(|(expiry, _)| *expiry)
    }

    /// Leases that have not run out.
    pub(crate) fn live(&self) -> usize {
        self.leases.len() - self.reclaimable.len() - self.parked.len()
    }

    /// Records: leases live and remembered.
    pub(crate) fn records(&self) -> usize {
        self.leases.len()
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
        self.leases.values()
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

    /// Puts `address` aside because `sender` declined it. Of more than `limit`
    /// such addresses the oldest is freed.
    pub(crate) fn decline(&mut self, address: Ipv4Addr, sender: Sender, now: u64, limit: usize) {
        if self.declined.len() >= limit
            && let Some(oldest) = self.declined.oldest()
        {
            self.declined.remove(oldest);
            self.refresh(oldest);
        }
        self.declined
            .insert(address, sender.mac, sender.origin, now);
        self.refresh(address);
    }

    /// Forgets the record on `address` if it is not that of `mac`.
    pub(crate) fn evict(&mut self, address: Ipv4Addr, mac: MacAddr, changes: &mut Vec<Change>) {
        if let Some(&other) = self.by_address.get(&address)
            && other != mac
        {
            self.remove(other, changes);
        }
    }

    /// Records `lease` in place of the client's record and of any other
    /// client's on that address, and notes what that changed.
    pub(crate) fn put(&mut self, lease: Lease, now: u64, changes: &mut Vec<Change>) {
        self.evict(lease.address, lease.mac, changes);
        let before = self.take(lease.mac);
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

    /// Forgets the record of `mac`, if there is one, and notes that.
    pub(crate) fn remove(&mut self, mac: MacAddr, changes: &mut Vec<Change>) {
        if let Some(lease) = self.take(mac) {
            changes.push(Change {
                before: Some(lease),
                after: None,
            });
        }
    }

    /// Takes `change` back, unless something else has happened since to what
    /// it changed. A client that gets its lease back has not declined it.
    pub(crate) fn undo(&mut self, change: &Change, now: u64) {
        let Some(mac) = change.mac() else { return };
        if self.leases.get(&mac) != change.after.as_ref() {
            return;
        }
        self.take(mac);
        if let Some(before) = &change.before
            && !self.by_address.contains_key(&before.address)
        {
            let declined = self.declined.get(before.address);
            if declined.is_some_and(|hold| hold.mac == mac) {
                self.declined.remove(before.address);
            }
            self.insert(before.clone(), now);
        }
    }

    fn insert(&mut self, lease: Lease, now: u64) {
        let (mac, address, expiry) = (lease.mac, lease.address, lease.expiry);
        if let Some(id) = &lease.client_id {
            self.by_client_id.entry(id.clone()).or_insert(mac);
        }
        self.by_address.insert(address, mac);
        if lease.is_live(now) {
            if expiry != 0 {
                self.timers.insert((expiry, address));
            }
        } else {
            self.parked.insert((expiry, address));
        }
        self.leases.insert(mac, lease);
        self.refresh(address);
    }

    fn take(&mut self, mac: MacAddr) -> Option<Lease> {
        let lease = self.leases.remove(&mac)?;
        self.by_address.remove(&lease.address);
        if let Some(id) = &lease.client_id
            && self.by_client_id.get(id) == Some(&mac)
        {
            self.by_client_id.remove(id);
        }
        let key = (lease.expiry, lease.address);
        let _ =
            self.timers.remove(&key) || self.reclaimable.remove(&key) || self.parked.remove(&key);
        self.refresh(lease.address);
        Some(lease)
    }

    /// Brings the pool's map and the two sets of expired leases up to date
    /// after something changed on `address`.
    fn refresh(&mut self, address: Ipv4Addr) {
        let held = self.offers.get(address).is_some() || self.declined.get(address).is_some();
        let record = self.lease_at(address).map(|l| l.expiry);
        self.pool.set_free(address, !held && record.is_none());
        if let Some(expiry) = record {
            let key = (expiry, address);
            let (from, to) = if held || !self.pool.contains(address) {
                (&mut self.reclaimable, &mut self.parked)
            } else {
                (&mut self.parked, &mut self.reclaimable)
            };
            if from.remove(&key) {
                to.insert(key);
            }
        }
    }
}
