//! Formats messages for the person who pushes: plain ASCII, short, and in the form that the host passes on.

use crate::gate::{Host, plain};

/// The longest message for a client, in bytes.
pub const MAX: usize = 4096;

/// The last line of a message that was cut.
const MORE: &str = "... and more; `greenroom check` in your clone shows all of it\n";

/// Returns a text as it is sent to the client. Each character outside of printable ASCII is escaped. The text is cut at
/// a line so that it has at most [`MAX`] bytes. For GitLab, each line gets the mark that makes GitLab's pages show it.
pub fn to_client(text: &str, host: Option<Host>) -> String {
    let mark = match host {
        Some(Host::GitLab) => "GL-HOOK-ERR: ",
        Some(_) | None => "",
    };
    let mut out = String::new();
    for line in text.lines() {
        let mut plainly = mark.to_owned();
        line.chars().for_each(|c| plain(c, &mut plainly));
        let line = plainly + "\n";
        if out.len() + line.len() > MAX - MORE.len() - mark.len() {
            let room = MAX - MORE.len() - mark.len() - out.len();
            // A single line that is too long is cut.
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
