//! Counts allocations between receive and transmit. There are to be none: a
//! single one a frame shows in the rate, and more in the tail of the latency.
//! Fails where one is found; takes no arguments and measures no time.

use anyhow::{Result, ensure};
use std::io::Write;
use vmlan_benches::{Path, burst, station, tcp, unfinished};
use vmlan_dataplane::MacAddr;
use vmlan_dataplane::frame::Frame;
use vmlan_dataplane::port::Abilities;

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
    ensure!(total == 0, "the hot path allocates");
    Ok(())
}

fn finished(destination: MacAddr) -> Result<Frame> {
    Ok(Frame::from_bytes(&tcp(station(0), destination, 10)?))
}

fn come_from(frame: &mut Frame, source: MacAddr) {
    if let Some(field) = frame.bytes_mut().get_mut(6..12) {
        field.copy_from_slice(&source.octets());
    }
}
