//! The embedded DHCP server: `vmlan_dhcp` decides, this keeps the leases on
//! disk and tells the switch who has which address.
//!
//! Messages come in batches. The whole batch is decided first, then written
//! with one fsync, and only then do the replies leave: an acknowledged lease
//! is on disk. If the write fails, what the batch changed is undone and only
//! replies that change nothing leave.

use super::eventlog::EventLog;
use super::message;
use crate::host::leases::LeaseFile;
use pnet_base::MacAddr;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};
use vmlan_dataplane::control::Switch;
use vmlan_dataplane::hairpin::{Reply, Request, Responder};
use vmlan_dhcp::{
    Answer, Change, Config, ConfigError, Event, Lease, LeaseView, Origin, Outcome, Sender, Server,
    Silence, leasefile,
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
        match (config, &mut state.server) {
            (None, _) => {
                let bound = state.bound();
                state.server = None;
                state.tell(
                    bound
                        .into_iter()
                        .map(|(address, _)| (address, None))
                        .collect(),
                );
            }
            (Some(config), Some(server)) => server.reconfigure(config, now)?,
            (Some(config), None) => {
                let leases = state.load()?;
                let server = Server::new(config, leases, state.hash_key, now)?;
                for lease in server.not_loaded() {
                    tracing::warn!(
                        "lease of {} by {} is left out: another lease has the address",
                        lease.address,
                        lease.mac
                    );
                }
                state.server = Some(server);
                let bound = state.bound();
                state.tell(bound.into_iter().map(|(a, mac)| (a, Some(mac))).collect());
            }
        }
        Ok(())
    }

    /// Leases in use, and addresses that there are; `None` while off.
    pub(super) fn fill(&self) -> Option<(usize, usize)> {
        let mut state = self.state();
        let server = state.server.as_mut()?;
        let events = server.expire(epoch());
        let fill = (server.used(), server.capacity());
        state.note(&events);
        Some(fill)
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
        state.commit(&changes)?;
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
        let address = server.config().server;
        let mut outcomes: Vec<(&Request, Outcome)> = requests
            .iter()
            .filter_map(|request| {
                let received = message::unwrap(&request.frame)?;
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
        if let Err(error) = self.commit(&changes) {
            let error = anyhow::Error::from(error);
            let what = format!("DHCP: no lease is given out or renewed: {error:#}");
            self.log.trouble(&what, Instant::now());
            outcomes.retain(|(_, outcome)| outcome.changes.is_empty());
        }
        let mut replies = Vec::new();
        for (request, outcome) in &outcomes {
            self.note(&outcome.events);
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

    /// Puts `changes` on disk and tells the switch; undoes them if that fails.
    fn commit(&mut self, changes: &[Change]) -> Result<(), DhcpError> {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        if changes.is_empty() {
            return Ok(());
        }
        let text = leasefile::format(server.records());
        if let Err(error) = self.file.save(&text) {
            for change in changes.iter().rev() {
                server.undo(change, epoch());
            }
            return Err(error.into());
        }
        let now = epoch();
        let ended = changes.iter().filter_map(|change| change.before.as_ref());
        let begun = changes
            .iter()
            .filter_map(|change| change.after.as_ref())
            .filter(|lease| lease.is_live(now));
        let bindings = ended
            .map(|lease| (lease.address, None))
            .chain(begun.map(|lease| (lease.address, Some(lease.mac))))
            .collect();
        self.tell(bindings);
        Ok(())
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

    fn bound(&self) -> Vec<(Ipv4Addr, MacAddr)> {
        self.server
            .iter()
            .flat_map(|server| server.bindings(epoch()))
            .collect()
    }

    fn tell(&self, bindings: Vec<(Ipv4Addr, Option<MacAddr>)>) {
        if let Some(switch) = &self.switch
            && !bindings.is_empty()
        {
            switch.bind(bindings);
        }
    }

    /// Logs what happened, and has the switch forget leases that ran out.
    fn note(&mut self, events: &[Event]) {
        for event in events {
            if let Event::Expired { address, .. } = event {
                self.tell(vec![(*address, None)]);
            }
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

/// Seconds since 1970; a clock before that counts as 0.
fn epoch() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
