//! From the TAP of one VM to that of another: the generator holds both files,
//! as two VMMs do, and a third guest sees to it that frames go nowhere else.
//!
//! Two figures each: what arrives when the sender sends as fast as it can, and
//! the highest rate at which no more than one of 1,000 is lost.

use super::Place;
use crate::bench::generator::bed::Bed;
use crate::bench::generator::frame::{SUPER, Shape};
use crate::bench::generator::traffic::{Flow, Outcome, Traffic};
use crate::bench::load::Cost;
use crate::bench::result::{Reading, Recorder, Unit};
use crate::bench::search::{Trial, highest};
use anyhow::{Context as _, Result};

/// Frames of these shapes are sent.
pub(crate) const SHAPES: [(&str, Shape); 4] = [
    ("60 B", Shape::Plain(60)),
    ("512 B", Shape::Plain(512)),
    ("1514 B", Shape::Plain(1514)),
    ("64 KB GSO", Shape::Super(SUPER)),
];
/// The part of the bytes that may be lost.
const TOLERABLE: f64 = 0.001;
/// How exactly the highest rate is searched for.
const RESOLUTION: f64 = 0.04;

pub(super) fn run(place: &Place<'_>, recorder: &mut Recorder<'_>) -> Result<()> {
    let mut bed = Bed::new(place.lab, recorder.peer, 3)?;
    for (case, shape) in SHAPES {
        recorder.case(case, || measure(place, &mut bed, shape))?;
    }
    Ok(())
}

fn measure(place: &Place<'_>, bed: &mut Bed, shape: Shape) -> Result<Vec<Reading>> {
    let flow = Flow {
        from: 0,
        to: 1,
        shape,
    };
    let traffic = Traffic {
        flows: vec![flow],
        rate: None,
        stuck: None,
        time: place.time,
    };
    let overload = bed.run(&traffic)?;
    let guess = in_frames(&overload, shape).max(1000.0);
    let best = highest(guess, RESOLUTION, |rate| {
        let outcome = bed.run(&Traffic {
            rate: Some(rate),
            time: place.time / 2,
            ..traffic.clone()
        })?;
        Ok(Trial {
            good: outcome.loss(1) <= TOLERABLE,
            rate: in_frames(&outcome, shape),
            detail: outcome,
        })
    })?
    .context("at no rate are 99.9% of the frames forwarded")?
    .detail;
    bed.prove(&[flow])?;
    Ok(vec![
        reading("at overload", &overload, shape),
        reading("≤ 0.1% loss", &best, shape),
    ])
}

/// Frames a second, as they were sent: a super-frame that was cut is one.
fn in_frames(outcome: &Outcome, shape: Shape) -> f64 {
    outcome.counted.bytes as f64 / shape.payload() as f64 / outcome.seconds
}

/// The rate in the unit that fits the shape, with its cost.
pub(super) fn reading(what: &str, outcome: &Outcome, shape: Shape) -> Reading {
    let reading = match shape {
        Shape::Plain(_) => Reading::new(what, outcome.frame_rate() / 1e6, Unit::Mpps),
        Shape::Super(_) => Reading::new(what, outcome.bit_rate() / 1e9, Unit::Gbps),
    };
    reading.cost(Cost::new(
        outcome.cpu,
        outcome.counted.bytes,
        Some(outcome.counted.frames),
    ))
}
