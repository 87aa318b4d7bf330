//! The host's firewall, as far as it concerns a network.
//!
//! - [`wanted`]: what the network wants, as values;
//! - [`rules`]: that as the rules of a table of its own, for `nft`;
//! - [`survey`]: what other firewalls drop, as values, and [`obstacle`]: what of
//!   it is in the way;
//! - [`docker`] and [`firewalld`]: the places that these two have for rules of
//!   others;
//! - [`watch`]: whether somebody has changed rules;
//! - [`tool`]: runs the programs that all of it is done by.
//!
//! [`Firewall`] puts these together. It changes a table called `vmlan_NAME`,
//! rules with the comment `vmlan:NAME` in DOCKER-USER, and the zone of the
//! network's own interface in firewalld. The rules of nobody else are touched:
//! where those of ufw, or of the host's own nftables or iptables, are in the
//! way, the log says which and how to mend it.

mod docker;
mod firewalld;
pub(crate) mod obstacle;
mod rules;
pub(crate) mod survey;
mod tool;
pub(crate) mod wanted;
pub(crate) mod watch;

use crate::host::durable;
use obstacle::{Obstacle, obstacles};
pub(crate) use rules::table_name;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use survey::{NFT, Survey};
pub(crate) use tool::ToolError;
pub(crate) use wanted::Wanted;

/// The record in RUN/NAME of what stands on the host.
pub(crate) const RECORD: &str = "firewall.toml";

/// The most that is read of it, in bytes.
const LIMIT: usize = 4096;

/// The firewall cannot be changed as wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirewallError {
    /// A program says no.
    #[error("cannot change the host's firewall{}", mend(.0))]
    Tool(#[from] ToolError),
    /// What is changed cannot be recorded.
    #[error("cannot write {}", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
}

fn mend(error: &ToolError) -> &'static str {
    match error {
        ToolError::Failed { said, .. } if said.contains("Operation not permitted") => {
            " (it wants CAP_NET_ADMIN: run vmlan as root)"
        }
        _ => "",
    }
}

/// What stands on the host for a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The network's own interface.
    interface: String,
    /// firewalld's zone that it was put in.
    zone: Option<String>,
}

/// The rules of one network on this host.
#[derive(Debug)]
pub(crate) struct Firewall {
    network: String,
    path: PathBuf,
    /// There while something of the network may stand on the host.
    record: Option<Record>,
    wanted: Option<Wanted>,
    /// Obstacles that the user knows of.
    told: Vec<Obstacle>,
}

impl Firewall {
    /// Starts with what a killed process has left for `network`, whose folder
    /// RUN/NAME is `run`. Nothing is changed yet.
    pub(crate) fn open(run: &Path, network: &str) -> Self {
        let path = run.join(RECORD);
        let left = durable::read(&path, LIMIT).ok().flatten();
        Self {
            network: network.to_owned(),
            // What makes no sense still says that something may be there.
            record: left.map(|text| toml::from_slice(&text).unwrap_or_default()),
            path,
            wanted: None,
            told: Vec::new(),
        }
    }

    /// Gives the host the rules that are `wanted` and takes away others of this
    /// network. Says in the log what it did for other firewalls, and what is
    /// still in the way.
    ///
    /// # Errors
    /// [`FirewallError`]; what could not be changed is as it was.
    pub(crate) async fn apply(&mut self, wanted: Wanted) -> Result<Survey, FirewallError> {
        let mut record = self.record.clone().unwrap_or_default();
        if record.interface != wanted.interface {
            self.leave_zone().await;
            record = Record {
                interface: wanted.interface.clone(),
                zone: None,
            };
        }
        self.keep(record)?;
        transact(&rules::replacing(&wanted)).await?;
        self.wanted = Some(wanted.clone());
        self.told.clear();
        let survey = self.survey(&wanted).await?;
        Ok(self.meet_others(&wanted, survey).await?)
    }

    /// Looks whether all is still there, since somebody has changed rules, and
    /// makes again what is not. It says what that was.
    ///
    /// # Errors
    /// [`FirewallError`].
    pub(crate) async fn restore(&mut self) -> Result<Option<String>, FirewallError> {
        let Some(wanted) = self.wanted.clone() else {
            return Ok(None);
        };
        let mut restored = None;
        let survey = self.survey(&wanted).await?;
        if survey.own != rules::size(&wanted) {
            let table = table_name(&self.network);
            transact(&rules::replacing(&wanted)).await?;
            restored = Some(format!(
                "somebody has changed the nftables table {table}: it is made again"
            ));
        }
        self.meet_others(&wanted, survey).await?;
        Ok(restored)
    }

    /// The programs whose rules want the host to forward; none where nothing of
    /// this network stands on it.
    ///
    /// # Errors
    /// [`ToolError`].
    pub(crate) async fn forwarders(&self) -> Result<Vec<String>, ToolError> {
        match &self.record {
            Some(_) => Ok(Survey::take(&self.network, None).await?.forwarders),
            None => Ok(Vec::new()),
        }
    }

    /// Takes away all that stands on the host for this network, and says what
    /// that was.
    ///
    /// # Errors
    /// [`FirewallError`]: the first one, the rest is done all the same.
    pub(crate) async fn remove(&mut self) -> Result<Vec<String>, FirewallError> {
        self.wanted = None;
        let mut removed = Vec::new();
        if self.record.is_none() {
            return Ok(removed);
        }
        let survey = Survey::take(&self.network, None).await.unwrap_or_default();
        let table = transact(&rules::removing(&self.network)).await;
        if survey.own > 0 {
            let name = table_name(&self.network);
            removed.push(format!("the nftables table {name}"));
        }
        let docker = match survey.docker_user {
            Some(flavour) => docker::set(flavour, &self.network, &[]).await,
            None => Ok(false),
        };
        if let Ok(true) = docker {
            removed.push(format!("its rules in the chain {}", survey::DOCKER_USER));
        }
        removed.extend(self.leave_zone().await);
        table.and(docker.map(|_| String::new()))?;
        self.record = None;
        durable::remove_if_there(&self.path).map_err(|source| self.unwritten(source))?;
        Ok(removed)
    }

    async fn survey(&self, wanted: &Wanted) -> Result<Survey, ToolError> {
        Survey::take(&self.network, Some(wanted)).await
    }

    /// Has other firewalls let the network through where they have a place for
    /// that. The answer is what stands there then.
    async fn meet_others(&mut self, wanted: &Wanted, survey: Survey) -> Result<Survey, ToolError> {
        let docker = self.meet_docker(wanted, &survey).await;
        let firewalld = self.meet_firewalld(wanted, &survey).await;
        let survey = if docker || firewalld {
            self.survey(wanted).await?
        } else {
            survey
        };
        let found = obstacles(&survey, wanted);
        for obstacle in found.iter().filter(|it| !self.told.contains(it)) {
            tracing::warn!("{obstacle}");
        }
        self.told = found;
        Ok(survey)
    }

    /// Whether something was changed in Docker's chain.
    async fn meet_docker(&self, wanted: &Wanted, survey: &Survey) -> bool {
        let Some(flavour) = survey.docker_user else {
            return false;
        };
        let rules = docker::rules(wanted);
        match docker::set(flavour, &self.network, &rules).await {
            Ok(changed) if changed && !rules.is_empty() => {
                tracing::info!(
                    "Docker is here: its chain {} lets {} through now, until vmlan ends",
                    survey::DOCKER_USER,
                    wanted.interface
                );
                true
            }
            Ok(changed) => changed,
            Err(error) => {
                tracing::warn!("{}", said(error));
                false
            }
        }
    }

    /// Whether the interface was put in a zone of firewalld.
    async fn meet_firewalld(&mut self, wanted: &Wanted, survey: &Survey) -> bool {
        let zones = firewalld::zones(wanted);
        let ours = self.record.as_ref().and_then(|it| it.zone.as_deref());
        if ours.is_some_and(|zone| !zones.contains(&zone)) {
            self.leave_zone().await;
        } else if survey.firewalld.as_ref().is_none_or(|it| it.zone.is_some()) {
            return false;
        }
        if survey.firewalld.is_none() {
            return false;
        }
        self.enter_zone(wanted, zones)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!("{}", said(error));
                false
            })
    }

    async fn enter_zone(&mut self, wanted: &Wanted, zones: &[&str]) -> Result<bool, FirewallError> {
        let interface = &wanted.interface;
        let record = |zone: Option<&str>| Record {
            interface: interface.clone(),
            zone: zone.map(str::to_owned),
        };
        for zone in zones {
            self.keep(record(Some(zone)))?;
            if !firewalld::bind(interface, zone).await? {
                continue;
            }
            let open = match *zone {
                firewalld::TRUSTED => ", to which every service of this host is open",
                _ => "",
            };
            tracing::info!(
                "firewalld is here: {interface} is in its zone {zone} until vmlan ends{open}"
            );
            return Ok(true);
        }
        self.keep(record(None))?;
        Ok(false)
    }

    /// Takes the interface out of the zone that it was put in, and says so.
    async fn leave_zone(&mut self) -> Option<String> {
        let record = self.record.as_mut()?;
        let zone = record.zone.take()?;
        match firewalld::release(&record.interface, &zone).await {
            Ok(()) => Some(format!("{} in firewalld's zone {zone}", record.interface)),
            Err(error) => {
                tracing::warn!("{}", said(error));
                None
            }
        }
    }

    fn keep(&mut self, record: Record) -> Result<(), FirewallError> {
        let written = toml::to_string(&record)
            .map_err(io::Error::other)
            .and_then(|text| durable::write(&self.path, text.as_bytes(), 0o600));
        self.record = Some(record);
        written.map_err(|source| self.unwritten(source))
    }

    fn unwritten(&self, source: io::Error) -> FirewallError {
        FirewallError::Record {
            path: self.path.clone(),
            source,
        }
    }
}

/// Whether the kernel would take the rules that are `wanted`. It looks at all
/// of them and changes nothing. Where none are asked for, whether `nft` runs.
///
/// # Errors
/// [`ToolError`].
pub(crate) async fn trial(wanted: Option<&Wanted>) -> Result<(), ToolError> {
    let tried = match wanted {
        Some(wanted) => {
            let commands = rules::replacing(wanted).to_string();
            NFT.run(&["-c", "-j", "-f", "-"], commands.as_bytes()).await
        }
        None => NFT.run(&["--version"], b"").await,
    };
    tried.map(drop)
}

async fn transact(commands: &serde_json::Value) -> Result<String, ToolError> {
    let commands = commands.to_string();
    NFT.run(&["-j", "-f", "-"], commands.as_bytes()).await
}

fn said(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::from(error))
}
