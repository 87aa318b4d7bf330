//! Does in software what an egress cannot take, on the way out.
//!
//! A frame may go to several ports of mixed ability, so it is never changed:
//! what has to differ is its head, and that is written to scratch memory. The
//! rest is sent from where it lies.

use super::checksum;
use super::offload::Checksum;
use super::segment::{MAX_HEAD, Segments};
use super::transport::SCTP_CHECKSUM;
use super::vnet::LEGACY_LEN;
use super::{BURST, Frame, Offload};
use crate::policy::DropReason;
use crate::port::{Abilities, Egress, Sent, Transmitter, TxFrame};
use arrayvec::ArrayVec;

/// Memory for one rewritten head, behind the virtio-net header of a frame on
/// which nothing is left to do: [`LEGACY_LEN`] zeroes.
type Slot = [u8; LEGACY_LEN + MAX_HEAD];

/// Frames handed to a port in one call at most.
const CHUNK: usize = BURST;

/// Sends frames to a port in the form that it takes. Its memory is allocated
/// once; one serves all ports of a worker.
#[derive(Debug)]
pub struct Finisher {
    /// One for each frame of a chunk.
    slots: Box<[Slot; CHUNK]>,
    transmitter: Transmitter,
}

impl Finisher {
    /// A finisher that sends by `transmitter`.
    #[must_use]
    pub fn new(transmitter: Transmitter) -> Self {
        Self {
            slots: Box::new([[0; LEGACY_LEN + MAX_HEAD]; CHUNK]),
            transmitter,
        }
    }

    /// Sends `frames` to `egress`, in their order. What it cannot take
    /// unfinished is finished: checksums filled in, super-frames cut. `sent`
    /// counts what left, each segment as a frame.
    ///
    /// A frame whose head to rewrite is longer than [`MAX_HEAD`], or whose
    /// offload contradicts it, is dropped as [`DropReason::BadOffload`].
    pub fn transmit<'f>(
        &mut self,
        frames: impl IntoIterator<Item = &'f Frame>,
        egress: &dyn Egress,
        sent: &mut Sent,
    ) {
        let mut queue = Queue {
            abilities: egress.abilities(),
            frames: frames.into_iter(),
            cutting: None,
        };
        loop {
            let mut chunk = ArrayVec::<TxFrame<'_>, CHUNK>::new();
            chunk.extend(
                self.slots
                    .iter_mut()
                    .map_while(|slot| queue.next(slot, sent)),
            );
            if !chunk.is_empty() {
                egress.transmit(&mut self.transmitter, &chunk, sent);
            }
            if !chunk.is_full() {
                return;
            }
            if sent.full {
                // Cutting for an egress that takes no more is time that the
                // other ports wait.
                return queue.give_up(sent);
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
    /// Counts what is left as dropped, each segment as a frame.
    fn give_up(self, sent: &mut Sent) {
        let cutting = self.cutting.map_or(0, |segments| segments.left());
        let waiting: usize = self
            .frames
            .map(|frame| {
                if self.abilities.take(frame.offload()) {
                    1
                } else {
                    frame.offload().segments(frame.len())
                }
            })
            .sum();
        sent.drop(DropReason::EgressFull, cutting + waiting);
    }

    /// The next frame in a form that the egress takes, its head in `slot` if
    /// need be.
    #[inline]
    fn next<'s>(&mut self, slot: &'s mut Slot, sent: &mut Sent) -> Option<TxFrame<'s>>
    where
        'f: 's,
    {
        loop {
            if let Some(segments) = &mut self.cutting {
                let head = slot.get_mut(LEGACY_LEN..).unwrap_or_default();
                if let Some(segment) = segments.write_next(head) {
                    return Some(finished(slot, segment.head, segment.body));
                }
                self.cutting = None;
            }

            let frame = self.frames.next()?;
            let bytes = frame.bytes();
            if self.abilities.take(frame.offload()) {
                return Some(TxFrame::whole(frame));
            }
            if let Some(gso) = &frame.offload().gso {
                self.cutting = Segments::new(bytes, gso);
                if self.cutting.is_none() {
                    sent.drop(DropReason::BadOffload, 1);
                }
            } else if let Some(body) = complete_head(bytes, frame.offload().checksum, slot) {
                return Some(finished(slot, bytes.len() - body.len(), body));
            } else {
                sent.drop(DropReason::BadOffload, 1);
            }
        }
    }
}

/// A frame on which nothing is left to do: the first `head` bytes of a slot,
/// and `body`.
fn finished<'a>(slot: &'a Slot, head: usize, body: &'a [u8]) -> TxFrame<'a> {
    TxFrame {
        framed: slot.get(..LEGACY_LEN + head).unwrap_or_default(),
        body,
        offload: Offload::NONE,
    }
}

/// Copies the head of `frame`, up to and with the checksum field, to `slot` and
/// fills the checksum in. Gives what follows the head; `None` when the field is
/// outside the frame or the slot.
fn complete_head<'f>(frame: &'f [u8], checksum: Checksum, slot: &mut Slot) -> Option<&'f [u8]> {
    match checksum {
        Checksum::Needed { start, offset } => {
            let (start, offset) = (usize::from(start), usize::from(offset));
            let value = checksum::field(frame, start, offset)?;
            fill_in(frame, start + offset, value.to_be_bytes(), slot)
        }
        Checksum::NeededCrc32c { start } => {
            let start = usize::from(start);
            let value = checksum::crc32c_field(frame, start)?;
            fill_in(frame, start + SCTP_CHECKSUM, value, slot)
        }
        Checksum::Complete | Checksum::Verified => None,
    }
}

/// Copies `frame` up to `at` to `slot`, `value` behind it, and gives what follows
/// in `frame`.
fn fill_in<'f, const N: usize>(
    frame: &'f [u8],
    at: usize,
    value: [u8; N],
    slot: &mut Slot,
) -> Option<&'f [u8]> {
    let (from, body) = frame.split_at_checked(at + N)?;
    let head = slot.get_mut(LEGACY_LEN..)?.get_mut(..from.len())?;
    head.copy_from_slice(from);
    *head.last_chunk_mut()? = value;
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::samples::tunnelled::tunnelled;
    use crate::frame::samples::{self, Sample};
    use crate::frame::vnet::{self, VnetHeader};
    use proptest::prelude::*;
    use std::sync::Mutex;

    /// Keeps what it is given.
    struct Recorder {
        abilities: Abilities,
        /// Frames that fit; further ones find it full.
        room: usize,
        given: Mutex<Given>,
    }

    #[derive(Default)]
    struct Given {
        frames: Vec<(Vec<u8>, Offload)>,
        longest_call: usize,
        calls: usize,
    }

    impl Recorder {
        fn taking(abilities: Abilities) -> Self {
            Self {
                abilities,
                room: usize::MAX,
                given: Mutex::default(),
            }
        }

        fn given(self) -> Given {
            self.given.into_inner().unwrap()
        }
    }

    impl Egress for Recorder {
        fn abilities(&self) -> Abilities {
            self.abilities
        }

        fn transmit(&self, _: &mut Transmitter, frames: &[TxFrame<'_>], sent: &mut Sent) {
            let mut given = self.given.lock().unwrap();
            given.calls += 1;
            given.longest_call = given.longest_call.max(frames.len());
            for frame in frames {
                if given.frames.len() == self.room {
                    sent.drop(DropReason::EgressFull, 1);
                    continue;
                }
                given
                    .frames
                    .push(([frame.head(), frame.body].concat(), frame.offload));
                sent.count(frame);
            }
        }
    }

    const ALL: Abilities = Abilities {
        checksum: true,
        tso4: true,
        tso6: true,
        uso: true,
    };

    fn received(sample: &Sample, size: u16) -> Frame {
        let mut frame = Frame::from_bytes(&sample.frame);
        frame.set_offload(Offload::from_vnet(&sample.vnet(size), frame.bytes()).unwrap());
        frame
    }

    fn numbered(number: u8) -> Frame {
        Frame::from_bytes(&[number; 60])
    }

    /// A frame whose checksum field ends at `end`.
    fn needing(end: u16) -> Frame {
        let mut frame = Frame::from_bytes(&[7; 1000]);
        frame.set_offload(Offload {
            checksum: Checksum::Needed {
                start: end - 2,
                offset: 0,
            },
            gso: None,
        });
        frame
    }

    #[test]
    fn more_frames_than_a_call_takes_leave_in_order() {
        let frames: Vec<Frame> = (0..150).map(numbered).collect();
        let port = Recorder::taking(Abilities::NONE);
        let mut sent = Sent::default();
        Finisher::new(Transmitter::new(0)).transmit(&frames, &port, &mut sent);
        let port = port.given();
        let order: Vec<u8> = port.frames.iter().map(|(bytes, _)| bytes[0]).collect();
        assert!(order.into_iter().eq(0..150));
        assert_eq!((sent.frames, sent.bytes), (150, 150 * 60));
        assert_eq!(port.longest_call, CHUNK);
    }

    #[test]
    fn nothing_is_cut_for_an_egress_that_is_full_and_all_is_counted() {
        let mut bytes = Vec::new();
        etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10; 4], [11; 4], 64)
            .tcp(1, 2, 3, 4)
            .write(&mut bytes, &[0; 64 * 1000])
            .unwrap();
        let header = VnetHeader {
            flags: vnet::F_NEEDS_CSUM,
            gso_type: vnet::GSO_TCPV4,
            gso_size: 64.into(),
            csum_start: 34.into(),
            csum_offset: 16.into(),
            ..VnetHeader::NONE
        };
        let mut cut = Frame::from_bytes(&bytes);
        cut.set_offload(Offload::from_vnet(&header, &bytes).unwrap());
        let frames = [cut.clone(), cut, numbered(1)];
        let mut port = Recorder::taking(Abilities::NONE);
        port.room = 10;
        let mut sent = Sent::default();
        Finisher::new(Transmitter::new(0)).transmit(&frames, &port, &mut sent);
        let port = port.given();
        assert_eq!(sent.frames, 10);
        assert_eq!(sent.drops.get(DropReason::EgressFull), 2001 - 10);
        assert_eq!(port.calls, 1, "the rest is not even cut");
    }

    #[test]
    fn a_head_too_long_to_rewrite_is_dropped_and_the_others_leave() {
        let most = u16::try_from(MAX_HEAD).unwrap();
        let frames = [numbered(1), needing(most + 1), needing(most), numbered(2)];
        let port = Recorder::taking(Abilities::NONE);
        let mut sent = Sent::default();
        Finisher::new(Transmitter::new(0)).transmit(&frames, &port, &mut sent);
        let port = port.given();
        let order: Vec<u8> = port.frames.iter().map(|(bytes, _)| bytes[0]).collect();
        assert_eq!(order, [1, 7, 2]);
        assert_eq!(sent.drops.get(DropReason::BadOffload), 1);
        assert_eq!(sent.frames, 3);
    }

    #[test]
    fn sctp_leaves_with_its_crc_whatever_the_port_takes() {
        let mut frame = Frame::from_bytes(&[7; 100]);
        frame.set_offload(Offload {
            checksum: Checksum::NeededCrc32c { start: 34 },
            gso: None,
        });
        let port = Recorder::taking(ALL);
        Finisher::new(Transmitter::new(0)).transmit([&frame], &port, &mut Sent::default());
        let port = port.given();
        let (bytes, offload) = &port.frames[0];
        assert_eq!(*offload, Offload::NONE);
        let mut want = [7; 100];
        let crc = checksum::crc32c_field(&want, 34).unwrap();
        want[42..46].copy_from_slice(&crc);
        assert_eq!(bytes[..], want);
    }

    #[test]
    fn nothing_to_send_does_not_call_the_port() {
        let port = Recorder::taking(ALL);
        let frames: [Frame; 0] = [];
        Finisher::new(Transmitter::new(0)).transmit(&frames, &port, &mut Sent::default());
        let port = port.given();
        assert_eq!(port.longest_call, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_able_port_gets_the_frames_as_they_are(
            packets in prop::collection::vec((samples::packet(), 500..3000_u16), 0..5),
        ) {
            let frames: Vec<Frame> = packets
                .iter()
                .map(|(packet, size)| received(&packet.build(), *size))
                .collect();
            let port = Recorder::taking(ALL);
            Finisher::new(Transmitter::new(0)).transmit(&frames, &port, &mut Sent::default());
            let port = port.given();
            prop_assert_eq!(port.frames.len(), frames.len());
            for (frame, (bytes, offload)) in frames.iter().zip(&port.frames) {
                prop_assert_eq!(frame.bytes(), bytes);
                prop_assert_eq!(frame.offload(), offload);
            }
        }

        #[test]
        fn the_checksum_of_a_tunnel_is_right_once_that_inside_is_filled_in(
            packet in tunnelled(),
        ) {
            let frame = received(&packet.build(), 0);
            let port = Recorder::taking(Abilities::NONE);
            Finisher::new(Transmitter::new(0)).transmit([&frame], &port, &mut Sent::default());
            let port = port.given();
            let (bytes, offload) = &port.frames[0];
            prop_assert_eq!(*offload, Offload::NONE);
            let carried = packet.verify(bytes);
            let mut inside = packet.inner();
            let header = inside.vnet(0);
            let (start, offset) = (header.csum_start.get(), header.csum_offset.get());
            prop_assert!(checksum::complete(&mut inside.frame, start.into(), offset.into()));
            samples::verify(&inside.frame);
            prop_assert_eq!(carried, packet.carried(&inside.frame));
        }

        #[test]
        fn a_port_without_abilities_gets_finished_frames_in_order(
            packets in prop::collection::vec((samples::packet(), 0..3000_u16, 0..3_usize), 0..5),
            checksum: bool,
        ) {
            let mut frames = Vec::new();
            let (mut payload, mut count) = (Vec::new(), 0);
            for (packet, size, tags) in &packets {
                let sample = packet.build();
                let size = if *size < 200 { 0 } else { *size };
                let mut frame = received(&sample, size);
                // Two tags in all: a third is not looked behind.
                for _ in 0..(*tags).min((22 - sample.network) / 4) {
                    frame.insert_vlan_tag(0x8100, 9);
                }
                count += frame.offload().segments(frame.len());
                payload.extend(&sample.frame[sample.payload..]);
                frames.push(frame);
            }
            let before = frames.clone();
            let port = Recorder::taking(Abilities { checksum, ..Abilities::NONE });
            let mut sent = Sent::default();
            Finisher::new(Transmitter::new(0)).transmit(&frames, &port, &mut sent);
            let port = port.given();
            prop_assert_eq!(port.frames.len(), count);
            prop_assert_eq!(sent.frames, u64::try_from(count).unwrap());
            let mut arrived = Vec::new();
            for (mut bytes, offload) in port.frames {
                if let Checksum::Needed { start, offset } = offload.checksum {
                    prop_assert!(checksum);
                    prop_assert!(checksum::complete(&mut bytes, start.into(), offset.into()));
                }
                prop_assert_eq!(offload.gso, None);
                arrived.extend(samples::verify(&bytes));
            }
            prop_assert!(arrived == payload);
            for (before, after) in before.iter().zip(&frames) {
                prop_assert_eq!(before.bytes(), after.bytes());
            }
        }
    }
}
