//! One run of the program: its arguments and environment, its output to the
//! log, its end.

use super::book::{Action, Call, LeaseCall};
use crate::daemon::allowance::Allowance;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use vmlan_dhcp::clock::shift;
use vmlan_dhcp::leasefile;

/// Bytes of output that one run may log.
const MAX_OUTPUT: usize = 16 << 10;
/// The longest line of it.
const MAX_LINE: usize = 400;
/// How long the output is waited for when the program has ended. It may have
/// left others behind that hold it.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What does not change from run to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// The host's own interface.
    pub(super) interface: Option<String>,
    /// What the names of guests end in.
    pub(super) domain: Option<String>,
}

/// How a run ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It did not come to one.
    #[error("cannot be run")]
    Start(#[source] io::Error),
    /// As programs end that have failed.
    #[error("ends with {0}")]
    Status(ExitStatus),
    /// It had no more time.
    #[error("has not ended within {0:?} and is killed")]
    Timeout(Duration),
}

/// What the program is told.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, OsString)>,
    /// Its standard output is of no interest.
    pub(super) quiet: bool,
}

/// Runs `program` to its end, which comes after `limit` at the latest.
pub(super) async fn run(
    program: &Path,
    told: Told,
    limit: Duration,
    log: &mut Allowance,
) -> Result<(), Failure> {
    let mut child = Command::new(program)
        .args(told.arguments)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .envs(told.environment)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(Failure::Start)?;
    let group = Group::of(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = {
        let output = async {
            tokio::join!(collect(stdout, &mut out), collect(stderr, &mut err));
        };
        tokio::pin!(output);
        let both = async {
            tokio::select! {
                status = child.wait() => {
                    // What it has said before may still be in the pipes.
                    let _ = tokio::time::timeout(LAST_WORDS, output).await;
                    status
                }
                () = &mut output => child.wait().await,
            }
        };
        tokio::time::timeout(limit, both).await
    };
    if !told.quiet {
        say(program, &out, log);
    }
    say(program, &err, log);
    match ended {
        Ok(Ok(status)) if status.success() => {
            group.leave();
            Ok(())
        }
        Ok(Ok(status)) => {
            group.leave();
            Err(Failure::Status(status))
        }
        Ok(Err(error)) => Err(Failure::Start(error)),
        Err(_) => {
            group.kill();
            // It cannot hold out against SIGKILL, but in the kernel.
            let _ = tokio::time::timeout(LAST_WORDS, child.wait()).await;
            Err(Failure::Timeout(limit))
        }
    }
}

/// The process group of a run, which is killed when this is dropped.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Lets what the program has left behind go on.
    fn leave(mut self) {
        self.0 = None;
    }

    fn kill(self) {
        drop(self);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Failing means that nobody is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Reads a pipe to its end and keeps as much as may be logged.
async fn collect(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        let room = MAX_OUTPUT.saturating_sub(kept.len());
        kept.extend(buffer.iter().take(length.min(room)));
    }
}

/// Logs what the program printed.
fn say(program: &Path, output: &[u8], log: &mut Allowance) {
    let text = String::from_utf8_lossy(output);
    let name = program.display();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line: String = line.chars().take(MAX_LINE).collect();
        log.say(Instant::now(), |unsaid| {
            tracing::info!("{name}: {}{unsaid}", line.escape_debug());
        });
    }
}

/// As dnsmasq(8) has them under `--dhcp-script`.
pub(super) fn arguments(call: &Call) -> Vec<String> {
    let Call::Lease(call) = call else {
        return vec![Action::Init.name().to_owned()];
    };
    let mut arguments = vec![
        call.action.name().to_owned(),
        call.holder.mac.to_string(),
        call.address.to_string(),
    ];
    arguments.extend(call.holder.hostname.as_deref().map(str::to_owned));
    arguments
}

/// The variables of dnsmasq(8) that go with the call, at `now` by the time that
/// leases run by; that of users is `skew` ahead.
pub(super) fn environment(
    call: &Call,
    surroundings: &Surroundings,
    now: u64,
    skew: i64,
) -> Vec<(String, OsString)> {
    let Call::Lease(call) = call else {
        return Vec::new();
    };
    let mut variables: Vec<(String, OsString)> = Vec::new();
    let mut set = |name: &str, value: Option<OsString>| {
        variables.extend(value.map(|value| (format!("DNSMASQ_{name}"), value)));
    };
    let LeaseCall { holder, .. } = call;
    set("INTERFACE", surroundings.interface.clone().map(Into::into));
    let expiry = shift(holder.expiry, skew);
    set("LEASE_EXPIRES", Some(expiry.to_string().into()));
    let left = holder.expiry.saturating_sub(now);
    if left > 0 && call.action != Action::Del {
        set("TIME_REMAINING", Some(left.to_string().into()));
    }
    if let Some(id) = &holder.client_id {
        let mut hex = String::new();
        // Writing to a string does not fail.
        let _ = leasefile::write_hex(&mut hex, id);
        set("CLIENT_ID", Some(hex.into()));
    }
    if holder.hostname.is_some() || call.old_hostname.is_some() {
        set("DOMAIN", surroundings.domain.clone().map(Into::into));
    }
    let old = call.old_hostname.as_deref().map(|name| name.to_owned());
    set("OLD_HOSTNAME", old.map(Into::into));
    match &call.data {
        None => set("DATA_MISSING", Some("1".into())),
        Some(data) => {
            for (name, value) in &data.variables {
                set(name, Some(value.clone()));
            }
        }
    }
    variables
}

#[cfg(test)]
mod tests;
