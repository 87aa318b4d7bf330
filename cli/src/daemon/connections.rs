//! Connections to `vm.sock`, as many as the switch has ports.

use super::api::Shared;
use super::network::chain;
use crate::model::ApiError;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::time::Instant;
use vmlan_dataplane::table::MAX_PORTS;

/// The pause before accepting is tried again: when all ports are in use, and
/// after an error, as a rule for want of file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Where guests connect.
#[derive(Debug)]
pub(super) struct Connections {
    socket: UnixListener,
    /// When to go on after an error.
    resume: Option<Instant>,
    /// All ports are in use, and the log says so.
    full: bool,
}

impl Connections {
    /// Takes over a listening socket.
    pub(super) fn new(socket: UnixListener) -> Self {
        Self {
            socket,
            resume: None,
            full: false,
        }
    }

    /// Waits for the next connection. While all ports are in use, further ones
    /// wait in the kernel, which takes a bounded number of them. May be dropped
    /// while it waits; nothing is lost.
    ///
    /// # Errors
    /// Those of accept(2); the next call tries again, after a pause.
    pub(super) async fn next(&mut self, network: &Shared) -> io::Result<UnixStream> {
        if let Some(resume) = self.resume {
            tokio::time::sleep_until(resume).await;
            self.resume = None;
        }
        while network.lock().await.ports.len() >= MAX_PORTS.into() {
            if !self.full {
                self.full = true;
                tracing::warn!(
                    "all {MAX_PORTS} ports are in use: connections to vm.sock wait until one ends"
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.full = false;
        let accepted = self.socket.accept().await;
        if accepted.is_err() {
            self.resume = Some(Instant::now() + PAUSE);
        }
        accepted?.0.into_std()
    }
}

/// Makes a port of what [`Connections::next`] gave.
pub(super) async fn connected(network: &Shared, accepted: io::Result<UnixStream>) {
    let mut network = network.lock().await;
    let result = match accepted {
        Ok(socket) => network.connected(socket),
        Err(error) => Err(ApiError::runtime(chain(error))),
    };
    if let Err(error) = result {
        network.ports.stream_line(|unsaid| {
            tracing::warn!(
                "a connection to vm.sock is refused: {}{unsaid}",
                error.one_line()
            );
        });
    }
}
