//! How the rest of the program talks to the switch.
//!
//! A [`Switch`] runs the worker's thread, and the responder's. Calls travel to
//! the worker over a channel and are carried out between two bursts; each
//! waits for its answer, which takes microseconds.

use crate::MacAddr;
use crate::counters::PortCounters;
use crate::forward::{Role, Settings};
use crate::hairpin::{Request, Responder};
use crate::port::{CloseReason, Port};
use crate::table::fdb::{Entry, FdbFull};
use crate::table::{MAX_PORTS, PortId, PortSet};
use crate::worker::{Command, WAKER, Worker};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use mio::{Poll, Waker};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Frames that may wait for the responder. More are dropped and counted.
pub(crate) const RESPONDER_QUEUE: usize = 1024;

/// Requests that the responder gets in one call at most.
const RESPONDER_BATCH: usize = 256;

/// A running switch. Clones speak to the same one.
#[derive(Debug, Clone)]
pub struct Switch {
    commands: Sender<Command>,
    waker: Arc<Waker>,
    ids: Arc<Mutex<PortIds>>,
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
    /// The worker ended, by [`Switch::stop`] or by an error.
    Stopped(io::Result<()>),
    /// The responder's thread ended: DHCP is not answered any more.
    ResponderStopped,
}

/// Why a call to the switch failed.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The worker's thread has ended.
    #[error("the switch has stopped")]
    Stopped,
    /// As many ports as there can be.
    #[error("the switch has {MAX_PORTS} ports, which is the most it can have")]
    TooManyPorts,
    /// The poll does not take the port.
    #[error("cannot wait for the port's frames")]
    Register(#[source] io::Error),
    /// The FDB has no room for a static entry.
    #[error(transparent)]
    FdbFull(#[from] FdbFull),
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
        settings: Settings,
        responder: impl FnOnce(Self) -> Option<Box<dyn Responder>>,
    ) -> io::Result<(Self, Receiver<Event>)> {
        let poll = Poll::new()?;
        let (commands, inbox) = unbounded();
        let (events, happened) = unbounded();
        let switch = Self {
            commands,
            waker: Arc::new(Waker::new(poll.registry(), WAKER)?),
            ids: Arc::default(),
        };
        let punts = responder(switch.clone())
            .map(|responder| switch.clone().start_responder(responder, events.clone()))
            .transpose()?;
        let worker = Worker::new(poll, settings, inbox, events.clone(), punts);
        thread::Builder::new()
            .name("worker".into())
            .spawn(move || {
                let result = worker.run();
                // The receiver is gone only when the program ends.
                let _ = events.send(Event::Stopped(result));
            })?;
        Ok((switch, happened))
    }

    /// Ends the worker and with it every port. The responder ends once it has
    /// answered what it has.
    pub fn stop(&self) {
        self.post(Worker::stop);
    }

    /// Takes a port in.
    ///
    /// # Errors
    /// [`SwitchError::TooManyPorts`], or [`SwitchError::Register`].
    pub fn add_port(&self, port: Box<dyn Port>, role: Role) -> Result<PortId, SwitchError> {
        let id = self.ids().take().ok_or(SwitchError::TooManyPorts)?;
        let added = self.call(move |worker| worker.add_port(id, role, port));
        match added {
            Ok(Ok(())) => Ok(id),
            Ok(Err(e)) => {
                self.ids().release(id);
                Err(SwitchError::Register(e))
            }
            Err(e) => Err(e),
        }
    }

    /// Takes a port out; false if it had ended already. One that ended on its
    /// own ([`Event::PortClosed`]) keeps its number until it is taken out.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn remove_port(&self, id: PortId) -> Result<bool, SwitchError> {
        let there = self.call(move |worker| worker.remove_port(id))?;
        self.ids().release(id);
        Ok(there)
    }

    /// Whether checksums and segmentation may be left undone on a port's link;
    /// what the port says of it. One that has ended has nothing to say.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn set_offload(&self, id: PortId, on: bool) -> Result<io::Result<()>, SwitchError> {
        self.call(move |worker| worker.set_offload(id, on))
    }

    /// Whether DHCP messages that come in by a port go to the responder. Those
    /// that do not are frames like others.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn set_dhcp(&self, id: PortId, on: bool) -> Result<(), SwitchError> {
        self.call(move |worker| worker.forwarder().set_dhcp(id, on))
    }

    /// What each port has counted.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn counters(&self) -> Result<Vec<(PortId, PortCounters)>, SwitchError> {
        self.call(|worker| worker.counters())
    }

    /// The stations in the MAC table.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn fdb(&self) -> Result<Vec<Entry>, SwitchError> {
        self.call(|worker| {
            let now = worker.now();
            worker.forwarder().fdb().entries(now).collect()
        })
    }

    /// How full the MAC table is.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn fdb_use(&self) -> Result<FdbUse, SwitchError> {
        self.call(|worker| {
            let now = worker.now();
            let fdb = worker.forwarder().fdb();
            FdbUse {
                used: fdb.entries(now).count(),
                size: fdb.capacity(),
                refused: fdb.refused(),
            }
        })
    }

    /// Pins a station to a port.
    ///
    /// # Errors
    /// [`SwitchError::FdbFull`], [`SwitchError::Stopped`].
    pub fn fdb_add(&self, mac: MacAddr, vlan: u16, port: PortId) -> Result<(), SwitchError> {
        self.call(move |worker| {
            let now = worker.now();
            worker.forwarder().fdb().add_static(mac, vlan, port, now)
        })??;
        Ok(())
    }

    /// Forgets a station; false if it was not known.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn fdb_remove(&self, mac: MacAddr, vlan: u16) -> Result<bool, SwitchError> {
        self.call(move |worker| {
            let now = worker.now();
            worker.forwarder().fdb().remove(mac, vlan, now)
        })
    }

    /// Forgets what was learned, behind one port or behind all.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn fdb_flush(&self, port: Option<PortId>) -> Result<(), SwitchError> {
        self.call(move |worker| {
            let fdb = worker.forwarder().fdb();
            match port {
                Some(port) => fdb.flush_port(port),
                None => fdb.flush(),
            }
        })
    }

    /// Changes what holds for the network, but for the size of the FDB.
    ///
    /// # Errors
    /// [`SwitchError::Stopped`].
    pub fn configure(&self, settings: Settings) -> Result<(), SwitchError> {
        self.call(move |worker| worker.forwarder().configure(settings))
    }

    /// Notes who holds the lease of each address, or with `None` that it has
    /// ended, so that ARP requests for it can be answered. Does not wait.
    pub fn bind(&self, leases: Vec<(Ipv4Addr, Option<MacAddr>)>) {
        self.post(move |worker| {
            let arp = worker.forwarder().arp_mut();
            for (address, holder) in leases {
                match holder {
                    Some(mac) => arp.bind(address, mac),
                    None => arp.unbind(address),
                }
            }
        });
    }

    fn start_responder(
        self,
        mut responder: Box<dyn Responder>,
        events: Sender<Event>,
    ) -> io::Result<Sender<Request>> {
        let (punts, inbox) = bounded::<Request>(RESPONDER_QUEUE);
        let serve = move || {
            let _stopped = TellsWhenDropped(events);
            while let Ok(first) = inbox.recv() {
                let mut requests = vec![first];
                requests.extend(inbox.try_iter().take(RESPONDER_BATCH - 1));
                let replies = responder.respond(&requests);
                self.post(move |worker| {
                    worker.responded(requests.iter().map(|request| request.ingress));
                    for reply in &replies {
                        worker.transmit(reply.egress, &reply.frame);
                    }
                });
            }
        };
        thread::Builder::new()
            .name("responder".into())
            .spawn(serve)?;
        Ok(punts)
    }

    /// Has the worker do something, without waiting for it.
    fn post(&self, action: impl FnOnce(&mut Worker) + Send + 'static) {
        // Fails only when the worker has ended, and then there is nothing to do.
        if self.commands.send(Box::new(action)).is_ok() {
            let _ = self.waker.wake();
        }
    }

    /// Has the worker do something and waits for what comes of it.
    fn call<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Worker) -> T + Send + 'static,
    ) -> Result<T, SwitchError> {
        let (answer, answered) = bounded(1);
        self.post(move |worker| {
            let _ = answer.send(action(worker));
        });
        answered.recv().map_err(|_| SwitchError::Stopped)
    }

    fn ids(&self) -> MutexGuard<'_, PortIds> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells that the responder has ended, also where it panicked.
struct TellsWhenDropped(Sender<Event>);

impl Drop for TellsWhenDropped {
    fn drop(&mut self) {
        // The receiver is gone only when the program ends.
        let _ = self.0.send(Event::ResponderStopped);
    }
}

/// The port numbers in use. Numbers go round before one is used again, so a
/// reply under way to a port that has just ended does not reach the next one.
#[derive(Debug, Default)]
struct PortIds {
    used: PortSet,
    next: u16,
}

impl PortIds {
    fn take(&mut self) -> Option<PortId> {
        for _ in 0..MAX_PORTS {
            let id = PortId(self.next);
            self.next = (self.next + 1) % MAX_PORTS;
            if !self.used.contains(id) {
                self.used.insert(id);
                return Some(id);
            }
        }
        None
    }

    fn release(&mut self, id: PortId) {
        self.used.remove(id);
    }
}
