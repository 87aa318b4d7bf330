//! Names that nobody outside knows more of than this server does, or is to be
//! asked for.

use hickory_proto::rr::Name;
use ipnet::IpNet;
use std::sync::LazyLock;

/// Labels that no guest gets by calling itself so: the machine itself, and those
/// by which browsers and hosts look for who may direct their traffic (CERT
/// VU#598349).
pub(crate) const NO_GUESTS: [&str; 3] = ["localhost", "wpad", "isatap"];

/// The label of the gateway's own name.
pub(crate) const GATEWAY: &str = "gateway";

/// Domains of which nothing exists, for DNS: RFC 6761 §6.4 and RFC 7686 §2. The
/// last is where clients look for another way to ask this server, of which
/// there is none (RFC 9462 §6.4).
const NOTHING: [&str; 3] = ["invalid.", "onion.", "resolver.arpa."];

/// Addresses whose reverse names mean something on one network only: they are
/// never asked of others (RFC 6303 §4).
const PRIVATE: [&str; 20] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "255.255.255.255/32",
    "100.64.0.0/10", // RFC 7793
    "::/128",
    "::1/128",
    "fd00::/8",
    "fe80::/12",
    "fe90::/12",
    "fea0::/12",
    "feb0::/12",
    "fc00::/8",
    "2001:db8::/32",
];

static PRIVATE_NETS: LazyLock<Vec<IpNet>> =
    LazyLock::new(|| PRIVATE.iter().filter_map(|net| net.parse().ok()).collect());

static NOWHERE: LazyLock<Vec<Name>> = LazyLock::new(|| {
    let names = NOTHING.iter().map(Name::from_ascii);
    names.filter_map(Result::ok).collect()
});

/// The private network that all of `net`, the addresses that a reverse name
/// stands for, is of.
pub(crate) fn private(net: &IpNet) -> Option<IpNet> {
    PRIVATE_NETS.iter().find(|it| it.contains(net)).copied()
}

/// The domain that `name`, in lower case, is of, if nothing of it exists.
pub(crate) fn nowhere(name: &Name) -> Option<&'static Name> {
    NOWHERE.iter().find(|domain| domain.zone_of_case(name))
}

/// The reverse domain that answers for `part`, a part of `net`: as many octets,
/// or nibbles, as `net` has begun.
pub(crate) fn reverse_domain(net: &IpNet, part: &IpNet) -> Name {
    let labels = match net {
        IpNet::V4(net) => net.prefix_len().div_ceil(8),
        IpNet::V6(net) => net.prefix_len().div_ceil(4),
    };
    // Beside these, `in-addr` or `ip6`, and `arpa`.
    Name::from(part.network()).trim_to(usize::from(labels) + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_and_domain_is_one() {
        assert_eq!(PRIVATE_NETS.len(), PRIVATE.len());
        assert_eq!(NOWHERE.len(), NOTHING.len());
    }

    #[test]
    fn reverse_domains_have_whole_octets_and_nibbles() {
        for (net, part, domain) in [
            (
                "192.168.122.0/24",
                "192.168.122.7/32",
                "122.168.192.in-addr.arpa.",
            ),
            ("10.0.0.0/8", "10.0.0.0/8", "10.in-addr.arpa."),
            ("172.16.0.0/12", "172.20.1.0/24", "20.172.in-addr.arpa."),
            ("fe80::/12", "fe81::1/128", "8.e.f.ip6.arpa."),
        ] {
            let (net, part) = (net.parse().unwrap(), part.parse().unwrap());
            assert_eq!(reverse_domain(&net, &part).to_ascii(), domain, "{net}");
        }
    }

    #[test]
    fn parts_of_private_networks_are_private_and_what_holds_them_is_not() {
        let is_private = |net: &str| private(&net.parse().unwrap()).is_some();
        for net in ["10.1.2.3/32", "10.0.0.0/8", "192.168.9.0/24", "::1/128"] {
            assert!(is_private(net), "{net}");
        }
        for net in ["8.8.8.8/32", "192.0.0.0/8", "172.32.0.0/16", "2001::/16"] {
            assert!(!is_private(net), "{net}");
        }
    }
}
