//! Does in software what an egress cannot take, on the way out.
//!
//! A frame may go to several ports of mixed ability, so it is never changed:
//! what has to differ is its head, and that is written to scratch memory. The
//! rest is sent from where it lies.

use super::checksum;
use super::offload::Checksum;
use super::segment::{MAX_HEAD, Segments};
use super::{BURST, Frame, Offload};
use crate::policy::DropReason;
use crate::port::{Abilities, Port, Sent, TxFrame};

/// Memory for one rewritten head.
type Slot = [u8; MAX_HEAD];

/// Frames handed to a port in one call at most.
const CHUNK: usize = BURST;

/// Sends frames to a port in the form that it takes. Its memory is allocated
/// once; one serves all ports of a worker.
#[derive(Debug)]
pub struct Finisher {
    slots: Box<[Slot]>,
}

impl Default for Finisher {
    fn default() -> Self {
        Self {
            slots: vec![[0; MAX_HEAD]; CHUNK].into_boxed_slice(),
        }
    }
}

impl Finisher {
    /// Sends `frames` to `port`, in their order. What the port cannot take
    /// unfinished is finished: checksums filled in, super-frames cut. `sent`
    /// counts what left, each segment as a frame.
    ///
    /// A frame whose head to rewrite is longer than [`MAX_HEAD`], or whose
    /// offload contradicts it, is dropped as [`DropReason::BadOffload`].
    pub fn transmit<'f>(
        &mut self,
        frames: impl IntoIterator<Item = &'f Frame>,
        port: &mut dyn Port,
        sent: &mut Sent,
    ) {
        let mut queue = Queue {
            abilities: port.abilities(),
            frames: frames.into_iter(),
            cutting: None,
        };
        loop {
            let mut chunk = [TxFrame {
                head: &[],
                body: &[],
                offload: Offload::NONE,
            }; CHUNK];
            let mut used = 0;
            for (place, slot) in chunk.iter_mut().zip(&mut self.slots) {
                let Some(frame) = queue.next(slot, sent) else {
                    break;
                };
                *place = frame;
                used += 1;
            }
            if let Some(ready) = chunk.get(..used).filter(|ready| !ready.is_empty()) {
                port.transmit(ready, sent);
            }
            if used < CHUNK {
                return;
            }
        }
    }
}

/// What is still to send, and how.
struct Queue<'f, I> {
    abilities: Abilities,
    frames: I,
    /// The super-frame that is being cut.
    cutting: Option<Segments<'f>>,
}

impl<'f, I: Iterator<Item = &'f Frame>> Queue<'f, I> {
    /// The next frame in a form that the egress takes, its head in `slot` if
    /// need be.
    fn next<'s>(&mut self, slot: &'s mut Slot, sent: &mut Sent) -> Option<TxFrame<'s>>
    where
        'f: 's,
    {
        loop {
            if let Some(segments) = &mut self.cutting {
                if let Some(segment) = segments.write_next(slot) {
                    return Some(TxFrame {
                        head: slot.get(..segment.head).unwrap_or_default(),
                        body: segment.body,
                        offload: Offload::NONE,
                    });
                }
                self.cutting = None;
            }

            let frame = self.frames.next()?;
            let bytes = frame.bytes();
            if self.abilities.take(&frame.offload) {
                return Some(TxFrame {
                    head: bytes,
                    body: &[],
                    offload: frame.offload,
                });
            }
            if let Some(gso) = &frame.offload.gso {
                self.cutting = Segments::new(bytes, gso);
                if self.cutting.is_none() {
                    sent.drop(DropReason::BadOffload, 1);
                }
            } else if let Some(body) = complete_head(bytes, frame.offload.checksum, slot) {
                let head = bytes.len() - body.len();
                return Some(TxFrame {
                    head: slot.get(..head).unwrap_or_default(),
                    body,
                    offload: Offload::NONE,
                });
            } else {
                sent.drop(DropReason::BadOffload, 1);
            }
        }
    }
}

/// Copies the head of `frame`, up to and with the checksum field, to `slot` and
/// fills the checksum in. Gives what follows the head; `None` when the field is
/// outside the frame or the slot.
fn complete_head<'f>(frame: &'f [u8], checksum: Checksum, slot: &mut Slot) -> Option<&'f [u8]> {
    let Checksum::Needed { start, offset } = checksum else {
        return None;
    };
    let (start, offset) = (usize::from(start), usize::from(offset));
    let value = checksum::field(frame, start, offset)?;
    let (from, body) = frame.split_at_checked(start + offset + 2)?;
    let head = slot.get_mut(..from.len())?;
    head.copy_from_slice(from);
    *head.last_chunk_mut()? = value.to_be_bytes();
    Some(body)
}
