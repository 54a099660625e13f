//! The content of a step besides the files that the rules read: the files of versions, and files outside of the
//! registries.

use std::collections::BTreeSet;

use crate::artifact::recorded::recorded;
use crate::artifact::{FileEntry, FileLocation, FilePath};
use crate::format::path::{Location, ModelDir};
use crate::gate::error::GateError;
use crate::gate::{Gate, folders};
use crate::git::Step;
use crate::name::Digest;
use crate::rules::Fault;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::{self, CompareLimits, FileChange, Objects as _, Oid, TreeError};

/// The largest file outside of a registry that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// A stored file of a version. Ordered by content, so that each content is checked once.
#[derive(Debug, Clone)]
pub(super) struct StoredFile {
    pub(super) sha256: Digest,
    pub(super) size: u64,
    /// The path in the model's folder.
    pub(super) path: FilePath,
    /// The version's folder.
    folder: String,
    /// The step that added it.
    pub(super) commit: Oid,
    pub(super) at: Timestamp,
}

impl StoredFile {
    fn key(&self) -> (&Digest, u64) {
        (&self.sha256, self.size)
    }

    /// Returns the path from the repository's root.
    pub(super) fn shown(&self) -> String {
        format!("{}/artifacts/{}", self.folder, self.path)
    }

    /// Returns the entry for the store.
    pub(super) fn entry(&self) -> FileEntry<FileLocation> {
        let Self { sha256, size, path, .. } = self.clone();
        FileEntry { path, size, sha256, place: FileLocation::Stored }
    }
}

impl PartialEq for StoredFile {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for StoredFile {}

impl PartialOrd for StoredFile {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for StoredFile {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// The faults and unchecked parts of a step.
#[derive(Default)]
pub(super) struct FileFindings {
    pub(super) faults: Vec<Fault>,
    pub(super) unchecked: Vec<String>,
}

/// A version: the registry's folder, the model's folder, the number.
type ChangedVersion = (String, ModelDir, u64);

/// Compares the files of each changed version with the digest in its `version.toml`, and reads files outside of
/// registries, so that every object of the step was read. Collects the stored files.
pub(super) fn check(gate: &Gate, step: &Step, stored: &mut BTreeSet<StoredFile>) -> Result<FileFindings, GateError> {
    let repo = &gate.repo;
    let before = step.parent.map(|p| repo.tree_of(&p)).transpose()?;
    let changes = tree::changes((repo, before), (repo, Some(step.tree)), CompareLimits::default())?;
    let mut registries = Vec::new();
    let (_, all) = folders::of_step(repo, (before, step.tree), &gate.folders)?;
    for at in all {
        registries.push(Snapshot::new(repo, Some(step.tree), &at)?);
    }
    let mut found = FileFindings::default();
    let mut touched = BTreeSet::new();
    for change in &changes {
        match place(&registries, change)? {
            Some(version) => drop(touched.insert(version)),
            None => read(gate, change, &mut found)?,
        }
    }
    for (at, dir, number) in touched {
        let Some(state) = registries.iter().find(|s| s.at() == at) else { continue };
        version(state, &dir, number, step, &mut found, stored)?;
    }
    Ok(found)
}

/// Returns the version that a changed file belongs to, as its `version.toml` or as one of its files.
fn place(registries: &[Snapshot<'_>], change: &FileChange) -> Result<Option<ChangedVersion>, TreeError> {
    for state in registries {
        let Some(path) = change.path.strip_prefix(state.at()) else { continue };
        if let Ok(Location::Version(dir, n) | Location::Artifact(dir, n, _)) = Location::parse(path, state.layout()?) {
            return Ok(Some((state.at().to_owned(), dir, n)));
        }
    }
    Ok(None)
}

/// Reads a file, which checks it against its id.
fn read(gate: &Gate, change: &FileChange, found: &mut FileFindings) -> Result<(), TreeError> {
    let Some(entry) = change.after.as_ref().filter(|e| e.kind.is_file()) else { return Ok(()) };
    match gate.repo.blob(&entry.id, MAX_FILE) {
        Ok(_) => Ok(()),
        Err(TreeError::TooLarge { .. }) => {
            found
                .unchecked
                .push("a file beside the registry is too large for this check; `git fsck` can check it".to_owned());
            Ok(())
        }
        Err(e) => Err(e),
    }
}

fn version(
    state: &Snapshot<'_>,
    dir: &ModelDir,
    number: u64,
    step: &Step,
    found: &mut FileFindings,
    stored: &mut BTreeSet<StoredFile>,
) -> Result<(), TreeError> {
    let Some(model) = state.model_in(dir)? else { return Ok(()) };
    let Some(version) = model.version(number)? else { return Ok(()) };
    let compared = recorded(state.objects(), &version)?;
    found.faults.extend(compared.faults);
    for file in compared.files.iter().filter(|f| f.place == FileLocation::Stored) {
        let FileEntry { path, size, sha256, .. } = file.clone();
        let (folder, commit, at) = (version.path.clone(), step.commit, step.time);
        stored.insert(StoredFile { sha256, size, path, folder, commit, at });
    }
    if compared.is_silent {
        found.unchecked.push("a version has files, but no recorded digest of them".to_owned());
    }
    Ok(())
}
