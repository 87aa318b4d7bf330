//! Transfers to a client of the RFCs over a line that loses, doubles and
//! delays packets.

use super::*;
use crate::tftp::content::Content;
use crate::tftp::options::agree;
use crate::tftp::packet::{Mode, begin_data};
use proptest::prelude::*;
use std::collections::VecDeque;

fn agreed(window: u16) -> Agreed {
    Agreed {
        block: 8,
        window,
        timeout: None,
        packet: None,
    }
}

fn ack(transfer: &mut Transfer, block: u16, now: Instant) -> Step {
    transfer.receive(&Packet::Ack(block), now)
}

#[test]
fn each_block_waits_for_the_one_before() {
    let now = Instant::now();
    let (mut transfer, first) = Transfer::begin(&agreed(1), now);
    assert_eq!(first, Step::Blocks(1..=1));
    assert!(!transfer.is_heard());
    assert_eq!(ack(&mut transfer, 1, now), Step::Blocks(2..=2));
    assert!(transfer.is_heard());
    transfer.ends_with(2);
    assert_eq!(ack(&mut transfer, 2, now), Step::End(End::Complete));
}

#[test]
fn an_acknowledgement_that_comes_twice_is_answered_once() {
    let now = Instant::now();
    let (mut transfer, _) = Transfer::begin(&agreed(1), now);
    assert_eq!(ack(&mut transfer, 1, now), Step::Blocks(2..=2));
    for old in [1, 0, 3, 65_535] {
        assert_eq!(ack(&mut transfer, old, now), Step::Wait, "{old}");
    }
    assert_eq!(ack(&mut transfer, 2, now), Step::Blocks(3..=3));
}

#[test]
fn a_window_goes_on_behind_what_has_arrived() {
    let now = Instant::now();
    let (mut transfer, first) = Transfer::begin(&agreed(4), now);
    assert_eq!(first, Step::Blocks(1..=4));
    assert_eq!(ack(&mut transfer, 2, now), Step::Blocks(3..=6));
    transfer.ends_with(5);
    assert_eq!(ack(&mut transfer, 6, now), Step::Wait);
    assert_eq!(ack(&mut transfer, 4, now), Step::Blocks(5..=5));
    assert_eq!(ack(&mut transfer, 5, now), Step::End(End::Complete));
}

#[test]
fn options_are_acknowledged_before_the_first_block() {
    let now = Instant::now();
    let agreed = Agreed {
        packet: Some(vec![0, 6]),
        ..agreed(2)
    };
    let (mut transfer, first) = Transfer::begin(&agreed, now);
    assert_eq!(first, Step::Options);
    assert_eq!(ack(&mut transfer, 1, now), Step::Wait);
    assert_eq!(transfer.expired(now + TIMEOUT), Step::Options);
    assert_eq!(ack(&mut transfer, 0, now), Step::Blocks(1..=2));
    assert_eq!(ack(&mut transfer, 0, now), Step::Wait);
}

#[test]
fn waits_grow_and_end() {
    let start = Instant::now();
    let (mut transfer, _) = Transfer::begin(&agreed(1), start);
    let mut waits = Vec::new();
    let mut now = start;
    let end = loop {
        let at = transfer.deadline();
        assert_eq!(transfer.expired(at - Duration::from_nanos(1)), Step::Wait);
        waits.push((at - now).as_secs());
        now = at;
        match transfer.expired(now) {
            Step::End(end) => break end,
            step => assert_eq!(step, Step::Blocks(1..=1)),
        }
    };
    assert_eq!((end, waits), (End::TimedOut, vec![1, 2, 4, 3]));
    assert_eq!(now - start, GIVE_UP_UNHEARD);
}

#[test]
fn a_client_that_was_heard_may_be_silent_for_longer() {
    let start = Instant::now();
    let (mut transfer, _) = Transfer::begin(&agreed(1), start);
    assert_eq!(ack(&mut transfer, 1, start), Step::Blocks(2..=2));
    transfer.ends_with(2);
    let mut sent = 0;
    let end = loop {
        match transfer.expired(transfer.deadline()) {
            Step::End(end) => break end,
            step => assert_eq!(step, Step::Blocks(2..=2)),
        }
        sent += 1;
    };
    // All of it was sent, so it has the file for all we know.
    assert_eq!(end, End::Unconfirmed);
    assert_eq!(transfer.deadline(), start + GIVE_UP);
    assert_eq!(sent, 17);
}

#[test]
fn a_client_ends_it_by_an_error_or_by_what_does_not_belong_there() {
    let now = Instant::now();
    let (mut transfer, _) = Transfer::begin(&agreed(1), now);
    let error = Packet::Error {
        code: 8,
        message: b"no",
    };
    let end = End::Aborted {
        code: 8,
        message: b"no".to_vec(),
    };
    assert_eq!(transfer.receive(&error, now), Step::End(end));
    let end = Step::End(End::Illegal);
    assert_eq!(transfer.receive(&Packet::Unexpected, now), end);
    assert_eq!(transfer.receive(&Packet::Write, now), end);
}

/// A block's number as it is on the wire.
fn low_bits(number: u64) -> u16 {
    let [.., high, low] = number.to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// A client by RFC 1350 and 7440.
#[derive(Debug, Default)]
struct Client {
    file: Vec<u8>,
    /// Blocks that it has.
    have: u64,
    /// Blocks since its last acknowledgement.
    since: u16,
    done: bool,
}

impl Client {
    /// What it answers to the block with the low bits `number`.
    fn receive(&mut self, number: u16, block: &[u8], window: u16, size: usize) -> Option<u16> {
        let expected = low_bits(self.have + 1);
        if self.done || number != expected {
            // A gap, or a block that it has: it says what it has.
            let gap = number.wrapping_sub(expected) < 0x8000;
            return (gap || self.done || window == 1).then_some(low_bits(self.have));
        }
        self.file.extend(block);
        self.have += 1;
        self.since += 1;
        self.done = block.len() < size;
        let full = self.since >= window || self.done;
        full.then(|| {
            self.since = 0;
            low_bits(self.have)
        })
    }
}

/// What happens to a packet on the line.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Arrives,
    IsLost,
    IsDoubled,
    /// It arrives behind those that are sent after it.
    IsLate,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Arrives),
        1 => Just(Fate::IsLost),
        1 => Just(Fate::IsDoubled),
        1 => Just(Fate::IsLate),
    ]
}

/// A line in one direction.
struct Line<'a, T> {
    packets: VecDeque<T>,
    late: Vec<T>,
    fates: &'a mut dyn Iterator<Item = Fate>,
}

impl<T: Clone> Line<'_, T> {
    fn send(&mut self, packet: T) {
        match self.fates.next().unwrap_or(Fate::Arrives) {
            Fate::Arrives => self.packets.push_back(packet),
            Fate::IsLost => {}
            Fate::IsDoubled => self.packets.extend([packet.clone(), packet]),
            Fate::IsLate => return self.late.push(packet),
        }
        self.packets.extend(self.late.drain(..));
    }
}

proptest! {
    #[test]
    fn over_a_bad_line_the_file_arrives_whole(
        file in prop::collection::vec(any::<u8>(), 0..600),
        window in 1..12u16,
        fates in prop::collection::vec(fate(), 0..200),
        late_start in 0..2u64,
    ) {
        let size = 8;
        let agreed = agreed(window);
        let mut content = Content::new(file.clone(), file.len() as u64, Mode::Octet, size);
        let mut now = Instant::now();
        let (mut transfer, mut step) = Transfer::begin(&agreed, now);
        let mut client = Client::default();
        // Some start just before their numbers roll over.
        let skipped = late_start * 65_530;
        transfer.acked += skipped;
        transfer.sent += skipped;
        client.have += skipped;
        if late_start > 0 {
            step = transfer.blocks();
        }

        let mut fates = fates.into_iter();
        let fates: &mut dyn Iterator<Item = Fate> = &mut fates;
        let mut to_client: VecDeque<(u16, Vec<u8>)> = VecDeque::new();
        let mut acks: VecDeque<u16> = VecDeque::new();
        let mut steps = 0;
        let end = loop {
            steps += 1;
            prop_assert!(steps < 100_000, "no end");
            match step {
                Step::End(end) => break end,
                Step::Options => panic!("no options were asked for"),
                Step::Wait => {}
                Step::Blocks(blocks) => {
                    let packets = std::mem::take(&mut to_client);
                    let mut line = Line { packets, late: Vec::new(), fates: &mut *fates };
                    for number in blocks {
                        let mut packet = Vec::new();
                        begin_data(&mut packet, number);
                        let last = content.block(number - skipped, &mut packet).unwrap();
                        line.send((low_bits(number), packet.split_off(4)));
                        if last {
                            transfer.ends_with(number);
                            break;
                        }
                    }
                    to_client = line.packets;
                }
            }
            if acks.is_empty() {
                let mut line = Line { packets: VecDeque::new(), late: Vec::new(), fates: &mut *fates };
                for (number, block) in to_client.drain(..) {
                    if let Some(ack) = client.receive(number, &block, window, size.into()) {
                        line.send(ack);
                    }
                }
                acks = line.packets;
            }
            step = match acks.pop_front() {
                Some(ack) => transfer.receive(&Packet::Ack(ack), now),
                None => {
                    now = transfer.deadline();
                    transfer.expired(now)
                }
            };
        };
        match end {
            End::Complete => {
                prop_assert!(client.done);
                prop_assert_eq!(client.file, file);
            }
            End::Unconfirmed | End::TimedOut => {}
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn any_packets_at_any_time_keep_to_the_window(
        window in 1..40u16,
        last in 1..200u64,
        packets in prop::collection::vec((any::<u8>(), 0..4u8, 0..5000u64), 0..300),
        options in any::<bool>(),
    ) {
        let mut now = Instant::now();
        let agreed = Agreed { packet: options.then(|| vec![0, 6]), ..agreed(window) };
        let (mut transfer, mut step) = Transfer::begin(&agreed, now);
        for (number, kind, wait) in packets {
            if let Step::Blocks(blocks) = &step {
                prop_assert!(blocks.end() - blocks.start() < window.into(), "{:?}", blocks);
                prop_assert_eq!(*blocks.start(), transfer.acked + 1);
                if blocks.contains(&last) {
                    transfer.ends_with(last);
                }
            }
            prop_assert!(transfer.acked <= transfer.sent);
            prop_assert!(transfer.sent <= last.max(transfer.acked));
            if let Step::End(_) = step {
                break;
            }
            now += Duration::from_millis(wait);
            step = match kind {
                0 => transfer.expired(now),
                1 => transfer.receive(&Packet::Ack(number.into()), now),
                2 => transfer.receive(&Packet::Ack(low_bits(transfer.sent)), now),
                _ => transfer.receive(&Packet::Ack(u16::from(number) << 8), now),
            };
        }
    }
}

#[test]
fn a_real_request_makes_a_transfer() {
    let bytes = b"\0\x01f\0octet\0windowsize\x004\0blksize\x008\0";
    let Ok(Packet::Read(request)) = Packet::parse(bytes) else {
        panic!("no request");
    };
    let agreed = agree(&request, 100, 1468);
    let now = Instant::now();
    let (mut transfer, first) = Transfer::begin(&agreed, now);
    assert_eq!(first, Step::Options);
    assert_eq!(ack(&mut transfer, 0, now), Step::Blocks(1..=4));
}
