//! What stands at an end of a link: a namespace or a guest.

use crate::process::Outcome;
use crate::wait::SOON;
use anyhow::{Context, Result};
use std::time::Duration;

/// Something on the network that runs shell scripts.
pub trait Station {
    /// Runs `script` with `sh -c`.
    ///
    /// # Errors
    /// It did not end within `within`; with what it had printed.
    fn shell(&self, script: &str, within: Duration) -> Result<Outcome>;

    /// Runs a `script` that must succeed, soon, and gives what it printed.
    ///
    /// # Errors
    /// Its exit status is not 0.
    fn run(&self, script: &str) -> Result<String> {
        self.shell(script, SOON)?
            .success()
            .with_context(|| script.to_owned())
    }

    /// Sends three pings to `address` and wants three answers.
    ///
    /// # Errors
    /// One is missing.
    fn ping(&self, address: impl std::fmt::Display) -> Result<()>
    where
        Self: Sized,
    {
        // The first may wait for ARP; all three have to come back.
        let output = self.run(&format!("ping -c 3 -W 5 {address}"))?;
        anyhow::ensure!(
            output.contains("3 packets received") || output.contains("3 received"),
            "{output}"
        );
        Ok(())
    }
}
