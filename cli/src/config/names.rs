//! Names that a user gives: of a network, a netdev, a port.

use super::Problem;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The longest name of a netdev in bytes: `IFNAMSIZ` without its final zero
/// (`linux/if.h`). Networks and ports keep to it too.
pub const MAX_NAME: usize = 15;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Problem;

            fn from_str(text: &str) -> Result<Self, Problem> {
                $check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Problem;

            fn try_from(text: String) -> Result<Self, Problem> {
                $check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// Name of a network: 1 to 15 of `a-z`, `0-9` and `-`.
    NetworkName, check_network
}

name! {
    /// Name of a netdev, as the kernel takes it (`dev_valid_name` in
    /// `net/core/dev.c`), in printable ASCII.
    InterfaceName, check_interface
}

name! {
    /// Name of a port: 1 to 15 of `A-Z`, `a-z`, `0-9`, `_`, `.` and `-`.
    PortName, check_port
}

impl NetworkName {
    /// The network that all commands mean when none is named.
    pub const DEFAULT: &str = "default";

    /// Whether this is the network `default`, which has built-in settings.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0 == Self::DEFAULT
    }
}

impl Default for NetworkName {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl InterfaceName {
    /// The host's own interface where the configuration names none.
    pub const DEFAULT: &str = "vmlan0";
}

impl Default for InterfaceName {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl From<PortName> for InterfaceName {
    /// Every port name is a valid name of a netdev.
    fn from(name: PortName) -> Self {
        Self(name.0)
    }
}

fn check_network(text: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(Problem::new(format!("{text:?} is no name for a network"))
        .help("use 1 to 15 of the characters a-z, 0-9 and -"))
}

fn check_interface(text: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
    if (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(allowed)
        && !matches!(text, "." | "..")
    {
        return check_sysctl(text);
    }
    Err(
        Problem::new(format!("{text:?} is no name for a network interface"))
            .help("use 1 to 15 printable characters without space, /, : and %"),
    )
}

/// A netdev has its settings at `net.ipv4.conf.NAME`, where two names mean
/// others than one netdev (`Documentation/networking/ip-sysctl.rst`).
fn check_sysctl(text: &str) -> Result<(), Problem> {
    if matches!(text, "all" | "default") {
        return Err(Problem::new(format!(
            "{text:?} stands for other netdevs in the kernel's settings"
        ))
        .help("use another name"));
    }
    Ok(())
}

fn check_port(text: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(allowed)
        && !matches!(text, "." | "..")
    {
        return check_sysctl(text);
    }
    Err(Problem::new(format!("{text:?} is no name for a port"))
        .help("use 1 to 15 of the characters A-Z, a-z, 0-9, _, . and -"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_rules() {
        for good in ["default", "a", "lab-2", "abcdefghijklmno"] {
            assert!(good.parse::<NetworkName>().is_ok(), "{good}");
        }
        for bad in ["", "Lab", "a_b", "abcdefghijklmnop", "../x", "ä"] {
            assert!(bad.parse::<NetworkName>().is_err(), "{bad}");
        }
        for good in ["eth0", "br-1.5", "veth@x"] {
            assert!(good.parse::<InterfaceName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "tap%d",
            "abcdefghijklmnop",
            "all",
            "default",
        ] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad}");
        }
        for bad in ["", "..", "a/b", "a@b", "a\nb", "all", "default"] {
            assert!(bad.parse::<PortName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_name_is_shown_escaped() {
        let problem = "a\u{1b}[31m".parse::<PortName>().unwrap_err();
        assert!(!problem.to_string().contains('\u{1b}'));
    }
}
