//! Calls to the workers: an action travels to a worker over its channel and is
//! carried out between two bursts. A *post* goes without waiting, a *call* waits
//! for what comes of it.

use super::{Switch, SwitchError};
use crate::worker::{Command, Worker};
use crossbeam_channel::{Sender, bounded, unbounded};
use mio::Waker;
use std::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard};

/// One worker, to send commands to.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) commands: Sender<Command>,
    pub(super) waker: Waker,
}

impl Switch {
    /// Has a worker do something, without waiting for it.
    pub(super) fn post(&self, worker: usize, action: impl FnOnce(&mut Worker) + Send + 'static) {
        if let Some(worker) = self.workers().get(worker) {
            worker.post(Box::new(action));
        }
    }

    /// Has each worker do something, without waiting for it; says how many that
    /// are.
    pub(super) fn post_each<A: FnOnce(&mut Worker) + Send + 'static>(
        &self,
        action: impl Fn(usize) -> A,
    ) -> usize {
        // None comes or goes meanwhile: a new one has what its model has.
        let workers = self.workers();
        for (number, worker) in workers.iter().enumerate() {
            worker.post(Box::new(action(number)));
        }
        workers.len()
    }

    /// Has a worker do something and waits for what comes of it.
    pub(super) fn call<T: Send + 'static>(
        &self,
        worker: usize,
        action: impl FnOnce(&mut Worker) -> T + Send + 'static,
    ) -> Result<T, SwitchError> {
        let workers = self.workers();
        let worker = workers.get(worker).ok_or(SwitchError::Stopped)?;
        worker.call(action)
    }

    /// Has each worker do something and waits for what comes of it, in no
    /// order.
    pub(super) fn call_each<T, A>(&self, action: impl Fn(usize) -> A) -> Result<Vec<T>, SwitchError>
    where
        T: Send + 'static,
        A: FnOnce(&mut Worker) -> T + Send + 'static,
    {
        let (answer, answered) = unbounded();
        let asked = self.post_each(|number| {
            let (answer, action) = (answer.clone(), action(number));
            move |worker| {
                let _ = answer.send(action(worker));
            }
        });
        drop(answer);
        let answers: Vec<T> = answered.iter().collect();
        if answers.len() < asked {
            return Err(SwitchError::Stopped);
        }
        Ok(answers)
    }

    pub(super) fn workers(&self) -> RwLockReadGuard<'_, Vec<Handle>> {
        self.workers.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn workers_mut(&self) -> RwLockWriteGuard<'_, Vec<Handle>> {
        self.workers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle {
    /// Has the worker do something and waits for what comes of it.
    pub(super) fn call<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Worker) -> T + Send + 'static,
    ) -> Result<T, SwitchError> {
        let (answer, answered) = bounded(1);
        self.post(Box::new(move |worker| {
            let _ = answer.send(action(worker));
        }));
        answered.recv().map_err(|_| SwitchError::Stopped)
    }

    fn post(&self, command: Command) {
        // Fails only when the worker has ended, and then there is nothing to do.
        if self.commands.send(command).is_ok() {
            let _ = self.waker.wake();
        }
    }
}
