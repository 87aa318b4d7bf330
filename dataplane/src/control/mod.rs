//! How the rest of the program talks to the switch.
//!
//! A [`Switch`] runs the workers' threads, and the responder's. Calls travel to
//! the workers over channels and are carried out between two bursts; each waits
//! for its answers, which takes microseconds. What concerns the MAC table alone
//! goes to the table, which all threads share.

mod calls;
mod handover;
mod ports;
mod resize;
pub(crate) mod start;

use crate::MacAddr;
use crate::clock::Clock;
use crate::counters::PortCounters;
use crate::forward::{Role, Settings};
use crate::hairpin::arp;
use crate::notice::Notices;
use crate::port::{CloseReason, Ingress, Port};
use crate::table::fdb::{Entry, FdbFull};
use crate::table::{Fdb, MAX_PORTS, PortId};
use crate::worker::{Removed, Worker};
use calls::Handle;
pub use handover::Paused;
use ports::Ports;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
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
    workers: Arc<RwLock<Vec<Handle>>>,
    /// Workers whose threads run.
    running: Arc<AtomicUsize>,
    /// The table that all workers share.
    fdb: Arc<RwLock<Arc<Fdb>>>,
    clock: Clock,
    notices: Arc<Notices>,
    ports: Arc<Mutex<Ports>>,
}

/// A port that frames are sent to and not received from yet.
pub struct Unread {
    /// Its number.
    pub id: PortId,
    /// Each with the worker that is to read it.
    queues: Vec<(Box<dyn Ingress>, usize)>,
}

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unread").field(&self.id).finish()
    }
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
    /// A worker's thread or poll cannot be had.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
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
        let unread = self.add_unread(port, role)?;
        let id = unread.id;
        self.read(unread)?;
        Ok(id)
    }

    /// As [`add_port`](Self::add_port), but nothing is received from the port
    /// until [`read`](Self::read): so several can be there before the first frame
    /// comes from one of them.
    ///
    /// # Errors
    /// As [`add_port`](Self::add_port).
    pub fn add_unread(&self, port: Port, role: Role) -> Result<Unread, SwitchError> {
        let workers = self.workers().len();
        if port.ingress.len() > workers {
            return Err(SwitchError::TooManyQueues(workers));
        }
        let (id, readers) = self
            .ports()
            .take(&port, workers)
            .ok_or(SwitchError::TooManyPorts)?;
        port.egress.read_by(&readers);
        // All can send to it before the first frame comes from it.
        self.call_each(|_| {
            let egress = Arc::clone(&port.egress);
            move |worker: &mut Worker| worker.add_port(id, role, egress)
        })?;
        let queues = port.ingress.into_iter().zip(readers).collect();
        Ok(Unread { id, queues })
    }

    /// Receives from a port.
    ///
    /// # Errors
    /// [`SwitchError::Register`]; the port is taken out then.
    pub fn read(&self, port: Unread) -> Result<(), SwitchError> {
        let id = port.id;
        let mut queues = port.queues.into_iter();
        let read = queues.try_for_each(|(ingress, reader)| {
            self.call(reader, move |worker| worker.receive_from(id, ingress))?
                .map_err(SwitchError::Register)
        });
        if read.is_err() {
            // What failed is told; that the rest goes as well cannot fail.
            let _ = self.remove_port(id);
        }
        read
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
        let egress = self.ports().egress(id);
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
        let counted = self.call_each(|_| |worker: &mut Worker| worker.counters())?;
        Ok(self.ports().sum(counted))
    }

    /// What the workers see beside forwarding.
    #[must_use]
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    /// The stations in the MAC table.
    #[must_use]
    pub fn fdb(&self) -> Vec<Entry> {
        self.table().entries(self.clock.now()).collect()
    }

    /// How full the MAC table is.
    #[must_use]
    pub fn fdb_use(&self) -> FdbUse {
        let fdb = self.table();
        FdbUse {
            used: fdb.entries(self.clock.now()).count(),
            size: fdb.capacity(),
            refused: fdb.refused(),
        }
    }

    /// Times that a station was not learned for want of room.
    #[must_use]
    pub fn fdb_refused(&self) -> u64 {
        self.table().refused()
    }

    /// Pins a station to a port.
    ///
    /// # Errors
    /// [`FdbFull`].
    pub fn fdb_add(&self, mac: MacAddr, vlan: u16, port: PortId) -> Result<(), FdbFull> {
        self.table().add_static(mac, vlan, port, self.clock.now())
    }

    /// Forgets a station; false if it was not known.
    #[must_use]
    pub fn fdb_remove(&self, mac: MacAddr, vlan: u16) -> bool {
        self.table().remove(mac, vlan, self.clock.now())
    }

    /// Forgets what was learned, behind one port or behind all.
    pub fn fdb_flush(&self, port: Option<PortId>) {
        match port {
            Some(port) => self.table().flush_port(port),
            None => self.table().flush(),
        }
    }

    /// Changes what holds for the network, but for the size of the FDB:
    /// [`resize_fdb`](Self::resize_fdb) does that.
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

    fn table(&self) -> Arc<Fdb> {
        let fdb = self.fdb.read();
        Arc::clone(&fdb.unwrap_or_else(PoisonError::into_inner))
    }

    fn ports(&self) -> MutexGuard<'_, Ports> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
