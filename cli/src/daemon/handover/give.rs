//! The side of the process that serves: it gives the network away.

use super::TAKEOVER;
use super::ask::{Done, Go, Hello, Refusal, Welcome};
use super::record::{CountersRecord, PortRecord, Record, VERSION};
use super::wire;
use crate::daemon::api::Shared;
use crate::daemon::network::{Network, chain};
use anyhow::{Context as _, bail};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use vmlan_dataplane::control::Paused;

/// How long the other process may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take until all is in place, while frames pass already.
const SETTLING: Duration = Duration::from_secs(30);

/// How long it may prepare itself.
const PREPARATION: Duration = Duration::from_secs(60);

/// Processes that want to take the network over and are ready for it.
pub(in crate::daemon) struct Takers(mpsc::UnboundedReceiver<UnixStream>);

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) enum Given {
    /// The other process serves the network; this one is to end and to touch
    /// nothing.
    Away,
    /// This process goes on.
    Back,
}

impl Takers {
    /// Listens for them on a thread of its own.
    pub(in crate::daemon) fn listen(network: &Shared, held: &mut Network) -> anyhow::Result<Self> {
        let listener = held.listen_on(TAKEOVER)?;
        let path = held.run.path().join(TAKEOVER);
        fs::set_permissions(&path, Permissions::from_mode(0o600))
            .with_context(|| format!("cannot close {} to others", path.display()))?;
        listener.set_nonblocking(false)?;
        let (sender, takers) = mpsc::unbounded_channel();
        let network = Arc::downgrade(network);
        std::thread::Builder::new()
            .name("takeover".into())
            .spawn(move || welcome_all(&listener, &network, &sender))?;
        Ok(Self(takers))
    }

    /// Waits for the next one. May be dropped while it waits.
    pub(in crate::daemon) async fn next(&mut self) -> UnixStream {
        match self.0.recv().await {
            Some(taker) => taker,
            None => std::future::pending().await,
        }
    }
}

fn welcome_all(
    listener: &UnixListener,
    network: &Weak<Mutex<Network>>,
    ready: &mpsc::UnboundedSender<UnixStream>,
) {
    for taker in listener.incoming() {
        let welcomed = taker.map_err(anyhow::Error::from).and_then(|taker| {
            welcome(&taker, network)?;
            Ok(taker)
        });
        match welcomed.map(|taker| ready.send(taker)) {
            Ok(Ok(())) => {}
            // This process ends.
            Ok(Err(_)) => return,
            Err(error) => tracing::warn!("nobody takes over: {error:#}"),
        }
    }
}

/// Tells a process that wants the network what it is, and waits until it is
/// prepared.
fn welcome(taker: &UnixStream, network: &Weak<Mutex<Network>>) -> anyhow::Result<()> {
    taker.set_read_timeout(Some(PATIENCE))?;
    taker.set_write_timeout(Some(PATIENCE))?;
    let peer = socket_peercred(taker)?;
    if peer.uid != geteuid() && !peer.uid.is_root() {
        bail!("process {} is of another user", peer.pid);
    }
    let (Hello { version, pid }, _) = wire::receive(taker)?;
    if version != VERSION {
        let reason = format!(
            "the running vmlan hands over by version {VERSION}, not {version}: stop it and start \
             the other"
        );
        wire::send(taker, &Err::<Welcome, _>(Refusal { reason }), &[])?;
        bail!("process {pid} wants another version, {version}");
    }
    let network = network.upgrade().context("this process ends")?;
    {
        let network = network.blocking_lock();
        let welcome = Welcome {
            pid: std::process::id(),
            network: network.fixed(),
        };
        let locks = network.locks().context("this process ends")?;
        wire::send(taker, &Ok::<_, Refusal>(welcome), &locks)?;
    }
    drop(network);
    tracing::info!("process {pid} prepares to take over");
    taker.set_read_timeout(Some(PREPARATION))?;
    let (Go {}, _) = wire::receive(taker).context("it has ended before")?;
    taker.set_read_timeout(Some(PATIENCE))?;
    Ok(())
}

/// Gives the network to `taker`. Until that has said that it serves it, nothing
/// is given up: frames wait in the kernel.
pub(in crate::daemon) async fn give(network: &Shared, taker: &UnixStream) -> Given {
    let mut network = network.lock().await;
    let dhcp = network.dhcp.served();
    match network.offer(taker) {
        Ok(paused) => {
            network.let_stand(paused);
            tracing::info!("another process has taken over");
            Given::Away
        }
        Err(error) => {
            tracing::warn!("nobody has taken over, and this process goes on: {error:#}");
            if let Err(error) = network.dhcp.configure(dhcp) {
                tracing::error!("{}", chain(error));
            }
            if let Err(error) = network.serve_names() {
                tracing::error!("{}", chain(error));
            }
            if let Err(error) = network.serve_tftp() {
                tracing::error!("{}", chain(error));
            }
            // As this configuration has it.
            if let Err(error) = network.open_outside().await {
                tracing::error!("{}", error.one_line());
            }
            Given::Back
        }
    }
}

/// Leaves everything for a process that is started next, by the service manager.
///
/// # Errors
/// There is none with a store, or it cannot be left in order: then it goes on.
pub(in crate::daemon) async fn leave(network: &Shared) -> anyhow::Result<()> {
    let mut network = network.lock().await;
    if network.kept.store.is_none() {
        bail!(
            "SIGUSR2 leaves the network to the next process by the store of a service manager, \
             and there is none (NOTIFY_SOCKET is not set): `vmlan run --takeover` takes over"
        );
    }
    network.dns.stop();
    network.tftp.stop();
    network.dhcp.stop();
    let paused = network.switch.pause()?;
    let (record, _) = network.whole_record(&paused)?;
    network.write(&record)?;
    network.let_stand(paused);
    Ok(())
}

impl Network {
    /// Offers everything to `taker` and waits until that serves it.
    fn offer(&mut self, taker: &UnixStream) -> anyhow::Result<Paused> {
        self.dns.stop();
        self.tftp.stop();
        // Nothing is written any more when another process reads it.
        self.dhcp.stop();
        let paused = self.switch.pause()?;
        let (record, files) = self.whole_record(&paused)?;
        let listeners = self.kept.listeners.iter();
        let listeners = listeners.map(|(name, file)| (name.clone(), file.as_fd()));
        let files = files
            .iter()
            .map(|(name, file)| (name.clone(), file.as_fd()));
        let (names, files): (Vec<String>, Vec<BorrowedFd<'_>>) = listeners.chain(files).unzip();
        wire::send(taker, &(&record, names), &files).context("it does not take it")?;
        taker.set_read_timeout(Some(SETTLING))?;
        let (Done {}, _) = wire::receive(taker).context("it has ended before it was done")?;
        Ok(paused)
    }

    /// The record with all that changes with each frame, and the ports' files by
    /// their names.
    fn whole_record(&self, paused: &Paused) -> io::Result<(Record, Vec<(String, OwnedFd)>)> {
        let counters: HashMap<_, _> = paused.counters.iter().copied().collect();
        let mut record = self.record();
        let mut files = Vec::new();
        for ((name, port), record) in self.ports.iter().zip(&mut record.ports) {
            if let Some(counters) = counters.get(&port.id) {
                record.rx = CountersRecord::of(&counters.rx);
                record.tx = CountersRecord::of(&counters.tx);
            }
            let handed = self.switch.hand_over(port.id)?;
            record.begun = handed.begun;
            record.part = handed.part;
            record.files = handed.files.len();
            let named = handed.files.into_iter().enumerate();
            files.extend(named.map(|(n, file)| (PortRecord::file(name, n), file)));
        }
        record.stations = self.stations();
        Ok((record, files))
    }

    /// Lets go of the network without a change: another process has it.
    fn let_stand(&mut self, paused: Paused) {
        // The workers rest until the process ends.
        std::mem::forget(paused);
        self.run.leave();
    }

    /// The locks of RUN/NAME and STATE/NAME.
    fn locks(&self) -> Option<[BorrowedFd<'_>; 2]> {
        Some([self.run.lock_file()?, self.state.as_ref()?.lock_file()])
    }
}
