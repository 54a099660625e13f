//! Markdown for a job's page or a comment. Text from the repository is never interpreted, on any host.
//!
//! Hosts interpret more than Markdown: mentions, references to issues, commands at the start of a line. No host looks
//! into a code span. So text of letters, digits and harmless signs stays as it is; any other text goes into a code
//! span.

use crate::text::one_line;

/// The longest cell or sentence, in characters.
const MAX_WORDS: usize = 300;

/// The longest text, in bytes. GitHub limits comments to 65,536 characters.
const MAX_TEXT: usize = 60_000;

/// A Markdown text under construction.
#[derive(Debug, Default)]
pub(in crate::cli) struct Markdown {
    text: String,
    full: bool,
}

impl Markdown {
    /// Adds a heading. `words` is the program's own text; `level` starts at 1.
    pub(in crate::cli) fn heading(&mut self, level: usize, words: &str) {
        self.gap();
        self.put(&format!("{} {words}\n\n", "#".repeat(level)));
    }

    /// Adds a paragraph. The caller escapes text from the repository.
    pub(in crate::cli) fn paragraph(&mut self, words: &str) {
        self.put(&format!("{words}\n\n"));
    }

    /// Adds an item of a list. The caller escapes text from the repository.
    pub(in crate::cli) fn point(&mut self, depth: usize, words: &str) {
        self.put(&format!("{}- {words}\n", "  ".repeat(depth)));
    }

    /// Adds a table. Head and cells are escaped here.
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

    /// Ends the text with an empty line, unless it has one.
    fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.put("\n");
        }
    }

    /// Adds a piece if it fits within the limit.
    fn put(&mut self, piece: &str) {
        if self.full {
            return;
        }
        if self.text.len() + piece.len() > MAX_TEXT {
            self.full = true;
            self.text.push_str("\n\nThe report is cut here: `greenroom check` prints all.\n");
            return;
        }
        self.text.push_str(piece);
    }

    /// The text, with a line feed at its end.
    pub(in crate::cli) fn finish(self) -> String {
        format!("{}\n", self.text.trim())
    }
}

/// Escapes text from the repository for use within a line.
pub(in crate::cli) fn words(s: &str) -> String {
    let shown = shorten(&one_line(s));
    if is_harmless(&shown) { shown.replace('_', "\\_") } else { code(&shown) }
}

/// Puts any text from the repository into a code span.
pub(in crate::cli) fn code(s: &str) -> String {
    let shown = shorten(&one_line(s));
    if shown.is_empty() {
        return String::new();
    }
    let longest = shown.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // Spaces separate the fence from backticks at the ends; Markdown removes one space on each side.
    let pad = if shown.starts_with(['`', ' ']) || shown.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{shown}{pad}{fence}")
}

/// Escapes text for a cell of a table, where a bar ends the cell even in code.
fn cell(s: &str) -> String {
    words(s).replace('|', "\\|")
}

fn shorten(s: &str) -> String {
    match s.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", s.get(..end).unwrap_or_default()),
        None => s.to_owned(),
    }
}

/// Whether no host interprets any of the text: no markup, mention, reference, URL or command.
fn is_harmless(s: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || " .,'()=_-→…".contains(c);
    let first = s.split(' ').next().unwrap_or_default();
    let number = first.trim_end_matches(['.', ')']);
    let listed = number.len() < first.len() && number.bytes().all(|b| b.is_ascii_digit());
    let ruled = first.chars().all(|c| "-=_".contains(c));
    // `GH-1` refers to an issue, `www.` begins a URL, `__` makes bold text, `---` makes a line.
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
