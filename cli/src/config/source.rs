//! Where in a file something is wrong: spans made into lines and columns,
//! with the line shown.

use super::Problem;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Columns of a source line that are shown at most.
const SHOWN: usize = 120;
/// Problems of one file that are shown at most.
const MAX_SHOWN: usize = 20;

/// A configuration file: its name and its text.
#[derive(Debug, Clone)]
pub struct Source {
    path: Arc<Path>,
    text: Arc<str>,
    /// Where each line but the first starts.
    lines: Arc<[usize]>,
    /// What the text was made of, where nobody has written it as it is.
    origin: Option<Arc<Origin>>,
}

/// Another text that one was made of.
#[derive(Debug)]
struct Origin {
    source: Source,
    /// Bytes of the text made, and of the other what they came from.
    parts: Vec<(Range<usize>, Range<usize>)>,
}

impl Source {
    /// The file `path`, which holds `text`.
    pub fn new(path: impl Into<PathBuf>, text: &str) -> Self {
        Self {
            path: path.into().into(),
            text: text.into(),
            lines: text.match_indices('\n').map(|(at, _)| at + 1).collect(),
            origin: None,
        }
    }

    /// The text `text`, which was made of `origin`. What is wrong in one of
    /// `parts`, bytes of the text and of `origin` each, is shown where it came
    /// from, and anything else as of all of `origin`.
    pub(crate) fn made_of(
        origin: &Self,
        text: &str,
        parts: Vec<(Range<usize>, Range<usize>)>,
    ) -> Self {
        let source = origin.clone();
        Self {
            origin: Some(Arc::new(Origin { source, parts })),
            ..Self::new(origin.path(), text)
        }
    }

    /// The line that holds the byte `at`, counted from 1, and where it starts.
    pub(crate) fn line(&self, at: usize) -> (usize, usize) {
        let before = self.lines.partition_point(|start| *start <= at);
        let start = before.checked_sub(1).and_then(|i| self.lines.get(i));
        (before + 1, start.copied().unwrap_or_default())
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Places `problem` at the bytes `span` of the file. A span past the end
    /// means the end.
    #[must_use]
    pub fn locate(&self, span: Range<usize>, problem: Problem) -> Located {
        if let Some(origin) = &self.origin {
            return origin.locate(&span, problem);
        }
        Located {
            path: Arc::clone(&self.path),
            place: Some(Place::find(self, &span)),
            problem,
        }
    }

    /// An error of this file at the bytes `span`: the way to report what is
    /// found wrong after parsing, as with a DHCP option.
    #[must_use]
    pub fn error(&self, span: Range<usize>, problem: Problem) -> ConfigError {
        ConfigError::new(self, vec![(span, problem)])
    }
}

impl Origin {
    fn locate(&self, made: &Range<usize>, problem: Problem) -> Located {
        let part = self.parts.iter().find(|(it, _)| it.contains(&made.start));
        match part {
            Some((_, from)) => self.source.locate(from.clone(), problem),
            None => Located::unplaced(self.source.path(), problem),
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// Counted from 1.
    line: usize,
    /// In characters, counted from 1.
    column: usize,
    /// The line, or the part of it around the place.
    shown: String,
    /// Characters of `shown` in front of the place.
    indent: usize,
    /// Characters to underline, at least 1.
    width: usize,
}

impl Place {
    fn find(source: &Source, span: &Range<usize>) -> Self {
        let text = source.text();
        let start = char_boundary(text, span.start);
        let (line, line_start) = source.line(start);
        let head = text.get(line_start..start).unwrap_or_default();
        let after = text.get(start..).unwrap_or_default();
        let tail = after.split('\n').next().unwrap_or_default();
        let tail = tail.strip_suffix('\r').unwrap_or(tail);
        let column = head.chars().count() + 1;

        let end = char_boundary(text, span.end).max(start);
        let spanned = text.get(start..end).unwrap_or_default();
        let width = spanned.chars().take_while(|c| *c != '\n').count();

        // A long line is cut in front of the place, then behind it.
        let skip = (column - 1).saturating_sub(SHOWN / 2);
        let shown: String = head
            .chars()
            .skip(skip)
            .chain(tail.chars())
            .take(SHOWN)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let indent = column - 1 - skip;
        let room = shown.chars().count().saturating_sub(indent);
        Self {
            line,
            column,
            shown: shown.trim_end().to_owned(),
            indent,
            width: width.min(room).max(1),
        }
    }
}

/// The last character boundary of `text` at or before `at`.
fn char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A problem and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    path: Arc<Path>,
    place: Option<Place>,
    problem: Problem,
}

impl Located {
    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Line and column, both counted from 1, the column in characters; none
    /// where the file could not be read.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        self.place.as_ref().map(|place| (place.line, place.column))
    }

    /// `FILE:LINE:COLUMN: what (help: how)` on one line, for a log.
    #[must_use]
    pub fn one_line(&self) -> String {
        format!("{} {}", Heading(self), self.problem.one_line())
    }

    /// A problem of `path` as a whole.
    pub(super) fn unplaced(path: &Path, problem: Problem) -> Self {
        Self {
            path: path.into(),
            place: None,
            problem,
        }
    }
}

impl fmt::Display for Located {
    /// `FILE:LINE:COLUMN: what`, the line with a caret under the place, and
    /// how to mend it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Heading(self), self.problem.message)?;
        if let Some(place) = &self.place {
            let mut gutter = String::new();
            write!(gutter, "{:>4}", place.line)?;
            let blank = " ".repeat(gutter.len());
            write!(f, "\n{gutter} | {}", place.shown)?;
            let (indent, caret) = (" ".repeat(place.indent), "^".repeat(place.width));
            write!(f, "\n{blank} | {indent}{caret}")?;
        }
        match &self.problem.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

/// A problem of a running network whose cause stands in its configuration.
impl std::error::Error for Located {}

/// `FILE:LINE:COLUMN:`
struct Heading<'a>(&'a Located);

impl fmt::Display for Heading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.0.path.display())?;
        match &self.0.place {
            Some(place) => write!(f, "{}:{}:", place.line, place.column),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be used: what is wrong with it, in the order of
/// the file. Shown, it ends without a newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Located>,
    /// Problems behind those.
    more: usize,
}

impl ConfigError {
    /// An error of the whole file, such as one that cannot be read.
    pub fn unreadable(path: &Path, problem: Problem) -> Self {
        Self {
            problems: vec![Located::unplaced(path, problem)],
            more: 0,
        }
    }

    /// The first of `problems` in the order of the file, and how many more
    /// there are.
    pub(crate) fn new(source: &Source, mut problems: Vec<(Range<usize>, Problem)>) -> Self {
        problems.sort_by_key(|(span, _)| span.start);
        let more = problems.len().saturating_sub(MAX_SHOWN);
        let shown = problems.into_iter().take(MAX_SHOWN);
        Self {
            problems: shown
                .map(|(span, problem)| source.locate(span, problem))
                .collect(),
            more,
        }
    }

    /// What is wrong, in the order of the file; not all of it, if it is much.
    #[must_use]
    pub fn problems(&self) -> &[Located] {
        &self.problems
    }

    /// All of it on one line, for a log.
    #[must_use]
    pub fn one_line(&self) -> String {
        let lines: Vec<_> = self.problems.iter().map(Located::one_line).collect();
        lines.join("; ")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_shown_with_its_line_and_a_caret() {
        let source = Source::new("lab.toml", "name = \"lab\"\n\tmtu = 70000\r\n");
        let located = source.locate(20..25, Problem::new("too large").help("less"));
        assert_eq!(
            located.to_string(),
            "lab.toml:2:8: too large\n   2 |  mtu = 70000\n     |        ^^^^^\nhelp: less"
        );
    }

    #[test]
    fn what_is_wrong_in_a_text_that_was_made_is_shown_where_it_came_from() {
        let origin = Source::new("net.xml", "<a>\n<mtu size='x'/></a>");
        let made = Source::made_of(&origin, "name = 1\nmtu = x\n", vec![(9..17, 4..19)]);
        let shown = |at: usize| made.locate(at..at + 1, Problem::new("no")).to_string();
        assert!(shown(15).starts_with("net.xml:2:1: no\n   2 | <mtu size='x'/>"));
        assert_eq!(shown(0), "net.xml: no");
    }

    #[test]
    fn any_span_of_any_text_has_a_place() {
        for text in ["", "\n", "ä\nöü", "x".repeat(500).as_str()] {
            let source = Source::new("f", text);
            for start in 0..text.len() + 3 {
                let shown = source.locate(start..start + 2, Problem::new("p"));
                assert!(shown.to_string().contains('^'));
                assert!(shown.to_string().len() < 400);
            }
        }
    }

    #[test]
    fn a_file_full_of_problems_is_cut_short() {
        let source = Source::new("f", "x\n".repeat(100).as_str());
        let problems = (0..100).map(|i| (2 * i..2 * i + 1, Problem::new("p")));
        let shown = ConfigError::new(&source, problems.collect()).to_string();
        assert!(shown.ends_with("and 80 more"));
    }
}
