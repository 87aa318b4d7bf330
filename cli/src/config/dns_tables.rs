//! The tables below `[dns]`: forwarders, and records by name.

use super::Problem;
use super::dns::{DnsHost, DnsService, DnsText, Forwarder, Whom};
use super::section::Section;
use super::value::dns_name;
use std::net::{IpAddr, SocketAddr};
use toml::Spanned;

/// Where name servers listen (RFC 1035 §4.2).
const PORT: u16 = 53;

/// The longest text of a record, in bytes (RFC 1035 §3.3).
const MAX_TEXT: usize = 255;
/// Texts of a record, and names of an address, at most.
const MAX_LIST: usize = 100;

/// One `[[dns.forwarder]]`.
pub(super) fn read_forwarder(mut section: Section<'_, '_, '_>) -> Option<Forwarder> {
    let (span, named, addressed) = (
        section.span(),
        section.has("domain"),
        section.has("address"),
    );
    let domain = section.text("domain", dns_name);
    let address = section.text("address", server);
    let local = section.boolean("local");
    let is_local = local.as_ref().is_some_and(|local| *local.get_ref());
    if !named && !addressed {
        let problem = Problem::new("this forwarder is for no domain and asks nobody");
        let help = "add address = \"192.0.2.53\", domain = \"…\", or both";
        section.findings.error(span, problem.help(help));
    } else if let Some(local) = local.filter(|_| is_local && addressed) {
        let problem = Problem::new("names that are local are asked of nobody");
        let help = "take out `local` or `address`";
        section.findings.error(local.span(), problem.help(help));
    }
    section.end();
    let to = match address.map(Spanned::into_inner) {
        _ if is_local => Whom::Nobody,
        Some(address) => Whom::Server(address),
        None => Whom::Host,
    };
    let domain = domain.map(Spanned::into_inner);
    Some(Forwarder { domain, to })
}

/// One `[[dns.host]]`.
pub(super) fn read_host(mut section: Section<'_, '_, '_>) -> Option<DnsHost> {
    let span = section.span();
    let address = section.text("address", any_address);
    let names = section.texts("names", dns_name);
    for (key, example) in [
        ("address", "address = \"192.168.122.10\""),
        ("names", "names = [\"db\"]"),
    ] {
        if !section.has(key) {
            let problem = Problem::new(format!("this host has no `{key}`"));
            let problem = problem.help(format!("add {example}"));
            section.findings.error(span.clone(), problem);
        }
    }
    if let Some(names) = &names
        && !(1..=MAX_LIST).contains(&names.get_ref().len())
    {
        let problem = Problem::new(format!("an address has 1 to {MAX_LIST} names"));
        let problem = problem.help("take the table out, or make several of it");
        section.findings.error(names.span(), problem);
    }
    section.end();
    let names = names?.into_inner().into_iter().map(Spanned::into_inner);
    Some(DnsHost {
        address: address?.into_inner(),
        names: names.collect(),
    })
}

/// One `[[dns.txt]]`.
pub(super) fn read_text(mut section: Section<'_, '_, '_>) -> Option<DnsText> {
    let span = section.span();
    let name = section.text("name", dns_name);
    let values = section.value("value", |value| match value {
        super::Value::Text(one) => texts(std::slice::from_ref(value)).map(|_| vec![one.clone()]),
        super::Value::List(list) => texts(list),
        other => Err(Problem::new(format!("`value` is {}", other.kind()))
            .help("write text in quotes, or a list of texts")),
    });
    for key in ["name", "value"] {
        if !section.has(key) {
            let problem = Problem::new(format!("this text has no `{key}`"));
            let problem = problem.help(format!("add {key} = \"…\""));
            section.findings.error(span.clone(), problem);
        }
    }
    section.end();
    Some(DnsText {
        name: name?.into_inner(),
        values: values?.into_inner(),
    })
}

/// One `[[dns.srv]]`.
pub(super) fn read_service(mut section: Section<'_, '_, '_>) -> Option<DnsService> {
    let span = section.span();
    let service = section.text("service", |text| label(text, "service"));
    let protocol = section.text("protocol", |text| label(text, "protocol"));
    let domain = section.text("domain", dns_name);
    let target = section.text("target", |text| match text {
        "" | "." => Ok(None),
        name => dns_name(name).map(Some),
    });
    let port = section.number("port", 1..=u16::MAX);
    let priority = section.number("priority", 0..=u16::MAX);
    let weight = section.number("weight", 0..=u16::MAX);
    for key in ["service", "protocol"] {
        if !section.has(key) {
            let problem = Problem::new(format!("this service has no `{key}`"));
            let example = if key == "service" { "ldap" } else { "tcp" };
            let problem = problem.help(format!("add {key} = \"{example}\""));
            section.findings.error(span.clone(), problem);
        }
    }
    let target = target.and_then(Spanned::into_inner);
    if target.is_some() && !section.has("port") {
        let problem = Problem::new("this service has a target and no `port`");
        section.findings.error(span, problem.help("add port = 389"));
    }
    section.end();
    Some(DnsService {
        service: service?.into_inner(),
        protocol: protocol?.into_inner(),
        domain: domain.map(Spanned::into_inner),
        target,
        port: port.map_or(0, Spanned::into_inner),
        priority: priority.map_or(0, Spanned::into_inner),
        weight: weight.map_or(0, Spanned::into_inner),
    })
}

/// An address, or `address:port` (IPv6 in brackets).
fn server(text: &str) -> Result<SocketAddr, Problem> {
    let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    let server = bare.or_else(|_| text.parse::<SocketAddr>());
    let server = server.map_err(|_| {
        Problem::new(format!("{text:?} is no address of a name server"))
            .help("write it as \"192.0.2.53\" or \"192.0.2.53:5353\"")
    })?;
    if server.port() == 0 || server.ip().is_unspecified() || server.ip().is_multicast() {
        return Err(Problem::new(format!("nobody can be asked at {text}"))
            .help("use the address of one host, and a port from 1 to 65535"));
    }
    Ok(server)
}

fn any_address(text: &str) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| {
        Problem::new(format!("{text:?} is no IP address"))
            .help("write it as \"192.168.122.10\" or \"2001:db8::10\"")
    })
}

/// One label, with or without the underscore that names of services start with.
fn label(text: &str, what: &str) -> Result<String, Problem> {
    let bare = text.strip_prefix('_').unwrap_or(text);
    dns_name(bare)
        .ok()
        .filter(|name| !name.contains('.'))
        .ok_or_else(|| {
            Problem::new(format!("{text:?} is no {what}"))
                .help("use letters, digits and hyphens, as in \"ldap\" and \"tcp\"")
        })
}

fn texts(list: &[super::Value]) -> Result<Vec<String>, Problem> {
    if !(1..=MAX_LIST).contains(&list.len()) {
        return Err(
            Problem::new(format!("a record has 1 to {MAX_LIST} texts")).help("write at least one")
        );
    }
    list.iter()
        .map(|value| match value.as_text() {
            Some(text) if text.len() <= MAX_TEXT => Ok(text.to_owned()),
            Some(text) => Err(Problem::new(format!(
                "this text has {} bytes, {MAX_TEXT} are the most",
                text.len()
            ))
            .help("write it as a list of shorter ones")),
            None => Err(
                Problem::new(format!("`value` has {} in its list", value.kind()))
                    .help("write texts in quotes"),
            ),
        })
        .collect()
}
