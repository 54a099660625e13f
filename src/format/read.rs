//! Reads TOML into plain data, leniently: each fault is recorded with its position, and reading goes on.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, position};

/// The text of a file, and the faults found so far.
pub struct TextReader<'d> {
    path: &'d str,
    text: &'d str,
    problems: RefCell<Vec<Problem>>,
}

impl<'d> TextReader<'d> {
    /// Starts to read the text of a file. `path` names the file in the faults.
    pub fn new(path: &'d str, text: &'d str) -> Self {
        Self { path, text, problems: RefCell::default() }
    }

    /// Records a fault at a byte range of the text.
    pub fn fault(&self, at: &Range<usize>, rule: &'static str, message: impl Into<String>) {
        let (line, column) = position(self.text, at.start);
        let (path, message) = (self.path.to_owned(), message.into());
        self.problems.borrow_mut().push(Problem { path, line, column, rule, message, help: String::new() });
    }

    /// Records faults found elsewhere.
    pub fn extend(&self, problems: impl IntoIterator<Item = Problem>) {
        self.problems.borrow_mut().extend(problems);
    }

    /// Returns the faults without duplicates, sorted by position.
    pub fn finish(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        problems
    }
}

/// A TOML value with its position and its key.
#[derive(Clone, Copy)]
pub struct Node<'a, 'd> {
    reader: &'a TextReader<'d>,
    value: &'a Spanned<DeValue<'d>>,
    key: &'a str,
}

impl<'a, 'd> Node<'a, 'd> {
    /// Records a fault of the value. Returns `None`, so that a reader can end with this call.
    pub fn wrong<T>(self, rule: &'static str, message: impl Into<String>) -> Option<T> {
        self.reader.fault(&self.value.span(), rule, message);
        None
    }

    /// Returns a checked value, or records the error of the check.
    pub fn check<T, E: std::fmt::Display>(self, rule: &'static str, checked: Result<T, E>) -> Option<T> {
        checked.map_or_else(|e| self.wrong(rule, format!("`{}`: {e}", self.key)), Some)
    }

    /// Records that the value has another type than `wanted`.
    fn not<T>(self, wanted: &str) -> Option<T> {
        let kind = match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.wrong("type", format!("`{}` must be {wanted}, but it is {kind}", self.key))
    }

    /// Returns the value as a string.
    pub fn string(self) -> Option<&'a str> {
        match self.value.get_ref().as_str() {
            Some(s) => Some(s),
            None => self.not("a string"),
        }
    }

    /// Parses the value from a string by the grammar of `T`.
    pub fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(self) -> Option<T> {
        self.check("value", self.string()?.parse())
    }

    /// Returns the value of a closed set whose name is the string.
    pub fn word<T: Copy>(self, all: &[T], name: impl Fn(T) -> &'static str) -> Option<T> {
        let s = self.string()?;
        match all.iter().find(|v| name(**v) == s) {
            Some(v) => Some(*v),
            None => {
                let words: Vec<_> = all.iter().map(|v| format!("\"{}\"", name(*v))).collect();
                let given = crate::text::quoted(s);
                self.wrong("value", format!("`{}` must be one of {}, but it is {given}", self.key, words.join(", ")))
            }
        }
    }

    /// Returns the value as an integer of 64 bits.
    pub fn integer(self) -> Option<i64> {
        match self.value.get_ref() {
            DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
                Ok(i) => Some(i),
                Err(_) => self.wrong("value", format!("`{}` does not fit in 64 bits", self.key)),
            },
            DeValue::String(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                self.not("an integer")
            }
            DeValue::Array(_) | DeValue::Table(_) => self.not("an integer"),
        }
    }

    /// Returns the value as a number; an integer counts as a float.
    pub fn number(self) -> Option<f64> {
        match self.value.get_ref() {
            DeValue::Float(f) => f.as_str().parse().ok(),
            #[expect(clippy::cast_precision_loss, reason = "metrics are floats; a count above 2^53 may round")]
            DeValue::Integer(_) => self.integer().map(|i| i as f64),
            DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => self.not("a number"),
            DeValue::Array(_) | DeValue::Table(_) => self.not("a number"),
        }
    }

    /// Returns the value as true or false.
    pub fn boolean(self) -> Option<bool> {
        match self.value.get_ref().as_bool() {
            Some(b) => Some(b),
            None => self.not("true or false"),
        }
    }

    /// Returns the value as a TOML date or time, as written.
    pub fn datetime(self) -> Option<toml::value::Datetime> {
        match self.value.get_ref().as_datetime() {
            Some(d) => Some(*d),
            None => self.not("a date-time such as 2026-03-01T12:00:00Z, without quotes"),
        }
    }

    /// Returns whether the value is a table.
    pub fn is_table(self) -> bool {
        self.value.get_ref().is_table()
    }

    /// Returns the elements of an array.
    pub fn elements(self) -> Option<Vec<Self>> {
        match self.value.get_ref().as_array() {
            Some(a) => Some(a.iter().map(|value| Self { value, ..self }).collect()),
            None => self.not("an array"),
        }
    }

    /// Returns the value as a table whose keys are known in advance.
    pub fn fields(self) -> Option<Fields<'a, 'd>> {
        match self.value.get_ref().as_table() {
            Some(table) => Some(Fields::new(self.reader, table, self.value.span(), self.key)),
            None => self.not("a table"),
        }
    }

    /// Returns the values and keys of a table whose keys are free.
    pub fn entries(self) -> Option<Vec<(Self, &'a str)>> {
        let Some(table) = self.value.get_ref().as_table() else { return self.not("a table") };
        Some(table.iter().map(|(k, value)| (Self { value, key: k.get_ref(), ..self }, k.get_ref().as_ref())).collect())
    }
}

/// A table that is read field by field. A key that no reader asks for is reported as unknown.
pub struct Fields<'a, 'd> {
    reader: &'a TextReader<'d>,
    table: &'a DeTable<'d>,
    span: Range<usize>,
    prefix: &'a str,
    asked: Vec<&'static str>,
}

impl<'a, 'd> Fields<'a, 'd> {
    fn new(reader: &'a TextReader<'d>, table: &'a DeTable<'d>, span: Range<usize>, prefix: &'a str) -> Self {
        Self { reader, table, span, prefix, asked: Vec::new() }
    }

    fn node(&mut self, key: &'static str) -> Option<Node<'a, 'd>> {
        self.asked.push(key);
        let (_, value) = self.table.iter().find(|(k, _)| k.get_ref() == key)?;
        Some(Node { reader: self.reader, value, key })
    }

    /// Reads a required field. Its absence is a fault.
    pub fn required<T: FromToml>(&mut self, key: &'static str) -> Option<T> {
        if let Some(node) = self.node(key) {
            return T::from_toml(node);
        }
        let place = if self.prefix.is_empty() { String::new() } else { format!(" in `{}`", self.prefix) };
        self.reader.fault(&(self.span.start..self.span.start), "missing-key", format!("`{key}` is missing{place}"));
        None
    }

    /// Reads a required field that must pass a check.
    pub fn checked<T: FromToml>(
        &mut self,
        key: &'static str,
        check: impl FnOnce(&T) -> Result<(), &'static str>,
    ) -> Option<T> {
        let value = self.required::<T>(key)?;
        self.node(key)?.check("value", check(&value))?;
        Some(value)
    }

    /// Reads an optional field; `None` if it is absent or wrong.
    pub fn optional<T: FromToml>(&mut self, key: &'static str) -> Option<T> {
        T::from_toml(self.node(key)?)
    }

    /// Reads a field; its default if it is absent or wrong.
    pub fn default<T: FromToml + Default>(&mut self, key: &'static str) -> T {
        self.optional(key).unwrap_or_default()
    }

    /// Reports unknown keys. Editing the file keeps them.
    pub fn finish(self) {
        for (key, _) in self.table.iter().filter(|(k, _)| !self.asked.contains(&k.get_ref().as_ref())) {
            let name = crate::text::one_line(key.get_ref());
            let near = nearest(&name, &self.asked).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            self.reader.fault(&key.span(), "unknown-key", format!("`{name}` is not a key of this table{near}"));
        }
    }
}

/// Returns the known key that a misspelt key probably stands for.
fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    let close = known.iter().map(|k| (distance(given, k), *k)).min()?;
    (close.0 <= 2 && close.0 < given.chars().count()).then_some(close.1)
}

/// Returns the Levenshtein distance of two words, by their first 40 characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(40).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(40).enumerate() {
        let mut left_up = i;
        let mut left = i + 1;
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let cost = (left_up + usize::from(ca != *cb)).min(left + 1).min(*cell + 1);
            left_up = *cell;
            *cell = cost;
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// A type that is read from a TOML value. Faults are recorded, and the rest is read all the same.
pub trait FromToml: Sized {
    /// Reads the value; `None` if nothing of it can be used.
    fn from_toml(node: Node<'_, '_>) -> Option<Self>;
}

/// A type that is read from a TOML table.
pub trait FromTable: Sized {
    /// Reads the fields; `None` if a required field is missing or wrong.
    fn from_table(fields: &mut Fields<'_, '_>) -> Option<Self>;
}

impl<T: FromToml> FromToml for Vec<T> {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        Some(node.elements()?.into_iter().filter_map(T::from_toml).collect())
    }
}

impl<T: FromToml + Ord> FromToml for BTreeSet<T> {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        let mut set = Self::new();
        for element in node.elements()? {
            let Some(value) = T::from_toml(element) else { continue };
            if !set.insert(value) {
                element.wrong::<()>("duplicate", format!("`{}` contains a value twice", element.key));
            }
        }
        Some(set)
    }
}

impl<K: std::str::FromStr<Err: std::fmt::Display> + Ord, V: FromToml> FromToml for BTreeMap<K, V> {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        let mut map = Self::new();
        for (value, key) in node.entries()? {
            match key.parse() {
                Ok(key) => map.extend(V::from_toml(value).map(|v| (key, v))),
                Err(e) => {
                    value.wrong::<()>("value", e.to_string());
                }
            }
        }
        Some(map)
    }
}

/// Reads the text of a file as the table `T`. Returns what could be read, and all faults.
pub fn read<T: FromTable>(path: &str, bytes: &[u8]) -> (Option<T>, Vec<Problem>) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(e) => {
            let line = bytes.iter().take(e.valid_up_to()).filter(|b| **b == b'\n').count() + 1;
            let mut problem = Problem::of_file(path, "utf-8", "the file is not UTF-8").help("save it as UTF-8");
            problem.line = line;
            problem.column = 1;
            return (None, vec![problem]);
        }
    };
    let reader = TextReader::new(path, &text);
    let (table, errors) = DeTable::parse_recoverable(&text);
    for e in &errors {
        // The full text of the library's error quotes the whole line; its message is short and safe.
        reader.fault(&e.span().unwrap_or(0..0), "toml", crate::text::one_line(e.message()));
    }
    let mut fields = Fields::new(&reader, table.get_ref(), 0..0, "");
    let value = T::from_table(&mut fields);
    fields.finish();
    (value, reader.finish())
}
