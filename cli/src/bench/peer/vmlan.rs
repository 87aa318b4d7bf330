//! vmlan: this very program, run as `vmlan run`.

use super::{Switch, hand_over};
use crate::args::Place;
use crate::bench::interrupt::wait_for;
use crate::bench::lab::Lab;
use crate::bench::lab::namespace::{Namespace, SOON};
use crate::bench::lab::process::Process;
use crate::client::Client;
use crate::config::Value;
use crate::model::{AddPort, Done, LinkState, PortView};
use anyhow::{Context as _, Result};
use hyper::Method;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

/// Stations that its MAC table holds, as by default.
pub(crate) const FDB_SIZE: u32 = 8192;
/// The network that it serves.
const NETWORK: &str = "bench";

/// A running vmlan.
pub(crate) struct Vmlan {
    process: Process,
    client: Client,
    namespace: Rc<Namespace>,
}

impl Vmlan {
    /// Starts it in `namespace`, without host interface and DHCP; it takes
    /// netdevs called `guestN`, see [`command`]. `switch` are lines under
    /// `[switch]`.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) fn start(lab: &Lab, namespace: &Rc<Namespace>, switch: &str) -> Result<Self> {
        let folder = lab.folder("vmlan")?;
        let command = command(&folder, switch, NO_DHCP, |program| {
            namespace.command(program)
        })?;
        let (process, _) = start(command, &folder)?;
        Ok(Self {
            process,
            client: Client::new(&Place {
                network: Some(NETWORK.parse()?),
                run_dir: Some(folder.join("run")),
                state_dir: None,
            }),
            namespace: Rc::clone(namespace),
        })
    }
}

/// The part of a config that has DHCP off.
pub(crate) const NO_DHCP: &str = "[dhcp]\nenabled = false\n";

/// `vmlan run` with the lines `switch` under `[switch]` and `config` beside what
/// every work needs and its files in `folder`, by a command that `launcher`
/// makes of the program's path.
///
/// # Errors
/// The configuration cannot be written.
pub(crate) fn command(
    folder: &Path,
    switch: &str,
    config: &str,
    launcher: impl FnOnce(&Path) -> Command,
) -> Result<Command> {
    let file = folder.join("bench.toml");
    let text = format!(
        "name = \"{NETWORK}\"\ninterface = \"\"\nforward = \"isolated\"\n\
         {config}\n[switch]\nfdb-size = {FDB_SIZE}\n{switch}\n[attach]\nmatch = [\"guest*\"]\n"
    );
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = launcher(&program);
    command.arg("run").arg("--config").arg(&file);
    command.arg("--run-dir").arg(folder.join("run"));
    command.arg("--state-dir").arg(folder.join("state"));
    Ok(command)
}

/// Starts what [`command`] made; gives the time until its line `ready: `.
///
/// # Errors
/// It does not come up.
pub(crate) fn start(command: Command, folder: &Path) -> Result<(Process, Duration)> {
    Process::start_until("vmlan", command, folder, "ready: ", SOON)
}

impl Switch for Vmlan {
    fn attach(&mut self, netdev: &str) -> Result<()> {
        wait_for(&format!("vmlan to take {netdev}"), SOON, || {
            self.process.running()?;
            let ports: Vec<PortView> = self.client.get("/v1/ports")?;
            let taken = ports.iter().any(|port| {
                port.interface.as_deref() == Some(netdev) && port.state == LinkState::Up
            });
            Ok(taken.then_some(()))
        })
    }

    fn connect(&mut self, station: &Namespace, number: usize) -> Result<()> {
        let name = format!("port{number}");
        let port = AddPort {
            name: name.parse()?,
            keys: [("kind".to_owned(), Value::Text("tap".to_owned()))].into(),
        };
        let _: Done = self.client.send(&Method::POST, "/v1/ports", &port)?;
        hand_over(&self.namespace, &name, station)
    }

    fn check(&mut self) -> Result<()> {
        self.process.running()
    }
}
