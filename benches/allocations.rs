//! Counts allocations between receive and transmit. There are to be none: a
//! single one a frame shows in the rate, and more in the tail of the latency.
//! Fails where one is found; takes no arguments and measures no time.

use anyhow::{Result, ensure};
use std::io::Write;
use vmlan_benches::{Path, burst, station, tcp, unfinished};
use vmlan_dataplane::MacAddr;
use vmlan_dataplane::frame::Frame;
use vmlan_dataplane::port::Abilities;

/// Bursts of each kind that are counted.
const BURSTS: u64 = 1000;

fn main() -> Result<()> {
    let known = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1))));
    ensure!(known.count_total == 1, "the counter does not count");

    let mut number = 0;
    let bursts = [
        ("unicast", burst(|| finished(station(0), station(1)))?),
        (
            "broadcast",
            burst(|| finished(station(0), MacAddr::broadcast()))?,
        ),
        (
            "from new stations to unknown ones",
            burst(|| {
                number += 1;
                finished(station(1_000_000 + number), station(2_000_000 + number))
            })?,
        ),
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
    for (name, burst) in &bursts {
        for (to, abilities) in [("able", Abilities::ALL), ("unable", Abilities::NONE)] {
            let mut path = Path::new(abilities);
            let warm = path.carry(burst);
            ensure!(warm.frames > 0, "{name}: nothing was sent");
            let found = allocation_counter::measure(|| {
                for _ in 0..BURSTS {
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

fn finished(source: MacAddr, destination: MacAddr) -> Result<Frame> {
    Ok(Frame::from_bytes(&tcp(source, destination, 10)?))
}
