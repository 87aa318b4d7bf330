//! The ports' numbers, and which worker receives from which port.

use crate::counters::PortCounters;
use crate::port::{Egress, Port};
use crate::table::{MAX_PORTS, PortId, PortSet};
use std::collections::HashMap;
use std::sync::Arc;

/// The ports in use. Numbers go round before one is used again, so a reply
/// under way to a port that has just ended does not reach the next one.
#[derive(Default)]
pub(super) struct Ports {
    used: PortSet,
    next: u16,
    egress: HashMap<PortId, Arc<dyn Egress>>,
    /// The workers that receive from each port.
    readers: HashMap<PortId, Vec<usize>>,
    /// What another process had counted of a port's link.
    pub(super) counted_before: HashMap<PortId, PortCounters>,
}

impl Ports {
    /// Takes note of a port that `workers` workers are to serve: its number,
    /// and which of them receive from its queues. [`None`] where there is no
    /// number left.
    pub(super) fn take(&mut self, port: &Port, workers: usize) -> Option<(PortId, Vec<usize>)> {
        let mut numbers = (0..MAX_PORTS).map(|n| PortId((self.next + n) % MAX_PORTS));
        let id = numbers.find(|id| !self.used.contains(*id))?;
        self.next = (id.0 + 1) % MAX_PORTS;
        self.used.insert(id);
        let mut load = vec![0; workers];
        for reader in self.readers.values().flatten() {
            if let Some(queues) = load.get_mut(*reader) {
                *queues += 1;
            }
        }
        let readers = spread(port.ingress.len(), &[], &mut load);
        self.egress.insert(id, Arc::clone(&port.egress));
        self.readers.insert(id, readers.clone());
        Some((id, readers))
    }

    /// The workers that receive from each port, by queue.
    pub(super) fn readers(&self) -> Vec<(PortId, Vec<usize>)> {
        let readers = self.readers.iter();
        readers
            .map(|(id, readers)| (*id, readers.clone()))
            .collect()
    }

    /// Who is to receive from each port where there are `workers` workers now.
    /// Queues stay with their readers where that is no worse.
    pub(super) fn respread(&self, workers: usize) -> Vec<(PortId, Vec<usize>)> {
        let mut load = vec![0; workers];
        let mut readers = self.readers();
        // Those with more queues first: there is less choice for them.
        readers.sort_unstable_by_key(|(id, now)| (std::cmp::Reverse(now.len()), *id));
        for (_, now) in &mut readers {
            *now = spread(now.len(), now, &mut load);
        }
        readers
    }

    /// Other workers receive from a port from now on.
    pub(super) fn set_readers(&mut self, id: PortId, readers: Vec<usize>) {
        self.readers.insert(id, readers);
    }

    /// The way out of a port that has not been taken out.
    pub(super) fn egress(&self, id: PortId) -> Option<Arc<dyn Egress>> {
        self.egress.get(&id).cloned()
    }

    /// Lets go of the port's way out; its number stays in use.
    pub(super) fn forget_egress(&mut self, id: PortId) {
        self.egress.remove(&id);
    }

    /// The number may go to another port.
    pub(super) fn release(&mut self, id: PortId) {
        self.used.remove(id);
        self.readers.remove(&id);
        self.counted_before.remove(&id);
    }
}

/// Spreads the queues of a port, read by `now` so far, over the workers: each to
/// one that reads the fewest of them, and then the fewest of all ports' (`load`,
/// which grows by these).
fn spread(queues: usize, now: &[usize], load: &mut [usize]) -> Vec<usize> {
    let mut own = vec![0_usize; load.len()];
    let mut readers = Vec::with_capacity(queues);
    for queue in 0..queues {
        let reader = now.get(queue).copied();
        let least = own.iter().zip(load.iter()).enumerate();
        let least = least.min_by_key(|(worker, (own, load))| {
            (**own, **load, reader.is_some_and(|it| it != *worker))
        });
        let chosen = least.map_or(0, |(worker, _)| worker);
        for counts in [&mut own[..], &mut load[..]] {
            if let Some(count) = counts.get_mut(chosen) {
                *count += 1;
            }
        }
        readers.push(chosen);
    }
    readers
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ports").field(&self.used).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_go_to_the_workers_that_have_the_fewest() {
        let mut load = vec![0; 2];
        let one = |load: &mut [usize]| spread(1, &[], load);
        assert_eq!(
            [one(&mut load), one(&mut load), one(&mut load)],
            [[0], [1], [0]]
        );
        assert_eq!(spread(2, &[], &mut load), [1, 0]);
        assert_eq!(load, [3, 2]);
    }

    #[test]
    fn more_workers_share_the_queues_and_fewer_read_several() {
        let mut ports = Ports::default();
        for id in 0..4 {
            ports.set_readers(PortId(id), vec![0]);
        }
        ports.set_readers(PortId(9), vec![0]);
        let shared = ports.respread(2);
        let of = |worker| shared.iter().filter(|(_, it)| *it == [worker]).count();
        assert_eq!((of(0), of(1)), (3, 2));
        for (id, readers) in ports.respread(1) {
            assert_eq!(readers, [0], "{id:?}");
        }
        ports.set_readers(PortId(5), vec![0, 1, 2]);
        let (_, fewer) = ports.respread(2).remove(0);
        assert_eq!(fewer.len(), 3);
        assert!(fewer.contains(&0) && fewer.contains(&1), "{fewer:?}");
    }

    #[test]
    fn a_spread_that_is_even_is_left_as_it_is() {
        let mut ports = Ports::default();
        ports.set_readers(PortId(3), vec![1]);
        ports.set_readers(PortId(4), vec![0]);
        let mut again = ports.respread(2);
        again.sort_unstable();
        assert_eq!(again, [(PortId(3), vec![1]), (PortId(4), vec![0])]);
    }
}
