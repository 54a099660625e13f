//! The message for the pusher: which rule, where, why, and what would satisfy it.
//!
//! The text travels through git to a terminal, so it is plain ASCII, short, and escaped.

use std::fmt::Write as _;

use super::push::{Judgement, PushFault};
use crate::format::problem::folded;

/// The longest message, in bytes.
const MAX_TEXT: usize = 4096;

/// The longest line, in characters.
const MAX_LINE: usize = 600;

impl Judgement {
    /// Formats the refusal as text; empty if nothing is refused.
    pub fn render(&self) -> String {
        let all: Vec<PushFault<'_>> = self.faults().collect();
        let mut out = match all.len() {
            0 => return String::new(),
            1 => "greenroom: the push is refused because it breaks a rule\n".to_owned(),
            n => format!("greenroom: the push is refused because it breaks {n} rules\n"),
        };
        let mut last = None;
        let shown = folded(all.iter().map(|one| (one.commit, &one.fault.problem)));
        for (position, (index, more)) in shown.iter().copied().enumerate() {
            let Some(one) = all.get(index) else { continue };
            let mut text = told(one, last);
            if more > 0 {
                let _ = writeln!(text, "    ... and {more} more like it");
            }
            if out.len() + text.len() > MAX_TEXT - 80 {
                let left: usize = shown.iter().skip(position).map(|(_, more)| 1 + more).sum();
                let _ = writeln!(out, "\n  ... and {left} more");
                break;
            }
            out.push_str(&text);
            last = one.commit;
        }
        out
    }
}

/// Formats a fault, with its commit unless that is the commit of the previous fault.
fn told(one: &PushFault<'_>, last: Option<crate::tree::Oid>) -> String {
    let mut out = String::new();
    match (one.commit.filter(|c| Some(*c) != last), one.step) {
        (Some(commit), Some(step)) => {
            let by = step.actor.as_ref().map(|a| format!(" by {}", a.user)).unwrap_or_default();
            let _ = writeln!(out, "\n  commit {}{by}: {}", commit.short(), ascii(&step.subject));
        }
        (Some(commit), None) => {
            let _ = writeln!(out, "\n  commit {}", commit.short());
        }
        (None, _) if one.commit.is_none() => out.push('\n'),
        (None, _) => {}
    }
    let problem = &one.fault.problem;
    let line = if problem.line > 0 { format!(":{}", problem.line) } else { String::new() };
    let place = if problem.path.is_empty() { String::new() } else { format!("{}{line}: ", problem.path) };
    let _ = writeln!(out, "    {} [{}]", ascii(&format!("{place}{}", problem.message)), problem.rule);
    if !problem.help.is_empty() {
        let _ = writeln!(out, "      -> {}", ascii(&problem.help));
    }
    out
}

/// Converts untrusted text to plain ASCII on one line, truncated if it is too long.
pub fn ascii(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() > MAX_LINE {
            out.push_str("...");
            break;
        }
        plain(c, &mut out);
    }
    out
}

/// Appends a character as ASCII: typographic characters by a similar one, others as an escape.
pub fn plain(c: char, out: &mut String) {
    match c {
        ' '..='~' => out.push(c),
        '\n' | '\t' => out.push(' '),
        '\u{2018}' | '\u{2019}' => out.push('\''),
        '\u{201c}' | '\u{201d}' => out.push('"'),
        '\u{2026}' => out.push_str("..."),
        '\u{2013}' | '\u{2014}' => out.push('-'),
        '\u{2192}' => out.push_str("->"),
        '\u{2265}' => out.push_str(">="),
        '\u{2264}' => out.push_str("<="),
        other => out.extend(other.escape_unicode()),
    }
}

#[cfg(test)]
mod tests {
    use super::ascii;

    #[test]
    fn nothing_but_ascii_reaches_a_terminal() {
        assert_eq!(ascii("a\u{1b}[31mb\u{202e}\u{e4}\nc"), "a\\u{1b}[31mb\\u{202e}\\u{e4} c");
        assert!(ascii(&"x".repeat(5000)).len() < 700);
    }
}
