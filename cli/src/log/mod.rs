//! Where log lines go: stderr, which systemd leads to the journal. What is
//! written can change while the program runs ([`set`]).

mod filter;
mod journal;

pub use filter::LogFilter;

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, PoisonError};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

/// The variable that has a filter for the start.
pub(crate) const VARIABLE: &str = "VMLAN_LOG";

/// The filter of this process, once it logs. There is one log for all of it.
static ACTIVE: Mutex<Option<Active>> = Mutex::new(None);

struct Active {
    filter: LogFilter,
    handle: Handle<Targets, Registry>,
}

/// Starts logging by the filter in [`VARIABLE`], `info` without one.
pub(crate) fn start() {
    let named = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let (filter, refused) = match named.as_deref().map(str::parse) {
        None => (LogFilter::default(), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(problem)) => (LogFilter::default(), Some(problem)),
    };
    let (targets, handle) = reload::Layer::new(filter.targets());
    let lines = fmt::layer().with_target(false);
    let lines = if journal::is_stderr() {
        // The journal has time and level of each line beside it.
        let lines = lines.without_time().with_level(false).with_ansi(false);
        lines.with_writer(journal::Lines).boxed()
    } else {
        let ansi = io::stderr().is_terminal();
        lines.with_ansi(ansi).with_writer(io::stderr).boxed()
    };
    tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .init();
    *ACTIVE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Active { filter, handle });
    if let Some(problem) = refused {
        tracing::warn!("{VARIABLE} is left aside: {}", problem.one_line());
    }
}

/// Writes lines by the filter of a configuration, unless [`VARIABLE`] has one.
pub(crate) fn configure(filter: Option<&LogFilter>) {
    let named = std::env::var_os(VARIABLE).is_some_and(|text| !text.is_empty());
    if let Some(filter) = filter
        && !named
    {
        set(filter.clone());
    }
}

/// The filter that holds.
#[must_use]
pub fn filter() -> LogFilter {
    let active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
    active
        .as_ref()
        .map_or_else(LogFilter::default, |active| active.filter.clone())
}

/// Writes lines by `filter` from now on.
pub fn set(filter: LogFilter) {
    let mut active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(active) = active.as_mut() {
        // It fails only where the subscriber is gone, which lasts as long as the
        // process.
        let _ = active.handle.reload(filter.targets());
        active.filter = filter;
    }
}
