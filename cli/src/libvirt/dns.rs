//! `<dns>` of a description, as far as vmlan knows it, and what `<domain>` says of
//! names.

use super::reader::Reader;
use super::xml::number;
use crate::config::Problem;
use roxmltree::Node;
use toml::Spanned;

/// `<dns>`
#[derive(Debug)]
pub struct Dns {
    /// Whether the network has a name server of its own: `enable`.
    pub enabled: bool,
    /// `forwardPlainNames`, where it is there.
    pub forward_plain_names: Option<Spanned<bool>>,
    /// Each `<forwarder>`: its `domain` and its `addr`.
    pub forwarders: Vec<Spanned<(Option<String>, Option<String>)>>,
    /// Each `<host>`: its address and its `<hostname>`s.
    pub hosts: Vec<Spanned<(String, Vec<String>)>>,
    /// Each `<txt>`: its name and its text.
    pub texts: Vec<Spanned<(String, String)>>,
    /// Each `<srv>`.
    pub services: Vec<Spanned<Service>>,
}

impl Default for Dns {
    /// That of a description which says nothing of it.
    fn default() -> Self {
        Self {
            enabled: true,
            forward_plain_names: None,
            forwarders: Vec::new(),
            hosts: Vec::new(),
            texts: Vec::new(),
            services: Vec::new(),
        }
    }
}

/// `<srv>`
#[derive(Debug, Default)]
pub struct Service {
    /// `service`, or `name` in old descriptions.
    pub service: String,
    /// `protocol`
    pub protocol: String,
    /// `domain`
    pub domain: Option<String>,
    /// `target`
    pub target: Option<String>,
    /// `port`, `priority` and `weight`.
    pub numbers: [Option<u16>; 3],
}

/// The names of [`Service::numbers`].
pub(super) const NUMBERS: [&str; 3] = ["port", "priority", "weight"];

/// Reads what is below `root`.
pub(super) fn read<'d, 's>(root: Node<'d, 's>, reader: &mut Reader<'s, 'd>) -> Dns {
    let Some(node) = reader.child(root, "dns") else {
        return Dns::default();
    };
    let text = |reader: &mut Reader<'s, 'd>, node, name| {
        reader.attribute(node, name).map(Spanned::into_inner)
    };
    let enabled = text(reader, node, "enable");
    let plain = reader.parsed(node, "forwardPlainNames", yes_or_no);
    let mut dns = Dns {
        enabled: enabled.is_none_or(|it| it != "no"),
        forward_plain_names: plain,
        ..Dns::default()
    };
    for node in reader.children(node, "forwarder") {
        let (domain, address) = (text(reader, node, "domain"), text(reader, node, "addr"));
        dns.forwarders
            .push(Spanned::new(node.range(), (domain, address)));
    }
    for node in reader.children(node, "host") {
        let address = text(reader, node, "ip");
        let names = reader.children(node, "hostname");
        let names = names.into_iter().map(|it| reader.text(it).into_inner());
        let host = (address.unwrap_or_default(), names.collect());
        dns.hosts.push(Spanned::new(node.range(), host));
    }
    for node in reader.children(node, "txt") {
        let (name, value) = (text(reader, node, "name"), text(reader, node, "value"));
        let value = (name.unwrap_or_default(), value.unwrap_or_default());
        dns.texts.push(Spanned::new(node.range(), value));
    }
    for node in reader.children(node, "srv") {
        let service = text(reader, node, "service").or_else(|| text(reader, node, "name"));
        let protocol = text(reader, node, "protocol");
        let numbers = NUMBERS.map(|name| {
            let number = reader.parsed(node, name, number);
            number.map(Spanned::into_inner)
        });
        let service = Service {
            service: service.unwrap_or_default(),
            protocol: protocol.unwrap_or_default(),
            domain: text(reader, node, "domain"),
            target: text(reader, node, "target"),
            numbers,
        };
        dns.services.push(Spanned::new(node.range(), service));
    }
    dns
}

/// `yes` or `no`.
pub(super) fn yes_or_no(text: &str) -> Result<bool, Problem> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => {
            Err(Problem::new(format!("{other:?} is neither yes nor no")).help("write one of them"))
        }
    }
}
