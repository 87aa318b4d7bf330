//! What the switch is made of, changed while frames pass: workers come and go,
//! and the MAC table gets another size. No frame is lost by it: what a port has
//! received waits in its link until a worker reads there again.

use super::start::Model;
use super::{Switch, SwitchError};
use crate::port::Ingress;
use crate::table::PortId;
use crate::worker::Worker;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

impl Switch {
    /// Has `count` workers forward from now on, at least one. The ports' queues
    /// are spread over them anew; what was counted stays.
    ///
    /// # Errors
    /// [`SwitchError::Worker`], where there are as many as could be had then, or
    /// [`SwitchError::Register`]; [`SwitchError::Stopped`].
    pub fn set_workers(&self, count: usize) -> Result<(), SwitchError> {
        let count = count.max(1);
        self.add_workers(count)?;
        self.spread_over(count)?;
        let mut workers = self.workers_mut();
        while workers.len() > count {
            let Some(last) = workers.pop() else {
                break;
            };
            let counted = last.call(|worker| {
                worker.stop();
                worker.counters()
            })?;
            let first = workers.first().ok_or(SwitchError::Stopped)?;
            first.call(move |worker| worker.count_in(&counted))?;
        }
        Ok(())
    }

    /// Changes how long a worker looks for more after a busy burst, at most.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn set_polling(&self, bound: Duration) -> Result<(), SwitchError> {
        self.call_each(|_| move |worker: &mut Worker| worker.set_polling(bound))?;
        Ok(())
    }

    /// Gives the MAC table room for `size` stations. Those that it has stay, as
    /// far as they fit in.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn resize_fdb(&self, size: usize) -> Result<(), SwitchError> {
        let old = self.table();
        let new = Arc::new(old.resized(size));
        new.adopt(&old, self.clock.now());
        self.call_each(|_| {
            let new = Arc::clone(&new);
            move |worker: &mut Worker| worker.forwarder().set_fdb(new)
        })?;
        // What a worker has learned meanwhile that still had the old one.
        new.adopt(&old, self.clock.now());
        *self.fdb.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Starts workers until there are `count`, each with what the first one has.
    fn add_workers(&self, count: usize) -> Result<(), SwitchError> {
        let mut workers = self.workers_mut();
        while workers.len() < count {
            let first = workers.first().ok_or(SwitchError::Stopped)?;
            let model: Model = first.call(|worker| worker.model())?;
            let new = self.spawn(workers.len(), model);
            let new = new.map_err(SwitchError::Worker)?;
            // It has made its memory and its io_uring before it gets a port.
            new.call(|_| ())?;
            workers.push(new);
        }
        Ok(())
    }

    /// Has the first `count` workers read all queues.
    fn spread_over(&self, count: usize) -> Result<(), SwitchError> {
        let now: HashMap<PortId, Vec<usize>> = self.ports().readers().into_iter().collect();
        let new = self.ports().respread(count);
        for (id, readers) in new {
            match now.get(&id) {
                Some(now) if *now != readers => self.move_queues(id, now, readers)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Has the queues of a port, which the workers `now` read, read by `new`.
    fn move_queues(&self, id: PortId, now: &[usize], new: Vec<usize>) -> Result<(), SwitchError> {
        let mut taken: HashMap<usize, VecDeque<Box<dyn Ingress>>> = HashMap::new();
        for reader in now {
            if !taken.contains_key(reader) {
                let queues = self.call(*reader, move |worker| worker.give_up(id))?;
                taken.insert(*reader, queues.into());
            }
        }
        if let Some(egress) = self.ports().egress(id) {
            egress.read_by(&new);
        }
        // Each has them in the order of their numbers.
        for (from, to) in now.iter().zip(&new) {
            let queue = taken.get_mut(from).and_then(VecDeque::pop_front);
            if let Some(queue) = queue {
                let received = self.call(*to, move |worker| worker.receive_from(id, queue))?;
                received.map_err(SwitchError::Register)?;
            }
        }
        self.ports().set_readers(id, new);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
