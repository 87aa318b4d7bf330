//! The embedded DHCP server: `vmlan_dhcp` decides, this keeps the leases on
//! disk and tells the switch who has which address.
//!
//! Messages come in batches. The whole batch is decided first, then written
//! with one fsync, and only then do the replies leave: an acknowledged lease
//! is on disk. If the write fails, what the batch changed is undone and none of
//! its replies leaves. The switch is told of each lease that begins or ends
//! ([`bindings`]); those that run out while no message comes are seen to by
//! [`DhcpService::expire_on_time`].

mod bindings;
#[cfg(test)]
mod tests;

use super::eventlog::EventLog;
use super::hooks::Hooks;
use super::message;
use crate::host::leases::LeaseFile;
use bindings::Binding;
use pnet_base::MacAddr;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;
use vmlan_dataplane::control::Switch;
use vmlan_dataplane::hairpin::{Reply, Request, Responder};
use vmlan_dhcp::{
    Answer, Change, Config, ConfigError, Event, Lease, LeaseView, LeftOut, Origin, Outcome, Sender,
    Server, Silence, leasefile,
};

/// The server, shared by the responder's thread and the control API.
#[derive(Debug, Clone)]
pub(super) struct DhcpService(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// `None` while DHCP is off.
    server: Option<Server>,
    file: LeaseFile,
    hash_key: u64,
    /// The switch's own address, which replies come from.
    mac: MacAddr,
    switch: Option<Switch>,
    log: EventLog,
    hooks: Hooks,
    /// When [`DhcpService::expire_on_time`] wakes up, in epoch seconds; `None`:
    /// when it is told to.
    awake_at: Option<u64>,
    /// Tells it that a lease runs out before that.
    earlier: Arc<Notify>,
}

/// Why the leases cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum DhcpError {
    /// The configuration does not make sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The lease file cannot be used.
    #[error(transparent)]
    File(#[from] crate::host::leases::LeaseFileError),
    /// DHCP is off.
    #[error("the network has no DHCP server: set `enabled = true` under [dhcp]")]
    Off,
    /// Nobody has the address.
    #[error("{0} is not leased: `vmlan leases` lists those that are")]
    NotLeased(Ipv4Addr),
}

impl DhcpService {
    /// A service that is off.
    pub(super) fn new(file: LeaseFile, hash_key: u64, mac: MacAddr) -> Self {
        Self(Arc::new(Mutex::new(State {
            server: None,
            file,
            hash_key,
            mac,
            switch: None,
            log: EventLog::new(Instant::now()),
            hooks: Hooks::default(),
            awake_at: None,
            earlier: Arc::default(),
        })))
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
        let now = epoch();
        state.expire(now);
        match (config, &mut state.server) {
            (None, _) => {
                let bound = state.bound(now);
                state.server = None;
                state.tell(bound.into_iter().map(|(a, _)| (a, None)).collect());
            }
            (Some(config), Some(server)) => {
                server.reconfigure(config, now)?;
                state.forget();
            }
            (Some(config), None) => {
                let leases = state.load()?;
                let server = Server::new(config, leases, state.hash_key, now)?;
                for (lease, reason) in server.not_loaded() {
                    tracing::warn!(
                        "lease of {} by {} is left out: {}",
                        lease.address,
                        lease.mac,
                        why(*reason)
                    );
                }
                state.hooks.restate(server.records(), now, true);
                state.server = Some(server);
                let bound = state.bound(now);
                state.tell(bound.into_iter().map(|(a, mac)| (a, Some(mac))).collect());
            }
        }
        state.look_earlier();
        Ok(())
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
            state.hooks.restate(server.records(), epoch(), all);
        }
    }

    /// Ends the leases that have run out, and says how long it is until the
    /// next one does; `None` if none will.
    pub(super) fn expire(&self) -> Option<Duration> {
        let mut state = self.state();
        state.expire(epoch());
        let next = state.server.as_ref().and_then(Server::next_expiry);
        state.awake_at = next;
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        next.map(|at| Duration::from_secs(at).saturating_sub(since_1970.unwrap_or_default()))
    }

    /// Ends each lease when it runs out, for as long as it is polled: the
    /// address is no longer answered for, whether or not a message comes.
    ///
    /// It wakes up once for a lease's end, and when one begins that ends before
    /// all others. A clock that is set forward is noticed at the next message.
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

    /// Leases in use, and addresses that there are; `None` while off.
    pub(super) fn fill(&self) -> Option<(usize, usize)> {
        let mut state = self.state();
        state.expire(epoch());
        let server = state.server.as_ref()?;
        Some((server.used(), server.capacity()))
    }

    /// What `view` makes of every lease.
    pub(super) fn leases<T>(&self, mut view: impl FnMut(&LeaseView<'_>, u8) -> T) -> Vec<T> {
        let state = self.state();
        let Some(server) = &state.server else {
            return Vec::new();
        };
        let prefix = server.config().subnet.prefix_len();
        server
            .leases(epoch())
            .map(|lease| view(&lease, prefix))
            .collect()
    }

    /// Ends a lease; the address may go to another client at once.
    pub(super) fn release(&self, address: Ipv4Addr) -> Result<MacAddr, DhcpError> {
        let mut state = self.state();
        let server = state.server.as_mut().ok_or(DhcpError::Off)?;
        let change = server
            .release(address)
            .ok_or(DhcpError::NotLeased(address))?;
        let changes = [change];
        let now = epoch();
        state.save(&changes, now)?;
        state.hooks.changed(&changes, now);
        state.tell(bindings::changed(&changes, now).collect());
        changes
            .first()
            .and_then(Change::mac)
            .ok_or(DhcpError::NotLeased(address))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Responder for DhcpService {
    fn respond(&mut self, requests: &[Request]) -> Vec<Reply> {
        self.state().respond(requests)
    }
}

impl State {
    fn respond(&mut self, requests: &[Request]) -> Vec<Reply> {
        let now = epoch();
        let Some(server) = &mut self.server else {
            return Vec::new();
        };
        let (address, subnet) = (server.config().server, server.config().subnet);
        let mut outcomes: Vec<(&Request, Outcome)> = requests
            .iter()
            .filter_map(|request| {
                let received = message::unwrap(&request.frame)?;
                let to = received.destination;
                if ![address, Ipv4Addr::BROADCAST, subnet.broadcast()].contains(&to) {
                    tracing::debug!("DHCP: a message gets no answer: it is for {to}");
                    return None;
                }
                let sender = Sender {
                    origin: Origin(request.ingress.0.into()),
                    mac: received.source,
                };
                Some((request, server.handle(received.message, sender, now)))
            })
            .collect();
        let changes: Vec<Change> = outcomes
            .iter()
            .flat_map(|(_, outcome)| outcome.changes.iter().cloned())
            .collect();
        let saved = self.save(&changes, now).map_err(super::network::chain);
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
        let mut replies = Vec::new();
        for (request, outcome) in &outcomes {
            self.hooks.observe(outcome, &request.frame, now);
            self.note(&outcome.events);
            if saved.is_err() {
                continue;
            }
            match &outcome.answer {
                Answer::Reply(reply) => {
                    let egress = request.ingress;
                    let frame = message::wrap(reply, address, self.mac);
                    replies.extend(frame.map(|frame| Reply { frame, egress }));
                }
                Answer::Silence(silence) => self.silent(*silence),
            }
        }
        replies
    }

    /// Puts `changes`, made at `now`, on disk; undoes them if that fails.
    fn save(&mut self, changes: &[Change], now: u64) -> Result<(), DhcpError> {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        if changes.is_empty() {
            return Ok(());
        }
        let text = leasefile::format(server.records());
        if let Err(error) = self.file.save(&text) {
            for change in changes.iter().rev() {
                server.undo(change, now);
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// Writes the lease file without what another configuration has made
    /// worthless. If that fails, the next write does it: only leases that ran
    /// out are in it too many.
    fn forget(&mut self) {
        let Some(server) = &self.server else { return };
        let text = leasefile::format(server.records());
        if let Err(error) = self.file.save(&text) {
            tracing::warn!("{}", super::network::chain(error));
        }
    }

    /// Ends the leases that have run out by `now`.
    fn expire(&mut self, now: u64) {
        let Some(server) = &mut self.server else {
            return;
        };
        let events = server.expire(now);
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

    /// Reads the lease file. One that makes no sense is kept aside.
    fn load(&self) -> Result<Vec<Lease>, DhcpError> {
        let Some(text) = self.file.load()? else {
            return Ok(Vec::new());
        };
        let (mut leases, mut faults) = (Vec::new(), Vec::new());
        for line in leasefile::parse(text.as_bytes()) {
            match line {
                Ok(lease) => leases.push(lease),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            let kept = self.file.put_aside()?;
            for fault in faults.iter().take(10) {
                tracing::warn!("{}: {fault}", self.file.path().display());
            }
            tracing::warn!(
                "{} lines of the lease file make no sense and are left out; the file as it was \
                 is kept as {}",
                faults.len(),
                kept.display()
            );
            self.file.save(&leasefile::format(&leases))?;
        }
        Ok(leases)
    }

    fn bound(&self, now: u64) -> Vec<(Ipv4Addr, MacAddr)> {
        self.server
            .iter()
            .flat_map(|server| server.bindings(now))
            .collect()
    }

    fn tell(&self, bindings: Vec<Binding>) {
        if let Some(switch) = &self.switch
            && !bindings.is_empty()
        {
            switch.bind(bindings);
        }
    }

    /// Logs what happened.
    fn note(&mut self, events: &[Event]) {
        for event in events {
            self.log.event(event, Instant::now());
        }
    }

    /// Logs that a client got no answer: loud where an operator can mend it.
    fn silent(&mut self, silence: Silence) {
        let mend = match silence {
            Silence::RangeExhausted => "widen the range under [dhcp]",
            Silence::LeaseLimit => "there are as many leases as the server keeps",
            Silence::OriginLimit => "too many are on offer to stations behind its port",
            _ => return tracing::debug!("DHCP: a message gets no answer: {silence}"),
        };
        let what = format!("DHCP: a client gets no address, {silence}: {mend}");
        self.log.trouble(&what, Instant::now());
    }
}

/// Why a lease in the file is not served, in words.
fn why(reason: LeftOut) -> &'static str {
    match reason {
        LeftOut::AddressTaken => "another lease has the address",
        LeftOut::ClientHasAnother => "its client has another lease, which lasts longer",
        LeftOut::NotServed => "it ran out, and the address is not served any more",
        LeftOut::LeaseLimit => "it ran out, and there are as many leases as the server keeps",
    }
}

/// Seconds since 1970; a clock before that counts as 0.
pub(super) fn epoch() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
