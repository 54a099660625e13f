//! A registry that moved to another folder: files beside it that stayed in place are no change.

use crate::event::Event;
use crate::format::path::Location;
use crate::snapshot::Snapshot;
use crate::tree::{FileChange, TreeEntry, TreeError};

/// Returns the changed files without files of the repository that lie unchanged at the same path.
pub(super) fn without_bystanders(
    files: Vec<FileChange>,
    before: &Snapshot<'_>,
    after: &Snapshot<'_>,
) -> Result<Vec<FileChange>, TreeError> {
    let layouts = (before.layout()?, after.layout()?);
    let mut out = Vec::with_capacity(files.len());
    for file in files {
        let known = |entry: &Option<TreeEntry>, layout| {
            let place = entry.is_some().then(|| Location::parse(&file.path, layout));
            place.is_some_and(|p| !matches!(p, Ok(Location::Companion(_)) | Err(_)))
        };
        let own = known(&file.before, layouts.0) || known(&file.after, layouts.1);
        if own || differs_in_whole(&file, before, after)? {
            out.push(file);
        }
    }
    Ok(out)
}

/// Returns whether a file that belongs to no object of the registry differs at its path in the repository.
fn differs_in_whole(file: &FileChange, before: &Snapshot<'_>, after: &Snapshot<'_>) -> Result<bool, TreeError> {
    let (old, new) = sides(file, before, after)?;
    Ok(old.map(|e| (e.kind, e.id)) != new.map(|e| (e.kind, e.id)))
}

/// Returns both states of a file, each at its path in the repository.
fn sides(
    file: &FileChange,
    before: &Snapshot<'_>,
    after: &Snapshot<'_>,
) -> Result<(Option<TreeEntry>, Option<TreeEntry>), TreeError> {
    Ok(match (&file.before, &file.after) {
        (Some(old), None) => (Some(old.clone()), after.entry_of_whole(&before.full_path(&file.path))?),
        (None, Some(new)) => (before.entry_of_whole(&after.full_path(&file.path))?, Some(new.clone())),
        (old, new) => (old.clone(), new.clone()),
    })
}

/// Returns the event of a file that belongs to no object of the registry.
pub(super) fn stray(file: &FileChange, before: &Snapshot<'_>, after: &Snapshot<'_>) -> Result<Event, TreeError> {
    let is_gone = file.after.is_none();
    let path = if is_gone { before.full_path(&file.path) } else { after.full_path(&file.path) };
    let (old, new) = match before.at() == after.at() {
        true => (file.before.clone(), file.after.clone()),
        false => sides(file, before, after)?,
    };
    Ok(Event::FileChanged { path, before: old.map(|e| e.id), after: new.map(|e| e.id) })
}
