//! What a client boots from the network.

use std::net::Ipv4Addr;

use thiserror::Error;

use super::Architecture;
use crate::tag::{TagMatch, Tags};

/// The longest server name: the field `sname` less its final zero.
const MAX_SERVER_NAME: usize = 63;
/// The longest file name or URI: an option less its final zero (RFC 2132
/// §9.5). Up to 127 bytes fit into the field `file`.
const MAX_FILENAME: usize = 254;

/// What a client is told to boot, and which: dnsmasq's `dhcp-boot`.
///
/// Of several the last that is for the client counts, those with a condition
/// before those without. What is missing in it is taken from the last without a
/// condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boot {
    /// The architectures that it is for; none: for all.
    pub architectures: Vec<Architecture>,
    /// Which requests it is for.
    pub tags: TagMatch,
    /// The file, or a URI for HTTP boot (UEFI specification §24.7).
    pub filename: Option<String>,
    /// The server that has the file; none: this one.
    pub next_server: Option<Ipv4Addr>,
    /// Its name, which few clients read.
    pub server_name: Option<String>,
}

/// Why a [`Boot`] cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BootError {
    /// More than an option has room for, or none.
    #[error("boot file name '{0}' has to have 1 to {MAX_FILENAME} bytes, none of them zero")]
    Filename(String),
    /// More than its field has room for, or none.
    #[error("boot server name '{0}' has to have 1 to {MAX_SERVER_NAME} bytes, none of them zero")]
    ServerName(String),
}

impl Boot {
    /// Checks that it can be sent.
    ///
    /// # Errors
    ///
    /// A name is empty or too long, or has a zero in it.
    pub fn check(&self) -> Result<(), BootError> {
        let fits = |text: &str, most| (1..=most).contains(&text.len()) && !text.contains('\0');
        match (&self.filename, &self.server_name) {
            (Some(name), _) if !fits(name, MAX_FILENAME) => Err(BootError::Filename(name.clone())),
            (_, Some(name)) if !fits(name, MAX_SERVER_NAME) => {
                Err(BootError::ServerName(name.clone()))
            }
            _ => Ok(()),
        }
    }

    fn is_always(&self) -> bool {
        self.architectures.is_empty() && self.tags.is_always()
    }

    /// Whether it is for a client with `tags` that can boot as `architectures`.
    fn is_for(&self, architectures: &[u16], tags: &Tags) -> bool {
        let own = &self.architectures;
        (own.is_empty() || own.iter().any(|own| own.is_among(architectures)))
            && self.tags.matches(tags)
    }

    /// What a client with `tags` boots that can boot as `architectures`.
    pub(crate) fn choose<'a>(boots: &'a [Self], architectures: &[u16], tags: &Tags) -> Chosen<'a> {
        let always = boots.iter().rfind(|boot| boot.is_always());
        let special = boots
            .iter()
            .rfind(|boot| !boot.is_always() && boot.is_for(architectures, tags));
        let both = || special.into_iter().chain(always);
        Chosen {
            filename: both().find_map(|boot| boot.filename.as_deref()),
            next_server: both().find_map(|boot| boot.next_server),
            server_name: both().find_map(|boot| boot.server_name.as_deref()),
        }
    }
}

/// What one client boots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Chosen<'a> {
    pub(crate) filename: Option<&'a str>,
    pub(crate) next_server: Option<Ipv4Addr>,
    pub(crate) server_name: Option<&'a str>,
}

impl Chosen<'_> {
    /// Whether the file is fetched by HTTP.
    pub(crate) fn is_http(&self) -> bool {
        self.filename.is_some_and(|name| {
            let scheme = name.split_once("://").map(|(scheme, _)| scheme);
            scheme
                .is_some_and(|s| s.eq_ignore_ascii_case("http") || s.eq_ignore_ascii_case("https"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(architecture: &str, tag: &str, filename: &str) -> Boot {
        let architectures = architecture.split(' ').filter(|a| !a.is_empty());
        Boot {
            architectures: architectures.map(|a| a.parse().unwrap()).collect(),
            tags: TagMatch::new(tag.split(' ').filter(|t| !t.is_empty())).unwrap(),
            filename: Some(filename.into()),
            ..Boot::default()
        }
    }

    #[test]
    fn the_last_whose_conditions_hold_counts_before_those_without() {
        let boots = [
            boot("x86_64-efi", "", "efi"),
            boot("", "red", "red"),
            boot("x86_64-efi 0", "red", "both"),
            boot("", "", "any"),
        ];
        let mut red = Tags::default();
        red.insert(&"red".parse().unwrap());
        let none = Tags::default();
        let file = |architectures: &[u16], tags| Boot::choose(&boots, architectures, tags).filename;
        assert_eq!(file(&[7], &none), Some("efi"));
        assert_eq!(file(&[0], &red), Some("both"));
        assert_eq!(file(&[], &red), Some("red"));
        assert_eq!(file(&[11], &none), Some("any"));
    }

    #[test]
    fn what_is_missing_is_taken_from_the_one_for_all() {
        let all = Boot {
            next_server: Some([10, 0, 0, 1].into()),
            server_name: Some("tftp".into()),
            ..boot("", "", "any")
        };
        let boots = [all, boot("16", "", "HTTP://10.0.0.2/boot.efi")];
        let chosen = Boot::choose(&boots, &[16], &Tags::default());
        assert!(chosen.is_http());
        assert_eq!(chosen.next_server, Some([10, 0, 0, 1].into()));
        assert_eq!(chosen.server_name, Some("tftp"));
    }

    #[test]
    fn a_name_has_to_fit() {
        let mut boot = boot("", "", &"x".repeat(254));
        assert_eq!(boot.check(), Ok(()));
        for bad in ["", &"x".repeat(255), "a\0b"] {
            boot.filename = Some(bad.into());
            assert_eq!(boot.check(), Err(BootError::Filename(bad.into())));
        }
        boot.filename = None;
        boot.server_name = Some("x".repeat(64));
        assert!(matches!(boot.check(), Err(BootError::ServerName(_))));
    }
}
