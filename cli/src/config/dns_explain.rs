//! Says in words whose names a network answers, and whom it asks for others.

use super::dns::{Dns, Forwarder, Whom};
use super::value::duration_text;
use super::{Config, Forward};

/// The lines on the name server of `config`: one on the whole, one on each
/// forwarder and record.
pub(super) fn lines(config: &Config) -> Vec<String> {
    let dns = &config.dns;
    if !dns.enabled {
        return vec!["off".into()];
    }
    let mut lines = vec![whole(config)];
    if !dns.authoritative {
        lines.push("unknown names of the domain are asked of others too".into());
    }
    if dns.forward_plain_names {
        lines.push("names without a dot are asked of others too".into());
    }
    lines.extend(dns.forwarders.iter().filter_map(forwarder));
    for host in &dns.hosts {
        lines.push(format!("{} is {}", host.names.join(", "), host.address));
    }
    for text in &dns.texts {
        lines.push(format!("{} has the text {:?}", text.name, text.values));
    }
    for it in &dns.services {
        let domain = it.domain.as_deref().unwrap_or("the domain");
        let by = match &it.target {
            Some(target) => format!("{target} port {}", it.port),
            None => "nobody".into(),
        };
        lines.push(format!(
            "{} over {} of {domain} is by {by}",
            it.service, it.protocol
        ));
    }
    lines
}

fn whole(config: &Config) -> String {
    let Dns { ttl, .. } = config.dns;
    let place = match &config.domain {
        Some(domain) => format!("leases and hosts in {domain}"),
        None => "leases and hosts, without a domain".into(),
    };
    let ttl = duration_text(ttl);
    format!("{place}, kept for {ttl} at most; the rest {}", rest(config))
}

/// Whom the rest is asked of.
fn rest(config: &Config) -> String {
    let for_all = |it: &&Forwarder| it.domain.is_none();
    let servers = config.dns.forwarders.iter().filter(for_all);
    let servers: Vec<_> = servers.filter_map(|it| asked(it.to)).collect();
    if config.interface.is_none() {
        return "is refused, since the host takes no part".into();
    }
    if !servers.is_empty() {
        return format!("is asked of {}", servers.join(", "));
    }
    match config.forward {
        Forward::Isolated => "is refused, since the network is isolated".into(),
        _ => "is asked of the host's name servers".into(),
    }
}

/// What is special about names in the domain of a forwarder that has one.
fn forwarder(it: &Forwarder) -> Option<String> {
    let domain = it.domain.as_ref()?;
    Some(match asked(it.to) {
        Some(server) => format!("names in {domain} are asked of {server}"),
        None => format!("names in {domain} are asked of nobody"),
    })
}

fn asked(whom: Whom) -> Option<String> {
    match whom {
        Whom::Server(server) => Some(server.to_string()),
        Whom::Host => Some("the host's name servers".into()),
        Whom::Nobody => None,
    }
}
