//! What every frame costs before anything is decided: reading its link header,
//! and the header that came with it.

use anyhow::Result;
use criterion::Criterion;
use std::hint::black_box;
use vmlan_benches::{station, tcp, unfinished};
use vmlan_dataplane::frame::Offload;
use vmlan_dataplane::frame::ethernet::Header;
use vmlan_dataplane::frame::transport::Transport;

fn header(criterion: &mut Criterion) -> Result<()> {
    let plain = tcp(station(0), station(1), 100)?;
    let mut tagged = plain.clone();
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    let mut group = criterion.benchmark_group("header");
    for (name, frame) in [("untagged", &plain), ("tagged", &tagged)] {
        group.bench_function(format!("parse/{name}"), |b| {
            b.iter(|| Header::parse(black_box(frame)));
        });
    }
    group.bench_function("locate transport", |b| {
        b.iter(|| Transport::locate(black_box(&plain)));
    });
    for (name, payload) in [("checksum", 1000), ("super-frame", 60_000)] {
        let frame = unfinished(station(0), station(1), payload)?;
        let header = frame.offload().to_vnet();
        group.bench_function(format!("from vnet/{name}"), |b| {
            b.iter(|| Offload::from_vnet(black_box(&header), black_box(frame.bytes())));
        });
    }
    group.finish();
    Ok(())
}

fn main() -> Result<()> {
    vmlan_benches::run(header)
}
