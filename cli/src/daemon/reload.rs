//! Applies a changed configuration to a running network.
//!
//! What is wanted is compared with what is there, not only with the file as it
//! was: a port that could not be made the last time is tried again. One step
//! that fails does not keep the others from being done.

use super::events::Events;
use super::network::{Network, chain};
use super::ports::{NamedPort, Origin};
use super::start;
use crate::config::{Config, ConfigError, Forward, Loaded, Port, PortKind, PortSettings};
use crate::events::Event;
use crate::host::link::{Link, LinkError};
use crate::model::ApiError;

/// What a reload did, and what it could not do, a line each.
#[derive(Debug, Default)]
struct Report {
    done: Vec<String>,
    failed: Vec<String>,
}

impl Report {
    fn done(&mut self, what: impl Into<String>) {
        self.done.push(what.into());
    }

    fn failed(&mut self, what: impl Into<String>) {
        self.failed.push(what.into());
    }

    /// Tells of all, and gives a line of each.
    fn finish(self, events: &Events) -> Result<String, ApiError> {
        events.tell(Event::Reloaded {
            done: self.done.clone(),
            failed: self.failed.clone(),
        });
        let done = self.done.into_iter();
        let failed = self.failed.iter().map(|line| format!("not done: {line}"));
        let lines: Vec<String> = done.chain(failed).collect();
        if !self.failed.is_empty() {
            return Err(ApiError::runtime(lines.join("\n")));
        }
        if lines.is_empty() {
            return Ok("nothing has changed".to_owned());
        }
        Ok(lines.join("\n"))
    }
}

/// Reads the configuration again, applies what changed and says what it did,
/// a line each, in the log too.
///
/// # Errors
/// The configuration cannot be used, or asks for what needs a restart: then
/// nothing changes. Or a part of it cannot be applied: then the rest is, and
/// the error says which is which.
pub(super) async fn reload(network: &mut Network) -> Result<String, ApiError> {
    let Some(file) = &network.file else {
        let mut report = Report::default();
        report.done("the network runs by the built-in configuration: nothing to read");
        change_outside(network, &network.config.clone(), &mut report).await;
        return report.finish(&network.events);
    };
    let loaded =
        Loaded::read(file, Some(&network.config.name)).map_err(|error| unusable(&error))?;
    for warning in &loaded.warnings {
        tracing::warn!("{}", warning.one_line());
    }
    loaded.check_files().map_err(|error| unusable(&error))?;
    let (new, old) = (loaded.config, network.config.clone());
    refuse_unchangeable(&old, &new)?;
    let (live, source) = (network.hosts.entries(), loaded.source.as_ref());
    let served = super::hosts::served(&new, network.gateway, live, source)
        .map_err(|error| unusable(&error))?;

    let before = network.configured_ports();
    network.config = new;
    let mut report = Report::default();
    let new_program = network.dhcp.hooks().configure(&network.config);
    change_dhcp(network, &old, served, &mut report);
    network.dhcp.restate(new_program);
    change_names(network, &old, &mut report);
    change_tftp(network, &old, &mut report);
    change_outside(network, &old, &mut report).await;
    if network.config.libvirt != old.libvirt {
        network.libvirt.touch();
        report.done("what libvirt sees changed");
    }
    change_log(network, &old, &mut report);
    change_switch(network, &old, &mut report);
    change_mtu(network, &old, &mut report).await;
    change_ports(network, &before, &mut report).await;
    change_attached(network, &old, &mut report).await;
    report.finish(&network.events)
}

/// The file cannot be used.
fn unusable(error: &ConfigError) -> ApiError {
    tracing::error!("reload: nothing is changed: {}", error.one_line());
    ApiError::input(error)
}

/// What is fixed for as long as the process runs.
fn refuse_unchangeable(old: &Config, new: &Config) -> Result<(), ApiError> {
    // The uplink is a port of a bridge, and the host a station.
    let becomes_bridge = [old.forward, new.forward].contains(&Forward::Bridge);
    let changed = [
        ("interface", old.interface != new.interface),
        ("address", old.address != new.address),
        ("mac", old.mac != new.mac),
        ("forward", becomes_bridge && old.forward != new.forward),
        ("uplink", becomes_bridge && old.uplink != new.uplink),
        ("move-addresses", old.move_addresses != new.move_addresses),
        ("fdb-size", old.switch.fdb_size != new.switch.fdb_size),
        ("workers", old.switch.workers != new.switch.workers),
        ("polling", old.switch.polling != new.switch.polling),
    ];
    let changed: Vec<&str> = changed
        .iter()
        .filter_map(|(key, changed)| changed.then_some(*key))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let error = ApiError::input(format!(
        "{} cannot change while the network runs; nothing was changed",
        changed.join(", ")
    ))
    .help("stop `vmlan run` and start it again");
    tracing::error!("reload: {}", error.one_line());
    Err(error)
}

fn change_dhcp(
    network: &mut Network,
    old: &Config,
    served: Option<vmlan_dhcp::Config>,
    report: &mut Report,
) {
    let new = &network.config;
    if (&new.dhcp, &new.domain, new.mtu) == (&old.dhcp, &old.domain, old.mtu) {
        return;
    }
    match network.dhcp.configure(served) {
        Ok(()) => report.done("DHCP settings changed"),
        Err(error) => {
            report.failed(format!("DHCP settings: {}", chain(error)));
            // As it still is, so that the next reload tries again.
            network.config.dhcp.clone_from(&old.dhcp);
            network.config.domain.clone_from(&old.domain);
        }
    }
}

/// Answers by the new settings, also where they are the same: that forgets what
/// others have answered.
fn change_names(network: &mut Network, old: &Config, report: &mut Report) {
    let changed = network.config.dns != old.dns;
    match network.serve_names() {
        Ok(()) if !changed => {}
        Ok(()) if !network.config.dns.enabled => report.done("DNS is off now"),
        Ok(()) if !old.dns.enabled => report.done("DNS is on now"),
        Ok(()) => report.done("DNS settings changed"),
        Err(error) => {
            report.failed(chain(error));
            network.config.dns.clone_from(&old.dns);
        }
    }
}

fn change_tftp(network: &mut Network, old: &Config, report: &mut Report) {
    let changed = network.config.tftp != old.tftp;
    if !changed && network.config.mtu == old.mtu {
        return;
    }
    match network.serve_tftp() {
        Ok(()) if !changed => {}
        Ok(()) if network.config.tftp.is_none() => report.done("TFTP is off now"),
        Ok(()) if old.tftp.is_none() => report.done("TFTP is on now"),
        Ok(()) => report.done("TFTP settings changed"),
        Err(error) => {
            report.failed(chain(error));
            network.config.tftp.clone_from(&old.tftp);
        }
    }
}

/// Gives the host its rules anew, also where the configuration is the same:
/// that is how a person mends them.
async fn change_outside(network: &mut Network, old: &Config, report: &mut Report) {
    let outside = |config: &Config| (config.forward, config.uplink.clone(), config.nat);
    match network.open_outside().await {
        Ok(otherwise) if outside(&network.config) == outside(old) => {
            for sysctl in otherwise {
                report.done(format!("{sysctl} was changed by somebody: it is set again"));
            }
        }
        Ok(_) => report.done(format!("forward is {} now", network.config.forward.name())),
        Err(error) => {
            report.failed(format!("forward: {}", error.one_line()));
            let config = &mut network.config;
            (config.forward, config.uplink, config.nat) = outside(old);
        }
    }
}

fn change_log(network: &Network, old: &Config, report: &mut Report) {
    let new = &network.config;
    if new.log != old.log {
        let filter = new.log.clone().unwrap_or_default();
        report.done(format!("the log is written by the filter {filter} now"));
        crate::log::set(filter);
    }
    if new.events != old.events {
        report.done("what is an event changed");
    }
}

fn change_switch(network: &mut Network, old: &Config, report: &mut Report) {
    let settings = start::settings(&network.config, network.gateway, network.mac);
    match network.switch.configure(&settings) {
        Ok(()) if network.config.switch != old.switch => report.done("switch settings changed"),
        Ok(()) => {}
        Err(error) => {
            report.failed(format!("switch settings: {}", chain(error)));
            network.config.switch = old.switch;
        }
    }
}

/// Gives the netdevs that the network made its MTU. Those of others keep
/// theirs, with a warning where frames will not fit.
async fn change_mtu(network: &Network, old: &Config, report: &mut Report) {
    let mtu = network.config.mtu;
    let changed = mtu != old.mtu;
    if changed {
        report.done(format!("MTU is {mtu} now"));
    }
    for (name, port) in network.ports.iter() {
        let Some(index) = port.netdev.as_ref().and_then(|netdev| netdev.index) else {
            continue;
        };
        let link = match network.links.by_index(index).await {
            Ok(link) => link,
            // It has just gone, which is followed elsewhere.
            Err(LinkError::NoSuchIndex(_)) => continue,
            Err(error) => {
                report.failed(format!("the MTU of port {name}: {}", chain(error)));
                continue;
            }
        };
        match port.kind {
            PortKind::Tap if link.mtu != u32::from(mtu) => {
                match network.links.set_mtu(&link, mtu.into()).await {
                    Ok(()) if changed => {}
                    Ok(()) => report.done(format!("MTU of port {name} is {mtu} now")),
                    Err(error) => {
                        report.failed(format!("the MTU of port {name}: {}", chain(error)));
                    }
                }
            }
            PortKind::Packet if changed => {
                report.done.extend(too_small(&link, mtu));
            }
            _ => {}
        }
    }
}

/// What is to be said of a taken netdev that cannot carry the network's `mtu`.
fn too_small(link: &Link, mtu: u16) -> Option<String> {
    (link.mtu < u32::from(mtu)).then(|| {
        format!(
            "warning: {0} takes packets of {1} bytes only, the network's MTU is {mtu}: longer \
             frames to it are dropped. `ip link set {0} mtu {mtu}` mends it",
            link.name, link.mtu
        )
    })
}

/// What is to become of a port that is there, of which the configuration was
/// `before`.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    /// Asked for by somebody, and by the configuration too from now on.
    Adopted,
    /// Changed while frames pass.
    Set(PortSettings),
    Goes,
}

impl Fate {
    /// The fate of `port`, whose netdev was asked for as `before`, where the
    /// configuration has `wanted` by its name now.
    fn of(port: &NamedPort, before: Option<&Port>, wanted: Option<&Port>) -> Self {
        let netdev = port.netdev.as_ref().map(|netdev| netdev.name.as_str());
        match (port.origin, wanted) {
            (Origin::Config, None) => Self::Goes,
            (Origin::Config, Some(wanted)) => match before {
                // A netdev may have another name by now.
                Some(before)
                    if (before.kind, &before.interface, before.queues)
                        == (wanted.kind, &wanted.interface, wanted.queues) =>
                {
                    let changed = |before, wanted| (before != wanted).then_some(wanted);
                    let settings = PortSettings {
                        offload: changed(before.offload, wanted.offload),
                        dhcp: changed(before.dhcp, wanted.dhcp),
                        ..PortSettings::default()
                    };
                    if settings == PortSettings::default() {
                        Self::Stays
                    } else {
                        Self::Set(settings)
                    }
                }
                _ => Self::Goes,
            },
            (Origin::Command | Origin::Pattern, Some(wanted))
                if port.kind == wanted.kind && netdev == Some(wanted.interface.as_str()) =>
            {
                Self::Adopted
            }
            _ => Self::Stays,
        }
    }
}

/// Brings the ports in line with the configuration, of which they were
/// `before`.
async fn change_ports(network: &mut Network, before: &[Port], report: &mut Report) {
    let wanted = network.configured_ports();
    let named = |ports: &[Port], name: &_| ports.iter().find(|port| port.name == *name).cloned();
    let there: Vec<_> = network
        .ports
        .iter()
        .map(|(name, port)| (name.clone(), port.clone()))
        .collect();
    for (name, mut port) in there {
        let (before, wanted) = (named(before, &name), named(&wanted, &name));
        match Fate::of(&port, before.as_ref(), wanted.as_ref()) {
            Fate::Stays => {}
            Fate::Goes => {
                network.remove(&name);
                report.done(format!("port {name} removed"));
            }
            Fate::Adopted => {
                port.origin = Origin::Config;
                network.ports.insert(name.clone(), port);
                report.done(format!("port {name} belongs to the configuration now"));
            }
            Fate::Set(settings) => match network.set(&name, &settings) {
                Ok(_) => report.done(format!("port {name} changed")),
                Err(error) => {
                    report.failed(format!("port {name}: {}", error.one_line()));
                    // As it still is, so that the next reload tries again.
                    let ports = &mut network.config.ports;
                    if let (Some(port), Some(before)) =
                        (ports.iter_mut().find(|port| port.name == name), before)
                    {
                        *port = before;
                    }
                }
            },
        }
    }
    for port in wanted {
        if is_configured(network, &port) {
            continue;
        }
        match network.add(&port, Origin::Config).await {
            Ok(()) => report.done(format!("port {} added", port.name)),
            Err(error) => {
                let error = network.config.places.port_error(&port.name, error);
                report.failed(error.one_line());
            }
        }
    }
}

fn is_configured(network: &Network, port: &Port) -> bool {
    let there = network.ports.get(&port.name);
    there.is_some_and(|there| there.origin == Origin::Config)
}

/// Brings the attached netdevs in line with the patterns.
async fn change_attached(network: &mut Network, old: &Config, report: &mut Report) {
    let attach = &network.config.attach;
    if *attach == old.attach {
        return;
    }
    let no_longer: Vec<_> = network
        .ports
        .iter()
        .filter(|(name, port)| {
            port.origin == Origin::Pattern && !attach.iter().any(|p| p.matches(name.as_str()))
        })
        .map(|(name, _)| name.clone())
        .collect();
    for name in no_longer {
        network.remove(&name);
        report.done(format!("{name} detached"));
    }
    match network.links.all().await {
        Ok(links) => {
            for link in links {
                network.link_seen(&link).await;
            }
            report.done("attach patterns changed");
        }
        Err(error) => {
            report.failed(format!("attach patterns: {}", chain(error)));
            network.config.attach.clone_from(&old.attach);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ports::Netdev;
    use super::*;
    use std::collections::BTreeMap;
    use vmlan_dataplane::table::PortId;

    fn wanted(kind: PortKind, interface: &str, offload: bool) -> Port {
        Port {
            name: "p".parse().unwrap(),
            kind,
            interface: interface.parse().unwrap(),
            queues: 1,
            offload,
            dhcp: true,
        }
    }

    fn there(kind: PortKind, netdev: &str, origin: Origin) -> NamedPort {
        NamedPort {
            id: PortId(1),
            kind,
            queues: 1,
            netdev: Some(Netdev {
                name: netdev.to_owned(),
                index: Some(3),
                up: true,
            }),
            origin,
            external_ids: BTreeMap::new(),
            offload: true,
            dhcp: true,
        }
    }

    #[test]
    fn only_what_cannot_change_live_makes_a_port_go() {
        let before = wanted(PortKind::Tap, "c1", true);
        let port = there(PortKind::Tap, "c1", Origin::Config);
        let fate = |now: Option<&Port>| Fate::of(&port, Some(&before), now);
        assert_eq!(fate(Some(&before)), Fate::Stays);
        assert_eq!(fate(None), Fate::Goes);
        assert_eq!(fate(Some(&wanted(PortKind::Tap, "c2", true))), Fate::Goes);
        assert_eq!(
            fate(Some(&wanted(PortKind::Packet, "c1", true))),
            Fate::Goes
        );
        assert!(matches!(
            fate(Some(&wanted(PortKind::Tap, "c1", false))),
            Fate::Set(PortSettings {
                offload: Some(false),
                ..
            })
        ));
    }

    #[test]
    fn a_netdev_that_was_renamed_stays() {
        let before = wanted(PortKind::Tap, "c1", true);
        let port = there(PortKind::Tap, "eth0", Origin::Config);
        assert_eq!(Fate::of(&port, Some(&before), Some(&before)), Fate::Stays);
    }

    #[test]
    fn a_port_of_somebody_is_adopted_or_left_alone() {
        let wanted = wanted(PortKind::Packet, "v1", true);
        for origin in [Origin::Command, Origin::Pattern] {
            let port = there(PortKind::Packet, "v1", origin);
            assert_eq!(Fate::of(&port, None, Some(&wanted)), Fate::Adopted);
            assert_eq!(Fate::of(&port, None, None), Fate::Stays);
            let other = there(PortKind::Packet, "v2", origin);
            assert_eq!(Fate::of(&other, None, Some(&wanted)), Fate::Stays);
        }
    }
}
