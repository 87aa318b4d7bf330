//! Fully meshed traffic (RFC 2889 §5.1): each of 8 guests sends to each other.

use super::{Place, vmm};
use crate::bench::generator::bed::Bed;
use crate::bench::generator::frame::Shape;
use crate::bench::generator::traffic::{Flow, Traffic};
use crate::bench::result::Recorder;
use anyhow::Result;

const GUESTS: u8 = 8;

pub(super) fn run(place: &Place<'_>, recorder: &mut Recorder<'_>) -> Result<()> {
    let mut bed = Bed::new(place.lab, recorder.peer, GUESTS.into())?;
    for (case, shape) in [("60 B", Shape::Plain(60)), ("1514 B", Shape::Plain(1514))] {
        recorder.case(case, || {
            let flows = flows(shape);
            let outcome = bed.run(&Traffic {
                flows: flows.clone(),
                rate: None,
                stuck: None,
                time: place.time,
            })?;
            bed.prove(&flows)?;
            Ok(vec![vmm::reading("at overload", &outcome, shape)])
        })?;
    }
    Ok(())
}

/// From each to each other, so that no two in a row have the same sender or
/// the same receiver.
fn flows(shape: Shape) -> Vec<Flow> {
    let turns = (1..GUESTS).flat_map(|step| (0..GUESTS).map(move |from| (from, step)));
    turns
        .map(|(from, step)| Flow {
            from,
            to: (from + step) % GUESTS,
            shape,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_sends_to_each_other_once() {
        let flows = flows(Shape::Plain(60));
        let pairs: BTreeSet<_> = flows.iter().map(|flow| (flow.from, flow.to)).collect();
        assert_eq!((flows.len(), pairs.len()), (56, 56));
        assert!(pairs.iter().all(|(from, to)| from != to && *to < GUESTS));
    }
}
