//! Stations that are known, `[[dhcp.host]]`: with an address, a name or tags of
//! their own.

use super::Problem;
use super::check::not_in;
use super::dhcp_tags::{read_list, read_set};
use super::section::{Findings, Section};
use super::value::{client_id, domain_name, ipv4, lease_time, station_mac};
use ipnet::Ipv4Net;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::ops::Range;
use toml::Spanned;
use vmlan_dhcp::{Host, HostKey, MacPattern, hostname, leasefile};

/// `[[dhcp.host]]` as written.
#[derive(Debug)]
pub(super) struct WrittenHost {
    /// How it is recognised, each at its key.
    keys: Vec<Spanned<HostKey>>,
    pub(super) address: Option<Spanned<Ipv4Addr>>,
    name: Option<Spanned<String>>,
    /// What it comes to.
    pub(super) host: Host,
}

/// One `[[dhcp.host]]`.
pub(super) fn read_host(mut section: Section<'_, '_, '_>) -> Option<WrittenHost> {
    let span = section.span();
    let macs = read_list(&mut section, "mac", mac_pattern);
    let ids = read_list(&mut section, "client-id", identifier);
    let address = section.text("address", ipv4);
    let name = section.text("name", domain_name);
    let time = section.text_or_number("lease-time", lease_time);
    let set = read_set(&mut section);
    let ignore = section.boolean("ignore");
    let mut keys: Vec<Spanned<HostKey>> = Vec::new();
    for list in [macs, ids].into_iter().flatten() {
        let at = list.span();
        let at_once = |key| Spanned::new(at.clone(), key);
        keys.extend(list.into_inner().into_iter().map(at_once));
    }
    if !section.has("mac") && !section.has("client-id") {
        match &name {
            // As in dnsmasq: by the name that it gives itself.
            Some(name) => keys.push(Spanned::new(
                name.span(),
                HostKey::Name(name.get_ref().clone()),
            )),
            None if section.has("name") => {}
            None => {
                let problem = Problem::new("this host has none of `mac`, `client-id` and `name`")
                    .help("say which station it is, as with mac = \"52:54:00:aa:bb:cc\"");
                section.findings.error(span, problem);
            }
        }
    }
    section.end();
    let host = Host {
        keys: keys.iter().map(|key| key.get_ref().clone()).collect(),
        address: address.as_ref().map(|address| *address.get_ref()),
        name: name.as_ref().map(|name| name.get_ref().clone()),
        lease_time: time.map(|time| time.into_inner().into()),
        set,
        ignore: ignore.is_some_and(Spanned::into_inner),
    };
    Some(WrittenHost {
        keys,
        address,
        name,
        host,
    })
}

/// A station's MAC address, or one with `*` for some octets.
///
/// # Errors
/// Text of another form, or a group's address.
pub fn mac_pattern(text: &str) -> Result<HostKey, Problem> {
    if !text.contains('*') {
        return station_mac(text).map(HostKey::from);
    }
    let pattern: MacPattern = text.parse().map_err(|_| {
        Problem::new(format!("{text:?} is no MAC address with wildcards"))
            .help("write six parts with * for any, as in \"52:54:00:*:*:*\"")
    })?;
    Ok(HostKey::Mac(pattern))
}

/// A client identifier in hex with colons.
///
/// # Errors
/// Text of another form.
pub fn identifier(text: &str) -> Result<HostKey, Problem> {
    let id = client_id(text)?;
    let bytes = leasefile::parse_hex(&id);
    bytes.map(HostKey::ClientId).ok_or_else(|| {
        Problem::new(format!("{text:?} is no client identifier"))
            .help("write it in hex, as in \"01:52:54:00:12:34:56\"")
    })
}

/// No two hosts may share what tells them apart. One station may be a host on
/// each of `subnets`.
pub(super) fn check_hosts(hosts: &[WrittenHost], subnets: &[Ipv4Net], findings: &mut Findings<'_>) {
    let (mut keys, mut addresses, mut names) = (Seen::new(), Seen::new(), Seen::new());
    for host in hosts {
        check_label(host, findings);
        let address = host.address.as_ref().map(Spanned::get_ref);
        let of = |address| subnets.iter().find(|subnet| subnet.contains(address));
        let subnet = address.and_then(of);
        for key in &host.keys {
            let what = match key.get_ref() {
                HostKey::Mac(mac) => format!("the MAC address {mac}"),
                HostKey::ClientId(id) => {
                    let mut text = String::new();
                    // Writing to a string does not fail.
                    let _ = leasefile::write_hex(&mut text, id);
                    format!("the client identifier {text}")
                }
                // Told by its name.
                HostKey::Name(_) => continue,
            };
            keys.add((key.get_ref(), subnet), key.span(), &what, findings);
        }
        if let Some(address) = &host.address {
            let what = format!("the address {}", address.get_ref());
            addresses.add(address.get_ref(), address.span(), &what, findings);
        }
        if let Some(name) = &host.name {
            let what = format!("the name {}", name.get_ref());
            names.add(name.get_ref(), name.span(), &what, findings);
        }
    }
}

/// The server hands out a host's name as one label; the domain is told apart.
fn check_label(host: &WrittenHost, findings: &mut Findings<'_>) {
    if let Some(name) = &host.name
        && !hostname::is_label(name.get_ref())
    {
        let problem = Problem::new(format!("{name:?} is no host name", name = name.get_ref()))
            .help("use 1 to 63 letters, digits and inner hyphens, without a domain");
        findings.error(name.span(), problem);
    }
}

/// The address of a host has to be one of `subnets`, the gateway's first.
pub(super) fn check_address(
    address: &Spanned<Ipv4Addr>,
    gateway: Ipv4Net,
    subnets: &[Ipv4Net],
    findings: &mut Findings<'_>,
) {
    let ip = *address.get_ref();
    let problem = match subnets.iter().find(|subnet| subnet.contains(&ip)) {
        None => not_in(ip, gateway),
        Some(_) if ip == gateway.addr() => {
            Problem::new(format!("{ip} is the address of the gateway")).help("use another one")
        }
        Some(subnet) if ip == subnet.network() || ip == subnet.broadcast() => {
            Problem::new(format!("{ip} is an end of the subnet, no host can have it"))
                .help("use another one")
        }
        Some(_) => return,
    };
    findings.error(address.span(), problem);
}

/// Values that were seen, each with its place.
struct Seen<T>(HashMap<T, Range<usize>>);

impl<T: Hash + Eq> Seen<T> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    fn add(&mut self, value: T, at: Range<usize>, what: &str, findings: &mut Findings<'_>) {
        if let Some(first) = self.0.insert(value, at.clone()) {
            let line = findings.line(&first);
            let problem =
                Problem::new(format!("{what} belongs to the host of line {line} already"))
                    .help("give each host its own, or take one of the two out");
            findings.error(at, problem);
        }
    }
}
