//! `vmlan events`: shows what happens on a network, for as long as it is served.

use crate::client::{Client, ClientError};
use crate::events::{Event, Record};
use jiff::tz::TimeZone;
use std::io::{self, Write};
use std::ops::ControlFlow;

/// What of it is shown, and how.
#[derive(Debug, Clone, Copy)]
pub struct Following {
    /// The number of the last event seen: those after it come first. None:
    /// only what happens from now on.
    pub since: Option<u64>,
    /// Whether to wait for more once all is shown.
    pub follow: bool,
    /// Whether as JSON, an object a line.
    pub json: bool,
}

/// Why it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All that was wanted is shown, or the reader of `out` has gone.
    Done,
    /// The network is not served any longer.
    Stopped,
    /// So it is, and nobody said so: it was killed, or has crashed.
    Broken,
}

/// Writes what happens on the network of `client` to `out`.
///
/// # Errors
/// The network is not served, or its answer is of no use.
pub fn follow(
    client: &Client,
    following: Following,
    out: &mut impl Write,
) -> Result<Ended, ClientError> {
    let Following {
        since,
        follow,
        json,
    } = following;
    let mut path = format!("/v1/events?follow={follow}");
    if let Some(since) = since {
        path.push_str(&format!("&since={since}"));
    }
    let zone = TimeZone::system();
    let mut ended = if follow { Ended::Broken } else { Ended::Done };
    client.lines(&path, |line| {
        let record: Record =
            serde_json::from_slice(line).map_err(|error| format!("no event: {error}"))?;
        if let Event::Stopping { .. } = record.event {
            ended = Ended::Stopped;
        }
        let shown = if json {
            out.write_all(line).and_then(|()| out.write_all(b"\n"))
        } else {
            writeln!(out, "{}", record.line(&zone))
        };
        match shown.and_then(|()| out.flush()) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            // Whoever reads has seen enough (`| head`).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                ended = Ended::Done;
                Ok(ControlFlow::Break(()))
            }
            Err(error) => Err(format!("it cannot be shown: {error}")),
        }
    })?;
    Ok(ended)
}
