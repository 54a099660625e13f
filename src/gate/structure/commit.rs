//! Checks a commit's own bytes: its headers and their order, its author, committer and times, and its message.

use super::secret;
use crate::text::{self, quoted};
use crate::time::Timestamp;
use crate::tree::Oid;

/// The largest difference between clocks, in seconds.
pub(super) const SKEW: i64 = 300;

/// The largest size of the headers, in bytes: signatures and signed tags are long.
pub(super) const MAX_HEADERS: usize = 64 << 10;

/// The tree and parents of a commit, and its committer time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommitLinks {
    pub tree: Oid,
    pub parents: Vec<Oid>,
    pub committed: Timestamp,
}

/// A fault: the rule, the message, the advice.
pub(super) type CommitFinding = (&'static str, String, &'static str);

/// The context of the checks.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommitContext {
    /// The length of an id in bytes.
    pub id_len: usize,
    /// The longest message in bytes.
    pub message: usize,
    /// The time on the gate's clock.
    pub now: Timestamp,
}

/// Judges the bytes of a commit. Returns its parts if they can be read, whatever other faults there are.
pub(super) fn judge(bytes: &[u8], terms: CommitContext) -> (Option<CommitLinks>, Vec<CommitFinding>) {
    let mut found = Vec::new();
    let Some(end) = bytes.windows(2).position(|w| w == b"\n\n") else {
        found.push(odd("the commit has no empty line between its headers and its message"));
        return (None, found);
    };
    let (head, message) = (bytes.get(..=end).unwrap_or_default(), bytes.get(end + 2..).unwrap_or_default());
    judge_message(message, terms, &mut found);
    if bytes.contains(&0) {
        found.push(odd("the commit contains a NUL byte"));
    }
    let Ok(head) = std::str::from_utf8(head) else {
        found.push(odd("the commit's headers are not UTF-8"));
        return (None, found);
    };
    if head.len() > MAX_HEADERS {
        found.push(("limit", format!("the commit's headers have more than {MAX_HEADERS} bytes"), ""));
        return (None, found);
    }
    let parts = judge_headers(&headers(head), terms, &mut found);
    (parts, found)
}

const AS_GIT: &str = "make the commit with git, without programs that add headers of their own";

fn odd(what: impl Into<String>) -> CommitFinding {
    ("commit", what.into(), AS_GIT)
}

/// Splits headers into name and value; a line that begins with a space continues the previous value.
fn headers(head: &str) -> Vec<(&str, String)> {
    let mut out: Vec<(&str, String)> = Vec::new();
    for line in head.split_terminator('\n') {
        match (line.strip_prefix(' '), out.last_mut()) {
            (Some(more), Some((_, value))) => {
                value.push('\n');
                value.push_str(more);
            }
            (Some(_), None) | (None, _) => {
                let (name, value) = line.split_once(' ').unwrap_or((line, ""));
                out.push((name, value.to_owned()));
            }
        }
    }
    out
}

fn judge_headers(
    headers: &[(&str, String)],
    terms: CommitContext,
    found: &mut Vec<CommitFinding>,
) -> Option<CommitLinks> {
    let mut rest = headers;
    let id = |hex: &str| Oid::from_hex(hex).filter(|o| hex.len() == 2 * terms.id_len && o.to_string() == hex);
    let tree = take(&mut rest, "tree").and_then(id);
    let mut parents = Vec::new();
    while let Some(hex) = take(&mut rest, "parent") {
        let Some(parent) = id(hex) else {
            found.push(odd("the commit names a parent with text that is not an id"));
            return None;
        };
        parents.push(parent);
    }
    let author = take(&mut rest, "author").map(str::to_owned);
    let committer = take(&mut rest, "committer").map(str::to_owned);
    let (Some(tree), Some(author), Some(committer)) = (tree, author, committer) else {
        found
            .push(odd("the commit must begin with one tree, its parents, one author and one committer, in this order"));
        return None;
    };
    if parents.len() > 2 {
        found.push((
            "commit",
            format!("the commit merges {} branches at once", parents.len() - 1),
            "merge the branches one by one",
        ));
    }
    if parents.iter().enumerate().any(|(i, p)| parents.iter().skip(i + 1).any(|q| p == q)) {
        found.push(odd("the commit names a parent twice"));
    }
    judge_rest(rest, &parents, found);
    judge_ident("author", &author, terms.now, found);
    let committed = judge_ident("committer", &committer, terms.now, found)?;
    Some(CommitLinks { tree, parents, committed })
}

/// Takes the first header if it has this name.
fn take<'h>(rest: &mut &'h [(&str, String)], name: &str) -> Option<&'h str> {
    let ((first, value), others) = rest.split_first()?;
    if *first != name || value.contains('\n') {
        return None;
    }
    *rest = others;
    Some(value)
}

/// Judges the optional headers: signatures, and the signed tags that were merged.
fn judge_rest(rest: &[(&str, String)], parents: &[Oid], found: &mut Vec<CommitFinding>) {
    for (i, (name, value)) in rest.iter().enumerate() {
        match *name {
            "gpgsig" | "gpgsig-sha256" => {
                if rest.iter().take(i).any(|(n, _)| n == name) {
                    found.push(odd("the commit has two signatures of one kind"));
                }
                if value.is_empty() || !value.chars().all(|c| c == '\n' || matches!(c, ' '..='~')) {
                    found.push(odd("the commit's signature is not armored text"));
                }
            }
            "mergetag" => {
                let object = value.strip_prefix("object ").and_then(|v| v.split('\n').next());
                if !parents.iter().skip(1).any(|p| object == Some(&p.to_string())) {
                    found.push(odd("the commit contains a signed tag of a commit that it does not merge"));
                }
                if text::check(value, usize::MAX).is_err() {
                    found.push(odd("the signed tag in the commit contains a control or invisible character"));
                }
            }
            other => found.push(odd(format!("the commit has the unknown header {}", quoted(other)))),
        }
    }
}

/// Judges `Name <email> seconds +hhmm` and returns the time, if it can be read.
fn judge_ident(who: &str, line: &str, now: Timestamp, found: &mut Vec<CommitFinding>) -> Option<Timestamp> {
    let Some((name, email, when)) = split_ident(line) else {
        found.push(odd(format!("the commit's {who} must have a name, an e-mail address in < > and a time")));
        return None;
    };
    let help = "set user.name and user.email, and make the commit again";
    if name.trim() != name || name.is_empty() || !name.chars().all(text::is_plain) {
        let say = format!("the name of the commit's {who} is empty, or contains a control or invisible character");
        found.push(("commit", say, help));
    }
    let address =
        email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    if !address || !email.chars().all(|c| text::is_plain(c) && !c.is_whitespace()) {
        let say = format!("the commit's {who} has {} as the e-mail address, which is not valid", quoted(email));
        found.push(("commit", say, help));
    }
    let Some(seconds) = read_time(when) else {
        found.push(odd(format!("the time of the commit's {who} is not in git's format")));
        return None;
    };
    let time = Timestamp::from_seconds(seconds);
    if seconds > now.as_seconds().saturating_add(SKEW) {
        let say = format!("the time of the commit's {who} is in the future");
        found.push((
            "commit-time",
            say,
            "correct the clock, and make the commit again: git commit --amend --reset-author",
        ));
    }
    Some(time)
}

fn split_ident(line: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = line.split_once('<')?;
    let (email, when) = rest.split_once('>')?;
    let fine = !name.contains('>') && !email.contains('<') && !when.contains(['<', '>']);
    Some((name.strip_suffix(' ')?, email, when.strip_prefix(' ')?)).filter(|_| fine)
}

/// Parses `seconds +hhmm`: no sign, no leading zeros, an existing time zone, no later than the year 9999.
fn read_time(when: &str) -> Option<i64> {
    const YEAR_10000: i64 = 253_402_300_800;
    let (seconds, zone) = when.split_once(' ')?;
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let zone = zone.strip_prefix(['+', '-'])?;
    let (hours, minutes) = (zone.get(..2)?, zone.get(2..)?);
    let there_is = zone.len() == 4 && digits(zone) && hours <= "14" && minutes <= "59";
    let exact = digits(seconds) && (seconds == "0" || !seconds.starts_with('0'));
    seconds.parse().ok().filter(|s| there_is && exact && *s < YEAR_10000)
}

fn judge_message(message: &[u8], terms: CommitContext, found: &mut Vec<CommitFinding>) {
    let reword = "reword the commit: git rebase --interactive, or git commit --amend";
    if message.len() > terms.message {
        let say = format!("the commit's message has {} bytes; at most {} are allowed", message.len(), terms.message);
        found.push(("limit", say, reword));
        return;
    }
    let Ok(message) = std::str::from_utf8(message) else {
        found.push(("commit", "the commit's message is not UTF-8".to_owned(), reword));
        return;
    };
    if message.trim().is_empty() {
        found.push(("commit", "the commit has no message".to_owned(), reword));
    }
    // Web pages send lines that end in CR LF, and hosts write them into merge commits unchanged.
    if let Err(e) = text::check(&message.replace("\r\n", "\n"), usize::MAX) {
        found.push(("commit", format!("the commit's message cannot be shown: {e}"), reword));
    }
    for hit in secret::find(message.as_bytes()) {
        let say = format!("line {} of the commit's message contains what looks like {}", hit.line, hit.what);
        found.push(("secret", say, secret::HELP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";
    const NOW: i64 = 1_800_000_000;

    /// Builds a correct commit in which `old` is replaced by `new`.
    fn with(old: &str, new: &str) -> Vec<u8> {
        let good = format!(
            "tree {TREE}\nparent {ONE}\nauthor Ada <ada@example.org> {NOW} +0100\n\
             committer Ada <ada@example.org> {NOW} +0100\n\nAdd a model\n\nBecause.\n"
        );
        assert!(good.contains(old), "{old} is not in {good}");
        good.replacen(old, new, 1).into_bytes()
    }

    fn judged(bytes: &[u8]) -> Vec<CommitFinding> {
        judge(bytes, CommitContext { id_len: 20, message: 64 << 10, now: Timestamp::from_seconds(NOW) }).1
    }

    #[track_caller]
    fn refused(bytes: &[u8], rule: &str, words: &str) {
        let found = judged(bytes);
        let hit = found.iter().any(|(r, say, _)| *r == rule && say.contains(words));
        assert!(hit, "[{rule}] {words}: {found:?}\n{}", String::from_utf8_lossy(bytes));
    }

    #[track_caller]
    fn accepted(bytes: &[u8]) {
        assert_eq!(judged(bytes), [], "{}", String::from_utf8_lossy(bytes));
    }

    fn signature(name: &str) -> String {
        format!("{name} -----BEGIN SSH SIGNATURE-----\n U1NIU0lH\n \n -----END SSH SIGNATURE-----\n")
    }

    #[test]
    fn commits_as_git_and_hosts_write_them_pass() {
        let end = "+0100\n\n";
        let merge = format!("parent {ONE}\nparent {TWO}\n");
        let tag = format!(
            "mergetag object {TWO}\n type commit\n tag v1\n tagger Ada <ada@example.org> 1 +0000\n \n release\n \
             -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n"
        );
        accepted(&with("Add", "Add"));
        accepted(&with(&format!("parent {ONE}\n"), ""));
        accepted(&with(end, &format!("+0100\n{}\n", signature("gpgsig"))));
        accepted(&with("Ada <ada", "Ægir Ólafsson ☃ <ada"));
        accepted(&with("Because.", "\u{1f680} 中文\tשלום\r\nfrom a web page"));
        let merged = String::from_utf8(with(&format!("parent {ONE}\n"), &merge)).unwrap();
        accepted(merged.as_bytes());
        accepted(merged.replacen(end, &format!("+0100\n{tag}{}\n", signature("gpgsig")), 1).as_bytes());
        let web = merged.replacen("committer Ada <ada@example.org>", "committer GitHub <noreply@github.com>", 1);
        accepted(web.replacen(end, &format!("+0100\n{}\n", signature("gpgsig")), 1).as_bytes());
    }

    #[test]
    fn headers_are_known_ones_in_gits_order() {
        for (old, new) in [
            ("+0100\n\n", "+0100\nencoding ISO-8859-1\n\n"),
            ("+0100\n\n", "+0100\nx-approved-by bob\n\n"),
            ("+0100\n\n", "+0100\nparent 2222222222222222222222222222222222222222\n\n"),
            ("+0100\n\n", "+0100\nauthor Bob <bob@example.org> 1 +0000\n\n"),
        ] {
            refused(&with(old, new), "commit", "has the unknown header");
        }
        for (old, new) in [
            ("author", "committer"),
            ("tree ", "tee "),
            ("parent 1111", "parent 111"),
            ("parent 1111", "parent +111"),
            ("author Ada", "author Bob <bob@example.org> 1 +0000\nauthor Ada"),
            ("tree", "parent 2222222222222222222222222222222222222222\ntree"),
            ("author Ada <", "author Ada\n <"),
        ] {
            assert!(!judged(&with(old, new)).is_empty(), "{new}");
        }
        refused(b"tree 1\n", "commit", "no empty line");
        refused(b"", "commit", "no empty line");
        let twice = format!("+0100\n{}{}\n", signature("gpgsig"), signature("gpgsig"));
        refused(&with("+0100\n\n", &twice), "commit", "two signatures");
        refused(&with("+0100\n\n", "+0100\ngpgsig \u{202e}\n\n"), "commit", "is not armored text");
        refused(&with("+0100\n\n", &format!("+0100\nmergetag object {TWO}\n\n")), "commit", "does not merge");
    }

    #[test]
    fn a_commit_has_two_parents_at_most_and_each_once() {
        let parent = format!("parent {ONE}\n");
        refused(&with(&parent, &parent.repeat(2)), "commit", "a parent twice");
        let three = format!("{parent}parent {TWO}\nparent {TREE}\n");
        refused(&with(&parent, &three), "commit", "merges 2 branches");
    }

    #[test]
    fn identities_are_well_formed() {
        for (old, new) in [
            ("author Ada <", "author <"),
            ("author Ada <", "author  <"),
            ("author Ada <", "author A\u{202e}da <"),
            ("author Ada <", "author A\u{200b}da <"),
            ("author Ada <", "author A\u{1b}[31mda <"),
            ("author Ada <", "author Ada> <"),
            ("<ada@example.org>", "<>"),
            ("<ada@example.org>", "<ada>"),
            ("<ada@example.org>", "<ada@>"),
            ("<ada@example.org>", "<a@b@c>"),
            ("<ada@example.org>", "<ada@example.org\u{200b}>"),
            ("<ada@example.org>", "<ada @example.org>"),
            ("<ada@example.org> ", "<ada@example.org>"),
            ("<ada@example.org>", "ada@example.org"),
        ] {
            refused(&with(old, new), "commit", "the commit's author");
        }
    }

    #[test]
    fn times_are_written_as_git_writes_them() {
        let time = format!("{NOW} +0100");
        for bad in [
            "",
            "x +0100",
            "-5 +0100",
            "01 +0100",
            "99999999999999999999 +0100",
            "1 0100",
            "1 +100",
            "1 +2500",
            "1 +0160",
            "1",
        ] {
            let found = judged(&with(&time, bad));
            assert!(!found.is_empty(), "{bad}");
        }
    }

    #[test]
    fn no_time_lies_in_the_future() {
        let at = |seconds: i64| with(&format!("{NOW} +0100"), &format!("{seconds} +0100"));
        accepted(&at(NOW + 60));
        accepted(&at(NOW - 86_400));
        accepted(&at(NOW + SKEW));
        refused(&at(NOW + SKEW + 1), "commit-time", "author is in the future");
        let committer = format!("committer Ada <ada@example.org> {NOW}");
        let later = with(&committer, &format!("committer Ada <ada@example.org> {}", NOW + 400));
        refused(&later, "commit-time", "committer is in the future");
    }

    #[test]
    fn a_message_is_text_that_can_be_shown() {
        for bad in ["\u{1b}[2J", "\u{202e}", "\u{200b}", "\u{9b}31m", "a\rb", "\u{7}", "\u{feff}"] {
            refused(&with("Because.", bad), "commit", "cannot be shown");
        }
        refused(&with("Add a model\n\nBecause.\n", " \n"), "commit", "no message");
        refused(&with("Because.", "a\0b"), "commit", "NUL");
        refused(&with("Because.", &"x".repeat(65 << 10)), "limit", "at most 65536");
        let mut latin = with("Because.", "");
        latin.extend_from_slice(b"caf\xe9\n");
        refused(&latin, "commit", "message is not UTF-8");
        let mut name = with("Because.", "");
        name.splice(60..60, [0xff]);
        refused(&name, "commit", "headers are not UTF-8");
    }

    #[test]
    fn a_message_holds_no_secret_and_the_refusal_does_not_say_it() {
        let token = format!("{}_{}", "ghp", "a1B2".repeat(9));
        let found = judged(&with("Because.", &format!("use {token}")));
        assert!(found.iter().any(|(rule, ..)| *rule == "secret"), "{found:?}");
        assert!(!format!("{found:?}").contains("a1B2"), "{found:?}");
    }

    #[test]
    fn no_bytes_make_it_fail_otherwise_than_by_a_finding() {
        let good = with("Add", "Add");
        for cut in 0..good.len() {
            let _ = judged(&good[..cut]);
            let mut flipped = good.clone();
            flipped[cut] ^= 0x80;
            assert!(!judged(&flipped).is_empty(), "byte {cut}");
        }
    }
}
