//! Changes and what commands write: commits, branches, files, hooks; and errors.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Event;
use crate::rules::Fault;
use crate::tree::Oid;

/// What a command that changes the registry did, or would do with `--dry-run`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Change<'a> {
    /// The commit; null where nothing changed, or nothing was to be written.
    pub commit: Option<Oid>,
    /// Whether nothing was to be written.
    pub dry_run: bool,
    /// The events.
    pub events: &'a [Event],
    /// The broken rules; a change with faults is not written.
    pub faults: &'a [Fault],
    /// The commit's message.
    pub message: &'a str,
    /// What should be known.
    pub warnings: &'a [String],
}

/// A branch with one commit, to be merged by somebody else.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Proposal<'a> {
    /// The branch without `refs/heads/`.
    pub branch: &'a str,
    /// The commit that it starts from.
    pub base: Oid,
    /// Its commit; null for a dry run.
    pub commit: Option<Oid>,
    /// Whether nothing was to be written.
    pub dry_run: bool,
    /// The events of its merge.
    pub events: &'a [Event],
    /// The commit's message.
    pub message: &'a str,
    /// The command that pushes the branch.
    pub push: String,
}

/// The error of a command, on standard error.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Failure<'a> {
    /// The error.
    pub error: FailureDetails<'a>,
}

/// An error.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FailureDetails<'a> {
    /// The exit code.
    pub code: u8,
    /// What is wrong.
    pub message: &'a str,
    /// Why, the nearest cause first.
    pub causes: &'a [String],
    /// What to do.
    pub hints: &'a [String],
    /// The broken rules, where the rules refused a change.
    pub faults: Option<&'a [Fault]>,
}

/// What `fmt` did.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FormattedFiles<'a> {
    /// The files that were not in canonical form.
    pub changed: &'a [String],
    /// The files with faults, which stay as they are.
    pub faulty: &'a BTreeSet<String>,
    /// Whether the changed files were written.
    pub written: bool,
}

/// The file of code owners.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CodeownersFile<'a> {
    /// The git host that reads it.
    pub host: &'a str,
    /// Its path in the repository.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Whether the file in the work tree has this text already.
    pub current: bool,
    /// Whether it was written.
    pub written: bool,
}

/// What `hook install` or `hook uninstall` did.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HookReport<'a> {
    /// What was done.
    pub done: &'a [String],
    /// What should be known.
    pub warnings: &'a [String],
}

/// Whether the gate judges pushes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HookStatus {
    /// Whether every hook and the host are in order.
    pub ok: bool,
    /// The kind of git host; null where it is not known.
    pub host: Option<&'static str>,
    /// The branches that are protected besides that of HEAD.
    pub protected: Vec<String>,
    /// The folders of the registries that are judged, each empty or with a slash at its end; null where they cannot be found.
    pub registries: Option<Vec<String>>,
    /// The hooks.
    pub hooks: Vec<HookState>,
}

/// Whether a hook runs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HookState {
    /// The hook's name.
    pub hook: &'static str,
    /// The file that starts greenroom.
    pub path: Option<String>,
    /// Why it does not run; null if it does.
    pub fault: Option<String>,
}

/// A kind of file with a JSON Schema.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SchemaKind {
    /// The kind.
    pub kind: String,
    /// Where its files lie; empty for the output of commands.
    pub files: Vec<&'static str>,
}

/// What `schema --write` did.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InstalledSchemas<'a> {
    /// The files that were written.
    pub written: &'a [String],
}
