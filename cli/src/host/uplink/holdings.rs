//! What a netdev holds of the host: its addresses, and the routes that leave by
//! it, each as the kernel's own message. So whatever the kernel tells of one
//! (label, metric, lifetime, preferred source, nexthops, …) is given to another
//! netdev, or back ([`transfer`](super::transfer)), without being understood
//! here.

use super::super::link::{Link, LinkError, Links, answer, ask};
use futures_util::TryStreamExt as _;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol,
};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `INFINITY_LIFE_TIME` (linux/if_addr.h, net/addrconf.h): for ever, in seconds.
pub(super) const FOR_EVER: u32 = u32::MAX;

/// Addresses and routes of one netdev, in the kernel's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Holdings {
    /// Every address, the IPv6 link-local ones included.
    pub(super) addresses: Vec<AddressMessage>,
    /// The routes of all tables but those that the kernel makes by itself with
    /// an address.
    pub(super) routes: Vec<RouteMessage>,
}

impl Links {
    /// What the netdev `link` holds.
    ///
    /// # Errors
    /// [`LinkError::Ask`].
    pub(super) async fn holdings_of(&self, link: &Link) -> Result<Holdings, LinkError> {
        let addresses: Vec<AddressMessage> =
            answer(self.handle.address().get().execute().try_collect())
                .await
                .map_err(|source| ask("its addresses", source))?;
        let every = [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ];
        let mut routes: Vec<RouteMessage> = Vec::new();
        for every in every {
            let of_family: Vec<RouteMessage> =
                answer(self.handle.route().get(every).execute().try_collect())
                    .await
                    .map_err(|source| ask("its routes", source))?;
            routes.extend(of_family);
        }
        let ours = |route: &RouteMessage| {
            route.header.protocol != RouteProtocol::Kernel
                && !route.header.flags.contains(RouteFlags::Cloned)
                && leaves_by(route, link.index)
        };
        Ok(Holdings {
            addresses: addresses
                .into_iter()
                .filter(|message| message.header.index == link.index)
                .collect(),
            routes: routes.into_iter().filter(ours).collect(),
        })
    }
}

impl Holdings {
    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.routes.is_empty()
    }

    /// Without the IPv6 link-local addresses: each netdev has its own.
    pub(super) fn global(&self) -> Self {
        let is_global = |message: &&AddressMessage| !is_link_local(message);
        Self {
            addresses: self.addresses.iter().filter(is_global).cloned().collect(),
            routes: self.routes.clone(),
        }
    }

    /// The addresses that end by themselves unless some program renews them.
    pub(super) fn dynamic(&self) -> impl Iterator<Item = &AddressMessage> {
        let ends =
            |message: &&AddressMessage| lifetime(message).is_some_and(|valid| valid != FOR_EVER);
        self.addresses.iter().filter(ends)
    }

    /// A route by a nexthop object (`ip nexthop`), which cannot be told to
    /// leave by another netdev.
    pub(super) fn by_nexthop_object(&self) -> Option<&RouteMessage> {
        let by_object = |route: &&RouteMessage| {
            let mut attributes = route.attributes.iter();
            attributes.any(|attribute| matches!(attribute, RouteAttribute::NhId(_)))
        };
        self.routes.iter().find(by_object)
    }
}

fn is_link_local(message: &AddressMessage) -> bool {
    matches!(own_address(message), Some(IpAddr::V6(address)) if address.is_unicast_link_local())
}

fn lifetime(message: &AddressMessage) -> Option<u32> {
    message.attributes.iter().find_map(|it| match it {
        AddressAttribute::CacheInfo(times) => Some(times.ifa_valid),
        _ => None,
    })
}

fn leaves_by(route: &RouteMessage, index: u32) -> bool {
    route.attributes.iter().any(|attribute| match attribute {
        RouteAttribute::Oif(oif) => *oif == index,
        RouteAttribute::MultiPath(hops) => hops.iter().any(|hop| hop.interface_index == index),
        _ => false,
    })
}

fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| {
        message.attributes.iter().find_map(wanted)
    };
    let local = find(|it| match it {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        find(|it| match it {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

/// The addresses that stations of the segment are to be told the MAC of.
pub(super) fn announced(holdings: &Holdings) -> Vec<IpAddr> {
    holdings.addresses.iter().filter_map(own_address).collect()
}

/// An address or a route as `ip` writes them, in short.
pub(super) struct Shown<'a, T>(pub(super) &'a T);

impl fmt::Display for Shown<'_, AddressMessage> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match own_address(self.0) {
            Some(address) => write!(f, "{address}/{}", self.0.header.prefix_len),
            None => f.write_str("an address"),
        }
    }
}

impl fmt::Display for Shown<'_, RouteMessage> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn ip(address: &RouteAddress) -> Option<IpAddr> {
            match address {
                RouteAddress::Inet(address) => Some((*address).into()),
                RouteAddress::Inet6(address) => Some((*address).into()),
                _ => None,
            }
        }
        let (mut to, mut via) = (None, None);
        for attribute in &self.0.attributes {
            match attribute {
                RouteAttribute::Destination(address) => to = ip(address),
                RouteAttribute::Gateway(address) => via = ip(address),
                _ => {}
            }
        }
        match to {
            Some(to) => write!(f, "{to}/{}", self.0.header.destination_prefix_length)?,
            None => f.write_str("default")?,
        }
        via.map_or(Ok(()), |via| write!(f, " via {via}"))
    }
}
