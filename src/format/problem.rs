//! A fault in a file: where it is, what is wrong, and what to do.

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

/// Returns the line and column of a byte offset, both counted from 1.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let column = before.get(start..).map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}
