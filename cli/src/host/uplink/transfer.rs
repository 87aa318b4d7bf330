//! Gives what one netdev holds to another, and takes it away: place, then
//! withdraw. Either may be done twice.

use super::super::link::{Link, Links, MAX_NAME, answer};
use super::holdings::{FOR_EVER, Holdings, Shown};
use futures_util::StreamExt as _;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use rtnetlink::packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteNextHopFlags};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Error, Handle};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::time::Duration;

/// `USER_HZ`: what a second is divided into where the kernel tells of times.
const USER_HZ: u32 = 100;

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

impl Receiver<'_> {
    fn refused(&self, what: impl fmt::Display, source: io::Error) -> PlaceError {
        PlaceError {
            what: what.to_string(),
            netdev: self.link.name.clone(),
            source,
        }
    }
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
                    *label = if of_receiver.len() > MAX_NAME {
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
