//! Which address a client is offered, and which it may have.

use std::hash::BuildHasher;
use std::net::Ipv4Addr;

use super::Server;
use super::client::Client;
use crate::outcome::{Event, Refusal, Silence};
use crate::pool::Pool;
use crate::table::Obstacle;
use crate::wire::Request;

impl Server {
    /// The address to offer, in the order of RFC 2131 §4.3.1: the one that is
    /// configured for the client, the one that it has or had, the one that it
    /// asks for, a free one, and last the one whose lease ran out longest ago.
    pub(super) fn choose(
        &self,
        request: &Request,
        client: &Client,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<Ipv4Addr, Silence> {
        let (mac, whose) = (request.mac, request.client_ref());
        let table = &self.table;
        if let Some(address) = client.address() {
            match table.obstacle(address, whose, now) {
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
        let known = [
            table.lease_of(whose).map(|l| l.address),
            table.offer_to(mac),
        ];
        let own = known.into_iter().flatten().find(|address| {
            self.is_for(*address, client) && table.obstacle(*address, whose, now).is_none()
        });
        let asked = || {
            let free = |a: &Ipv4Addr| table.pools().is_free(*a) && self.is_for(*a, client);
            request.requested.filter(free)
        };
        own.or_else(asked)
            .or_else(|| self.free(request, client))
            .or_else(|| self.oldest_expired(client))
            .ok_or(Silence::RangeExhausted)
    }

    /// A free address of the first range for the client that has one.
    fn free(&self, request: &Request, client: &Client) -> Option<Ipv4Addr> {
        let hash = if self.config.sequential {
            0
        } else {
            self.hash.hash_one(request.mac.octets())
        };
        self.pools_for(client).find_map(|pool| pool.probe(hash))
    }

    /// The address whose lease ran out longest ago, of all the ranges for the
    /// client.
    fn oldest_expired(&self, client: &Client) -> Option<Ipv4Addr> {
        let oldest = self.pools_for(client).filter_map(Pool::oldest_expired);
        oldest.min().map(|(_, address)| address)
    }

    fn pools_for<'a>(&'a self, client: &'a Client) -> impl Iterator<Item = &'a Pool> {
        client.link.ranges.iter().filter_map(|place| {
            let range = self.config.ranges.get(*place)?;
            let pool = self.table.pools().get(*place)?;
            self.serves(range, client).then_some(pool)
        })
    }

    /// Whether a range hands `address` out to the client.
    fn is_for(&self, address: Ipv4Addr, client: &Client) -> bool {
        let place = self.table.pools().holding(address);
        let range = place.and_then(|place| self.config.ranges.get(place));
        client.link.subnet.contains(&address)
            && range.is_some_and(|range| self.serves(range, client))
    }

    /// Whether the client may have `address`.
    pub(super) fn may_have(
        &self,
        request: &Request,
        client: &Client,
        address: Ipv4Addr,
        now: u64,
    ) -> Result<(), Refusal> {
        let whose = request.client_ref();
        let table = &self.table;
        if !client.link.subnet.contains(&address) {
            return Err(Refusal::WrongSubnet);
        }
        if let Some(own) = client.address() {
            let refusal = match table.obstacle(own, whose, now) {
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
        if !self.is_for(address, client) {
            return Err(Refusal::NotServed);
        }
        if let Some(obstacle) = table.obstacle(address, whose, now) {
            return Err(obstacle.into());
        }
        let elsewhere = table
            .lease_of(whose)
            .is_some_and(|l| l.address != address && l.is_live(now));
        if elsewhere && table.offer_to(request.mac) != Some(address) {
            return Err(Refusal::WrongAddress);
        }
        Ok(())
    }

    /// Whether the limit on leases allows one more for this client, offers
    /// counted as leases to come.
    fn has_room(&self, request: &Request) -> Result<(), Silence> {
        let table = &self.table;
        let known =
            table.lease_of(request.client_ref()).is_some() || table.offer_to(request.mac).is_some();
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
