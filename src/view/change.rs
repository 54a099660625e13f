//! Output types for changes, proposals, written files, hooks and errors.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Event;
use crate::rules::Fault;
use crate::tree::Oid;

/// The result of a command that changes the registry, or its preview with `--dry-run`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Change<'a> {
    /// The new commit. Null if nothing changed, and with `--dry-run`.
    pub commit: Option<Oid>,
    /// Whether the command ran with `--dry-run`.
    pub dry_run: bool,
    /// The events of the change.
    pub events: &'a [Event],
    /// The broken rules. A change with broken rules is not written.
    pub faults: &'a [Fault],
    /// The commit message.
    pub message: &'a str,
    /// Warnings.
    pub warnings: &'a [String],
}

/// A branch with one commit, for a merge by another person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Proposal<'a> {
    /// The name of the branch, without `refs/heads/`.
    pub branch: &'a str,
    /// The commit from which the branch starts.
    pub base: Oid,
    /// The commit of the branch. Null with `--dry-run`.
    pub commit: Option<Oid>,
    /// Whether the command ran with `--dry-run`.
    pub dry_run: bool,
    /// The events that the merge of the branch makes.
    pub events: &'a [Event],
    /// The commit message.
    pub message: &'a str,
    /// The command that pushes the branch.
    pub push: String,
}

/// The error of a command, on standard error.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Failure<'a> {
    /// The error of the command.
    pub error: FailureDetails<'a>,
}

/// An error of a command.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FailureDetails<'a> {
    /// The exit code of the command.
    pub code: u8,
    /// The error message.
    pub message: &'a str,
    /// The causes of the error, the nearest cause first.
    pub causes: &'a [String],
    /// Hints: possible next steps.
    pub hints: &'a [String],
    /// The broken rules. Null if the error is not a refusal by the rules.
    pub faults: Option<&'a [Fault]>,
}

/// The result of `fmt`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FormattedFiles<'a> {
    /// The files that were not in canonical form.
    pub changed: &'a [String],
    /// The files with errors, which `fmt` does not change.
    pub faulty: &'a BTreeSet<String>,
    /// Whether the changed files were written.
    pub written: bool,
}

/// The CODEOWNERS file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CodeownersFile<'a> {
    /// The git host that reads the file.
    pub host: &'a str,
    /// The path of the file in the repository.
    pub path: &'a str,
    /// The contents of the file.
    pub text: &'a str,
    /// Whether the file in the work tree already has these contents.
    pub current: bool,
    /// Whether the file was written.
    pub written: bool,
}

/// The result of `hook install` or `hook uninstall`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HookReport<'a> {
    /// The performed steps, one sentence each.
    pub done: &'a [String],
    /// Warnings.
    pub warnings: &'a [String],
}

/// The state of the gate of a repository.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HookStatus {
    /// Whether all hooks and the configuration of the host are in order.
    pub ok: bool,
    /// The kind of git host. Null if unknown.
    pub host: Option<&'static str>,
    /// The protected branches besides the branch of HEAD.
    pub protected: Vec<String>,
    /// The folders of the registries that the gate judges. Each is empty or ends in a slash. Null if the folders cannot
    /// be found.
    pub registries: Option<Vec<String>>,
    /// The hooks.
    pub hooks: Vec<HookState>,
}

/// The state of a hook.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HookState {
    /// The hook's name.
    pub hook: &'static str,
    /// The file that runs greenroom. Null if there is none.
    pub path: Option<String>,
    /// The reason why the hook does not run. Null if the hook runs.
    pub fault: Option<String>,
}

/// A kind of file with a JSON Schema.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SchemaKind {
    /// The name of the kind.
    pub kind: String,
    /// The paths of files of this kind. Empty for the output of commands.
    pub files: Vec<&'static str>,
}

/// The result of `schema --write`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InstalledSchemas<'a> {
    /// The written files.
    pub written: &'a [String],
}
