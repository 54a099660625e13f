//! What the person who pushes sees: plain ASCII, not much of it, in the form in which the host passes it on.

use crate::gate::Host;

/// The most that is sent to a client, in bytes.
pub const MAX: usize = 4096;

/// What is said where more was to say.
const MORE: &str = "... and more; `greenroom check` in your clone shows all of it\n";

/// A text as it is sent to the client: each character outside of printable ASCII escaped, cut at a line so that it has
/// at most [`MAX`] bytes, and for GitLab with the mark that makes its pages show it.
pub fn to_client(text: &str, host: Option<Host>) -> String {
    let mark = match host {
        Some(Host::GitLab) => "GL-HOOK-ERR: ",
        Some(_) | None => "",
    };
    let mut out = String::new();
    for line in text.lines() {
        let line: String = line.chars().flat_map(ascii).collect();
        let line = format!("{mark}{line}\n");
        if out.len() + line.len() > MAX - MORE.len() - mark.len() {
            let room = MAX - MORE.len() - mark.len() - out.len();
            // One line of its own that is too long is shown as far as it goes.
            if out.is_empty() {
                out.push_str(&line[..room - 1]);
                out.push('\n');
            }
            return out + mark + MORE;
        }
        out.push_str(&line);
    }
    out
}

/// A character as ASCII: signs of typography by their like, others by their number.
fn ascii(c: char) -> Vec<char> {
    match c {
        ' '..='~' => vec![c],
        '\t' => vec![' '],
        '\u{2018}' | '\u{2019}' => vec!['\''],
        '\u{201c}' | '\u{201d}' => vec!['"'],
        '\u{2026}' => vec!['.'; 3],
        '\u{2013}' | '\u{2014}' => vec!['-'],
        '\u{2192}' => vec!['-', '>'],
        '\u{2265}' => vec!['>', '='],
        '\u{2264}' => vec!['<', '='],
        other => other.escape_unicode().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_ascii_reaches_a_client() {
        assert_eq!(
            to_client("auc ≥ 0.8…\n\u{1b}[31mé\t\u{202e}", None),
            "auc >= 0.8...\n\\u{1b}[31m\\u{e9} \\u{202e}\n"
        );
    }

    #[test]
    fn gitlab_marks_each_line() {
        assert_eq!(to_client("one\ntwo", Some(Host::GitLab)), "GL-HOOK-ERR: one\nGL-HOOK-ERR: two\n");
    }

    #[test]
    fn a_long_text_is_cut_at_a_line() {
        for host in [None, Some(Host::GitLab)] {
            for text in ["a line of some length\n".repeat(1000), "é".repeat(9000), "x".repeat(9000)] {
                let said = to_client(&text, host);
                assert!(said.len() <= MAX && said.len() > MAX / 2 && said.ends_with(MORE), "{} bytes", said.len());
            }
        }
        let short = "a line\n".repeat(500);
        assert_eq!(to_client(&short, None), short);
    }
}
