//! Further ranges of addresses, `[[dhcp.pool]]`: for some of the clients, or
//! for those on another subnet behind a relay agent.

use super::Problem;
use super::check::{check_range, not_in};
use super::dhcp_tags::{read_set, read_tags};
use super::section::{Findings, Section};
use super::value::{ipv4, lease_time};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::ops::Range as Span;
use toml::Spanned;
use vmlan_dhcp::Range;

/// First and last address as they are written.
pub(super) type Ends = Spanned<Vec<Spanned<Ipv4Addr>>>;

/// `[[dhcp.pool]]` as written.
#[derive(Debug)]
pub(super) struct WrittenPool {
    pub(super) ends: Ends,
    pub(super) subnet: Option<Spanned<Ipv4Net>>,
    pub(super) router: Option<Spanned<Ipv4Addr>>,
    /// What it comes to.
    pub(super) range: Range,
}

impl WrittenPool {
    /// Whether it is of the network's own subnet, that of `gateway`.
    fn is_own(&self, gateway: Ipv4Net) -> bool {
        let subnet = self.subnet.as_ref();
        subnet.is_none_or(|subnet| *subnet.get_ref() == gateway.trunc())
    }
}

/// One `[[dhcp.pool]]`.
pub(super) fn read_pool(mut section: Section<'_, '_, '_>) -> Option<WrittenPool> {
    let span = section.span();
    let ends = section.texts("range", ipv4);
    let subnet = section.text("subnet", subnet);
    let router = section.text("router", ipv4);
    let tags = read_tags(&mut section);
    let set = read_set(&mut section);
    let known_only = section.boolean("known-only");
    let time = section.text_or_number("lease-time", lease_time);
    if !section.has("range") {
        let problem = Problem::new("this pool has no `range`").help(
            "add its first and last address, as range = [\"192.168.122.10\", \"192.168.122.99\"]",
        );
        section.findings.error(span, problem);
    }
    let unknown = section.has("subnet") && subnet.is_none();
    section.end();
    // Without its subnet nothing else of it can be judged.
    let ends = ends.filter(|_| !unknown)?;
    let [first, last] = ends.get_ref().as_slice() else {
        return Some(WrittenPool {
            range: Range::new(Ipv4Addr::UNSPECIFIED..=Ipv4Addr::UNSPECIFIED),
            ends,
            subnet,
            router,
        });
    };
    Some(WrittenPool {
        range: Range {
            subnet: subnet.as_ref().map(|subnet| *subnet.get_ref()),
            router: router.as_ref().map(|router| *router.get_ref()),
            tags,
            set,
            known_only: known_only.is_some_and(Spanned::into_inner),
            lease_time: time.map(|time| time.into_inner().into()),
            ..Range::new(*first.get_ref()..=*last.get_ref())
        },
        ends,
        subnet,
        router,
    })
}

fn subnet(text: &str) -> Result<Ipv4Net, Problem> {
    let net: Ipv4Net = text.parse().map_err(|_| {
        Problem::new(format!("{text:?} is no subnet")).help("write it as in \"10.1.0.0/24\"")
    })?;
    if !(8..=30).contains(&net.prefix_len()) {
        let problem = format!("a subnet /{} is of no use here", net.prefix_len());
        return Err(Problem::new(problem).help("use a prefix length of 8 to 30"));
    }
    if net != net.trunc() {
        return Err(Problem::new(format!("{net} is an address in a subnet"))
            .help(format!("write the subnet, {}", net.trunc())));
    }
    Ok(net)
}

/// Pools have to lie in their subnets, apart from each other and from `own`,
/// the range of `[dhcp]` itself.
pub(super) fn check_pools(
    pools: &[WrittenPool],
    own: Option<&Ends>,
    gateway: Ipv4Net,
    findings: &mut Findings<'_>,
) {
    let mut seen: Vec<(&Ends, Span<usize>)> = Vec::new();
    seen.extend(own.map(|ends| (ends, ends.span())));
    for pool in pools {
        let subnet = pool
            .subnet
            .as_ref()
            .map_or(gateway.trunc(), |net| *net.get_ref());
        if pool.ends.get_ref().len() != 2 {
            let problem = Problem::new("the range of a pool has to be two addresses")
                .help("write the first and the last");
            findings.error(pool.ends.span(), problem);
            continue;
        }
        if let Some(net) = pool.subnet.as_ref().filter(|_| !pool.is_own(gateway)) {
            let other = *net.get_ref();
            if other.contains(&gateway.trunc()) || gateway.trunc().contains(&other) {
                let problem = Problem::new(format!("{other} overlaps the network's own subnet"))
                    .help(format!("use {}, or one apart from it", gateway.trunc()));
                findings.error(net.span(), problem);
                continue;
            }
        }
        let never = [
            Some(gateway.addr()),
            pool.router.as_ref().map(|router| *router.get_ref()),
        ];
        let never: Vec<_> = never.into_iter().flatten().collect();
        check_range(&pool.ends, subnet, &never, findings);
        if let Some(router) = &pool.router {
            check_router(pool, router, subnet, gateway, findings);
        }
        let overlapped = seen.iter().find(|(other, _)| overlap(other, &pool.ends));
        if let Some((_, other)) = overlapped {
            let line = findings.line(other);
            let problem = Problem::new(format!("this range overlaps the one of line {line}"))
                .help("part them: an address is of one range");
            findings.error(pool.ends.span(), problem);
        }
        seen.push((&pool.ends, pool.ends.span()));
    }
}

fn check_router(
    pool: &WrittenPool,
    router: &Spanned<Ipv4Addr>,
    subnet: Ipv4Net,
    gateway: Ipv4Net,
    findings: &mut Findings<'_>,
) {
    let problem = if pool.is_own(gateway) {
        Problem::new("a pool of the network's own subnet has no router of its own")
            .help("set the option `router` for a tag of the pool: [[dhcp.option]]")
    } else if !subnet.contains(router.get_ref()) {
        not_in(*router.get_ref(), subnet)
    } else {
        return;
    };
    findings.error(router.span(), problem);
}

fn overlap(a: &Ends, b: &Ends) -> bool {
    match (a.get_ref().as_slice(), b.get_ref().as_slice()) {
        ([a, b], [c, d]) => a.get_ref() <= d.get_ref() && c.get_ref() <= b.get_ref(),
        _ => false,
    }
}
