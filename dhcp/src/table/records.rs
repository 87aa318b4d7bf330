//! The lease records: found by address, by MAC and by client identifier, and
//! ordered by their end in one of two sets:
//!
//! - `timers`: leases that will run out;
//! - `expired`: leases that ran out.
//!
//! A lease without end is in none.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::hash::HashMap;
use pnet_base::MacAddr;

use super::ClientRef;
use crate::config::Identity;
use crate::lease::Lease;

/// Of the records with one client identifier so many are looked at for one of
/// another station. More are an attack, or a fleet of clones that has been told
/// of before.
const MAX_RIVALS: usize = 8;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Records {
    identity: Identity,
    leases: HashMap<Ipv4Addr, Lease>,
    /// Where one MAC has several records, as it can by its client identifiers,
    /// the last of them.
    by_mac: HashMap<MacAddr, Ipv4Addr>,
    /// One record with each identifier.
    by_client_id: HashMap<Box<[u8]>, Ipv4Addr>,
    /// The further ones, where several have one identifier, as they can by
    /// their MACs.
    sharing_client_id: BTreeSet<(Box<[u8]>, Ipv4Addr)>,
    timers: BTreeSet<(u64, Ipv4Addr)>,
    expired: BTreeSet<(u64, Ipv4Addr)>,
}

impl Records {
    /// None yet; each will be of a client by `identity`.
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            leases: HashMap::default(),
            by_mac: HashMap::default(),
            by_client_id: HashMap::default(),
            sharing_client_id: BTreeSet::new(),
            timers: BTreeSet::new(),
            expired: BTreeSet::new(),
        }
    }

    /// The record of `client`: see [`Table::lease_of`](super::Table::lease_of).
    pub(super) fn of(&self, client: ClientRef<'_>) -> Option<&Lease> {
        let by_mac = || self.at(*self.by_mac.get(&client.mac)?);
        match (self.identity, client.client_id) {
            (Identity::Mac, _) | (Identity::ClientId, None) => by_mac(),
            (Identity::ClientId, Some(id)) => match self.by_client_id.get(id) {
                Some(address) => self.at(*address),
                None => by_mac().filter(|lease| lease.client_id.is_none()),
            },
        }
    }

    /// The record on `address`.
    pub(super) fn at(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.leases.get(&address)
    }

    /// A lease live at `now` with this client identifier, of another station
    /// than `mac`.
    pub(super) fn rival(&self, client_id: &[u8], mac: MacAddr, now: u64) -> Option<&Lease> {
        let first = self.by_client_id.get(client_id)?;
        let from: (Box<[u8]>, _) = (client_id.into(), Ipv4Addr::UNSPECIFIED);
        let further = self.sharing_client_id.range(from..);
        let further = further
            .take_while(|(id, _)| **id == *client_id)
            .map(|(_, address)| address);
        std::iter::once(first)
            .chain(further)
            .take(MAX_RIVALS)
            .filter_map(|address| self.at(*address))
            .find(|lease| lease.mac != mac && lease.is_live(now))
    }

    /// Every record, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values()
    }

    /// The same, to keep.
    pub(super) fn into_leases(self) -> impl Iterator<Item = Lease> {
        self.leases.into_values()
    }

    /// Records: leases live and remembered.
    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    /// Leases that have not run out.
    pub(super) fn live(&self) -> usize {
        self.leases.len() - self.expired.len()
    }

    /// The address of the lease that ran out longest ago.
    pub(super) fn oldest_expired(&self) -> Option<Ipv4Addr> {
        self.expired.first().map(|(_, address)| *address)
    }

    /// When the next lease runs out.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.timers.first().map(|(expiry, _)| *expiry)
    }

    /// When the lease on `address` ended, if it did.
    pub(super) fn ended(&self, address: Ipv4Addr) -> Option<u64> {
        let expiry = self.at(address)?.expiry;
        self.expired.contains(&(expiry, address)).then_some(expiry)
    }

    /// Takes note that a lease has run out by `now`: its address. To be called
    /// until there is none.
    pub(super) fn run_out(&mut self, now: u64) -> Option<Ipv4Addr> {
        let first = self.timers.first().copied();
        let (expiry, address) = first.filter(|(expiry, _)| *expiry <= now)?;
        self.timers.remove(&(expiry, address));
        self.expired.insert((expiry, address));
        Some(address)
    }

    /// Takes note that a lease which ran out has not at `now`, as the clock was
    /// set back: its end and address. To be called until there is none.
    pub(super) fn revive(&mut self, now: u64) -> Option<(u64, Ipv4Addr)> {
        let last = self.expired.last().copied();
        let (expiry, address) = last.filter(|(expiry, _)| *expiry > now)?;
        self.expired.remove(&(expiry, address));
        self.timers.insert((expiry, address));
        Some((expiry, address))
    }

    /// Adds a record on an address that has none.
    pub(super) fn insert(&mut self, lease: Lease, now: u64) {
        let (address, expiry) = (lease.address, lease.expiry);
        if let Some(id) = &lease.client_id {
            if self.by_client_id.contains_key(id) {
                self.sharing_client_id.insert((id.clone(), address));
            } else {
                self.by_client_id.insert(id.clone(), address);
            }
        }
        self.by_mac.insert(lease.mac, address);
        if !lease.is_live(now) {
            self.expired.insert((expiry, address));
        } else if expiry != 0 {
            self.timers.insert((expiry, address));
        }
        self.leases.insert(address, lease);
    }

    /// Takes the record on `address` out.
    pub(super) fn take(&mut self, address: Ipv4Addr) -> Option<Lease> {
        let lease = self.leases.remove(&address)?;
        if self.by_mac.get(&lease.mac) == Some(&address) {
            self.by_mac.remove(&lease.mac);
        }
        if let Some(id) = &lease.client_id {
            self.take_client_id(id, address);
        }
        let key = (lease.expiry, address);
        if !self.timers.remove(&key) {
            self.expired.remove(&key);
        }
        Some(lease)
    }

    fn take_client_id(&mut self, id: &[u8], address: Ipv4Addr) {
        if self.by_client_id.get(id) != Some(&address) {
            self.sharing_client_id.remove(&(id.into(), address));
            return;
        }
        self.by_client_id.remove(id);
        // The next of those that share it comes in its place.
        let from: (Box<[u8]>, _) = (id.into(), Ipv4Addr::UNSPECIFIED);
        let next = self.sharing_client_id.range(from..).next().cloned();
        if let Some((id, address)) = next.filter(|(next, _)| **next == *id) {
            self.sharing_client_id.remove(&(id.clone(), address));
            self.by_client_id.insert(id, address);
        }
    }
}
