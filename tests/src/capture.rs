//! What a netdev sees, by tcpdump.

use crate::namespace::Namespace;
use crate::process::Process;
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Process,
}

impl Capture {
    /// Captures on `interface` of `namespace` what `filter` takes, and returns
    /// once it has begun.
    ///
    /// # Errors
    /// tcpdump fails; with what it printed.
    pub fn start(namespace: &Namespace, interface: &str, filter: &str) -> Result<Self> {
        let tcpdump = namespace.spawn(&format!(
            "exec tcpdump -i {interface} -n -e -vv -l --immediate-mode '{filter}'"
        ))?;
        wait::until("tcpdump", wait::SOON, || {
            let log = tcpdump.stderr();
            ensure!(log.contains("listening on"), "{log}");
            Ok(())
        })?;
        Ok(Self { tcpdump })
    }

    /// All that it printed up to now.
    #[must_use]
    pub fn text(&self) -> String {
        self.tcpdump.stdout()
    }

    /// Waits until a line holds `text`, and gives all that was printed until
    /// then. To show that a frame did *not* come, send one that must come
    /// after it, and wait for that.
    ///
    /// # Errors
    /// It does not come soon.
    pub fn until(&mut self, text: &str) -> Result<String> {
        self.until_within(text, wait::SOON)
    }

    /// As [`Capture::until`], with a deadline.
    ///
    /// # Errors
    /// It does not come within `within`.
    pub fn until_within(&mut self, text: &str, within: Duration) -> Result<String> {
        self.tcpdump
            .wait_for_line(text, 0, within, |line| line.contains(text))
            .context("a captured frame")?;
        Ok(self.text())
    }
}
