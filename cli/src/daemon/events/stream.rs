//! `GET /v1/events`: one JSON object a line (NDJSON), for as long as the network
//! is served.

use super::super::api::Shared;
use super::{Events, Next};
use crate::events::Event;
use crate::model::ApiError;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use futures_util::stream::unfold;
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch::Receiver;

/// What to begin with, and whether to go on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::daemon) struct Query {
    /// The number of the last event seen; 0: all that are kept come first.
    /// Without it, none.
    since: Option<u64>,
    /// Whether to wait for more once all is read.
    #[serde(default = "yes")]
    follow: bool,
}

fn yes() -> bool {
    true
}

/// How far one follower has read.
struct Follower {
    events: Events,
    seen: u64,
    /// `None`: it wants no more than what is kept.
    news: Option<Receiver<u64>>,
    over: bool,
}

/// Answers with the events.
pub(in crate::daemon) async fn events(
    State(network): State<Shared>,
    query: super::super::api::Query<Query>,
) -> Result<impl IntoResponse, ApiError> {
    let super::super::api::Query(query) = query;
    // Held for no longer: the answer may last for days.
    let events = network.lock().await.events.clone();
    let follower = Follower {
        seen: query.since.unwrap_or_else(|| events.latest()),
        news: query.follow.then(|| events.follow()),
        events,
        over: false,
    };
    let lines = unfold(follower, async |mut follower| {
        let line = follower.next().await?;
        Some((Ok::<_, Infallible>(line), follower))
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(lines)))
}

impl Follower {
    /// The next line, once there is one.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.over {
            match self.events.after(self.seen) {
                Next::Record(record) => {
                    self.seen = record.seq;
                    self.over = matches!(record.event, Event::Stopping { .. });
                    let mut line = serde_json::to_vec(&*record).ok()?;
                    line.push(b'\n');
                    return Some(line.into());
                }
                // The sender is one of this follower's own.
                Next::Nothing => {
                    let news = self.news.as_mut()?;
                    news.changed().await.ok()?;
                }
            }
        }
        None
    }
}

impl Events {
    /// Waits until each follower has gone, for not much longer than that takes
    /// once all is over.
    pub(in crate::daemon) async fn read_to_the_end(&self) {
        const PATIENCE: Duration = Duration::from_millis(500);
        // One that has stopped to read is not waited for.
        let _ = tokio::time::timeout(PATIENCE, self.latest.closed()).await;
    }
}
