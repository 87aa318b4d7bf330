//! What vmlan takes while there is nothing to do, with 8 ports, and how long it
//! takes to start.

use super::Place;
use crate::bench::interrupt;
use crate::bench::lab::process;
use crate::bench::peer::{Peer, vmlan};
use crate::bench::result::{Reading, Recorder, Unit};
use anyhow::{Context as _, Result};
use std::fs;
use std::iter;
use std::process::Command;
use std::time::Duration;

/// Until all that belongs to a start is over.
const SETTLE: Duration = Duration::from_secs(1);
/// How long is looked at.
const TIME: Duration = Duration::from_secs(10);
const PORTS: u32 = 8;

pub(super) fn run(place: &Place<'_>, recorder: &mut Recorder<'_>) -> Result<()> {
    if recorder.peer != Peer::Vmlan {
        return Ok(());
    }
    recorder.case("8 TAP ports", || {
        let namespace = place.lab.namespace("idle")?;
        let folder = place.lab.folder("idle")?;
        let ports =
            (1..=PORTS).map(|port| format!("[[port]]\nname = \"port{port}\"\nkind = \"tap\"\n"));
        let config: String = iter::once(vmlan::NO_DHCP.to_owned()).chain(ports).collect();
        // Not by way of `ip netns exec`, whose own start would count: the
        // thread is inside, and vmlan ends with it.
        namespace.enter(|| {
            let command = vmlan::command(&folder, "", &config, |program| {
                let mut command = Command::new("env");
                command.args(process::tied()).arg(program);
                command
            })?;
            let (mut process, ready) = vmlan::start(command, &folder)?;
            interrupt::sleep(SETTLE)?;
            let before = Usage::of(process.id())?;
            interrupt::sleep(TIME)?;
            process.running()?;
            let after = Usage::of(process.id())?;
            Ok(vec![
                Reading::new(
                    "start to ready",
                    ready.as_secs_f64() * 1e3,
                    Unit::Milliseconds,
                ),
                Reading::new(
                    "CPU in 10 s",
                    (after.ticks - before.ticks) as f64,
                    Unit::Ticks,
                ),
                Reading::new(
                    "wake-ups in 10 s",
                    (after.wakeups - before.wakeups) as f64,
                    Unit::Times,
                ),
                Reading::new(
                    "resident",
                    after.resident_kib as f64 / 1024.0,
                    Unit::Mebibytes,
                ),
            ])
        })
    })
}

/// What a process has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    /// User and system time, in clock ticks.
    ticks: u64,
    /// Times that any of its threads went to sleep, and so woke up.
    wakeups: u64,
    resident_kib: u64,
}

impl Usage {
    fn of(pid: u32) -> Result<Self> {
        let read = |path: String| fs::read_to_string(&path).with_context(|| path);
        let mut wakeups = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let status = read(task?.path().join("status").display().to_string())?;
            wakeups += field(&status, "voluntary_ctxt_switches:").context("no wake-ups")?;
        }
        let stat = read(format!("/proc/{pid}/stat"))?;
        let status = read(format!("/proc/{pid}/status"))?;
        Ok(Self {
            ticks: ticks(&stat).context("no CPU time")?,
            wakeups,
            resident_kib: field(&status, "VmRSS:").context("no VmRSS")?,
        })
    }
}

/// The number behind `key` in `/proc/PID/status`.
fn field(status: &str, key: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// `utime` and `stime` (proc_pid_stat(5), fields 14 and 15). The name in field
/// 2 may hold anything, so fields are counted from its end.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_process_are_read_behind_its_name() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0 20";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks(""), None);
        let status = "Name:\tx\nVmRSS:\t    5120 kB\nvoluntary_ctxt_switches:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(5120));
        assert_eq!(field(status, "voluntary_ctxt_switches:"), Some(7));
        assert_eq!(field(status, "Else:"), None);
    }

    #[test]
    fn a_living_process_has_a_usage() {
        assert!(Usage::of(std::process::id()).unwrap().resident_kib > 0);
    }
}
