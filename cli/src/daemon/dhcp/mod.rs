//! The embedded DHCP server: `vmlan_dhcp` decides, this keeps the leases on
//! disk and tells the switch who has which address.
//!
//! Messages come in batches. The whole batch is decided first, then written
//! with one sync, and only then do the replies leave: an acknowledged lease
//! is on disk. If the write fails, what the batch changed is undone and none of
//! its replies leaves; [`keeper`] goes on from there. A message whose address the
//! segment has to be asked for first waits in [`probes`]. The switch is told of each
//! lease that begins or ends ([`bindings`]); those that run out while no message
//! comes are seen to by [`DhcpService::expire_on_time`], the lease file by
//! [`DhcpService::keep_file`].

mod bindings;
mod clocks;
mod counters;
mod import;
mod keeper;
mod probes;
#[cfg(test)]
mod tests;
mod unanswered;

use super::eventlog::EventLog;
use super::hooks::Hooks;
use super::message;
use crate::host::leases::{LeaseFileError, compact};
use bindings::Binding;
use clocks::Clocks;
pub(super) use counters::Counters;
use keeper::Keeper;
use pnet_base::MacAddr;
use probes::Probes;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use unanswered::Unanswered;
use vmlan_dataplane::control::Switch;
use vmlan_dataplane::hairpin::{Reply, Request, Responder};
use vmlan_dataplane::table::PortId;
use vmlan_dhcp::clock::shift;
use vmlan_dhcp::{
    Answer, Change, Config, ConfigError, Event, LeaseView, LeftOut, Origin, Outcome, Sender,
    Server, Silence,
};

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
    log: EventLog,
    counters: Counters,
    unanswered: Unanswered,
    hooks: Hooks,
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
    pub(super) fn new(folder: &Path, hash_key: u64, mac: MacAddr) -> Self {
        Self::by(Clocks::host(), folder, hash_key, mac)
    }

    fn by(clocks: Clocks, folder: &Path, hash_key: u64, mac: MacAddr) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                server: None,
                keeper: Keeper::new(folder, clocks),
                hash_key,
                mac,
                ports: BTreeMap::new(),
                switch: None,
                probes: Probes::default(),
                log: EventLog::new(Instant::now()),
                counters: Counters::default(),
                unanswered: Unanswered::default(),
                hooks: Hooks::default(),
                awake_at: None,
                earlier: Arc::default(),
                leases_changed: Arc::default(),
            })),
            filing: Arc::default(),
        }
    }

    /// The part that answers, for the switch that it answers on.
    pub(super) fn responder(&self, switch: Switch) -> Box<dyn Responder> {
        self.state().switch = Some(switch);
        Box::new(self.clone())
    }

    /// Serves `config` from now on, with the leases on disk where DHCP was off
    /// before; with `None`, nobody.
    pub(super) fn configure(&self, config: Option<Config>) -> Result<(), DhcpError> {
        let mut state = self.state();
        let now = state.keeper.now();
        state.expire(now);
        match (config, &mut state.server) {
            (None, _) => {
                let bound = state.bound(now);
                state.server = None;
                state.forget_probes();
                state.tell(bound.into_iter().map(|(a, _)| (a, None)).collect());
                state.leases_changed.notify_one();
                drop(state);
                self.file_leases();
                self.state().keeper.close();
                return Ok(());
            }
            (Some(config), Some(server)) => {
                server.reconfigure(config, now)?;
                state.keeper.rewrite();
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

    /// The program that is told of leases.
    pub(super) fn hooks(&self) -> Hooks {
        self.state().hooks.clone()
    }

    /// Is told when leases have changed: one waiter can follow it.
    pub(super) fn leases_changed(&self) -> Arc<Notify> {
        Arc::clone(&self.state().leases_changed)
    }

    /// The time that leases run by, and how far that of users is ahead of it.
    pub(super) fn clock(&self) -> (u64, i64) {
        let state = self.state();
        (state.keeper.now(), state.keeper.skew())
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

    /// Ends the leases that have run out, and says how long it is until the
    /// next one does; `None` if none will.
    pub(super) fn expire(&self) -> Option<Duration> {
        let mut state = self.state();
        let now = state.keeper.now();
        state.expire(now);
        let next = state.server.as_ref().and_then(Server::next_expiry);
        state.awake_at = next;
        next.map(|at| state.keeper.until(at))
    }

    /// Ends each lease when it runs out, for as long as it is polled: the
    /// address is no longer answered for, whether or not a message comes.
    ///
    /// It wakes up once for a lease's end, and when one begins that ends before
    /// all others.
    pub(super) async fn expire_on_time(self) {
        let earlier = Arc::clone(&self.state().earlier);
        loop {
            match self.expire() {
                Some(wait) => {
                    // Either way it is time to look again.
                    let _ = tokio::time::timeout(wait, earlier.notified()).await;
                }
                None => earlier.notified().await,
            }
        }
    }

    /// Keeps the lease file up to date, for as long as it is polled, and gets
    /// over errors. While nothing changes it sleeps.
    pub(super) async fn keep_file(self) {
        let changed = self.state().keeper.changed();
        loop {
            let due = self.state().keeper.due();
            match due {
                None => changed.notified().await,
                Some(due) if due > Instant::now() => tokio::time::sleep_until(due.into()).await,
                Some(_) => {
                    let service = self.clone();
                    // It ends by itself, or the program does.
                    let _ = tokio::task::spawn_blocking(move || service.file_leases()).await;
                }
            }
        }
    }

    /// Brings the lease file up to date, after an error has been got over.
    pub(super) fn file_leases(&self) {
        let _one = self.filing.lock().unwrap_or_else(PoisonError::into_inner);
        let job = {
            let mut state = self.state();
            state.make_ready();
            state.keeper.rotate(Instant::now())
        };
        if let Some((disk, through)) = job {
            let result = compact(disk.as_ref(), through);
            self.state().keeper.compacted(result, Instant::now());
        }
    }

    /// Ends the service, with the lease file up to date.
    pub(super) fn stop(&self) {
        self.state().server = None;
        self.file_leases();
    }

    /// Whether leases can be written: `None` while DHCP is off, else why not.
    pub(super) fn trouble(&self) -> Option<Result<(), String>> {
        let state = self.state();
        state.server.as_ref()?;
        let trouble = state.keeper.trouble();
        Some(trouble.map_or(Ok(()), |text| Err(text.to_owned())))
    }

    /// Messages since the start that got no answer, by the name of the reason.
    pub(super) fn unanswered(&self) -> BTreeMap<String, u64> {
        let state = self.state();
        let counts = state.counters.unanswered.iter();
        counts
            .filter(|(_, n)| **n > 0)
            .map(|(reason, n)| ((*reason).to_owned(), *n))
            .collect()
    }

    /// Leases in use, and addresses that there are; `None` while off.
    pub(super) fn fill(&self) -> Option<(usize, usize)> {
        let mut state = self.state();
        let now = state.keeper.now();
        state.expire(now);
        let server = state.server.as_ref()?;
        Some((server.used(), server.capacity()))
    }

    /// What `view` makes of every lease.
    pub(super) fn leases<T>(&self, mut view: impl FnMut(&LeaseView<'_>, u8) -> T) -> Vec<T> {
        let state = self.state();
        let Some(server) = &state.server else {
            return Vec::new();
        };
        let skew = state.keeper.skew();
        server
            .leases(state.keeper.now())
            .map(|lease| {
                let expiry = shift(lease.expiry, skew);
                let prefix = server.subnet_of(lease.address).prefix_len();
                view(&LeaseView { expiry, ..lease }, prefix)
            })
            .collect()
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

impl Responder for DhcpService {
    fn respond(&mut self, requests: &[Request]) -> Vec<Reply> {
        self.state().respond(requests)
    }

    fn due(&self) -> Option<Instant> {
        self.state().probes.due()
    }
}

impl State {
    fn respond(&mut self, requests: &[Request]) -> Vec<Reply> {
        self.make_ready();
        let now = self.keeper.now();
        for request in requests {
            self.probes.note(request);
        }
        let probed = self.probes.over(Instant::now());
        self.end_probes(probed.iter().map(|asked| asked.probe.address).collect());
        let Some(server) = &mut self.server else {
            return Vec::new();
        };
        let address = server.config().server;
        let mut outcomes: Vec<(&Request, Outcome)> = Vec::new();
        for asked in &probed {
            if let Some((message, sender)) = received(&asked.request, server.config()) {
                let outcome = server.probed(asked.probe, asked.claimant, message, sender, now);
                outcomes.push((&asked.request, outcome));
            }
        }
        for request in requests {
            if let Some((message, sender)) = received(request, server.config()) {
                outcomes.push((request, server.handle(message, sender, now)));
            }
        }
        let changes = outcomes.iter().flat_map(|(_, outcome)| &outcome.changes);
        let saved = self.save(changes, now);
        if let Err(error) = &saved {
            for (_, outcome) in &mut outcomes {
                // What ran out did so whatever the disk says; nothing else happened.
                outcome.changes.clear();
                let ran_out = |event: &Event| matches!(event, Event::Expired { .. });
                outcome.events.retain(ran_out);
            }
            let what = format!("DHCP: no lease is given out or renewed: {error}");
            self.log.trouble(&what, Instant::now());
        }
        let told = outcomes.iter().flat_map(|(_, o)| bindings::of(o, now));
        self.tell(told.collect());
        self.look_earlier();
        let (mut replies, mut asked_for) = (Vec::new(), Vec::new());
        for (request, outcome) in &outcomes {
            self.hooks.observe(outcome, &request.frame, now);
            self.note(&outcome.events);
            if saved.is_err() {
                self.counters.silence(Silence::NotRecorded);
                continue;
            }
            match &outcome.answer {
                Answer::Reply(reply) => {
                    self.counters.reply();
                    let egress = request.ingress;
                    let frame = message::wrap(reply, &request.frame, address, self.mac);
                    replies.extend(frame.map(|frame| Reply { frame, egress }));
                }
                Answer::Silence(silence) => {
                    if *silence == Silence::Probing {
                        self.probes.replace(request);
                    }
                    self.silent(*silence, &request.frame);
                }
                Answer::Probe(probe) => {
                    asked_for.push(probe.address);
                    let request = (*request).clone();
                    self.probes.start(*probe, request, Instant::now());
                }
            }
        }
        self.ask_for(&asked_for);
        replies
    }

    /// Asks the stations for `addresses`.
    fn ask_for(&self, addresses: &[Ipv4Addr]) {
        if let Some(switch) = &self.switch
            && !addresses.is_empty()
        {
            // It fails only when the switch has stopped, and the program ends.
            let _ = switch.probe(addresses);
        }
    }

    fn end_probes(&self, addresses: Vec<Ipv4Addr>) {
        if let Some(switch) = &self.switch
            && !addresses.is_empty()
        {
            switch.end_probes(addresses);
        }
    }

    /// Drops the messages that wait; their clients will send them again.
    fn forget_probes(&mut self) {
        let addresses = self.probes.clear();
        self.end_probes(addresses);
    }

    /// Makes ready to write. Where that cannot be, the server gives nothing
    /// that would have to be written.
    fn make_ready(&mut self) {
        if let Some(server) = &mut self.server {
            let ready = self.keeper.ready(server, Instant::now());
            server.set_recording(ready);
        }
    }

    /// Puts `changes`, made at `now`, on disk; undoes them if that fails.
    fn save<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a Change, IntoIter: Clone>,
        now: u64,
    ) -> Result<(), DhcpError> {
        let (Some(server), changes) = (&mut self.server, changes.into_iter()) else {
            return Ok(());
        };
        if changes.clone().next().is_none() {
            return Ok(());
        }
        self.leases_changed.notify_one();
        self.keeper
            .save(changes.clone(), Instant::now())
            .map_err(|error| {
                let changes: Vec<&Change> = changes.collect();
                for change in changes.into_iter().rev() {
                    server.undo(change, now);
                }
                DhcpError::Stuck(error)
            })
    }

    /// Ends the leases that have run out by `now`.
    fn expire(&mut self, now: u64) {
        let Some(server) = &mut self.server else {
            return;
        };
        let events = server.expire(now);
        if !events.is_empty() {
            self.leases_changed.notify_one();
        }
        self.hooks.expired(&events);
        self.tell(bindings::expired(&events).collect());
        self.note(&events);
    }

    /// Has [`DhcpService::expire_on_time`] look again if a lease runs out
    /// before it would.
    fn look_earlier(&mut self) {
        let next = self.server.as_ref().and_then(Server::next_expiry);
        if let Some(next) = next
            && self.awake_at.is_none_or(|at| next < at)
        {
            self.awake_at = Some(next);
            self.earlier.notify_one();
        }
    }

    fn bound(&self, now: u64) -> Vec<(Ipv4Addr, MacAddr)> {
        self.server
            .iter()
            .flat_map(|server| server.bindings(now))
            .collect()
    }

    fn tell(&self, mut bindings: Vec<Binding>) {
        // Clients behind a relay agent are on no port: nobody here asks for them.
        if let Some(server) = &self.server {
            let own = server.config().subnet;
            bindings.retain(|(address, _)| own.contains(address));
        }
        if let Some(switch) = &self.switch
            && !bindings.is_empty()
        {
            switch.bind(bindings);
        }
    }

    /// Logs and counts what happened.
    fn note(&mut self, events: &[Event]) {
        for event in events {
            self.counters.event(event);
            self.log.event(event, Instant::now());
        }
    }

    /// Counts that the message in `frame` gets no answer, and logs it where an
    /// operator can mend it.
    fn silent(&mut self, silence: Silence, frame: &[u8]) {
        tracing::debug!("DHCP: a message gets no answer: {silence}");
        self.counters.silence(silence);
        let now = Instant::now();
        let client = || {
            let client = message::unwrap(frame).and_then(|received| received.client());
            client.map_or_else(|| "a client".to_owned(), |mac| mac.to_string())
        };
        if let Some(line) = self.unanswered.line(silence, client, now) {
            self.log.trouble(&line, now);
        }
    }
}

/// The message in `request` and who sent it, if it is for this server.
fn received<'a>(request: &'a Request, config: &Config) -> Option<(&'a [u8], Sender)> {
    let received = message::unwrap(&request.frame)?;
    let (address, to) = (config.server, received.destination);
    if ![address, Ipv4Addr::BROADCAST, config.subnet.broadcast()].contains(&to) {
        tracing::debug!("DHCP: a message gets no answer: it is for {to}");
        return None;
    }
    let sender = Sender {
        origin: Origin(request.ingress.0.into()),
        mac: received.source,
        unicast: to == address,
    };
    Some((received.message, sender))
}

/// Why a lease in the file is not served, in words.
fn why(reason: LeftOut) -> &'static str {
    match reason {
        LeftOut::AddressTaken => "another lease has the address",
        LeftOut::ClientHasAnother => "its client has another lease, which lasts longer",
        LeftOut::NotServed => "it ran out, and the address is not served any more",
        LeftOut::LeaseLimit => "there are as many leases as the server keeps",
        LeftOut::OtherSubnet => "it is of another subnet",
        LeftOut::RanOut => "it ran out",
    }
}
