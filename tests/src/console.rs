//! The shell on a guest's serial line; `tests/guest/init` has the protocol.

use crate::process::{Lines, Outcome};
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::io::Write;
use std::time::Duration;

/// The longest that a boot may take on a busy machine.
const BOOT: Duration = Duration::from_secs(60);

/// The far end of a serial line.
pub struct Console {
    lines: Lines,
    input: Box<dyn Write + Send>,
    /// Lines that were taken already.
    read: usize,
}

impl Console {
    /// The console whose `lines` come in while `input` goes out.
    pub fn new(lines: Lines, input: impl Write + Send + 'static) -> Self {
        Self {
            lines,
            input: Box::new(input),
            read: 0,
        }
    }

    /// Waits for the guest's shell.
    ///
    /// # Errors
    /// It does not come up; with what it printed.
    pub fn wait_for_shell(&mut self) -> Result<()> {
        self.collect("the guest's shell", BOOT, |line| {
            (line == "@@ready").then_some(())
        })
        .1
    }

    /// Runs `script`, one line, and gives what it printed.
    ///
    /// # Errors
    /// It does not end `within`, or the line is closed.
    pub fn shell(&mut self, script: &str, within: Duration) -> Result<Outcome> {
        ensure!(!script.contains('\n'), "a guest takes one line: {script}");
        self.input
            .write_all(format!("{script}\n").as_bytes())
            .and_then(|()| self.input.flush())
            .context("cannot write to the guest")?;
        let (mut output, status) =
            self.collect("the end of a command in the guest", within, |line| {
                line.strip_prefix("@@end ").map(str::to_owned)
            });
        let begin = output.iter().rposition(|line| line == "@@begin");
        let stdout = output.split_off(begin.map_or(0, |at| at + 1)).join("\n");
        Ok(Outcome {
            status: status
                .with_context(|| format!("{script}\n{stdout}"))?
                .parse()?,
            stdout,
            stderr: String::new(),
        })
    }

    /// Takes lines until `wanted` takes one of them; with those before it.
    fn collect<T>(
        &mut self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> (Vec<String>, Result<T>) {
        let mut passed = Vec::new();
        let found = wait::until(what, within, || {
            // Asked first: what came before the end is still looked at.
            let ended = self.lines.ended();
            for line in self.lines.from(self.read) {
                self.read += 1;
                if let Some(found) = wanted(&line) {
                    return Ok(Ok(found));
                }
                passed.push(line);
            }
            if ended {
                return Ok(Err(anyhow::anyhow!("the serial line is closed")));
            }
            anyhow::bail!("still waiting")
        });
        let found = found
            .and_then(|found| found)
            .with_context(|| passed.join("\n"));
        (passed, found)
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("lines", &self.lines)
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}
