//! What each message does (RFC 2131 §4.3).

use std::net::Ipv4Addr;

use super::client::Client;
use super::{Effects, Server};
use crate::config::LeaseTime;
use crate::lease::Lease;
use crate::outcome::{Answer, Change, Event, Reply, Silence};
use crate::table::ClientRef;
use crate::wire::{Kind, Request, Response};

impl Server {
    /// Answers `request`; `effects` gets the changes and events, `found` says
    /// how many addresses were found in use for it.
    pub(super) fn answer(
        &mut self,
        request: &Request,
        client: &mut Client,
        found: usize,
        now: u64,
        effects: &mut Effects,
    ) -> Result<Answer, Silence> {
        // These two take something away. On the server's own subnet nobody but
        // the client has a reason to send them.
        let ends = matches!(request.kind, Kind::Decline | Kind::Release);
        if ends && self.is_forged(request, client) {
            return Err(Silence::OtherSender);
        }
        if ends && !self.recording {
            return Err(Silence::NotRecorded);
        }
        let reply = match request.kind {
            Kind::Discover => return self.discover(request, client, found, now, effects),
            Kind::Request => self.request(request, client, now, effects),
            Kind::Decline => self.decline(request, client, now, effects),
            Kind::Release => self.release_by_client(request, now, effects),
            Kind::Inform => self.inform(request, client, &mut effects.events),
        };
        reply.map(Answer::Reply)
    }

    /// Whether a DECLINE or RELEASE, which take something away, comes from
    /// another than its client. On the server's own subnet nobody else has a
    /// reason to send them. Which subnet that is follows from the address: what
    /// the message says of its way (`giaddr`, option 118) anybody can write.
    fn is_forged(&self, request: &Request, client: &Client) -> bool {
        let address = request.requested.unwrap_or(request.ciaddr);
        let here = client.link.is_own || self.links.own().subnet.contains(&address);
        here && request.mac != client.sender.mac
    }

    /// §4.3.1.
    fn discover(
        &mut self,
        request: &Request,
        client: &mut Client,
        found: usize,
        now: u64,
        effects: &mut Effects,
    ) -> Result<Answer, Silence> {
        let mac = request.mac;
        let told = effects.events.len();
        let address = self.choose(request, client, now, &mut effects.events)?;
        let leased = self
            .table
            .lease_of(request.client_ref())
            .is_some_and(|l| l.address == address && l.is_live(now));
        if !leased && let Some(probe) = self.probe_first(request, client, address, found, now)? {
            // What the choice told of is told with the answer.
            effects.events.truncate(told);
            return Ok(Answer::Probe(probe));
        }
        if request.rapid_commit && self.config.rapid_commit {
            let reply = self.acknowledge(request, client, address, now, effects)?;
            return Ok(Answer::Reply(reply));
        }
        if !leased {
            self.hold(request, client, address, now)?;
        }
        let events = &mut effects.events;
        events.push(Event::Offered { mac, address });
        let time = self
            .settle(client, address)
            .shortened_to(request.lease_time);
        self.lease_reply(request, client, Response::Offer, address, time, events)
            .map(Answer::Reply)
    }

    /// Keeps `address` for the client, as long as an offer lasts.
    pub(super) fn hold(
        &mut self,
        request: &Request,
        client: &Client,
        address: Ipv4Addr,
        now: u64,
    ) -> Result<(), Silence> {
        if !self.recording {
            return Err(Silence::NotRecorded);
        }
        let (mac, origin) = (request.mac, client.sender.origin);
        // The offer that it has is replaced, not added to.
        let has_one = self.table.origin_of_offer(mac) == Some(origin);
        if !has_one && self.table.offered_to(origin) >= self.limits.offers {
            return Err(Silence::OriginLimit);
        }
        self.table.offer(address, mac, origin, now);
        Ok(())
    }

    /// §4.3.2. The four states of a client that sends a REQUEST differ in what
    /// it carries:
    ///
    /// | state | server id | requested address | ciaddr |
    /// |---|---|---|---|
    /// | SELECTING | the chosen server's | as offered | – |
    /// | INIT-REBOOT | – | as remembered | – |
    /// | RENEWING | – | – | as leased, sent to this server |
    /// | REBINDING | – | – | as leased, sent to all |
    ///
    /// The server is authoritative for the subnet, so that the same holds in
    /// each: the client gets the address if it may have it, also if the server
    /// has no record of it (any more), and a NAK if not.
    fn request(
        &mut self,
        request: &Request,
        client: &mut Client,
        now: u64,
        effects: &mut Effects,
    ) -> Result<Reply, Silence> {
        let mac = request.mac;
        if request
            .server_id
            .is_some_and(|id| !self.is_called(id, request))
        {
            // It chose another server's offer.
            self.table.withdraw(mac);
            return Err(Silence::OtherServer);
        }
        let address = request.requested.unwrap_or(request.ciaddr);
        if address.is_unspecified() {
            return Err(Silence::NoAddress);
        }
        if let Err(refusal) = self.may_have(request, client, address, now) {
            effects.events.push(Event::Refused {
                mac,
                address,
                refusal,
            });
            return self.nak(request, client, refusal);
        }
        if self.lacks_router(request, client) {
            return Err(Silence::AgentUnknown);
        }
        self.acknowledge(request, client, address, now, effects)
    }

    /// The ACK that gives the client `address`.
    fn acknowledge(
        &mut self,
        request: &Request,
        client: &mut Client,
        address: Ipv4Addr,
        now: u64,
        effects: &mut Effects,
    ) -> Result<Reply, Silence> {
        let time = self.bind(request, client, address, now, effects)?;
        let events = &mut effects.events;
        self.lease_reply(request, client, Response::Ack, address, time, events)
    }

    /// Records that the client has `address`, and says for how long.
    ///
    /// A client that asks again and again has nothing written: while its record
    /// says the same but for a moment, it is told what is left of that.
    fn bind(
        &mut self,
        request: &Request,
        client: &mut Client,
        address: Ipv4Addr,
        now: u64,
        effects: &mut Effects,
    ) -> Result<LeaseTime, Silence> {
        let (mac, whose) = (request.mac, request.client_ref());
        if !self.recording {
            return self.left_of_record(whose, address, now);
        }
        let Effects { changes, events } = effects;
        self.make_room(request, address, changes)?;
        self.table.evict(address, whose, changes);
        for change in changes.iter() {
            events.extend(change.before.as_ref().map(|lease| Event::Forgotten {
                mac: lease.mac,
                address: lease.address,
            }));
        }
        let former = self.table.lease_of(whose);
        let renewed = former.is_some_and(|l| l.address == address && l.is_live(now));
        let former_id = former.and_then(|l| l.client_id.as_deref());
        let client_id = request.client_id.as_deref();
        let same = renewed && client_id == former_id && former.is_some_and(|l| l.mac == mac);
        if !same {
            events.extend(client_id.and_then(|id| self.duplicate(request, id, now)));
        }
        let time = self.settle(client, address);
        let time = time.shortened_to(request.lease_time);
        let lease = Lease {
            mac,
            address,
            expiry: time.expiry(now),
            hostname: self.hostname(request, client, events),
            client_id: client_id.or(former_id).map(Into::into),
        };
        events.push(if renewed {
            Event::Renewed { mac, address }
        } else {
            Event::Bound { mac, address }
        });
        let recorded = self.table.lease_of(whose).filter(|_| renewed);
        if let Some(left) = recorded.and_then(|former| lasting(former, &lease, time, now)) {
            self.table.withdraw(mac);
            return Ok(left);
        }
        self.table.put(lease, now, changes);
        Ok(time)
    }

    /// What is left of the client's lease on `address`, as it is recorded.
    fn left_of_record(
        &self,
        client: ClientRef<'_>,
        address: Ipv4Addr,
        now: u64,
    ) -> Result<LeaseTime, Silence> {
        let recorded = self.table.lease_of(client);
        let lease = recorded.filter(|l| l.address == address && l.is_live(now));
        match lease.ok_or(Silence::NotRecorded)?.expiry {
            0 => Ok(LeaseTime::Infinite),
            expiry => {
                let left = u32::try_from(expiry.saturating_sub(now));
                Ok(LeaseTime::Seconds(left.unwrap_or(u32::MAX - 1)))
            }
        }
    }

    /// Forgets the record that is missed least if the table is full and the
    /// client is new to it.
    fn make_room(
        &mut self,
        request: &Request,
        address: Ipv4Addr,
        changes: &mut Vec<Change>,
    ) -> Result<(), Silence> {
        let known = self.table.lease_of(request.client_ref()).is_some();
        // The record of another client on this address will go anyway.
        let replaces = self.table.lease_at(address).is_some();
        if known || replaces || self.table.records() < self.config.max_leases {
            return Ok(());
        }
        let address = self.table.least_needed().ok_or(Silence::LeaseLimit)?;
        self.table.remove(address, changes);
        Ok(())
    }

    /// Another client with a live lease and the same client identifier.
    fn duplicate(&self, request: &Request, client_id: &[u8], now: u64) -> Option<Event> {
        let other = self.table.rival(client_id, request.mac, now)?;
        Some(Event::DuplicateClientId {
            client_id: client_id.into(),
            macs: [other.mac, request.mac],
        })
    }

    /// The name to record: the configured one, else the one that the client
    /// gives, else the one that it gave before.
    fn hostname(
        &self,
        request: &Request,
        client: &Client,
        events: &mut Vec<Event>,
    ) -> Option<Box<str>> {
        if let Some(name) = client.name() {
            return Some(name.into());
        }
        match request.given_name() {
            Some(Some(name)) => Some(name.into()),
            Some(None) => {
                events.push(Event::BadHostname { mac: request.mac });
                None
            }
            None => self.table.lease_of(request.client_ref())?.hostname.clone(),
        }
    }

    /// §4.3.3. Only who was given the address can have it put aside, and not
    /// more of them than its origin may.
    fn decline(
        &mut self,
        request: &Request,
        client: &Client,
        now: u64,
        effects: &mut Effects,
    ) -> Result<Reply, Silence> {
        let mac = request.mac;
        self.for_this_server(request)?;
        let address = request.requested.ok_or(Silence::NoAddress)?;
        let leased = self.holds(request, address, now);
        if !leased && self.table.offer_to(mac) != Some(address) {
            return Err(Silence::NotHeld);
        }
        if leased {
            self.table.remove(address, &mut effects.changes);
        }
        self.table.withdraw(mac);
        self.probes.forget(address);
        let put_aside = self.table.declined_by(client.sender.origin) < self.limits.declined;
        if put_aside {
            let limit = self.config.max_leases;
            let origin = client.sender.origin;
            self.table.decline(address, mac, origin, now, limit);
        }
        effects.events.push(Event::Declined {
            mac,
            address,
            put_aside,
        });
        Err(Silence::NoAnswerDue)
    }

    /// §4.3.4. The address stays remembered for the client.
    fn release_by_client(
        &mut self,
        request: &Request,
        now: u64,
        effects: &mut Effects,
    ) -> Result<Reply, Silence> {
        self.for_this_server(request)?;
        let (mac, address) = (request.mac, request.ciaddr);
        if !self.holds(request, address, now) {
            return Err(Silence::NotHeld);
        }
        let lease = self.table.lease_at(address).ok_or(Silence::NotHeld)?;
        let released = Lease {
            // 0 would be a lease without end.
            expiry: now.max(1),
            ..lease.clone()
        };
        self.table.put(released, now, &mut effects.changes);
        effects.events.push(Event::Released { mac, address });
        Err(Silence::NoAnswerDue)
    }

    /// §4.3.5. The range that the client's address is of sets its tags, as
    /// where it is leased.
    fn inform(
        &self,
        request: &Request,
        client: &mut Client,
        events: &mut Vec<Event>,
    ) -> Result<Reply, Silence> {
        if request.ciaddr.is_unspecified() {
            return Err(Silence::NoAddress);
        }
        if !client.link.subnet.contains(&request.ciaddr) {
            return Err(Silence::WrongSubnet);
        }
        self.settle(client, request.ciaddr);
        self.parameters_reply(request, client, events)
    }

    fn for_this_server(&self, request: &Request) -> Result<(), Silence> {
        match request.server_id {
            Some(id) if !self.is_called(id, request) => Err(Silence::OtherServer),
            _ => Ok(()),
        }
    }

    fn holds(&self, request: &Request, address: Ipv4Addr, now: u64) -> bool {
        // By whatever a lease is keyed, only its own station ends it.
        self.table
            .lease_of(request.client_ref())
            .is_some_and(|l| l.address == address && l.mac == request.mac && l.is_live(now))
    }
}

/// What is left at `now` of `former`, if `lease` of the length `time` says the
/// same but for a moment.
fn lasting(former: &Lease, lease: &Lease, time: LeaseTime, now: u64) -> Option<LeaseTime> {
    let same = (former.mac, &former.hostname, &former.client_id)
        == (lease.mac, &lease.hostname, &lease.client_id);
    time.left_of(former.expiry, now).filter(|_| same)
}
