//! `vmlan events --json` beside a test.

use crate::process::Process;
use crate::switch::Switch;
use crate::wait::{self, SOON};
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::ExitStatus;
use std::time::Duration;

/// One that follows the events of a network, and keeps them.
#[derive(Debug)]
pub struct Follower {
    process: Process,
}

impl Follower {
    /// Follows the events of `switch`, those that are kept first.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(switch: &Switch) -> Result<Self> {
        let process = switch.background("events --json --history")?;
        Ok(Self { process })
    }

    /// All events so far.
    ///
    /// # Errors
    /// A line is no JSON.
    pub fn events(&self) -> Result<Vec<Value>> {
        let lines = self.process.stdout_from(0);
        let parse = |line: &String| serde_json::from_str(line).with_context(|| line.clone());
        lines.iter().map(parse).collect()
    }

    /// Those of one kind so far.
    ///
    /// # Errors
    /// As [`Follower::events`].
    pub fn of_kind(&self, kind: &str) -> Result<Vec<Value>> {
        let mut events = self.events()?;
        events.retain(|event| event["kind"] == kind);
        Ok(events)
    }

    /// Waits for an event of a kind that `wanted` takes.
    ///
    /// # Errors
    /// None came soon; with all that did.
    pub fn wait_for(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.wait_within(SOON, kind, wanted)
    }

    /// As [`Follower::wait_for`], with a deadline.
    ///
    /// # Errors
    /// None came within `within`; with all that did.
    pub fn wait_within(
        &self,
        within: Duration,
        kind: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        wait::until(kind, within, || {
            let found = self.of_kind(kind)?.into_iter().find(|event| wanted(event));
            found.with_context(|| self.process.stdout())
        })
    }

    /// Waits for its end, and gives what it said of it.
    ///
    /// # Errors
    /// It goes on.
    pub fn end(&mut self) -> Result<(ExitStatus, String)> {
        let status = self.process.wait(SOON)?;
        Ok((status, self.process.stderr()))
    }
}
