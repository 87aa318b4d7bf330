//! Open vSwitch with its userspace datapath (`datapath_type=netdev`) and
//! userspace TSO, by daemons and a database of its own: a service that the
//! host may run is not touched.

use super::{Switch, first_line, veth};
use crate::bench::interrupt::wait_for;
use crate::bench::lab::Lab;
use crate::bench::lab::namespace::{Namespace, SOON};
use crate::bench::lab::process::{self, Process};
use anyhow::{Context as _, Result};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

/// Where Debian, Fedora and a build from source have the schema.
const SCHEMAS: [&str; 2] = [
    "/usr/share/openvswitch/vswitch.ovsschema",
    "/usr/local/share/openvswitch/vswitch.ovsschema",
];

/// Its version; [`None`] where it is not installed.
pub(super) fn version() -> Option<String> {
    let line = first_line("ovs-vswitchd", "--version")?;
    schema()?;
    line.rsplit(' ').next().map(str::to_owned)
}

fn schema() -> Option<&'static str> {
    SCHEMAS
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
}

/// `ovs-vswitchd` with the bridge `br0`, and its database.
pub(super) struct OpenVswitch {
    // The order in which they end.
    vswitchd: Process,
    database: Process,
    namespace: Rc<Namespace>,
    folder: PathBuf,
}

impl OpenVswitch {
    pub(super) fn start(lab: &Lab, namespace: &Rc<Namespace>) -> Result<Self> {
        let folder = lab.folder("ovs")?;
        let command = |program: &str, arguments: &[&str]| {
            let mut command = namespace.command(program);
            command
                .args(arguments)
                .env("OVS_RUNDIR", &folder)
                .env("OVS_DBDIR", &folder)
                .env("OVS_LOGDIR", &folder)
                .current_dir(&folder);
            command
        };
        let schema = schema().context("Open vSwitch's schema is not installed")?;
        process::run(command("ovsdb-tool", &["create", "conf.db", schema]), SOON)?;
        let server = command(
            "ovsdb-server",
            &[
                "conf.db",
                "--remote=punix:db.sock",
                "--unixctl=db.ctl",
                "--no-chdir",
            ],
        );
        let mut database = Process::start("ovsdb-server", server, &folder)?;
        wait_for("the socket of ovsdb-server", SOON, || {
            database.running()?;
            Ok(folder.join("db.sock").exists().then_some(()))
        })?;
        let vsctl = |arguments: &[&str]| -> Result<String> {
            let mut all = vec!["--db=unix:db.sock", "--timeout=15"];
            all.extend(arguments);
            process::run(command("ovs-vsctl", &all), SOON)
        };
        vsctl(&["--no-wait", "init"])?;
        vsctl(&[
            "--no-wait",
            "set",
            "Open_vSwitch",
            ".",
            "other_config:userspace-tso-enable=true",
        ])?;
        let daemon = command(
            "ovs-vswitchd",
            &["unix:db.sock", "--unixctl=vswitchd.ctl", "--no-chdir"],
        );
        let vswitchd = Process::start("ovs-vswitchd", daemon, &folder)?;
        vsctl(&[
            "add-br",
            "br0",
            "--",
            "set",
            "Bridge",
            "br0",
            "datapath_type=netdev",
            "fail-mode=standalone",
        ])?;
        Ok(Self {
            vswitchd,
            database,
            namespace: Rc::clone(namespace),
            folder,
        })
    }

    fn add_port(&mut self, netdev: &str) -> Result<()> {
        let mut command = Command::new("ovs-vsctl");
        let database = format!("--db=unix:{}", self.folder.join("db.sock").display());
        command.args([&database, "--timeout=15", "add-port", "br0", netdev]);
        process::run(command, SOON).map(drop)?;
        self.check()
    }
}

impl Switch for OpenVswitch {
    fn attach(&mut self, netdev: &str) -> Result<()> {
        self.add_port(netdev)
    }

    fn connect(&mut self, station: &Namespace, number: usize) -> Result<()> {
        let near = format!("port{number}");
        veth(&self.namespace, &near, station)?;
        self.add_port(&near)
    }

    fn check(&mut self) -> Result<()> {
        self.database.running()?;
        self.vswitchd.running()
    }
}
