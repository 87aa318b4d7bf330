//! SIGINT, SIGTERM and SIGHUP end the bench in good order: whatever waits asks
//! [`check`] from time to time, and the way out removes what was made.

use anyhow::{Context as _, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(5);

/// The program was told to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; what was made is removed")]
pub(crate) struct Interrupted;

/// Has signals noticed from now on, instead of ending the process at once.
///
/// # Errors
/// The process can have no more threads or file descriptors.
pub(crate) fn listen() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot listen for signals")?;
    let (mut int, mut term, mut hup) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        )
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                    _ = hup.recv() => {}
                }
            });
            INTERRUPTED.store(true, Ordering::Relaxed);
        })
        .context("cannot listen for signals")?;
    Ok(())
}

/// Fails once a signal has come.
pub(crate) fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        return Err(Interrupted.into());
    }
    Ok(())
}

/// Sleeps for `time`, or until a signal comes.
///
/// # Errors
/// [`Interrupted`].
pub(crate) fn sleep(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    loop {
        check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// Calls `condition` until it gives something.
///
/// # Errors
/// [`Interrupted`]; the condition failed; or it gave nothing within `within`,
/// with `what` said to be missing.
pub(crate) fn wait_for<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        check()?;
        if let Some(value) = condition()? {
            return Ok(value);
        }
        anyhow::ensure!(Instant::now() < end, "{what}: not within {within:?}");
        thread::sleep(POLL);
    }
}
