//! The side of the process that wants the network: it asks the one that serves.

use super::TAKEOVER;
use super::record::{Fixed, Record, VERSION};
use super::store::Files;
use super::wire;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the other process may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first word, to the process that serves.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) version: u32,
    pub(super) pid: u32,
}

/// Its answer, with the locks of RUN/NAME and STATE/NAME.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Welcome {
    pub(super) pid: u32,
    pub(super) network: Fixed,
}

/// Its answer where it cannot be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) reason: String,
}

/// All is prepared: hand over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Go {}

/// The network is served: go.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {}

/// A process that is ready to give the network away.
#[derive(Debug)]
pub(super) struct Asked {
    giver: UnixStream,
    pub(super) pid: u32,
    pub(super) network: Fixed,
    /// Of RUN/NAME.
    pub(super) run_lock: Option<OwnedFd>,
    /// Of STATE/NAME.
    pub(super) state_lock: Option<OwnedFd>,
}

impl Asked {
    /// Asks the process that serves the network of `run`, the folder RUN/NAME;
    /// `None` where none does.
    pub(super) fn ask(run: &Path) -> anyhow::Result<Option<Self>> {
        let giver = match UnixStream::connect(run.join(TAKEOVER)) {
            Ok(giver) => giver,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => {
                let path = run.join(TAKEOVER);
                return Err(error).with_context(|| format!("cannot connect to {}", path.display()));
            }
        };
        giver.set_read_timeout(Some(PATIENCE))?;
        giver.set_write_timeout(Some(PATIENCE))?;
        let hello = Hello {
            version: VERSION,
            pid: std::process::id(),
        };
        wire::send(&giver, &hello, &[]).context("the running vmlan does not listen")?;
        let (answer, locks) =
            wire::receive(&giver).context("the running vmlan gives no answer to --takeover")?;
        let Welcome { pid, network } = match answer {
            Ok(welcome) => welcome,
            Err(Refusal { reason }) => bail!(reason),
        };
        let mut locks = locks.into_iter();
        Ok(Some(Self {
            giver,
            pid,
            network,
            run_lock: locks.next(),
            state_lock: locks.next(),
        }))
    }

    /// Has it hand over. It waits for [`Taken::done`] then; if this process ends
    /// before, it goes on itself.
    pub(super) fn take(self) -> anyhow::Result<(Record, Files, Taken)> {
        wire::send(&self.giver, &Go {}, &[])?;
        let ((record, names), files): ((Record, Vec<String>), _) =
            wire::receive(&self.giver).context("the running vmlan does not hand over")?;
        let files: Files = names.into_iter().zip(files).collect();
        Ok((record, files, Taken { giver: self.giver }))
    }
}

/// A network that was handed over, as far as the other process does not take it
/// back.
#[derive(Debug)]
pub(super) struct Taken {
    giver: UnixStream,
}

impl Taken {
    /// Lets the other process go, and waits until it has let go of everything.
    pub(super) fn done(&mut self) -> io::Result<()> {
        wire::send(&self.giver, &Done {}, &[])?;
        match self.giver.read(&mut [0]) {
            // It was in a hurry to end.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            ended => ended.map(drop),
        }
    }
}
