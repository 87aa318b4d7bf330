//! Starting the threads: one a worker, and the responder's.

use super::calls::Handle;
use super::{Event, Switch, Workers};
use crate::clock::Clock;
use crate::forward::{Forwarder, Settings};
use crate::hairpin::Responder;
use crate::hairpin::queue::{self, PuntQueue, Punts};
use crate::notice::Notices;
use crate::port::{Egress, Transmitter};
use crate::table::{Fdb, PortId};
use crate::worker::{Start, WAKER, Worker};
use crossbeam_channel::{Receiver, Sender, unbounded};
use mio::{Poll, Waker};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;

/// What a worker starts with: that of another one.
pub(crate) struct Model {
    pub(crate) forwarder: Forwarder,
    /// The ports, to send out of.
    pub(crate) egress: Vec<(PortId, Arc<dyn Egress>)>,
    /// How long it looks for more after a busy burst, at most.
    pub(crate) polling: Duration,
    pub(crate) notices: Arc<Notices>,
    pub(crate) events: Sender<Event>,
    /// Where frames for the responder go; without it they are dropped.
    pub(crate) punts: Option<Punts>,
}

impl Switch {
    /// Starts a switch without ports. `responder` gets the DHCP messages of
    /// the segment's clients while [`Settings::dhcp`] is on; its replies go
    /// out by themselves. Events arrive at the receiver.
    ///
    /// # Errors
    /// If a poll or a thread cannot be had.
    pub fn start(
        settings: &Settings,
        workers: Workers,
        responder: impl FnOnce(Self) -> Option<Box<dyn Responder>>,
    ) -> io::Result<(Self, Receiver<Event>)> {
        let (events, happened) = unbounded();
        let fdb = Arc::new(Fdb::new(settings.fdb_size, settings.ageing));
        let switch = Self {
            workers: Arc::default(),
            running: Arc::default(),
            fdb: Arc::new(RwLock::new(Arc::clone(&fdb))),
            clock: Clock::start(),
            notices: Arc::new(Notices::waking()?),
            ports: Arc::default(),
        };
        let punts = match responder(switch.clone()) {
            Some(responder) => {
                let (punts, queue) = queue::queue();
                switch
                    .clone()
                    .start_responder(responder, queue, events.clone())?;
                Some(punts)
            }
            None => None,
        };
        for number in 0..workers.count.max(1) {
            let forwarder = Forwarder::sharing(
                settings.clone(),
                Arc::clone(&fdb),
                Arc::clone(&switch.notices),
            );
            let worker = switch.spawn(
                number,
                Model {
                    forwarder,
                    egress: Vec::new(),
                    notices: Arc::clone(&switch.notices),
                    polling: workers.polling,
                    events: events.clone(),
                    punts: punts.clone(),
                },
            )?;
            switch.workers_mut().push(worker);
        }
        Ok((switch, happened))
    }

    /// Starts the worker with this number.
    pub(super) fn spawn(&self, number: usize, model: Model) -> io::Result<Handle> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (commands, inbox) = unbounded();
        let (clock, running) = (self.clock, Arc::clone(&self.running));
        let run = move || {
            let events = model.events.clone();
            let worker = Worker::new(Start {
                transmitter: transmitter(number),
                poll,
                clock,
                commands: inbox,
                model,
            });
            // A panic is a bug, and to be told like an error: the frames of
            // this worker's ports would vanish without a word.
            let result = catch_unwind(AssertUnwindSafe(|| worker.run()))
                .unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
            let last = running.fetch_sub(1, Ordering::AcqRel) == 1;
            if last || result.is_err() {
                // The receiver is gone only when the program ends.
                let _ = events.send(Event::Stopped(result));
            }
        };
        self.running.fetch_add(1, Ordering::AcqRel);
        let thread = thread::Builder::new()
            .name(format!("worker{number}"))
            .spawn(run);
        if let Err(error) = thread {
            self.running.fetch_sub(1, Ordering::AcqRel);
            return Err(error);
        }
        Ok(Handle { commands, waker })
    }

    fn start_responder(
        self,
        mut responder: Box<dyn Responder>,
        queue: PuntQueue,
        events: Sender<Event>,
    ) -> io::Result<()> {
        let serve = move || {
            let _stopped = TellsWhenDropped(events);
            while let Some(requests) = queue.wait(responder.due()) {
                let replies = responder.respond(&requests);
                queue.done(&requests);
                if replies.is_empty() {
                    continue;
                }
                // Any worker reaches every port.
                self.post(0, move |worker| {
                    for reply in &replies {
                        worker.transmit(reply.egress, &reply.frame);
                    }
                });
            }
        };
        thread::Builder::new()
            .name("responder".into())
            .spawn(serve)?;
        Ok(())
    }
}

/// What the worker with this number sends by, made on its thread.
fn transmitter(number: usize) -> Transmitter {
    Transmitter::with_ring(number).unwrap_or_else(|error| {
        if number == 0 {
            tracing::warn!(
                "frames are sent by sendmmsg, which is slower: the kernel gives no io_uring \
                 ({error}; it wants Linux 6.1 and `sysctl kernel.io_uring_disabled=0`)"
            );
        }
        Transmitter::new(number)
    })
}

/// Tells that the responder has ended, also where it panicked.
struct TellsWhenDropped(Sender<Event>);

impl Drop for TellsWhenDropped {
    fn drop(&mut self) {
        // The receiver is gone only when the program ends.
        let _ = self.0.send(Event::ResponderStopped);
    }
}
