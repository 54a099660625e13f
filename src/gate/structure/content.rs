//! Checks the content of new files of a registry: their size, secrets in them, and, for commits that no other check
//! covers, the rules for snapshots.

use std::collections::HashSet;
use std::time::Instant;

use super::secret;
use super::walk::{MAX_FAULTS, NewFile};
use crate::diff;
use crate::format::path::Location;
use crate::format::{MAX_FILE, Problem};
use crate::gate::limits::GateLimits;
use crate::name::UserName;
use crate::rules::{self, Actor, Fault, RuleClass, StepContext};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::{CompareLimits, Oid, TreeError};

/// The largest number of entries of both trees that are compared for the rules for snapshots. New entries were counted
/// before; this limits removed entries.
const MAX_COMPARED: usize = 2_000_000;

/// The files whose bytes were already searched.
#[derive(Default)]
pub(super) struct SearchedFiles(HashSet<Oid>);

impl SearchedFiles {
    /// Judges the size of new files, and searches their bytes for secrets, each file once.
    pub(super) fn judge<'f>(
        &mut self,
        after: &Snapshot<'_>,
        files: impl Iterator<Item = &'f NewFile>,
        limits: GateLimits,
        deadline: Instant,
    ) -> Result<Vec<Fault>, TreeError> {
        let mut faults = Vec::new();
        let layout = after.layout()?;
        for file in files {
            if faults.len() >= MAX_FAULTS {
                break;
            }
            let mut add = |problem: Problem| faults.push(Fault { problem, class: RuleClass::Format });
            if Instant::now() >= deadline {
                add(Problem::of_file("", "limit", super::late(limits)).help(super::LATE_HELP));
                break;
            }
            let place = Location::parse(file.path.strip_prefix(after.at()).unwrap_or(&file.path), layout);
            let (max, help) = match place {
                Ok(Location::Artifact(..)) => (
                    limits.file_bytes,
                    "model files of this size belong in Git LFS; `greenroom register` puts them there",
                ),
                Ok(Location::Companion(_)) => (limits.file_bytes, ""),
                Ok(_) | Err(_) => (MAX_FILE, ""),
            };
            if file.size > max {
                let say = format!("the file has {} bytes; at most {max} are allowed", file.size);
                add(Problem::of_file(&file.path, "limit", say).help(help));
            } else if self.0.insert(file.id) {
                for hit in secret::find(&after.objects().blob(&file.id, max)?) {
                    let mut problem = Problem::of_file(&file.path, "secret", format!("this looks like {}", hit.what));
                    (problem.line, problem.column) = (hit.line, hit.column);
                    add(problem.help(secret::HELP));
                }
            }
        }
        Ok(faults)
    }
}

/// Judges the snapshot of a commit by the rules for snapshots. Without a registry before and after the commit, no rule
/// applies.
pub(super) fn judge_state(before: &Snapshot<'_>, after: &Snapshot<'_>, depth: usize) -> Result<Vec<Fault>, TreeError> {
    if before.settings_file()?.is_none() && after.settings_file()?.is_none() {
        return Ok(Vec::new());
    }
    let diff = diff::diff(before, after, CompareLimits { entries: MAX_COMPARED, depth })?;
    // No rule for snapshots depends on the actor or the time.
    let nobody = Actor::of(UserName::nobody());
    let step = StepContext::new(before, after, &diff, &nobody, Timestamp::from_millis(0));
    Ok(rules::judge_state(&step)?.faults)
}
