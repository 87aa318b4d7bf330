//! Steps of which each can be undone: all are done, or in the end none.

use anyhow::{Error, Result, anyhow};
use std::fmt::Display;
use std::io::Write;

type Undo<'a> = Box<dyn FnOnce() -> Result<()> + 'a>;

/// What was done so far.
pub(super) struct Steps<'a> {
    out: &'a mut dyn Write,
    undo: Vec<(String, Undo<'a>)>,
}

impl<'a> Steps<'a> {
    /// Nothing yet. What is done is told to `out`.
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            undo: Vec::new(),
        }
    }

    /// Tells of something; whether anybody listens does not matter.
    pub(super) fn say(&mut self, what: impl Display) {
        let _ = writeln!(self.out, "{what}").and_then(|()| self.out.flush());
    }

    /// Notes how to undo what comes next, also where that fails half-way.
    pub(super) fn undo_by(&mut self, what: &str, undo: impl FnOnce() -> Result<()> + 'a) {
        self.undo.push((what.to_owned(), Box::new(undo)));
    }

    /// Undoes all, the last first, because of `error`, which is returned with
    /// what came of it. One that fails does not keep the others from being
    /// undone.
    pub(super) fn put_back(mut self, error: &Error) -> Error {
        let mut failed = Vec::new();
        while let Some((what, undo)) = self.undo.pop() {
            match undo() {
                Ok(()) => self.say(format_args!("undone: {what}")),
                Err(error) => failed.push(format!("{what}: {error:#}")),
            }
        }
        if failed.is_empty() {
            return anyhow!("{error:#}\nall is as it was before");
        }
        let failed = failed.join("\n  ");
        anyhow!("{error:#}\nwhat could not be put back:\n  {failed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn steps_are_undone_from_the_last_one_though_one_fails() {
        let order = RefCell::new(Vec::new());
        let mut out = Vec::new();
        let mut steps = Steps::new(&mut out);
        for name in ["a", "b", "c"] {
            let order = &order;
            steps.undo_by(name, move || {
                order.borrow_mut().push(name);
                anyhow::ensure!(name != "b", "no");
                Ok(())
            });
        }
        let error = steps.put_back(&anyhow!("x")).to_string();
        assert_eq!(*order.borrow(), ["c", "b", "a"]);
        assert_eq!(error, "x\nwhat could not be put back:\n  b: no");
        assert_eq!(out, b"undone: c\nundone: a\n");
    }

    #[test]
    fn an_error_says_that_all_is_put_back() {
        let mut out = Vec::new();
        let steps = Steps::new(&mut out);
        let error = steps.put_back(&anyhow!("x").context("y"));
        assert_eq!(error.to_string(), "y: x\nall is as it was before");
    }
}
