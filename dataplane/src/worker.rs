//! A worker: a thread that carries bursts from receive to transmit. The only
//! module that joins ports and the step.
//!
//! The queues that frames come in by are spread over the workers; each worker
//! can send out of every port. What one of them changes for itself it changes
//! without a lock, and its counters are its own: only the MAC table is shared.
//!
//! Readiness is edge-triggered. A port that became readable joins the ready
//! list and stays there until it says that it is drained; each round gives
//! every ready port one burst, so a busy port cannot starve a quiet one. With
//! nothing ready the worker sleeps in the poll, with no timer: at rest it makes
//! no wake-ups. Time is read once a round.

mod ports;

use crate::clock::Clock;
use crate::control::Event;
use crate::control::start::Model;
use crate::counters::PortCounters;
use crate::forward::{Forwarder, Verdict};
use crate::frame::finish::Finisher;
use crate::frame::{BURST, Burst, Frame};
use crate::hairpin::arp;
use crate::hairpin::queue::Punts;
use crate::notice::Notices;
use crate::policy::DropReason;
use crate::polling::Polling;
use crate::port::{CloseReason, Egress, Ingress, Received, Sent, Transmitter};
use crate::table::{MAX_PORTS, PortId, Tick};
use crossbeam_channel::{Receiver, Sender};
use mio::{Events, Poll, Token};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// The token of the command channel's waker; ports have their numbers.
pub(crate) const WAKER: Token = Token(MAX_PORTS as usize);

/// How often a worker looks after frames that were left unfinished: of its own
/// accord it sleeps otherwise.
const UNFINISHED: Duration = Duration::from_millis(100);

/// Something for a worker to do between two rounds.
pub(crate) type Command = Box<dyn FnOnce(&mut Worker) + Send>;

/// What a worker is given to start with.
pub(crate) struct Start {
    pub(crate) transmitter: Transmitter,
    pub(crate) poll: Poll,
    pub(crate) clock: Clock,
    pub(crate) commands: Receiver<Command>,
    pub(crate) model: Model,
}

/// A port as one worker sees it. On cache lines of its own (processors fetch
/// them in pairs), since another worker's counters may be next in memory.
#[repr(align(128))]
struct Slot {
    egress: Arc<dyn Egress>,
    /// The queue that this worker receives from, if it has one of this port; or
    /// several, joined.
    ingress: Option<Box<dyn Ingress>>,
    counters: PortCounters,
    /// Whether it is in the ready list.
    ready: bool,
    /// The link has ended. What was counted stays until the port is removed.
    closed: bool,
    /// Places in the burst of the frames that go out of it.
    queue: Vec<usize>,
}

/// What belonged to a port that was removed.
pub(crate) struct Removed {
    /// Its link had ended before.
    pub(crate) had_ended: bool,
    _slot: Box<Slot>,
}

/// The worker's state, on its thread.
pub(crate) struct Worker {
    poll: Poll,
    polling: Polling,
    commands: Receiver<Command>,
    events: Sender<Event>,
    punts: Option<Punts>,
    slots: Vec<Option<Box<Slot>>>,
    ready: Vec<PortId>,
    /// Ports that have left a frame unfinished, and since when.
    unfinished: Vec<(PortId, Tick)>,
    /// Ports with a queue to send.
    touched: Vec<PortId>,
    forwarder: Forwarder,
    burst: Burst,
    finisher: Finisher,
    /// Memory for what the switch itself sends.
    answer: Frame,
    clock: Clock,
    now: Tick,
    notices: Arc<Notices>,
    /// Frames were dropped since the reader of the notices was last woken.
    dropped: bool,
    stopping: bool,
}

impl Worker {
    /// A worker that receives from no port yet.
    pub(crate) fn new(start: Start) -> Self {
        let model = start.model;
        let mut slots: Vec<_> = (0..MAX_PORTS).map(|_| None).collect();
        for (id, egress) in model.egress {
            if let Some(slot) = slots.get_mut(usize::from(id.0)) {
                *slot = Some(Box::new(Slot::new(egress)));
            }
        }
        Self {
            poll: start.poll,
            polling: Polling::new(model.polling),
            commands: start.commands,
            events: model.events,
            punts: model.punts,
            slots,
            ready: Vec::with_capacity(MAX_PORTS.into()),
            unfinished: Vec::new(),
            touched: Vec::with_capacity(MAX_PORTS.into()),
            forwarder: model.forwarder,
            burst: Burst::default(),
            finisher: Finisher::new(start.transmitter),
            answer: Frame::default(),
            clock: start.clock,
            now: Tick::default(),
            notices: model.notices,
            dropped: false,
            stopping: false,
        }
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// If the poll fails.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        while !self.stopping {
            let wait = self.ready.is_empty() && !self.polling.goes_on();
            let timeout = match (wait, self.unfinished.is_empty()) {
                (false, _) => Some(Duration::ZERO),
                (true, false) => Some(UNFINISHED),
                (true, true) => None,
            };
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
            if events.is_empty() && self.ready.is_empty() && self.unfinished.is_empty() {
                continue;
            }
            self.now = self.clock.now();
            for event in &events {
                if event.token() == WAKER {
                    while let Ok(command) = self.commands.try_recv() {
                        command(&mut self);
                    }
                } else {
                    self.wake(event);
                }
            }
            let frames = self.serve_ready();
            if self.ready.is_empty() {
                self.polling.drained(frames);
            }
            self.take_parts();
            if std::mem::take(&mut self.dropped) {
                self.notices.raise();
            }
            self.forwarder.fdb().sweep_when_due(self.now);
        }
        Ok(())
    }

    /// Polls for no longer than `bound` from now on.
    pub(crate) fn set_polling(&mut self, bound: Duration) {
        self.polling = Polling::new(bound);
    }

    pub(crate) fn forwarder(&mut self) -> &mut Forwarder {
        &mut self.forwarder
    }

    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Sends a complete frame out of one port.
    pub(crate) fn transmit(&mut self, egress: PortId, frame: &[u8]) {
        self.answer.set(frame);
        if let Some(Some(slot)) = self.slots.get_mut(usize::from(egress.0)) {
            slot.transmit(&mut self.finisher, &self.answer);
        }
    }

    /// Looks out for whoever has one of `addresses`. The responder is told at
    /// once who was seen with it lately, as if that station had answered.
    pub(crate) fn look_out_for(&mut self, addresses: &[Ipv4Addr]) {
        let own = self.forwarder.own_mac();
        for address in addresses {
            self.forwarder.arp_mut().watch(*address);
            if let Some((mac, port)) = self.forwarder.seen(*address, self.now)
                && let Some(punts) = &self.punts
            {
                self.answer.set(&arp::reply(mac, *address, own));
                // One that finds no room is missed; the station is asked too.
                let _ = punts.offer(&self.answer, port);
            }
        }
    }

    /// Sends a complete frame of the switch's own out of every port.
    pub(crate) fn flood(&mut self, frame: &[u8]) {
        self.answer.set(frame);
        for slot in self.slots.iter_mut().flatten() {
            slot.transmit(&mut self.finisher, &self.answer);
        }
    }

    fn wake(&mut self, event: &mio::event::Event) {
        let Ok(id) = u16::try_from(event.token().0).map(PortId) else {
            return;
        };
        let Some(Some(slot)) = self.slots.get_mut(usize::from(id.0)) else {
            return;
        };
        if event.is_writable() {
            let mut sent = Sent::default();
            slot.egress.writable(&mut sent);
            self.dropped |= !sent.drops.is_empty();
            slot.counters.tx.merge(&sent);
        }
        // An error or a hang-up shows in the next receive.
        if !slot.ready
            && !slot.closed
            && (event.is_readable() || event.is_error() || event.is_read_closed())
        {
            slot.ready = true;
            self.ready.push(id);
        }
    }

    /// Gives every ready port one burst; says how many frames that were.
    fn serve_ready(&mut self) -> usize {
        let mut ready = std::mem::take(&mut self.ready);
        let mut frames = 0;
        ready.retain(|id| self.serve(*id, &mut frames));
        // Nothing joins the list meanwhile: the poll and commands are done.
        self.ready = ready;
        frames
    }

    /// Carries one burst from `id`; false when the port is drained.
    fn serve(&mut self, id: PortId, frames: &mut usize) -> bool {
        let Some(Some(slot)) = self.slots.get_mut(usize::from(id.0)) else {
            return false;
        };
        let Some(ingress) = &mut slot.ingress else {
            return false;
        };
        self.burst.clear();
        let received = ingress.receive(&mut self.burst);
        slot.counters.rx.drops.merge(self.burst.refused());
        self.dropped |= !self.burst.refused().is_empty();
        *frames += self.burst.frames().len();
        self.forward(id);
        self.send_queues();
        match received {
            Received::More => return true,
            Received::Drained => {
                if let Some(Some(slot)) = self.slots.get_mut(usize::from(id.0)) {
                    slot.ready = false;
                    if slot.ingress.as_ref().is_some_and(|link| link.has_part()) {
                        self.unfinished.push((id, self.now));
                    }
                }
            }
            Received::Closed(reason) => self.close(id, reason),
        }
        false
    }

    /// Takes in the parts of frames that were left unfinished for long.
    fn take_parts(&mut self) {
        let Self {
            unfinished,
            slots,
            now,
            ..
        } = self;
        unfinished.retain(|(id, since)| {
            if now.since(*since) < Tick::PER_SECOND / 5 {
                return true;
            }
            if let Some(Some(slot)) = slots.get_mut(usize::from(id.0))
                && let Some(link) = &mut slot.ingress
                && link.has_part()
            {
                // An error shows in the next receive.
                let _ = link.take_part();
            }
            false
        });
    }

    /// Puts the burst's frames into the queues of their egress ports.
    fn forward(&mut self, ingress: PortId) {
        let Self {
            slots,
            touched,
            forwarder,
            burst,
            finisher,
            answer: sent_back,
            punts,
            now,
            dropped,
            ..
        } = self;
        forwarder.begin_burst();
        for (place, frame) in burst.frames().iter().enumerate() {
            let verdict = forwarder.step(frame, ingress, *now);
            let mut drop = None;
            if forwarder.take_overheard()
                && let Some(punts) = punts
            {
                // One that finds no room is missed as if it had been lost.
                let _ = punts.offer(frame, ingress);
            }
            match verdict {
                Verdict::Unicast(egress) => enqueue(slots, touched, egress, place),
                Verdict::Flood(egress) => {
                    for egress in egress.iter() {
                        enqueue(slots, touched, egress, place);
                    }
                }
                Verdict::Punt => {
                    drop = match punts {
                        Some(punts) => punts.offer(frame, ingress).err(),
                        None => Some(DropReason::ForSwitch),
                    };
                }
                Verdict::Drop(reason) => drop = Some(reason),
                Verdict::Answer(answer) => {
                    if let Some(Some(slot)) = slots.get_mut(usize::from(ingress.0)) {
                        sent_back.set(answer.bytes());
                        slot.transmit(finisher, sent_back);
                    }
                }
            }
            if let Some(Some(slot)) = slots.get_mut(usize::from(ingress.0)) {
                slot.counters.rx.count(frame.len());
                if let Some(reason) = drop {
                    slot.counters.rx.drops.add(reason, 1);
                    *dropped = true;
                }
            }
        }
    }

    /// Sends what [`Worker::forward`] queued.
    fn send_queues(&mut self) {
        let frames = self.burst.frames();
        for egress in self.touched.drain(..) {
            let Some(Some(slot)) = self.slots.get_mut(usize::from(egress.0)) else {
                continue;
            };
            let mut sent = Sent::default();
            let queued = slot.queue.iter().filter_map(|place| frames.get(*place));
            self.finisher
                .transmit(queued, slot.egress.as_ref(), &mut sent);
            slot.queue.clear();
            self.dropped |= !sent.drops.is_empty();
            slot.counters.tx.merge(&sent);
        }
    }

    /// Ends a port whose link is gone: no frame comes from it or goes to it.
    /// Whoever takes note of the event has all workers remove it.
    fn close(&mut self, id: PortId, reason: CloseReason) {
        self.forwarder.remove_port(id);
        if let Some(Some(slot)) = self.slots.get_mut(usize::from(id.0)) {
            slot.closed = true;
        }
        // The receiver is gone only when the program ends.
        let _ = self.events.send(Event::PortClosed { id, reason });
    }
}

fn enqueue(
    slots: &mut [Option<Box<Slot>>],
    touched: &mut Vec<PortId>,
    egress: PortId,
    place: usize,
) {
    if let Some(Some(slot)) = slots.get_mut(usize::from(egress.0)) {
        if slot.queue.is_empty() {
            touched.push(egress);
        }
        slot.queue.push(place);
    }
}

impl Slot {
    /// A port to send out of.
    fn new(egress: Arc<dyn Egress>) -> Self {
        Self {
            egress,
            ingress: None,
            counters: PortCounters::default(),
            ready: false,
            closed: false,
            queue: Vec::with_capacity(BURST),
        }
    }

    /// Sends a complete frame at once.
    fn transmit(&mut self, finisher: &mut Finisher, frame: &Frame) {
        let mut sent = Sent::default();
        finisher.transmit([frame], self.egress.as_ref(), &mut sent);
        self.counters.tx.merge(&sent);
    }
}
