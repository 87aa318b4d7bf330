//! What becomes of the ports: compared with what is there, not with the file as
//! it was. So what somebody has set by hand on a port of the configuration is
//! set back, and a port that could not be made is tried again.

use super::super::network::Network;
use super::super::ports::{NamedPort, Origin};
use super::plan::Side;
use super::step::Failure;
use crate::config::{Config, Port, PortKind, PortName, PortSettings};
use crate::model::ApiError;

/// Something to do with one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PortStep {
    /// Changed while frames pass.
    Set {
        name: PortName,
        /// What changes, as it is to be and as it was.
        new: PortSettings,
        old: PortSettings,
    },
    /// Another name for the same link.
    Rename { old: PortName, new: PortName },
    /// Asked for by somebody, and by the configuration too from now on.
    Adopt { name: PortName, origin: Origin },
    /// Made or taken.
    Add {
        port: Port,
        /// It was to be there before.
        again: bool,
    },
    /// Taken out of the switch.
    Remove {
        name: PortName,
        /// What it was, where the configuration had it.
        port: Option<Port>,
        /// Another one comes in its place.
        replaced: bool,
    },
}

impl PortStep {
    /// What it comes to, in words.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Set { name, new, .. } => {
                let keys = [("offload", new.offload), ("dhcp", new.dhcp)];
                let keys = keys.into_iter();
                let keys: Vec<String> = keys
                    .filter_map(|(key, value)| Some(format!("{key} = {}", value?)))
                    .collect();
                format!("port {name} changed: {}", keys.join(", "))
            }
            Self::Rename { old, new } => format!("port {old} is called {new} now"),
            Self::Adopt { name, .. } => {
                format!("port {name} belongs to the configuration now")
            }
            Self::Add { port, .. } => format!("port {} added", port.name),
            Self::Remove {
                name,
                replaced: false,
                ..
            } => format!("port {name} removed"),
            Self::Remove { name, .. } => {
                format!("port {name} removed, since another one comes in its place")
            }
        }
    }

    pub(super) async fn carry_out(&self, network: &mut Network) -> Result<Vec<String>, Failure> {
        match self {
            Self::Set { name, new, .. } => {
                let set = network.set(name, new);
                set.map_err(|error| ApiError::runtime(at_port(name, &error)))?;
            }
            Self::Rename { old, new } => network.rename_port(old, new)?,
            Self::Adopt { name, .. } => network.ports.set_origin(name, Origin::Config),
            Self::Add { port, again } => {
                let added = network.add(port, Origin::Config).await;
                added.map_err(|error| {
                    let error = network.config.places.port_error(&port.name, error);
                    let error = ApiError::runtime(error.one_line());
                    if *again {
                        Failure::StillSo(error)
                    } else {
                        Failure::New(error)
                    }
                })?;
            }
            Self::Remove { name, .. } => {
                network.give_up_uplink(name).await?;
                network.remove(name);
            }
        }
        Ok(Vec::new())
    }

    pub(super) async fn undo(&self, network: &mut Network) -> Result<(), Failure> {
        match self {
            Self::Set { name, old, .. } => {
                let set = network.set(name, old);
                set.map_err(|error| ApiError::runtime(at_port(name, &error)))?;
            }
            Self::Rename { old, new } => network.rename_port(new, old)?,
            Self::Adopt { name, origin } => network.ports.set_origin(name, *origin),
            Self::Add { port, .. } => {
                let there = network.ports.get(&port.name);
                if there.is_some_and(|there| there.origin == Origin::Config) {
                    network.give_up_uplink(&port.name).await?;
                    network.remove(&port.name);
                }
            }
            Self::Remove { name, port, .. } => {
                if let Some(port) = port.as_ref().filter(|_| network.ports.get(name).is_none()) {
                    network.add(port, Origin::Config).await?;
                }
            }
        }
        Ok(())
    }
}

fn at_port(name: &PortName, error: &ApiError) -> String {
    format!("port {name}: {}", error.one_line())
}

/// The steps for the ports: those that can be taken back, and those that come
/// last.
pub(super) fn steps(network: &Network, from: &Side, to: &Side) -> (Vec<PortStep>, Vec<PortStep>) {
    let ports: Vec<(&PortName, &NamedPort)> = network.ports.iter().collect();
    steps_for(&ports, &from.config, &to.config)
}

fn steps_for(
    there: &[(&PortName, &NamedPort)],
    from: &Config,
    to: &Config,
) -> (Vec<PortStep>, Vec<PortStep>) {
    let (before, wanted) = (from.wanted_ports(), to.wanted_ports());
    let named = |ports: &[Port], name: &_| ports.iter().find(|port| port.name == *name).cloned();
    let is_new = |port: &&Port| !there.iter().any(|(name, _)| **name == port.name);
    let is_uplink = |config: &Config, port: &Port| config.bridged_uplink() == Some(&port.interface);
    let (mut early, mut late) = (Vec::new(), Vec::new());
    // Ports of the configuration that are there and stay, by their new names.
    let mut kept: Vec<PortName> = Vec::new();
    for (name, port) in there {
        let (before, now) = (named(&before, name), named(&wanted, name));
        if port.origin != Origin::Config {
            if let Some(now) = now.filter(|now| is_link_of(port, now)) {
                early.push(PortStep::Adopt {
                    name: (*name).clone(),
                    origin: port.origin,
                });
                early.extend(set(name, port, &now));
                kept.push(now.name);
            }
            continue;
        }
        let same = |now: &Port| {
            before.as_ref().is_some_and(|before| {
                is_same_link(before, now) && is_uplink(from, before) == is_uplink(to, now)
            })
        };
        if let Some(now) = now.as_ref().filter(|now| same(now)) {
            early.extend(set(name, port, now));
            kept.push(now.name.clone());
        } else if now.is_none()
            && let Some(new) = wanted.iter().filter(is_new).find(|new| same(new))
        {
            early.push(PortStep::Rename {
                old: (*name).clone(),
                new: new.name.clone(),
            });
            early.extend(set(&new.name, port, new));
            kept.push(new.name.clone());
        } else {
            // What comes in its place wants its name, its netdev or, as the
            // uplink, the place of the host's addresses.
            let follows = |new: &Port| {
                new.name == **name
                    || before.as_ref().is_some_and(|before| {
                        new.interface == before.interface
                            || is_uplink(from, before) && is_uplink(to, new)
                    })
            };
            let replaced = wanted.iter().any(follows);
            let step = PortStep::Remove {
                name: (*name).clone(),
                port: before,
                replaced,
            };
            if replaced { &mut early } else { &mut late }.push(step);
        }
    }
    let missing = wanted.into_iter().filter(|port| !kept.contains(&port.name));
    early.extend(missing.map(|port| PortStep::Add {
        again: named(&before, &port.name).is_some_and(|before| before == port)
            && !there.iter().any(|(name, _)| **name == port.name),
        port,
    }));
    (early, late)
}

/// Whether two entries are of one link, by what cannot change while it is used.
fn is_same_link(one: &Port, other: &Port) -> bool {
    (one.kind, &one.interface, one.queues) == (other.kind, &other.interface, other.queues)
}

/// Whether somebody's port is what the configuration asks for as `wanted`.
fn is_link_of(port: &NamedPort, wanted: &Port) -> bool {
    let netdev = port.netdev.as_ref().map(|netdev| netdev.name.as_str());
    matches!(port.kind, PortKind::Tap | PortKind::Packet)
        && port.kind == wanted.kind
        && netdev == Some(wanted.interface.as_str())
}

/// The step after which `port` has the settings of `wanted`, if it has others.
fn set(name: &PortName, port: &NamedPort, wanted: &Port) -> Option<PortStep> {
    let changed = |old: bool, new: bool| (old != new).then_some((old, new));
    let offload = changed(port.offload, wanted.offload);
    let dhcp = changed(port.dhcp, wanted.dhcp);
    let settings = |side: fn((bool, bool)) -> bool| PortSettings {
        offload: offload.map(side),
        dhcp: dhcp.map(side),
        ..PortSettings::default()
    };
    (offload.is_some() || dhcp.is_some()).then(|| PortStep::Set {
        name: name.clone(),
        new: settings(|(_, new)| new),
        old: settings(|(old, _)| old),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::ports::Netdev;
    use super::*;
    use crate::config::Loaded;
    use std::collections::BTreeMap;
    use std::path::Path;
    use vmlan_dataplane::table::PortId;

    fn config(ports: &[&str]) -> Config {
        let ports = ports.iter().map(|port| format!("\n[[port]]\n{port}\n"));
        let text = "forward = \"isolated\"\n".to_owned() + &ports.collect::<String>();
        let loaded = Loaded::parse(Path::new("x"), &text, None).unwrap();
        loaded.config
    }

    fn tap(interface: &str, origin: Origin) -> NamedPort {
        NamedPort {
            id: PortId(1),
            kind: PortKind::Tap,
            queues: 1,
            offload: true,
            dhcp: true,
            netdev: Some(Netdev {
                name: interface.to_owned(),
                index: Some(3),
                up: true,
            }),
            origin,
            external_ids: BTreeMap::new(),
        }
    }

    const C1: &str = "name = \"c1\"\nkind = \"tap\"";

    /// The steps' lines, where the port c1 is there.
    fn lines(port: &NamedPort, from: &[&str], to: &[&str]) -> Vec<String> {
        let name = "c1".parse().unwrap();
        let (early, late) = steps_for(&[(&name, port)], &config(from), &config(to));
        let steps = early.iter().chain(&late);
        steps.map(PortStep::line).collect()
    }

    #[test]
    fn only_what_cannot_change_live_makes_a_port_go() {
        let port = tap("c1", Origin::Config);
        let of = |to: &[&str]| lines(&port, &[C1], to);
        assert!(of(&[C1]).is_empty());
        assert_eq!(of(&[]), ["port c1 removed"]);
        let off = format!("{C1}\noffload = false\ndhcp = false");
        assert_eq!(
            of(&[&off]),
            ["port c1 changed: offload = false, dhcp = false"]
        );
        for other in ["interface = \"c2\"", "kind = \"packet\""] {
            let text = match other {
                "kind = \"packet\"" => C1.replace("tap", "packet"),
                other => format!("{C1}\n{other}"),
            };
            let replaced = "port c1 removed, since another one comes in its place";
            assert_eq!(of(&[&text]), [replaced, "port c1 added"]);
        }
    }

    #[test]
    fn another_name_for_the_same_netdev_keeps_the_port() {
        let port = tap("c1", Origin::Config);
        let renamed = "name = \"web\"\nkind = \"tap\"\ninterface = \"c1\"\ndhcp = false";
        assert_eq!(
            lines(&port, &[C1], &[renamed]),
            [
                "port c1 is called web now",
                "port web changed: dhcp = false"
            ]
        );
        // Its netdev was renamed, by somebody else.
        let elsewhere = tap("eth0", Origin::Config);
        assert!(lines(&elsewhere, &[C1], &[C1]).is_empty());
    }

    #[test]
    fn a_port_of_somebody_is_adopted_or_left_alone() {
        for origin in [Origin::Command, Origin::Pattern] {
            let port = tap("c1", origin);
            assert_eq!(
                lines(&port, &[], &[C1]),
                ["port c1 belongs to the configuration now"]
            );
            assert!(lines(&port, &[], &[]).is_empty());
        }
    }

    #[test]
    fn what_was_set_by_hand_is_set_back() {
        let mut port = tap("c1", Origin::Config);
        port.dhcp = false;
        assert_eq!(lines(&port, &[C1], &[C1]), ["port c1 changed: dhcp = true"]);
        port.origin = Origin::Command;
        assert!(lines(&port, &[], &[]).is_empty(), "nobody says otherwise");
    }

    #[test]
    fn a_port_that_is_missing_is_tried_again_and_may_fail_again() {
        let (early, _) = steps_for(&[], &config(&[C1]), &config(&[C1]));
        assert!(matches!(&early[..], [PortStep::Add { again: true, .. }]));
        let (early, _) = steps_for(&[], &config(&[]), &config(&[C1]));
        assert!(matches!(&early[..], [PortStep::Add { again: false, .. }]));
    }
}
