//! The server: one message in, one [`Outcome`] out.

mod agent;
mod choose;
mod client;
mod import;
mod limits;
mod link;
mod message;
mod name;
mod parameters;
mod probe;
mod reply;
mod vendor;

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;

use crate::hash::{HashMap, HashSet};
use foldhash::quality::FixedState;
use ipnet::Ipv4Net;
use pnet_base::MacAddr;

use crate::config::{Config, ConfigError};
use crate::host::Hosts;
use crate::lease::{Lease, LeaseState, LeaseView};
use crate::outcome::{Answer, Change, Event, LeftOut, Outcome};
use crate::pool::Pools;
use crate::probe::Probes;
use crate::sender::{Origin, Sender};
use crate::table::{ClientRef, Table};
use crate::tag::{Tag, Tags};
use crate::wire;
use agent::Agents;
use limits::OriginLimits;
use link::Links;
use parameters::Parameters;

/// A DHCP server for one subnet (RFC 2131), authoritative for it.
///
/// It does no I/O and reads no clock: whoever owns it passes in what clients
/// send and the time (seconds of the Unix epoch), and sends what comes out.
#[derive(Debug)]
pub struct Server {
    config: Config,
    hosts: Hosts,
    links: Links,
    parameters: Parameters,
    table: Table,
    limits: OriginLimits,
    probes: Probes,
    hash: FixedState,
    /// The names of the places that messages come by.
    ports: HashMap<Origin, Box<str>>,
    agents: Agents,
    known: Tag,
    known_elsewhere: Tag,
    not_loaded: Vec<(Lease, LeftOut)>,
    recording: bool,
}

/// What a message brings about beside its answer.
struct Effects {
    changes: Vec<Change>,
    events: Vec<Event>,
}

impl Server {
    /// A server with the `leases` that it has given before.
    ///
    /// `hash_key` decides with which address the search for a free one starts
    /// for each MAC; it should be random, and the same after a restart.
    ///
    /// Leases that are live at `now` are kept even where the configuration
    /// would not give them any more; their clients are told when they renew. Of
    /// two leases with one address or one MAC the longer one counts. See
    /// [`not_loaded`](Self::not_loaded) for the rest.
    ///
    /// # Errors
    ///
    /// [`Config::validate`]'s.
    pub fn new(
        config: Config,
        leases: impl IntoIterator<Item = Lease>,
        hash_key: u64,
        now: u64,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let hosts = Hosts::new(&config.hosts);
        let pools = pools(&config, &hosts);
        let mut server = Self {
            limits: OriginLimits::of(capacity(&config, &hosts, &pools)),
            links: Links::new(&config),
            parameters: Parameters::new(&config),
            table: Table::new(config.identity, pools),
            probes: Probes::new(),
            hosts,
            ports: HashMap::default(),
            agents: Agents::default(),
            known: Tag::known(),
            known_elsewhere: Tag::known_elsewhere(),
            config,
            hash: FixedState::with_seed(hash_key),
            not_loaded: Vec::new(),
            recording: true,
        };
        server.load(leases, now);
        Ok(server)
    }

    /// The leases that [`new`](Self::new) was given and did not take, and why:
    /// the shorter of two with one address or one MAC, and those that ran out
    /// and have no address or place any more.
    #[must_use]
    pub fn not_loaded(&self) -> &[(Lease, LeftOut)] {
        &self.not_loaded
    }

    /// Serves `config` from now on. Every live lease stays; the client of one
    /// that the new configuration would not give is told so when it renews, and
    /// until it ran out nobody else gets the address. Leases that ran out on
    /// addresses that are not served any more are forgotten: the lease file is
    /// to be written anew from [`records`](Self::records).
    ///
    /// # Errors
    ///
    /// [`Config::validate`]'s, and [`ConfigError::OneClient`] where another
    /// [`Config::identity`] would end a live lease; the former configuration is
    /// then kept.
    pub fn reconfigure(&mut self, config: Config, now: u64) -> Result<(), ConfigError> {
        config.validate()?;
        if self.config.identity != config.identity {
            self.refuse_rivals(&config, now)?;
        }
        self.hosts = Hosts::new(&config.hosts);
        self.links = Links::new(&config);
        self.agents.keep(&self.links);
        self.parameters = Parameters::new(&config);
        let former = std::mem::replace(&mut self.config, config);
        let pools = pools(&self.config, &self.hosts);
        self.not_loaded.clear();
        if former.identity == self.config.identity {
            self.table.set_pools(pools);
        } else {
            let table = Table::new(self.config.identity, pools);
            let former = std::mem::replace(&mut self.table, table);
            self.load(former.into_leases(), now);
        }
        self.limits = OriginLimits::of(self.capacity());
        self.forget_unserved(now);
        Ok(())
    }

    /// Refuses `config` if two live leases would be of one client by it.
    fn refuse_rivals(&self, config: &Config, now: u64) -> Result<(), ConfigError> {
        let mut trial = Table::new(config.identity, pools(config, &Hosts::new(&config.hosts)));
        let mut changes = Vec::new();
        for lease in self.table.iter().filter(|lease| lease.is_live(now)) {
            if let Some(rival) = trial.lease_of(ClientRef::from(lease)) {
                return Err(ConfigError::OneClient(rival.address, lease.address));
            }
            trial.put(lease.clone(), now, &mut changes);
            changes.clear();
        }
        Ok(())
    }

    /// Gives the place `origin` the name that [`Condition::Port`] asks for;
    /// `None` takes it away, as is due once the place is gone.
    ///
    /// [`Condition::Port`]: crate::config::Condition::Port
    pub fn name_origin(&mut self, origin: Origin, name: Option<&str>) {
        match name {
            Some(name) => self.ports.insert(origin, name.into()),
            None => {
                self.agents.forget(origin);
                self.ports.remove(&origin)
            }
        };
    }

    /// The configuration being served.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Handles one message: the UDP payload that came to port 67, untrusted,
    /// from `sender` at `now`.
    ///
    /// The caller writes down [`Outcome::changes`] first and sends the reply
    /// then. It may handle any number of messages before it writes once for
    /// all and sends all replies. If it cannot write, it sends none of these
    /// replies, not even those without changes, since they may tell of what
    /// another's would have written; and it gives all changes to
    /// [`undo`](Self::undo), the last first, before it handles another message.
    ///
    /// Where the answer is [`Answer::Probe`], the message is kept for
    /// [`probed`](Self::probed).
    pub fn handle(&mut self, message: &[u8], sender: Sender, now: u64) -> Outcome {
        let events = self.expire(now);
        self.step(message, sender, 0, events, now)
    }

    /// Handles a message after `events`; `found` addresses were found in use
    /// for it.
    fn step(
        &mut self,
        message: &[u8],
        sender: Sender,
        found: usize,
        events: Vec<Event>,
        now: u64,
    ) -> Outcome {
        let mut effects = Effects {
            changes: Vec::new(),
            events,
        };
        let mut tags = Tags::default();
        let answer = wire::parse(message).and_then(|request| {
            let mut client = self.client(&request, message, sender)?;
            self.agents.heard(&request, &client);
            let answer = self.answer(&request, &mut client, found, now, &mut effects);
            tags = client.tags;
            answer
        });
        Outcome {
            answer: answer.unwrap_or_else(Answer::Silence),
            tags,
            changes: effects.changes,
            events: effects.events,
        }
    }

    /// Says whether changes can be written down. While they cannot, none is
    /// made: a client that has a lease is told what is left of it, all else
    /// that would change something is [`Silence::NotRecorded`].
    ///
    /// [`Silence::NotRecorded`]: crate::Silence::NotRecorded
    pub fn set_recording(&mut self, recording: bool) {
        self.recording = recording;
    }

    /// Brings the table to `now` and tells which leases ran out since it was
    /// last looked at. [`handle`](Self::handle) does the same first.
    pub fn expire(&mut self, now: u64) -> Vec<Event> {
        let mut events = Vec::new();
        self.probes.advance(now);
        self.table.advance(now, |lease| {
            events.push(Event::Expired {
                mac: lease.mac,
                address: lease.address,
            });
        });
        events
    }

    /// When the next lease runs out (epoch seconds), for whoever wants to call
    /// [`expire`](Self::expire) then; `None` if none will.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.table.next_expiry()
    }

    /// Takes a change back that could not be written down; see
    /// [`handle`](Self::handle). What happened to that client since stays.
    pub fn undo(&mut self, change: &Change, now: u64) {
        self.table.undo(change, now);
    }

    /// Forgets the lease on `address`, live or not; `None` if there is none.
    /// The change is to be written down like any other. Where probes are made,
    /// one is due before another client gets the address: the former one has
    /// not been told.
    pub fn release(&mut self, address: Ipv4Addr) -> Option<Change> {
        let mut changes = Vec::new();
        self.probes.forget(address);
        self.table.remove(address, &mut changes);
        changes.pop()
    }

    /// Every record, to be written to a lease file: leases that are live and
    /// those that ran out and are remembered. In no order.
    pub fn records(&self) -> impl Iterator<Item = &Lease> {
        self.table.iter()
    }

    /// The lease of `address`, whether it is live or remembered.
    #[must_use]
    pub fn lease_at(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.table.lease_at(address)
    }

    /// Every address that is held for something at `now`, ordered by address.
    pub fn leases(&self, now: u64) -> impl Iterator<Item = LeaseView<'_>> {
        let held = |(address, mac, expiry), state| LeaseView {
            expiry,
            mac,
            address,
            hostname: None,
            client_id: None,
            state,
        };
        let mut views: Vec<LeaseView<'_>> = self
            .table
            .iter()
            .map(|lease| LeaseView {
                expiry: lease.expiry,
                mac: lease.mac,
                address: lease.address,
                hostname: lease.hostname.as_deref(),
                client_id: lease.client_id.as_deref(),
                state: if lease.is_live(now) {
                    LeaseState::Bound
                } else {
                    LeaseState::Expired
                },
            })
            .collect();
        views.extend(self.table.offers().map(|o| held(o, LeaseState::Offered)));
        views.extend(self.table.declined().map(|d| held(d, LeaseState::Declined)));
        // An address is shown once: what holds it now before what is remembered.
        views.sort_by_key(|v| (v.address, v.state));
        views.dedup_by_key(|v| v.address);
        views.into_iter()
    }

    /// The leases that are live at `now`: which station has which address. In
    /// no order.
    pub fn bindings(&self, now: u64) -> impl Iterator<Item = (Ipv4Addr, MacAddr)> + '_ {
        self.table
            .iter()
            .filter(move |lease| lease.is_live(now))
            .map(|lease| (lease.address, lease.mac))
    }

    /// The subnet that `address` is of: the server's own where it is of none
    /// that is or was served.
    #[must_use]
    pub fn subnet_of(&self, address: Ipv4Addr) -> Ipv4Net {
        let former = || self.config.former.iter().find(|it| it.contains(&address));
        match self.links.find(address) {
            Some(link) => link.subnet,
            None => former().map_or(self.links.own().subnet, Ipv4Net::trunc),
        }
    }

    /// How many clients can have a lease at once: the addresses of the range
    /// and of static hosts, or the configured limit where that is less.
    #[must_use]
    pub fn capacity(&self) -> usize {
        capacity(&self.config, &self.hosts, self.table.pools())
    }

    /// How many leases are live, as of the last message or
    /// [`expire`](Self::expire).
    #[must_use]
    pub fn used(&self) -> usize {
        self.table.live()
    }

    fn load(&mut self, leases: impl IntoIterator<Item = Lease>, now: u64) {
        let mut leases: Vec<Lease> = leases.into_iter().collect();
        // The longest first, so that the shorter of two rivals is left out.
        leases.sort_by_key(|l| std::cmp::Reverse(if l.expiry == 0 { u64::MAX } else { l.expiry }));
        let pools = pools(&self.config, &self.hosts);
        let hosts: HashSet<Ipv4Addr> = self.hosts.addresses().iter().copied().collect();
        let served = |a| pools.contains(a) || hosts.contains(&a);
        let mut changes = Vec::new();
        for lease in leases {
            let reason = if self.table.lease_of(ClientRef::from(&lease)).is_some() {
                Some(LeftOut::ClientHasAnother)
            } else if self.table.lease_at(lease.address).is_some() {
                Some(LeftOut::AddressTaken)
            } else if lease.is_live(now) {
                None
            } else if !served(lease.address) {
                Some(LeftOut::NotServed)
            } else if self.table.records() >= self.config.max_leases {
                Some(LeftOut::LeaseLimit)
            } else {
                None
            };
            if let Some(reason) = reason {
                self.not_loaded.push((lease, reason));
            } else {
                self.table.put(lease, now, &mut changes);
                changes.clear();
            }
        }
    }

    /// Forgets leases that ran out on addresses that are not served any more.
    fn forget_unserved(&mut self, now: u64) {
        let hosts: HashSet<Ipv4Addr> = self.hosts.addresses().iter().copied().collect();
        let pools = self.table.pools();
        let gone: Vec<Ipv4Addr> = self
            .table
            .iter()
            .filter(|l| {
                !l.is_live(now) && !pools.contains(l.address) && !hosts.contains(&l.address)
            })
            .map(|l| l.address)
            .collect();
        let mut changes = Vec::new();
        for address in gone {
            self.table.remove(address, &mut changes);
        }
    }
}

/// How many clients can have a lease at once.
fn capacity(config: &Config, hosts: &Hosts, pools: &Pools) -> usize {
    let addresses = pools.size() + hosts.addresses().len();
    addresses.min(config.max_leases)
}

/// The pools of the configured ranges, without the addresses of hosts.
fn pools(config: &Config, hosts: &Hosts) -> Pools {
    let mut reserved = config.never_served();
    reserved.extend(hosts.addresses().iter().copied());
    Pools::new(config.ranges.iter().map(|range| &range.addresses), reserved)
}
