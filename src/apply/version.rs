//! Registering and deleting versions, their aliases and evidence.

use std::collections::BTreeMap;

use super::{ChangeDraft, Context, Refusal};
use crate::action::{Arrived, NewVersion};
use crate::entity::version::{Metric, VersionSource, VersionStatus};
use crate::entity::{AliasPointer, StagePointer, Version};
use crate::format::path;
use crate::name::{AliasName, Key, ModelName};
use crate::reference::origin;
use crate::text::Text;
use crate::tree::Patch;

pub(super) fn create(
    d: &mut ChangeDraft<'_, '_>,
    cx: &mut Context<'_>,
    model: &ModelName,
    new: &NewVersion,
) -> Result<(), Refusal> {
    let number = match d.snapshot.model(model)? {
        Some(view) => view.next_version()?,
        None if new.create_model => {
            super::model::create(d, cx, model, &Text::default(), &BTreeMap::new())?;
            1
        }
        None => return Err(Refusal::no_model(model)),
    };
    let version = Version {
        id: cx.id(),
        created_at: cx.now,
        created_by: cx.actor.clone(),
        description: new.description.clone(),
        status: new.status,
        status_message: new.status_message.clone(),
        source: settled(d, &new.source)?,
        artifacts: new.artifacts.clone(),
        tags: new.tags.clone(),
        params: new.params.clone(),
        metrics: new.metrics.clone(),
        schema: new.schema.clone(),
        model: new.info.clone(),
        environment: new.environment.clone(),
    };
    let folder = d.snapshot.paths()?.version(model, number);
    d.put(&format!("{folder}/version.toml"), &version);
    put_files(d, &folder, &new.files, new.attributes.as_ref());
    for alias in &new.aliases {
        point(d, model, alias, number)?;
    }
    Ok(())
}

/// Returns the source as it is recorded. A reference to a version of this registry is recorded by number and with the
/// location of that version's files. So neither changes when an alias moves or another model takes the name.
fn settled(d: &ChangeDraft<'_, '_>, given: &VersionSource) -> Result<VersionSource, Refusal> {
    let Some(origin) = origin::find(d.snapshot, given.uri.as_str())? else { return Ok(given.clone()) };
    let or = |given: &Text, known: &Text| if given.is_empty() { known.clone() } else { given.clone() };
    let known = &origin.version.source;
    Ok(VersionSource {
        uri: Text::new(&origin.uri()).map_err(|e| Refusal::invalid(e.to_string()))?,
        run_id: or(&given.run_id, &known.run_id),
        run_link: given.run_link.clone(),
        model_id: or(&given.model_id, &known.model_id),
        location: origin.place().clone(),
    })
}

/// Puts model files into the folder of a version.
fn put_files(d: &mut ChangeDraft<'_, '_>, folder: &str, files: &Patch, attributes: Option<&String>) {
    let full = d.snapshot.full_path(folder);
    // The files of another version are linked as one folder, with an empty path.
    for (path, change) in &files.files {
        let at = if path.is_empty() { format!("{full}/artifacts") } else { format!("{full}/artifacts/{path}") };
        d.patch.files.insert(at, change.clone());
    }
    if let Some(attributes) = attributes {
        d.patch.write(format!("{full}/.gitattributes"), attributes.clone());
    }
}

/// Completes a version with the files that arrived. A version that is no longer pending is refused: another caller
/// completed it, or marked its registration as failed.
pub(super) fn complete(
    d: &mut ChangeDraft<'_, '_>,
    model: &ModelName,
    number: u64,
    arrived: &Arrived,
) -> Result<(), Refusal> {
    let (_, view) = d.version(model, number)?;
    let known = view.file()?.and_then(|f| f.value);
    if let Some(status) = known.map(|v| v.status).filter(|status| *status != VersionStatus::PendingRegistration) {
        let message = format!("version {number} of '{model}' is {}: it does not wait for files", status.as_str());
        return Err(Refusal::invalid(message));
    }
    put_files(d, &d.snapshot.paths()?.version(model, number), &arrived.files, arrived.attributes.as_ref());
    let or = |given: &mut Text, found: &Text| {
        if given.is_empty() {
            *given = found.clone();
        }
    };
    d.edit_version(model, number, |v| {
        v.status = VersionStatus::Ready;
        v.status_message = arrived.message.clone();
        or(&mut v.source.run_id, &arrived.run_id);
        or(&mut v.source.model_id, &arrived.model_id);
        v.artifacts = Some(arrived.artifacts.clone());
        v.schema = v.schema.take().or_else(|| arrived.schema.clone());
        v.model = v.model.take().or_else(|| arrived.info.clone());
        v.environment = v.environment.take().or_else(|| arrived.environment.clone());
        for (key, value) in &arrived.params {
            v.params.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for (key, value) in &arrived.metrics {
            v.metrics.entry(key.clone()).or_insert(*value);
        }
    })
}

pub(super) fn add_evidence(
    d: &mut ChangeDraft<'_, '_>,
    model: &ModelName,
    number: u64,
    params: &BTreeMap<Key, Text>,
    metrics: &BTreeMap<Key, Metric>,
) -> Result<(), Refusal> {
    let (_, view) = d.version(model, number)?;
    let known = view.file()?.and_then(|f| f.value);
    let changed = known.and_then(|v| {
        let param = params.iter().find(|(k, p)| v.params.get(*k).is_some_and(|old| old != *p)).map(|(k, _)| k.clone());
        let metric =
            || metrics.iter().find(|(k, m)| v.metrics.get(*k).is_some_and(|old| old != *m)).map(|(k, _)| k.clone());
        param.or_else(metric)
    });
    if let Some(key) = changed {
        let message = format!(
            "'{key}' of version {number} is already recorded with a different value; evidence can be added, but not \
             changed"
        );
        return Err(Refusal::invalid(message));
    }
    d.edit_version(model, number, |v| {
        v.params.extend(params.clone());
        v.metrics.extend(metrics.clone());
    })
}

/// Removes the folder of a version and all pointers to it. The version number is never used again.
pub(super) fn delete(d: &mut ChangeDraft<'_, '_>, model: &ModelName, number: u64) -> Result<(), Refusal> {
    let (view, version) = d.version(model, number)?;
    d.patch.remove(version.path);
    for (_, file) in view.stages()? {
        if file.value.as_ref().is_some_and(|p| p.versions.contains(&number)) {
            repoint(d, &file, |p| p.versions.retain(|v| *v != number))?;
        }
    }
    for (_, file) in view.aliases()? {
        if file.value.as_ref().is_some_and(|p| p.version == number) {
            d.patch.remove(file.path);
        }
    }
    if view.highest()? == number {
        d.edit_model(model, |m| m.retired = m.retired.max(Some(number)))?;
    }
    Ok(())
}

/// Changes a stage pointer. A pointer without versions is removed.
pub(super) fn repoint(
    d: &mut ChangeDraft<'_, '_>,
    file: &crate::snapshot::File<StagePointer>,
    change: impl FnOnce(&mut StagePointer),
) -> Result<(), Refusal> {
    let mut after = super::usable(file)?;
    change(&mut after);
    if after.versions.is_empty() {
        d.patch.remove(file.path.clone());
        return Ok(());
    }
    d.edit(file, |p| *p = after)
}

pub(super) fn set_alias(
    d: &mut ChangeDraft<'_, '_>,
    model: &ModelName,
    alias: &AliasName,
    number: u64,
) -> Result<(), Refusal> {
    d.version(model, number)?;
    point(d, model, alias, number)
}

fn point(d: &mut ChangeDraft<'_, '_>, model: &ModelName, alias: &AliasName, version: u64) -> Result<(), Refusal> {
    let file = path::alias_file(alias);
    if file.len() > path::MAX_FILE_NAME {
        let max = path::MAX_FILE_NAME;
        return Err(Refusal::invalid(format!(
            "'Registered model alias name' exceeds the maximum length: as the file {file} it has more than {max} bytes"
        )));
    }
    let there = match d.snapshot.model(model)? {
        Some(view) => view.alias(alias)?,
        None => None,
    };
    match there {
        Some(file) => d.edit(&file, |p| p.version = version),
        None => {
            let folder = d.snapshot.paths()?.model(model);
            d.put(&format!("{folder}/aliases/{file}"), &AliasPointer { version });
            Ok(())
        }
    }
}

pub(super) fn delete_alias(d: &mut ChangeDraft<'_, '_>, model: &ModelName, alias: &AliasName) -> Result<(), Refusal> {
    if let Some(file) = d.model(model)?.alias(alias)? {
        d.patch.remove(file.path);
    }
    Ok(())
}
