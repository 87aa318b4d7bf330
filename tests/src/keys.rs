//! A configuration that is changed key by key.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A configuration by its keys, `SECTION.KEY`, with tables that come last.
#[derive(Debug, Clone)]
pub struct Keys {
    keys: BTreeMap<String, String>,
    /// `[[port]]` and the like.
    pub tables: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

impl Keys {
    /// An isolated network of two TAP ports.
    #[must_use]
    pub fn new() -> Self {
        let mut keys = Self {
            keys: BTreeMap::new(),
            tables: String::new(),
        };
        keys.set("name", "\"lab\"");
        keys.set("address", "\"192.168.122.1/24\"");
        keys.set("forward", "\"isolated\"");
        keys.set("dhcp.lease-time", "\"1h\"");
        keys.tables = port("c1", "") + &port("c2", "");
        keys
    }

    /// Sets `key`, or without a value takes it out.
    pub fn set(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            self.keys.remove(key);
        } else {
            self.keys.insert(key.to_owned(), value.to_owned());
        }
    }

    /// The file.
    #[must_use]
    pub fn text(&self) -> String {
        let (mut root, mut sections) = (String::new(), BTreeMap::<&str, String>::new());
        for (key, value) in &self.keys {
            let (text, key) = match key.split_once('.') {
                Some((section, key)) => (sections.entry(section).or_default(), key),
                None => (&mut root, key.as_str()),
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "{key} = {value}");
        }
        for (section, keys) in sections {
            let _ = write!(root, "\n[{section}]\n{keys}");
        }
        root + &self.tables
    }
}

/// A `[[port]]`: a TAP called `name`, with `more` keys.
#[must_use]
pub fn port(name: &str, more: &str) -> String {
    format!("\n[[port]]\nname = \"{name}\"\nkind = \"tap\"\n{more}\n")
}
