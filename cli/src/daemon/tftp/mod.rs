//! The TFTP server's sockets: a thread of its own, so that a slow disk under
//! the root folder delays boot files and nothing else.
//!
//! Requests come to port 69 of the gateway's address, on the host's own
//! interface alone ([`listen`]); each transfer has a socket and so a port of
//! its own ([`serve`]). A change of the settings is for the requests that come
//! then; what runs goes on. How many run is bounded ([`slots`]).

mod counters;
mod listen;
mod serve;
mod slots;

pub(super) use counters::{Counters, Tally};

use crate::config::Tftp;
use crossbeam_channel::RecvTimeoutError;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// Bytes of an IP packet that are no block: IP, UDP and DATA header.
const OVERHEAD: u16 = 32;

/// How long the end of the thread is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The TFTP server of a network.
#[derive(Debug, Default)]
pub(super) struct TftpService {
    running: Option<Running>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Running {
    settings: watch::Sender<Settings>,
    place: Place,
    thread: JoinHandle<()>,
    /// Closed when the thread ends.
    ended: crossbeam_channel::Receiver<()>,
}

/// What requests are answered by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Settings {
    root: PathBuf,
    /// The largest block in bytes.
    block: u16,
    lowercase: bool,
}

/// Where the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The host's own interface.
    pub(super) interface: String,
    /// Its address.
    pub(super) address: Ipv4Addr,
}

/// The server cannot be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum TftpError {
    /// The socket cannot be had.
    #[error(
        "the TFTP server cannot listen on {address}:{} of {interface}: does another program \
         serve TFTP there? (`ss -ulpn sport = 69`)",
        listen::PORT
    )]
    Listen {
        /// Where.
        address: Ipv4Addr,
        /// On which interface.
        interface: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No thread can be had.
    #[error("cannot start the TFTP server's thread")]
    Thread(#[source] io::Error),
}

impl TftpService {
    /// Serves `tftp` at `place` from now on; `None`: nothing. Packets fit in
    /// `mtu`. At another place, transfers that run end.
    ///
    /// # Errors
    /// It is not served.
    pub(super) fn configure(
        &mut self,
        tftp: Option<&Tftp>,
        place: Option<Place>,
        mtu: u16,
    ) -> Result<(), TftpError> {
        let (Some(tftp), Some(place)) = (tftp, place) else {
            self.stop();
            return Ok(());
        };
        let settings = Settings {
            root: tftp.root.get_ref().clone(),
            block: tftp.max_blksize.min(mtu.saturating_sub(OVERHEAD)),
            lowercase: tftp.lowercase,
        };
        if self.running.as_ref().is_some_and(|it| it.place != place) {
            self.stop();
        }
        if let Some(running) = &self.running
            && running.settings.send(settings.clone()).is_ok()
        {
            return Ok(());
        }
        self.running = Some(self.start(settings, place)?);
        Ok(())
    }

    /// Ends it, with the transfers that run.
    pub(super) fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        drop(running.settings);
        if running.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the TFTP server hangs, as on a disk that does not answer");
        } else if running.thread.join().is_err() {
            tracing::error!("the TFTP server has failed");
        }
    }

    /// What it has done since the start; `None` while it is off.
    pub(super) fn tally(&self) -> Option<Tally> {
        self.running.as_ref().map(|_| self.counters.tally())
    }

    fn start(&self, settings: Settings, place: Place) -> Result<Running, TftpError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(TftpError::Thread)?;
        let socket = {
            let _inside = runtime.enter();
            listen::socket(&place)
        };
        let socket = match socket {
            Ok(socket) => socket,
            Err(source) => {
                // Plainly dropped, it would panic within the caller's own.
                runtime.shutdown_background();
                return Err(TftpError::Listen {
                    address: place.address,
                    interface: place.interface,
                    source,
                });
            }
        };
        let (sender, receiver) = watch::channel(settings);
        let (alive, ended) = crossbeam_channel::bounded(0);
        let counters = Arc::clone(&self.counters);
        let at = place.clone();
        let thread = std::thread::Builder::new()
            .name("tftp".into())
            .spawn(move || {
                let _alive: crossbeam_channel::Sender<()> = alive;
                runtime.block_on(listen::listen(socket, place, receiver, counters));
                // With the sockets, before it counts as ended.
                drop(runtime);
            })
            .map_err(TftpError::Thread)?;
        Ok(Running {
            settings: sender,
            place: at,
            thread,
            ended,
        })
    }
}

impl Drop for TftpService {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_cannot_be_had_is_an_error_within_the_daemons_runtime() {
        let settings = Settings {
            root: "/".into(),
            block: 512,
            lowercase: false,
        };
        let place = Place {
            interface: "no-such-netdev".to_owned(),
            address: Ipv4Addr::LOCALHOST,
        };
        let error = TftpService::default().start(settings, place).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("127.0.0.1:69 of no-such-netdev"), "{text}");
    }
}
