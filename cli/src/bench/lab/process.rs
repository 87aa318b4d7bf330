//! Programs that the bench starts: each in a process group of its own, each
//! bounded in time, each ended with its value.

use crate::bench::interrupt::{self, wait_for};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);
/// Lines of a log that are quoted in an error.
const QUOTED: usize = 8;

/// Arguments that have `PROGRAM ARGUMENTS…` behind them end with the thread that
/// starts them (`PR_SET_PDEATHSIG`), even if that is killed. What was already an
/// orphan when the signal was set would never get it, so it does not go on.
pub(crate) fn tied() -> [String; 8] {
    let parent = std::process::id().to_string();
    let check = r#"[ "$PPID" = "$0" ] && exec "$@""#;
    [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "--",
        "sh",
        "-c",
        check,
        &parent,
    ]
    .map(str::to_owned)
}

/// A program that runs beside the bench.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    /// What it prints, unless that is read as it comes.
    out: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, with what it prints in `FOLDER/NAME.out`, its errors
    /// in `FOLDER/NAME.log`, and its standard input left open.
    ///
    /// # Errors
    /// It is not installed.
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let out = folder.join(format!("{name}.out"));
        command.stdout(create(&out)?);
        Self::spawn(name, command, folder)
    }

    /// As [`Process::start`], but waits for the first line of standard output
    /// that starts with `start`; gives the time until then.
    ///
    /// # Errors
    /// It is not installed, ends before, or the line does not come.
    pub(crate) fn start_until(
        name: &str,
        mut command: Command,
        folder: &Path,
        start: &str,
        within: Duration,
    ) -> Result<(Self, Duration)> {
        command.stdout(Stdio::piped());
        let begun = Instant::now();
        let mut process = Self::spawn(name, command, folder)?;
        let pipe = process.child.stdout.take().context("stdout is a pipe")?;
        let (sender, receiver) = mpsc::channel();
        let start = start.to_owned();
        // Reads on to the end, so that the program is never stopped by a full
        // pipe; ends with it.
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if line.starts_with(&start) {
                    let _ = sender.send(begun.elapsed());
                }
            }
        });
        let time = wait_for(name, within, || {
            if let Ok(time) = receiver.try_recv() {
                return Ok(Some(time));
            }
            process.running()?;
            Ok(None)
        })?;
        Ok((process, time))
    }

    fn spawn(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            out: folder.join(format!("{name}.out")),
            log,
        })
    }

    /// Its process id: what starts it in a namespace replaces itself.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails where it has ended, with the end of its log.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended, {status}: {}", self.name, self.log()),
        }
    }

    /// Waits until it has printed `text`.
    ///
    /// # Errors
    /// It has ended, or does not print it within `within`.
    pub(crate) fn wait_for_text(&mut self, text: &str, within: Duration) -> Result<()> {
        let name = self.name.clone();
        wait_for(&name, within, || {
            let printed = fs::read_to_string(&self.out).unwrap_or_default();
            if printed.contains(text) {
                return Ok(Some(()));
            }
            self.running()?;
            Ok(None)
        })
    }

    /// Waits for its end and gives what it printed.
    ///
    /// # Errors
    /// It still runs after `within`, or failed.
    pub(crate) fn finish(mut self, within: Duration) -> Result<String> {
        let name = self.name.clone();
        let status = wait_for(&name, within, || Ok(self.child.try_wait()?))?;
        ensure!(status.success(), "{name}: {status}: {}", self.log());
        fs::read_to_string(&self.out).with_context(|| format!("cannot read what {name} printed"))
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let end = Instant::now() + GRACE;
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::TERM);
        }
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
        // Whatever is left of it and of its children.
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    /// The last lines that it printed, errors last.
    fn log(&self) -> String {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        last_lines(&(read(&self.out) + &read(&self.log)))
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot make {}", path.display()))
}

/// Runs `command` to its end and gives its standard output.
///
/// # Errors
/// It is not installed, still runs after `within`, or failed; with what it
/// printed.
pub(crate) fn run(mut command: Command, within: Duration) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    // Files, not pipes: nobody has to read while it runs.
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let status = wait_for_end(&mut child, within).with_context(|| name.clone())?;
    let mut text = [String::new(), String::new()];
    for (file, text) in [&mut out, &mut err].into_iter().zip(&mut text) {
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }
    let [out, err] = text;
    ensure!(
        status.success(),
        "{name}: {status}: {}",
        last_lines(&format!("{out}{err}"))
    );
    Ok(out)
}

fn wait_for_end(child: &mut Child, within: Duration) -> Result<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        // What ends a namespace goes on when a signal came: it is bounded too.
        if begun.elapsed() > within {
            let _ = child.kill();
            let _ = child.wait();
            return Err(interrupt::check()
                .err()
                .unwrap_or_else(|| anyhow!("still runs after {within:?}")));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Ends the process whose id `pid` is, as text.
pub(super) fn kill(pid: &str) {
    if let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(QUOTED);
    lines.get(from..).unwrap_or_default().join("\n")
}
