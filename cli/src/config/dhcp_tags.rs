//! Keys that take one text or a list of texts: tags, and what they are set for.

use super::section::{Findings, Section};
use super::{InterfaceName, Problem, Value};
use std::collections::HashSet;
use toml::Spanned;
use vmlan_dhcp::tag::TagError;
use vmlan_dhcp::{Tag, TagMatch};

/// The tags that something sets: one, or a list.
pub(super) fn read_set(section: &mut Section<'_, '_, '_>) -> Vec<Tag> {
    let set = read_list(section, "set", |text| {
        text.parse()
            .map_err(|error: TagError| Problem::new(error.to_string()))
    });
    let set = set.map(Spanned::into_inner).unwrap_or_default();
    section.findings.set.extend(set.iter().cloned());
    set
}

/// The tags that something is for: one, or a list.
pub(super) fn read_tags(section: &mut Section<'_, '_, '_>) -> TagMatch {
    let wrong = || {
        Problem::new("`tag` is no tag and no list of tags")
            .help("write it as \"red\", or [\"red\", \"!blue\"] for both to hold")
    };
    let tags = section.value("tag", |value| {
        let texts: Option<Vec<&str>> = match value {
            Value::Text(text) => Some(vec![text]),
            Value::List(list) => list.iter().map(Value::as_text).collect(),
            Value::Number(_) | Value::Bool(_) => None,
        };
        TagMatch::new(texts.ok_or_else(wrong)?).map_err(|error| {
            Problem::new(error.to_string()).help("with ! in front it means: where it is not set")
        })
    });
    section.findings.tags.extend(tags.clone());
    tags.map(Spanned::into_inner).unwrap_or_default()
}

/// A tag that nothing sets is a typing error as a rule; but `vmlan host add` may
/// set it, while the network runs.
pub(super) fn check_tags(interface: Option<&InterfaceName>, findings: &mut Findings<'_>) {
    let own = interface.and_then(|name| name.as_str().parse().ok());
    let own = own
        .into_iter()
        .chain([Tag::known(), Tag::known_elsewhere()]);
    let set: HashSet<Tag> = findings.set.drain(..).chain(own).collect();
    let names: Vec<&str> = set.iter().map(Tag::as_str).collect();
    for condition in std::mem::take(&mut findings.tags) {
        let tags = condition.get_ref().tags();
        for tag in tags.filter(|tag| !set.contains(*tag)) {
            let problem = Problem::new(format!("nothing in this file sets the tag \"{tag}\""));
            let problem = match Problem::nearest(tag.as_str(), &names) {
                Some(near) => problem.help(format!("did you mean \"{near}\"?")),
                None => problem.help(format!(
                    "set = \"{tag}\" in a host, match or pool does; so does `vmlan host add … --set \
                     {tag}`"
                )),
            };
            findings.warn(condition.span(), problem);
        }
    }
}

/// One text or a list of them, each read by `parse`.
pub(super) fn read_list<T>(
    section: &mut Section<'_, '_, '_>,
    key: &'static str,
    parse: impl Fn(&str) -> Result<T, Problem>,
) -> Option<Spanned<Vec<T>>> {
    let text = |value: &Value| match value {
        Value::Text(text) => parse(text),
        other => Err(Problem::new(format!("`{key}` is {}", other.kind()))
            .help("it has to be text in quotes, or a list of such")),
    };
    section.value(key, |value| match value {
        Value::List(list) if list.is_empty() => {
            Err(Problem::new(format!("`{key}` is an empty list")).help("leave it out"))
        }
        Value::List(list) => list.iter().map(text).collect(),
        one => text(one).map(|one| vec![one]),
    })
}
