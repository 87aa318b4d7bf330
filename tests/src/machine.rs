//! A machine of its own: a clean Debian, booted with systemd in namespaces by
//! systemd-nspawn(1). What it writes is kept in memory and gone at its end, so
//! each test has it clean.
//!
//! `tests/install.sh` makes its root folder by debootstrap(8), once.

use crate::process::{Outcome, Process, run};
use crate::wait::{self, SOON};
use crate::{asset, target_dir};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long it may take to boot.
const BOOT: Duration = Duration::from_secs(60);
/// How long a command in it may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The cgroup of a machine, where PID is the test's: systemd-nspawn makes its
/// own below, and leaves them.
const CGROUPS: [&str; 3] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/systemd",
    "/sys/fs/cgroup/unified",
];

/// A machine that runs. It is powered off when dropped.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    /// Its systemd, as the host counts.
    leader: u32,
    cgroups: Vec<PathBuf>,
}

impl Machine {
    /// Boots one, with the host's folder `shared` at /mnt, read-only.
    ///
    /// # Errors
    /// It does not come up, with what it printed.
    pub fn boot(shared: &Path) -> Result<Self> {
        let root = target_dir().join("debian/root");
        ensure!(
            root.join("usr/lib/systemd/systemd").exists(),
            "there is no {}; has tests/install.sh run?",
            root.display()
        );
        let name = format!("vt-{}", std::process::id());
        let cgroups: Vec<_> = CGROUPS
            .iter()
            .filter(|hierarchy| Path::new(hierarchy).join("cgroup.procs").exists())
            .map(|hierarchy| Path::new(hierarchy).join(&name))
            .collect();
        for cgroup in &cgroups {
            fs::create_dir_all(cgroup)?;
        }
        let enter = r#"while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done
            shift; exec systemd-nspawn "$@""#;
        let mut command = Command::new("sh");
        command.args(["-c", enter, "sh"]).args(&cgroups).arg("--");
        command.args(["--boot", "--quiet", "--register=no", "--keep-unit"]);
        command.args(["--private-network", "--volatile=overlay"]);
        // Of what nspawn leaves out: netdevs and rules of its own.
        command.args(["--capability=CAP_NET_ADMIN", "--bind=/dev/net/tun"]);
        command.arg(format!("--machine={name}"));
        command.arg(format!("--directory={}", root.display()));
        command.arg(format!("--bind-ro={}:/mnt", shared.display()));
        let mut process = Process::spawn(command)?;
        let leader = wait::until("the machine's systemd", BOOT, || {
            process.running()?;
            init(process.id())
        })?;
        let machine = Self {
            process,
            leader,
            cgroups,
        };
        wait::until("the machine to boot", BOOT, || {
            let state = machine.run("systemctl is-system-running")?;
            let state = state.stdout.trim();
            ensure!(
                state == "running",
                "it is {state}:\n{}",
                machine.process.stdout()
            );
            Ok(())
        })?;
        Ok(machine)
    }

    /// Runs a shell script in it, as root.
    ///
    /// # Errors
    /// It does not end.
    pub fn run(&self, script: &str) -> Result<Outcome> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.leader));
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]);
        command.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
        command.args(["LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]);
        command.args(["sh", "-ec", script]);
        run(command, PATIENCE)
    }

    /// Runs a shell script in it and gives what it prints.
    ///
    /// # Errors
    /// It fails.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.run(script)?.success()
    }

    /// The host's path of a file in it.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{file}", self.leader))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // systemd-nspawn(1): SIGTERM powers it off.
        drop(self.process.signal(Signal::TERM));
        drop(self.process.wait(SOON));
        self.process.kill();
        for cgroup in &self.cgroups {
            let mut command = Command::new("find");
            command.arg(cgroup).args(["-depth", "-type", "d"]);
            command.args(["-exec", "rmdir", "{}", "+"]);
            drop(run(command, SOON));
        }
    }
}

/// The process that is the first one in the machine of `nspawn`.
fn init(nspawn: u32) -> Result<u32> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children"))?;
    let mut children = children.split_whitespace();
    let is_init = |pid: &&str| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim() == "systemd")
    };
    let init = children.find(is_init).context("it is not there yet")?;
    Ok(init.parse()?)
}

/// The Debian package that `packaging/build.sh` has made last.
///
/// # Errors
/// There is none.
pub fn package() -> Result<PathBuf> {
    let folder = target_dir().join("debian");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            found.push((path.metadata()?.modified()?, path));
        }
    }
    found.sort();
    let (_, path) = found.pop().with_context(|| {
        let build = asset("../packaging/build.sh");
        format!("no package is there: {} makes it", build.display())
    })?;
    Ok(path)
}
