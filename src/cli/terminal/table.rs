//! Text tables for lists.

use unicode_width::UnicodeWidthStr as _;

use super::output::{BOLD, Output, styled};
use crate::text::one_line;

/// A table, built row by row.
pub(in crate::cli) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts a table with the names of its columns.
    pub(in crate::cli) fn new(head: &[&'static str]) -> Self {
        Self::with_head(head.iter().map(|h| (*h).to_owned()))
    }

    /// Starts a table with names of columns that are known only at run time.
    pub(in crate::cli) fn with_head(head: impl IntoIterator<Item = String>) -> Self {
        Self { head: head.into_iter().collect(), rows: Vec::new() }
    }

    /// Whether the table has no rows.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row; the cells are escaped and cut at 60 columns.
    pub(in crate::cli) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|c| cut(&one_line(c.as_ref()))).collect());
    }

    /// Prints the table; prints nothing if it has no rows.
    pub(in crate::cli) fn print(&self, out: &mut Output) {
        if self.rows.is_empty() {
            return;
        }
        let width = |i: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(i)).map(|c| c.width());
            cells.chain([self.head.get(i).map_or(0, |h| h.width())]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |cells: &[&str]| {
            let padded =
                cells.iter().zip(&widths).map(|(c, w)| format!("{c}{}", " ".repeat(w.saturating_sub(c.width()))));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        out.line(styled(BOLD, &line(&self.head.iter().map(String::as_str).collect::<Vec<_>>())));
        for row in &self.rows {
            out.line(line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
        }
    }
}

/// Cuts a cell at 60 columns.
fn cut(s: &str) -> String {
    if s.width() <= 60 {
        return s.to_owned();
    }
    let mut out = String::new();
    for c in s.chars() {
        if out.width() + c.to_string().width() > 59 {
            break;
        }
        out.push(c);
    }
    format!("{out}…")
}
