//! The transcripts of `tests/cmd/*.md`: each is played in a sandbox of its own and must print the recorded output.
//!
//! In a block marked `console`, `$ ` starts a command by Alice and `bob$ ` a command by Bob. `> ` continues it on the
//! next line. `? 5` after a command is its exit code, if that is not 0. The lines after it are its output, stdout and
//! stderr together. A shell runs each command one minute after the previous one; `$EXAMPLES` is the folder of the
//! models that MLflow wrote. `cd` changes the folder of the following commands. In the output, `[ID]`, `[COMMIT]` and
//! `[DIR]` stand for text that differs from run to run, `[..]` for the rest of a line, and a line `...` for any number
//! of lines.
//!
//! `GREENROOM_WRITE=1` writes the actual output into the transcripts; `GREENROOM_TRANSCRIPT=name` plays only that one.

mod play;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use play::Transcript;

use crate::support::tools;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd")
}

/// The transcripts, sorted by name.
fn transcripts() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("tests/cmd is there");
    let mut found: Vec<PathBuf> = entries.map(|e| e.expect("tests/cmd can be listed").path()).collect();
    found.sort();
    let strange: Vec<_> = found.iter().filter(|p| p.extension().is_none_or(|e| e != "md")).collect();
    assert!(
        strange.is_empty(),
        "transcripts are Markdown files, tests/cmd/<command>.md; these would not be played: {strange:?}"
    );
    found
}

#[test]
fn every_transcript_prints_what_it_says() {
    let only = std::env::var("GREENROOM_TRANSCRIPT").ok().filter(|name| !name.is_empty());
    let wanted = |p: &PathBuf| only.as_ref().is_none_or(|only| p.file_stem().is_some_and(|s| s == only.as_str()));
    let paths: Vec<PathBuf> = transcripts().into_iter().filter(wanted).collect();
    assert!(!paths.is_empty(), "there is no transcript to play");
    tools::git_lfs();
    let write = std::env::var_os("GREENROOM_WRITE").is_some();
    let check = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let transcript = Transcript::parse(&text).map_err(|e| format!("{}:{e}", path.display()))?;
        let played = transcript.play();
        if write {
            fs::write(path, played.text()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            return Ok(());
        }
        played.differences().map_or(Ok(()), |d| Err(format!("{}\n{d}", path.display())))
    };
    // Four at a time, because they wait for the disk more than for the processor.
    let queue = std::sync::Mutex::new(paths.iter());
    let next = || queue.lock().expect("no thread fails with the lock held").next();
    let work = || std::iter::from_fn(next).filter_map(|p| check(p).err()).collect::<Vec<String>>();
    let faults: Vec<String> = std::thread::scope(|threads| {
        let started: Vec<_> = (0..4).map(|_| threads.spawn(work)).collect();
        started.into_iter().flat_map(|t| t.join().expect("a transcript can be played")).collect()
    });
    assert!(faults.is_empty(), "{} transcripts differ:\n{}", faults.len(), faults.join("\n"));
}

/// The commands without subcommands, by their words: `init`, `model create`.
fn commands() -> BTreeSet<String> {
    fn leaves(command: &clap::Command, before: &str, out: &mut BTreeSet<String>) {
        for inner in command.get_subcommands() {
            let name = format!("{before} {}", inner.get_name()).trim().to_owned();
            if inner.has_subcommands() { leaves(inner, &name, out) } else { out.extend([name]) }
        }
    }
    let mut out = BTreeSet::new();
    leaves(&greenroom::cli::Cli::command(), "", &mut out);
    out
}

#[test]
fn every_command_has_a_transcript() {
    let texts: Vec<String> = transcripts().iter().map(|p| fs::read_to_string(p).expect("it was listed")).collect();
    let played: Vec<String> =
        texts.iter().flat_map(|t| Transcript::parse(t).expect("it was played").commands()).collect();
    let shown = |name: &str| played.iter().any(|line| format!("{line} ").contains(&format!("greenroom {name} ")));
    let missing: Vec<String> =
        commands().into_iter().filter(|name| !shown(name) && !AWAITED.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "no transcript in tests/cmd runs: {missing:?}");
    let files: BTreeSet<String> =
        transcripts().iter().filter_map(|p| Some(p.file_stem()?.to_str()?.to_owned())).collect();
    let nouns: BTreeSet<String> = commands().iter().filter_map(|c| Some(c.split(' ').next()?.to_owned())).collect();
    let lost: Vec<&String> =
        nouns.iter().filter(|n| !files.contains(*n) && !AWAITED.iter().any(|a| a.starts_with(*n))).collect();
    assert!(lost.is_empty(), "there is no tests/cmd/<command>.md for: {lost:?}");
}

#[test]
fn every_command_that_the_documents_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known: BTreeSet<String> = commands().iter().filter_map(|c| Some(c.split(' ').next()?.to_owned())).collect();
    let mut named = BTreeSet::new();
    for file in ["README.md", "CHANGELOG.md", "schema/README.md"] {
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        for (at, before) in text.match_indices("greenroom ").map(|(at, _)| (at, text[..at].chars().next_back())) {
            // In code a command follows a backtick, a prompt, or the start of a line; in prose `greenroom` is only the
            // name.
            let word = text[at + "greenroom ".len()..].split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or("");
            if matches!(before, Some('`' | '$') | None) && !word.is_empty() {
                named.insert(word.to_owned());
            }
        }
    }
    let unknown: Vec<&String> = named.difference(&known).collect();
    assert!(!named.is_empty() && unknown.is_empty(), "the documents name commands that do not exist: {unknown:?}");
}

/// Commands without a transcript so far.
const AWAITED: &[&str] = &[];
