//! The embedded DHCP server: `vmlan_dhcp` decides, this keeps the leases on
//! disk and tells the switch who has which address.
//!
//! Messages come in batches ([`answer`]). The whole batch is decided first, then
//! written with one sync ([`record`]), and only then do the replies leave: an
//! acknowledged lease is on disk. If the write fails, what the batch changed is
//! undone and none of its replies leaves; [`keeper`] goes on from there. A message
//! whose address the segment has to be asked for first waits in [`probes`]. The
//! switch is told of each lease that begins or ends ([`bindings`]); those that run
//! out while no message comes are seen to by [`DhcpService::expire_on_time`], the
//! lease file by [`DhcpService::keep_file`].

mod answer;
mod bindings;
mod clocks;
mod counters;
mod expiry;
mod former;
mod import;
mod keeper;
mod probes;
mod record;
#[cfg(test)]
mod tests;
mod unanswered;
mod view;

use super::dns::Names;
use super::events::{self, Events};
use super::hooks::Hooks;
use crate::host::leases::LeaseFileError;
use bindings::Binding;
use clocks::Clocks;
pub(super) use counters::Counters;
use former::Former;
use keeper::Keeper;
use pnet_base::MacAddr;
use probes::Probes;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use unanswered::Unanswered;
use vmlan_dataplane::control::Switch;
use vmlan_dataplane::table::PortId;
use vmlan_dhcp::{Change, Config, ConfigError, Event, Lease, LeftOut, Origin, Server};

/// The server, shared by the responder's thread and the control API.
#[derive(Debug, Clone)]
pub(super) struct DhcpService {
    state: Arc<Mutex<State>>,
    /// Held while the lease file is written: one thread at a time does so.
    filing: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct State {
    /// `None` while DHCP is off.
    server: Option<Server>,
    keeper: Keeper,
    hash_key: u64,
    /// The switch's own address, which replies come from.
    mac: MacAddr,
    /// The names of the ports, by their numbers.
    ports: BTreeMap<u16, String>,
    switch: Option<Switch>,
    probes: Probes,
    events: Events,
    counters: Counters,
    unanswered: Unanswered,
    hooks: Hooks,
    former: Vec<Former>,
    /// What the name server knows of leases.
    names: Names,
    /// When [`DhcpService::expire_on_time`] wakes up, by the keeper's clock;
    /// `None`: when it is told to.
    awake_at: Option<u64>,
    /// Tells it that a lease runs out before that.
    earlier: Arc<Notify>,
    /// Tells whoever shows leases that they have changed.
    leases_changed: Arc<Notify>,
}

/// Why the leases cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum DhcpError {
    /// The configuration does not make sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The lease file cannot be used.
    #[error(transparent)]
    File(#[from] LeaseFileError),
    /// Leases cannot be written at present.
    #[error("leases cannot be written: {0}")]
    Stuck(String),
    /// A file to import from holds no lease.
    #[error("no line of it is a lease{0}")]
    NoLeases(String),
    /// DHCP is off.
    #[error("the network has no DHCP server: set `enabled = true` under [dhcp]")]
    Off,
    /// Nobody has the address.
    #[error("{0} is not leased: `vmlan leases` lists those that are")]
    NotLeased(Ipv4Addr),
}

impl DhcpService {
    /// A service that is off, with its leases in the folder STATE/NAME.
    pub(super) fn new(folder: &Path, hash_key: u64, mac: MacAddr, events: Events) -> Self {
        Self::by(Clocks::host(), folder, hash_key, mac, events)
    }

    fn by(clocks: Clocks, folder: &Path, hash_key: u64, mac: MacAddr, events: Events) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                server: None,
                keeper: Keeper::new(folder, clocks, events.clone()),
                hash_key,
                mac,
                ports: BTreeMap::new(),
                switch: None,
                probes: Probes::default(),
                events,
                counters: Counters::default(),
                unanswered: Unanswered::default(),
                hooks: Hooks::default(),
                former: Vec::new(),
                names: Names::default(),
                awake_at: None,
                earlier: Arc::default(),
                leases_changed: Arc::default(),
            })),
            filing: Arc::default(),
        }
    }

    /// The part that answers, for the switch that it answers on.
    pub(super) fn responder(&self, switch: Switch) -> Self {
        self.state().switch = Some(switch);
        self.clone()
    }

    /// Serves `config` from now on, with the leases on disk where DHCP was off
    /// before; with `None`, nobody.
    pub(super) fn configure(&self, config: Option<Config>) -> Result<(), DhcpError> {
        let mut state = self.state();
        let now = state.keeper.now();
        state.expire(now);
        let config = config.map(|config| Config {
            former: state.former(),
            ..config
        });
        match (config, &mut state.server) {
            (None, _) => {
                let bound = state.bound(now);
                state.server = None;
                state.names.clear();
                state.forget_probes();
                state.tell(bound.into_iter().map(|(a, _)| (a, None)).collect());
                state.leases_changed.notify_one();
                drop(state);
                self.file_leases();
                self.state().keeper.close();
                return Ok(());
            }
            (Some(config), Some(server)) => {
                let kept = server.records().count();
                server.reconfigure(config, now)?;
                // It changes no lease, but it may forget some.
                if server.records().count() != kept {
                    state.keeper.rewrite();
                }
                state.make_ready();
            }
            (Some(config), None) => {
                let leases = state.keeper.load()?;
                let now = state.keeper.now();
                let mut server = Server::new(config, leases, state.hash_key, now)?;
                for (port, name) in &state.ports {
                    server.name_origin(Origin((*port).into()), Some(name));
                }
                for (lease, reason) in server.not_loaded() {
                    state.keeper.rewrite();
                    tracing::warn!(
                        "lease of {} by {} is left out: {}",
                        lease.address,
                        lease.mac,
                        why(*reason)
                    );
                }
                state.hooks.restate(server.records(), now, true);
                state.server = Some(server);
                state.make_ready();
                let bound = state.bound(now);
                state.tell(bound.into_iter().map(|(a, mac)| (a, Some(mac))).collect());
            }
        }
        state.look_earlier();
        state.leases_changed.notify_one();
        Ok(())
    }

    /// Has the server know what [`set_former`](Self::set_former) says.
    ///
    /// # Errors
    /// None that it has not had before.
    pub(super) fn refresh_former(&self) -> Result<(), DhcpError> {
        match self.served() {
            Some(config) => self.configure(Some(config)),
            None => Ok(()),
        }
    }

    /// Replies come from `mac` from now on.
    pub(super) fn set_mac(&self, mac: MacAddr) {
        self.state().mac = mac;
    }

    /// Waits until the server answers to others again: it hangs while this does.
    pub(super) fn check_in(&self) {
        drop(self.state());
    }

    /// Is told when leases have changed: one waiter can follow it.
    pub(super) fn leases_changed(&self) -> Arc<Notify> {
        Arc::clone(&self.state().leases_changed)
    }

    /// Tells the server the name of a port, or that the port is gone.
    pub(super) fn name_port(&self, port: PortId, name: Option<&str>) {
        let mut state = self.state();
        match name {
            Some(name) => state.ports.insert(port.0, name.to_owned()),
            None => state.ports.remove(&port.0),
        };
        if let Some(server) = &mut state.server {
            server.name_origin(Origin(port.0.into()), name);
        }
    }

    /// What became of messages so far; `None` while DHCP is off.
    pub(super) fn counters(&self) -> Option<Counters> {
        let state = self.state();
        state.server.is_some().then(|| state.counters.clone())
    }

    /// The names of those who have a lease.
    pub(super) fn names(&self) -> Names {
        self.state().names.clone()
    }

    /// The program that is told of leases.
    pub(super) fn hooks(&self) -> Hooks {
        self.state().hooks.clone()
    }

    /// Has that program told of all leases; with `all` also of those that have
    /// run out.
    pub(super) fn restate(&self, all: bool) {
        let state = self.state();
        if let Some(server) = &state.server {
            let now = state.keeper.now();
            state.hooks.restate(server.records(), now, all);
        }
    }

    /// Ends a lease; the address may go to another client at once.
    pub(super) fn release(&self, address: Ipv4Addr) -> Result<MacAddr, DhcpError> {
        let mut state = self.state();
        state.make_ready();
        let now = state.keeper.now();
        let server = state.server.as_mut().ok_or(DhcpError::Off)?;
        let change = server
            .release(address)
            .ok_or(DhcpError::NotLeased(address))?;
        let changes = [change];
        state.save(&changes, now)?;
        state.hooks.changed(&changes, now);
        state.tell(bindings::changed(&changes, now).collect());
        changes
            .first()
            .and_then(Change::mac)
            .ok_or(DhcpError::NotLeased(address))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bound(&self, now: u64) -> Vec<(Ipv4Addr, MacAddr)> {
        self.server
            .iter()
            .flat_map(|server| server.bindings(now))
            .collect()
    }

    /// Tells the switch and the name server who has an address from now on.
    fn tell(&self, mut bindings: Vec<Binding>) {
        if let Some(server) = &self.server {
            let now = self.keeper.now();
            let leases = bindings.iter().map(|(address, _)| {
                let lease = server.lease_at(*address).filter(|it| it.is_live(now));
                let ends = |lease: &Lease| match lease.expiry {
                    0 => None,
                    expiry => Some(Instant::now() + self.keeper.until(expiry)),
                };
                (*address, lease.map(|lease| (lease, ends(lease))))
            });
            self.names.set(leases);
        }
        // Clients behind a relay agent are on no port: nobody here asks for them.
        if let Some(server) = &self.server {
            let own = server.config().subnet;
            bindings.retain(|(address, holder)| own.contains(address) || holder.is_none());
        }
        if let Some(switch) = &self.switch
            && !bindings.is_empty()
        {
            switch.bind(bindings);
        }
    }

    /// Tells of what happened, and counts it; a message that came in by `port`
    /// led to it, or none.
    fn note(&mut self, events: &[Event], port: Option<PortId>) {
        self.note_told(events);
        let port = port.and_then(|port| self.ports.get(&port.0));
        for event in events {
            self.counters.event(event);
            if let Some(event) = events::dhcp::event(event, port.map(String::as_str)) {
                self.events.tell(event);
            }
        }
    }
}

/// Why a lease in the file is not served, in words.
fn why(reason: LeftOut) -> &'static str {
    match reason {
        LeftOut::AddressTaken => "another lease has the address",
        LeftOut::ClientHasAnother => "its client has a lease that runs already",
        LeftOut::NotServed => "it ran out, and the address is not served any more",
        LeftOut::LeaseLimit => "there are as many leases as the server keeps",
        LeftOut::OtherSubnet => "it is of another subnet",
        LeftOut::RanOut => "it ran out",
    }
}
