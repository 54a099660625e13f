//! Rules of files: their paths, their modes and their content.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, StepContext};
use crate::entity::{Access, AliasPointer, Comment, Model, Person, Request, Settings, StagePointer, Version, Webhook};
use crate::format::codec::known_format;
use crate::format::path::{self, Location, ModelDir};
use crate::format::{EntityFile, MAX_FILE, Problem, attributes, model_file, parse_strict};
use crate::tree::{self, CompareLimits, EntryKind, FileChange, TreeEntry, TreeError};

/// Returns the files that exist after the step and differ from before.
fn written<'s>(step: &'s StepContext<'_>) -> impl Iterator<Item = (&'s FileChange, &'s TreeEntry)> {
    step.diff.files.iter().filter_map(|f| Some((f, f.after.as_ref()?)))
}

/// Returns the hint for a file that does not belong to a registry. It names the other files that are allowed.
fn beside() -> String {
    let folders: Vec<String> = path::COMPANION_FOLDERS.iter().map(|folder| format!("{folder}/")).collect();
    format!(
        "remove the file, or move the registry to its own folder (`greenroom move FOLDER`); other files that may be \
         beside a registry's files are {}, and all files in {}",
        path::COMPANIONS.join(", "),
        folders.join(", ")
    )
}

pub(super) fn paths(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let layout = step.after.layout()?;
    // After a change of the layout or the folder, files that did not move are also in the wrong place.
    let objects = step.after.objects();
    let is_there = step.before.layout()? == layout && !step.after.was_elsewhere(step.before)?;
    let all = match is_there {
        true => None,
        false => Some(tree::changes((objects, None), (objects, step.after.root()), CompareLimits::default())?),
    };
    let files = all.as_ref().unwrap_or(&step.diff.files);
    for (file, entry) in files.iter().filter_map(|f| Some((f, f.after.as_ref()?))) {
        let path = step.after.full_path(&file.path);
        match Location::parse(&file.path, layout) {
            Err(why) => faults.add(path, why, beside()),
            Ok(_) if entry.kind == EntryKind::File => {}
            Ok(Location::Artifact(..)) if entry.kind == EntryKind::Executable => {}
            Ok(_) => {
                let message = format!("this is a {}; it must be a plain file", entry.kind.as_str());
                faults.add(path, message, "commit it as a plain file with mode 100644");
            }
        }
    }
    Ok(())
}

pub(super) fn readable(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let layout = step.after.layout()?;
    for (file, entry) in written(step).filter(|(_, e)| e.kind.is_file()) {
        let path = step.after.full_path(&file.path);
        let Ok(place) = Location::parse(&file.path, layout) else { continue };
        let parse: fn(&str, &[u8]) -> Vec<Problem> = match place {
            Location::Settings => strict::<Settings>,
            Location::Access | Location::ModelAccess(_) => strict::<Access>,
            Location::Person(_) => strict::<Person>,
            Location::Webhook(_) => strict::<Webhook>,
            Location::Model(_) => strict::<Model>,
            Location::Stage(..) => strict::<StagePointer>,
            Location::Alias(..) => strict::<AliasPointer>,
            Location::Version(..) => strict::<Version>,
            Location::Request(..) => strict::<Request>,
            Location::Comment(..) => strict::<Comment>,
            Location::Attributes(..) => git_attributes,
            Location::Artifact(..) | Location::Companion(_) => continue,
        };
        match step.after.objects().blob(&entry.id, MAX_FILE) {
            Ok(bytes) => parse(&path, &bytes).into_iter().for_each(|p| faults.problem(p)),
            Err(TreeError::TooLarge { size, max, .. }) => {
                faults.add(path, format!("the file has {size} bytes; at most {max} are allowed"), "");
            }
            Err(
                e @ (TreeError::Missing(_) | TreeError::Damaged { .. } | TreeError::Vast { .. } | TreeError::Io { .. }),
            ) => return Err(e),
        }
    }
    // Settings with a fault, read leniently, may demand less than intended, so no other change is judged by them.
    let doubtful = step.before.settings_file()?.filter(|f| f.value.is_none() || !f.problems.is_empty());
    if let Some(file) = doubtful.filter(|_| step.diff.files.iter().any(|f| f.path != "greenroom.toml")) {
        let help = "repair greenroom.toml first, in a separate commit";
        faults.add(file.path.clone(), "the settings have faults, so no change can be judged by them", help);
    }
    if let Some(file) = step.after.settings_file()? {
        if file.value.as_ref().is_some_and(|s| !known_format(s)) {
            let help = "use a newer greenroom that supports this format";
            faults.add(file.path.clone(), "this program does not support the format of the registry", help);
        }
    } else if step.before.settings_file()?.is_some() {
        let help = "restore greenroom.toml; to move the registry, use `greenroom move`, or move all of its files by hand in \
                    one commit, because each commit is judged alone";
        let message = "greenroom.toml, the registry's settings, was deleted";
        faults.add(step.after.full_path("greenroom.toml"), message, help);
    }
    Ok(())
}

fn strict<T: EntityFile>(path: &str, bytes: &[u8]) -> Vec<Problem> {
    parse_strict::<T>(path, bytes).1
}

/// Checks that a version's `.gitattributes` only marks Git LFS files.
fn git_attributes(path: &str, bytes: &[u8]) -> Vec<Problem> {
    if std::str::from_utf8(bytes).is_ok_and(attributes::is_of_version) {
        return Vec::new();
    }
    let message = "the .gitattributes of a version may only mark its files that are Git LFS pointers";
    vec![Problem::of_file(path.to_owned(), "file", message.to_owned())]
}

pub(super) fn places(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let layout = step.after.layout()?;
    let mut models: BTreeMap<ModelDir, BTreeSet<u64>> = BTreeMap::new();
    for place in step.diff.files.iter().filter_map(|f| Location::parse(&f.path, layout).ok()) {
        if let Some(dir) = place.model() {
            models.entry(dir.clone()).or_default().extend(place.version());
        }
    }
    for (file, _) in written(step) {
        let Ok(place) = Location::parse(&file.path, layout) else { continue };
        let at = || step.after.full_path(&file.path);
        match place {
            Location::Model(dir) => {
                let model = step.after.file::<Model>(&file.path)?.and_then(|f| f.value);
                if let Some(model) = model.filter(|m| ModelDir::of(&m.name) != dir) {
                    let message = format!("the file names the model '{}', but it is in the folder '{dir}'", model.name);
                    faults.add(at(), message, format!("rename the folder to '{}'", ModelDir::of(&model.name)));
                }
            }
            Location::Webhook(id) => {
                let said = step.after.file::<Webhook>(&file.path)?.and_then(|f| f.value).map(|w| w.id);
                agree(said, &id, at(), faults);
            }
            Location::Request(_, _, id) => {
                let said = step.after.file::<Request>(&file.path)?.and_then(|f| f.value).map(|r| r.id);
                agree(said, &id, at(), faults);
            }
            Location::Comment(_, _, id) => {
                let said = step.after.file::<Comment>(&file.path)?.and_then(|f| f.value).map(|c| c.id);
                agree(said, &id, at(), faults);
            }
            Location::Version(..)
            | Location::Artifact(..)
            | Location::Attributes(..)
            | Location::ModelAccess(_)
            | Location::Stage(..)
            | Location::Alias(..)
            | Location::Settings
            | Location::Access
            | Location::Person(_)
            | Location::Companion(_) => {}
        }
    }
    // Deletions count too: a model.toml or version.toml must not be deleted alone.
    let mut models: BTreeMap<ModelDir, BTreeSet<u64>> = BTreeMap::new();
    for (place, _) in step.touched()? {
        let Some(dir) = place.model() else { continue };
        models.entry(dir.clone()).or_default().extend(place.version());
    }
    models.iter().try_for_each(|(dir, versions)| whole(step, dir, versions, faults))
}

fn agree(said: Option<crate::name::Id>, id: &crate::name::Id, path: String, faults: &mut Faults) {
    if let Some(said) = said.filter(|s| s != id) {
        faults.add(
            path,
            format!("the file contains the id {said}, but the file name is a different id"),
            "use the same id in both places",
        );
    }
}

/// Checks that a model has a `model.toml`, each version has a `version.toml`, and model-level grants hold no groups.
fn whole(
    step: &StepContext<'_>,
    dir: &ModelDir,
    versions: &BTreeSet<u64>,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    let Some(view) = step.after.model_in(dir)? else { return Ok(()) };
    if view.file()?.is_none() {
        faults.add(format!("{}/model.toml", view.path), "the model has no model.toml", "add it, or delete the folder");
    }
    if let Some(file) = view.access()?.filter(|f| f.value.as_ref().is_some_and(|a| !a.groups.is_empty())) {
        faults.add(
            file.path,
            "a model's access.toml may not contain groups; they belong in the access.toml of the registry",
            "move the groups there",
        );
    }
    for number in versions {
        if let Some(version) = view.version(*number)?.filter(|v| matches!(v.file(), Ok(None))) {
            let help = "add it, or delete the folder";
            faults.add(format!("{}/version.toml", version.path), "the version has no version.toml", help);
        }
    }
    Ok(())
}

pub(super) fn artifacts(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let layout = step.after.layout()?;
    for (file, entry) in written(step) {
        let Ok(Location::Artifact(_, _, path)) = Location::parse(&file.path, layout) else { continue };
        let (folder, name) = path.rsplit_once('/').map_or((None, path.as_str()), |(f, n)| (Some(f), n));
        let keeper = folder.is_some() && name == model_file::EMPTY_FOLDER && entry.kind == EntryKind::File;
        let mut names = folder.into_iter().flat_map(|f| f.split('/')).chain((!keeper).then_some(name));
        if let Some(bad) = names.find(|s| model_file::decode(s).is_none()) {
            let message = format!("{} is not a valid name for a model file", crate::text::quoted(bad));
            let help = match model_file::encode(bad) {
                Ok(stored) if !bad.contains('%') => {
                    format!("in the tree its name must be '{stored}'; `greenroom register` writes it so")
                }
                Ok(_) | Err(_) => NAME_HELP.to_owned(),
            };
            faults.add(step.after.full_path(&file.path), message, help);
        } else if keeper {
            match step.after.objects().blob(&entry.id, 0) {
                Ok(_) => {}
                Err(TreeError::TooLarge { .. }) => {
                    let message = "the file that marks an empty folder is not empty";
                    faults.add(step.after.full_path(&file.path), message, "remove the file");
                }
                Err(
                    e @ (TreeError::Missing(_)
                    | TreeError::Damaged { .. }
                    | TreeError::Vast { .. }
                    | TreeError::Io { .. }),
                ) => return Err(e),
            }
        }
    }
    Ok(())
}

const NAME_HELP: &str = "rename the file; a name may not have control characters, `\\`, a drive or an invalid \
                         percent-encoding";
