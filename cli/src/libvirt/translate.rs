//! libvirt's description of a network as a configuration of vmlan, and what of
//! it cannot be carried over ([`reasons`]); [`served`] is its DHCP.

mod reasons;
mod served;

use super::parts::{Origin, Parts};
use super::xml::{Forward, Ip, Network};
use crate::config::{ConfigError, NetworkName, Problem, Source};
use reasons::{reason, unfit};
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Range;
use toml::Spanned;

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
    /// The configuration, TOML, which knows the places that it came from.
    pub config: Source,
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

#[cfg(test)]
mod tests;
