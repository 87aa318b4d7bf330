//! Which subnet a network with `address = "auto"` gets, and whether a chosen
//! one is free.

use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// The third octets of 192.168.0.0/16 to pick from: the first is that of
/// libvirt's default network.
const CANDIDATES: std::ops::RangeInclusive<u8> = 122..=254;

/// Every subnet to pick from overlaps something that the host has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "no free subnet for address = \"auto\": each of 192.168.122.0/24 … 192.168.254.0/24 overlaps \
     an address or a route of this host (the last one {blocker}): give the network an `address`"
)]
pub(crate) struct NoFreeSubnet {
    blocker: Ipv4Net,
}

/// The subnet to use: `kept`, the one picked at an earlier start, if it is
/// still free, else the first free of 192.168.122.0/24 … 192.168.254.0/24.
///
/// Free means that it overlaps none of the host's `addresses` (with their
/// prefix) and `routes`, in either direction. A default route does not count,
/// nor do the two halves that a VPN puts in its place (0.0.0.0/1, 128.0.0.0/1).
///
/// # Errors
/// None is free.
pub(crate) fn pick(
    kept: Option<Ipv4Net>,
    addresses: &[Ipv4Net],
    routes: &[Ipv4Net],
) -> Result<Ipv4Net, NoFreeSubnet> {
    let blocker = |subnet: &Ipv4Net| {
        let routes = routes.iter().filter(|route| route.prefix_len() > 1);
        addresses
            .iter()
            .chain(routes)
            .find(|net| net.contains(subnet) || subnet.contains(*net))
            .copied()
    };
    let candidates = || {
        CANDIDATES.map(|third| {
            const PREFIX: u8 = 24;
            Ipv4Net::new_assert(Ipv4Addr::new(192, 168, third, 0), PREFIX)
        })
    };
    // What was kept comes from a file, and may be anything.
    let kept = kept.filter(|kept| candidates().any(|candidate| candidate == *kept));
    let mut last = Ipv4Net::default();
    for subnet in kept.into_iter().chain(candidates()) {
        match blocker(&subnet) {
            None => return Ok(subnet),
            Some(net) => last = net,
        }
    }
    Err(NoFreeSubnet { blocker: last })
}

/// The host has a network's subnet, or a part of it, elsewhere.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SubnetTaken {
    /// A netdev has an address in it.
    #[error(
        "the subnet {subnet} is in use: netdev {netdev} has the address {address}; give the \
         network another `address`, or \"auto\""
    )]
    Address {
        /// The network's subnet.
        subnet: Ipv4Net,
        /// The address with its prefix.
        address: Ipv4Net,
        /// Whose it is.
        netdev: String,
    },
    /// A route leads to it.
    #[error(
        "the subnet {subnet} is in use: the host has a route to {route}; give the network \
         another `address`, or \"auto\""
    )]
    Route {
        /// The network's subnet.
        subnet: Ipv4Net,
        /// The route's destination.
        route: Ipv4Net,
    },
}

/// Whether the host can route to `subnet` by a netdev of its own, with these
/// `addresses` (with their netdevs) and `routes` there already. A wider subnet
/// or route around it is fine: the narrower one wins.
///
/// # Errors
/// [`SubnetTaken`].
pub(crate) fn check(
    subnet: Ipv4Net,
    addresses: &[(String, Ipv4Net)],
    routes: &[Ipv4Net],
) -> Result<(), SubnetTaken> {
    let inside = |net: &Ipv4Net| subnet.contains(&net.trunc());
    if let Some((netdev, address)) = addresses.iter().find(|(_, net)| inside(net)) {
        return Err(SubnetTaken::Address {
            subnet,
            address: *address,
            netdev: netdev.clone(),
        });
    }
    match routes.iter().find(|net| inside(net)) {
        Some(route) => Err(SubnetTaken::Route {
            subnet,
            route: *route,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn a_host_with_nothing_near_gets_libvirts_subnet() {
        let picked = pick(
            None,
            &[net("127.0.0.1/8"), net("192.168.4.7/24")],
            &[net("0.0.0.0/0"), net("192.168.4.0/24")],
        );
        assert_eq!(picked, Ok(net("192.168.122.0/24")));
    }

    #[test]
    fn an_overlap_in_either_direction_moves_it_on() {
        let picked = pick(
            None,
            &[net("192.168.122.1/24"), net("192.168.123.77/32")],
            &[net("192.168.124.0/23"), net("192.168.126.128/25")],
        );
        assert_eq!(picked, Ok(net("192.168.127.0/24")));
    }

    #[test]
    fn a_vpns_halves_of_the_default_route_do_not_count() {
        let picked = pick(None, &[], &[net("0.0.0.0/1"), net("128.0.0.0/1")]);
        assert_eq!(picked, Ok(net("192.168.122.0/24")));
    }

    #[test]
    fn the_kept_one_wins_while_it_is_free() {
        let kept = Some(net("192.168.130.0/24"));
        assert_eq!(pick(kept, &[], &[]), Ok(net("192.168.130.0/24")));
        assert_eq!(
            pick(kept, &[], &[net("192.168.130.0/24")]),
            Ok(net("192.168.122.0/24"))
        );
        assert_eq!(
            pick(Some(net("10.0.0.0/8")), &[], &[]),
            Ok(net("192.168.122.0/24"))
        );
    }

    #[test]
    fn a_host_with_the_whole_range_is_told_what_stands_in_the_way() {
        let error = pick(None, &[net("192.168.1.1/16")], &[]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("192.168.1.1/16"), "{message}");
        assert!(
            message.contains("give the network an `address`"),
            "{message}"
        );
    }

    #[test]
    fn a_subnet_within_a_wider_one_is_free_and_one_that_is_cut_is_not() {
        let has = |net: &str| [("eth0".to_owned(), self::net(net))];
        let lab = net("192.168.122.0/24");
        assert_eq!(
            check(lab, &has("192.168.4.7/16"), &[net("0.0.0.0/0")]),
            Ok(())
        );
        for taken in ["192.168.122.9/24", "192.168.122.9/32", "192.168.122.130/25"] {
            let error = check(lab, &has(taken), &[]).unwrap_err().to_string();
            assert!(error.contains(taken) && error.contains("eth0"), "{error}");
        }
        let error = check(lab, &[], &[net("192.168.122.0/24")]).unwrap_err();
        assert!(error.to_string().contains("a route to 192.168.122.0/24"));
    }

    proptest! {
        #[test]
        fn what_is_picked_overlaps_nothing(
            nets in prop::collection::vec((any::<u8>(), any::<u8>(), 15_u8..=32), 0..200)
        ) {
            let routes: Vec<_> = nets
                .into_iter()
                .map(|(third, fourth, prefix)| {
                    Ipv4Net::new(Ipv4Addr::new(192, 168, third, fourth), prefix).unwrap().trunc()
                })
                .collect();
            if let Ok(picked) = pick(None, &[], &routes) {
                let (first, last) = (picked.network(), picked.broadcast());
                for route in routes {
                    prop_assert!(route.broadcast() < first || last < route.network());
                }
            }
        }
    }
}
