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
        let mut by_load: Vec<usize> = (0..workers).collect();
        by_load.sort_by_key(|worker| load.get(*worker).copied());
        by_load.truncate(port.ingress.len());
        self.egress.insert(id, Arc::clone(&port.egress));
        self.readers.insert(id, by_load.clone());
        Some((id, by_load))
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

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ports").field(&self.used).finish()
    }
}
