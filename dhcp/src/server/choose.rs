//! Which address a client is offered, and which it may have.

use std::hash::BuildHasher;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::Server;
use crate::config::Host;
use crate::outcome::{Event, Refusal, Silence};
use crate::table::Obstacle;
use crate::wire::Request;

impl Server {
    /// The static host that the client is.
    pub(super) fn host(&self, request: &Request) -> Option<&Arc<Host>> {
        self.hosts.find(request.mac, request.client_id.as_deref())
    }

    /// The address to offer, in the order of RFC 2131 §4.3.1: the one that is
    /// configured for the client, the one that it has or had, the one that it
    /// asks for, a free one, and last the one whose lease ran out longest ago.
    pub(super) fn choose(
        &self,
        request: &Request,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<Ipv4Addr, Silence> {
        let mac = request.mac;
        let table = &self.table;
        if let Some(address) = self.host(request).and_then(|h| h.address) {
            match table.obstacle(address, mac, now) {
                None | Some(Obstacle::Remembered) => {
                    return self.has_room(request).map(|()| address);
                }
                Some(obstacle) => events.push(Event::HostAddressTaken {
                    mac,
                    address,
                    holder: match obstacle {
                        Obstacle::Leased(holder) => Some(holder),
                        _ => None,
                    },
                }),
            }
        }
        self.has_room(request)?;
        let pool = table.pool();
        let known = [table.lease_of(mac).map(|l| l.address), table.offer_to(mac)];
        let own = known
            .into_iter()
            .flatten()
            .find(|a| pool.contains(*a) && table.obstacle(*a, mac, now).is_none());
        own.or_else(|| request.requested.filter(|a| pool.is_free(*a)))
            .or_else(|| pool.probe(self.hash.hash_one(mac.octets())))
            .or_else(|| table.oldest_expired())
            .ok_or(Silence::RangeExhausted)
    }

    /// Whether the client may have `address`.
    pub(super) fn may_have(
        &self,
        request: &Request,
        address: Ipv4Addr,
        now: u64,
    ) -> Result<(), Refusal> {
        let mac = request.mac;
        let table = &self.table;
        if !self.config.subnet.contains(&address) {
            return Err(Refusal::WrongSubnet);
        }
        if let Some(own) = self.host(request).and_then(|h| h.address) {
            let refusal = match table.obstacle(own, mac, now) {
                None | Some(Obstacle::Remembered) => None,
                Some(obstacle) => Some(Refusal::from(obstacle)),
            };
            match refusal {
                Some(refusal) if address == own => return Err(refusal),
                None if address == own => return Ok(()),
                None => return Err(Refusal::StaticAddress),
                // Served from the range for as long as its own is taken.
                Some(_) => {}
            }
        }
        if !table.pool().contains(address) {
            return Err(Refusal::NotServed);
        }
        if let Some(obstacle) = table.obstacle(address, mac, now) {
            return Err(obstacle.into());
        }
        let elsewhere = table
            .lease_of(mac)
            .is_some_and(|l| l.address != address && l.is_live(now));
        if elsewhere && table.offer_to(mac) != Some(address) {
            return Err(Refusal::WrongAddress);
        }
        Ok(())
    }

    /// Whether the limit on leases allows one more for this client, offers
    /// counted as leases to come.
    fn has_room(&self, request: &Request) -> Result<(), Silence> {
        let table = &self.table;
        let known = table.lease_of(request.mac).is_some() || table.offer_to(request.mac).is_some();
        if known || table.live() + table.offered() < self.config.max_leases {
            Ok(())
        } else {
            Err(Silence::LeaseLimit)
        }
    }
}

impl From<Obstacle> for Refusal {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Leased(_) | Obstacle::Remembered | Obstacle::Offered => Self::InUse,
            Obstacle::Declined => Self::Declined,
        }
    }
}
