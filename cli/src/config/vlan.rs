//! The number of a VLAN.

use super::Problem;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A VLAN identifier: 1 to 4094, or 0 for no VLAN (IEEE 802.1Q §9.6; 4095 is
/// reserved).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Vlan(u16);

impl Vlan {
    /// The last one there is.
    const LAST: u16 = 4094;

    /// The number, 0 for none.
    #[must_use]
    pub fn id(self) -> u16 {
        self.0
    }
}

fn refused(what: impl fmt::Display) -> Problem {
    Problem::new(format!("{what} is no VLAN"))
        .help(format!("use 1 to {}, or 0 for none", Vlan::LAST))
}

impl TryFrom<u16> for Vlan {
    type Error = Problem;

    fn try_from(id: u16) -> Result<Self, Problem> {
        (id <= Self::LAST)
            .then_some(Self(id))
            .ok_or_else(|| refused(id))
    }
}

impl From<Vlan> for u16 {
    fn from(vlan: Vlan) -> Self {
        vlan.0
    }
}

impl FromStr for Vlan {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let id: u16 = text
            .parse()
            .map_err(|_| refused(format_args!("{text:?}")))?;
        id.try_into()
    }
}

impl fmt::Display for Vlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_number_and_more_are_refused() {
        for (text, id) in [("0", 0), ("1", 1), ("4094", 4094)] {
            assert_eq!(text.parse::<Vlan>().unwrap().id(), id);
            assert_eq!(serde_json::from_str::<Vlan>(text).unwrap().id(), id);
        }
        for text in ["4095", "65535", "65536", "-1", "x", ""] {
            assert!(text.parse::<Vlan>().is_err(), "{text}");
            assert!(serde_json::from_str::<Vlan>(text).is_err(), "{text}");
        }
    }
}
