//! An option with the conditions on which a client gets it.

use crate::hash::HashSet;
use thiserror::Error;

use super::{MAX_ENCAPSULATED, is_computed};
use crate::tag::{TagMatch, Tags};

/// Where an option stands in a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Among the options.
    #[default]
    Message,
    /// Inside of option 43, for clients whose vendor class (option 60) has this
    /// text in it: dnsmasq's `vendor:`.
    Vendor(String),
    /// Inside of option 125, under this enterprise's number (RFC 3925 §4):
    /// dnsmasq's `vi-encap:`.
    Enterprise(u32),
}

/// An option that clients are told, and which.
///
/// Of several settings of one option the last whose tags match counts, those
/// with tags before those without, as in dnsmasq.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    /// Where it stands.
    pub scope: Scope,
    /// The option's code, or the sub-option's.
    pub code: u8,
    /// In wire form, as [`encode`](super::encode) makes it; with an empty one
    /// the option is not sent.
    pub value: Vec<u8>,
    /// Which requests it is for.
    pub tags: TagMatch,
    /// Whether it is sent to clients that do not ask for it too: dnsmasq's
    /// `dhcp-option-force`.
    pub force: bool,
}

impl From<(u8, Vec<u8>)> for Setting {
    /// For every client that asks.
    fn from((code, value): (u8, Vec<u8>)) -> Self {
        Self {
            code,
            value,
            ..Self::default()
        }
    }
}

impl Setting {
    /// Of `settings` of one option, the one that counts for `tags`.
    pub(crate) fn choose<'a>(
        settings: impl DoubleEndedIterator<Item = &'a Self>,
        tags: &Tags,
    ) -> Option<&'a Self> {
        let mut for_all = None;
        for setting in settings.rev() {
            if setting.tags.is_always() {
                for_all = for_all.or(Some(setting));
            } else if setting.tags.matches(tags) {
                return Some(setting);
            }
        }
        for_all
    }
}

/// Why settings cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingError {
    /// One that the server fills in itself.
    #[error("option {0} is computed by the server and cannot be set")]
    Reserved(u8),
    /// Two for the same clients.
    #[error("option {0} is set twice for the same tags: keep one")]
    Twice(u8),
    /// A sub-option that no option has room for.
    #[error("sub-option {code} has {length} bytes, but {MAX_ENCAPSULATED} are the most")]
    Long {
        /// The sub-option.
        code: u8,
        /// Bytes of its value.
        length: usize,
    },
    /// A renewal time that is none.
    #[error("option {0} has to be a time in four bytes")]
    Time(u8),
}

/// Checks that `settings` can be served together.
pub(crate) fn check(settings: &[Setting]) -> Result<(), SettingError> {
    let mut seen = HashSet::default();
    for setting in settings {
        let Setting { code, value, .. } = setting;
        match setting.scope {
            Scope::Message if is_computed(*code) => return Err(SettingError::Reserved(*code)),
            Scope::Message if matches!(code, 58 | 59) && !matches!(value.len(), 0 | 4) => {
                return Err(SettingError::Time(*code));
            }
            Scope::Message => {}
            _ if matches!(code, 0 | 255) => return Err(SettingError::Reserved(*code)),
            _ if value.len() > MAX_ENCAPSULATED => {
                return Err(SettingError::Long {
                    code: *code,
                    length: value.len(),
                });
            }
            _ => {}
        }
        if !seen.insert((&setting.scope, code, setting.tags.to_string())) {
            return Err(SettingError::Twice(*code));
        }
    }
    Ok(())
}
