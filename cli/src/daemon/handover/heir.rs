//! What a process that starts inherits: from one that serves, from a service
//! manager, or nothing.

use super::TAKEOVER;
use super::ask::{Asked, Taken};
use super::keep::{self, Kept};
use super::record::{Fixed, Record};
use super::store::{self, Files, Store};
use crate::args::Place;
use crate::config::{Config, Problem};
use crate::daemon::network::Network;
use crate::daemon::{CONNECT, CONTROL};
use crate::host::link::{LinkError, Links};
use crate::host::quiet::{Quiet, QuietError};
use crate::host::rundir::{RunDir, RunDirError};
use crate::host::statedir::StateDir;
use anyhow::Context as _;
use ipnet::Ipv4Net;
use vmlan_dataplane::port::sys::tun;

/// A process that starts.
#[derive(Debug)]
pub(in crate::daemon) struct Heir {
    estate: Estate,
    store: Option<Store>,
    /// netdevs of a process before that nobody can use.
    stale: Vec<String>,
}

/// The sockets that go on.
const SOCKETS: [&str; 3] = [CONTROL, CONNECT, TAKEOVER];

#[derive(Debug)]
enum Estate {
    /// It is the first.
    Nothing,
    /// Another process serves.
    Asked(Box<Asked>),
    /// Another process has ended.
    Left(Box<Record>, Files),
    /// All is taken; the other process is to be told.
    Taken(Taken),
}

impl Heir {
    /// Looks for what the network with `config` can go on with; where `asks`, by
    /// asking the process that serves.
    ///
    /// # Errors
    /// With `asks`: the process that serves refuses, or serves a network that is
    /// another one by `config`.
    pub(in crate::daemon) fn find(
        place: &Place,
        config: &Config,
        asks: bool,
    ) -> anyhow::Result<Self> {
        let run = place.run_dir().join(config.name.as_str());
        let mut store = Store::find().unwrap_or_else(|error| {
            tracing::warn!("the service manager cannot be told anything: {error}");
            None
        });
        let mut files = store::passed().unwrap_or_else(|error| {
            tracing::warn!("the files of the service manager cannot be used: {error}");
            Files::new()
        });
        if let Some(store) = &mut store {
            store.has(files.keys().cloned());
        }
        let estate = if asks && let Some(asked) = Asked::ask(&run)? {
            if let Some(key) = asked.network.differs(config) {
                let problem = Problem::new(format!(
                    "the running vmlan (process {}) has another `{key}`, so its ports cannot go on",
                    asked.pid
                ));
                return Err(problem
                    .help("stop it and start this one, or leave the key as it is")
                    .into());
            }
            Estate::Asked(Box::new(asked))
        } else if asks {
            tracing::info!("nobody serves the network: there is nothing to take over");
            Estate::Nothing
        } else if files.is_empty() {
            Estate::Nothing
        } else {
            match keep::left(&run).filter(|left| left.network.differs(config).is_none()) {
                Some(record) => Estate::Left(Box::new(record), std::mem::take(&mut files)),
                None => Estate::Nothing,
            }
        };
        // What is left of them is of no use.
        let stale = files.values().filter_map(|file| tun::name(file).ok());
        let stale = stale.collect();
        if !files.is_empty()
            && let Some(Err(error)) = store.as_mut().map(Store::clear)
        {
            tracing::warn!("the service manager goes on to keep files: {error}");
        }
        Ok(Self {
            estate,
            store,
            stale,
        })
    }

    fn fixed(&self) -> Option<&Fixed> {
        match &self.estate {
            Estate::Asked(asked) => Some(&asked.network),
            Estate::Left(record, _) => Some(&record.network),
            Estate::Nothing | Estate::Taken(_) => None,
        }
    }

    /// Takes away the netdevs that a process before has left to the service
    /// manager and that cannot go on, where this network makes its own by their
    /// names: the service manager may take its time to close them.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(in crate::daemon) async fn clear(
        &self,
        config: &Config,
        links: &Links,
    ) -> Result<(), LinkError> {
        let of_ports = config.ports.iter().map(|port| port.interface.as_str());
        let of_host = config.interface.as_ref().map(|name| name.as_str());
        for name in of_ports.chain(of_host) {
            if !self.stale.iter().any(|stale| stale == name) {
                continue;
            }
            match links.by_name(name).await {
                Err(LinkError::NoSuchName(_)) => {}
                Err(error) => return Err(error),
                Ok(link) => {
                    tracing::info!("netdev {name} was left over and is removed");
                    links.delete(&link).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether a network goes on, with what stands on the host for it.
    pub(in crate::daemon) fn inherits(&self) -> bool {
        self.fixed().is_some()
    }

    /// The gateway's address of the network that goes on.
    pub(in crate::daemon) fn gateway(&self) -> Option<Option<Ipv4Net>> {
        self.fixed().map(|fixed| fixed.gateway)
    }

    /// The addresses that the gateway of that network had before.
    pub(in crate::daemon) fn former(&self) -> Vec<Ipv4Net> {
        self.fixed()
            .map_or_else(Vec::new, |fixed| fixed.former.clone())
    }

    /// RUN/NAME, for this process.
    ///
    /// # Errors
    /// As [`RunDir::claim`].
    pub(in crate::daemon) fn run_dir(
        &mut self,
        place: &Place,
        config: &Config,
    ) -> Result<RunDir, RunDirError> {
        let (root, name) = (place.run_dir(), config.name.as_str());
        let interface = config.interface.as_ref().map(|name| name.as_str());
        match &mut self.estate {
            Estate::Asked(asked) => match asked.run_lock.take() {
                Some(lock) => Ok(RunDir::share(&root, name, lock)),
                None => RunDir::claim(&root, name, interface),
            },
            Estate::Left(_, files) => {
                RunDir::claim_but(&root, name, interface, |socket| files.contains_key(socket))
            }
            Estate::Nothing | Estate::Taken(_) => RunDir::claim(&root, name, interface),
        }
    }

    /// STATE/NAME, for this process.
    ///
    /// # Errors
    /// As [`StateDir::claim`].
    pub(in crate::daemon) fn state_dir(
        &mut self,
        place: &Place,
        config: &Config,
    ) -> Result<StateDir, RunDirError> {
        let (root, name) = (place.state_dir(), config.name.as_str());
        match &mut self.estate {
            Estate::Asked(asked) => match asked.state_lock.take() {
                Some(lock) => Ok(StateDir::inherit(&root, name, lock)),
                None => StateDir::claim(&root, name),
            },
            _ => StateDir::claim(&root, name),
        }
    }

    /// The netdevs that the host is kept off.
    ///
    /// # Errors
    /// [`QuietError`].
    pub(in crate::daemon) fn quiet(&self, run: &RunDir) -> Result<Quiet, QuietError> {
        match self.inherits() {
            true => Quiet::inherit(run.path()),
            false => Quiet::open(run.path()),
        }
    }

    /// Has `network` go on with what there is, as far as its configuration wants
    /// it. Frames pass from then on.
    ///
    /// # Errors
    /// The process that serves does not hand over.
    pub(in crate::daemon) fn settle(&mut self, network: &mut Network) -> anyhow::Result<()> {
        network.kept = Kept {
            store: self.store.take(),
            is_filling: true,
            ..Kept::default()
        };
        let estate = std::mem::replace(&mut self.estate, Estate::Nothing);
        let (record, mut files) = match estate {
            Estate::Asked(asked) => {
                let pid = asked.pid;
                let (record, files, taken) = asked.take()?;
                tracing::info!("process {pid} hands over");
                self.estate = Estate::Taken(taken);
                (record, files)
            }
            Estate::Left(record, files) => (*record, files),
            Estate::Nothing | Estate::Taken(_) => return Ok(()),
        };
        network.adopt(&record, &mut files);
        network.release_strangers();
        files.retain(|name, _| SOCKETS.contains(&name.as_str()));
        network.kept.listeners = files;
        Ok(())
    }

    /// Whether another process goes on serving should this one end now.
    pub(in crate::daemon) fn is_lent(&self) -> bool {
        matches!(self.estate, Estate::Asked(_) | Estate::Taken(_))
    }

    /// All is in place: lets go the process that has served.
    ///
    /// # Errors
    /// That one does not answer, so it may go on; or RUN/NAME cannot be written.
    pub(in crate::daemon) fn done(&mut self, network: &mut Network) -> anyhow::Result<()> {
        if let Estate::Taken(taken) = &mut self.estate {
            let told = taken.done();
            told.context("the process that has served does not let go")?;
        }
        self.estate = Estate::Nothing;
        let interface = network.config.interface.as_ref().map(ToString::to_string);
        network.run.own(interface.as_deref())?;
        network.kept.is_filling = false;
        network.forget_strangers();
        network.keep_all();
        Ok(())
    }
}
