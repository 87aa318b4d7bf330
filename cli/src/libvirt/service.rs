//! A vmlan of its own process that serves a network: started and stopped.

use crate::args::Place;
use crate::config::NetworkName;
use crate::host::rundir;
use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::env;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether it has come to that.
const POLL: Duration = Duration::from_millis(10);

/// Who keeps vmlan running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Keeper {
    /// systemd, by this unit.
    Systemd(String),
    /// Nobody: it is a process without a parent.
    Nobody,
}

impl Keeper {
    /// The keeper of the network `name`: systemd, where it runs and has the
    /// unit `vmlan@NAME`.
    pub(super) fn find(name: &NetworkName) -> Self {
        let unit = format!("vmlan@{name}.service");
        // sd_booted(3)
        let booted = Path::new("/run/systemd/system").is_dir();
        if booted && systemctl("cat", &unit).is_ok() {
            return Self::Systemd(unit);
        }
        Self::Nobody
    }

    /// Starts the network `name` and waits until it is served.
    ///
    /// # Errors
    /// It does not come up, with what it says; nothing of it runs then.
    pub(super) fn start(&self, name: &NetworkName, log: &Path) -> Result<()> {
        match self {
            // Its type is `notify`: it waits by itself.
            Self::Systemd(unit) => systemctl("start", unit),
            Self::Nobody => spawn(name, log),
        }
    }

    /// What to know of the next boot.
    pub(super) fn at_boot(&self) -> String {
        match self {
            Self::Systemd(unit) if systemctl("is-enabled", unit).is_ok() => {
                "it starts at boot".to_owned()
            }
            Self::Systemd(unit) => {
                format!("`systemctl enable {unit}` has it start at boot, too")
            }
            Self::Nobody => "nothing starts it at boot".to_owned(),
        }
    }

    /// Stops the network `name`, if it is served, and waits for its end.
    ///
    /// # Errors
    /// It does not end.
    pub(super) fn stop(&self, place: &Place, name: &NetworkName) -> Result<()> {
        if let Self::Systemd(unit) = self {
            systemctl("stop", unit)?;
        }
        // One that was started by hand.
        let Some(pid) = server(place, name)? else {
            return Ok(());
        };
        let number = Pid::from_raw(pid).context("the lock of the network names no process")?;
        kill_process(number, Signal::TERM).with_context(|| format!("cannot end process {pid}"))?;
        let end = Instant::now() + PATIENCE;
        while server(place, name)?.is_some() {
            ensure!(
                Instant::now() < end,
                "process {pid}, which serves the network, does not end"
            );
            thread::sleep(POLL);
        }
        Ok(())
    }
}

/// The process that serves the network `name`; 0 where it does not tell.
///
/// # Errors
/// The run folder cannot be looked at.
pub(super) fn server(place: &Place, name: &NetworkName) -> Result<Option<i32>> {
    Ok(rundir::server(&place.run_dir(), name.as_str())?)
}

fn systemctl(verb: &str, unit: &str) -> Result<()> {
    let output = Command::new("systemctl")
        .args([verb, "--quiet", unit])
        // What is typed at the terminal must not end it while it puts back.
        .process_group(0)
        .stdin(Stdio::null())
        .output()
        .context("cannot run systemctl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "systemctl {verb} {unit}: {}\nhelp: `journalctl -u {unit}` has its log",
        said.trim()
    );
    Ok(())
}

/// Runs this program in the background, with its log in the file `log`.
fn spawn(name: &NetworkName, log: &Path) -> Result<()> {
    let program = env::current_exe().context("cannot find this program")?;
    let opened = OpenOptions::new().create(true).append(true).open(log);
    let file = opened.with_context(|| format!("cannot write {}", log.display()))?;
    let before = file.metadata().map_or(0, |found| found.len());
    let mut child = Command::new(program)
        .args(["run", "--network", name.as_str()])
        .current_dir("/")
        // What is typed at the terminal is not for it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .context("cannot start vmlan")?;
    let ready = wait_until_ready(&mut child, log, before);
    if ready.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
    ready
}

fn wait_until_ready(child: &mut Child, log: &Path, before: u64) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let ended = child.try_wait()?;
        let bytes = fs::read(log).unwrap_or_default();
        let new = usize::try_from(before).ok().and_then(|at| bytes.get(at..));
        let said = String::from_utf8_lossy(new.unwrap_or_default());
        if said.lines().any(|line| line.starts_with("ready: ")) {
            return Ok(());
        }
        if let Some(status) = ended {
            bail!("vmlan does not start ({status}):\n{}", said.trim_end());
        }
        if Instant::now() >= end {
            bail!(
                "vmlan is not ready within {} s:\n{}",
                PATIENCE.as_secs(),
                said.trim_end()
            );
        }
        thread::sleep(POLL);
    }
}
