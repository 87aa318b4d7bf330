//! One guest sends to all (RFC 2889 §5.7 and §5.8): a copy for each of 7
//! others.

use super::{Place, vmm};
use crate::bench::generator::bed::Bed;
use crate::bench::generator::frame::{EVERYONE, Shape};
use crate::bench::generator::traffic::{Flow, Traffic};
use crate::bench::result::Recorder;
use anyhow::Result;

pub(super) fn run(place: &Place<'_>, recorder: &mut Recorder<'_>) -> Result<()> {
    let mut bed = Bed::new(place.lab, recorder.peer, 8)?;
    for (case, shape) in [("60 B", Shape::Plain(60)), ("1514 B", Shape::Plain(1514))] {
        recorder.case(case, || {
            let flow = Flow {
                from: 0,
                to: EVERYONE,
                shape,
            };
            let outcome = bed.run(&Traffic {
                flows: vec![flow],
                rate: None,
                stuck: None,
                time: place.time,
            })?;
            bed.prove(&[flow])?;
            Ok(vec![vmm::reading("copies", &outcome, shape)])
        })?;
    }
    Ok(())
}
