//! What the switch is told of leases: who has which address from now on, in
//! the order in which it came about. The last word on an address counts.

use pnet_base::MacAddr;
use std::net::Ipv4Addr;
use vmlan_dhcp::{Change, Event, Lease, Outcome};

/// An address and who has it; `None`: nobody any more.
pub(super) type Binding = (Ipv4Addr, Option<MacAddr>);

/// What one message brought about at `now`: leases that had run out by then
/// come before what it changed itself.
pub(super) fn of(outcome: &Outcome, now: u64) -> impl Iterator<Item = Binding> {
    expired(&outcome.events).chain(changed(&outcome.changes, now))
}

/// The leases among `events` that ran out.
pub(super) fn expired(events: &[Event]) -> impl Iterator<Item = Binding> {
    events.iter().filter_map(|event| match event {
        Event::Expired { address, .. } => Some((*address, None)),
        _ => None,
    })
}

/// What `changes` came to at `now`.
pub(super) fn changed(changes: &[Change], now: u64) -> impl Iterator<Item = Binding> {
    changes.iter().flat_map(move |change| {
        let ended = change.before.as_ref().map(|lease| (lease.address, None));
        let live = |lease: &&Lease| lease.is_live(now);
        let begun = change.after.as_ref().filter(live);
        ended
            .into_iter()
            .chain(begun.map(|lease| (lease.address, Some(lease.mac))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const NOW: u64 = 1_700_000_000;
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 9);
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 10);

    fn lease(last: u8, address: Ipv4Addr, expiry: u64) -> Lease {
        Lease {
            mac: MacAddr(0x52, 0x54, 0, 0, 0, last),
            address,
            expiry,
            hostname: None,
            client_id: None,
        }
    }

    fn outcome(events: Vec<Event>, changes: Vec<Change>) -> Outcome {
        let answer = vmlan_dhcp::Answer::Silence(vmlan_dhcp::Silence::NoAnswerDue);
        Outcome {
            answer,
            tags: vmlan_dhcp::Tags::default(),
            changes,
            events,
        }
    }

    fn change(before: Option<&Lease>, after: Option<&Lease>) -> Change {
        Change {
            before: before.cloned(),
            after: after.cloned(),
        }
    }

    /// Who has what in the end.
    fn told(outcome: &Outcome) -> HashMap<Ipv4Addr, MacAddr> {
        let last: HashMap<_, _> = of(outcome, NOW).collect();
        last.into_iter()
            .filter_map(|(address, holder)| Some((address, holder?)))
            .collect()
    }

    #[test]
    fn a_client_that_binds_again_just_after_its_lease_ran_out_is_bound() {
        let (old, new) = (lease(1, ADDRESS, NOW), lease(1, ADDRESS, NOW + 9));
        let expired = Event::Expired {
            mac: old.mac,
            address: ADDRESS,
        };
        let outcome = outcome(vec![expired], vec![change(Some(&old), Some(&new))]);
        assert_eq!(told(&outcome), [(ADDRESS, new.mac)].into());
    }

    #[test]
    fn an_address_bound_and_released_in_one_batch_is_nobodys() {
        let (live, over) = (lease(1, ADDRESS, NOW + 9), lease(1, ADDRESS, NOW));
        let bound = change(None, Some(&live));
        let released = outcome(
            vec![],
            vec![bound.clone(), change(Some(&live), Some(&over))],
        );
        assert_eq!(told(&released), HashMap::new());
        let deleted = outcome(vec![], vec![bound, change(Some(&live), None)]);
        assert_eq!(told(&deleted), HashMap::new());
    }

    #[test]
    fn an_address_that_goes_to_another_is_the_others() {
        let (old, new) = (lease(1, ADDRESS, NOW - 9), lease(2, ADDRESS, NOW + 9));
        let taken_over = [change(Some(&old), None), change(None, Some(&new))];
        let outcome = outcome(vec![], taken_over.into());
        assert_eq!(told(&outcome), [(ADDRESS, new.mac)].into());
    }

    #[test]
    fn of_a_client_that_moves_the_former_address_is_nobodys() {
        let (old, new) = (lease(1, ADDRESS, NOW + 9), lease(1, OTHER, NOW + 9));
        let outcome = outcome(vec![], vec![change(Some(&old), Some(&new))]);
        assert_eq!(told(&outcome), [(OTHER, new.mac)].into());
    }
}
