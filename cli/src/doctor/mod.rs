//! `vmlan doctor`: looks for what keeps guests of a network from each other,
//! from the host or from outside, and says what to do about it.
//!
//! [`facts`] asks the host, once, and changes nothing; [`ask`] is the part of
//! it that sends packets on the network's own segment, [`others`] the part that
//! reads what other networks there are. Each check is a function
//! of these facts in a file of its own, so that it can be tested with values:
//!
//! - [`leftovers`]: what a run that was killed has left;
//! - [`kernel`]: rights, `/dev/net/tun`, nftables, io_uring;
//! - [`netdevs`]: the netdevs that are to be ports, and the host's interface;
//! - [`subnet`]: who else has an address of the network's subnet;
//! - [`forwarding`]: what the kernel does with packets from guests;
//! - [`servers`]: DHCP and DNS as guests find them.

mod ask;
mod facts;
mod forwarding;
mod kernel;
mod leftovers;
mod netdevs;
mod others;
mod servers;
mod subnet;

use crate::args::Place;
use crate::config::Loaded;
use anyhow::Context as _;
use facts::Facts;
use serde::{Deserialize, Serialize};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Fine,
    /// Could not be found out.
    Unknown,
    /// Works, but not as one might expect.
    Warning,
    /// Something does not work.
    Obstacle,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at: `forwarding`, `subnet`, ….
    pub check: String,
    /// How much it matters.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Finding {
    fn new(check: &str, level: Level, message: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            level,
            message: message.into(),
            help: None,
        }
    }

    fn fine(check: &str, message: impl Into<String>) -> Self {
        Self::new(check, Level::Fine, message)
    }

    fn unknown(check: &str, message: impl Into<String>) -> Self {
        Self::new(check, Level::Unknown, message)
    }

    fn warning(check: &str, message: impl Into<String>) -> Self {
        Self::new(check, Level::Warning, message)
    }

    fn obstacle(check: &str, message: impl Into<String>) -> Self {
        Self::new(check, Level::Obstacle, message)
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Examines the network that `loaded` describes, running or not, on this host.
///
/// # Errors
/// The host cannot be asked at all.
pub fn examine(place: &Place, loaded: Loaded) -> anyhow::Result<Vec<Finding>> {
    let facts = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?
        .block_on(Facts::gather(place, loaded))?;
    Ok(judge(&facts))
}

/// What all checks find.
fn judge(facts: &Facts) -> Vec<Finding> {
    let checks = [
        facts::running,
        leftovers::check,
        kernel::check,
        netdevs::check,
        subnet::check,
        forwarding::check,
        servers::check,
    ];
    checks.iter().flat_map(|check| check(facts)).collect()
}
