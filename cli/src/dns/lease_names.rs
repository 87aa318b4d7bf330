//! The names of those who have a lease.
//!
//! Guests choose their names, so several may claim one. As in dnsmasq the newest
//! claim counts; when that one ends, the name goes back to whom it was taken from.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::time::Instant;
use vmlan_dhcp::{HostKey, MacAddr};

/// A lease that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The name: one label, in lower case.
    pub(crate) label: Box<str>,
    /// Who has the lease.
    pub(crate) mac: MacAddr,
    /// The client identifier, its type byte first.
    pub(crate) client_id: Option<Box<[u8]>>,
    /// When the lease ends; `None`: never.
    pub(crate) ends: Option<Instant>,
}

impl Claim {
    /// Whether `keys` are of the station that has the lease. A name as a key is
    /// whatever a station calls itself.
    pub(crate) fn is_by(&self, keys: &[HostKey]) -> bool {
        let id = self.client_id.as_deref();
        keys.iter().any(|key| match key {
            HostKey::Mac(pattern) => pattern.matches(self.mac),
            // As the DHCP server has it, with type 0 in front too.
            HostKey::ClientId(key) => {
                id.is_some_and(|id| id == key || id.strip_prefix(&[0]) == Some(key))
            }
            HostKey::Name(name) => name.eq_ignore_ascii_case(&self.label),
        })
    }
}

/// The leases that have a name.
#[derive(Debug, Default)]
pub(crate) struct LeaseNames {
    by_address: HashMap<Ipv4Addr, (u64, Claim)>,
    /// Who claims each label, the last one being the newest.
    by_label: HashMap<Box<str>, BTreeMap<u64, Ipv4Addr>>,
    /// The number of the next claim.
    next: u64,
}

impl LeaseNames {
    /// What the lease of `address` claims from now on. A claim that goes on, as
    /// when the lease is renewed, is no new one.
    pub(crate) fn set(&mut self, address: Ipv4Addr, claim: Option<Claim>) {
        if let (Some((_, held)), Some(claim)) = (self.by_address.get_mut(&address), &claim)
            && (&held.label, held.mac) == (&claim.label, claim.mac)
        {
            held.clone_from(claim);
            return;
        }
        if let Some((number, held)) = self.by_address.remove(&address)
            && let Some(claims) = self.by_label.get_mut(&held.label)
        {
            claims.remove(&number);
            if claims.is_empty() {
                self.by_label.remove(&held.label);
            }
        }
        if let Some(claim) = claim {
            let claims = self.by_label.entry(claim.label.clone()).or_default();
            claims.insert(self.next, address);
            self.by_address.insert(address, (self.next, claim));
            self.next += 1;
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.by_address.clear();
        self.by_label.clear();
    }

    /// What the lease of `address` claims at `now`.
    pub(crate) fn of(&self, address: Ipv4Addr, now: Instant) -> Option<&Claim> {
        let (_, claim) = self.by_address.get(&address)?;
        claim.ends.is_none_or(|ends| ends > now).then_some(claim)
    }

    /// Who claims `label` at `now`, the newest first.
    pub(crate) fn claims<'a>(
        &'a self,
        label: &str,
        now: Instant,
    ) -> impl Iterator<Item = (Ipv4Addr, &'a Claim)> {
        let claims = self.by_label.get(label).into_iter().flatten().rev();
        claims.filter_map(move |(_, address)| Some((*address, self.of(*address, now)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn claim(label: &str, mac: u8) -> Claim {
        Claim {
            label: label.into(),
            mac: MacAddr(2, 0, 0, 0, 0, mac),
            client_id: None,
            ends: None,
        }
    }

    fn holder(names: &LeaseNames, label: &str, now: Instant) -> Option<u8> {
        let (address, _) = names.claims(label, now).next()?;
        Some(address.octets()[3])
    }

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    #[test]
    fn the_newest_claim_counts_and_gives_the_name_back() {
        let (mut names, now) = (LeaseNames::default(), Instant::now());
        names.set(address(5), Some(claim("db", 5)));
        names.set(address(6), Some(claim("db", 6)));
        assert_eq!(holder(&names, "db", now), Some(6));
        // A renewal is no new claim.
        names.set(address(5), Some(claim("db", 5)));
        assert_eq!(holder(&names, "db", now), Some(6));
        names.set(address(6), None);
        assert_eq!(holder(&names, "db", now), Some(5));
        names.set(address(5), Some(claim("web", 5)));
        assert_eq!(holder(&names, "db", now), None);
        assert_eq!(holder(&names, "web", now), Some(5));
    }

    #[test]
    fn a_lease_that_has_run_out_claims_nothing() {
        let (mut names, now) = (LeaseNames::default(), Instant::now());
        let ends = Some(now + Duration::from_secs(5));
        names.set(
            address(5),
            Some(Claim {
                ends,
                ..claim("db", 5)
            }),
        );
        assert_eq!(holder(&names, "db", now), Some(5));
        assert_eq!(holder(&names, "db", now + Duration::from_secs(5)), None);
    }

    proptest! {
        #[test]
        fn every_claim_is_found_by_its_address_and_its_label(
            steps in prop::collection::vec((0..6u8, prop::option::of(0..3u8)), 0..60),
        ) {
            let (mut names, now) = (LeaseNames::default(), Instant::now());
            let mut held = HashMap::new();
            for (last, label) in steps {
                let label = label.map(|it| format!("n{it}"));
                names.set(address(last), label.as_deref().map(|it| claim(it, last)));
                held.insert(last, label);
            }
            for n in 0..3 {
                let label = format!("n{n}");
                let mut found: Vec<u8> =
                    names.claims(&label, now).map(|(a, _)| a.octets()[3]).collect();
                found.sort_unstable();
                let mut expected: Vec<u8> = held
                    .iter()
                    .filter(|(_, held)| held.as_deref() == Some(label.as_str()))
                    .map(|(last, _)| *last)
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
