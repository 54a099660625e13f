//! Broken repositories and disks: each gives a clear error and its exit code, never a wrong answer, and nothing is
//! half written.

pub mod disk;
mod files;
mod objects;
mod repository;

use crate::support::{Sandbox, Shell};

/// A registry `r` of Alice's: the model `churn` with one version that only names its source.
fn registry() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    fill(&sandbox.alice().within("r"));
    sandbox
}

/// Adds the model `churn` and its version.
fn fill(shell: &Shell<'_>) {
    says(shell, 0, "model create churn", "");
    says(shell, 0, "register churn --source s3://models/1", "");
}

/// Runs greenroom with the words of a line. Demands the exit code, demands these words in the output (stderr if it
/// fails, otherwise stdout), and demands that it did not panic. Returns that output.
#[track_caller]
fn says(shell: &Shell<'_>, code: i32, line: &str, words: &str) -> String {
    let done = shell.greenroom(line.split(' ')).code(code);
    let said = if code == 0 || done.stderr().is_empty() { done.stdout() } else { done.stderr() };
    assert!(!done.stderr().contains("panicked"), "{line}: {}", done.stderr());
    assert!(said.contains(words), "{line}: {words:?} is not in\n{said}");
    said.to_owned()
}

/// The names of all models.
#[track_caller]
fn models(shell: &Shell<'_>) -> Vec<String> {
    let list = shell.greenroom(["model", "list", "-o", "json"]).success().json();
    let name = |m: &serde_json::Value| m["name"].as_str().expect("a name").to_owned();
    list.as_array().expect("a list").iter().map(name).collect()
}

/// The commit that `HEAD` names.
fn head(shell: &Shell<'_>) -> String {
    shell.git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned()
}

/// Demands that git finds no fault in the objects.
#[track_caller]
fn sound(shell: &Shell<'_>) {
    let fsck = shell.git(["fsck", "--strict", "--no-dangling", "--no-progress"]).success();
    assert_eq!((fsck.stdout(), fsck.stderr()), ("", ""));
}

/// Demands that the tests run as root, which the situation of the test needs.
#[track_caller]
pub fn need_root(sandbox: &Sandbox, why: &str) {
    let id = sandbox.alice().run("id", ["-u"]).success();
    assert_eq!(id.stdout().trim(), "0", "this test must {why}, which takes root: run the tests in a container as root");
}
