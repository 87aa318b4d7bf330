//! The FDB at the sizes of a host, a large one, and a data centre's segment.
//! Stations come in random order, so that large tables miss the cache as they
//! do in life.

use anyhow::Result;
use criterion::{BenchmarkId, Criterion, Throughput};
use fastrand::Rng;
use std::hint::black_box;
use vmlan_benches::station;
use vmlan_dataplane::MacAddr;
use vmlan_dataplane::frame::BURST;
use vmlan_dataplane::table::{Fdb, PortId, Tick};

fn fdb(criterion: &mut Criterion) -> Result<()> {
    for count in [1_000_u32, 100_000, 1_000_000] {
        let mut stations: Vec<MacAddr> = (0..count).map(station).collect();
        Rng::with_seed(1).shuffle(&mut stations);
        let size = stations.len();
        let fdb = filled(size, &stations);

        let mut group = criterion.benchmark_group("fdb");
        let mut next = stations.iter().cycle();
        group.bench_with_input(BenchmarkId::new("look up", count), &(), |b, ()| {
            b.iter(|| {
                next.next()
                    .map(|mac| fdb.lookup(black_box(*mac), 0, Tick(1)))
            });
        });
        let mut next = stations.chunks_exact(BURST).cycle();
        group.throughput(Throughput::Elements(BURST as u64));
        group.bench_with_input(BenchmarkId::new("look up a burst", count), &(), |b, ()| {
            b.iter(|| {
                let burst = next.next().unwrap_or_default();
                let found = burst
                    .iter()
                    .filter_map(|mac| fdb.lookup(black_box(*mac), 0, Tick(1)));
                found.map(|port| usize::from(port.0)).sum::<usize>()
            });
        });
        group.throughput(Throughput::Elements(1));
        let mut next = stations.iter().cycle();
        group.bench_with_input(BenchmarkId::new("learn known", count), &(), |b, ()| {
            b.iter(|| {
                next.next()
                    .map(|mac| fdb.learn(black_box(*mac), 0, PortId(1), Tick(1)))
            });
        });
        group
            .sample_size(10)
            .throughput(Throughput::Elements(count.into()));
        group.bench_with_input(BenchmarkId::new("learn all new", count), &(), |b, ()| {
            b.iter(|| filled(size, &stations));
        });
        group.finish();
    }
    Ok(())
}

fn filled(size: usize, stations: &[MacAddr]) -> Fdb {
    let fdb = Fdb::new(size, Some(3000));
    for mac in stations {
        fdb.learn(*mac, 0, PortId(1), Tick(0));
    }
    fdb
}

fn main() -> Result<()> {
    vmlan_benches::run(fdb)
}
