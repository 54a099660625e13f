//! The model files of a push: checks that they match their versions' records, and that the objects of their Git LFS
//! pointers have arrived in the store next to the repository.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::Gate;
use super::error::GateError;
use super::host::Host;
use super::judge::StepJudgement;
use crate::artifact::recorded::brought;
use crate::artifact::{self, FileEntry, FileLocation, Store};
use crate::diff::Diff;
use crate::entity::settings::Evidence;
use crate::event::Event;
use crate::format::Problem;
use crate::git::Repo;
use crate::name::{Digest, ModelName};
use crate::rules::{Fault, RuleClass};
use crate::snapshot::Snapshot;
use crate::text::quoted;
use crate::tree::TreeError;

/// The setting of a served repository for pushes whose model files did not arrive.
const SETTING: &str = "greenroom.missing";

/// How many bytes of objects per push are read and compared with their SHA-256. Of further objects only the size is
/// compared.
const READ: u64 = 1 << 30;

/// The largest number of missing files that are named.
const SHOWN: usize = 5;

/// The treatment of a push whose model files did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingPolicy {
    /// The push is refused.
    Refuse,
    /// The push is accepted with a warning.
    Warn,
    /// Nothing is checked: the host stores Git LFS objects elsewhere.
    Ignore,
}

impl FromStr for MissingPolicy {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "refuse" => Ok(Self::Refuse),
            "warn" => Ok(Self::Warn),
            "ignore" => Ok(Self::Ignore),
            _ => Err("it must be refuse, warn or ignore"),
        }
    }
}

impl MissingPolicy {
    /// Returns the repository's setting, or else a default for the situation. A host with its own Git LFS server stores
    /// the objects out of reach: ignore. If there is a store next to the repository, objects must arrive there: refuse.
    /// Without a store: warn.
    pub(super) fn of(repo: &Repo, host: Option<Host>) -> Result<Self, GateError> {
        if let Some(text) = repo.own_setting(SETTING) {
            return text.parse().map_err(|why| GateError::Setting { key: SETTING, value: quoted(&text), why });
        }
        Ok(match host {
            Some(Host::GitLab | Host::Gitea | Host::GitHub | Host::Bitbucket) => Self::Ignore,
            // Each person has an account on this machine, and git-lfs itself copies the objects next to the repository.
            Some(Host::Unix) => Self::Refuse,
            Some(Host::Gitolite | Host::Http | Host::ForcedCommand | Host::SshKey | Host::PushCertificate) | None => {
                match repo.lfs_dir().join("objects").is_dir() {
                    true => Self::Refuse,
                    false => Self::Warn,
                }
            }
        })
    }
}

/// The objects that were checked for a push, so that each is read once.
#[derive(Debug, Default)]
pub(super) struct CheckedObjects {
    known: BTreeSet<(Digest, u64)>,
    read: u64,
}

impl Gate {
    /// Judges the model files of a step: the files that it adds, and the files of a version that enters a stage or takes
    /// an alias whose rule requires files, because a store can lose files that it had.
    pub(super) fn judge_files(
        &self,
        (before, after): (&Snapshot<'_>, &Snapshot<'_>),
        diff: &Diff,
        seen: &mut CheckedObjects,
        judged: &mut StepJudgement,
    ) -> Result<(), GateError> {
        let arrival = "send the files first: `git lfs push --all REMOTE` (after `git lfs install`, each push does \
                       this)";
        for (folder, mut found) in brought(after, &diff.events)? {
            judged.faults.append(&mut found.faults);
            let away = self.missing_files(&found.files, |file| self.not_arrived(file, seen));
            self.add_missing(missing_fault(&folder, "has not arrived", "have not arrived", &away, arrival), judged);
        }
        let (one, many) = ("that the rule requires is not in the store", "that the rule requires are not in the store");
        let loss = "restore the files: `git lfs push --all REMOTE` from a clone that has them, or restore the store \
                    from a backup";
        // Promoted versions are read only where a missing file matters.
        let promoted = if self.missing == MissingPolicy::Ignore { BTreeSet::new() } else { promoted(before, diff)? };
        for (model, number) in promoted {
            let view = after.model(model)?.map(|m| m.version(number)).transpose()?.flatten();
            let Some(view) = view else { continue };
            let Some(tree) = view.artifacts()? else { continue };
            // Files that cannot be listed are a fault of the step that added them.
            let Ok(files) = artifact::list(&self.repo, &tree, &artifact::ArtifactLimits::default()) else { continue };
            // Existence and size only: the bytes were compared when the files arrived.
            let away = self.missing_files(&files, |file| {
                let is_new = seen.known.insert((file.sha256.clone(), file.size));
                if is_new { self.not_stored(file) } else { None }
            });
            self.add_missing(missing_fault(&view.path, one, many, &away, loss), judged);
        }
        Ok(())
    }

    /// Returns the stored files for which `reason` finds one, as texts with the reason. Returns none of them if the
    /// repository ignores missing files.
    fn missing_files(
        &self,
        files: &[FileEntry<FileLocation>],
        mut reason: impl FnMut(&FileEntry<FileLocation>) -> Option<&'static str>,
    ) -> Vec<String> {
        if self.missing == MissingPolicy::Ignore {
            return Vec::new();
        }
        let stored = files.iter().filter(|f| f.place == FileLocation::Stored);
        stored.filter_map(|f| Some(format!("{} ({} bytes): {}", f.path, f.size, reason(f)?))).collect()
    }

    /// Adds the fault of missing files to a judgement: as a fault or as a warning, by the setting of the repository.
    fn add_missing(&self, fault: Option<Fault>, judged: &mut StepJudgement) {
        match self.missing {
            MissingPolicy::Refuse => judged.faults.extend(fault),
            MissingPolicy::Warn | MissingPolicy::Ignore => judged.warnings.extend(fault),
        }
    }

    /// Returns why the store has no object of the file's digest and size; `None` if it has one.
    fn not_stored(&self, file: &FileEntry<FileLocation>) -> Option<&'static str> {
        let store = Store::at(self.repo.lfs_dir());
        if store.has(&file.sha256, file.size) {
            return None;
        }
        let is_there = store.path(&file.sha256).exists();
        Some(if is_there { "the object has another size" } else { "no such object" })
    }

    /// Returns why the object of a file is not as announced; `None` if it is, or was checked before.
    fn not_arrived(&self, file: &FileEntry<FileLocation>, seen: &mut CheckedObjects) -> Option<&'static str> {
        if !seen.known.insert((file.sha256.clone(), file.size)) {
            return None;
        }
        if let Some(why) = self.not_stored(file) {
            return Some(why);
        }
        seen.read = seen.read.saturating_add(file.size);
        let is_damaged = seen.read <= READ && Store::at(self.repo.lfs_dir()).verify(&file.sha256, file.size).is_err();
        is_damaged.then_some("the object does not have its SHA-256")
    }
}

/// Returns the versions that a step moves into a stage, or names by an alias, whose rule before the step requires files.
fn promoted<'e>(before: &Snapshot<'_>, diff: &'e Diff) -> Result<BTreeSet<(&'e ModelName, u64)>, TreeError> {
    let Some(settings) = before.settings()? else { return Ok(BTreeSet::new()) };
    let asks = |require: &Evidence| require.artifacts;
    let one = |event: &'e Event| match event {
        Event::Transitioned { model, version, to, .. } => {
            settings.rule(to).is_some_and(|rule| asks(&rule.require)).then_some((model, *version))
        }
        Event::AliasSet { model, alias, version, .. } => {
            settings.alias_rule(alias).is_some_and(|rule| asks(&rule.require)).then_some((model, *version))
        }
        _ => None,
    };
    Ok(diff.events.iter().filter_map(one).collect())
}

/// Returns the fault of a version with missing files; `None` if no file is missing. `one` and `many` are the predicates
/// for one file and for several files.
fn missing_fault(folder: &str, one: &str, many: &str, away: &[String], help: &str) -> Option<Fault> {
    let first = away.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    let more = away.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let message = match away.len() {
        0 => return None,
        1 => format!("1 model file {one}: {first}"),
        n => format!("{n} model files {many}: {first}{more}"),
    };
    let problem = Problem::of_file(format!("{folder}/artifacts"), "arrived", message).help(help);
    Some(Fault { problem, class: RuleClass::Link })
}
