//! Frames on their way from the workers to the responder: a bounded queue, of
//! which one port has a quarter at most, so that a guest that floods the
//! responder leaves room for the others.

use super::Request;
use crate::frame::offload::Checksum;
use crate::frame::{Frame, checksum};
use crate::policy::DropReason;
use crate::table::{MAX_PORTS, PortId};
use bytes::BytesMut;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Frames that may wait for the responder. More are dropped and counted.
const QUEUE: usize = 1024;

/// Frames of one port among them.
const SHARE: usize = QUEUE / 4;

/// Requests that the responder gets in one call at most.
const BATCH: usize = 256;

/// The workers' end. Clones speak to the same responder.
#[derive(Debug, Clone)]
pub(crate) struct Punts {
    requests: Sender<Request>,
    waiting: Waiting,
}

/// The responder's end.
#[derive(Debug)]
pub(crate) struct PuntQueue {
    requests: Receiver<Request>,
    waiting: Waiting,
}

/// Frames of each port that wait.
#[derive(Debug, Clone)]
struct Waiting(Arc<[AtomicUsize]>);

/// An empty queue, both ends of it.
pub(crate) fn queue() -> (Punts, PuntQueue) {
    let (sender, receiver) = bounded(QUEUE);
    let waiting = Waiting((0..MAX_PORTS).map(|_| AtomicUsize::new(0)).collect());
    let punts = Punts {
        requests: sender,
        waiting: waiting.clone(),
    };
    let queue = PuntQueue {
        requests: receiver,
        waiting,
    };
    (punts, queue)
}

impl Punts {
    /// Hands a copy of `frame`, complete, to the responder.
    ///
    /// # Errors
    /// [`DropReason::ResponderBusy`] where too many wait,
    /// [`DropReason::BadOffload`] for a frame that cannot be completed.
    pub(crate) fn offer(&self, frame: &Frame, ingress: PortId) -> Result<(), DropReason> {
        let waiting = self.waiting.of(ingress).ok_or(DropReason::ResponderBusy)?;
        if waiting.load(Relaxed) >= SHARE {
            return Err(DropReason::ResponderBusy);
        }
        // No message for the switch itself is a super-frame.
        if frame.offload().gso.is_some() {
            return Err(DropReason::BadOffload);
        }
        let mut bytes = BytesMut::from(frame.bytes());
        if let Checksum::Needed { start, offset } = frame.offload().checksum
            && !checksum::complete(&mut bytes, start.into(), offset.into())
        {
            return Err(DropReason::BadOffload);
        }
        let request = Request {
            frame: bytes.freeze(),
            ingress,
        };
        // Counted before the responder can see to it.
        waiting.fetch_add(1, Relaxed);
        self.requests.try_send(request).map_err(|_| {
            waiting.fetch_sub(1, Relaxed);
            DropReason::ResponderBusy
        })
    }
}

impl PuntQueue {
    /// Waits for requests, for none any longer than to the time `due`; `None`
    /// once the last worker has ended.
    pub(crate) fn wait(&self, due: Option<Instant>) -> Option<Vec<Request>> {
        let first = match due {
            None => self.requests.recv().ok()?,
            Some(due) => match self.requests.recv_deadline(due) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => return Some(Vec::new()),
                Err(RecvTimeoutError::Disconnected) => return None,
            },
        };
        let mut requests = vec![first];
        requests.extend(self.requests.try_iter().take(BATCH - 1));
        Some(requests)
    }

    /// Takes note that these have been seen to.
    pub(crate) fn done(&self, requests: &[Request]) {
        for request in requests {
            if let Some(waiting) = self.waiting.of(request.ingress) {
                waiting.fetch_sub(1, Relaxed);
            }
        }
    }
}

impl Waiting {
    fn of(&self, port: PortId) -> Option<&AtomicUsize> {
        self.0.get(usize::from(port.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Offload;

    #[test]
    fn a_port_that_floods_the_responder_leaves_room_for_the_others() {
        let (punts, queue) = queue();
        let frame = Frame::from_bytes(&[7; 300]);
        let taken = (0..QUEUE).filter(|_| punts.offer(&frame, PortId(1)).is_ok());
        assert_eq!(taken.count(), SHARE);
        assert_eq!(punts.offer(&frame, PortId(2)), Ok(()));

        let mut answered = 0;
        while answered < SHARE {
            let requests = queue.wait(None).unwrap();
            assert!(requests.len() <= BATCH);
            queue.done(&requests);
            answered += requests.len();
        }
        assert_eq!(punts.offer(&frame, PortId(1)), Ok(()));
    }

    #[test]
    fn requests_arrive_with_their_checksum_filled_in() {
        let (punts, queue) = queue();
        let mut frame = Frame::from_bytes(&[1; 64]);
        frame.set_offload(Offload {
            checksum: Checksum::Needed {
                start: 34,
                offset: 6,
            },
            gso: None,
        });
        punts.offer(&frame, PortId(3)).unwrap();
        let requests = queue.wait(None).unwrap();
        let mut want = [1; 64];
        assert!(checksum::complete(&mut want, 34, 6));
        assert_eq!(requests[0].frame[..], want);
        assert_eq!(requests[0].ingress, PortId(3));
    }

    #[test]
    fn the_queue_ends_with_the_last_worker() {
        let (punts, queue) = queue();
        drop(punts);
        assert!(queue.wait(None).is_none());
        assert!(queue.wait(Some(Instant::now())).is_none());
    }

    #[test]
    fn waiting_ends_when_something_is_due() {
        let (punts, queue) = queue();
        let due = Some(Instant::now());
        assert!(queue.wait(due).unwrap().is_empty());
        punts
            .offer(&Frame::from_bytes(&[7; 300]), PortId(1))
            .unwrap();
        assert_eq!(queue.wait(due).unwrap().len(), 1);
    }
}
