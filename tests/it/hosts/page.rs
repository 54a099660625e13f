//! The guides in `examples/hosts`: tests run their commands as written, except for the names of a real machine.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Shell;

/// The folder of a guide.
pub fn folder(host: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hosts").join(host)
}

/// A file of a guide with some words replaced; the file must have each of them.
#[track_caller]
pub fn text(host: &str, file: &str, replaced: &[(&str, String)]) -> String {
    let path = folder(host).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    replaced.iter().fold(text, |text, (word, by)| {
        assert!(text.contains(word), "{} does not name {word}", path.display());
        text.replace(word, by)
    })
}

/// The commands of a guide for one role: its code blocks marked `sh <role>`.
pub fn blocks(page: &str, role: &str) -> Vec<String> {
    let opening = format!("```sh {role}");
    let (mut out, mut block) = (Vec::new(), None::<String>);
    for line in page.lines() {
        match &mut block {
            None if line == opening => block = Some(String::new()),
            None => {}
            Some(_) if line == "```" => out.extend(block.take()),
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    out
}

/// Runs the commands of a role, one block after the other; returns their output.
#[track_caller]
pub fn run(page: &str, role: &str, shell: &Shell<'_>) -> String {
    let blocks = blocks(page, role);
    assert!(!blocks.is_empty(), "the guide has no commands for the role {role}");
    let outputs = blocks.into_iter().map(|block| {
        let done = shell.clone().run("sh", ["-euc", &block]).success();
        format!("{}{}", done.stdout(), done.stderr())
    });
    outputs.collect()
}

#[test]
fn blocks_are_found_by_their_role() {
    let page = "a\n```sh server\none\ntwo\n```\n```sh\nnone\n```\n```sh client\nthree\n```\n```sh server\nfour\n```\n";
    assert_eq!(blocks(page, "server"), ["one\ntwo\n", "four\n"]);
    assert_eq!(blocks(page, "client"), ["three\n"]);
}
