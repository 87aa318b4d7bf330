//! VDE: `vde_switch`, with `vde_plug2tap` for a TAP of a station and
//! `vde_pcapplug` for the TAP of a guest, whose file VDE cannot have.

use super::{Switch, first_line, hand_over};
use crate::bench::interrupt::wait_for;
use crate::bench::lab::Lab;
use crate::bench::lab::namespace::{Namespace, SOON};
use crate::bench::lab::process::Process;
use anyhow::{Context as _, Result};
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

    /// Starts `program` between the switch and `netdev`.
    fn plug(&mut self, program: &str, netdev: &str) -> Result<()> {
        let mut command = self.namespace.command(program);
        command
            .arg("--sock")
            .arg(self.folder.join("ctl"))
            .arg(netdev);
        let name = format!("{program}-{netdev}");
        self.plugs
            .push(Process::start(&name, command, &self.folder)?);
        Ok(())
    }
}

impl Switch for Vde {
    fn attach(&mut self, netdev: &str) -> Result<()> {
        self.plug("vde_pcapplug", netdev)
    }

    fn connect(&mut self, station: &Namespace, number: usize) -> Result<()> {
        let netdev = format!("port{number}");
        self.plug("vde_plug2tap", &netdev)?;
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
