//! Which log lines are written.

use crate::config::Problem;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The levels, from none to all.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A level for all modules, one for each of some modules, or both, with commas
/// between: `info`, `warn,vmlan::daemon::dhcp=debug`. Modules that it does not
/// name have the level without a module, or none (`off`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogFilter(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    module: Option<String>,
    level: LevelFilter,
}

impl Default for LogFilter {
    /// `info`.
    fn default() -> Self {
        Self(vec![Part {
            module: None,
            level: LevelFilter::INFO,
        }])
    }
}

impl LogFilter {
    /// As the layer wants it.
    pub(super) fn targets(&self) -> Targets {
        self.0
            .iter()
            .fold(Targets::new(), |targets, part| match &part.module {
                Some(module) => targets.with_target(module.as_str(), part.level),
                None => targets.with_default(part.level),
            })
    }
}

impl FromStr for LogFilter {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let parts: Result<Vec<Part>, Problem> = text.split(',').map(part).collect();
        parts.map(Self)
    }
}

fn part(text: &str) -> Result<Part, Problem> {
    let (module, level) = match text.split_once('=') {
        Some((module, level)) => (Some(self::module(module.trim())?), level),
        None => (None, text),
    };
    let level = level.trim();
    let level = match LEVELS.contains(&level) {
        // All of these are levels.
        true => level.parse().ok(),
        false => None,
    };
    match level {
        Some(level) => Ok(Part { module, level }),
        None => {
            let said = text.rsplit('=').next().unwrap_or_default().trim();
            Err(Problem::unknown_word("log level", said, &LEVELS))
        }
    }
}

/// A module of Rust: names joined by `::`.
fn module(text: &str) -> Result<String, Problem> {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if text.split("::").all(is_name) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("{text:?} is no module"))
        .help("give one as MODULE=LEVEL, such as vmlan::daemon::dhcp=debug"))
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Part { module, level }) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            match module {
                Some(module) => write!(f, "{module}={level}")?,
                None => write!(f, "{level}")?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for LogFilter {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self, Problem> {
        text.parse()
    }
}

impl From<LogFilter> for String {
    fn from(filter: LogFilter) -> Self {
        filter.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_filter_is_read_and_shown() {
        for text in ["info", "off", "warn,vmlan::daemon::dhcp=debug,vmlan=trace"] {
            let filter: LogFilter = text.parse().unwrap();
            assert_eq!(filter.to_string(), text);
        }
        let spaced: LogFilter = "warn, vmlan = debug".parse().unwrap();
        assert_eq!(spaced.to_string(), "warn,vmlan=debug");
    }

    #[test]
    fn a_module_has_its_own_level_and_the_others_that_of_all() {
        let filter: LogFilter = "warn,vmlan::daemon=debug".parse().unwrap();
        let targets = filter.targets();
        assert!(targets.would_enable("vmlan::daemon::dhcp", &Level::DEBUG));
        assert!(!targets.would_enable("vmlan::host", &Level::INFO));
        assert!(targets.would_enable("vmlan::host", &Level::WARN));
        let off: LogFilter = "off".parse().unwrap();
        assert!(!off.targets().would_enable("vmlan", &Level::ERROR));
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_mend() {
        let said = |text: &str| text.parse::<LogFilter>().unwrap_err().to_string();
        assert!(said("debgu").contains("debug"), "{}", said("debgu"));
        assert!(
            said("vmlan=loud").contains("\"loud\""),
            "{}",
            said("vmlan=loud")
        );
        assert!(
            said("a b=debug").contains("no module"),
            "{}",
            said("a b=debug")
        );
        for text in ["", ",", "info,", "=info", "vmlan=", "vmlan[span]=info"] {
            assert!(text.parse::<LogFilter>().is_err(), "{text:?}");
        }
    }
}
