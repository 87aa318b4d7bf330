//! The conflict probe before an offer: when one is due, and what its outcome
//! leads to.

use std::net::Ipv4Addr;

use super::Server;
use super::client::Client;
use crate::hold::Hold;
use crate::outcome::{Event, Outcome, Silence};
use crate::probe::{Claimant, Probe};
use crate::sender::Sender;
use crate::wire::Request;

/// Addresses in use that one DISCOVER may come upon. The client's next one
/// goes on with others, since these are put aside.
const TRIES: usize = 6;

impl Server {
    /// Goes on with the message that [`Answer::Probe`] was the answer to, the
    /// same bytes from the same `sender`, or with that client's latest one, which
    /// was [`Silence::Probing`]: `probe` has been made, and `claimant` is who
    /// answered it, if anybody did.
    ///
    /// An address in use is put aside as a declined one is, and the client gets
    /// another. What one [`Origin`] may put aside so is bounded together with
    /// what it declines; beyond that its word does not count. An answer from
    /// the client itself says that nobody else has the address.
    ///
    /// [`Answer::Probe`]: crate::Answer::Probe
    /// [`Origin`]: crate::Origin
    pub fn probed(
        &mut self,
        probe: Probe,
        claimant: Option<Claimant>,
        message: &[u8],
        sender: Sender,
        now: u64,
    ) -> Outcome {
        let Probe { address, mut found } = probe;
        let mut events = self.expire(now);
        if let Some(hold) = self.probes.end(address) {
            let rival = claimant.filter(|claimant| claimant.mac != hold.mac);
            match rival.map(|rival| self.found_in_use(address, hold, rival, now)) {
                None => self.probes.found_free(address, hold, now),
                Some(event) => {
                    found += 1;
                    events.push(event);
                }
            }
        }
        self.step(message, sender, found, events, now)
    }

    fn found_in_use(&mut self, address: Ipv4Addr, probe: Hold, rival: Claimant, now: u64) -> Event {
        let mac = probe.mac;
        // It may have been leased without an offer meanwhile.
        let leased = self.table.lease_at(address).is_some_and(|l| l.is_live(now));
        let put_aside = !leased && self.table.declined_by(rival.origin) < self.limits.declined;
        if put_aside {
            if self.table.offer_to(mac) == Some(address) {
                self.table.withdraw(mac);
            }
            let limit = self.config.max_leases;
            self.table
                .decline(address, rival.mac, rival.origin, now, limit);
        } else {
            self.probes.found_free(address, probe, now);
        }
        Event::InUse {
            mac,
            address,
            holder: rival.mac,
            put_aside,
        }
    }

    /// The probe to make before `address` is given to the client, which then
    /// holds it; `None` if none is due. `found` is how many addresses were found
    /// in use for this request.
    pub(super) fn probe_first(
        &mut self,
        request: &Request,
        client: &Client,
        address: Ipv4Addr,
        found: usize,
        now: u64,
    ) -> Result<Option<Probe>, Silence> {
        // Behind a relay agent nobody here can ask.
        let can_ask = self.config.probe && client.link.is_own;
        if !can_ask || self.probes.is_free(address) {
            return Ok(None);
        }
        if self.probes.is_under_way(address) {
            return Err(Silence::Probing);
        }
        if found >= TRIES {
            return Err(Silence::AddressesInUse);
        }
        let origin = client.sender.origin;
        if self.probes.are_many(origin) {
            return Ok(None);
        }
        self.hold(request, client, address, now)?;
        self.probes.start(address, request.mac, origin, now);
        Ok(Some(Probe { address, found }))
    }
}
