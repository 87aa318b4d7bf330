//! `vmlan run` in a namespace of its own.

use crate::manager::Manager;
use crate::namespace::Namespace;
use crate::process::{self, Outcome, Process};
use crate::target_dir;
use crate::wait::SOON;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;

/// The name of the network that [`Switch`] serves.
pub const NETWORK: &str = "lab";

/// A config's head: an isolated network with the host at 192.168.122.1, no
/// port yet.
pub const ISOLATED: &str = r#"
name      = "lab"
interface = "vmlan0"
address   = "192.168.122.1/24"
domain    = "vm"
forward   = "isolated"
"#;

/// The vmlan program with a config and folders of its own, running or not.
#[derive(Debug)]
pub struct Switch {
    process: Option<Process>,
    /// Where it runs, with its side of each netdev.
    pub namespace: Arc<Namespace>,
    folder: tempfile::TempDir,
    user: User,
    network: &'static str,
    environment: Vec<(String, String)>,
}

/// As whom vmlan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Root, with all capabilities.
    Root,
    /// Root without any capability.
    PowerlessRoot,
    /// The user `nobody`.
    Nobody,
}

/// Id of `nobody` and `nogroup` on Debian.
const NOBODY: u32 = 65_534;

/// Config text for TAP ports, each with its name as its netdev's.
#[must_use]
pub fn taps(names: &[&str]) -> String {
    ports("tap", names)
}

/// Config text for packet ports, each with its name as its netdev's.
#[must_use]
pub fn packets(names: &[&str]) -> String {
    ports("packet", names)
}

fn ports(kind: &str, names: &[&str]) -> String {
    names
        .iter()
        .map(|name| {
            format!("\n[[port]]\nname = \"{name}\"\nkind = \"{kind}\"\ninterface = \"{name}\"\n")
        })
        .collect()
}

/// Path of the program under test: `VMLAN_BIN`, or the release build.
///
/// # Errors
/// It has not been built.
pub fn program() -> Result<PathBuf> {
    let path = std::env::var_os("VMLAN_BIN")
        .map_or_else(|| target_dir().join("release/vmlan"), PathBuf::from);
    path.canonicalize().with_context(|| {
        format!(
            "no vmlan at {}: run tests/run.sh, or cargo build --release -p vmlan",
            path.display()
        )
    })
}

impl Switch {
    /// Starts vmlan with `config` and waits until it is ready.
    ///
    /// # Errors
    /// It does not come up; with what it printed.
    pub fn start(config: &str) -> Result<Self> {
        let mut switch = Self::prepare(config)?;
        switch.launch()?;
        Ok(switch)
    }

    /// Makes namespace, folders and config, and does not start vmlan yet.
    ///
    /// # Errors
    /// Not root.
    pub fn prepare(config: &str) -> Result<Self> {
        Self::prepare_as(User::Root, Some(config))
    }

    /// As [`Switch::prepare`], run by `user`. Without a config it serves the
    /// network `default`, which is built in.
    ///
    /// # Errors
    /// Not root.
    pub fn prepare_as(user: User, config: Option<&str>) -> Result<Self> {
        Self::prepare_in(Arc::new(Namespace::new("switch")?), user, config)
    }

    /// Another vmlan in this one's namespace, with folders of its own.
    ///
    /// # Errors
    /// Not root.
    pub fn beside(&self, config: &str) -> Result<Self> {
        Self::prepare_in(Arc::clone(&self.namespace), User::Root, Some(config))
    }

    fn prepare_in(namespace: Arc<Namespace>, user: User, config: Option<&str>) -> Result<Self> {
        let switch = Self {
            process: None,
            namespace,
            folder: tempfile::Builder::new()
                .prefix(&format!("vt-{}-", std::process::id()))
                .tempdir()?,
            user,
            network: config.map_or("default", |_| NETWORK),
            environment: Vec::new(),
        };
        if let Some(config) = config {
            switch.write_config(config)?;
        }
        // Where the build is, nobody may not come.
        fs::copy(program()?, switch.folder.path().join("vmlan"))?;
        if user == User::Nobody {
            chown(switch.folder.path(), Some(NOBODY), Some(NOBODY))?;
        }
        Ok(switch)
    }

    /// Replaces the config file. [`Switch::cli`] with `reload` has it read.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_config(&self, config: &str) -> Result<()> {
        fs::write(self.config_path(), config).context("cannot write the config")
    }

    /// Path of the config file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("lab.toml")
    }

    /// Path of a file in the network's run folder, such as `vm.sock`.
    #[must_use]
    pub fn run_file(&self, name: &str) -> PathBuf {
        self.folder.path().join("run").join(self.network).join(name)
    }

    /// Path of a file in the network's state folder, such as `leases`.
    #[must_use]
    pub fn state_file(&self, name: &str) -> PathBuf {
        self.folder
            .path()
            .join("state")
            .join(self.network)
            .join(name)
    }

    /// Path of a file in the network's state folder as the running vmlan sees
    /// it: for [`Switch::launch_on_tmpfs`].
    ///
    /// # Errors
    /// It does not run.
    pub fn state_file_inside(&self, name: &str) -> Result<PathBuf> {
        let process = self.process.as_ref().context("vmlan does not run")?;
        let root = PathBuf::from(format!("/proc/{}/root", process.id()));
        Ok(root.join(self.state_file(name).strip_prefix("/")?))
    }

    /// Has vmlan see the environment variable `key` from its next start on.
    pub fn set_environment(&mut self, key: &str, value: &str) {
        self.environment.push((key.to_owned(), value.to_owned()));
    }

    /// Starts vmlan and waits for its `ready: ` line.
    ///
    /// # Errors
    /// It does not come; with what it printed.
    pub fn launch(&mut self) -> Result<()> {
        self.start_by(self.command(self.run_arguments()))
    }

    /// As [`Switch::launch`], with a state folder on a tmpfs of 64 KiB that
    /// nobody else sees (each `ip netns exec` has mounts of its own) and that
    /// ends with it.
    ///
    /// # Errors
    /// As [`Switch::launch`].
    pub fn launch_on_tmpfs(&mut self) -> Result<()> {
        self.launch_mounted("-t tmpfs -o size=64k none")
    }

    /// As [`Switch::launch`], with a state folder that is read-only for it.
    /// [`Switch::make_writable`] ends that.
    ///
    /// # Errors
    /// As [`Switch::launch`].
    pub fn launch_read_only(&mut self) -> Result<()> {
        self.launch_mounted(r#"--bind -o ro "$0""#)
    }

    /// As [`Switch::launch`], where the kernel seems to refuse a system call of
    /// vmlan: `call` with the error and the times as strace(1) wants them, such
    /// as `error=EPERM`.
    ///
    /// # Errors
    /// As [`Switch::launch`].
    pub fn launch_refusing(&mut self, call: &str, error: &str) -> Result<()> {
        let run = self.command(self.run_arguments());
        // The tracer is a grandchild (-D), so that vmlan has the number and gets
        // the signals.
        let mut command = self.namespace.command("strace");
        command
            .args(["-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"])
            .args(["-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:{error}")])
            // `ip netns exec NAME` has been done.
            .args(run.get_args().skip(3));
        self.start_by(command)
    }

    /// As [`Switch::launch`], with a wall clock that [`Switch::set_clock`] sets
    /// for it alone, by libfaketime. The time since boot is the host's.
    ///
    /// # Errors
    /// As [`Switch::launch`].
    pub fn launch_with_clock(&mut self) -> Result<()> {
        self.set_clock("+0")?;
        let run = self.command(self.run_arguments());
        let mut command = self.namespace.command("env");
        command
            .arg("LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
            .args(["FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1"])
            .arg(format!(
                "FAKETIME_TIMESTAMP_FILE={}",
                self.clock_file().display()
            ))
            // `ip netns exec NAME` has been done.
            .args(run.get_args().skip(3));
        self.start_by(command)
    }

    /// Sets the wall clock of [`Switch::launch_with_clock`] to the host's and
    /// `offset`, such as `-1h`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_clock(&self, offset: &str) -> Result<()> {
        // In one step: vmlan reads it whenever it asks for the time.
        let new = self.folder.path().join("clock.new");
        fs::write(&new, format!("{offset}\n"))?;
        fs::rename(new, self.clock_file()).context("cannot set the clock")
    }

    fn clock_file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    /// Starts another vmlan that takes over from the running one, and wants that
    /// to end in order.
    ///
    /// # Errors
    /// One of the two does otherwise; with what it printed.
    pub fn take_over(&mut self) -> Result<()> {
        let mut before = self.process.take().context("vmlan does not run")?;
        let arguments = format!("{} --takeover", self.run_arguments());
        self.start_by(self.command(&arguments))
            .with_context(|| format!("the one before:\n{}", before.stderr()))?;
        let status = before.wait(SOON)?;
        ensure!(status.success(), "{status}\n{}", before.stderr());
        Ok(())
    }

    /// Runs another vmlan that is to take over and must not be able to.
    ///
    /// # Errors
    /// It runs on; it is killed then.
    pub fn refuse_takeover(&self) -> Result<Outcome> {
        let arguments = format!("{} --takeover", self.run_arguments());
        process::run(self.command(&arguments), SOON)
    }

    /// As [`Switch::launch`], as a service of `manager`, with the files that it
    /// keeps.
    ///
    /// # Errors
    /// As [`Switch::launch`].
    pub fn launch_under(&mut self, manager: &Manager) -> Result<()> {
        let (command, inheritance) = manager.adopt(&self.command(self.run_arguments()))?;
        let started = self.start_by(command);
        drop(inheritance);
        started
    }

    /// The process id of the running vmlan.
    ///
    /// # Errors
    /// It does not run.
    pub fn id(&self) -> Result<u32> {
        let process = self.process.as_ref().context("vmlan does not run")?;
        Ok(process.id())
    }

    /// Starts it with `mount ARGUMENTS` done on the state folder.
    fn launch_mounted(&mut self, arguments: &str) -> Result<()> {
        let state = self.folder.path().join("state");
        fs::create_dir_all(&state)?;
        let run = self.command(self.run_arguments());
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.namespace.name(), "sh", "-c"])
            .arg(format!(r#"mount {arguments} "$0" && shift 3 && exec "$@""#))
            .arg(&state)
            // `ip netns exec NAME` has been done.
            .args(run.get_args());
        self.start_by(command)
    }

    /// Takes back what [`Switch::launch_read_only`] did to the state folder.
    ///
    /// # Errors
    /// vmlan does not run, or not so.
    pub fn make_writable(&self) -> Result<()> {
        let process = self.process.as_ref().context("vmlan does not run")?;
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &process.id().to_string(), "-m"])
            .args(["mount", "-o", "remount,bind,rw"])
            .arg(self.folder.path().join("state"));
        process::run(command, SOON)?.success().map(drop)
    }

    fn start_by(&mut self, command: Command) -> Result<()> {
        let mut process = Process::spawn(command)?;
        let ready = process.wait_for_line("ready: ", 0, SOON, |line| line.starts_with("ready: "));
        self.process = Some(process);
        ready.map(drop)
    }

    /// Runs vmlan to its end, where it has to refuse to start.
    ///
    /// # Errors
    /// It runs on; it is killed then.
    pub fn refuse(&self) -> Result<Outcome> {
        process::run(self.command(self.run_arguments()), SOON)
    }

    /// As [`Switch::refuse`], on a machine that has no program in the folders
    /// of root, such as `nft`.
    ///
    /// # Errors
    /// As [`Switch::refuse`].
    pub fn refuse_without_sbin(&self) -> Result<Outcome> {
        process::run(self.run_without_sbin(), SOON)
    }

    /// As [`Switch::launch`], on such a machine.
    ///
    /// # Errors
    /// As [`Switch::launch`].
    pub fn launch_without_sbin(&mut self) -> Result<()> {
        self.start_by(self.run_without_sbin())
    }

    fn run_without_sbin(&self) -> Command {
        let run = self.command(self.run_arguments());
        let mut command = self.namespace.command("sh");
        command
            .arg("-c")
            .arg(r#"mount -t tmpfs none /usr/sbin && mount -t tmpfs none /usr/local/sbin && exec "$@""#)
            .arg("sh")
            // `ip netns exec NAME` has been done.
            .args(run.get_args().skip(3));
        command
    }

    /// Runs a command of vmlan on this network.
    ///
    /// # Errors
    /// It does not end soon. An exit status other than 0 is no error here.
    pub fn cli(&self, arguments: &str) -> Result<Outcome> {
        process::run(self.command(arguments), SOON)
    }

    /// Starts a command of vmlan on this network that does not end by itself.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn background(&self, arguments: &str) -> Result<Process> {
        Process::spawn(self.command(arguments))
    }

    /// The JSON of `vmlan WHAT --json`.
    ///
    /// # Errors
    /// The command fails, or prints no JSON.
    pub fn json(&self, what: &str) -> Result<Value> {
        let text = self.cli(&format!("{what} --json"))?.success()?;
        serde_json::from_str(&text).with_context(|| format!("vmlan {what} --json: {text}"))
    }

    /// The entry of the port `name` in `vmlan ports --json`.
    ///
    /// # Errors
    /// There is none.
    pub fn port(&self, name: &str) -> Result<Value> {
        let ports = self.json("ports")?;
        entry(&ports, "name", name).with_context(|| format!("no port {name} in {ports}"))
    }

    /// The entry of `mac` in `vmlan leases --json`.
    ///
    /// # Errors
    /// There is none.
    pub fn lease(&self, mac: &str) -> Result<Value> {
        let leases = self.json("leases")?;
        entry(&leases, "mac", mac).with_context(|| format!("no lease of {mac} in {leases}"))
    }

    /// The entry of `mac` in `vmlan fdb --json`.
    ///
    /// # Errors
    /// There is none.
    pub fn station(&self, mac: &str) -> Result<Value> {
        let fdb = self.json("fdb")?;
        entry(&fdb, "mac", mac).with_context(|| format!("no station {mac} in {fdb}"))
    }

    /// Takes the netdev of the TAP port `name` into a namespace of its own, as
    /// `eth0` with the MAC `mac`: how a container gets it.
    ///
    /// # Errors
    /// There is no such port.
    pub fn container(&self, name: &str, mac: &str) -> Result<Namespace> {
        let container = Namespace::new(name)?;
        container.adopt(&self.namespace, name, mac)?;
        Ok(container)
    }

    /// The sum over all ports and both directions of the drops for `reason`.
    ///
    /// # Errors
    /// The ports cannot be listed.
    pub fn drops(&self, reason: &str) -> Result<u64> {
        let ports = self.json("ports")?;
        let ports = ports.as_array().context("ports is no array")?;
        Ok(ports
            .iter()
            .flat_map(|port| [port.pointer("/rx/drops"), port.pointer("/tx/drops")])
            .flatten()
            .filter_map(|drops| drops.get(reason)?.as_u64())
            .sum())
    }

    /// Sends SIGTERM and wants exit status 0.
    ///
    /// # Errors
    /// It does not end soon, or not with 0.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("vmlan does not run")?;
        process.signal(Signal::TERM)?;
        let status = process.wait(SOON)?;
        ensure!(status.success(), "{status}\n{}", process.stderr());
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref().context("vmlan does not run")?;
        process.signal(signal)
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It runs on.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.process
            .as_mut()
            .context("vmlan does not run")?
            .wait(SOON)
    }

    /// Fails where vmlan runs no more.
    ///
    /// # Errors
    /// It has ended; with its log.
    pub fn alive(&mut self) -> Result<()> {
        match self.process.as_mut() {
            Some(process) => process.running().with_context(|| process.stderr()),
            None => bail!("vmlan does not run"),
        }
    }

    /// What it printed on standard output since its last start.
    #[must_use]
    pub fn printed(&self) -> String {
        self.process
            .as_ref()
            .map(Process::stdout)
            .unwrap_or_default()
    }

    /// What it logged since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        self.process
            .as_ref()
            .map(Process::stderr)
            .unwrap_or_default()
    }

    /// CPU time in clock ticks that the thread called `name` has taken.
    ///
    /// # Errors
    /// vmlan does not run, or has no such thread.
    pub fn thread_ticks(&self, name: &str) -> Result<u64> {
        let folder = self.thread(name)?;
        // Fields 14 and 15 (proc_pid_stat(5)); the second, in brackets, may
        // hold anything.
        let stat = fs::read_to_string(folder.join("stat"))?;
        let (_, fields) = stat.rsplit_once(") ").context("no name in stat")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
        Ok(ticks.sum::<Result<u64, _>>()?)
    }

    /// Makes the thread called `name` hang at its next wait, as long as the answer
    /// lives: a tracer holds it there, and it alone.
    ///
    /// # Errors
    /// vmlan does not run, or has no such thread.
    pub fn hang(&self, name: &str) -> Result<Process> {
        let folder = self.thread(name)?;
        let thread = folder.file_name().context("no number")?;
        let mut command = Command::new("strace");
        command
            .args(["-qq", "-o", "/dev/null", "-e", "trace=epoll_wait"])
            .args(["-e", "inject=epoll_wait:delay_enter=600s", "-p"])
            .arg(thread);
        Process::spawn(command)
    }

    /// The folder in /proc of the thread called `name`.
    fn thread(&self, name: &str) -> Result<PathBuf> {
        let process = self.process.as_ref().context("vmlan does not run")?;
        for task in fs::read_dir(format!("/proc/{}/task", process.id()))? {
            let folder = task?.path();
            if fs::read_to_string(folder.join("comm"))?.trim() == name {
                return Ok(folder);
            }
        }
        bail!("there is no thread {name}")
    }

    /// Its resident memory in KiB.
    ///
    /// # Errors
    /// It does not run.
    pub fn memory(&self) -> Result<u64> {
        let process = self.process.as_ref().context("vmlan does not run")?;
        let status = fs::read_to_string(format!("/proc/{}/status", process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let field = line.and_then(|line| line.split_whitespace().next());
        Ok(field.context("no VmRSS")?.parse()?)
    }

    fn run_arguments(&self) -> &'static str {
        if self.network == NETWORK {
            "run --config CONFIG"
        } else {
            "run"
        }
    }

    /// A command of vmlan, in the namespace, with this network's folders;
    /// `CONFIG` in `arguments` stands for the config's path.
    fn command(&self, arguments: &str) -> Command {
        let mut command = self.namespace.command("setpriv");
        command.envs(self.environment.iter().cloned());
        match self.user {
            User::Root => {}
            User::PowerlessRoot => {
                command.args(["--bounding-set=-all", "--inh-caps=-all"]);
            }
            User::Nobody => {
                command.args([
                    format!("--reuid={NOBODY}"),
                    format!("--regid={NOBODY}"),
                    "--clear-groups".to_owned(),
                ]);
            }
        }
        command.arg("--").arg(self.folder.path().join("vmlan"));
        for argument in arguments.split_whitespace() {
            if argument == "CONFIG" {
                command.arg(self.config_path());
            } else {
                command.arg(argument);
            }
        }
        command
            .args(["--network", self.network, "--run-dir"])
            .arg(self.folder.path().join("run"))
            .arg("--state-dir")
            .arg(self.folder.path().join("state"));
        command
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // Shown by the test harness where the test fails.
        if let Some(process) = &self.process {
            eprintln!("vmlan's log:\n{}", process.stderr());
        }
    }
}

/// The element of `array` whose `key` is `value`.
#[must_use]
pub fn entry(array: &Value, key: &str, value: &str) -> Option<Value> {
    array
        .as_array()?
        .iter()
        .find(|entry| entry.get(key).and_then(Value::as_str) == Some(value))
        .cloned()
}
