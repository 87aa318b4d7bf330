//! How the rest of the program talks to the switch.
//!
//! A [`Switch`] runs the workers' threads, and the responder's. Calls travel to
//! the workers over channels and are carried out between two bursts; each waits
//! for its answers, which takes microseconds. What concerns the MAC table alone
//! goes to the table, which all threads share.

use crate::MacAddr;
use crate::clock::Clock;
use crate::counters::PortCounters;
use crate::forward::{Role, Settings};
use crate::hairpin::queue::{self, PuntQueue};
use crate::hairpin::{Responder, arp};
use crate::port::{CloseReason, Egress, Port, Transmitter};
use crate::table::fdb::{Entry, FdbFull};
use crate::table::{Fdb, MAX_PORTS, PortId, PortSet};
use crate::worker::{Command, Removed, Start, WAKER, Worker};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use mio::{Poll, Waker};
use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How many threads forward, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// Threads, at least one.
    pub count: usize,
    /// How long one looks for more after a busy burst, at most, before it
    /// sleeps; zero: not at all.
    pub polling: Duration,
}

/// A running switch. Clones speak to the same one.
#[derive(Debug, Clone)]
pub struct Switch {
    workers: Arc<[Handle]>,
    fdb: Arc<Fdb>,
    clock: Clock,
    ports: Arc<Mutex<Ports>>,
}

/// One worker, to send commands to.
#[derive(Debug)]
struct Handle {
    commands: Sender<Command>,
    waker: Waker,
}

/// Something that happened on its own.
#[derive(Debug)]
pub enum Event {
    /// A port ended and is gone.
    PortClosed {
        /// The port.
        id: PortId,
        /// Why.
        reason: CloseReason,
    },
    /// The workers ended, by [`Switch::stop`], or one of them by an error.
    Stopped(io::Result<()>),
    /// The responder's thread ended: DHCP is not answered any more.
    ResponderStopped,
}

/// Why a call to the switch failed.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The workers' threads have ended.
    #[error("the switch has stopped")]
    Stopped,
    /// As many ports as there can be.
    #[error("the switch has {MAX_PORTS} ports, which is the most it can have")]
    TooManyPorts,
    /// A port with more queues than there are workers to read them.
    #[error("{0} workers cannot read more than as many queues of a port")]
    TooManyQueues(usize),
    /// The poll does not take the port.
    #[error("cannot wait for the port's frames")]
    Register(#[source] io::Error),
}

/// Room in the MAC table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdbUse {
    /// Stations in it.
    pub used: usize,
    /// Stations that fit in.
    pub size: usize,
    /// Times that a station was not learned for want of room.
    pub refused: u64,
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
        let (mut handles, mut inboxes) = (Vec::new(), Vec::new());
        for _ in 0..workers.count.max(1) {
            let poll = Poll::new()?;
            let waker = Waker::new(poll.registry(), WAKER)?;
            let (commands, inbox) = unbounded();
            handles.push(Handle { commands, waker });
            inboxes.push((poll, inbox));
        }
        let switch = Self {
            workers: handles.into(),
            fdb: Arc::new(Fdb::new(settings.fdb_size, settings.ageing)),
            clock: Clock::start(),
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
        let running = Arc::new(AtomicUsize::new(inboxes.len()));
        for (number, (poll, commands)) in inboxes.into_iter().enumerate() {
            let (clock, settings, fdb) = (switch.clock, settings.clone(), Arc::clone(&switch.fdb));
            let (events, punts, running) = (events.clone(), punts.clone(), Arc::clone(&running));
            let run = move || {
                let worker = Worker::new(Start {
                    transmitter: transmitter(number),
                    poll,
                    clock,
                    settings,
                    fdb,
                    polling: workers.polling,
                    commands,
                    events: events.clone(),
                    punts,
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
            thread::Builder::new()
                .name(format!("worker{number}"))
                .spawn(run)?;
        }
        Ok((switch, happened))
    }

    /// Ends the workers and with them every port. The responder ends once it
    /// has answered what it has.
    pub fn stop(&self) {
        self.post_each(|_| Worker::stop);
    }

    /// Takes a port in. Its queues are spread over the workers, each to the one
    /// that has the fewest; where it has more queues than there are workers,
    /// the rest cannot be read.
    ///
    /// # Errors
    /// [`SwitchError::TooManyPorts`], [`SwitchError::TooManyQueues`] or
    /// [`SwitchError::Register`].
    pub fn add_port(&self, port: Port, role: Role) -> Result<PortId, SwitchError> {
        if port.ingress.len() > self.workers.len() {
            return Err(SwitchError::TooManyQueues(self.workers.len()));
        }
        let (id, readers) = self
            .ports()
            .take(&port, self.workers.len())
            .ok_or(SwitchError::TooManyPorts)?;
        let added = self.add_port_as(id, port, role, &readers);
        if added.is_err() {
            // What failed is told; that the rest goes as well cannot fail.
            let _ = self.remove_port(id);
        }
        added.map(|()| id)
    }

    fn add_port_as(
        &self,
        id: PortId,
        port: Port,
        role: Role,
        readers: &[usize],
    ) -> Result<(), SwitchError> {
        port.egress.read_by(readers);
        // All can send to it before the first frame comes from it.
        self.call_each(|_| {
            let egress = Arc::clone(&port.egress);
            move |worker: &mut Worker| worker.add_port(id, role, egress)
        })?;
        for (ingress, reader) in port.ingress.into_iter().zip(readers) {
            self.call(*reader, move |worker| worker.receive_from(id, ingress))?
                .map_err(SwitchError::Register)?;
        }
        Ok(())
    }

    /// Takes a port out; false if it had ended already. One that ended on its
    /// own ([`Event::PortClosed`]) is to be taken out as well, and keeps its
    /// number until then.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn remove_port(&self, id: PortId) -> Result<bool, SwitchError> {
        // Nothing but the workers holds the port's files then.
        self.ports().forget_egress(id);
        let removed = self.call_each(|_| move |worker: &mut Worker| worker.remove_port(id))?;
        self.ports().release(id);
        let lives = |port: &Option<Removed>| port.as_ref().is_some_and(|port| !port.had_ended);
        Ok(removed.iter().all(lives))
    }

    /// Whether checksums and segmentation may be left undone on a port's link;
    /// what the port says of it. One that has ended has nothing to say.
    ///
    /// # Errors
    /// What the link says.
    pub fn set_offload(&self, id: PortId, on: bool) -> io::Result<()> {
        let egress = self.ports().egress.get(&id).cloned();
        egress.map_or(Ok(()), |egress| egress.set_offload(on))
    }

    /// Whether DHCP messages that come in by a port go to the responder. Those
    /// that do not are frames like others.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn set_dhcp(&self, id: PortId, on: bool) -> Result<(), SwitchError> {
        self.call_each(|_| move |worker: &mut Worker| worker.forwarder().set_dhcp(id, on))?;
        Ok(())
    }

    /// What each port has counted.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn counters(&self) -> Result<Vec<(PortId, PortCounters)>, SwitchError> {
        let mut ports: HashMap<PortId, PortCounters> = HashMap::new();
        let counted = self.call_each(|_| |worker: &mut Worker| worker.counters())?;
        for (id, counters) in counted.into_iter().flatten() {
            ports.entry(id).or_default().add(&counters);
        }
        Ok(ports.into_iter().collect())
    }

    /// The stations in the MAC table.
    #[must_use]
    pub fn fdb(&self) -> Vec<Entry> {
        self.fdb.entries(self.clock.now()).collect()
    }

    /// How full the MAC table is.
    #[must_use]
    pub fn fdb_use(&self) -> FdbUse {
        FdbUse {
            used: self.fdb.entries(self.clock.now()).count(),
            size: self.fdb.capacity(),
            refused: self.fdb.refused(),
        }
    }

    /// Pins a station to a port.
    ///
    /// # Errors
    /// [`FdbFull`].
    pub fn fdb_add(&self, mac: MacAddr, vlan: u16, port: PortId) -> Result<(), FdbFull> {
        self.fdb.add_static(mac, vlan, port, self.clock.now())
    }

    /// Forgets a station; false if it was not known.
    #[must_use]
    pub fn fdb_remove(&self, mac: MacAddr, vlan: u16) -> bool {
        self.fdb.remove(mac, vlan, self.clock.now())
    }

    /// Forgets what was learned, behind one port or behind all.
    pub fn fdb_flush(&self, port: Option<PortId>) {
        match port {
            Some(port) => self.fdb.flush_port(port),
            None => self.fdb.flush(),
        }
    }

    /// Changes what holds for the network, but for the size of the FDB.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn configure(&self, settings: &Settings) -> Result<(), SwitchError> {
        self.call_each(|_| {
            let settings = settings.clone();
            move |worker: &mut Worker| worker.forwarder().configure(settings)
        })?;
        Ok(())
    }

    /// Notes who holds the lease of each address, or with `None` that it has
    /// ended, so that ARP requests for it can be answered. Does not wait.
    pub fn bind(&self, leases: Vec<(Ipv4Addr, Option<MacAddr>)>) {
        let leases: Arc<[_]> = leases.into();
        self.post_each(|_| {
            let leases = Arc::clone(&leases);
            move |worker| {
                let arp = worker.forwarder().arp_mut();
                for (address, holder) in leases.iter() {
                    match holder {
                        Some(mac) => arp.bind(*address, *mac),
                        None => arp.unbind(*address),
                    }
                }
            }
        });
    }

    /// Asks every station whether it has one of `addresses`, on behalf of the
    /// switch's own address (RFC 5227). Uplinks included: who is behind one
    /// shares the segment. What claims such an address comes up to the responder
    /// ([`claim`](crate::hairpin::arp::claim)) until
    /// [`end_probes`](Self::end_probes), first of all who was seen with it lately.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn probe(&self, addresses: &[Ipv4Addr]) -> Result<(), SwitchError> {
        let addresses: Arc<[Ipv4Addr]> = addresses.into();
        // All look out for replies before the first can come.
        self.call_each(|_| {
            let addresses = Arc::clone(&addresses);
            move |worker: &mut Worker| worker.look_out_for(&addresses)
        })?;
        self.post(0, move |worker| {
            let mac = worker.forwarder().own_mac();
            for address in addresses.iter() {
                worker.flood(&arp::probe(mac, *address));
            }
        });
        Ok(())
    }

    /// Ends what [`probe`](Self::probe) began. Does not wait.
    pub fn end_probes(&self, addresses: Vec<Ipv4Addr>) {
        let addresses: Arc<[_]> = addresses.into();
        self.post_each(|_| {
            let addresses = Arc::clone(&addresses);
            move |worker| {
                let arp = worker.forwarder().arp_mut();
                addresses.iter().for_each(|address| arp.unwatch(*address));
            }
        });
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

    /// Has a worker do something, without waiting for it.
    fn post(&self, worker: usize, action: impl FnOnce(&mut Worker) + Send + 'static) {
        if let Some(worker) = self.workers.get(worker) {
            worker.post(Box::new(action));
        }
    }

    /// Has each worker do something, without waiting for it.
    fn post_each<A: FnOnce(&mut Worker) + Send + 'static>(&self, action: impl Fn(usize) -> A) {
        for (number, worker) in self.workers.iter().enumerate() {
            worker.post(Box::new(action(number)));
        }
    }

    /// Has a worker do something and waits for what comes of it.
    fn call<T: Send + 'static>(
        &self,
        worker: usize,
        action: impl FnOnce(&mut Worker) -> T + Send + 'static,
    ) -> Result<T, SwitchError> {
        let (answer, answered) = bounded(1);
        self.post(worker, move |worker| {
            let _ = answer.send(action(worker));
        });
        answered.recv().map_err(|_| SwitchError::Stopped)
    }

    /// Has each worker do something and waits for what comes of it, in no
    /// order.
    fn call_each<T, A>(&self, action: impl Fn(usize) -> A) -> Result<Vec<T>, SwitchError>
    where
        T: Send + 'static,
        A: FnOnce(&mut Worker) -> T + Send + 'static,
    {
        let (answer, answered) = bounded(self.workers.len());
        self.post_each(|number| {
            let (answer, action) = (answer.clone(), action(number));
            move |worker| {
                let _ = answer.send(action(worker));
            }
        });
        drop(answer);
        let answers: Vec<T> = answered.iter().collect();
        if answers.len() < self.workers.len() {
            return Err(SwitchError::Stopped);
        }
        Ok(answers)
    }

    fn ports(&self) -> MutexGuard<'_, Ports> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle {
    fn post(&self, command: Command) {
        // Fails only when the worker has ended, and then there is nothing to do.
        if self.commands.send(command).is_ok() {
            let _ = self.waker.wake();
        }
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

/// The ports in use. Numbers go round before one is used again, so a reply
/// under way to a port that has just ended does not reach the next one.
#[derive(Default)]
struct Ports {
    used: PortSet,
    next: u16,
    egress: HashMap<PortId, Arc<dyn Egress>>,
    /// The workers that receive from each port.
    readers: HashMap<PortId, Vec<usize>>,
}

impl Ports {
    /// Takes note of a port that `workers` workers are to serve: its number,
    /// and which of them receive from its queues. [`None`] where there is no
    /// number left.
    fn take(&mut self, port: &Port, workers: usize) -> Option<(PortId, Vec<usize>)> {
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

    fn forget_egress(&mut self, id: PortId) {
        self.egress.remove(&id);
    }

    fn release(&mut self, id: PortId) {
        self.used.remove(id);
        self.readers.remove(&id);
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ports").field(&self.used).finish()
    }
}
