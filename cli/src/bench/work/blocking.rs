//! Head-of-line blocking (RFC 2889 §5.5): one guest sends to two by turns, at a
//! rate that any switch can do, and one of the two reads nothing. What the
//! other gets, in hundredths of what was sent to it, should be 100.

use super::Place;
use crate::bench::generator::bed::Bed;
use crate::bench::generator::frame::Shape;
use crate::bench::generator::traffic::{Flow, Traffic};
use crate::bench::result::{Reading, Recorder, Unit};
use anyhow::Result;

/// Frames a second to both together.
const RATE: f64 = 20_000.0;
/// The guest that reads nothing.
const STUCK: u8 = 2;

pub(super) fn run(place: &Place<'_>, recorder: &mut Recorder<'_>) -> Result<()> {
    let mut bed = Bed::new(place.lab, recorder.peer, 3)?;
    recorder.case("512 B", || {
        let flow = |to| Flow {
            from: 0,
            to,
            shape: Shape::Plain(512),
        };
        let outcome = bed.run(&Traffic {
            flows: vec![flow(1), flow(STUCK)],
            rate: Some(RATE),
            stuck: Some(STUCK.into()),
            time: place.time,
        })?;
        let received = outcome.by_guest.get(1).map_or(0, |count| count.frames);
        // The flows have equal turns; the last may be an odd one.
        let sent = outcome.sent.frames.div_ceil(2).max(1);
        let part = (received as f64 / sent as f64 * 100.0).min(100.0);
        bed.drain()?;
        bed.prove(&[flow(1), flow(STUCK)])?;
        Ok(vec![Reading::new(
            "received beside a stuck guest",
            part,
            Unit::Percent,
        )])
    })
}
