//! What is wrong with a value, and how to mend it; where it stands is said
//! by [`Source`](super::Source).

use std::fmt;

/// What is wrong, in one sentence, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, naming the thing.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem with no mend known yet.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    /// Says how to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The problem with its mend on one line, for a log.
    #[must_use]
    pub fn one_line(&self) -> String {
        let joined = |text: &str| {
            let lines = text.lines().map(str::trim);
            lines.collect::<Vec<_>>().join("; ")
        };
        match &self.help {
            Some(help) => format!("{} (help: {})", joined(&self.message), joined(help)),
            None => joined(&self.message),
        }
    }

    /// A key that is not known here; names the nearest of `known`.
    pub fn unknown_key(key: &str, known: &[&str]) -> Self {
        let problem = Self::new(format!("unknown key {}", quoted(key)));
        match Self::nearest(key, known) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("known here: {}", known.join(", "))),
        }
    }

    /// A word that is not one of `known`.
    pub fn unknown_word(what: &str, word: &str, known: &[&str]) -> Self {
        let problem = Self::new(format!("unknown {what} {word:?}"));
        match Self::nearest(word, known) {
            Some(near) => problem.help(format!("did you mean \"{near}\"?")),
            None => problem.help(format!("use one of: {}", known.join(", "))),
        }
    }

    /// The word of `known` that looks most like `word`, if one looks like it.
    pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
        // A longer word is none of ours, and the comparison is quadratic.
        if word.len() > 64 {
            return None;
        }
        known
            .iter()
            .map(|near| (strsim::jaro_winkler(word, near), *near))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, near)| near)
    }
}

/// `key` in backquotes, escaped: it may hold any character.
fn quoted(key: &str) -> String {
    format!("`{}`", key.escape_debug())
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named() {
        let known = ["address", "interface", "uplink", "mtu"];
        assert_eq!(Problem::nearest("adress", &known), Some("address"));
        assert_eq!(Problem::nearest("interfaces", &known), Some("interface"));
        assert_eq!(Problem::nearest("zzz", &known), None);
    }

    #[test]
    fn a_log_gets_one_line() {
        let problem = Problem::new("one\n  two").help("three");
        assert_eq!(problem.one_line(), "one; two (help: three)");
    }

    #[test]
    fn with_nothing_near_all_are_listed() {
        let problem = Problem::unknown_key("zzz", &["address", "mtu"]);
        assert_eq!(problem.help.as_deref(), Some("known here: address, mtu"));
    }
}
