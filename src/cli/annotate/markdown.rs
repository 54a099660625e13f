//! Markdown for a job's page or a comment, in which foreign words stay words on every host.
//!
//! Hosts find more in a text than Markdown: mentions, references to issues, commands at the start of a line. In a code
//! span none of them looks. So words with nothing but letters, digits and harmless signs stand as they are, and all
//! others in a code span.

use crate::text::one_line;

/// The longest cell or sentence, in characters.
const MAX_WORDS: usize = 300;

/// The longest text, in bytes: comments end at 65,536 characters.
const MAX_TEXT: usize = 60_000;

/// A text being written.
#[derive(Debug, Default)]
pub(in crate::cli) struct Markdown {
    text: String,
    full: bool,
}

impl Markdown {
    /// A heading of our own words, of a level from 1.
    pub(in crate::cli) fn heading(&mut self, level: usize, words: &str) {
        self.gap();
        self.put(&format!("{} {words}\n\n", "#".repeat(level)));
    }

    /// A line that is a paragraph of its own; what is foreign in it must be escaped.
    pub(in crate::cli) fn paragraph(&mut self, words: &str) {
        self.put(&format!("{words}\n\n"));
    }

    /// A point of a list; what is foreign in it must be escaped.
    pub(in crate::cli) fn point(&mut self, depth: usize, words: &str) {
        self.put(&format!("{}- {words}\n", "  ".repeat(depth)));
    }

    /// A table; head and cells are foreign.
    pub(in crate::cli) fn table(&mut self, head: &[String], rows: &[Vec<String>]) {
        let row = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|c| cell(c)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        self.gap();
        self.put(&format!("{}|{}\n", row(head), " --- |".repeat(head.len())));
        rows.iter().for_each(|cells| self.put(&row(cells)));
        self.put("\n");
    }

    /// Puts an empty line before what follows, unless there is one.
    fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.put("\n");
        }
    }

    /// Adds a piece, as long as there is room.
    fn put(&mut self, piece: &str) {
        if self.full {
            return;
        }
        if self.text.len() + piece.len() > MAX_TEXT {
            self.full = true;
            self.text.push_str("\n\nThere is more than fits here: `greenroom check` prints all.\n");
            return;
        }
        self.text.push_str(piece);
    }

    /// The text, with a line feed at its end.
    pub(in crate::cli) fn finish(self) -> String {
        format!("{}\n", self.text.trim())
    }
}

/// Foreign words within a line.
pub(in crate::cli) fn words(s: &str) -> String {
    let shown = shorten(&one_line(s));
    if is_harmless(&shown) { shown.replace('_', "\\_") } else { code(&shown) }
}

/// Foreign words in a code span, whatever they are.
pub(in crate::cli) fn code(s: &str) -> String {
    let shown = shorten(&one_line(s));
    if shown.is_empty() {
        return String::new();
    }
    let longest = shown.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // Spaces keep the fence apart from ticks at the ends; Markdown takes one off each side.
    let pad = if shown.starts_with(['`', ' ']) || shown.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{shown}{pad}{fence}")
}

/// Foreign words in a table, where a bar would end the cell, even in code.
fn cell(s: &str) -> String {
    words(s).replace('|', "\\|")
}

fn shorten(s: &str) -> String {
    match s.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", s.get(..end).unwrap_or_default()),
        None => s.to_owned(),
    }
}

/// Whether no host finds anything in the words: no markup, mention, reference, address or command.
fn is_harmless(s: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || " .,'()=_-→…".contains(c);
    let first = s.split(' ').next().unwrap_or_default();
    let number = first.trim_end_matches(['.', ')']);
    let listed = number.len() < first.len() && number.bytes().all(|b| b.is_ascii_digit());
    let ruled = first.chars().all(|c| "-=_".contains(c));
    // `GH-1` refers to an issue, `www.` begins an address, `__` makes bold, `---` a line.
    let refers = s.split(' ').any(|w| {
        let (head, tail) = w.split_once('-').unwrap_or((w, ""));
        head.chars().any(|c| c.is_ascii_uppercase()) && tail.starts_with(|c: char| c.is_ascii_digit())
    });
    s.chars().all(plain) && !refers && !s.contains("www.") && !listed && !ruled && s.trim() == s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_stay_plain() {
        for s in ["move churn version 3 from None to Production (approved)", "0.91", "-3", "größe", "2026-03-01"] {
            assert_eq!(words(s), s);
        }
        assert_eq!(words("tag_set"), "tag\\_set");
    }

    #[test]
    fn what_a_host_could_read_goes_into_code() {
        for s in [
            "@alice",
            "see #1",
            "a!1",
            "GH-12",
            "www.evil.org",
            "https://evil",
            "x@y.org",
            "<img src=x>",
            "&amp;",
            "*b*",
            "[a](b)",
            "/close",
            "1. one",
            "- x",
            "---",
            "===",
            "a~b~",
            ":tada:",
            "$x$",
            "~~x~~",
            "%1",
            "x\\",
            " x",
            "+ x",
            "_",
        ] {
            assert_eq!(words(s), format!("{0}{1}{0}", "`", if s == " x" { "  x " } else { s }), "{s}");
        }
    }

    #[test]
    fn ticks_and_bars_do_not_break_out() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`a``"), "``` `a`` ```");
        assert_eq!(cell("a|b\n|c"), "`a\\|b\\n\\|c`");
        assert_eq!(words(""), "");
        assert!(code(&"x".repeat(1000)).chars().count() < 310);
    }

    #[test]
    fn a_text_ends_before_a_comment_would() {
        let mut text = Markdown::default();
        (0..10_000).for_each(|_| text.point(0, "many words"));
        let text = text.finish();
        assert!(text.len() < MAX_TEXT + 200 && text.ends_with("prints all.\n"), "{}", text.len());
    }
}
