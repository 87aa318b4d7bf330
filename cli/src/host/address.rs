//! The addresses and IPv4 routes of the host, over rtnetlink.

use super::link::{Link, LinkError, Links, answer, ask};
use futures_util::TryStreamExt;
use ipnet::{IpNet, Ipv4Net};
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use std::net::{IpAddr, Ipv4Addr};

impl Links {
    /// Gives a netdev an IPv4 address, with the broadcast address that belongs
    /// to it; one that is there already is fine.
    ///
    /// # Errors
    /// [`LinkError::Change`].
    pub(crate) async fn add_address(&self, link: &Link, address: Ipv4Net) -> Result<(), LinkError> {
        let request =
            self.handle
                .address()
                .add(link.index, IpAddr::V4(address.addr()), address.prefix_len());
        answer(request.replace().execute())
            .await
            .map_err(|source| LinkError::Change {
                netdev: link.name.clone(),
                change: format!("make {address} an address"),
                source,
            })
    }

    /// Takes an IPv4 address, with its prefix, from a netdev; one that is not
    /// there is fine.
    ///
    /// # Errors
    /// [`LinkError::Change`].
    pub(crate) async fn remove_address(&self, link: &Link, gone: Ipv4Net) -> Result<(), LinkError> {
        let there = self.address_messages().await?.into_iter().find(|message| {
            message.header.index == link.index && address(message).and_then(v4) == Some(gone)
        });
        let Some(there) = there else {
            return Ok(());
        };
        answer(self.handle.address().del(there).execute())
            .await
            .map_err(|source| LinkError::Change {
                netdev: link.name.clone(),
                change: format!("take the address {gone} away"),
                source,
            })
    }

    /// The addresses of one netdev, with their prefix, without the IPv6
    /// link-local ones: those come by themselves with setting it up.
    ///
    /// # Errors
    /// [`LinkError::Ask`].
    pub(crate) async fn addresses_of(&self, link: &Link) -> Result<Vec<IpNet>, LinkError> {
        let messages = self.address_messages().await?;
        Ok(messages
            .iter()
            .filter(|message| message.header.index == link.index)
            .filter_map(address)
            .filter(|net| match net {
                IpNet::V4(_) => true,
                IpNet::V6(net) => !net.addr().is_unicast_link_local(),
            })
            .collect())
    }

    /// The IPv4 addresses of the host, with their prefix.
    ///
    /// # Errors
    /// [`LinkError::Ask`].
    pub(crate) async fn ipv4_addresses(&self) -> Result<Vec<Ipv4Net>, LinkError> {
        let found = self.ipv4_addresses_by_netdev().await?;
        Ok(found.into_iter().map(|(_, address)| address).collect())
    }

    /// The IPv4 addresses of the host, with their prefix, each with its netdev.
    ///
    /// # Errors
    /// [`LinkError::Ask`].
    pub(crate) async fn ipv4_addresses_by_netdev(
        &self,
    ) -> Result<Vec<(String, Ipv4Net)>, LinkError> {
        let links = self.all().await?;
        let named = |message: &AddressMessage| {
            let link = links.iter().find(|it| it.index == message.header.index)?;
            Some((link.name.clone(), v4(address(message)?)?))
        };
        let messages = self.address_messages().await?;
        Ok(messages.iter().filter_map(named).collect())
    }

    /// The destinations of the host's IPv4 routes in all tables, a default
    /// route as 0.0.0.0/0.
    ///
    /// # Errors
    /// [`LinkError::Ask`].
    pub(crate) async fn ipv4_routes(&self) -> Result<Vec<Ipv4Net>, LinkError> {
        let found = self.ipv4_routes_by_netdev().await?;
        Ok(found.into_iter().map(|(_, to)| to).collect())
    }

    /// The same, each behind the number of the netdev that it leads out of, if
    /// it leads out of one.
    ///
    /// # Errors
    /// [`LinkError::Ask`].
    pub(crate) async fn ipv4_routes_by_netdev(
        &self,
    ) -> Result<Vec<(Option<u32>, Ipv4Net)>, LinkError> {
        let every = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let messages: Vec<RouteMessage> =
            answer(self.handle.route().get(every).execute().try_collect())
                .await
                .map_err(|source| ask("its routes", source))?;
        let found = messages
            .iter()
            .filter_map(|message| Some((way_out(message), destination(message)?)));
        Ok(found.collect())
    }

    async fn address_messages(&self) -> Result<Vec<AddressMessage>, LinkError> {
        answer(self.handle.address().get().execute().try_collect())
            .await
            .map_err(|source| ask("its addresses", source))
    }
}

/// The netdev's own address: IFA_LOCAL where there is one, since IFA_ADDRESS
/// is that of the peer on a point-to-point link.
fn address(message: &AddressMessage) -> Option<IpNet> {
    let local = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let any = || {
        message.attributes.iter().find_map(|a| match a {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    };
    IpNet::new(local.or_else(any)?, message.header.prefix_len).ok()
}

fn v4(net: IpNet) -> Option<Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    }
}

fn way_out(message: &RouteMessage) -> Option<u32> {
    message.attributes.iter().find_map(|a| match a {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

fn destination(message: &RouteMessage) -> Option<Ipv4Net> {
    if message.header.address_family != AddressFamily::Inet {
        return None;
    }
    let address = message.attributes.iter().find_map(|a| match a {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    });
    Ipv4Net::new(
        address.unwrap_or(Ipv4Addr::UNSPECIFIED),
        message.header.destination_prefix_length,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::super::netns::{block_on_in_new_netns, ip};
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_and_routes_are_listed() {
        block_on_in_new_netns(|| async {
            ip("link add one type veth peer name two");
            ip("link set two up");
            let links = Links::new().unwrap();
            let one = links.by_name("one").await.unwrap();
            links.set_up(&one, true).await.unwrap();
            assert_eq!(links.addresses_of(&one).await.unwrap(), []);
            let former = net("192.168.122.1/25");
            links.add_address(&one, former).await.unwrap();
            links.remove_address(&one, former).await.unwrap();
            links.remove_address(&one, former).await.unwrap();
            let address = net("192.168.122.1/24");
            links.add_address(&one, address).await.unwrap();
            links.add_address(&one, address).await.unwrap();
            ip("route add default via 192.168.122.254");
            ip("route add blackhole 10.9.0.0/16 table 77");

            assert_eq!(
                links.addresses_of(&one).await.unwrap(),
                [IpNet::V4(address)]
            );
            assert_eq!(links.ipv4_addresses().await.unwrap(), [address]);
            let named = links.ipv4_addresses_by_netdev().await.unwrap();
            assert_eq!(named, [("one".to_owned(), address)]);
            let routes = links.ipv4_routes().await.unwrap();
            for route in ["192.168.122.0/24", "0.0.0.0/0", "10.9.0.0/16"] {
                assert!(routes.contains(&net(route)), "{route} in {routes:?}");
            }
        });
    }
}
