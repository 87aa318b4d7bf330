//! Handing a switch over to another process: its workers rest, what they know is
//! told, and a switch elsewhere goes on from there.

use super::{Switch, SwitchError};
use crate::counters::PortCounters;
use crate::port::HandOver;
use crate::table::PortId;
use crate::table::fdb::Entry;
use crate::worker::Worker;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::collections::HashMap;
use std::io;

/// The workers of a switch rest. They go on when this is dropped, and find all
/// that has come in meanwhile.
#[derive(Debug)]
pub struct Paused {
    /// What each port has counted.
    pub counters: Vec<(PortId, PortCounters)>,
    _hold: Sender<()>,
}

impl Switch {
    /// Has all workers rest between two bursts: nothing is received or sent. Calls
    /// to the workers wait meanwhile, so none may be made before the answer is
    /// dropped but [`hand_over`](Self::hand_over).
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn pause(&self) -> Result<Paused, SwitchError> {
        let (hold, go_on) = bounded::<()>(0);
        let (answer, answered) = unbounded();
        let asked = self.post_each(|_| {
            let (answer, go_on) = (answer.clone(), go_on.clone());
            move |worker| rest(worker, &answer, &go_on)
        });
        drop(answer);
        let counted: Vec<_> = answered.iter().take(asked).collect();
        if counted.len() < asked {
            return Err(SwitchError::Stopped);
        }
        Ok(Paused {
            counters: self.ports().sum(counted),
            _hold: hold,
        })
    }

    /// What another process needs to go on with a port. For a use beyond
    /// [`Paused`], as by a service manager that keeps the files, only those count.
    ///
    /// # Errors
    /// Those of [`Egress::hand_over`](crate::port::Egress::hand_over), and
    /// [`io::ErrorKind::NotFound`] for a port that is gone.
    pub fn hand_over(&self, id: PortId) -> io::Result<HandOver> {
        let egress = self.ports().egress(id);
        egress.ok_or(io::ErrorKind::NotFound)?.hand_over()
    }

    /// Has a port go on counting from `counters`, which another process has
    /// counted of its link.
    pub fn count_from(&self, id: PortId, counters: PortCounters) {
        self.ports().count_from(id, counters);
    }

    /// Learns stations that another process knew. Those that do not fit are
    /// left out.
    pub fn remember(&self, stations: &[Entry]) {
        let (now, fdb) = (self.clock.now(), self.table());
        for station in stations {
            fdb.remember(station, now);
        }
    }

    /// Waits until each worker has shown that it gets on with its work, also one
    /// that has none.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn check_in(&self) -> Result<(), SwitchError> {
        self.call_each(|_| |_: &mut Worker| ())?;
        Ok(())
    }
}

/// What one worker has counted.
pub(super) type Counted = Vec<(PortId, PortCounters)>;

fn rest(worker: &mut Worker, answer: &Sender<Counted>, go_on: &Receiver<()>) {
    let _ = answer.send(worker.counters());
    // Nothing is ever sent: it ends when whoever has paused the switch is done.
    let _ = go_on.recv();
}

impl super::Ports {
    pub(super) fn count_from(&mut self, id: PortId, counters: PortCounters) {
        self.counted_before.insert(id, counters);
    }

    /// What the workers have counted and what was counted before, by port.
    pub(super) fn sum(&self, counted: Vec<Counted>) -> Counted {
        let mut ports: HashMap<PortId, PortCounters> = HashMap::new();
        for (id, counters) in counted.into_iter().flatten() {
            ports.entry(id).or_default().add(&counters);
        }
        for (id, before) in &self.counted_before {
            if let Some(counters) = ports.get_mut(id) {
                counters.add(before);
            }
        }
        ports.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
