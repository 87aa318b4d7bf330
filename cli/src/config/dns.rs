//! The table `[dns]`: names of the network's own, and whom others are asked of.

use super::dns_tables::{read_forwarder, read_host, read_service, read_text};
use super::network::Written;
use super::section::{Findings, Section};
use super::value::duration;
use super::{Address, Forward, Problem};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

/// The longest that others may keep an own name. Already that is longer than it
/// takes for a name to move to another guest.
const LONGEST_TTL: Duration = Duration::from_secs(86_400);

/// The name server of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Dns {
    /// Whether it answers.
    pub enabled: bool,
    /// Whether names of the network's domain that it does not know do not
    /// exist; else they are asked of others, as libvirt has it without
    /// `localOnly`.
    pub authoritative: bool,
    /// Whether names without a dot are asked of others.
    pub forward_plain_names: bool,
    /// How long others may keep an own name, at most.
    pub ttl: Duration,
    /// Answers of others that are kept, at most.
    pub cache: usize,
    /// Who is asked for what, in the order of the file.
    pub forwarders: Vec<Forwarder>,
    /// Names of addresses.
    pub hosts: Vec<DnsHost>,
    /// Texts by name.
    pub texts: Vec<DnsText>,
    /// Services by name.
    pub services: Vec<DnsService>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            enabled: true,
            authoritative: true,
            forward_plain_names: false,
            ttl: Duration::from_secs(60),
            cache: 1000,
            forwarders: Vec::new(),
            hosts: Vec::new(),
            texts: Vec::new(),
            services: Vec::new(),
        }
    }
}

/// `[[dns.forwarder]]`: who is asked for the names of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarder {
    /// For names in this domain; `None`: for all that no other one is for.
    pub domain: Option<String>,
    /// Who.
    pub to: Whom,
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The server at this address.
    Server(SocketAddr),
    /// Those that the host asks.
    Host,
    /// Nobody: what is not known here does not exist.
    Nobody,
}

/// `[[dns.host]]`: an address and its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsHost {
    /// The address.
    pub address: IpAddr,
    /// Its names, at least one; the first is the one that it has in reverse.
    pub names: Vec<String>,
}

/// `[[dns.txt]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsText {
    /// The name.
    pub name: String,
    /// The texts of its one record, up to 255 bytes each.
    pub values: Vec<String>,
}

/// `[[dns.srv]]` (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsService {
    /// The service, without its underscore.
    pub service: String,
    /// The protocol, without its underscore.
    pub protocol: String,
    /// The domain that has it; `None`: the network's own.
    pub domain: Option<String>,
    /// Who serves; `None`: nobody.
    pub target: Option<String>,
    /// The port.
    pub port: u16,
    /// Lower ones are tried first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
}

/// `[dns]` as written.
#[derive(Debug)]
pub(super) struct WrittenDns {
    enabled: Option<Spanned<bool>>,
    /// Each `[[dns.srv]]` that is of the network's own domain.
    of_own_domain: Vec<Range<usize>>,
    dns: Dns,
}

impl WrittenDns {
    pub(super) fn read(mut section: Section<'_, '_, '_>) -> Self {
        let default = Dns::default();
        let mut of_own_domain = Vec::new();
        let enabled = section.boolean("enabled");
        let authoritative = section.boolean("authoritative");
        let plain = section.boolean("forward-plain-names");
        let ttl = section.text_or_number("ttl", ttl);
        let cache = section.number("cache", 0..=100_000_u32);
        let dns = Dns {
            enabled: true,
            authoritative: authoritative.map_or(default.authoritative, Spanned::into_inner),
            forward_plain_names: plain.map_or(default.forward_plain_names, Spanned::into_inner),
            ttl: ttl.map_or(default.ttl, Spanned::into_inner),
            cache: cache.map_or(default.cache, |cache| {
                usize::try_from(cache.into_inner()).unwrap_or(usize::MAX)
            }),
            forwarders: section.tables("forwarder", read_forwarder),
            hosts: section.tables("host", read_host),
            texts: section.tables("txt", read_text),
            services: section.tables("srv", |section| {
                let at = section.span();
                let service = read_service(section)?;
                if service.domain.is_none() {
                    of_own_domain.push(at);
                }
                Some(service)
            }),
        };
        section.end();
        Self {
            enabled,
            of_own_domain,
            dns,
        }
    }

    /// The name server of a network that has one `by_default` or not.
    pub(super) fn into_dns(self, by_default: bool) -> Dns {
        Dns {
            enabled: self.enabled.map_or(by_default, Spanned::into_inner),
            ..self.dns
        }
    }
}

fn ttl(text: &str) -> Result<Duration, Problem> {
    let ttl = duration(text)?;
    if ttl > LONGEST_TTL {
        return Err(Problem::new(format!("ttl = {text:?} is out of range"))
            .help("use a time up to \"1d\": names move to other guests"));
    }
    Ok(ttl)
}

/// Whether a network has a name server by itself: where it has an address, and
/// is not a part of a LAN, which it would serve as well.
pub(super) fn by_default(forward: Forward, address: Address) -> bool {
    forward != Forward::Bridge && address != Address::None
}

/// The server answers from the gateway's address, to guests only.
pub(super) fn check(written: &Written, findings: &mut Findings<'_>) {
    let Some(dns) = &written.dns else {
        return;
    };
    let (at, dns) = (dns.span(), dns.get_ref());
    let on = dns.enabled.as_ref().filter(|on| *on.get_ref());
    if let Some(on) = on {
        if written.forward() == Forward::Bridge {
            let what = "in a bridge the name server would serve the whole LAN";
            let help = "take `enabled` out: guests ask the LAN's own name server";
            findings.error(on.span(), Problem::new(what).help(help));
        } else if written.address() == Address::None {
            let what = "the name server needs an address of its own";
            let help = "add address = \"192.168.122.1/24\"";
            findings.error(on.span(), Problem::new(what).help(help));
        }
    }
    let has_domain = written
        .domain
        .as_ref()
        .is_none_or(|domain| domain.get_ref().is_some());
    if !has_domain {
        for span in &dns.of_own_domain {
            let what = "this service is of the network's domain, and there is none";
            let help = "add domain = \"…\" here";
            findings.error(span.clone(), Problem::new(what).help(help));
        }
    }
    let off = dns.enabled.as_ref().is_none() && !by_default(written.forward(), written.address());
    if off {
        let what =
            "there is no name server where guests are stations of a LAN: [dns] has no effect";
        findings.warn(at, Problem::new(what).help("take it out"));
    }
}
