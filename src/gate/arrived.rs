//! The model files of a push: checks that they match their versions' records, and that the objects of their Git LFS
//! pointers have arrived in the store next to the repository.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::{Gate, GateError, Host, Judged};
use crate::artifact::recorded::brought;
use crate::artifact::{FileEntry, Place, Store};
use crate::diff::Diff;
use crate::format::Problem;
use crate::git::Repo;
use crate::name::Digest;
use crate::rules::{Class, Fault};
use crate::snapshot::Snapshot;
use crate::text::quoted;

/// The setting of a served repository for pushes whose model files did not arrive.
const SETTING: &str = "greenroom.missing";

/// How many bytes of objects per push are read and compared with their SHA-256. Of further objects only the size is
/// compared.
const READ: u64 = 1 << 30;

/// The largest number of missing files that are named.
const SHOWN: usize = 5;

/// The treatment of a push whose model files did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The push is refused.
    Refuse,
    /// The push is accepted with a warning.
    Warn,
    /// Nothing is checked: the host stores Git LFS objects elsewhere.
    Ignore,
}

impl FromStr for Missing {
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

impl Missing {
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
pub(super) struct Seen {
    known: BTreeSet<(Digest, u64)>,
    read: u64,
}

impl Gate {
    /// Judges the model files of a step.
    pub(super) fn judge_files(
        &self,
        after: &Snapshot<'_>,
        diff: &Diff,
        seen: &mut Seen,
        judged: &mut Judged,
    ) -> Result<(), GateError> {
        for (folder, mut found) in brought(after, &diff.events)? {
            judged.faults.append(&mut found.faults);
            if self.missing == Missing::Ignore {
                continue;
            }
            let mut away = Vec::new();
            for file in found.files.iter().filter(|f| f.place == Place::Stored) {
                if let Some(why) = self.not_arrived(file, seen) {
                    away.push(format!("{} ({} bytes): {why}", file.path, file.size));
                }
            }
            let Some(fault) = told(&folder, &away) else { continue };
            match self.missing {
                Missing::Refuse => judged.faults.push(fault),
                Missing::Warn | Missing::Ignore => judged.warnings.push(fault),
            }
        }
        Ok(())
    }

    /// Returns what is wrong with a file's object; `None` if it is correct or was checked before.
    fn not_arrived(&self, file: &FileEntry<Place>, seen: &mut Seen) -> Option<&'static str> {
        if !seen.known.insert((file.sha256.clone(), file.size)) {
            return None;
        }
        let store = Store::at(self.repo.lfs_dir());
        if !store.has(&file.sha256, file.size) {
            return Some(if store.path(&file.sha256).exists() {
                "the object has another size"
            } else {
                "no such object"
            });
        }
        seen.read = seen.read.saturating_add(file.size);
        let is_damaged = seen.read <= READ && store.verify(&file.sha256, file.size).is_err();
        is_damaged.then_some("the object does not have its SHA-256")
    }
}

/// Returns the fault of a version whose files did not arrive.
fn told(folder: &str, away: &[String]) -> Option<Fault> {
    let first = away.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    let more = away.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let message = match away.len() {
        0 => return None,
        1 => format!("1 model file has not arrived: {first}"),
        n => format!("{n} model files have not arrived: {first}{more}"),
    };
    let help = "send them first: `git lfs push --all REMOTE`, which `git lfs install` makes part of each push";
    let problem = Problem::of_file(format!("{folder}/artifacts"), "arrived", message).help(help);
    Some(Fault { problem, class: Class::Link })
}
