//! A configuration in the making: text in parts, each with what it came from.
//! vmlan's own check decides whether a part can stay, so that a description
//! which dnsmasq would take and vmlan would not is not a failure as a whole.

use super::translate::Left;
use crate::config::{ConfigError, Loaded, NetworkName, Source};
use std::ops::Range;
use std::path::Path;

/// How often parts are taken out before the whole is given up: some 20 each
/// time. A description is not wrong in so many places by mistake, and each time
/// all of it is read again.
const MAX_ROUNDS: usize = 25;

/// A piece of TOML: whole lines, with a newline at the end.
#[derive(Debug)]
struct Part {
    text: String,
    origin: Option<Origin>,
}

/// What a part came from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// As a reader of the description knows it.
    pub(super) what: String,
    /// Its place in the description.
    pub(super) span: Range<usize>,
    /// Whether there is no network without it.
    pub(super) essential: bool,
}

/// The parts, in their order.
#[derive(Debug, Default)]
pub(super) struct Parts(Vec<Part>);

impl Parts {
    /// Adds text that is right in any case.
    pub(super) fn push(&mut self, text: impl Into<String>) {
        self.0.push(Part {
            text: text.into(),
            origin: None,
        });
    }

    /// Adds text that came from `origin`.
    pub(super) fn push_from(&mut self, origin: Origin, text: impl Into<String>) {
        self.0.push(Part {
            text: text.into(),
            origin: Some(origin),
        });
    }

    /// The text, and whether a line of it (from 1) belongs to which part.
    fn text(&self) -> String {
        self.0.iter().map(|part| part.text.as_str()).collect()
    }

    /// The bytes of the text that each part is, and of the description that it
    /// came from.
    fn places(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let mut end = 0;
        let places = self.0.iter().filter_map(|part| {
            let start = end;
            end += part.text.len();
            Some((start..end, part.origin.as_ref()?.span.clone()))
        });
        places.collect()
    }

    /// The number of the part that holds `line`, counted from 1.
    fn part_of(&self, line: usize) -> Option<usize> {
        let mut last = 0;
        self.0.iter().position(|part| {
            last += part.text.lines().count();
            line <= last
        })
    }

    /// The whole configuration of the network `name`, and what of it vmlan
    /// refuses. `source` is the description.
    ///
    /// # Errors
    /// Something essential is refused, or a part that should be right, or very
    /// many.
    pub(super) fn finish(
        mut self,
        name: &NetworkName,
        source: &Source,
    ) -> Result<(Source, Vec<Left>), ConfigError> {
        let mut left = Vec::new();
        let mut rounds = 0;
        loop {
            let text = self.text();
            // Only its own text is shown, with places of the description.
            let made = Path::new("what is made of it");
            let Err(error) = Loaded::parse(made, &text, Some(name)) else {
                return Ok((Source::made_of(source, &text, self.places()), left));
            };
            let mut refused: Vec<usize> = Vec::new();
            for located in error.problems() {
                let line = located.position().map(|(line, _)| line);
                let Some(index) = line.and_then(|line| self.part_of(line)) else {
                    continue;
                };
                let part = self.0.get(index).and_then(|part| part.origin.as_ref());
                match part {
                    Some(origin) if origin.essential => {
                        return Err(source.error(origin.span.clone(), located.problem().clone()));
                    }
                    Some(origin) if !refused.contains(&index) => {
                        left.push(Left::at(
                            source,
                            &origin.span,
                            &origin.what,
                            &located.problem().message,
                        ));
                        refused.push(index);
                    }
                    _ => {}
                }
            }
            rounds += 1;
            if refused.is_empty() || rounds > MAX_ROUNDS {
                let made = Source::made_of(source, &text, self.places());
                let located = Loaded::parse_source(made, Some(name)).err();
                return Err(located.unwrap_or(error));
            }
            let mut index = 0;
            self.0.retain(|_| {
                index += 1;
                !refused.contains(&(index - 1))
            });
        }
    }
}
