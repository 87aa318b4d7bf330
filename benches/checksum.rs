//! Summing, over the least frame, a full one and a super-frame.

use anyhow::Result;
use criterion::{BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use vmlan_dataplane::frame::checksum;

fn sums(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("checksum");
    for len in [60_u16, 1500, 65_535] {
        let bytes = vec![0x5a; len.into()];
        group.throughput(Throughput::Bytes(len.into()));
        group.bench_with_input(BenchmarkId::from_parameter(len), &bytes, |b, bytes| {
            b.iter(|| checksum::sum(black_box(bytes)).checksum());
        });
    }
    group.finish();
    Ok(())
}

fn main() -> Result<()> {
    vmlan_benches::run(sums)
}
