//! Netdevs, addresses and routes of the host.

use crate::host::link::{Link, LinkError, Links};
use ipnet::Ipv4Net;

/// What the host has of a network stack.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) netdevs: Vec<Link>,
    pub(super) addresses: Vec<HostAddress>,
    pub(super) routes: Vec<HostRoute>,
}

/// An IPv4 address of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doctor) struct HostAddress {
    /// With the prefix length of its subnet.
    pub(in crate::doctor) address: Ipv4Net,
    /// The netdev that has it.
    pub(in crate::doctor) netdev: String,
}

/// An IPv4 route of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doctor) struct HostRoute {
    /// Where to; 0.0.0.0/0 for a default route.
    pub(in crate::doctor) to: Ipv4Net,
    /// The netdev that it leads out of, if one.
    pub(in crate::doctor) netdev: Option<String>,
}

impl Stack {
    /// Asks the kernel.
    pub(super) async fn ask() -> Result<Self, LinkError> {
        let links = Links::new()?;
        let netdevs = links.all().await?;
        let name = |index: u32| {
            let link = netdevs.iter().find(|link| link.index == index);
            link.map_or_else(|| format!("netdev number {index}"), |l| l.name.clone())
        };
        let addresses = links.ipv4_addresses_by_netdev().await?;
        let addresses = addresses
            .into_iter()
            .map(|(netdev, address)| HostAddress { address, netdev });
        let routes = links.ipv4_routes_by_netdev().await?;
        let routes = routes.into_iter().map(|(index, to)| HostRoute {
            to,
            netdev: index.map(name),
        });
        Ok(Self {
            addresses: addresses.collect(),
            routes: routes.collect(),
            netdevs,
        })
    }
}
