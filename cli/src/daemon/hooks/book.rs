//! What the program has been told of each lease, and what it has to be told.
//!
//! What waits is a lease's present state, not a list of what happened: if a
//! lease changes twice before the program can be run, it is told of the second
//! state alone, as with dnsmasq. So nothing is lost, and there is never more
//! in here than there are leases.

use super::client::ClientData;
use pnet_base::MacAddr;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use vmlan_dhcp::Lease;

/// What is known of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) mac: MacAddr,
    pub(super) hostname: Option<Box<str>>,
    pub(super) client_id: Option<Box<[u8]>>,
    /// In seconds of the Unix epoch; 0: never.
    pub(super) expiry: u64,
}

impl Holder {
    /// Whether `other` is the same client: the same station, or another one
    /// with the same client identifier, to which the lease has moved.
    fn is(&self, other: &Self) -> bool {
        self.mac == other.mac || self.client_id.is_some() && self.client_id == other.client_id
    }
}

impl From<&Lease> for Holder {
    fn from(lease: &Lease) -> Self {
        Self {
            mac: lease.mac,
            hostname: lease.hostname.clone(),
            client_id: lease.client_id.clone(),
            expiry: lease.expiry,
        }
    }
}

/// The first argument of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::daemon) enum Action {
    /// Before all others.
    Init,
    /// A lease has begun.
    Add,
    /// A lease is there, or has changed.
    Old,
    /// A lease has ended.
    Del,
}

impl Action {
    pub(in crate::daemon) const ALL: [Self; 4] = [Self::Init, Self::Add, Self::Old, Self::Del];

    pub(in crate::daemon) fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Add => "add",
            Self::Old => "old",
            Self::Del => "del",
        }
    }
}

/// One run of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// `init`.
    Init,
    /// The others.
    Lease(LeaseCall),
}

/// A run that is about a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseCall {
    pub(super) action: Action,
    pub(super) address: Ipv4Addr,
    pub(super) holder: Holder,
    /// The name that the lease had and lost; then `holder` is told without
    /// one.
    pub(super) old_hostname: Option<Box<str>>,
    /// What the client said, where the run comes of a message.
    pub(super) data: Option<Arc<ClientData>>,
}

/// The book of one program.
#[derive(Debug, Default)]
pub(super) struct Book {
    lines: HashMap<Ipv4Addr, Line>,
    /// The addresses of which something has to be told, in the order in which
    /// that came up. Some may have been settled since.
    waiting: VecDeque<Ipv4Addr>,
    init: bool,
    on_renewal: bool,
    merged: u64,
}

/// What there is to an address.
#[derive(Debug, Default)]
struct Line {
    /// Who has it, as far as the program knows.
    told: Option<Holder>,
    /// Who has it.
    now: Option<Holder>,
    /// What that client said last, and the program was not told yet.
    data: Option<Arc<ClientData>>,
    /// To be told though nothing has changed.
    again: bool,
    /// It stands in `waiting`.
    waits: bool,
}

impl Line {
    /// Whether the program knows all that it has to.
    fn is_settled(&self, on_renewal: bool) -> bool {
        match (&self.told, &self.now) {
            (None, None) => true,
            (Some(told), Some(now)) => {
                let renewed = on_renewal && told.expiry != now.expiry;
                let same = told.mac == now.mac && told.hostname == now.hostname;
                same && !renewed && !self.again
            }
            _ => false,
        }
    }
}

impl Book {
    /// The book of a program that knows nothing yet. With `on_renewal` it is
    /// told of leases that only last longer, too.
    pub(super) fn new(on_renewal: bool) -> Self {
        Self {
            init: true,
            on_renewal,
            ..Self::default()
        }
    }

    pub(super) fn set_on_renewal(&mut self, on: bool) {
        self.on_renewal = on;
    }

    /// A lease that was there before the program was asked to follow, or that
    /// it is to be reminded of; with `live` unset one that has run out.
    pub(super) fn restate(&mut self, address: Ipv4Addr, holder: Holder, live: bool) {
        let line = self.lines.entry(address).or_default();
        line.told.get_or_insert_with(|| holder.clone());
        line.again = live;
        line.now = live.then_some(holder);
        self.update(address);
    }

    /// `address` is held by `now`; `data` is what the client said for it.
    pub(super) fn set(
        &mut self,
        address: Ipv4Addr,
        now: Option<Holder>,
        data: Option<&Arc<ClientData>>,
    ) {
        let line = self.lines.entry(address).or_default();
        self.merged += u64::from(line.waits);
        line.again &= now.is_some();
        line.data = now.as_ref().and(data.cloned().or(line.data.take()));
        line.now = now;
        self.update(address);
    }

    /// The client of `address` has taken its lease up again.
    pub(super) fn taken_up(&mut self, address: Ipv4Addr, data: &Arc<ClientData>) {
        if let Some(line) = self.lines.get_mut(&address)
            && line.now.is_some()
        {
            line.again = true;
            line.data = Some(Arc::clone(data));
            self.update(address);
        }
    }

    /// The next run; it counts as done.
    pub(super) fn next(&mut self) -> Option<Call> {
        if std::mem::take(&mut self.init) {
            return Some(Call::Init);
        }
        loop {
            let address = self.waiting.pop_front()?;
            let Some(line) = self.lines.get_mut(&address).filter(|line| line.waits) else {
                continue;
            };
            line.waits = false;
            let call = line.tell(address, self.on_renewal);
            // The second of two runs for one change comes at once.
            if !line.is_settled(self.on_renewal) {
                line.waits = true;
                self.waiting.push_front(address);
            }
            if line.now.is_none() && line.told.is_none() {
                self.lines.remove(&address);
            }
            if let Some(call) = call {
                return Some(Call::Lease(call));
            }
        }
    }

    /// How many leases the program has to be told of.
    pub(super) fn len(&self) -> usize {
        self.lines.values().filter(|line| line.waits).count()
    }

    /// How many states of leases the program was never told of, since the next
    /// one came before it could be.
    pub(super) fn merged(&self) -> u64 {
        self.merged
    }

    /// Puts `address` into the queue, or takes it out, as its line has it.
    fn update(&mut self, address: Ipv4Addr) {
        let Entry::Occupied(mut entry) = self.lines.entry(address) else {
            return;
        };
        let line = entry.get_mut();
        if line.is_settled(self.on_renewal) {
            line.waits = false;
            line.told.clone_from(&line.now);
            if line.now.is_none() {
                entry.remove();
            }
        } else if !std::mem::replace(&mut line.waits, true) {
            self.waiting.push_back(address);
        }
        // Of what was settled in the queue there is never much.
        if self.waiting.len() > 2 * self.lines.len() + 64 {
            let lines = &self.lines;
            self.waiting
                .retain(|address| lines.get(address).is_some_and(|line| line.waits));
        }
    }
}

impl Line {
    /// The run that is due, after which the program knows of it.
    fn tell(&mut self, address: Ipv4Addr, on_renewal: bool) -> Option<LeaseCall> {
        if self.is_settled(on_renewal) {
            self.told.clone_from(&self.now);
            return None;
        }
        let call = |action, holder: &Holder| LeaseCall {
            action,
            address,
            holder: holder.clone(),
            old_hostname: None,
            data: None,
        };
        let Some(now) = &self.now else {
            return self.told.take().map(|told| call(Action::Del, &told));
        };
        let Some(told) = &mut self.told else {
            self.told = Some(now.clone());
            self.again = false;
            let data = self.data.take();
            return Some(LeaseCall {
                data,
                ..call(Action::Add, now)
            });
        };
        if !told.is(now) {
            return self.told.take().map(|told| call(Action::Del, &told));
        }
        if told.hostname != now.hostname
            && let Some(lost) = told.hostname.take()
        {
            let nameless = Holder {
                hostname: None,
                ..now.clone()
            };
            *told = nameless.clone();
            self.again = false;
            return Some(LeaseCall {
                old_hostname: Some(lost),
                data: self.data.clone(),
                ..call(Action::Old, &nameless)
            });
        }
        told.clone_from(now);
        self.again = false;
        let data = self.data.take();
        Some(LeaseCall {
            data,
            ..call(Action::Old, now)
        })
    }
}

#[cfg(test)]
mod tests;
