//! Compares the files in a version's folder with `version.toml`: number, size and digest.

use std::collections::BTreeSet;

use super::entry::{ArtifactLimits, FileEntry, FileLocation};
use super::error::ArtifactError;
use super::manifest::{list, summary};
use crate::event::Event;
use crate::format::Problem;
use crate::name::ModelName;
use crate::rules::{Fault, RuleClass};
use crate::snapshot::{Snapshot, VersionView};
use crate::tree::{Objects, TreeError};

/// The result of the comparison of a version's files with its `version.toml`.
#[derive(Debug, Default)]
pub struct FileComparison {
    /// The files; empty if they cannot be listed.
    pub files: Vec<FileEntry<FileLocation>>,
    /// Faults: an invalid pointer or name, or another digest, size or number.
    pub faults: Vec<Fault>,
    /// Whether there are files that `version.toml` does not mention.
    pub is_silent: bool,
}

/// Compares the files of a version with its `version.toml`. Files in the store are not read.
///
/// # Errors
/// [`TreeError`] if an object cannot be read.
pub fn recorded(objects: &dyn Objects, version: &VersionView<'_>) -> Result<FileComparison, TreeError> {
    let said = version.file()?.and_then(|f| f.value).and_then(|v| v.artifacts);
    let mut out = FileComparison::default();
    if let Some(tree) = version.artifacts()? {
        out.files = match list(objects, &tree, &ArtifactLimits::default()) {
            Ok(files) => files,
            // A file that is too large to read must not end the check of all other files.
            Err(ArtifactError::Tree { source, .. }) if !matches!(source, TreeError::TooLarge { .. }) => {
                return Err(source);
            }
            Err(e) => {
                out.faults.push(fault(version, crate::text::with_causes(&e)));
                return Ok(out);
            }
        };
    }
    match said {
        Some(said) => {
            let found = summary(&out.files);
            if out.files.is_empty() {
                let message = "[artifacts] names files, but the version's folder has none".to_owned();
                out.faults.push(fault(version, message));
            } else if found != said {
                let e = ArtifactError::Mismatch { expected: said, found };
                out.faults.push(fault(version, e.to_string()));
            }
        }
        None => out.is_silent = !out.files.is_empty(),
    }
    Ok(out)
}

/// Checks the files of all versions of a registry. Returns faults, and warnings for files that `version.toml` does not
/// mention: such files may date from before the gate refused them.
///
/// # Errors
/// [`TreeError`] if an object cannot be read.
pub fn all(state: &Snapshot<'_>) -> Result<(Vec<Fault>, Vec<Problem>), TreeError> {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    for model in state.models()? {
        for version in model.versions()? {
            let found = recorded(state.objects(), &version)?;
            warnings.extend(found.is_silent.then(|| silent(&version).problem));
            faults.extend(found.faults);
        }
    }
    Ok((faults, warnings))
}

/// Checks the files of the versions that a step changed. Returns other files than recorded, and files that
/// `version.toml` does not mention.
///
/// # Errors
/// [`TreeError`] if an object cannot be read.
pub fn brought(after: &Snapshot<'_>, events: &[Event]) -> Result<Vec<(VersionPath, FileComparison)>, TreeError> {
    let mut out = Vec::new();
    for (model, number) in touched(events) {
        let Some(version) = after.model(model)?.map(|m| m.version(number)).transpose()?.flatten() else { continue };
        let mut found = recorded(after.objects(), &version)?;
        found.faults.extend(found.is_silent.then(|| silent(&version)));
        out.push((version.path, found));
    }
    Ok(out)
}

/// The path of a version's folder, from the repository's root.
pub type VersionPath = String;

/// Returns the versions whose files, or whose record of them, were added or changed.
fn touched(events: &[Event]) -> BTreeSet<(&ModelName, u64)> {
    events.iter().filter_map(with_files).collect()
}

/// Returns the version whose files, or whose record of them, an event adds or changes.
fn with_files(event: &Event) -> Option<(&ModelName, u64)> {
    match event {
        Event::VersionCreated { model, version, created, artifacts } => {
            (artifacts.is_some() || created.artifacts.is_some()).then_some((model, *version))
        }
        Event::ArtifactsChanged { model, version, after, .. } => after.map(|_| (model, *version)),
        Event::VersionAltered { model, version, before, after } => {
            (before.artifacts != after.artifacts).then_some((model, *version))
        }
        _ => None,
    }
}

fn fault(version: &VersionView<'_>, message: String) -> Fault {
    let help = "restore the files that were registered, or register a new version: `greenroom register` writes both";
    let problem = Problem::of_file(format!("{}/artifacts", version.path), "digest", message).help(help);
    Fault { problem, class: RuleClass::History }
}

/// Returns the fault for files that `version.toml` does not mention.
fn silent(version: &VersionView<'_>) -> Fault {
    let message = format!("version {} has files, but its version.toml has no [artifacts]", version.number);
    let help = "register the files with `greenroom register`, which writes both, or remove the files";
    let problem = Problem::of_file(format!("{}/artifacts", version.path), "digest", message).help(help);
    Fault { problem, class: RuleClass::History }
}
