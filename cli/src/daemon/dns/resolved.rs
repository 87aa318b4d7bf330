//! Names for the host itself, where systemd-resolved looks after its names: names
//! in the network's domain are asked of the gateway's address, by its own
//! interface, and nothing else is. That goes with the interface.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// There while systemd-resolved runs.
const RUNS: &str = "/run/systemd/resolve/io.systemd.Resolve";

/// How long it has for each change.
const PATIENCE: Duration = Duration::from_secs(5);

/// What systemd-resolved is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// The host's own interface.
    pub(super) interface: String,
    /// The name server.
    pub(super) server: Ipv4Addr,
    /// The domain that it is asked for; `None`: nothing.
    pub(super) domain: Option<String>,
}

impl Link {
    /// Tells it to systemd-resolved, if that runs, without waiting for it.
    pub(super) fn tell(self) {
        if !Path::new(RUNS).exists() {
            return;
        }
        tokio::spawn(async move {
            for arguments in self.commands() {
                if let Err(why) = resolvectl(&arguments).await {
                    let command = arguments.join(" ");
                    tracing::warn!(
                        "names of guests are not known to this host: `resolvectl {command}`: {why}"
                    );
                    return;
                }
            }
        });
    }

    /// The arguments of each `resolvectl` (resolvectl(1)).
    fn commands(&self) -> Vec<Vec<String>> {
        let command = |verb: &str, value: &str| {
            vec![verb.to_owned(), self.interface.clone(), value.to_owned()]
        };
        match &self.domain {
            // `~`: names in it are asked there, and no other name is completed by it.
            Some(domain) => vec![
                command("default-route", "no"),
                command("dns", &self.server.to_string()),
                command("domain", &format!("~{domain}")),
            ],
            None => vec![vec!["revert".to_owned(), self.interface.clone()]],
        }
    }
}

async fn resolvectl(arguments: &[String]) -> Result<(), String> {
    let mut command = Command::new("resolvectl");
    command
        .args(arguments)
        .kill_on_drop(true)
        .stdin(Stdio::null());
    match timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_asked_of_the_gateway_and_nothing_else_is() {
        let link = |domain: Option<&str>| Link {
            interface: "vmlan0".to_owned(),
            server: Ipv4Addr::new(192, 168, 122, 1),
            domain: domain.map(str::to_owned),
        };
        let lines = |link: Link| {
            let commands = link.commands().into_iter();
            commands.map(|it| it.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(
            lines(link(Some("vm"))),
            [
                "default-route vmlan0 no",
                "dns vmlan0 192.168.122.1",
                "domain vmlan0 ~vm",
            ]
        );
        assert_eq!(lines(link(None)), ["revert vmlan0"]);
    }
}
