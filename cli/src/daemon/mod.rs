//! `vmlan run`: one process serves one network until it is told to stop.
//!
//! The switch's worker and the DHCP responder have threads of their own. All
//! else happens here, on one thread: the control socket ([`api`]), connections
//! to `vm.sock` ([`connections`]), netdevs that come and go, signals.
//! [`network`] is what they work on ([`netdevs`]: those of others), [`start`]
//! puts it in place and [`reload`] changes it.

mod allowance;
mod api;
mod connections;
mod dhcp;
mod dns;
mod events;
mod former;
mod greeting;
mod handover;
mod hooks;
mod hosts;
pub(crate) mod leftovers;
mod libvirt;
mod message;
mod metrics;
mod netdevs;
mod network;
mod outside;
mod ports;
mod reload;
mod rename;
mod start;
mod states;
mod tftp;
mod uplink;
mod view;
mod watchdog;

use crate::args::Place;
use crate::config::Loaded;
use crate::events::Event as Told;
use crate::firewall::watch::Watch;
use crate::host::monitor::{LinkEvent, Monitor, MonitorError};
use crate::log;
use anyhow::{Context as _, bail};
use api::Shared;
use connections::Connections;
use handover::{Given, Takers};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::{self, Write as _};
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc};
use vmlan_dataplane::control::Event;

/// The control socket in RUN/NAME.
const CONTROL: &str = "control.sock";

/// Where qemu's `-netdev stream` connects to, in RUN/NAME.
pub(crate) const CONNECT: &str = "vm.sock";

/// Serves the network that `loaded` describes; where it `takes_over`, in the
/// place of the process that serves it now.
///
/// # Errors
/// What keeps it from being served. Nothing of it is left behind then but its
/// identity in STATE/NAME, so that it has the same MAC address next time.
pub fn run(place: &Place, loaded: Loaded, takes_over: bool) -> anyhow::Result<()> {
    log::start();
    allow_files();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")?
        .block_on(serve(place, loaded, takes_over))
}

/// Puts back what a `vmlan run` of this network that was killed has moved from
/// the uplink, and says what that was.
///
/// # Errors
/// The network is served: then it does so itself at its end. Or what keeps it
/// from being put back.
pub fn restore_uplink(place: &Place) -> anyhow::Result<String> {
    log::start();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")?
        .block_on(uplink::restore_by_command(place))
}

/// Takes away what a run of the network that was killed has left on the host:
/// firewall rules, forwarding, sysctls, moved addresses. Gives a line for each.
///
/// # Errors
/// Somebody serves the network, or something cannot be taken away.
pub fn remove_leftovers(place: &Place) -> anyhow::Result<Vec<String>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")?
        .block_on(leftovers::remove(place))
}

/// [`remove_leftovers`] as a command: gives what to show, and names other
/// networks that have left something.
///
/// # Errors
/// Those of [`remove_leftovers`].
pub fn clean_up(place: &Place) -> anyhow::Result<String> {
    log::start();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")?
        .block_on(leftovers::remove_by_command(place))
}

/// Allows as many open files as may be: each port has at least one, and the
/// usual limit is that of ports, 1,024.
fn allow_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
}

async fn serve(place: &Place, loaded: Loaded, takes_over: bool) -> anyhow::Result<()> {
    // Before anything is made, so that a signal meanwhile ends it in order.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut leave = signal(SignalKind::user_defined2())?;

    let (network, events) = start::start(place, loaded, takes_over).await?;
    let mut events = forwarded(events)?;
    let network = Arc::new(Mutex::new(network));
    tokio::spawn(libvirt::keep(network.clone()));
    tokio::spawn(former::retire(network.clone()));
    tokio::spawn(follow_switch(network.clone()));
    let result = async {
        let (mut monitor, mut connections, mut takers) = open(&network).await?;
        {
            let held = network.lock().await;
            watchdog::start(held.switch.clone(), held.dhcp.clone(), &network)?;
        }
        let mut rules = Watch::new();
        let end = loop {
            tokio::select! {
                _ = terminate.recv() => break End::Stops("by SIGTERM"),
                _ = interrupt.recv() => break End::Stops("by SIGINT"),
                _ = leave.recv() => match handover::leave(&network).await {
                    Ok(()) => break End::Leaves,
                    Err(error) => tracing::warn!("{error:#}"),
                },
                taker = takers.next() => {
                    if handover::give(&network, &taker).await == Given::Away {
                        break End::Leaves;
                    }
                }
                _ = hangup.recv() => hung_up(&network).await,
                event = monitor.next() => followed(&network, event).await,
                () = rules.changed() => network.lock().await.rules_changed().await,
                accepted = connections.next(&network) => {
                    connections::connected(&network, accepted).await;
                }
                event = events.recv() => match event {
                    Some(Event::PortClosed { id, reason }) => {
                        network.lock().await.closed(id, reason)?;
                    }
                    Some(Event::Stopped(Err(e))) => {
                        return Err(e).context("the switch has failed");
                    }
                    Some(Event::ResponderStopped) => bail!("the DHCP server has failed"),
                    Some(Event::Stopped(Ok(()))) | None => bail!("the switch has stopped"),
                },
            }
        };
        Ok(end)
    }
    .await;
    let told = network.lock().await.events.clone();
    let why = match &result {
        Ok(End::Stops(signal)) => *signal,
        Ok(End::Leaves) => "as another process goes on",
        Err(error) => {
            let error = format!("{error:#}");
            told.tell(Told::Failed { error });
            "by an error"
        }
    };
    told.tell(Told::Stopping {
        why: why.to_owned(),
    });
    if let Ok(End::Leaves) = result {
        // Nobody changes anything of it any more: it is another process's.
        let held = network.lock().await;
        held.dhcp.hooks().finish().await;
        told.read_to_the_end().await;
        return Ok(());
    }
    states::stopping();
    let hooks = network.lock().await.dhcp.hooks();
    hooks.finish().await;
    let stopped = network.lock().await.stop().await;
    told.read_to_the_end().await;
    result.and(stopped)
}

/// How serving ends.
enum End {
    /// By this signal; all that was made goes.
    Stops(&'static str),
    /// Another process serves from here on; all stays.
    Leaves,
}

/// Opens the network to the outside: sockets, netdevs that are there already,
/// and says so.
async fn open(network: &Shared) -> anyhow::Result<(Monitor, Connections, Takers)> {
    let mut held = network.lock().await;
    let monitor = Monitor::new(held.links.clone())?;
    let links = held.links.all().await?;
    held.forget_missing(&links);
    for link in links {
        held.link_changed(LinkEvent::Changed(link)).await;
    }
    // What changed meanwhile, and all that is there once more, comes up here.
    let connections = Connections::new(listener(held.listen_on(CONNECT)?)?);
    let control = listener(held.listen_on(CONTROL)?)?;
    let takers = Takers::listen(network, &mut held)?;
    let routes = api::router(network.clone());
    tokio::spawn(async move {
        if let Err(error) = axum::serve(control, routes).await {
            tracing::error!("the control socket fails: {error}");
        }
    });
    let mut out = io::stdout().lock();
    // Whoever started us may have closed the other end.
    let _ = write!(out, "{}", greeting::Greeting(&held)).and_then(|()| out.flush());
    states::ready(&held);
    held.events.tell(Told::Started {
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    Ok((monitor, connections, takers))
}

fn listener(socket: StdListener) -> io::Result<UnixListener> {
    UnixListener::from_std(socket)
}

/// Brings the switch's events from its channel to this thread.
fn forwarded(
    events: crossbeam_channel::Receiver<Event>,
) -> io::Result<mpsc::UnboundedReceiver<Event>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::Builder::new()
        .name("events".into())
        .spawn(move || {
            for event in events {
                if sender.send(event).is_err() {
                    break;
                }
            }
        })?;
    Ok(receiver)
}

/// Tells of what the switch notices.
async fn follow_switch(network: Shared) {
    if let Err(error) = events::watch::watch(network).await {
        tracing::warn!("nothing is told of moved stations and drops: {error}");
    }
}

async fn hung_up(network: &Shared) {
    let mut network = network.lock().await;
    states::reloading();
    // It says itself what it did, and what not.
    let _ = reload::reload(&mut network, false).await;
    states::ready(&network);
}

async fn followed(network: &Shared, event: Result<LinkEvent, MonitorError>) {
    match event {
        Ok(event) => network.lock().await.link_changed(event).await,
        Err(error) => tracing::warn!("{}", network::chain(error)),
    }
}
