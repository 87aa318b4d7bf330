//! Keys that take one text or a list of texts: tags, and what they are set for.

use super::section::Section;
use super::{Problem, Value};
use toml::Spanned;
use vmlan_dhcp::Tag;

/// The tags that something sets: one, or a list.
pub(super) fn read_set(section: &mut Section<'_, '_, '_>) -> Vec<Tag> {
    read_list(section, "set", |text| {
        text.parse()
            .map_err(|error: vmlan_dhcp::tag::TagError| Problem::new(error.to_string()))
    })
    .map(Spanned::into_inner)
    .unwrap_or_default()
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
