//! Messages, answered in batches.

use super::{DhcpService, State, bindings};
use crate::daemon::message;
use std::net::Ipv4Addr;
use std::time::Instant;
use vmlan_dataplane::hairpin::{Reply, Request, Responder};
use vmlan_dhcp::{Answer, Config, Event, Origin, Outcome, Sender, Silence};

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
        let mut outcomes: Vec<(&Request, Outcome)> = Vec::new();
        let mut unread = Vec::new();
        for asked in &probed {
            if let Some(Ok((message, sender))) = received(&asked.request, server.config()) {
                let outcome = server.probed(asked.probe, asked.claimant, message, sender, now);
                outcomes.push((&asked.request, outcome));
            }
        }
        for request in requests {
            match received(request, server.config()) {
                Some(Ok((message, sender))) => {
                    outcomes.push((request, server.handle(message, sender, now)));
                }
                Some(Err(silence)) => unread.push((request, silence)),
                None => {}
            }
        }
        let changes = outcomes.iter().flat_map(|(_, outcome)| &outcome.changes);
        let saved = self.save(changes, now);
        if saved.is_err() {
            for (_, outcome) in &mut outcomes {
                // What ran out did so whatever the disk says; nothing else happened.
                outcome.changes.clear();
                let ran_out = |event: &Event| matches!(event, Event::Expired { .. });
                outcome.events.retain(ran_out);
            }
        }
        let told = outcomes.iter().flat_map(|(_, o)| bindings::of(o, now));
        self.tell(told.collect());
        self.look_earlier();
        let (mut replies, mut asked_for) = (Vec::new(), Vec::new());
        for (request, outcome) in &outcomes {
            self.hooks.observe(outcome, &request.frame, now);
            self.note(&outcome.events, Some(request.ingress));
            if saved.is_err() {
                self.counters.silence(Silence::NotRecorded);
                continue;
            }
            match &outcome.answer {
                Answer::Reply(reply) => {
                    self.counters.reply();
                    let egress = request.ingress;
                    let frame = message::wrap(reply, &request.frame, self.mac);
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
        for (request, silence) in unread {
            self.silent(silence, &request.frame);
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
    pub(super) fn forget_probes(&mut self) {
        let addresses = self.probes.clear();
        self.end_probes(addresses);
    }

    /// Counts that the message in `frame` gets no answer, and tells of it where an
    /// operator can mend it.
    fn silent(&mut self, silence: Silence, frame: &[u8]) {
        tracing::debug!("DHCP: a message gets no answer: {silence}");
        self.counters.silence(silence);
        let client = || message::unwrap(frame).and_then(|received| received.client());
        if let Some(event) = self.unanswered.event(silence, client, Instant::now()) {
            self.events.tell(event);
        }
    }
}

/// The message in `request` and who sent it, or why it is not read; `None` if it
/// holds none.
fn received<'a>(
    request: &'a Request,
    config: &Config,
) -> Option<Result<(&'a [u8], Sender), Silence>> {
    let received = message::unwrap(&request.frame)?;
    let to = received.destination;
    if !received.is_intact {
        return Some(Err(Silence::BadChecksum));
    }
    let mut former = config.former.iter();
    let unicast = to == config.server || former.any(|it| it.addr() == to);
    if !unicast && ![Ipv4Addr::BROADCAST, config.subnet.broadcast()].contains(&to) {
        return Some(Err(Silence::OtherServer));
    }
    let sender = Sender {
        origin: Origin(request.ingress.0.into()),
        mac: received.source,
        unicast,
    };
    Some(Ok((received.message, sender)))
}
