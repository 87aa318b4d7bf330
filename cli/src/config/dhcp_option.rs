//! Options that DHCP clients are told: `[dhcp.options]` and `[[dhcp.option]]`.

use super::dhcp_tags::read_tags;
use super::section::{Findings, Section};
use super::{Problem, Value, served};
use std::collections::HashMap;
use toml::Spanned;
use vmlan_dhcp::options::Scope;
use vmlan_dhcp::tag::TagMatch;

/// An option as the file has it. What it means is known to the DHCP server;
/// with the places kept here its error can still be located
/// ([`Source::error`](super::Source::error)). Two options are equal wherever
/// they stand.
#[derive(Debug, Clone, PartialEq)]
pub struct DhcpOption {
    /// A name, as `ntp-server`, or a number.
    pub key: Spanned<String>,
    /// What is sent.
    pub value: Spanned<Value>,
    /// Whether it stands by itself or inside of another option.
    pub scope: Scope,
    /// Which requests it is for.
    pub tags: TagMatch,
    /// Whether it is sent to those who do not ask for it too.
    pub force: bool,
}

/// The options of `[dhcp.options]`, for every client that asks.
pub(super) fn read_options(mut section: Section<'_, '_, '_>) -> Vec<DhcpOption> {
    let list = section.rest();
    let option = |(key, value)| DhcpOption {
        key,
        value,
        scope: Scope::default(),
        tags: TagMatch::default(),
        force: false,
    };
    list.into_iter().map(option).collect()
}

/// One `[[dhcp.option]]`.
pub(super) fn read_option(mut section: Section<'_, '_, '_>) -> Option<DhcpOption> {
    let span = section.span();
    let key = section.value("option", |value| match value {
        Value::Text(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(Problem::new(format!("`option` is {}", other.kind()))
            .help("it has to be a name, as \"ntp-server\", or a number from 1 to 254")),
    });
    let value = section.value("value", |value| Ok(value.clone()));
    let tags = read_tags(&mut section);
    let force = section.boolean("force");
    let vendor = section.text("vendor-class", |class| Ok(class.to_owned()));
    let enterprise = section.number("enterprise", 0..=u32::MAX);
    for (wanted, help) in [
        ("option", "add option = \"…\", its name or number"),
        ("value", "add value = …; an empty text has it not sent"),
    ] {
        if !section.has(wanted) {
            let problem = Problem::new(format!("this option has no `{wanted}`")).help(help);
            section.findings.error(span.clone(), problem);
        }
    }
    if let (Some(_), Some(enterprise)) = (&vendor, &enterprise) {
        let problem = Problem::new("this option has both `vendor-class` and `enterprise`").help(
            "keep vendor-class for one inside of option 43, enterprise for one of option 125",
        );
        section.findings.error(enterprise.span(), problem);
    }
    section.end();
    Some(DhcpOption {
        key: key?,
        value: value?,
        scope: match (vendor, enterprise) {
            (Some(class), _) => Scope::Vendor(class.into_inner()),
            (None, Some(number)) => Scope::Enterprise(number.into_inner()),
            (None, None) => Scope::Message,
        },
        tags,
        force: force.is_some_and(Spanned::into_inner),
    })
}

/// Options have to be known to the server, each once for the same tags.
pub(super) fn check_options(list: &[DhcpOption], findings: &mut Findings<'_>) {
    let mut seen = HashMap::new();
    for option in list {
        match served::option(option, served::ANY_GATEWAY) {
            Ok(setting) => {
                let (code, tags) = (setting.code, setting.tags.to_string());
                let same = (setting.scope, code, tags.clone());
                if let Some(first) = seen.insert(same, option.key.span()) {
                    let line = findings.line(&first);
                    let tags = match tags.as_str() {
                        "" => String::new(),
                        tags => format!(" for the tags {tags}"),
                    };
                    let problem = Problem::new(format!(
                        "option {code} stands in line {line} already{tags}, by number or by name"
                    ))
                    .help("keep one of the two, or give them different tags");
                    findings.error(option.key.span(), problem);
                }
            }
            Err((span, problem)) => findings.error(span, problem),
        }
    }
}
