//! The networks of this host: which one serves a bridge, which one has a port.

use crate::args::Place;
use crate::client::{Client, ClientError};
use crate::config::{self, Config, Loaded, NetworkName, Problem};
use crate::model::{PortView, StatusView};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The networks in a run folder.
#[derive(Debug)]
pub(super) struct Networks {
    run_dir: PathBuf,
    /// When an answer is of no use any more.
    deadline: Option<Instant>,
}

/// How long a network may take to say what it is, so that one that hangs does
/// not keep others from their guests.
const GLANCE: Duration = Duration::from_secs(1);

/// How long a network may take to do something, where the caller does not say.
const PATIENCE: Duration = Duration::from_secs(30);

/// A port and the network that has it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) client: Client,
    pub(super) port: PortView,
}

impl Networks {
    /// Those whose sockets are under `run_dir`, to be asked within `timeout`.
    pub(super) fn new(run_dir: PathBuf, timeout: Option<Duration>) -> Self {
        Self {
            run_dir,
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        }
    }

    /// The network whose host interface is `bridge`.
    ///
    /// # Errors
    /// It does not run, or there is none.
    pub(super) fn serving(&self, bridge: &str) -> Result<Client, Problem> {
        let mut silent = None;
        for name in self.names()? {
            match self.glance(&name).get::<StatusView>("/v1/status") {
                Ok(status) if status.interface.as_deref() == Some(bridge) => {
                    return Ok(self.client(&name));
                }
                Ok(_) | Err(ClientError::NotRunning { .. }) => {}
                Err(error) => silent = Some(error),
            }
        }
        Err(match silent {
            // It may be the one.
            Some(error) => problem(error),
            None => self.stopped(bridge, Path::new(config::FOLDER)),
        })
    }

    /// The port of the netdev `interface`; none where no network has it.
    ///
    /// # Errors
    /// A network does not say what it has.
    pub(super) fn holding(&self, interface: &str) -> Result<Option<Found>, Problem> {
        let mut silent = None;
        for name in self.names()? {
            match self.glance(&name).get::<Vec<PortView>>("/v1/ports") {
                Ok(ports) => {
                    let port = ports
                        .into_iter()
                        .find(|port| port.interface.as_deref().unwrap_or(&port.name) == interface);
                    if let Some(port) = port {
                        let client = self.client(&name);
                        return Ok(Some(Found { client, port }));
                    }
                }
                Err(ClientError::NotRunning { .. }) => {}
                Err(error) => silent = Some(error),
            }
        }
        silent.map_or(Ok(None), |error| Err(problem(error)))
    }

    /// Why nobody serves `bridge`: the configuration in `folder` that would.
    fn stopped(&self, bridge: &str, folder: &Path) -> Problem {
        let name = configured(folder)
            .into_iter()
            .find(|config| {
                let interface = config.interface.as_ref();
                interface.is_some_and(|interface| interface.as_str() == bridge)
            })
            .map(|config| config.name);
        match name {
            Some(name) => Problem::new(format!("network \"{name}\" is not running"))
                .help(format!("start it with `vmlan run --network {name}`")),
            None => Problem::new(format!("no network of vmlan has the interface {bridge}")).help(
                format!(
                    "start one with `interface = {bridge:?}` in its configuration in {}",
                    folder.display()
                ),
            ),
        }
    }

    /// The networks that have a folder of sockets.
    fn names(&self) -> Result<Vec<NetworkName>, Problem> {
        let entries = match fs::read_dir(&self.run_dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Problem::new(format!(
                    "cannot read {}: {error}",
                    self.run_dir.display()
                )));
            }
        };
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.parse().ok()
        });
        let mut names: Vec<NetworkName> = names.collect();
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        Ok(names)
    }

    fn glance(&self, name: &NetworkName) -> Client {
        self.patient(name, GLANCE)
    }

    fn client(&self, name: &NetworkName) -> Client {
        self.patient(name, PATIENCE)
    }

    fn patient(&self, name: &NetworkName, patience: Duration) -> Client {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let patience = self.deadline.map_or(patience, |at| patience.min(left(at)));
        Client::new(&Place {
            network: Some(name.clone()),
            run_dir: Some(self.run_dir.clone()),
            state_dir: None,
        })
        .within(patience)
    }
}

/// The networks that are configured in `folder`, and the built-in one if it
/// has no file there. What cannot be read is passed over: its network can have
/// no bridge.
fn configured(folder: &Path) -> Vec<Config> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut configs: Vec<Config> = files
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .filter_map(|path| Some(Loaded::read(&path, None).ok()?.config))
        .collect();
    if !folder.join("default.toml").exists() {
        configs.push(Config::built_in(NetworkName::default()));
    }
    configs
}

/// What is wrong, of what a network said.
pub(super) fn problem(error: ClientError) -> Problem {
    match error {
        ClientError::Refused(refused) => refused.into(),
        error => {
            let text = error.to_string();
            match text.split_once("\nhelp: ") {
                Some((error, help)) => Problem::new(error).help(help),
                None => Problem::new(text),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_does_not_run_is_named_by_its_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let networks = Networks::new(folder.path().join("run"), None);
        let said = |bridge: &str| networks.stopped(bridge, folder.path()).one_line();
        assert_eq!(
            said("vmlan0"),
            "network \"default\" is not running (help: start it with `vmlan run --network default`)"
        );
        assert!(said("virbr7").contains("no network of vmlan has the interface virbr7"));
        let lab = "interface = \"virbr7\"\naddress = \"10.0.0.1/24\"\nname = \"lab\"\n";
        fs::write(folder.path().join("lab.toml"), lab).unwrap();
        fs::write(folder.path().join("broken.toml"), "interface = ").unwrap();
        assert!(
            said("virbr7").contains("vmlan run --network lab"),
            "{}",
            said("virbr7")
        );
        assert!(networks.holding("vnet0").unwrap().is_none());
    }
}
