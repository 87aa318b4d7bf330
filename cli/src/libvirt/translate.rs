//! libvirt's description of a network as a configuration of vmlan, and what of
//! it cannot be carried over.

use super::dnsmasq::{self, Meaning};
use super::parts::{Origin, Parts};
use super::xml::{Dhcp, Forward, Host, Ip, Lease, Network};
use crate::config::{ConfigError, NetworkName, Problem, Source};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use toml::Spanned;
use vmlan_dhcp::hostname;

/// Something that cannot be carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What the description has.
    pub what: String,
    /// Its place there, in bytes.
    pub span: Range<usize>,
    /// Its line, counted from 1.
    pub line: usize,
    /// Why it stays behind, and what that means.
    pub reason: String,
}

impl Left {
    pub(super) fn at(source: &Source, span: &Range<usize>, what: &str, reason: &str) -> Self {
        Self {
            what: what.to_owned(),
            span: span.clone(),
            line: source.line(span.start).0,
            reason: reason.to_owned(),
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.what, self.reason)
    }
}

/// What a description becomes.
#[derive(Debug)]
pub struct Translation {
    /// The configuration, TOML.
    pub config: String,
    /// What is missing in it, in the order of the description.
    pub left: Vec<Left>,
    /// What to know beside.
    pub notes: Vec<String>,
}

/// What a translation depends on beside the description.
#[derive(Debug)]
pub struct Surroundings {
    /// The network's name in vmlan.
    pub name: NetworkName,
    /// Whether libvirt attaches the guests; else netdevs that match a pattern
    /// are taken, as with a configuration that says nothing of it.
    pub by_libvirt: bool,
    /// The name servers that the host uses, for guests that reach them.
    pub resolvers: Vec<Ipv4Addr>,
}

/// Translates `network`, which was read from `source`.
///
/// # Errors
/// There is nothing in it that vmlan could stand in for, or its subnet is none
/// that vmlan serves.
pub fn translate(
    network: &Network,
    source: &Source,
    around: &Surroundings,
) -> Result<Translation, ConfigError> {
    let mut work = Work {
        network,
        source,
        around,
        parts: Parts::default(),
        left: Vec::new(),
        notes: Vec::new(),
    };
    work.root()?;
    work.dhcp();
    work.rest();
    let Work {
        parts,
        mut left,
        notes,
        ..
    } = work;
    let (config, refused) = parts.finish(&around.name, source)?;
    left.extend(refused);
    left.sort_by_key(|left| left.line);
    Ok(Translation {
        config,
        left,
        notes,
    })
}

/// `text` as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn addresses(list: &[Ipv4Addr]) -> String {
    let list: Vec<_> = list
        .iter()
        .map(|address| quoted(&address.to_string()))
        .collect();
    format!("[{}]", list.join(", "))
}

/// A translation under way.
struct Work<'a> {
    network: &'a Network,
    source: &'a Source,
    around: &'a Surroundings,
    parts: Parts,
    left: Vec<Left>,
    notes: Vec<String>,
}

impl Work<'_> {
    fn leave(&mut self, span: &Range<usize>, what: &str, reason: &str) {
        self.left.push(Left::at(self.source, span, what, reason));
    }

    /// Adds a line or table that vmlan may refuse.
    fn maybe(&mut self, span: Range<usize>, what: &str, text: String) {
        let origin = Origin {
            what: what.to_owned(),
            span,
            essential: false,
        };
        self.parts.push_from(origin, text);
    }

    /// Adds a line without which there is no network.
    fn must(&mut self, span: Range<usize>, what: &str, text: String) {
        let origin = Origin {
            what: what.to_owned(),
            span,
            essential: true,
        };
        self.parts.push_from(origin, text);
    }

    /// The keys at the top.
    fn root(&mut self) -> Result<(), ConfigError> {
        let network = self.network;
        let name = &self.around.name;
        self.parts
            .push(format!("name      = {}\n", quoted(name.as_str())));
        if let Some(bridge) = &network.bridge {
            let line = format!("interface = {}\n", quoted(bridge.get_ref().as_str()));
            self.must(bridge.span(), "<bridge>", line);
        }
        if let Some(ip) = self.gateway() {
            let line = format!("address   = \"{}\"\n", ip.get_ref().address);
            self.must(ip.span(), "<ip>", line);
        }
        if let Some(mac) = &network.mac {
            self.must(
                mac.span(),
                "<mac>",
                format!("mac       = \"{}\"\n", mac.get_ref()),
            );
        }
        if let Some(mtu) = &network.mtu {
            let line = format!("mtu       = {}\n", mtu.get_ref());
            self.maybe(mtu.span(), "<mtu>", line);
            self.leave(
                &mtu.span(),
                "<mtu> for the guests' own NICs",
                "libvirt takes no <mtu> for such a network: guests are told by DHCP; add <mtu> to \
                 the <interface> of those that have no DHCP",
            );
        }
        let domain = network.domain.as_ref();
        let line = |name: &str| format!("domain    = {}\n", quoted(name));
        match domain {
            Some(domain) => self.maybe(domain.span(), "<domain>", line(domain.get_ref())),
            None => self.parts.push(line("")),
        }
        self.forward()?;
        if self.around.by_libvirt {
            let attach = "\n[attach]\nmatch = []  # libvirt attaches its guests itself\n";
            self.parts.push(attach);
            self.parts
                .push("\n[libvirt]  # which shows leases as its own\n");
            let theirs = network.name.get_ref();
            if theirs != name.as_str() {
                self.parts.push(format!("network = {}\n", quoted(theirs)));
            }
        }
        Ok(())
    }

    /// `forward`, `uplink` and `[nat]`.
    fn forward(&mut self) -> Result<(), ConfigError> {
        let network = self.network;
        let Some(forward) = &network.forward else {
            // Without an address the host is no station of it.
            let way = match self.gateway() {
                Some(_) => "isolated",
                None => "bridge",
            };
            self.parts.push(format!("forward   = \"{way}\"\n"));
            return Ok(());
        };
        let mode = forward.mode.get_ref().as_str();
        if !matches!(mode, "nat" | "route" | "open") {
            return Err(self.source.error(forward.mode.span(), unfit(network, mode)));
        }
        if self.gateway().is_none() {
            let problem = Problem::new(format!(
                "a network that forwards by {mode} needs an address"
            ))
            .help("add <ip address='192.168.122.1' netmask='255.255.255.0'/>; IPv6 is not served");
            return Err(self.source.error(forward.mode.span(), problem));
        }
        self.must(
            forward.mode.span(),
            "<forward>",
            format!("forward   = \"{mode}\"\n"),
        );
        if let Some(dev) = &forward.dev {
            let line = format!("uplink    = {}\n", quoted(dev.get_ref().as_str()));
            self.must(dev.span(), "dev of <forward>", line);
        }
        self.nat(forward);
        Ok(())
    }

    fn nat(&mut self, forward: &Forward) {
        if forward.ports.is_none() && forward.addresses.is_none() {
            return;
        }
        let mut table = "\n[nat]\n".to_owned();
        if let Some((first, last)) = forward.ports {
            table += &format!("ports = [{first}, {last}]\n");
        }
        if let Some((first, last)) = forward.addresses {
            table += &format!("addresses = {}\n", addresses(&[first, last]));
        }
        self.must(forward.mode.span(), "<nat>", table);
    }

    /// The address that guests have as their gateway: the one with DHCP, or
    /// the first.
    fn gateway(&self) -> Option<&Spanned<Ip>> {
        let ips = &self.network.ips;
        let serves = |ip: &&Spanned<Ip>| ip.get_ref().dhcp.is_some();
        ips.iter().find(serves).or_else(|| ips.first())
    }

    /// `[dhcp]` with all below it, and `[tftp]`.
    fn dhcp(&mut self) {
        let network = self.network;
        let served = self.gateway().map(Spanned::span);
        for ip in &network.ips {
            if Some(ip.span()) != served {
                let what = format!("<ip address='{}'>", ip.get_ref().address.addr());
                let reason = "a network of vmlan has one address: guests that use this one as \
                              their gateway lose it";
                self.leave(&ip.span(), &what, reason);
            }
        }
        // Found by its place, so that `self` is free to be changed.
        let ip = network.ips.iter().find(|ip| Some(ip.span()) == served);
        match ip.and_then(|ip| ip.get_ref().dhcp.as_ref()) {
            Some(dhcp) => self.served(dhcp),
            // Where there is no address, there is no DHCP by itself.
            None if ip.is_some() => self.parts.push("\n[dhcp]\nenabled = false\n"),
            None => {}
        }
        if let Some(tftp) = ip.and_then(|ip| ip.get_ref().tftp.as_ref()) {
            let table = format!("\n[tftp]\nroot = {}\n", quoted(tftp.get_ref()));
            self.maybe(tftp.span(), "<tftp>", table);
        }
    }

    fn served(&mut self, dhcp: &Dhcp) {
        self.parts.push("\n[dhcp]\n");
        let mut ranges = dhcp.ranges.iter();
        let first = ranges.next();
        match first {
            Some(range) => {
                let (at, range) = (range.span(), range.get_ref());
                let line = format!("range = {}\n", addresses(&[range.start, range.end]));
                self.maybe(at.clone(), "<range>", line);
                if let Some(lease) = range.lease {
                    self.maybe(at, "<lease>", lease_time(lease));
                }
            }
            // dnsmasq then has a range `static`.
            None => self.parts.push("known-only = true\n"),
        }
        if let Some(file) = &dhcp.boot_file {
            let line = format!("filename = {}\n", quoted(file.get_ref()));
            self.maybe(file.span(), "<bootp file=…>", line);
        }
        if let Some(server) = &dhcp.boot_server {
            let line = format!("next-server = {}\n", quoted(server.get_ref()));
            self.maybe(server.span(), "<bootp server=…>", line);
        }
        let tables = self.own_options();
        let sets = |option: &str| tables.iter().any(|(_, _, table)| sets(table, option));
        let (router, servers) = (sets("router"), sets("dns-server"));
        self.parts.push("\n[dhcp.options]\n");
        if self.network.forward.is_none() && !router {
            let reason = "# the network leads nowhere, as libvirt's isolated ones\n";
            self.parts.push(format!("{reason}router = \"\"\n"));
        }
        if !servers {
            self.name_servers();
        }
        for range in ranges {
            let (at, range) = (range.span(), range.get_ref());
            let mut table = format!(
                "\n[[dhcp.pool]]\nrange = {}\n",
                addresses(&[range.start, range.end])
            );
            let other = first.is_some_and(|first| first.get_ref().lease != range.lease);
            match range.lease {
                Some(lease) => table += &lease_time(lease),
                None if other => table += "lease-time = \"1h\"\n",
                None => {}
            }
            self.maybe(at, "<range>", table);
        }
        for host in &dhcp.hosts {
            self.host(host);
        }
        for (at, what, table) in tables {
            self.maybe(at, &what, table);
        }
    }

    fn host(&mut self, host: &Spanned<Host>) {
        let (at, host) = (host.span(), host.get_ref());
        let shown = host
            .address
            .map_or_else(String::new, |ip| format!(" ip='{ip}'"));
        let what = format!("<host{shown}>");
        let mut table = "\n[[dhcp.host]]\n".to_owned();
        if let Some(mac) = host.mac {
            table += &format!("mac     = \"{mac}\"\n");
        }
        if let Some(id) = &host.id {
            table += &format!("client-id = {}\n", quoted(id));
        }
        if let Some(address) = host.address {
            table += &format!("address = \"{address}\"\n");
        }
        if let Some(name) = &host.name {
            let (label, domain) = name.split_once('.').unwrap_or((name, ""));
            let own = self.network.domain.as_ref().map(Spanned::get_ref);
            if !hostname::is_label(label) {
                self.leave(
                    &at,
                    &format!("{what}: the name {name:?}"),
                    "it is no host name (RFC 1123 §2.1)",
                );
            } else {
                table += &format!("name    = {}\n", quoted(label));
                if !domain.is_empty() && own.is_none_or(|own| own != domain) {
                    let reason = format!("vmlan hands out the name {label:?} without a domain");
                    self.leave(&at, &format!("{what}: the domain {domain:?}"), &reason);
                }
            }
        }
        if let Some(lease) = host.lease {
            table += &lease_time(lease);
        }
        self.maybe(at, &what, table);
    }

    /// Which DNS servers guests are told: vmlan has none of its own yet.
    fn name_servers(&mut self) {
        let dns = &self.network.dns;
        if !dns.enabled {
            self.parts.push("dns-server = \"\"\n");
            return;
        }
        let v4 = |address: &Spanned<IpAddr>| match address.get_ref() {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        };
        let forwarders: Vec<_> = dns.forwarders.iter().filter_map(v4).collect();
        let leads_out = self.network.forward.is_some();
        let (servers, whose) = match &forwarders[..] {
            [] if leads_out => (&self.around.resolvers[..], "those of this host"),
            forwarders => (forwarders, "the forwarders of the libvirt network"),
        };
        if servers.is_empty() {
            self.notes.push(
                "DNS: vmlan has no name server yet, and none is known that guests could use \
                 instead: names do not resolve in guests, until `dns-server` under \
                 [dhcp.options] names one"
                    .to_owned(),
            );
            return;
        }
        self.parts.push(format!(
            "# vmlan has no name server yet; these are {whose}\ndns-server = {}\n",
            addresses(servers)
        ));
        let list: Vec<_> = servers.iter().map(ToString::to_string).collect();
        self.notes.push(format!(
            "DNS: vmlan has no name server yet: guests are told {} ({whose}) with their next \
             lease; names of guests do not resolve",
            list.join(", ")
        ));
    }

    /// `<dnsmasq:options>`: keys are added to `[dhcp]`, tables returned.
    fn own_options(&mut self) -> Vec<(Range<usize>, String, String)> {
        let mut tables = Vec::new();
        for option in &self.network.dnsmasq {
            let (at, text) = (option.span(), option.get_ref());
            let what = format!("dnsmasq's option {text:?}");
            match dnsmasq::translate(text) {
                Meaning::Key(lines) => self.maybe(at, &what, lines),
                Meaning::Table(table) => tables.push((at, what, table)),
                Meaning::Always => {}
                Meaning::None(reason) => self.leave(&at, &what, reason),
            }
        }
        tables
    }

    /// What the description has beside.
    fn rest(&mut self) {
        if self
            .network
            .ips
            .iter()
            .all(|ip| ip.get_ref().dhcp.is_none())
        {
            for option in &self.network.dnsmasq {
                let what = format!("dnsmasq's option {:?}", option.get_ref());
                self.leave(&option.span(), &what, "this network has no DHCP");
            }
        }
        for rest in &self.network.rest {
            if let Some(reason) = reason(&rest.path) {
                self.leave(&rest.span, &rest.shown, reason);
            }
        }
        if self.network.ports_isolated {
            let at = self.network.name.span();
            self.leave(
                &at,
                "<port isolated='yes'>",
                "vmlan has no isolated ports yet: guests of this network reach each other",
            );
        }
    }
}

fn lease_time(lease: Lease) -> String {
    match lease {
        Lease::Infinite => "lease-time = \"infinite\"\n".to_owned(),
        Lease::For(time) => format!("lease-time = \"{}s\"\n", time.as_secs()),
    }
}

/// Whether `table`, one of dnsmasq's options translated, sets `option` for all.
fn sets(table: &str, option: &str) -> bool {
    let number = match option {
        "router" => "3",
        _ => "6",
    };
    let mut lines = table.lines();
    let named = lines.any(|line| {
        let value = line.strip_prefix("option = ");
        value.is_some_and(|value| value == quoted(option) || value == number)
    });
    named && table.contains("[[dhcp.option]]") && !table.contains("\ntag = ")
}

/// Why there is nothing to do in a network of this mode.
fn unfit(network: &Network, mode: &str) -> Problem {
    let virtual_port = network.rest.iter().any(|rest| rest.path == "virtualport");
    let what = match mode {
        "bridge" if virtual_port => {
            "its guests are on a switch already: <virtualport> (has it been adopted before?)"
        }
        "bridge" if network.bridge.is_some() => {
            "its guests are on a bridge that libvirt does not manage"
        }
        "bridge" | "private" | "vepa" | "passthrough" => "its guests are on a NIC, by macvtap",
        "hostdev" => "its guests have NICs of the host to themselves",
        _ => return Problem::new(format!("unknown way to forward, mode='{mode}'")),
    };
    let help = match (mode, &network.bridge) {
        ("bridge", Some(bridge)) if !virtual_port => format!(
            "there is no address or DHCP of libvirt's to take over: for a switch in the place of \
             {}, write a configuration with forward = \"bridge\" and the NIC as uplink",
            bridge.get_ref()
        ),
        _ => "only networks that forward by nat, route or open, or that are isolated, can be \
              taken over"
            .to_owned(),
    };
    Problem::new(format!(
        "nothing is to be taken over of this network: {what}"
    ))
    .help(help)
}

/// Why the element or attribute at `path` is not carried over; `None`: it need
/// not be, or libvirt keeps it.
fn reason(path: &str) -> Option<&'static str> {
    Some(match path {
        "uuid"
        | "metadata"
        | "title"
        | "description"
        | "@connections"
        | "@trustGuestRxFilters"
        | "@ipv6" => return None,
        "bridge@stp" | "bridge@delay" => {
            "the switch has no spanning tree: join it with another one in one place only"
        }
        "bridge@zone" => "firewalld's zone for the bridge; vmlan's interface is in none by itself",
        "bridge@macTableManager" => "the switch learns where guests are",
        "dns/forwarder"
        | "dns/txt"
        | "dns/srv"
        | "dns/host"
        | "dns@forwardPlainNames"
        | "domain@localOnly"
        | "domain@register"
        | "ip@localPtr" => "there is no DNS in vmlan yet",
        "ip" => "vmlan serves IPv4 only: guests lose this address, its prefix and its DHCP",
        "forward/nat@ipv6" => "vmlan serves IPv4 only",
        "route" => "vmlan adds no routes to the host: `ip route add` does, once the network runs",
        "bandwidth" | "portgroup/bandwidth" => "there are no rate limits in vmlan yet",
        "vlan" => {
            "there are no VLANs in vmlan yet: no guest of this network starts, unless it is taken \
             out"
        }
        "portgroup/vlan" => {
            "there are no VLANs in vmlan yet: guests of this portgroup do not start, since their \
             port comes with a tag"
        }
        "virtualport" | "portgroup/virtualport" => {
            "the port's profile is that of another kind of switch"
        }
        _ => "vmlan does not know it",
    })
}

#[cfg(test)]
mod tests;
