//! Which addresses without a lease stations have used lately, by the sender's
//! addresses in the ARP packets that the switch has forwarded anyway.
//!
//! The memory is fixed, and an address has one place in it, which the last
//! sighting takes. So whoever floods the switch with invented addresses makes
//! it forget others; what is lost then is a hint, not the conflict probe.

use crate::MacAddr;
use crate::table::{PortId, Tick};
use foldhash::fast::RandomState;
use std::hash::BuildHasher;
use std::net::Ipv4Addr;

/// How long a sighting counts, in ticks: shorter than Linux and Windows keep a
/// neighbour without asking again, so that a station which talks is seen anew.
const LASTING: u32 = 30 * Tick::PER_SECOND;

/// Sightings remembered at most; 16 KiB in all.
const PLACES: usize = 1024;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Sightings {
    places: Box<[Sighting]>,
    hash: RandomState,
}

/// The last one of its place; at first of 0.0.0.0, which is nobody's.
#[derive(Debug, Clone, Copy)]
struct Sighting {
    address: Ipv4Addr,
    mac: MacAddr,
    port: PortId,
    seen: Tick,
}

impl Default for Sightings {
    /// None yet.
    fn default() -> Self {
        let none = Sighting {
            address: Ipv4Addr::UNSPECIFIED,
            mac: MacAddr::zero(),
            port: PortId(0),
            seen: Tick::default(),
        };
        Self {
            places: [none; PLACES].into(),
            hash: RandomState::default(),
        }
    }
}

impl Sightings {
    /// Notes that the station `mac` behind `port` uses `address`, which is not
    /// 0.0.0.0.
    pub(super) fn note(&mut self, address: Ipv4Addr, mac: MacAddr, port: PortId, now: Tick) {
        if let Some(place) = self.place(address) {
            *place = Sighting {
                address,
                mac,
                port,
                seen: now,
            };
        }
    }

    /// Forgets who used `address`.
    pub(super) fn forget(&mut self, address: Ipv4Addr) {
        if let Some(place) = self.place(address)
            && place.address == address
        {
            place.address = Ipv4Addr::UNSPECIFIED;
        }
    }

    /// Who used `address` lately, and behind which port.
    pub(super) fn of(&mut self, address: Ipv4Addr, now: Tick) -> Option<(MacAddr, PortId)> {
        let sighting = *self.place(address)?;
        let counts = sighting.address == address && !address.is_unspecified();
        let counts = counts && now.since(sighting.seen) <= LASTING;
        counts.then_some((sighting.mac, sighting.port))
    }

    fn place(&mut self, address: Ipv4Addr) -> Option<&mut Sighting> {
        let hash = self.hash.hash_one(u32::from(address));
        let place = hash % self.places.len() as u64;
        self.places.get_mut(usize::try_from(place).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(1000);

    fn address(n: u32) -> Ipv4Addr {
        Ipv4Addr::from(0x0a00_0000 + n)
    }

    fn station(n: u8) -> (MacAddr, PortId) {
        (MacAddr(2, 0, 0, 0, 0, n), PortId(n.into()))
    }

    fn seen(sightings: &mut Sightings, n: u32, by: u8, now: Tick) {
        let (mac, port) = station(by);
        sightings.note(address(n), mac, port, now);
    }

    #[test]
    fn the_last_to_use_an_address_is_known_for_half_a_minute() {
        let mut sightings = Sightings::default();
        assert_eq!(sightings.of(address(1), NOW), None);
        seen(&mut sightings, 1, 7, NOW);
        seen(&mut sightings, 1, 8, NOW);
        assert_eq!(sightings.of(address(1), NOW), Some(station(8)));
        assert_eq!(sightings.of(address(2), NOW), None);
        assert_eq!(sightings.of(address(1), Tick(1300)), Some(station(8)));
        assert_eq!(sightings.of(address(1), Tick(1301)), None);
        seen(&mut sightings, 1, 7, NOW);
        sightings.forget(address(1));
        assert_eq!(sightings.of(address(1), NOW), None);
    }

    #[test]
    fn a_flood_of_addresses_takes_places_and_nobody_is_taken_for_another() {
        let mut sightings = Sightings::default();
        for n in 1..=100_000 {
            seen(&mut sightings, n, u8::try_from(n % 200).unwrap(), NOW);
        }
        let known = (1..=100_000_u32).filter(|n| {
            let station = station(u8::try_from(n % 200).unwrap());
            let found = sightings.of(address(*n), NOW);
            assert!(found.is_none_or(|found| found == station), "{n}");
            found.is_some()
        });
        let known = known.count();
        assert!((PLACES / 2..=PLACES).contains(&known), "{known}");
        assert_eq!(sightings.of(Ipv4Addr::UNSPECIFIED, NOW), None);
    }
}
