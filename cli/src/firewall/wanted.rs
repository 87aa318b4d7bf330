//! What a network wants of the host's firewall, as values.

use crate::config::{Config, Forward, InterfaceName, Nat};
use ipnet::Ipv4Net;

/// What one network wants.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    /// Its name.
    pub(crate) network: String,
    /// The host's own interface.
    pub(crate) interface: String,
    /// What is let through between that and the rest of the host.
    pub(crate) way: Way,
    /// Subnets that guests may still have addresses of, beside the present one.
    pub(crate) former: Vec<Ipv4Net>,
    /// What guests ask of the host itself. DHCP is none of it: the switch
    /// answers before the host's stack sees a message.
    pub(crate) services: Vec<Service>,
}

/// What is let through between the host's own interface and the others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Way {
    /// Out, and what belongs to it back in; by `uplink` only, if there is one.
    Nat {
        /// The guests' addresses.
        subnet: Ipv4Net,
        /// The only way out.
        uplink: Option<String>,
        /// What is seen outside.
        nat: Nat,
    },
    /// Out and in; by `uplink` only, if there is one.
    Route {
        /// The guests' addresses.
        subnet: Ipv4Net,
        /// The only way out.
        uplink: Option<String>,
    },
    /// What the host's other rules let through.
    Open,
    /// Nothing.
    Isolated,
}

impl Way {
    /// Whether packets of guests are to pass the host's forwarding.
    pub(crate) fn is_routed(&self) -> bool {
        !matches!(self, Self::Isolated)
    }

    /// The only way out.
    pub(crate) fn uplink(&self) -> Option<&str> {
        match self {
            Self::Nat { uplink, .. } | Self::Route { uplink, .. } => uplink.as_deref(),
            Self::Open | Self::Isolated => None,
        }
    }
}

/// A service of the host on the network's own interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Boot files. Their transfer belongs to the request, for a firewall that
    /// keeps track.
    Tftp,
    /// Names.
    Dns,
}

impl Service {
    /// The name that users know.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tftp => "TFTP",
            Self::Dns => "DNS",
        }
    }

    /// What it is asked by: protocols, as firewalls name them, and ports (RFC
    /// 1350 §4, RFC 1035 §4.2).
    pub(crate) fn doors(self) -> &'static [(&'static str, u16)] {
        match self {
            Self::Tftp => &[("udp", 69)],
            Self::Dns => &[("udp", 53), ("tcp", 53)],
        }
    }
}

impl Wanted {
    /// What the network of `config`, with its gateway at `gateway`, wants;
    /// nothing where the host takes no part, or only as a station of a LAN.
    /// Guests may still know the gateway by a `former` address.
    pub(crate) fn of(
        config: &Config,
        gateway: Option<Ipv4Net>,
        former: &[Ipv4Net],
    ) -> Option<Self> {
        let interface = config.interface.as_ref()?.to_string();
        let subnet = gateway?.trunc();
        let uplink = config.uplink.as_ref().map(InterfaceName::to_string);
        let way = match config.forward {
            Forward::Nat => Way::Nat {
                subnet,
                uplink,
                nat: config.nat,
            },
            Forward::Route => Way::Route { subnet, uplink },
            Forward::Open => Way::Open,
            Forward::Isolated => Way::Isolated,
            Forward::Bridge => return None,
        };
        Some(Self {
            network: config.name.to_string(),
            interface,
            way,
            former: former.iter().map(Ipv4Net::trunc).collect(),
            services: [
                config.dns.enabled.then_some(Service::Dns),
                config.tftp.as_ref().map(|_| Service::Tftp),
            ]
            .into_iter()
            .flatten()
            .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;
    use std::path::Path;

    fn wanted(text: &str) -> Option<Wanted> {
        let config = Loaded::parse(Path::new("x"), text, None).unwrap().config;
        Wanted::of(&config, Some("10.0.0.1/24".parse().unwrap()), &[])
    }

    #[test]
    fn a_network_wants_what_its_configuration_says() {
        let nat = wanted("uplink = \"eth0\"\n[tftp]\nroot = \"/srv\"").unwrap();
        assert_eq!(nat.services, [Service::Dns, Service::Tftp]);
        assert_eq!(nat.way.uplink(), Some("eth0"));
        let subnet = "10.0.0.0/24".parse().unwrap();
        let route = wanted("forward = \"route\"").unwrap();
        let uplink = None;
        assert_eq!(route.way, Way::Route { subnet, uplink });
        let isolated = wanted("forward = \"isolated\"").unwrap();
        assert_eq!(isolated.services, [Service::Dns]);
        let without = wanted("[dns]\nenabled = false").unwrap();
        assert_eq!(without.services, []);
        assert!(!isolated.way.is_routed());
        // Without an interface the host takes no part; in a bridge no more than
        // any station.
        assert_eq!(wanted("interface = \"\""), None);
        assert_eq!(wanted("forward = \"bridge\""), None);
    }
}
