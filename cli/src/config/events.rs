//! The tables `[events]` and `[log]`: what is told of the network.

use super::section::Section;
use crate::log::LogFilter;
use toml::Spanned;

/// From when on something is an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Events {
    /// Frames that a port may drop a second for one reason; 0: any number.
    pub drops: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self { drops: 100 }
    }
}

impl Events {
    pub(super) fn read(mut section: Section<'_, '_, '_>) -> Self {
        let default = Self::default();
        let drops = section.number("drops", 0..=1_000_000_000);
        section.end();
        Self {
            drops: drops.map_or(default.drops, Spanned::into_inner),
        }
    }
}

/// The filter under `[log]`, if it has one.
pub(super) fn read_log(mut section: Section<'_, '_, '_>) -> Option<LogFilter> {
    let level = section.text("level", str::parse);
    section.end();
    level.map(Spanned::into_inner)
}
