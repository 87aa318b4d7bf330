//! The ports of a worker: taken in, moved to another worker, and taken out. All
//! between two bursts, by commands.

use super::{Removed, Slot, Worker};
use crate::control::start::Model;
use crate::counters::PortCounters;
use crate::forward::Role;
use crate::port::joined::Joined;
use crate::port::{Egress, Ingress};
use crate::table::PortId;
use mio::Token;
use std::io;
use std::sync::Arc;

impl Worker {
    /// Takes a port in, to send out of.
    pub(crate) fn add_port(&mut self, id: PortId, role: Role, egress: Arc<dyn Egress>) {
        if let Some(slot) = self.slots.get_mut(usize::from(id.0)) {
            *slot = Some(Box::new(Slot::new(egress)));
            self.forwarder.add_port(id, role);
        }
    }

    /// Receives from a queue of a port that it has.
    pub(crate) fn receive_from(
        &mut self,
        id: PortId,
        mut ingress: Box<dyn Ingress>,
    ) -> io::Result<()> {
        if let Some(Some(slot)) = self.slots.get_mut(usize::from(id.0)) {
            ingress.register(self.poll.registry(), Token(usize::from(id.0)))?;
            slot.ingress = Some(match slot.ingress.take() {
                None => ingress,
                Some(other) => {
                    let mut queues = other.into_queues();
                    queues.push(ingress);
                    Box::new(Joined::new(queues))
                }
            });
            // What arrived before it was registered raises no event.
            if !slot.ready {
                slot.ready = true;
                self.ready.push(id);
            }
        }
        Ok(())
    }

    /// Receives from a port no more: gives its queues, for another worker to
    /// read on. It still sends out of the port.
    pub(crate) fn give_up(&mut self, id: PortId) -> Vec<Box<dyn Ingress>> {
        let slot = self.slots.get_mut(usize::from(id.0));
        let Some(slot) = slot.and_then(Option::as_mut).filter(|slot| !slot.closed) else {
            return Vec::new();
        };
        slot.ready = false;
        self.ready.retain(|other| *other != id);
        self.unfinished.retain(|(other, _)| *other != id);
        let Some(mut ingress) = slot.ingress.take() else {
            return Vec::new();
        };
        // One that the poll does not know wakes nobody, either.
        let _ = ingress.deregister(self.poll.registry());
        ingress.into_queues()
    }

    /// What another worker is to start with.
    pub(crate) fn model(&self) -> Model {
        let slots = (0..).map(PortId).zip(&self.slots);
        Model {
            forwarder: self.forwarder.clone(),
            egress: slots
                .filter_map(|(id, slot)| Some((id, Arc::clone(&slot.as_ref()?.egress))))
                .collect(),
            polling: self.polling.bound(),
            notices: Arc::clone(&self.notices),
            events: self.events.clone(),
            punts: self.punts.clone(),
        }
    }

    /// Adds what a worker that is gone has counted.
    pub(crate) fn count_in(&mut self, counted: &[(PortId, PortCounters)]) {
        for (id, counters) in counted {
            if let Some(Some(slot)) = self.slots.get_mut(usize::from(id.0)) {
                slot.counters.add(counters);
            }
        }
    }

    /// Removes a port and gives what belonged to it, to be dropped elsewhere:
    /// closing the last file of a TAP takes the kernel some 15 ms. What still
    /// comes in until then finds nobody.
    pub(crate) fn remove_port(&mut self, id: PortId) -> Option<Removed> {
        let slot = self.slots.get_mut(usize::from(id.0));
        let slot = slot.and_then(Option::take);
        self.forwarder.remove_port(id);
        slot.map(|slot| Removed {
            had_ended: slot.closed,
            _slot: slot,
        })
    }

    pub(crate) fn counters(&self) -> Vec<(PortId, PortCounters)> {
        (0..)
            .map(PortId)
            .zip(&self.slots)
            .filter_map(|(id, slot)| Some((id, slot.as_ref()?.counters)))
            .collect()
    }
}
