//! Reads a table of a TOML file key by key and keeps what is wrong with it,
//! each with its place.

use super::{Problem, Source, Value};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use vmlan_dhcp::{Tag, TagMatch};

/// What was found wrong so far, and what is only odd.
#[derive(Debug)]
pub(super) struct Findings<'s> {
    source: &'s Source,
    pub(super) errors: Vec<(Range<usize>, Problem)>,
    pub(super) warnings: Vec<(Range<usize>, Problem)>,
    /// Which tags something is for, each condition at its place.
    pub(super) tags: Vec<Spanned<TagMatch>>,
    /// The tags that something sets.
    pub(super) set: Vec<Tag>,
}

impl<'s> Findings<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Self {
            source,
            errors: Vec::new(),
            warnings: Vec::new(),
            tags: Vec::new(),
            set: Vec::new(),
        }
    }

    pub(super) fn error(&mut self, span: Range<usize>, problem: Problem) {
        self.errors.push((span, problem));
    }

    pub(super) fn warn(&mut self, span: Range<usize>, problem: Problem) {
        self.warnings.push((span, problem));
    }

    /// The file.
    pub(super) fn source(&self) -> &'s Source {
        self.source
    }

    /// The line of `span`, counted from 1.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.source.line(span.start).0
    }

    /// The value of `result`; its problem is kept, with the place `span`.
    pub(super) fn keep<T>(
        &mut self,
        span: Range<usize>,
        result: Result<T, Problem>,
    ) -> Option<Spanned<T>> {
        match result {
            Ok(value) => Some(Spanned::new(span, value)),
            Err(problem) => {
                self.error(span, problem);
                None
            }
        }
    }
}

/// One table being read. Each key that is asked for is thereby known; at the
/// [`end`](Section::end) all others are errors.
pub(super) struct Section<'t, 'f, 's> {
    table: &'t DeTable<'t>,
    span: Range<usize>,
    known: Vec<&'static str>,
    pub(super) findings: &'f mut Findings<'s>,
}

impl<'t, 'f, 's> Section<'t, 'f, 's> {
    pub(super) fn new(
        table: &'t DeTable<'t>,
        span: Range<usize>,
        findings: &'f mut Findings<'s>,
    ) -> Self {
        Self {
            table,
            span,
            known: Vec::new(),
            findings,
        }
    }

    /// Where the table stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether the file has `key` here.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Text, read by `parse`.
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<Spanned<T>> {
        let value = self.take(key)?;
        let result = match value.get_ref() {
            DeValue::String(text) => parse(text),
            other => Err(wrong_type(key, "text in quotes", other)),
        };
        self.findings.keep(value.span(), result)
    }

    /// Text or a whole number, the number as it stands, read by `parse`.
    pub(super) fn text_or_number<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<Spanned<T>> {
        let value = self.take(key)?;
        let result = match value.get_ref() {
            DeValue::String(text) => parse(text),
            DeValue::Integer(number) if number.radix() == 10 => parse(number.as_str()),
            other => Err(wrong_type(key, "a time, as \"1h\"", other)),
        };
        self.findings.keep(value.span(), result)
    }

    /// A whole number within `range`.
    pub(super) fn number<T: TryFrom<i64> + PartialOrd + std::fmt::Display>(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<T>,
    ) -> Option<Spanned<T>> {
        let value = self.take(key)?;
        let result = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .and_then(|number| T::try_from(number).ok())
                .filter(|number| range.contains(number))
                .ok_or_else(|| {
                    Problem::new(format!("{key} = {number} is out of range")).help(format!(
                        "use {} to {}",
                        range.start(),
                        range.end()
                    ))
                }),
            other => Err(wrong_type(key, "a whole number", other)),
        };
        self.findings.keep(value.span(), result)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<Spanned<bool>> {
        let value = self.take(key)?;
        let result = match value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            other => Err(wrong_type(key, "true or false, without quotes", other)),
        };
        self.findings.keep(value.span(), result)
    }

    /// A list of texts, each read by `parse`; nothing if it refuses one.
    pub(super) fn texts<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Spanned<Vec<Spanned<T>>>> {
        let value = self.take(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            let problem = wrong_type(key, "a list of texts in [ ]", value.get_ref());
            self.findings.error(value.span(), problem);
            return None;
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items.iter() {
            let result = match item.get_ref() {
                DeValue::String(text) => parse(text),
                other => Err(wrong_type(key, "a list of texts in quotes", other)),
            };
            list.extend(self.findings.keep(item.span(), result));
        }
        (list.len() == items.len()).then(|| Spanned::new(value.span(), list))
    }

    /// A value of any plain type, read by `parse`.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Value) -> Result<T, Problem>,
    ) -> Option<Spanned<T>> {
        let value = self.take(key)?;
        let result = plain(key, value.get_ref()).and_then(|plain| parse(&plain));
        self.findings.keep(value.span(), result)
    }

    /// The table under `key`.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Section<'t, '_, 's>) -> T,
    ) -> Option<Spanned<T>> {
        let value = self.take(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            let problem = wrong_type(key, "a table", value.get_ref());
            self.findings.error(value.span(), problem);
            return None;
        };
        let section = Section::new(table, value.span(), self.findings);
        Some(Spanned::new(value.span(), read(section)))
    }

    /// The tables under `key`, written as `[[key]]`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(Section<'t, '_, 's>) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            let problem = wrong_type(key, "a list of tables", value.get_ref())
                .help(format!("write [[…{key}]] in two brackets"));
            self.findings.error(value.span(), problem);
            return Vec::new();
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items.iter() {
            if let DeValue::Table(table) = item.get_ref() {
                list.extend(read(Section::new(table, item.span(), self.findings)));
            } else {
                let problem = wrong_type(key, "a list of tables", item.get_ref());
                self.findings.error(item.span(), problem);
            }
        }
        list
    }

    /// All keys that were not asked for yet, as values whose meaning depends
    /// on the key: the key with its place, the value with its own, in the
    /// order of the file.
    pub(super) fn rest(&mut self) -> Vec<(Spanned<String>, Spanned<Value>)> {
        let mut list = Vec::new();
        for (key, value) in self.table {
            let name = key.get_ref();
            if self.known.iter().any(|known| known == name) {
                continue;
            }
            if let Some(value) = self
                .findings
                .keep(value.span(), plain(name, value.get_ref()))
            {
                list.push((Spanned::new(key.span(), name.to_string()), value));
            }
        }
        list.sort_by_key(|(key, _)| key.span().start);
        list
    }

    /// Every key that was not asked for is an error.
    pub(super) fn end(self) {
        for key in self.table.keys() {
            if !self.known.iter().any(|known| known == key.get_ref()) {
                let problem = Problem::unknown_key(key.get_ref(), &self.known);
                self.findings.error(key.span(), problem);
            }
        }
    }
}

/// The value of `key` in plain form: no dates, fractions or tables.
fn plain(key: &str, value: &DeValue<'_>) -> Result<Value, Problem> {
    match value {
        DeValue::String(text) => Ok(Value::Text(text.to_string())),
        DeValue::Boolean(value) => Ok(Value::Bool(*value)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Value::Number)
            .map_err(|_| Problem::new(format!("{number} is too large a number"))),
        DeValue::Array(items) => items
            .iter()
            .map(|item| match item.get_ref() {
                nested @ DeValue::Array(_) => Err(wrong_type(key, "a plain value", nested)),
                other => plain(key, other),
            })
            .collect::<Result<_, _>>()
            .map(Value::List),
        other => Err(wrong_type(
            key,
            "text, a number, true, false or a list",
            other,
        )),
    }
}

fn wrong_type(key: &str, want: &str, got: &DeValue<'_>) -> Problem {
    let got = match got {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Problem::new(format!("`{}` is {got}", key.escape_debug())).help(format!("it has to be {want}"))
}
