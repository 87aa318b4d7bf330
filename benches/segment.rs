//! Cutting a super-frame of 64 KB into segments for an MTU of 1500.

use anyhow::{Context, Result};
use criterion::{Criterion, Throughput};
use std::hint::black_box;
use vmlan_benches::{station, unfinished};
use vmlan_dataplane::frame::segment::{MAX_HEAD, Segments};

fn segment(criterion: &mut Criterion) -> Result<()> {
    let frame = unfinished(station(0), station(1), 65_495)?;
    let gso = frame.offload().gso.context("no super-frame")?;
    let mut slot = [0; MAX_HEAD];
    let mut group = criterion.benchmark_group("segment");
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function("64 KB at 1460", |b| {
        b.iter(|| {
            let mut segments = Segments::new(black_box(frame.bytes()), &gso)?;
            while let Some(segment) = segments.write_next(&mut slot) {
                black_box(segment);
            }
            Some(())
        });
    });
    group.finish();
    Ok(())
}

fn main() -> Result<()> {
    vmlan_benches::run(segment)
}
