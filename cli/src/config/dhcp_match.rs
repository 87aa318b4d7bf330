//! What requests are marked for, `[[dhcp.match]]`.

use super::dhcp_boot::architecture;
use super::dhcp_host::mac_pattern;
use super::dhcp_tags::{read_set, read_tags};
use super::section::Section;
use super::{Problem, Value, served};
use toml::Spanned;
use vmlan_dhcp::{Condition, HostKey, Match, leasefile};

/// How a value becomes a condition.
type Make<T> = fn(T) -> Condition;

/// One `[[dhcp.match]]`.
pub(super) fn read_match(mut section: Section<'_, '_, '_>) -> Option<Match> {
    let span = section.span();
    let mut conditions = Vec::new();
    let texts: [(_, Make<String>); 3] = [
        ("port", Condition::Port),
        ("vendor-class", Condition::VendorClass),
        ("user-class", Condition::UserClass),
    ];
    for (key, condition) in texts {
        let text = section.text(key, |text| not_empty(key, text).map(str::to_owned));
        conditions.extend(text.map(|text| condition(text.into_inner())));
    }
    let ids: [(_, Make<Vec<u8>>); 3] = [
        ("circuit-id", Condition::CircuitId),
        ("remote-id", Condition::RemoteId),
        ("subscriber-id", Condition::SubscriberId),
    ];
    for (key, condition) in ids {
        let id = section.text(key, |text| not_empty(key, text).map(bytes));
        conditions.extend(id.map(|id| condition(id.into_inner())));
    }
    let mac = section.text("mac", |text| match mac_pattern(text)? {
        HostKey::Mac(pattern) => Ok(pattern),
        HostKey::ClientId(_) | HostKey::Name(_) => Err(Problem::new("`mac` is no MAC address")),
    });
    conditions.extend(mac.map(|mac| Condition::Mac(mac.into_inner())));
    let arch = section.value("arch", architecture);
    conditions.extend(arch.map(|arch| Condition::Architecture(arch.into_inner())));
    conditions.extend(read_sent(&mut section));
    let tags = read_tags(&mut section);
    if !tags.is_always() {
        conditions.push(Condition::Tags(tags));
    }
    let set = read_set(&mut section);
    let ignore = section.boolean("ignore").is_some_and(Spanned::into_inner);
    if !CONDITIONS.iter().any(|key| section.has(key)) {
        let problem = Problem::new("this match asks for nothing")
            .help("add what it is for, as vendor-class = \"PXEClient\" or port = \"vnet*\"");
        section.findings.error(span.clone(), problem);
    }
    if !section.has("set") && !ignore {
        let problem = Problem::new("this match does nothing")
            .help("add set = \"…\", a tag for options and pools, or ignore = true");
        section.findings.error(span, problem);
    }
    section.end();
    Some(Match {
        conditions,
        set,
        ignore,
    })
}

/// The keys that are conditions.
const CONDITIONS: [&str; 10] = [
    "port",
    "vendor-class",
    "user-class",
    "circuit-id",
    "remote-id",
    "subscriber-id",
    "mac",
    "arch",
    "option",
    "tag",
];

/// `option` and `value`: what the client sends.
fn read_sent(section: &mut Section<'_, '_, '_>) -> Option<Condition> {
    let key = section.value("option", |value| match value {
        Value::Text(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(Problem::new(format!("`option` is {}", other.kind()))
            .help("it has to be a name, as \"vendor-class\", or a number from 1 to 254")),
    });
    let value = section.value("value", |value| Ok(value.clone()));
    if let Some(value) = value.as_ref().filter(|_| !section.has("option")) {
        let problem =
            Problem::new("`value` stands without `option`").help("say which option has to have it");
        section.findings.error(value.span(), problem);
    }
    let key = key?;
    match served::sent(&key, value.as_ref()) {
        Ok((code, value)) => Some(Condition::Option { code, value }),
        Err((at, problem)) => {
            section.findings.error(at, problem);
            None
        }
    }
}

fn not_empty<'t>(key: &str, text: &'t str) -> Result<&'t str, Problem> {
    if text.is_empty() {
        return Err(Problem::new(format!("`{key}` is empty")).help("leave it out"));
    }
    Ok(text)
}

/// Bytes in hex with colons where it is that, else the text itself.
fn bytes(text: &str) -> Vec<u8> {
    let hex = text.contains(':').then(|| leasefile::parse_hex(text));
    hex.flatten().unwrap_or_else(|| text.as_bytes().to_vec())
}
