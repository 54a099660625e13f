//! A fault in a file: where it is, what is wrong, and what to do.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// A fault in a file of the registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Problem {
    /// The file, as a path from the root of the repository; empty if the fault belongs to no single file.
    pub path: String,
    /// The line, counted from 1; 0 if the fault is about the whole file.
    pub line: usize,
    /// The column in characters, counted from 1; 0 with line 0.
    pub column: usize,
    /// The name of the broken rule.
    pub rule: &'static str,
    /// What is wrong, as a sentence without its full stop.
    pub message: String,
    /// What to do; may be empty.
    pub help: String,
}

impl Problem {
    /// Returns a fault of a whole file.
    pub fn of_file(path: impl Into<String>, rule: &'static str, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: 0, column: 0, rule, message: message.into(), help: String::new() }
    }

    /// Returns the same fault with a hint for its repair.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for Problem {
    /// Writes `path:line:column: message [rule]` on one line, safe for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}", crate::text::one_line(&self.path))?;
            if self.line > 0 {
                write!(f, ":{}:{}", self.line, self.column)?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{} [{}]", crate::text::one_line(&self.message), self.rule)
    }
}

/// How many of many similar problems are shown.
const TOLD: usize = 3;

/// Returns which of several problems are shown to people, and how many similar ones each of them represents. Of many
/// similar problems the last one shown represents the rest. Problems are similar if their group and rule are equal, and
/// their messages are equal except for the file and quoted text.
pub fn folded<'p, G: Ord + Copy>(problems: impl IntoIterator<Item = (G, &'p Problem)>) -> Vec<(usize, usize)> {
    let alike =
        |(group, p): (G, &Problem)| (group, p.rule, unquoted(&p.message.replace(&p.path, "")), unquoted(&p.help));
    let kinds: Vec<_> = problems.into_iter().map(alike).collect();
    let mut counts = BTreeMap::new();
    kinds.iter().for_each(|kind| *counts.entry(kind).or_insert(0_usize) += 1);
    let mut told: BTreeMap<_, usize> = BTreeMap::new();
    let mut out = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        let count = counts.get(kind).copied().unwrap_or(1);
        let before = told.entry(kind).or_default();
        *before += 1;
        match *before {
            // A line that says that there is one more would be no shorter than that one.
            _ if count <= TOLD + 1 => out.push((index, 0)),
            TOLD => out.push((index, count - TOLD)),
            n if n < TOLD => out.push((index, 0)),
            _ => {}
        }
    }
    out
}

/// Returns a sentence without its quoted text; an apostrophe stays.
fn unquoted(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('\'') {
        out.push_str(before);
        let end = from.find('\'').filter(|_| !out.ends_with(char::is_alphanumeric));
        out.push('\'');
        rest = end.and_then(|end| from.get(end..)).map_or(from, |quote| quote.trim_start_matches('\''));
    }
    out.push_str(rest);
    out
}

/// Turns a byte offset into line and column, both counted from 1.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let column = before.get(start..).map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_problems_of_a_kind_are_told_by_three() {
        let gone = |path: &str| Problem::of_file(path, "file", format!("'{path}' is gone")).help("bring it back");
        let mut all: Vec<Problem> = (0..17).map(|n| gone(&format!("people/{n}.toml"))).collect();
        all.insert(1, Problem::of_file("greenroom.toml", "file", "the settings are gone"));
        let told = |all: &[Problem]| folded(all.iter().map(|p| ((), p)));
        assert_eq!(told(&all), [(0, 0), (1, 0), (2, 0), (3, 14)]);
        assert_eq!(told(&all[2..6]), [(0, 0), (1, 0), (2, 0), (3, 0)]);
        assert_eq!(unquoted("the registry's 'a b' is not 'c', but carol's"), "the registry's ' is not ', but carol's");
        let other = |message: &str| Problem::of_file("access.toml", "grant", message);
        let different: Vec<Problem> = ["a", "b", "c", "d", "e", "f"].iter().map(|m| other(m)).collect();
        assert_eq!(told(&different).len(), 6);
    }
}
