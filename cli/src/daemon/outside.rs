//! What lies outside of the network, by way of the host: its firewall, and
//! whether it forwards.

use super::network::{Network, chain};
use crate::config::Forward;
use crate::firewall::{Firewall, ToolError, Wanted};
use crate::host::forwarding::{self, GivenUp};
use crate::host::link::LinkError;
use crate::host::rundir::RunDir;
use crate::host::sysctl;
use crate::model::ApiError;

impl Network {
    /// Has the host forward for the network, or not, and gives it the rules for
    /// that, as the configuration says.
    pub(super) async fn open_outside(&mut self) -> Result<(), ApiError> {
        let failed = |error: String| ApiError::runtime(error);
        let Some(wanted) = Wanted::of(&self.config, self.gateway, &self.former) else {
            let closed = self.close_outside().await;
            return closed.map_err(|e| failed(format!("{e:#}")));
        };
        let (interface, is_routed) = (wanted.interface.clone(), wanted.way.is_routed());
        if let Some(uplink) = wanted.way.uplink()
            && let Err(LinkError::NoSuchName(_)) = self.links.by_name(uplink).await
        {
            tracing::warn!("there is no netdev {uplink} yet: until it comes, guests get nowhere");
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
            stop_forwarding(&self.run, &users).map_err(|e| failed(chain(e)))?;
            // It may have been routed until now.
            return self.sysctls_at_start(&interface);
        }
        let turned_on = forwarding::need(&self.run, &users).map_err(|e| failed(chain(e)))?;
        if turned_on {
            tracing::info!("net.ipv4.ip_forward was off: it is on until vmlan ends");
        }
        let routed = sysctl::route_host_interface(&interface);
        routed.map(drop).map_err(|e| failed(chain(e)))
    }

    /// Gives the host's own interface, which is not up yet, its sysctls.
    pub(super) fn sysctls_at_start(&self, interface: &str) -> Result<(), ApiError> {
        let set = match self.config.forward {
            Forward::Bridge => return Ok(()),
            // What is routed is opened once the rules are there.
            _ => sysctl::isolate_host_interface(interface),
        };
        set.map(drop).map_err(|e| ApiError::runtime(chain(e)))
    }

    /// Looks after the rules once somebody has changed some.
    pub(super) async fn rules_changed(&mut self) {
        if let Err(error) = self.firewall.restore().await {
            tracing::warn!("{}", chain(error));
        }
    }

    /// Takes away from the host what [`open_outside`](Self::open_outside) did.
    pub(super) async fn close_outside(&mut self) -> anyhow::Result<()> {
        close(&mut self.firewall, &self.run).await
    }

    /// Sets the sysctls of the host's own interface again that somebody has
    /// written for all netdevs at once, as Docker does to turn on forwarding.
    pub(super) fn sysctls_changed(&self) {
        let Some(interface) = self.ports.host_interface() else {
            return;
        };
        let (changed, why) = match self.config.forward {
            Forward::Bridge => return,
            Forward::Isolated => (sysctl::isolate_host_interface(interface), "isolated"),
            Forward::Nat | Forward::Route | Forward::Open => {
                match sysctl::host_forwards() {
                    Ok(Some(now)) if now == "0" => {
                        tracing::warn!(
                            "somebody has turned off net.ipv4.ip_forward: guests reach nothing \
                             outside (help: `vmlan reload` turns it on again)"
                        );
                        return;
                    }
                    _ => {}
                }
                (sysctl::route_host_interface(interface), "as it was made")
            }
        };
        match changed {
            Ok(changed) => {
                for key in changed {
                    tracing::warn!(
                        "somebody has changed {key}: it is set back, to keep {interface} {why}"
                    );
                }
            }
            Err(error) => tracing::warn!("{}", chain(error)),
        }
    }
}

/// Takes away the rules of the network that holds `run`, and forwarding where
/// nobody else needs it.
pub(super) async fn close(firewall: &mut Firewall, run: &RunDir) -> anyhow::Result<()> {
    let users = firewall.forwarders().await.unwrap_or_else(unknown);
    let stopped = stop_forwarding(run, &users);
    firewall.remove().await?;
    Ok(stopped?)
}

fn stop_forwarding(run: &RunDir, users: &[String]) -> Result<(), forwarding::ForwardingError> {
    match forwarding::give_up(run, users)? {
        GivenUp::AsItWas => {}
        GivenUp::Off => tracing::info!("net.ipv4.ip_forward is off again"),
        GivenUp::NeededBy(others) => tracing::info!(
            "net.ipv4.ip_forward stays on: {} came meanwhile and may need it",
            others.join(", ")
        ),
    }
    Ok(())
}

/// Without an answer nobody is known to need forwarding.
fn unknown(error: ToolError) -> Vec<String> {
    tracing::warn!("{}", chain(error));
    Vec::new()
}
