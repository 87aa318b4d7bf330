//! How OVSDB's values are written on a command line and printed
//! (ovs-vsctl(8), "Database Values").

/// `column=value` or `column:key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// As in the database: in lower case, with `_`.
    pub(super) column: String,
    /// The key, where the column is a map.
    pub(super) key: Option<String>,
    pub(super) value: String,
}

impl Setting {
    /// Reads `text`; `None` if it is no setting.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (place, rest) = split_place(text)?;
        let value = rest.strip_prefix('=')?;
        Some(Self {
            column: place.0,
            key: place.1,
            value: unquoted(value)?,
        })
    }
}

/// `column` or `column:key`; `None` if `text` is neither.
pub(super) fn place(text: &str) -> Option<(String, Option<String>)> {
    split_place(text).and_then(|(place, rest)| rest.is_empty().then_some(place))
}

/// A column's name as it stands in the database.
pub(super) fn column(text: &str) -> String {
    text.to_ascii_lowercase().replace('-', "_")
}

type Place = (String, Option<String>);

/// `column[:key]` at the start of `text`, and what is behind it.
fn split_place(text: &str) -> Option<(Place, &str)> {
    let end = text.find([':', '=']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    if name.is_empty() {
        return None;
    }
    let name = column(name);
    let Some(rest) = rest.strip_prefix(':') else {
        return Some(((name, None), rest));
    };
    if rest.starts_with('"') {
        // The end of a JSON string: its parser says where it is.
        let mut strings = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let key = strings.next()?.ok()?;
        let rest = rest.get(strings.byte_offset()..)?;
        return Some(((name, Some(key)), rest));
    }
    let (key, rest) = rest.split_at_checked(rest.find('=').unwrap_or(rest.len()))?;
    (!key.is_empty()).then(|| ((name, Some(key.to_owned())), rest))
}

/// A value: a JSON string, or the text as it stands.
fn unquoted(text: &str) -> Option<String> {
    if text.starts_with('"') {
        return serde_json::from_str(text).ok();
    }
    Some(text.to_owned())
}

/// `text` as a value is printed: in quotes unless it is a plain word
/// (`string_needs_quotes` in ovsdb-data.c).
pub(super) fn printed(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        && !["true", "false"].contains(&text)
        && !is_uuid(text);
    if plain {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

/// Whether `text` looks like a UUID (RFC 9562 §4).
fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn setting(column: &str, key: Option<&str>, value: &str) -> Option<Setting> {
        Some(Setting {
            column: column.to_owned(),
            key: key.map(str::to_owned),
            value: value.to_owned(),
        })
    }

    #[test]
    fn settings_are_read_as_libvirt_writes_them() {
        for (text, want) in [
            (
                r#"external-ids:attached-mac="52:54:00:00:00:01""#,
                setting("external_ids", Some("attached-mac"), "52:54:00:00:00:01"),
            ),
            (
                "external-ids:iface-status=active",
                setting("external_ids", Some("iface-status"), "active"),
            ),
            ("tag=42", setting("tag", None, "42")),
            ("trunk=1,2", setting("trunk", None, "1,2")),
            (
                r#"options:"a:b=c"=/run/x"#,
                setting("options", Some("a:b=c"), "/run/x"),
            ),
            (
                "external_ids:PortData=",
                setting("external_ids", Some("PortData"), ""),
            ),
            ("tag", None),
            ("=1", None),
            (":x=1", None),
            ("external_ids:=1", None),
            (r#"x="open"#, None),
        ] {
            assert_eq!(Setting::parse(text), want, "{text}");
        }
        assert_eq!(
            place("statistics:rx_bytes"),
            Some(("statistics".to_owned(), Some("rx_bytes".to_owned())))
        );
        assert_eq!(place("name"), Some(("name".to_owned(), None)));
        assert_eq!(place("name=x"), None);
    }

    #[test]
    fn what_is_no_plain_word_is_printed_in_quotes() {
        for (text, want) in [
            ("active", "active"),
            ("a.b-c_d", "a.b-c_d"),
            ("true", "\"true\""),
            ("", "\"\""),
            ("9a", "\"9a\""),
            ("52:54:00", "\"52:54:00\""),
            ("a\"b", r#""a\"b""#),
            (
                "ab8404d7-c1e4-49a2-a137-1c57c4ecb5fd",
                "\"ab8404d7-c1e4-49a2-a137-1c57c4ecb5fd\"",
            ),
        ] {
            assert_eq!(printed(text), want);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(text in "\\PC*") {
            let argument = format!("external_ids:PortData={}", printed(&text));
            prop_assert_eq!(
                Setting::parse(&argument),
                setting("external_ids", Some("PortData"), &text)
            );
        }

        #[test]
        fn no_argument_makes_the_parser_panic(text in "\\PC*") {
            let _ = (Setting::parse(&text), place(&text));
        }
    }
}
