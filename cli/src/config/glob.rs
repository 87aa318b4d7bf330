//! Patterns for names of netdevs, as `vnet*`.

use super::{InterfaceName, Problem};
use std::fmt;
use std::str::FromStr;
use vmlan_dhcp::glob;

/// A pattern for a name: `*` stands for any characters, `?` for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The netdevs that libvirt makes for its guests.
    #[must_use]
    pub fn libvirt() -> Self {
        Self("vnet*".to_owned())
    }

    /// Whether the whole of `name` fits the pattern.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        glob::matches(self.0.as_bytes(), name.as_bytes())
    }
}

impl FromStr for Pattern {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        // A pattern is as long as a name can be, plus a star at each end.
        let sample = text.replace('*', "").replace('?', "x");
        let fits = sample.is_empty() || sample.parse::<InterfaceName>().is_ok();
        if text.is_empty() || text.len() > 32 || !fits {
            return Err(
                Problem::new(format!("{text:?} matches no name of a netdev"))
                    .help("write a pattern such as \"vnet*\" or \"tap?\""),
            );
        }
        if sample.is_empty() {
            return Err(
                Problem::new(format!("{text:?} would take every netdev of this machine"))
                    .help("write the start of the names, as in \"vnet*\""),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(name)
    }

    #[test]
    fn stars_and_question_marks_match() {
        assert!(fits("vnet*", "vnet0"));
        assert!(!fits("vnet*", "avnet0"));
        assert!(fits("tap?", "tap1"));
        assert!(fits("eth0", "eth0"));
    }

    #[test]
    fn a_pattern_for_every_netdev_or_none_is_refused() {
        for bad in ["", "*", "**", "a/*", "a b*", "abcdefghijklmnop*"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
