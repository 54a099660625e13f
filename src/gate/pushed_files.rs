//! The model files of a push: checks that they match their versions' records, and that the objects of their Git LFS
//! pointers have arrived in the store next to the repository.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::{Gate, GateError, Host, StepJudgement};
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
    /// Judges the model files of a step: those that it brings, and those that a rule asks for of a version which enters a
    /// stage or takes an alias, for a store can lose what was there.
    pub(super) fn judge_files(
        &self,
        (before, after): (&Snapshot<'_>, &Snapshot<'_>),
        diff: &Diff,
        seen: &mut CheckedObjects,
        judged: &mut StepJudgement,
    ) -> Result<(), GateError> {
        for (folder, mut found) in brought(after, &diff.events)? {
            judged.faults.append(&mut found.faults);
            if self.missing == MissingPolicy::Ignore {
                continue;
            }
            let mut away = Vec::new();
            for file in found.files.iter().filter(|f| f.place == FileLocation::Stored) {
                if let Some(why) = self.not_arrived(file, seen) {
                    away.push(format!("{} ({} bytes): {why}", file.path, file.size));
                }
            }
            let help = "send them first: `git lfs push --all REMOTE`, which `git lfs install` makes part of each push";
            let Some(fault) = told(&folder, "has not arrived", "have not arrived", &away, help) else { continue };
            match self.missing {
                MissingPolicy::Refuse => judged.faults.push(fault),
                MissingPolicy::Warn | MissingPolicy::Ignore => judged.warnings.push(fault),
            }
        }
        self.judge_promoted((before, after), diff, seen, judged)
    }

    /// Looks for the stored files of versions that enter a stage, or take an alias, whose rule asks for files. Only whether
    /// they are there with their sizes: their bytes were compared when they arrived.
    fn judge_promoted(
        &self,
        (before, after): (&Snapshot<'_>, &Snapshot<'_>),
        diff: &Diff,
        seen: &mut CheckedObjects,
        judged: &mut StepJudgement,
    ) -> Result<(), GateError> {
        if self.missing == MissingPolicy::Ignore {
            return Ok(());
        }
        for (model, number) in promoted(before, diff)? {
            let view = after.model(model)?.map(|m| m.version(number)).transpose()?.flatten();
            let Some(view) = view else { continue };
            let Some(tree) = view.artifacts()? else { continue };
            // What cannot be listed is a fault of the step that brought it.
            let Ok(files) = artifact::list(&self.repo, &tree, &artifact::ArtifactLimits::default()) else { continue };
            let mut away = Vec::new();
            for file in files.iter().filter(|f| f.place == FileLocation::Stored) {
                if seen.known.insert((file.sha256.clone(), file.size))
                    && let Some(why) = self.not_stored(file)
                {
                    away.push(format!("{} ({} bytes): {why}", file.path, file.size));
                }
            }
            let help =
                "bring them back: `git lfs push --all REMOTE` from a clone that has them, or the store from a backup";
            let (one, many) =
                ("that the rule asks for is not in the store", "that the rule asks for are not in the store");
            let Some(fault) = told(&view.path, one, many, &away, help) else { continue };
            match self.missing {
                MissingPolicy::Refuse => judged.faults.push(fault),
                MissingPolicy::Warn | MissingPolicy::Ignore => judged.warnings.push(fault),
            }
        }
        Ok(())
    }

    /// Why the store has no object of a file and its size; none if it has.
    fn not_stored(&self, file: &FileEntry<FileLocation>) -> Option<&'static str> {
        let store = Store::at(self.repo.lfs_dir());
        if store.has(&file.sha256, file.size) {
            return None;
        }
        let is_there = store.path(&file.sha256).exists();
        Some(if is_there { "the object has another size" } else { "no such object" })
    }

    /// Why the object of a file is not what it should be; none if it is.
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

/// The versions that a step brings into a stage, or under an alias, whose rule (as it was before the step) asks for files.
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

/// The fault of a version whose files are not there; `one` and `many` say of one and of several what is wrong with them.
fn told(folder: &str, one: &str, many: &str, away: &[String], help: &str) -> Option<Fault> {
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
