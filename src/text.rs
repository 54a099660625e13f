//! Texts from people: the characters that may be stored, and functions that escape any text for output.
//!
//! Terminals, mails and web pages show stored texts. A stored text therefore contains no control characters except line
//! feed and tab, and no invisible characters that reorder or hide text.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::Serialize;

/// The longest description or comment, in bytes.
pub const MAX_TEXT: usize = 100_000;

/// Returns whether `c` is a bidirectional control, zero-width or tag character, which reorders or hides text around it.
pub const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// Returns whether `c` is allowed in a single-line value such as a name: neither a control nor an invisible character.
pub fn is_plain(c: char) -> bool {
    !c.is_control() && !is_invisible(c)
}

/// The error for a text that cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// The text contains a control, bidirectional or zero-width character.
    #[error(
        "the character U+{:04X} at position {at} is not allowed: control, bidirectional and zero-width \
         characters are refused; line feeds and tabs are allowed", *.c as u32
    )]
    Character {
        /// The character.
        c: char,
        /// The position of the character, counted in characters from 1.
        at: usize,
    },
    /// The text has more bytes than allowed.
    #[error("the text has {len} bytes; at most {max} are allowed")]
    TooLong {
        /// The length of the text in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
}

/// Checks that `s` may be stored as a text of several lines.
///
/// # Errors
/// Returns [`InvalidText`] if `s` has more than `max` bytes, or contains a character that is not allowed.
pub fn check(s: &str, max: usize) -> Result<(), InvalidText> {
    if s.len() > max {
        return Err(InvalidText::TooLong { len: s.len(), max });
    }
    match s.chars().enumerate().find(|&(_, c)| !(is_plain(c) || c == '\n' || c == '\t')) {
        Some((i, c)) => Err(InvalidText::Character { c, at: i + 1 }),
        None => Ok(()),
    }
}

/// A description, a comment or another text of several lines that may be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Text(
    #[schemars(
        length(max = 100_000),
        regex(
            pattern = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]*$"
        )
    )]
    String,
);

impl Text {
    /// Makes a text. Carriage returns before line feeds are removed, as git does for text files.
    ///
    /// # Errors
    /// Returns [`InvalidText`] if the text has more than [`MAX_TEXT`] bytes, or contains a character that is not
    /// allowed.
    pub fn new(s: &str) -> Result<Self, InvalidText> {
        let s = s.replace("\r\n", "\n");
        check(&s, MAX_TEXT)?;
        Ok(Self(s))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first line that is not blank, without surrounding white space, for lists.
    pub fn first_line(&self) -> &str {
        self.0.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default()
    }

    /// Returns whether the text is empty or only white space.
    pub fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Escapes any text for output in one line. Control and invisible characters become `\u{…}`, so that a text from a
/// repository cannot control a terminal or forge a line of a log.
pub fn one_line(s: &str) -> Cow<'_, str> {
    escape(s, |c| !is_plain(c))
}

/// Escapes any text for output in several lines. Line feeds and tabs stay; all other control and invisible characters
/// are escaped.
pub fn many_lines(s: &str) -> Cow<'_, str> {
    escape(s, |c| !is_plain(c) && c != '\n' && c != '\t')
}

fn escape(s: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !s.chars().any(&bad) {
        return Cow::Borrowed(s);
    }
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        match c {
            '\n' if bad(c) => out.push_str("\\n"),
            '\t' if bad(c) => out.push_str("\\t"),
            c if bad(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Escapes any text for HTML, as element content or in a quoted attribute, so that the text cannot contain markup. Line
/// feeds and tabs stay; other control characters are escaped as in [`many_lines`].
pub fn to_html(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 8);
    for c in many_lines(s).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Returns a value in single quotes for a message, escaped and truncated to 120 characters.
pub fn quoted(s: &str) -> String {
    let cut: String = s.chars().take(120).collect();
    let dots = if cut.len() < s.len() { "…" } else { "" };
    format!("'{}{dots}'", one_line(&cut))
}

/// Returns a value in double quotes, escaped as in JSON and truncated as by [`quoted`], in one line.
pub fn double_quoted(s: &str) -> String {
    let cut: String = s.chars().take(120).collect();
    let dots = if cut.len() < s.len() { "…" } else { "" };
    one_line(&serde_json::Value::from(format!("{cut}{dots}")).to_string()).into_owned()
}

/// Returns the message of an error followed by the messages of its causes, separated by `: `.
pub fn with_causes(e: &dyn std::error::Error) -> String {
    let mut out = e.to_string();
    let mut cause = e.source();
    while let Some(e) = cause {
        out.push_str(&format!(": {e}"));
        cause = e.source();
    }
    out
}

/// Returns a count with its noun: `1 file`, `2 files`. `noun` is a singular whose plural ends in `s`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Returns the scheme of a URI as it is written (RFC 3986, section 3.1); `None` if the text does not begin with one. A
/// single letter may also be the drive of a path.
pub fn uri_scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let plain = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    (plain && scheme.starts_with(|c: char| c.is_ascii_alphabetic())).then_some(scheme)
}

/// Returns the first names of a list and the number of the others: `a, b and 3 more`. At most `most` names are shown.
pub fn listed<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let shown = names.iter().take(most).map(|name| one_line(name.as_ref())).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_lines_and_refuses_what_drives_a_terminal() {
        assert_eq!(Text::new("a\r\nb\tc").map(|t| t.to_string()), Ok("a\nb\tc".to_owned()));
        for bad in ["\u{1b}[31m", "a\u{202e}b", "zero\u{200b}width", "bell\u{7}", "c1\u{9b}", "cr\rhere"] {
            assert!(Text::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_scheme_begins_with_a_letter() {
        for (text, want) in [
            ("s3://b/x", Some("s3")),
            ("RUNS:/r/model", Some("RUNS")),
            ("git+ssh.x-1:y", Some("git+ssh.x-1")),
            ("c:/x", Some("c")),
            ("3s://b", None),
            ("a/b:c", None),
            (":x", None),
            ("plain", None),
        ] {
            assert_eq!(uri_scheme(text), want, "{text}");
        }
    }

    #[test]
    fn a_long_list_names_its_first_and_counts_the_others() {
        assert_eq!(listed(&["a", "b\n"], 2), "a, b\\n");
        assert_eq!(listed(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(listed::<&str>(&[], 2), "");
    }

    #[test]
    fn shown_text_never_holds_a_control_character() {
        assert_eq!(one_line("a\u{1b}]52;c;x\u{7}\nb"), "a\\u{1b}]52;c;x\\u{7}\\nb");
        assert_eq!(many_lines("a\n\u{1b}b"), "a\n\\u{1b}b");
        assert!(matches!(one_line("plain"), Cow::Borrowed(_)));
        assert_eq!(to_html("<a href='x'>\u{7}&\n\""), "&lt;a href=&#39;x&#39;&gt;\\u{7}&amp;\n&quot;");
    }
}
