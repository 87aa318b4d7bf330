//! A TFTP packet's way through the server, with a client's books kept beside
//! it.
//!
//! What has to hold, whatever comes in:
//!
//! - what is agreed to lies within the bounds, and its acknowledgement fits in
//!   a packet of the smallest MTU;
//! - no more is sent than a window, and nothing ahead of it;
//! - what a client acknowledges in order is the file, byte by byte;
//! - a transfer ends, at the latest when nobody is heard.

use super::mutate::mutate;
use super::tally::Tally;
use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use std::io;
use std::time::{Duration, Instant};
use vmlan::tftp::content::{Content, Source};
use vmlan::tftp::options::{Agreed, LARGEST_WINDOW, LEAST_BLOCK, agree};
use vmlan::tftp::packet::{LONGEST, Mode, Packet, begin_data};
use vmlan::tftp::transfer::{End, Step, Transfer};

/// The largest block that the server sends.
const LARGEST: u16 = 1468;

/// Bytes of the file.
const SIZE: usize = 20_000;

/// Requests as boot ROMs and clients send them: iPXE, PXE ROMs (which first
/// ask for the size alone), Windows' boot manager, GRUB, curl, atftp, tftp-hpa.
const REQUESTS: [&[u8]; 8] = [
    b"\0\x01undionly.kpxe\0octet\0blksize\x001432\0tsize\x000\0",
    b"\0\x01pxelinux.0\0octet\0tsize\x000\0",
    b"\0\x01pxelinux.0\0octet\0blksize\x001456\0",
    b"\0\x01\\Boot\\BCD\0octet\0tsize\x000\0blksize\x001456\0windowsize\x004\0",
    b"\0\x01/grub/x86_64-efi/normal.mod\0octet\0blksize\x001024\0tsize\x000\0",
    b"\0\x01file\0octet\0tsize\x000\0blksize\x00512\0timeout\x006\0",
    b"\0\x01file\0octet\0windowsize\x0032\0blksize\x008\0multicast\0\0",
    b"\0\x01motd\0netascii\0",
];

/// The file.
#[derive(Debug, Clone, Copy)]
struct Noise;

impl Noise {
    fn byte(at: u64) -> u8 {
        let [a, b, ..] = at.wrapping_mul(0x9e37_79b9).to_le_bytes();
        a ^ b
    }
}

impl Source for Noise {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        for (byte, at) in buffer.iter_mut().zip(offset..SIZE as u64) {
            *byte = Self::byte(at);
        }
        let left = (SIZE as u64).saturating_sub(offset);
        Ok(buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX)))
    }
}

/// One request and, where it is one, a transfer with what comes in for it.
///
/// # Errors
/// The first rule that was broken.
pub fn input(rng: &mut Rng, input: &mut Vec<u8>, tally: &mut Tally) -> Result<()> {
    input.clear();
    input.extend_from_slice(rng.choice(REQUESTS).context("no request")?);
    if rng.u8(..3) > 0 {
        mutate(rng, input, LONGEST);
    }
    let parsed = Packet::parse(input);
    let Ok(Packet::Read(request)) = parsed else {
        let what = if parsed.is_ok() {
            "no request"
        } else {
            "malformed"
        };
        tally.add("tftp", what, 1);
        return Ok(());
    };
    let agreed = agree(&request, SIZE as u64, LARGEST);
    ensure!(
        (LEAST_BLOCK..=LARGEST).contains(&agreed.block),
        "{agreed:?}"
    );
    ensure!((1..=LARGEST_WINDOW).contains(&agreed.window), "{agreed:?}");
    let answer = agreed.packet.as_deref().unwrap_or_default();
    ensure!(answer.len() <= 512, "an answer of {} bytes", answer.len());
    let end = transfer(rng, &agreed, request.mode)?;
    tally.add(
        "tftp",
        match end {
            Some(End::Complete) => "complete",
            Some(End::Unconfirmed) => "unconfirmed",
            Some(End::TimedOut) => "timed out",
            Some(End::Aborted { .. }) => "aborted",
            Some(End::Illegal) => "illegal",
            None => "acknowledged untruly",
        },
        1,
    );
    Ok(())
}

/// A transfer to a client that is honest for the most part; how it ended, if
/// the client acknowledged nothing that it did not have.
fn transfer(rng: &mut Rng, agreed: &Agreed, mode: Mode) -> Result<Option<End>> {
    let mut content = Content::new(Noise, SIZE as u64, mode, agreed.block);
    let mut now = Instant::now();
    let (mut transfer, mut step) = Transfer::begin(agreed, now);
    // How many packets of the client are spoiled, of 256.
    let spoiled = rng.choice([0, 0, 8, 60]).unwrap_or_default();
    let (mut has, mut sent, mut file) = (0_u64, 0_u64, 0_u64);
    let mut packet = Vec::new();
    for _ in 0..100_000 {
        let mut ack = None;
        match step {
            Step::End(end) => {
                ensure!(
                    end != End::Complete || mode == Mode::Netascii || file == SIZE as u64,
                    "complete with {file} bytes"
                );
                return Ok(Some(end));
            }
            Step::Wait => {}
            Step::Options => ack = Some(0),
            Step::Blocks(blocks) => {
                let (first, last) = (*blocks.start(), *blocks.end());
                let window = u64::from(agreed.window);
                ensure!(
                    first <= has + 1 && last <= has + window,
                    "{first} to {last} at {has}"
                );
                for number in blocks {
                    begin_data(&mut packet, number);
                    let end = content.block(number, &mut packet)?;
                    ensure!(packet.len() <= 4 + usize::from(agreed.block), "too long");
                    sent = sent.max(number);
                    if number == has + 1 && rng.u8(..) >= spoiled {
                        for byte in packet.iter().skip(4).filter(|_| mode == Mode::Octet) {
                            ensure!(*byte == Noise::byte(file), "byte {file} is another");
                            file += 1;
                        }
                        has = number;
                    }
                    if end {
                        transfer.ends_with(number);
                        break;
                    }
                }
                ack = u16::try_from(has & 0xffff).ok();
            }
        }
        now += Duration::from_millis(rng.u64(..20));
        let mut bytes = match ack {
            Some(ack) => [[0, 4], ack.to_be_bytes()].concat(),
            None if rng.bool() => [[0, 4], rng.u16(..).to_be_bytes()].concat(),
            None => {
                now = transfer.deadline();
                step = transfer.expired(now);
                continue;
            }
        };
        if rng.u8(..) < spoiled {
            mutate(rng, &mut bytes, LONGEST);
        }
        let claims = match Packet::parse(&bytes) {
            Ok(packet @ Packet::Ack(block)) => {
                // A spoiled one may acknowledge what the client does not have.
                let claimed = has.max(sent.min(has + u64::from(agreed.window)));
                step = transfer.receive(&packet, now);
                Some((block, claimed))
            }
            Ok(packet) => {
                step = transfer.receive(&packet, now);
                None
            }
            Err(_) => {
                step = Step::Wait;
                None
            }
        };
        if let (Some((block, claimed)), Step::Blocks(blocks)) = (claims, &step) {
            let acked = *blocks.start() - 1;
            ensure!(
                acked <= claimed && acked & 0xffff == u64::from(block),
                "{acked} by {block}"
            );
            if acked > has {
                // It lied, and gets the rest of the file alone.
                return Ok(None);
            }
        } else if let Step::End(End::Complete) = &step
            && file < SIZE as u64
            && mode == Mode::Octet
        {
            return Ok(None);
        }
    }
    bail!("no end")
}
