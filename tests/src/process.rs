//! A program that runs beside the test.

use crate::console::Console;
use crate::wait;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A child process in a process group of its own, which ends with this value.
/// What it prints is kept.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines,
    stderr: Lines,
}

/// The lines of a pipe or a socket, as far as they have come.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Printed>>);

#[derive(Debug, Default)]
struct Printed {
    lines: Vec<String>,
    /// No more will come.
    ended: bool,
}

impl Lines {
    /// Reads `pipe` to its end on a thread of its own.
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let sink = lines.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches(['\r', '\n']).to_owned();
                sink.printed().lines.push(text);
                line.clear();
            }
            sink.printed().ended = true;
        });
        lines
    }

    /// Those from number `start` (counted from 0).
    #[must_use]
    pub fn from(&self, start: usize) -> Vec<String> {
        let lines = &self.printed().lines;
        lines.get(start..).unwrap_or_default().to_vec()
    }

    /// Whether no more will come.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.printed().ended
    }

    fn printed(&self) -> MutexGuard<'_, Printed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Starts `command` with all three standard streams piped.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(mut command: Command) -> Result<Self> {
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}; has tests/install.sh run?"))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        Ok(Self {
            stdin: child.stdin.take(),
            stdout: Lines::of(stdout),
            stderr: Lines::of(stderr),
            child,
        })
    }

    /// Process id. `ip netns exec` replaces itself, so it is the program's own.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines of its standard output from number `start` (counted from 0).
    #[must_use]
    pub fn stdout_from(&self, start: usize) -> Vec<String> {
        self.stdout.from(start)
    }

    /// All of its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.from(0).join("\n")
    }

    /// All of its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.from(0).join("\n")
    }

    /// The lines of its standard error from number `start` (counted from 0).
    #[must_use]
    pub fn stderr_from(&self, start: usize) -> Vec<String> {
        self.stderr.from(start)
    }

    /// Its standard input and output as a guest's serial line. It takes no more
    /// lines by [`Process::write_line`] then.
    ///
    /// # Errors
    /// That was done before.
    pub fn console(&mut self) -> Result<Console> {
        let stdin = self.stdin.take().context("stdin is taken")?;
        Ok(Console::new(self.stdout.clone(), stdin))
    }

    /// Writes one line to its standard input.
    ///
    /// # Errors
    /// The process reads no more.
    pub fn write_line(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("stdin is closed")?;
        stdin.write_all(format!("{line}\n").as_bytes())?;
        stdin.flush().context("cannot write to the process")
    }

    /// Sends `signal` to the process.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal).with_context(|| format!("signal {signal:?}"))
    }

    /// Fails where it runs no more.
    ///
    /// # Errors
    /// It has ended.
    pub fn running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the process has ended, {status}"),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after `within`.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        wait::until("the end of a process", within, || {
            child.try_wait()?.context("it still runs")
        })
        .with_context(|| format!("stderr so far:\n{}", self.stderr.from(0).join("\n")))
    }

    /// The first line of standard output, from number `start`, that `wanted`
    /// takes.
    ///
    /// # Errors
    /// None came within `within`, or the process ended before; with what it
    /// has printed.
    pub fn wait_for_line(
        &mut self,
        what: &str,
        start: usize,
        within: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let (stdout, stderr, child) = (&self.stdout, &self.stderr, &mut self.child);
        let find = || stdout.from(start).into_iter().find(|line| wanted(line));
        let mut ended = None;
        let line = wait::until(what, within, || {
            // What was printed before the end may come in after it.
            if let (None, Ok(Some(status))) = (find(), child.try_wait()) {
                ended.get_or_insert((status, std::time::Instant::now()));
            }
            if let Some((status, since)) = ended
                && since.elapsed() > Duration::from_millis(200)
            {
                return Ok(Err(status));
            }
            find().context("no such line").map(Ok)
        });
        let printed = || {
            format!(
                "stdout:\n{}\nstderr:\n{}",
                stdout.from(0).join("\n"),
                stderr.from(0).join("\n")
            )
        };
        match line.with_context(printed)? {
            Ok(line) => Ok(line),
            Err(status) => bail!("{what}: the process ended, {status}; {}", printed()),
        }
    }

    /// Ends it with SIGKILL and reaps it. Does nothing where it has ended.
    pub fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Ok(pid) = self.pid()
        {
            // Failing means that it has just ended by itself.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    fn pid(&self) -> Result<Pid> {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("not a process id")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a program that has ended left.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Exit status; 128 + the signal's number where one ended it.
    pub status: i32,
    /// Standard output. Of a guest: with standard error.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Standard output of a program that succeeded.
    ///
    /// # Errors
    /// Its exit status was not 0; with all that it printed.
    pub fn success(self) -> Result<String> {
        ensure!(
            self.status == 0,
            "exit status {}\nstdout:\n{}\nstderr:\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        Ok(self.stdout)
    }
}

/// Runs `command` to its end.
///
/// # Errors
/// It cannot be started, or runs longer than `within`.
pub fn run(mut command: Command, within: Duration) -> Result<Outcome> {
    use std::os::unix::process::ExitStatusExt;

    // Files, not pipes: something that the program leaves running behind it
    // may hold on to its output.
    let mut stdout = tempfile::tempfile()?;
    let mut stderr = tempfile::tempfile()?;
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {command:?}; has tests/install.sh run?"))?;
    let ended = wait::until("the end of a program", within, || {
        child.try_wait()?.context("it still runs")
    });
    if ended.is_err() {
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = child.wait();
    }
    let (stdout, stderr) = (text(&mut stdout)?, text(&mut stderr)?);
    let status = ended.with_context(|| format!("{command:?}\n{stdout}\n{stderr}"))?;
    Ok(Outcome {
        status: status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
        stdout,
        stderr,
    })
}

fn text(file: &mut std::fs::File) -> Result<String> {
    use std::io::{Seek, SeekFrom};

    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
