//! The `git` program, for the few operations that the library does not support.

use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::text::one_line;

/// Runs git in a folder, without a shell and without standard input, and returns its standard output.
///
/// Hooks and file system monitors that the repository's settings may name are off. Do not run commands that use
/// filters.
///
/// # Errors
/// A message of one line that says why git failed.
pub fn ask<'a>(dir: &Path, args: impl IntoIterator<Item = &'a str>) -> Result<Vec<u8>, String> {
    run_with_input(dir, args, &[])
}

/// Runs git like [`ask`], with these bytes as its standard input.
///
/// # Errors
/// The same as [`ask`].
pub fn run_with_input<'a>(
    dir: &Path,
    args: impl IntoIterator<Item = &'a str>,
    input: &[u8],
) -> Result<Vec<u8>, String> {
    run(command(dir, args), input)
}

/// Creates a repository in a folder with `git init`, whatever repository the environment names. References are stored
/// as files.
pub(super) fn init(dir: &Path, bare: bool) -> Result<(), String> {
    // Without a configured name, git would use `master` and print a hint that the default will change.
    let named = ask(dir, ["config", "--get", "init.defaultBranch"]).is_ok_and(|name| !name.trim_ascii().is_empty());
    let branch = if named { None } else { Some("--initial-branch=main") };
    let words = ["init", "--quiet"].into_iter().chain(bare.then_some("--bare")).chain(branch);
    let mut command = command(dir, words);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command.env("GIT_DEFAULT_REF_FORMAT", "files");
    run(command, &[]).map(drop)
}

fn command<'a>(dir: &Path, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("git");
    command.args(["-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.hooksPath=/dev/null"]);
    command.args(args).env("GIT_LITERAL_PATHSPECS", "1").env("GIT_TERMINAL_PROMPT", "0");
    command.current_dir(dir).stdin(Stdio::null());
    command
}

fn run(mut command: Command, input: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |e: std::io::Error| format!("`git` did not start: {e}");
    let output = if input.is_empty() {
        command.output().map_err(failed)?
    } else {
        // Git reads its whole input before it prints much, but a pipe is small. A file is not limited.
        let mut file = tempfile::tempfile().map_err(failed)?;
        file.write_all(input).and_then(|()| file.rewind()).map_err(failed)?;
        command.stdin(file).output().map_err(failed)?
    };
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(one_line(said.lines().next().unwrap_or("git failed").trim()).into_owned())
}
