//! What lies outside of the network, by way of the host: its firewall, and
//! whether it forwards.

use super::network::{Network, chain};
use crate::config::Forward;
use crate::events::Event;
use crate::firewall::{Firewall, ToolError, Wanted};
use crate::host::forwarding::{self, ForwardingError, GivenUp};
use crate::host::link::LinkError;
use crate::host::rundir::RunDir;
use crate::host::sysctl;
use crate::model::ApiError;

impl Network {
    /// Has the host forward for the network, or not, and gives it the rules for
    /// that, as the configuration says. Gives the sysctls that were otherwise.
    pub(super) async fn open_outside(&mut self) -> Result<Vec<String>, ApiError> {
        let failed = |error: String| ApiError::runtime(error);
        let Some(wanted) = Wanted::of(&self.config, self.gateway, &self.former) else {
            let closed = self.close_outside().await;
            closed.map_err(|e| failed(format!("{e:#}")))?;
            return Ok(Vec::new());
        };
        let (interface, is_routed) = (wanted.interface.clone(), wanted.way.is_routed());
        if let Some(uplink) = wanted.way.uplink()
            && let Err(LinkError::NoSuchName(_)) = self.links.by_name(uplink).await
        {
            self.uplink_gone = true;
            self.events.tell(Event::UplinkGone {
                interface: uplink.to_owned(),
            });
        }
        // Rules first: nothing is forwarded without them.
        let users = match self.firewall.apply(wanted).await {
            Ok(survey) => survey.forwarders,
            // Its sysctls close the network too, but for what others send in.
            Err(error) if !is_routed => {
                tracing::warn!(
                    "{}: what others send to guests by way of this host is not refused",
                    chain(error)
                );
                Vec::new()
            }
            Err(error) => {
                let network = self.config.forward.name();
                return Err(failed(chain(error)).help(format!(
                    "forward = \"{network}\" wants the host's firewall; with \"isolated\" guests \
                     reach each other and the host"
                )));
            }
        };
        if !is_routed {
            let stopped = stop_forwarding(&self.run, &users).map_err(|e| failed(chain(e)))?;
            if let Some(stopped) = stopped {
                tracing::info!("{stopped}");
            }
            // It may have been routed until now.
            return self.sysctls_at_start(&interface);
        }
        let turned_on = forwarding::need(&self.run, &users).map_err(|e| failed(chain(e)))?;
        if turned_on {
            tracing::info!("net.ipv4.ip_forward was off: it is on until vmlan ends");
        }
        self.forwarding_is_off = false;
        let routed = sysctl::route_host_interface(&interface).map_err(|e| failed(chain(e)))?;
        let mut changed = Vec::from_iter(turned_on.then(|| "net.ipv4.ip_forward".to_owned()));
        changed.extend(routed);
        Ok(changed)
    }

    /// Gives the host's own interface, which is not up yet, its sysctls, and
    /// says which were otherwise.
    pub(super) fn sysctls_at_start(&self, interface: &str) -> Result<Vec<String>, ApiError> {
        let set = match self.config.forward {
            Forward::Bridge => return Ok(Vec::new()),
            // What is routed is opened once the rules are there.
            _ => sysctl::isolate_host_interface(interface),
        };
        set.map_err(|e| ApiError::runtime(chain(e)))
    }

    /// Looks after the rules once somebody has changed some.
    pub(super) async fn rules_changed(&mut self) {
        match self.firewall.restore().await {
            Ok(None) => {}
            Ok(Some(what)) => self.events.tell(Event::HostRestored { what }),
            Err(error) => tracing::warn!("{}", chain(error)),
        }
    }

    /// Takes away from the host what [`open_outside`](Self::open_outside) did.
    pub(super) async fn close_outside(&mut self) -> anyhow::Result<()> {
        let closed = close(&mut self.firewall, &self.run).await?;
        if let Some(forwarding) = closed.forwarding {
            tracing::info!("{forwarding}");
        }
        Ok(())
    }

    /// Sets the sysctls of the host's own interface again that somebody has
    /// written for all netdevs at once, as Docker does to turn on forwarding.
    pub(super) fn sysctls_changed(&mut self) {
        let Some(interface) = self.ports.host_interface() else {
            return;
        };
        let (changed, why) = match self.config.forward {
            Forward::Bridge => return,
            Forward::Isolated => (sysctl::isolate_host_interface(interface), "isolated"),
            Forward::Nat | Forward::Route | Forward::Open => {
                let is_off = matches!(sysctl::host_forwards(), Ok(Some(now)) if now == "0");
                let was_off = std::mem::replace(&mut self.forwarding_is_off, is_off);
                match (was_off, is_off) {
                    // The kernel tells of each netdev that has it written.
                    (true, true) => return,
                    (false, true) => {
                        self.events.tell(Event::HostChanged {
                            what: "somebody has turned off net.ipv4.ip_forward: guests reach \
                                   nothing outside"
                                .to_owned(),
                            mend: "`vmlan reload` turns it on again".to_owned(),
                        });
                        return;
                    }
                    (true, false) => {
                        tracing::info!("somebody has turned net.ipv4.ip_forward on again");
                    }
                    (false, false) => {}
                }
                (sysctl::route_host_interface(interface), "as it was made")
            }
        };
        match changed {
            Ok(changed) => {
                for key in changed {
                    let what = format!(
                        "somebody has changed {key}: it is set back, to keep {interface} {why}"
                    );
                    self.events.tell(Event::HostRestored { what });
                }
            }
            Err(error) => tracing::warn!("{}", chain(error)),
        }
    }
}

/// What [`close`] has done.
#[derive(Debug)]
pub(super) struct Closed {
    /// What was taken away from the firewall.
    pub(super) removed: Vec<String>,
    /// What became of forwarding, if the network had turned it on.
    pub(super) forwarding: Option<String>,
}

/// Takes away the rules of the network that holds `run`, and forwarding where
/// nobody else needs it.
pub(super) async fn close(firewall: &mut Firewall, run: &RunDir) -> anyhow::Result<Closed> {
    let users = firewall.forwarders().await.unwrap_or_else(unknown);
    let stopped = stop_forwarding(run, &users);
    let removed = firewall.remove().await?;
    Ok(Closed {
        removed,
        forwarding: stopped?,
    })
}

/// Puts forwarding back, and says so if the network had turned it on.
fn stop_forwarding(run: &RunDir, users: &[String]) -> Result<Option<String>, ForwardingError> {
    Ok(match forwarding::give_up(run, users)? {
        GivenUp::AsItWas => None,
        GivenUp::Off => Some("net.ipv4.ip_forward is off again".to_owned()),
        GivenUp::NeededBy(others) => Some(format!(
            "net.ipv4.ip_forward stays on: {} came meanwhile and may need it",
            others.join(", ")
        )),
    })
}

/// Without an answer nobody is known to need forwarding.
fn unknown(error: ToolError) -> Vec<String> {
    tracing::warn!("{}", chain(error));
    Vec::new()
}
