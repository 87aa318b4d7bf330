//! Counts allocations between receive and transmit. There are to be none: a
//! single one a frame shows in the rate, and more in the tail of the latency.
//! Fails where one is found; takes no arguments and measures no time.

use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixStream};
use vmlan_benches::{Path, burst, station, tcp, unfinished};
use vmlan_dataplane::MacAddr;
use vmlan_dataplane::frame::finish::Finisher;
use vmlan_dataplane::frame::{Burst, Frame};
use vmlan_dataplane::port::sys::ring::Ring;
use vmlan_dataplane::port::{Abilities, Sent, Transmitter, TxFrame, stream};

/// Frames from stations that the FDB learns until it is full.
const FROM_NEW: &str = "from new stations";

/// Bursts of each kind that are counted.
const BURSTS: u64 = 1000;

fn main() -> Result<()> {
    let known = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1))));
    ensure!(known.count_total == 1, "the counter does not count");

    let mut bursts = [
        ("unicast", burst(|| finished(station(1)))?),
        ("broadcast", burst(|| finished(MacAddr::broadcast()))?),
        (FROM_NEW, burst(|| finished(station(1)))?),
        (
            "checksum left open",
            burst(|| unfinished(station(0), station(1), 1000))?,
        ),
        (
            "super-frame",
            burst(|| unfinished(station(0), station(1), 64_000))?,
        ),
    ];
    let mut out = std::io::stdout();
    let mut total = 0;
    for (name, burst) in &mut bursts {
        for (to, abilities) in [("able", Abilities::ALL), ("unable", Abilities::NONE)] {
            let mut path = Path::new(abilities);
            let warm = path.carry(burst);
            ensure!(warm.frames > 0, "{name}: nothing was sent");
            let mut stations = 1_000_000..;
            let found = allocation_counter::measure(|| {
                for _ in 0..BURSTS {
                    if *name == FROM_NEW {
                        for (frame, number) in burst.iter_mut().zip(&mut stations) {
                            come_from(frame, station(number));
                        }
                    }
                    path.carry(burst);
                }
            });
            let frames = BURSTS * burst.len() as u64;
            total += found.count_total;
            writeln!(
                out,
                "{name}, to {to} ports: {} allocations over {frames} frames",
                found.count_total
            )?;
        }
    }
    let (frames, allocations) = stream()?;
    total += allocations;
    writeln!(
        out,
        "through a stream port: {allocations} allocations over {frames} frames"
    )?;
    match ring() {
        Ok((frames, allocations)) => {
            total += allocations;
            writeln!(
                out,
                "sent by io_uring: {allocations} allocations over {frames} frames"
            )?;
        }
        Err(error) => writeln!(out, "io_uring is left out: {error}")?,
    }
    ensure!(total == 0, "the hot path allocates");
    Ok(())
}

/// Sends bursts out of a stream port and receives them by one; gives the frames
/// and the allocations.
fn stream() -> Result<(u64, u64)> {
    let (near, far) = UnixStream::pair()?;
    let (near, mut far) = (stream::open(near)?, stream::open(far)?);
    let ingress = far.ingress.first_mut().context("a stream has one queue")?;
    let frames = burst(|| finished(station(1)))?;
    let mut finisher = Finisher::new(Transmitter::new(0));
    let mut received = Burst::default();
    let mut carried = 0;
    let mut carry = || {
        let mut sent = Sent::default();
        finisher.transmit(&frames, &*near.egress, &mut sent);
        received.clear();
        ingress.receive(&mut received);
        carried += received.frames().len() as u64;
    };
    carry();
    let found = allocation_counter::measure(|| (0..BURSTS).for_each(|_| carry()));
    ensure!(
        carried == (BURSTS + 1) * frames.len() as u64,
        "frames were lost"
    );
    Ok((carried, found.count_total))
}

/// Sends bursts by an io_uring; gives the frames and the allocations.
fn ring() -> Result<(u64, u64)> {
    let (near, far) = UnixDatagram::pair()?;
    far.set_nonblocking(true)?;
    let frames = burst(|| finished(station(1)))?;
    let frames: Vec<TxFrame<'_>> = frames.iter().map(TxFrame::whole).collect();
    let mut ring = Ring::new()?;
    let mut carried = 0;
    let mut buffer = [0; 2048];
    let mut carry = || {
        // As many as a datagram socket holds.
        for frames in frames.chunks(8) {
            ring.send(&near, frames);
            while far.recv(&mut buffer).is_ok() {
                carried += 1;
            }
        }
    };
    carry();
    let found = allocation_counter::measure(|| (0..BURSTS).for_each(|_| carry()));
    ensure!(
        carried == (BURSTS + 1) * frames.len() as u64,
        "frames were lost"
    );
    Ok((carried, found.count_total))
}

fn finished(destination: MacAddr) -> Result<Frame> {
    Ok(Frame::from_bytes(&tcp(station(0), destination, 10)?))
}

fn come_from(frame: &mut Frame, source: MacAddr) {
    if let Some(field) = frame.bytes_mut().get_mut(6..12) {
        field.copy_from_slice(&source.octets());
    }
}
