//! VDE: `vde_switch`, with `vde_plug2tap` for the TAP of a station.

use super::{Switch, first_line, hand_over};
use crate::bench::interrupt::wait_for;
use crate::bench::lab::Lab;
use crate::bench::lab::namespace::{Namespace, SOON};
use crate::bench::lab::process::Process;
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;
use std::rc::Rc;

/// Its version; [`None`] where it is not installed.
pub(super) fn version() -> Option<String> {
    let line = first_line("vde_switch", "--version")?;
    line.split_whitespace().nth(1).map(str::to_owned)
}

/// A `vde_switch` and the plugs in it.
pub(super) struct Vde {
    // The order in which they end.
    plugs: Vec<Process>,
    switch: Process,
    namespace: Rc<Namespace>,
    folder: PathBuf,
}

impl Vde {
    pub(super) fn start(lab: &Lab, namespace: &Rc<Namespace>) -> Result<Self> {
        let folder = lab.folder("vde")?;
        let socket = folder.join("ctl");
        let mut command = namespace.command("vde_switch");
        command.arg("--sock").arg(&socket);
        let mut switch = Process::start("vde_switch", command, &folder)?;
        wait_for("the socket of vde_switch", SOON, || {
            switch.running()?;
            Ok(socket.join("ctl").exists().then_some(()))
        })?;
        Ok(Self {
            plugs: Vec::new(),
            switch,
            namespace: Rc::clone(namespace),
            folder,
        })
    }

    /// Makes the TAP `netdev`, plugged into the switch.
    fn plug(&mut self, netdev: &str) -> Result<()> {
        let mut command = self.namespace.command("vde_plug2tap");
        command
            .arg("--sock")
            .arg(self.folder.join("ctl"))
            .arg(netdev);
        let name = format!("vde_plug2tap-{netdev}");
        self.plugs
            .push(Process::start(&name, command, &self.folder)?);
        Ok(())
    }
}

impl Switch for Vde {
    fn attach(&mut self, netdev: &str) -> Result<()> {
        bail!("VDE cannot have {netdev}, whose file another program holds")
    }

    fn connect(&mut self, station: &Namespace, number: usize) -> Result<()> {
        let netdev = format!("port{number}");
        self.plug(&netdev)?;
        wait_for("the TAP of vde_plug2tap", SOON, || {
            self.check()?;
            Ok(hand_over(&self.namespace, &netdev, station).ok())
        })
        .context("VDE")
    }

    fn check(&mut self) -> Result<()> {
        self.switch.running()?;
        self.plugs.iter_mut().try_for_each(Process::running)
    }
}
