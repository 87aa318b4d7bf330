//! A burst's way from receive to transmit: the step alone, and with the work
//! that the egress leaves to the switch.

use anyhow::Result;
use criterion::{Criterion, Throughput};
use std::hint::black_box;
use vmlan_benches::{PORTS, Path, burst, station, switch, tcp, unfinished};
use vmlan_dataplane::MacAddr;
use vmlan_dataplane::frame::{BURST, Frame};
use vmlan_dataplane::port::Abilities;
use vmlan_dataplane::table::{PortId, Tick};

fn forward(criterion: &mut Criterion) -> Result<()> {
    let to_one = finished(station(1))?;
    let to_all = finished(MacAddr::broadcast())?;
    let flood = format!("flood over {}", PORTS - 1);

    let mut group = criterion.benchmark_group("forward");
    group.throughput(Throughput::Elements(BURST as u64));
    for (name, burst) in [("unicast", &to_one), (flood.as_str(), &to_all)] {
        let mut switch = switch();
        group.bench_function(format!("step/{name}"), |b| {
            b.iter(|| {
                for frame in burst {
                    black_box(switch.step(black_box(frame), PortId(0), Tick(0)));
                }
            });
        });
    }
    let open = burst(|| unfinished(station(0), station(1), 1000))?;
    let long = burst(|| unfinished(station(0), station(1), 64_000))?;
    for (name, burst, abilities) in [
        ("unicast", &to_one, Abilities::NONE),
        (flood.as_str(), &to_all, Abilities::NONE),
        ("unicast with checksum", &open, Abilities::NONE),
        ("64 KB, cut", &long, Abilities::NONE),
        ("64 KB, as it is", &long, Abilities::ALL),
    ] {
        let mut path = Path::new(abilities);
        group.bench_function(format!("step and finish/{name}"), |b| {
            b.iter(|| path.carry(black_box(burst)));
        });
    }
    group.finish();
    Ok(())
}

fn finished(destination: MacAddr) -> Result<Vec<Frame>> {
    burst(|| Ok(Frame::from_bytes(&tcp(station(0), destination, 10)?)))
}

fn main() -> Result<()> {
    vmlan_benches::run(forward)
}
