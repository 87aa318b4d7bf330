//! libvirt by way of virsh(1): the one interface to it that every host with
//! libvirt has, whatever its daemons are called.

use anyhow::{Context as _, Result, bail};
use rustix::process::geteuid;
use std::ffi::OsStr;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The longest that virsh may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at whether it has ended.
const POLL: Duration = Duration::from_millis(5);
/// The most that is read of what it prints, in bytes.
const MAX_OUTPUT: u64 = 16 << 20;

/// virsh with the libvirt that it talks to.
#[derive(Debug, Clone)]
pub(super) struct Virsh {
    uri: String,
}

/// Why virsh did not do something.
#[derive(Debug, thiserror::Error)]
pub(super) enum VirshError {
    /// It cannot be started.
    #[error("cannot run virsh: {0}\nhelp: install it (on Debian the package libvirt-clients)")]
    Program(#[source] io::Error),
    /// libvirt does not answer.
    #[error(
        "libvirt does not answer at {uri}: {said}\nhelp: start it (`systemctl start libvirtd`), \
         or name another one with --connect URI"
    )]
    Connection {
        /// Who was asked.
        uri: String,
        /// What virsh says.
        said: String,
    },
    /// There is no such network.
    #[error("libvirt has no network {0:?}\nhelp: `virsh net-list --all` lists those that it has")]
    NoNetwork(String),
    /// libvirt refused.
    #[error("virsh {command}: {said}")]
    Refused {
        /// The command.
        command: String,
        /// What virsh says.
        said: String,
    },
    /// It did not end.
    #[error("virsh {command} has not ended within {} s", PATIENCE.as_secs())]
    Slow {
        /// The command.
        command: String,
    },
}

/// What `virsh net-info` says of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) active: bool,
    /// Whether it is kept when it is not active.
    pub(super) persistent: bool,
    pub(super) autostart: bool,
}

/// A NIC of a domain that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nic {
    /// Its netdev on the host.
    pub(super) tap: String,
    /// The domain's UUID.
    pub(super) domain: String,
    /// The guest's MAC, as libvirt prints it.
    pub(super) mac: String,
}

impl Virsh {
    pub(super) fn new(uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
        }
    }

    /// The libvirt that it talks to.
    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// How the network `name` stands.
    ///
    /// # Errors
    /// [`VirshError`], as with all below.
    pub(super) fn network(&self, name: &str) -> Result<State, VirshError> {
        let text = self.run("net-info", &[name])?;
        let is = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.is_some_and(|value| value.trim() == "yes")
        };
        Ok(State {
            active: is("Active:"),
            persistent: is("Persistent:"),
            autostart: is("Autostart:"),
        })
    }

    /// The description of the network `name` that it is started by.
    pub(super) fn description(&self, name: &str) -> Result<String, VirshError> {
        self.run("net-dumpxml", &["--inactive", name])
    }

    /// The description of the network `name` as it runs.
    pub(super) fn running(&self, name: &str) -> Result<String, VirshError> {
        self.run("net-dumpxml", &[name])
    }

    /// The NICs that domains which run have on the network `name` or its
    /// `bridge`.
    pub(super) fn nics(&self, name: &str, bridge: &str) -> Result<Vec<Nic>, VirshError> {
        let mut nics = Vec::new();
        for domain in self.run("list", &["--uuid"])?.split_whitespace() {
            // It may have ended meanwhile.
            let listed = self.run("domiflist", &[domain]).unwrap_or_default();
            let rows = listed.lines().filter_map(|row| nic(row, name, bridge));
            nics.extend(rows.map(|(tap, mac)| Nic {
                tap: tap.to_owned(),
                domain: domain.to_owned(),
                mac: mac.to_owned(),
            }));
        }
        Ok(nics)
    }

    /// Gives libvirt a description; it holds from the next start on.
    pub(super) fn define(&self, description: &str) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new().context("cannot make a file for virsh")?;
        file.write_all(description.as_bytes())
            .context("cannot write a file for virsh")?;
        let path = file.path().as_os_str();
        self.run_on("net-define", &[path])?;
        Ok(())
    }

    /// Has libvirt forget the network `name`.
    pub(super) fn undefine(&self, name: &str) -> Result<(), VirshError> {
        self.run("net-undefine", &[name]).map(drop)
    }

    /// Starts the network `name`, if it is not.
    pub(super) fn start(&self, name: &str) -> Result<(), VirshError> {
        if self.network(name)?.active {
            return Ok(());
        }
        self.run("net-start", &[name]).map(drop)
    }

    /// Stops the network `name`, if it is not stopped.
    pub(super) fn stop(&self, name: &str) -> Result<(), VirshError> {
        if !self.network(name)?.active {
            return Ok(());
        }
        self.run("net-destroy", &[name]).map(drop)
    }

    /// Has the network `name` start with libvirt, or not.
    pub(super) fn set_autostart(&self, name: &str, on: bool) -> Result<(), VirshError> {
        if self.network(name)?.autostart == on {
            return Ok(());
        }
        let disable: &[&str] = if on { &[] } else { &["--disable"] };
        let arguments: Vec<_> = disable.iter().copied().chain([name]).collect();
        self.run("net-autostart", &arguments).map(drop)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Result<String, VirshError> {
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        self.run_on(command, &arguments)
    }

    fn run_on(&self, command: &str, arguments: &[&OsStr]) -> Result<String, VirshError> {
        let (status, printed, said) = self.output(command, arguments)?;
        if status.success() {
            return Ok(printed);
        }
        // Its first line says what was tried, the last one why not.
        let lines = said.lines().map(|line| line.trim_start_matches("error: "));
        let said = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>();
        let said = said.join(": ");
        if said.contains("failed to connect to the hypervisor") {
            let uri = self.uri.clone();
            return Err(VirshError::Connection { uri, said });
        }
        if said.contains("Network not found") {
            let name = arguments.last().map(|name| name.to_string_lossy());
            return Err(VirshError::NoNetwork(name.unwrap_or_default().into_owned()));
        }
        Err(VirshError::Refused {
            command: command.to_owned(),
            said,
        })
    }

    fn output(
        &self,
        command: &str,
        arguments: &[&OsStr],
    ) -> Result<(ExitStatus, String, String), VirshError> {
        // Files, which are never full.
        let mut printed = tempfile::tempfile().map_err(VirshError::Program)?;
        let mut said = tempfile::tempfile().map_err(VirshError::Program)?;
        let mut virsh = Command::new("virsh");
        if geteuid().is_root() {
            // A second Ctrl-C at the terminal must not end it while it puts
            // things back. Others than root may be asked for a password there,
            // and change nothing.
            virsh.process_group(0);
        }
        let mut child = virsh
            .args(["-q", "-c", &self.uri, command])
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(printed.try_clone().map_err(VirshError::Program)?)
            .stderr(said.try_clone().map_err(VirshError::Program)?)
            .spawn()
            .map_err(VirshError::Program)?;
        let status = wait(&mut child).map_err(VirshError::Program)?;
        let Some(status) = status else {
            return Err(VirshError::Slow {
                command: command.to_owned(),
            });
        };
        let read = |file: &mut std::fs::File| {
            let mut bytes = Vec::new();
            file.rewind()?;
            file.take(MAX_OUTPUT).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let printed = read(&mut printed).map_err(VirshError::Program)?;
        let said = read(&mut said).map_err(VirshError::Program)?;
        Ok((status, printed, said))
    }
}

/// The netdev and the MAC in a row of `virsh domiflist` (netdev, type, source,
/// model, MAC), if it is about the network `name` or its `bridge`.
fn nic<'a>(row: &'a str, name: &str, bridge: &str) -> Option<(&'a str, &'a str)> {
    let words: Vec<&str> = row.split_whitespace().collect();
    let [tap, kind, source @ .., _model, mac] = words.as_slice() else {
        return None;
    };
    let source = source.join(" ");
    let is_on = (*kind == "network" && source == name) || (*kind == "bridge" && source == bridge);
    is_on.then_some((tap, mac))
}

/// Waits for the end of `child`, which is killed where that does not come.
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Refuses a network that cannot be taken over and given back.
///
/// # Errors
/// It is not kept by libvirt.
pub(super) fn check_kept(name: &str, state: State) -> Result<()> {
    if !state.persistent {
        bail!(
            "libvirt does not keep the network {name:?}: stopped, it would be gone\nhelp: have it \
             kept first: `virsh net-dumpxml {name} >net.xml; virsh net-define net.xml`"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_domiflist_counts_for_its_network_and_its_bridge() {
        let nic = |row| nic(row, "My Net", "virbr0");
        let mac = "52:54:00:00:00:01";
        let row = format!(" vnet0   network   My Net   virtio   {mac}");
        assert_eq!(nic(&row), Some(("vnet0", mac)));
        let row = format!(" vnet1   bridge   virbr0   -   {mac}");
        assert_eq!(nic(&row), Some(("vnet1", mac)));
        for other in [
            " vnet0   network   default   virtio   52:54:00:00:00:01",
            " vnet0   bridge   My Net   virtio   52:54:00:00:00:01",
            " Interface   Type   Source   Model   MAC",
            "---------------",
            "",
        ] {
            assert_eq!(nic(other), None, "{other}");
        }
    }
}
