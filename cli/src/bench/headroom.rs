//! What the generator itself can do: the rate at which it writes frames to a
//! TAP whose netdev belongs to no switch, so that the kernel drops them. No
//! switch can be shown to be faster.

use super::generator::bed::guests;
use super::generator::frame::Shape;
use super::generator::traffic::{Flow, Traffic};
use super::lab::Lab;
use super::result::Unit;
use super::work::SHAPES;
use anyhow::Result;
use serde::Serialize;
use std::time::Duration;

/// The generator's rate for one shape of frames.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Headroom {
    pub(crate) frames: String,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
}

/// Measures it, for `time` each.
///
/// # Errors
/// Not root, no /dev/net/tun, or interrupted.
pub(crate) fn measure(lab: &Lab, time: Duration) -> Result<Vec<Headroom>> {
    let namespace = lab.namespace("headroom")?;
    let guests = guests(&namespace, 2)?;
    let mut sequence = 1;
    SHAPES
        .into_iter()
        .map(|(name, shape)| {
            let traffic = Traffic {
                flows: vec![Flow {
                    from: 0,
                    to: 1,
                    shape,
                }],
                rate: None,
                stuck: None,
                time,
            };
            let outcome = traffic.run(&guests, &mut sequence)?;
            let (value, unit) = match shape {
                Shape::Plain(_) => (outcome.sent_rate() / 1e6, Unit::Mpps),
                Shape::Super(payload) => {
                    (outcome.sent_rate() * payload as f64 * 8.0 / 1e9, Unit::Gbps)
                }
            };
            Ok(Headroom {
                frames: name.to_owned(),
                value,
                unit,
            })
        })
        .collect()
}
