//! Stricter rules of the gate for the text of a file: TOML 1.0, LF line endings, no hidden or control characters.
//!
//! Greenroom's parser reads TOML 1.1; Python's `tomllib` and most others read 1.0. A file that parsers read differently
//! could show one value and mean another, so the gate refuses the additions of 1.1.

use super::problem::{Problem, position};
use crate::text::is_plain;

/// Returns the faults of a text that do not depend on its meaning.
pub fn check(path: &str, text: &str) -> Vec<Problem> {
    let mut out = Scan { path, text, problems: Vec::new() };
    out.characters();
    out.tokens();
    out.problems
}

struct Scan<'t> {
    path: &'t str,
    text: &'t str,
    problems: Vec<Problem>,
}

/// An open bracket around the scanner's position.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Array,
    InlineTable,
}

impl Scan<'_> {
    fn fault(&mut self, at: usize, rule: &'static str, message: &str, help: &str) {
        let (line, column) = position(self.text, at);
        let (path, message) = (self.path.to_owned(), message.to_owned());
        self.problems.push(Problem { path, line, column, rule, message, help: help.to_owned() });
    }

    fn characters(&mut self) {
        let mut crlf = false;
        for (at, c) in self.text.char_indices() {
            match c {
                '\u{feff}' if at == 0 => {
                    self.fault(at, "bom", "the file starts with a byte order mark", "save the file without it");
                }
                '\r' if !crlf => {
                    crlf = true;
                    self.fault(at, "line-ending", "a line ends in CR LF", "save the file with LF line endings");
                }
                '\r' | '\n' | '\t' => {}
                c if !is_plain(c) => {
                    let message = format!("the character U+{:04X} is not allowed in the registry's files", c as u32);
                    self.fault(at, "character", &message, "remove the control, bidirectional or zero-width character");
                }
                _ => {}
            }
        }
    }

    /// Scans the text once, tracking strings, comments and brackets.
    fn tokens(&mut self) {
        let text = self.text;
        let bytes = text.as_bytes();
        let mut open: Vec<Open> = Vec::new();
        let mut in_value = false;
        let mut at = 0;
        while let Some(&b) = bytes.get(at) {
            let rest = text.get(at..).unwrap_or_default();
            match b {
                b'#' => at += rest.find('\n').unwrap_or(rest.len()),
                b'"' | b'\'' => at = self.string_at(at, rest),
                b'\n' => {
                    if open.last() == Some(&Open::InlineTable) {
                        self.fault(at, "toml-1.0", "an inline table spans several lines", "write it on one line");
                    }
                    in_value &= !open.is_empty();
                    at += 1;
                }
                b'=' => {
                    in_value = true;
                    at += 1;
                }
                b'{' | b'[' if in_value => {
                    open.push(if b == b'{' { Open::InlineTable } else { Open::Array });
                    at += 1;
                }
                b'}' | b']' if in_value => {
                    let before = text.get(..at).unwrap_or_default().trim_end();
                    if b == b'}' && before.ends_with(',') {
                        self.fault(at, "toml-1.0", "an inline table ends with a comma", "remove the last comma");
                    }
                    open.pop();
                    at += 1;
                }
                b'0'..=b'9' if in_value => {
                    let end =
                        rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-+:._".contains(c))).unwrap_or(rest.len());
                    let word = rest.get(..end).unwrap_or_default();
                    if word.contains(':') && lacks_seconds(word) {
                        self.fault(at, "toml-1.0", "a time has no seconds", "write 12:30:00 for 12:30");
                    }
                    at += end.max(1);
                }
                _ => at += 1,
            }
        }
    }

    /// Skips a string and returns the position after it. Reports escapes that TOML 1.0 lacks.
    fn string_at(&mut self, at: usize, rest: &str) -> usize {
        let quote = if rest.starts_with('"') { '"' } else { '\'' };
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let multi = rest.starts_with(&triple);
        let opening = if multi { 3 } else { 1 };
        let mut i = opening;
        let bytes = rest.as_bytes();
        while let Some(&b) = bytes.get(i) {
            let tail = rest.get(i..).unwrap_or_default();
            match b {
                b'\\' if quote == '"' => {
                    if matches!(bytes.get(i + 1), Some(b'e' | b'x')) {
                        self.fault(at + i, "toml-1.0", "the escapes \\e and \\x are not in TOML 1.0", "write \\u00xx");
                    }
                    i += 2;
                }
                b'\n' if !multi => return at + i,
                _ if multi && tail.starts_with(&triple) => {
                    // Up to two quotes may stand before the closing three.
                    return at + i + tail.bytes().take(5).take_while(|b| char::from(*b) == quote).count();
                }
                _ if !multi && char::from(b) == quote => return at + i + 1,
                _ => i += 1,
            }
        }
        at + rest.len()
    }
}

/// Returns whether a time such as `12:30` or `2026-03-01T12:30Z` lacks the seconds that TOML 1.0 demands.
fn lacks_seconds(word: &str) -> bool {
    let clock = word.split_once(['T', 't']).map_or(word, |(_, c)| c);
    let clock = clock.split(['+', '-', 'Z', 'z']).next().unwrap_or_default();
    clock.matches(':').count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<(&'static str, usize)> {
        check("x.toml", text).into_iter().map(|p| (p.rule, p.line)).collect()
    }

    #[test]
    fn toml_1_0_passes() {
        let text = "# note: \\e { \na = \"\\u001b = {\"\nb = [\n  1, # one\n  2,\n]\nc = { d = [\n1,\n] }\nt = 2026-03-01T12:30:00Z\n\
                    m = \"\"\"\nline \\\n  \\\"\"\"\"\n[e.\"f\"]\ng = 'C:\\e'\nd = 2026-03-01 12:30:00+01:00\n";
        assert_eq!(rules(text), []);
    }

    #[test]
    fn additions_of_toml_1_1_are_refused() {
        assert_eq!(rules("a = \"\\e[31m\""), [("toml-1.0", 1)]);
        assert_eq!(rules("a = \"\\x1b\""), [("toml-1.0", 1)]);
        assert_eq!(rules("a = {\n b = 1 }"), [("toml-1.0", 1)]);
        assert_eq!(rules("x = 1\na = { b = 1, }"), [("toml-1.0", 2)]);
        assert_eq!(rules("t = 12:30"), [("toml-1.0", 1)]);
        assert_eq!(rules("t = 2026-03-01T12:30Z"), [("toml-1.0", 1)]);
        assert_eq!(rules("t = 2026-03-01T12:30+01:00"), [("toml-1.0", 1)]);
    }

    #[test]
    fn characters_that_hide_or_drive_are_refused() {
        assert_eq!(rules("\u{feff}a = 1\r\nb = 2\r\n"), [("bom", 1), ("line-ending", 1)]);
        assert_eq!(rules("# \u{202e}evil\na = \"\u{200b}\""), [("character", 1), ("character", 2)]);
    }
}
