//! Applies a changed configuration to a running network.

use super::network::Network;
use super::ports::Origin;
use super::start;
use crate::config::{Config, Loaded, served};
use crate::host::link::Link;
use crate::model::ApiError;

/// Reads the configuration again, applies what changed and says what it did,
/// a line each.
///
/// # Errors
/// The configuration cannot be used, or asks for what needs a restart: then
/// nothing changes. Or a port cannot be added; the rest is applied.
pub(super) async fn reload(network: &mut Network) -> Result<String, ApiError> {
    let Some(file) = &network.file else {
        return Ok("the network runs by the built-in configuration: nothing to read".to_owned());
    };
    let loaded = Loaded::read(file, Some(&network.config.name))
        .map_err(|error| ApiError::input(error.to_string()))?;
    let (new, old) = (loaded.config, network.config.clone());
    refuse_unchangeable(&old, &new)?;
    let served = served::dhcp(&new, network.gateway, loaded.source.as_ref())
        .map_err(|error| ApiError::input(error.to_string()))?;

    let mut done = Vec::new();
    if (&new.dhcp, &new.domain, new.mtu) != (&old.dhcp, &old.domain, old.mtu) {
        network
            .dhcp
            .configure(served)
            .map_err(|error| ApiError::runtime(super::network::chain(error)))?;
        done.push("DHCP settings changed".to_owned());
    }
    network.config = new;
    let settings = start::settings(&network.config, network.gateway, network.mac);
    network.switch.configure(settings)?;
    if network.config.switch != old.switch {
        done.push("switch settings changed".to_owned());
    }
    if network.config.mtu != old.mtu {
        change_mtu(network).await?;
        done.push(format!("MTU is {} now", network.config.mtu));
    }
    let failures = change_ports(network, &old, &mut done).await;
    if done.is_empty() && failures.is_empty() {
        return Ok("nothing has changed".to_owned());
    }
    for line in &done {
        tracing::info!("reload: {line}");
    }
    if failures.is_empty() {
        return Ok(done.join("\n"));
    }
    done.extend(failures);
    Err(ApiError::runtime(done.join("\n")))
}

/// What is fixed for as long as the process runs.
fn refuse_unchangeable(old: &Config, new: &Config) -> Result<(), ApiError> {
    let changed = [
        ("interface", old.interface != new.interface),
        ("address", old.address != new.address),
        ("mac", old.mac != new.mac),
        ("forward", old.forward != new.forward),
        ("uplink", old.uplink != new.uplink),
        ("fdb-size", old.switch.fdb_size != new.switch.fdb_size),
    ];
    let changed: Vec<&str> = changed
        .iter()
        .filter_map(|(key, changed)| changed.then_some(*key))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(ApiError::input(format!(
        "{} cannot change while the network runs; nothing was changed",
        changed.join(", ")
    ))
    .help("stop `vmlan run` and start it again"))
}

/// Gives the netdevs that the network made its MTU. Those of others keep
/// theirs.
async fn change_mtu(network: &Network) -> Result<(), ApiError> {
    for (_, port) in network.ports.iter() {
        let index = port.netdev.as_ref().and_then(|netdev| netdev.index);
        if let (crate::config::PortKind::Tap, Some(index)) = (port.kind, index) {
            let link: Link = network.links.by_index(index).await?;
            network
                .links
                .set_mtu(&link, network.config.mtu.into())
                .await?;
        }
    }
    Ok(())
}

/// Brings the configured ports and the attached netdevs in line with the new
/// configuration. Says in `done` what it did, and returns what failed.
async fn change_ports(network: &mut Network, old: &Config, done: &mut Vec<String>) -> Vec<String> {
    let mut failures = Vec::new();
    for port in &old.ports {
        if !network.config.ports.contains(port) && network.ports.get(&port.name).is_some() {
            network.remove(&port.name);
            done.push(format!("port {} removed", port.name));
        }
    }
    for port in network.config.ports.clone() {
        if old.ports.contains(&port) {
            continue;
        }
        match network.add(&port, Origin::Config).await {
            Ok(()) => done.push(format!("port {} added", port.name)),
            Err(error) => failures.push(format!("port {} is not added: {error}", port.name)),
        }
    }
    if network.config.attach != old.attach {
        let no_longer: Vec<_> = network
            .ports
            .iter()
            .filter(|(name, port)| {
                port.origin == Origin::Pattern
                    && !network
                        .config
                        .attach
                        .iter()
                        .any(|p| p.matches(name.as_str()))
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in no_longer {
            network.remove(&name);
            done.push(format!("{name} detached"));
        }
        match network.links.all().await {
            Ok(links) => {
                for link in links {
                    network.link_seen(&link).await;
                }
            }
            Err(error) => failures.push(super::network::chain(error)),
        }
        done.push("attach patterns changed".to_owned());
    }
    failures
}
