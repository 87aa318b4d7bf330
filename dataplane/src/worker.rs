//! The worker: one thread that carries bursts from receive to transmit. The
//! only module that joins ports and the step.
//!
//! Readiness is edge-triggered. A port that became readable joins the ready
//! list and stays there until it says that it is drained; each round gives
//! every ready port one burst, so a busy port cannot starve a quiet one. With
//! nothing ready the worker sleeps in the poll, with no timer: at rest it makes
//! no wake-ups. Time is read once a round.

use crate::control::{Event, RESPONDER_QUEUE};
use crate::counters::PortCounters;
use crate::forward::{Forwarder, Role, Settings, Verdict};
use crate::frame::finish::Finisher;
use crate::frame::offload::Checksum;
use crate::frame::{BURST, Burst, Frame, Offload, checksum};
use crate::hairpin::Request;
use crate::policy::DropReason;
use crate::port::{CloseReason, Port, Received, Sent, TxFrame};
use crate::table::{MAX_PORTS, PortId, Tick};
use bytes::BytesMut;
use crossbeam_channel::{Receiver, Sender};
use mio::{Events, Poll, Token};
use std::io;
use std::time::{Duration, Instant};

/// The token of the command channel's waker; ports have their numbers.
pub(crate) const WAKER: Token = Token(MAX_PORTS as usize);

/// Something for the worker to do between two rounds.
pub(crate) type Command = Box<dyn FnOnce(&mut Worker) + Send>;

/// A port and what belongs to it.
struct Slot {
    port: Box<dyn Port>,
    counters: PortCounters,
    /// Whether it is in the ready list.
    ready: bool,
    /// Places in the burst of the frames that go out of it.
    queue: Vec<usize>,
    /// Its frames that wait for the responder.
    punted: usize,
}

/// Frames of one port that may wait for the responder: a quarter of all, so
/// that a guest that floods it leaves room for the others.
const PUNTED: usize = RESPONDER_QUEUE / 4;

/// The worker's state, on its thread.
pub(crate) struct Worker {
    poll: Poll,
    commands: Receiver<Command>,
    events: Sender<Event>,
    responder: Option<Sender<Request>>,
    slots: Vec<Option<Slot>>,
    ready: Vec<PortId>,
    /// Ports with a queue to send.
    touched: Vec<PortId>,
    forwarder: Forwarder,
    burst: Burst,
    finisher: Finisher,
    started: Instant,
    now: Tick,
    swept: Tick,
    stopping: bool,
}

impl Worker {
    /// A worker without ports. Frames for the responder go into `responder`;
    /// without one they are dropped.
    pub(crate) fn new(
        poll: Poll,
        settings: Settings,
        commands: Receiver<Command>,
        events: Sender<Event>,
        responder: Option<Sender<Request>>,
    ) -> Self {
        Self {
            poll,
            commands,
            events,
            responder,
            slots: (0..MAX_PORTS).map(|_| None).collect(),
            ready: Vec::with_capacity(MAX_PORTS.into()),
            touched: Vec::with_capacity(MAX_PORTS.into()),
            forwarder: Forwarder::new(settings),
            burst: Burst::default(),
            finisher: Finisher::default(),
            started: Instant::now(),
            now: Tick::default(),
            swept: Tick::default(),
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
            let timeout = (!self.ready.is_empty()).then_some(Duration::ZERO);
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
            self.now = self.tick();
            for event in &events {
                if event.token() == WAKER {
                    while let Ok(command) = self.commands.try_recv() {
                        command(&mut self);
                    }
                } else {
                    self.wake(event);
                }
            }
            self.serve_ready();
            self.sweep();
        }
        Ok(())
    }

    pub(crate) fn add_port(
        &mut self,
        id: PortId,
        role: Role,
        mut port: Box<dyn Port>,
    ) -> io::Result<()> {
        port.register(self.poll.registry(), Token(usize::from(id.0)))?;
        if let Some(slot) = self.slots.get_mut(usize::from(id.0)) {
            *slot = Some(Slot {
                port,
                counters: PortCounters::default(),
                // What arrived before the port was registered raises no event.
                ready: true,
                queue: Vec::with_capacity(BURST),
                punted: 0,
            });
            self.ready.push(id);
            self.forwarder.add_port(id, role);
        }
        Ok(())
    }

    /// Removes a port; dropping it closes its file descriptors, which takes
    /// them out of the poll.
    pub(crate) fn remove_port(&mut self, id: PortId) -> bool {
        let slot = self.slots.get_mut(usize::from(id.0));
        let there = slot.and_then(Option::take).is_some();
        self.forwarder.remove_port(id);
        there
    }

    pub(crate) fn set_offload(&mut self, id: PortId, on: bool) -> io::Result<()> {
        match self.slots.get_mut(usize::from(id.0)) {
            Some(Some(slot)) => slot.port.set_offload(on),
            _ => Ok(()),
        }
    }

    pub(crate) fn counters(&self) -> Vec<(PortId, PortCounters)> {
        (0..)
            .map(PortId)
            .zip(&self.slots)
            .filter_map(|(id, slot)| Some((id, slot.as_ref()?.counters)))
            .collect()
    }

    pub(crate) fn forwarder(&mut self) -> &mut Forwarder {
        &mut self.forwarder
    }

    pub(crate) fn now(&self) -> Tick {
        self.now
    }

    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Sends a complete frame out of one port.
    pub(crate) fn transmit(&mut self, egress: PortId, frame: &[u8]) {
        if let Some(Some(slot)) = self.slots.get_mut(usize::from(egress.0)) {
            transmit_one(slot, frame);
        }
    }

    /// Takes note that the responder has seen to frames of these ports.
    pub(crate) fn responded(&mut self, ingress: impl IntoIterator<Item = PortId>) {
        for id in ingress {
            if let Some(Some(slot)) = self.slots.get_mut(usize::from(id.0)) {
                slot.punted = slot.punted.saturating_sub(1);
            }
        }
    }

    fn tick(&self) -> Tick {
        let tenths = self.started.elapsed().as_millis() / (1000 / u128::from(Tick::PER_SECOND));
        Tick(u32::try_from(tenths).unwrap_or(u32::MAX))
    }

    fn wake(&mut self, event: &mio::event::Event) {
        let Ok(id) = u16::try_from(event.token().0).map(PortId) else {
            return;
        };
        let Some(Some(slot)) = self.slots.get_mut(usize::from(id.0)) else {
            return;
        };
        if event.is_writable() {
            slot.port.writable();
        }
        // An error or a hang-up shows in the next receive.
        if !slot.ready && (event.is_readable() || event.is_error() || event.is_read_closed()) {
            slot.ready = true;
            self.ready.push(id);
        }
    }

    /// Gives every ready port one burst.
    fn serve_ready(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|id| self.serve(*id));
        // Nothing joins the list meanwhile: the poll and commands are done.
        self.ready = ready;
    }

    /// Carries one burst from `ingress`; false when the port is drained.
    fn serve(&mut self, ingress: PortId) -> bool {
        let Some(Some(slot)) = self.slots.get_mut(usize::from(ingress.0)) else {
            return false;
        };
        self.burst.clear();
        let received = slot.port.receive(&mut self.burst);
        slot.counters.rx.drops.merge(self.burst.refused());
        self.forward(ingress);
        self.send_queues();
        match received {
            Received::More => return true,
            Received::Drained => {
                if let Some(Some(slot)) = self.slots.get_mut(usize::from(ingress.0)) {
                    slot.ready = false;
                }
            }
            Received::Closed(reason) => self.close(ingress, reason),
        }
        false
    }

    /// Puts the burst's frames into the queues of their egress ports.
    fn forward(&mut self, ingress: PortId) {
        let Self {
            slots,
            touched,
            forwarder,
            burst,
            responder,
            now,
            ..
        } = self;
        forwarder.begin_burst();
        for (place, frame) in burst.frames().iter().enumerate() {
            let verdict = forwarder.step(frame, ingress, *now);
            let mut drop = None;
            match verdict {
                Verdict::Unicast(egress) => enqueue(slots, touched, egress, place),
                Verdict::Flood(egress) => {
                    for egress in egress.iter() {
                        enqueue(slots, touched, egress, place);
                    }
                }
                Verdict::Punt => {
                    let slot = slots.get_mut(usize::from(ingress.0));
                    let slot = slot.and_then(Option::as_mut);
                    drop = punt(responder.as_ref(), frame, ingress, slot).err();
                }
                Verdict::Drop(reason) => drop = Some(reason),
                Verdict::Answer(answer) => {
                    if let Some(Some(slot)) = slots.get_mut(usize::from(ingress.0)) {
                        transmit_one(slot, answer.bytes());
                    }
                }
            }
            if let Some(Some(slot)) = slots.get_mut(usize::from(ingress.0)) {
                slot.counters.rx.count(frame.len());
                if let Some(reason) = drop {
                    slot.counters.rx.drops.add(reason, 1);
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
                .transmit(queued, slot.port.as_mut(), &mut sent);
            slot.queue.clear();
            slot.counters.tx.merge(&sent);
        }
    }

    fn close(&mut self, id: PortId, reason: CloseReason) {
        self.remove_port(id);
        // The receiver is gone only when the program ends.
        let _ = self.events.send(Event::PortClosed { id, reason });
    }

    /// Takes back slots of aged stations, a part of the table once a second
    /// while there is traffic.
    fn sweep(&mut self) {
        if self.now.since(self.swept) >= Tick::PER_SECOND {
            self.swept = self.now;
            self.forwarder.fdb().sweep(self.now, SWEEP);
        }
    }
}

/// Slots of the FDB looked at in a sweep: a table of the default size is gone
/// through within 16 seconds, and a sweep takes a few microseconds.
const SWEEP: usize = 1024;

fn enqueue(slots: &mut [Option<Slot>], touched: &mut Vec<PortId>, egress: PortId, place: usize) {
    if let Some(Some(slot)) = slots.get_mut(usize::from(egress.0)) {
        if slot.queue.is_empty() {
            touched.push(egress);
        }
        slot.queue.push(place);
    }
}

fn transmit_one(slot: &mut Slot, frame: &[u8]) {
    let mut sent = Sent::default();
    let frame = TxFrame {
        head: frame,
        body: &[],
        offload: Offload::NONE,
    };
    slot.port.transmit(&[frame], &mut sent);
    slot.counters.tx.merge(&sent);
}

/// Hands a copy of `frame`, complete, to the responder.
fn punt(
    responder: Option<&Sender<Request>>,
    frame: &Frame,
    ingress: PortId,
    slot: Option<&mut Slot>,
) -> Result<(), DropReason> {
    let (Some(responder), Some(slot)) = (responder, slot) else {
        return Err(DropReason::ForSwitch);
    };
    if slot.punted >= PUNTED {
        return Err(DropReason::ResponderBusy);
    }
    // No message for the switch itself is a super-frame.
    if frame.offload.gso.is_some() {
        return Err(DropReason::BadOffload);
    }
    let mut bytes = BytesMut::from(frame.bytes());
    if let Checksum::Needed { start, offset } = frame.offload.checksum
        && !checksum::complete(&mut bytes, start.into(), offset.into())
    {
        return Err(DropReason::BadOffload);
    }
    let request = Request {
        frame: bytes.freeze(),
        ingress,
    };
    responder
        .try_send(request)
        .map_err(|_| DropReason::ResponderBusy)?;
    slot.punted += 1;
    Ok(())
}
