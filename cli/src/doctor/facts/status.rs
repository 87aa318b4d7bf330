//! What the network says of itself.

use crate::args::Place;
use crate::client::{Client, ClientError};
use crate::config::NetworkName;
use crate::model::StatusView;

/// Why a network says nothing of itself.
pub(super) struct Unanswered {
    pub(super) why: String,
    /// It is not served.
    pub(super) ended: bool,
}

/// Asks the network `name`, if it runs.
pub(super) async fn status_of(place: &Place, name: &NetworkName) -> Result<StatusView, Unanswered> {
    let place = place.of(name);
    // The client has a runtime of its own.
    let asked = tokio::task::spawn_blocking(move || Client::new(&place).get("/v1/status")).await;
    let (why, ended) = match asked {
        Ok(Ok(status)) => return Ok(status),
        Ok(Err(ClientError::NotRunning { .. })) => (format!("{name} is not running"), true),
        Ok(Err(error)) => (error.to_string().replace("\nhelp: ", ": "), false),
        Err(error) => (error.to_string(), false),
    };
    Err(Unanswered { why, ended })
}
