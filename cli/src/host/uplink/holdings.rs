//! What a netdev holds of the host: its addresses, and the routes that leave by
//! it, each as the kernel's own message. So whatever the kernel tells of one
//! (label, metric, lifetime, preferred source, nexthops, …) is given to another
//! netdev, or back, without being understood here.

use super::super::link::{Link, LinkError, Links, answer, ask};
use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteMessage, RouteNextHopFlags, RouteProtocol,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Error, Handle, RouteMessageBuilder};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// `INFINITY_LIFE_TIME` (linux/if_addr.h, net/addrconf.h): for ever, in seconds.
const FOR_EVER: u32 = u32::MAX;

/// `USER_HZ`: what a second is divided into where the kernel tells of times.
const USER_HZ: u32 = 100;

/// Addresses and routes of one netdev, in the kernel's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Holdings {
    /// Every address, the IPv6 link-local ones included.
    pub(super) addresses: Vec<AddressMessage>,
    /// The routes of all tables but those that the kernel makes by itself with
    /// an address.
    pub(super) routes: Vec<RouteMessage>,
}

/// A netdev that is given something, with what is different there.
pub(super) struct Receiver<'a> {
    pub(super) link: &'a Link,
    /// The netdev that it was recorded of: number and name.
    pub(super) from: (u32, &'a str),
    /// How long ago it was recorded: lifetimes are that much shorter.
    pub(super) age: Duration,
}

/// An address or route cannot be placed.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {what} one of {netdev}")]
pub(crate) struct PlaceError {
    what: String,
    netdev: String,
    source: io::Error,
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

    /// Gives all of `holdings` to a netdev that is up; what it has already is
    /// left as it is. The routes come before those that are there with the same
    /// destination and metric.
    ///
    /// # Errors
    /// The first that the kernel refuses; the others are given all the same.
    pub(super) async fn place(
        &self,
        holdings: &Holdings,
        on: &Receiver<'_>,
    ) -> Result<(), PlaceError> {
        let mut result = Ok(());
        for address in in_order(&holdings.addresses) {
            if let Some(message) = for_receiver(address, on) {
                let placed = self.place_address(message).await;
                result = result.and(placed.map_err(|source| on.refused(Shown(address), source)));
            }
        }
        for route in &holdings.routes {
            let message = RouteNetlinkMessage::NewRoute(route_for_receiver(route, on));
            // Neither exclusive nor a replacement: it goes in front.
            let placed = self.tell(message, NLM_F_CREATE).await;
            let placed = unless(placed, Errno::EXIST);
            result = result.and(placed.map_err(|source| on.refused(Shown(route), source)));
        }
        result
    }

    async fn place_address(&self, mut message: AddressMessage) -> io::Result<()> {
        let later = message.clone();
        let inet6 = message.header.family == AddressFamily::Inet6;
        if inet6 {
            // It was ours until now: nobody else has it, and it is to be of use
            // at once.
            change_flags(&mut message, |flags| flags | AddressFlags::Nodad);
        }
        let exclusive = NLM_F_CREATE | NLM_F_EXCL;
        let new = RouteNetlinkMessage::NewAddress(message);
        match self.tell(new, exclusive).await {
            Ok(()) if inet6 => {
                let message = RouteNetlinkMessage::NewAddress(later);
                self.tell(message, NLM_F_REPLACE).await
            }
            placed => unless(placed, Errno::EXIST),
        }
    }

    /// Takes all of `holdings` from the netdev `from`; what it does not have is
    /// passed over.
    ///
    /// # Errors
    /// The first that the kernel does not let go; the others are taken all the
    /// same.
    pub(super) async fn withdraw(
        &self,
        holdings: &Holdings,
        from: &Receiver<'_>,
    ) -> Result<(), PlaceError> {
        let mut result = Ok(());
        for route in &holdings.routes {
            let message = RouteNetlinkMessage::DelRoute(route_for_receiver(route, from));
            let taken = unless(self.tell(message, 0).await, Errno::SRCH);
            result = result.and(taken.map_err(|source| from.refused(Shown(route), source)));
        }
        for address in &holdings.addresses {
            let Some(message) = for_receiver(address, from) else {
                continue;
            };
            let message = RouteNetlinkMessage::DelAddress(message);
            let taken = unless(self.tell(message, 0).await, Errno::ADDRNOTAVAIL);
            result = result.and(taken.map_err(|source| from.refused(Shown(address), source)));
        }
        result
    }

    async fn tell(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        answer(acknowledged(self.handle.clone(), request)).await
    }
}

/// Sends `request` and waits for its acknowledgement.
async fn acknowledged(
    mut handle: Handle,
    request: NetlinkMessage<RouteNetlinkMessage>,
) -> Result<(), Error> {
    let mut answers = handle.request(request)?;
    while let Some(message) = answers.next().await {
        if let NetlinkPayload::Error(error) = message.payload
            && error.code.is_some()
        {
            return Err(Error::NetlinkError(error));
        }
    }
    Ok(())
}

/// Takes `passed` for no error.
fn unless(result: io::Result<()>, passed: Errno) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(passed.raw_os_error()) => Ok(()),
        result => result,
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

impl Receiver<'_> {
    fn refused(&self, what: impl fmt::Display, source: io::Error) -> PlaceError {
        PlaceError {
            what: what.to_string(),
            netdev: self.link.name.clone(),
            source,
        }
    }
}

fn is_link_local(message: &AddressMessage) -> bool {
    matches!(own_address(message), Some(IpAddr::V6(address)) if address.is_unicast_link_local())
}

/// The order in which to add addresses so that the kernel lists them as before:
/// it puts a new IPv6 address in front of those of its scope, an IPv4 one
/// behind.
fn in_order(addresses: &[AddressMessage]) -> impl Iterator<Item = &AddressMessage> {
    let family = |family| {
        let of_family = move |message: &&AddressMessage| message.header.family == family;
        addresses.iter().filter(of_family)
    };
    family(AddressFamily::Inet).chain(family(AddressFamily::Inet6).rev())
}

/// The address as one of the receiver's; `None` if it has run out since.
fn for_receiver(message: &AddressMessage, on: &Receiver<'_>) -> Option<AddressMessage> {
    let mut message = message.clone();
    message.header.index = on.link.index;
    for attribute in &mut message.attributes {
        match attribute {
            AddressAttribute::CacheInfo(times) => {
                times.ifa_valid = later(times.ifa_valid, on.age);
                times.ifa_preferred = later(times.ifa_preferred, on.age);
                if times.ifa_valid == 0 {
                    return None;
                }
            }
            // `eth0`, or `eth0:1` as ifconfig(8) named a second one.
            AddressAttribute::Label(label) => {
                if let Some(rest) = label.strip_prefix(on.from.1) {
                    let of_receiver = format!("{}{rest}", on.link.name);
                    *label = if of_receiver.len() > super::super::link::MAX_NAME {
                        on.link.name.clone()
                    } else {
                        of_receiver
                    };
                }
            }
            _ => {}
        }
    }
    // What the kernel finds out by itself.
    change_flags(&mut message, |flags| {
        flags & !(AddressFlags::Tentative | AddressFlags::Dadfailed | AddressFlags::Deprecated)
    });
    Some(message)
}

fn change_flags(message: &mut AddressMessage, change: impl FnOnce(AddressFlags) -> AddressFlags) {
    let of_header = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    let attribute = message.attributes.iter_mut().find_map(|it| match it {
        AddressAttribute::Flags(flags) => Some(flags),
        _ => None,
    });
    let changed = change(attribute.as_deref().copied().unwrap_or(of_header));
    match attribute {
        Some(flags) => *flags = changed,
        None => message.attributes.push(AddressAttribute::Flags(changed)),
    }
    // The attribute counts; the header has the low half of it.
    let [low, ..] = changed.bits().to_le_bytes();
    message.header.flags = AddressHeaderFlags::from_bits_retain(low);
}

/// What is left of a lifetime in seconds.
fn later(lifetime: u32, age: Duration) -> u32 {
    if lifetime == FOR_EVER {
        return FOR_EVER;
    }
    lifetime.saturating_sub(u32::try_from(age.as_secs()).unwrap_or(u32::MAX))
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

/// The route as one by the receiver, with what the kernel tells but does not
/// take left out.
fn route_for_receiver(route: &RouteMessage, on: &Receiver<'_>) -> RouteMessage {
    let (from, to) = (on.from.0, on.link.index);
    let mut route = route.clone();
    route.header.flags &= RouteFlags::Onlink;
    let mut expires = None;
    route.attributes.retain_mut(|attribute| match attribute {
        RouteAttribute::Oif(oif) => {
            if *oif == from {
                *oif = to;
            }
            true
        }
        RouteAttribute::MultiPath(hops) => {
            for hop in hops {
                hop.flags &= RouteNextHopFlags::Onlink;
                if hop.interface_index == from {
                    hop.interface_index = to;
                }
            }
            true
        }
        RouteAttribute::CacheInfo(info) => {
            if info.expires != 0 {
                expires = Some(later(info.expires / USER_HZ, on.age).max(1));
            }
            false
        }
        _ => true,
    });
    if let Some(seconds) = expires {
        route.attributes.push(RouteAttribute::Expires(seconds));
    }
    route
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
        use rtnetlink::packet_route::route::RouteAddress;
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
