//! One transcript: parsed, played in a sandbox, and compared.

use std::io::Read as _;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Stdio;

use snapbox::IntoData as _;
use snapbox::filter::NormalizeToExpected;
use snapbox::report::{Palette, write_diff};

use crate::support::{Sandbox, tools};

/// The person who runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Person {
    Alice,
    Bob,
}

/// A command and its expected output.
#[derive(Debug)]
struct Step {
    person: Person,
    command: String,
    code: i32,
    /// The lines of the file with the exit code and the output.
    said: Range<usize>,
    output: String,
}

/// A file of `tests/cmd`.
#[derive(Debug)]
pub struct Transcript {
    lines: Vec<String>,
    steps: Vec<Step>,
}

/// The result of a transcript: the exit code and output of each command.
#[derive(Debug)]
pub struct Played {
    transcript: Transcript,
    results: Vec<(i32, String)>,
}

/// The person and the command of a line, if it starts a command.
fn prompt(line: &str) -> Option<(Person, &str)> {
    let alice = line.strip_prefix("$ ").map(|c| (Person::Alice, c));
    alice.or_else(|| line.strip_prefix("bob$ ").map(|c| (Person::Bob, c)))
}

impl Transcript {
    /// Reads the commands of the blocks marked `console`; the error begins with the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let line = |at: usize| lines.get(at).map(String::as_str);
        let mut steps = Vec::new();
        let mut at = 0;
        while let Some(opening) = line(at) {
            at += 1;
            if !opening.starts_with("```") {
                continue;
            }
            let played = opening == "```console";
            while line(at).is_some_and(|l| l != "```") {
                let Some((person, command)) = line(at).and_then(prompt).filter(|_| played) else {
                    if played {
                        return Err(format!("{}: output before the first command", at + 1));
                    }
                    at += 1;
                    continue;
                };
                let mut command = command.to_owned();
                at += 1;
                while let Some(more) = line(at).and_then(|l| l.strip_prefix("> ").or((l == ">").then_some(""))) {
                    command = format!("{command}\n{more}");
                    at += 1;
                }
                let start = at;
                let code = match line(at).and_then(|l| l.strip_prefix("? ")) {
                    Some(code) => {
                        at += 1;
                        code.parse().map_err(|_| format!("{at}: '{code}' is not an exit code"))?
                    }
                    None => 0,
                };
                let output = at;
                while line(at).is_some_and(|l| l != "```" && prompt(l).is_none()) {
                    at += 1;
                }
                let said: Vec<&str> = lines[output..at].iter().map(String::as_str).collect();
                let filled = said.iter().rposition(|l| !l.is_empty()).map_or(0, |i| i + 1);
                steps.push(Step {
                    person,
                    command,
                    code,
                    said: start..output + filled,
                    output: said[..filled].join("\n"),
                });
            }
            if line(at).is_none() {
                return Err(format!("{at}: the block has no end"));
            }
            at += 1;
        }
        if steps.is_empty() {
            Err("1: no command in a block marked console".to_owned())
        } else {
            Ok(Self { lines, steps })
        }
    }

    /// The command lines, as written.
    pub fn commands(&self) -> Vec<String> {
        self.steps.iter().map(|s| s.command.clone()).collect()
    }

    /// Runs the commands one after the other in a new sandbox.
    pub fn play(self) -> Played {
        let sandbox = Sandbox::new();
        sandbox.git(["config", "--global", "core.abbrev", "12"]).success();
        sandbox.git(["config", "--global", "advice.detachedHead", "false"]).success();
        let mut folder = PathBuf::new();
        let mut results = Vec::new();
        for (minute, step) in self.steps.iter().enumerate() {
            if let Some(to) = step.command.strip_prefix("cd ") {
                folder.push(to);
                results.push((i32::from(!sandbox.path(&folder).is_dir()), String::new()));
            } else {
                results.push(run(&sandbox, &folder, step, minute));
            }
        }
        Played { transcript: self, results }
    }
}

/// Runs a command in a shell, minutes after noon; returns its exit code and output, redacted.
fn run(sandbox: &Sandbox, folder: &PathBuf, step: &Step, minute: usize) -> (i32, String) {
    let by = match step.person {
        Person::Alice => sandbox.alice(),
        Person::Bob => sandbox.bob(),
    };
    let time = format!("2026-03-01T{:02}:{:02}:00Z", 12 + minute / 60, minute % 60);
    let (mut output, writer) = std::io::pipe().expect("a pipe");
    let mut command = by.within(folder).at(&time).env("EXAMPLES", tools::examples()).command("sh");
    command.args(["-c", &step.command]).stdin(Stdio::null());
    command.stdout(writer.try_clone().expect("a pipe has two ends")).stderr(writer);
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", step.command));
    // The command holds the writing end, too: otherwise the output would never end.
    drop(command);
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes).expect("a pipe can be read");
    let ended = child.wait().expect("a child can be waited for");
    let text = String::from_utf8_lossy(&bytes);
    let root = sandbox.path("");
    let root = root.to_str().expect("temporary folders have plain names").trim_end_matches('/');
    (ended.code().unwrap_or(-1), redact(&text, root).trim_end_matches('\n').to_owned())
}

/// Replaces text that differs from run to run: the sandbox's folder, random ids and the object ids that follow from
/// them.
fn redact(text: &str, folder: &str) -> String {
    let text = text.replace(folder, "[DIR]");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let of_id = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let end = rest.find(|c| !of_id(c)).unwrap_or(rest.len());
        if end == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(end);
        out.push_str(match word {
            _ if is_uuid(word) => "[ID]",
            _ if is_object_id(word) => "[COMMIT]",
            _ => word,
        });
        rest = after;
    }
    out
}

fn is_uuid(word: &str) -> bool {
    let lengths = word.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// Whether a word is a SHA-1, in full or abbreviated as in transcripts; or an id without its hyphens.
fn is_object_id(word: &str) -> bool {
    matches!(word.len(), 12 | 32 | 40) && word.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

impl Played {
    /// The output of each command; if it matches the transcript, in the transcript's own text.
    fn settled(&self) -> impl Iterator<Item = (&Step, i32, String)> {
        self.transcript.steps.iter().zip(&self.results).map(|(step, (code, printed))| {
            let said = step.output.clone().into_data();
            let settled = NormalizeToExpected::new().redact().normalize(printed.clone().into_data(), &said);
            (step, *code, settled.to_string())
        })
    }

    /// The differences from the transcript; `None` if there are none.
    pub fn differences(&self) -> Option<String> {
        let mut out = String::new();
        for (step, code, printed) in self.settled().filter(|(s, code, p)| s.code != *code || s.output != *p) {
            let (said, is) = (format!("? {}\n{}\n", step.code, step.output), format!("? {code}\n{printed}\n"));
            out.push_str(&format!("line {}: {}\n", step.said.start, step.command));
            write_diff(
                &mut out,
                &said.into_data(),
                &is.into_data(),
                Some(&"transcript"),
                Some(&"printed"),
                Palette::plain(),
            )
            .expect("a string accepts all writes");
        }
        Some(out).filter(|o| !o.is_empty())
    }

    /// The transcript with the actual output.
    pub fn text(&self) -> String {
        let mut lines = self.transcript.lines.clone();
        let settled: Vec<_> = self.settled().collect();
        for (step, code, printed) in settled.into_iter().rev() {
            let code = (code != 0).then(|| format!("? {code}"));
            let printed = printed.lines().map(str::to_owned).collect::<Vec<_>>();
            lines.splice(step.said.clone(), code.into_iter().chain(printed));
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Title\n\n```console\n$ echo a b\na [..]\n\nbob$ cat <<END\n> x\n> END\n? 3\n...\n```\n\n```toml\n$ no\n```\n";

    #[test]
    fn a_transcript_is_read() {
        let read = Transcript::parse(TEXT).unwrap();
        assert_eq!(read.commands(), ["echo a b", "cat <<END\nx\nEND"]);
        let seen: Vec<_> = read.steps.iter().map(|s| (s.person, s.code, s.output.as_str())).collect();
        assert_eq!(seen, [(Person::Alice, 0, "a [..]"), (Person::Bob, 3, "...")]);
        assert!(Transcript::parse("```console\n$ a\n").unwrap_err().contains("no end"));
        assert!(Transcript::parse("```console\na\n```\n").unwrap_err().starts_with("2: output before"));
        assert!(Transcript::parse("text\n").is_err());
    }

    #[test]
    fn what_differs_is_shown_and_can_be_written() {
        let text = TEXT.replace("? 3\n...", "y\n").replace("a [..]", "a [..] c");
        let played = Transcript::parse(&text).unwrap().play();
        let shown = played.differences().unwrap();
        assert!(shown.contains("- a [..] c") && shown.contains("+ a b") && shown.contains("+ x"), "{shown}");
        let wanted = TEXT.replace("? 3\n...", "x\n").replace("a [..]", "a b");
        let written = played.text();
        assert_eq!(written, wanted);
        let again = Transcript::parse(&TEXT.replace("? 3\n", "")).unwrap().play();
        assert_eq!(again.differences(), None);
        assert_eq!(again.text(), TEXT.replace("? 3\n", ""), "wildcards that match are kept");
    }

    #[test]
    fn an_exit_code_that_is_not_said_is_a_difference() {
        let played = Transcript::parse("```console\n$ exit 2\n```\n").unwrap().play();
        assert!(played.differences().unwrap().contains("+ ? 2"), "{:?}", played.differences());
        assert_eq!(played.text(), "```console\n$ exit 2\n? 2\n```\n");
    }

    #[test]
    fn what_is_random_is_redacted() {
        let text = "/t/x/a 0198c0de-0000-7000-8000-00000000000a 1234567890ab, deadbeef tested-12345678";
        assert_eq!(redact(text, "/t/x"), "[DIR]/a [ID] [COMMIT], deadbeef tested-12345678");
    }
}
