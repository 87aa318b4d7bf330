//! Tags: marks that a request gets for what its client is or where it comes
//! from, and the conditions on them under which options and ranges count.
//!
//! They are dnsmasq's: a host or a match sets them (`set:red`), a range or an
//! option asks for them (`tag:red`, `tag:!red`).
//!
//! ```
//! use vmlan_dhcp::tag::{Tag, TagMatch, Tags};
//!
//! # fn main() -> Result<(), vmlan_dhcp::tag::TagError> {
//! let red: Tag = "red".parse()?;
//! let only_red = TagMatch::new(["red", "!blue"])?;
//!
//! let mut tags = Tags::default();
//! assert!(!only_red.matches(&tags));
//! assert!(TagMatch::default().matches(&tags));
//! tags.insert(&red);
//! assert!(only_red.matches(&tags));
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// The longest name of a tag, in bytes.
const MAX_TAG: usize = 63;

/// Why a tag's name cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "'{0}' is not a tag: take 1 to {MAX_TAG} letters, digits and any of '-', '_', '.', not at its start"
)]
pub struct TagError(String);

/// The name of a tag: 1 to 63 ASCII letters, digits, `-`, `_` and `.`, the
/// first a letter or a digit. Copying one copies no text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Set for a client that one of the configured hosts is (dnsmasq's).
    #[must_use]
    pub fn known() -> Self {
        Self("known".into())
    }

    /// Set for a client that would be one of the configured hosts on another
    /// subnet than it is on (dnsmasq's).
    #[must_use]
    pub fn known_elsewhere() -> Self {
        Self("known-othernet".into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(name: &str) -> Result<Self, TagError> {
        let bytes = name.as_bytes();
        let good = (1..=MAX_TAG).contains(&bytes.len())
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b));
        if good {
            Ok(Self(name.into()))
        } else {
            Err(TagError(name.into()))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The tags of one request. There are few, so that a list serves best.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// Sets `tag`, once.
    pub fn insert(&mut self, tag: &Tag) {
        if !self.contains(tag) {
            self.0.push(tag.clone());
        }
    }

    /// Sets each of `tags`.
    pub fn insert_all<'a>(&mut self, tags: impl IntoIterator<Item = &'a Tag>) {
        for tag in tags {
            self.insert(tag);
        }
    }

    /// Whether `tag` is set.
    #[must_use]
    pub fn contains(&self, tag: &Tag) -> bool {
        self.0.contains(tag)
    }

    /// Every tag, in the order in which it was set.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.0.iter()
    }
}

/// A condition on a request's tags: all of some are set, and none of others.
/// The default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagMatch {
    all: Vec<Tag>,
    none: Vec<Tag>,
}

impl TagMatch {
    /// The condition that a list of `tag` and `!tag` makes.
    ///
    /// # Errors
    ///
    /// The first that is no tag's name.
    pub fn new<'a>(conditions: impl IntoIterator<Item = &'a str>) -> Result<Self, TagError> {
        let mut condition = Self::default();
        for text in conditions {
            match text.strip_prefix('!') {
                Some(tag) => condition.none.push(tag.parse()?),
                None => condition.all.push(text.parse()?),
            }
        }
        Ok(condition)
    }

    /// Whether the condition holds for a request with `tags`.
    #[must_use]
    pub fn matches(&self, tags: &Tags) -> bool {
        self.all.iter().all(|tag| tags.contains(tag))
            && !self.none.iter().any(|tag| tags.contains(tag))
    }

    /// Whether it asks for nothing and so holds for every request.
    #[must_use]
    pub fn is_always(&self) -> bool {
        self.all.is_empty() && self.none.is_empty()
    }

    /// Every tag that it names, be it to be set or not.
    pub fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.all.iter().chain(&self.none)
    }
}

impl fmt::Display for TagMatch {
    /// As it is written: `red !blue`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all.iter().map(|tag| ("", tag));
        let none = self.none.iter().map(|tag| ("!", tag));
        for (place, (not, tag)) in all.chain(none).enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{not}{tag}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_short_plain_word() {
        for good in ["red", "3com", "net-1", "a_b.c", &"x".repeat(63)] {
            assert_eq!(good.parse::<Tag>().unwrap().as_str(), good);
        }
        for bad in ["", "!red", "-a", "a b", "a,b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_condition_wants_all_of_some_and_none_of_others() {
        let tags = |names: &[&str]| {
            let mut tags = Tags::default();
            tags.insert_all(&names.iter().map(|n| n.parse().unwrap()).collect::<Vec<_>>());
            tags
        };
        let condition = TagMatch::new(["a", "b", "!c"]).unwrap();
        assert!(condition.matches(&tags(&["b", "a"])));
        assert!(condition.matches(&tags(&["d", "b", "a"])));
        assert!(!condition.matches(&tags(&["a"])));
        assert!(!condition.matches(&tags(&["a", "b", "c"])));
        assert!(TagMatch::default().matches(&tags(&["a"])));
        assert!(!condition.is_always() && TagMatch::default().is_always());
        assert_eq!(condition.to_string(), "a b !c");
        assert!(TagMatch::new(["a", "!"]).is_err());
    }

    #[test]
    fn a_tag_is_set_once() {
        let mut tags = Tags::default();
        tags.insert_all([&Tag::known(), &Tag::known()]);
        assert_eq!(tags.iter().collect::<Vec<_>>(), [&Tag::known()]);
    }
}
