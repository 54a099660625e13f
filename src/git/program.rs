//! The `git` program, for the few questions that the library does not answer.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::text::one_line;

/// Runs git in a folder, without a shell and with nothing on its standard input; gives what it printed.
///
/// Hooks and file system monitors, which a repository's settings may name, are off; ask nothing that runs filters.
/// The error says in one line why there is no answer.
pub fn ask<'a>(dir: &Path, args: impl IntoIterator<Item = &'a str>) -> Result<Vec<u8>, String> {
    let mut command = Command::new("git");
    command.args(["-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.hooksPath=/dev/null"]);
    command.args(args).env("GIT_LITERAL_PATHSPECS", "1").env("GIT_TERMINAL_PROMPT", "0");
    command.current_dir(dir).stdin(Stdio::null());
    let output = command.output().map_err(|e| format!("`git` did not start: {e}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(one_line(said.lines().next().unwrap_or("git failed").trim()).into_owned())
}
