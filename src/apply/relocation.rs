//! Moving a registry to another folder of its repository. Folders are moved by object id, so only trees are read.

use super::{ChangeDraft, EntityKind, Refusal};
use crate::format::attributes;
use crate::snapshot::{Snapshot, is_own_folder, moves_from_root};
use crate::text::quoted;
use crate::tree::{EntryKind, TreeEntry, TreeError};

/// A file of the registry. At the root of the repository it may belong to the repository too.
const ATTRIBUTES: &str = ".gitattributes";

/// Moves all files of the registry into folder `to`.
pub(super) fn relocate(d: &mut ChangeDraft<'_, '_>, to: &str) -> Result<(), Refusal> {
    let (snapshot, from) = (d.snapshot, d.snapshot.at());
    let Some(root) = snapshot.root().filter(|_| matches!(snapshot.settings_file(), Ok(Some(_)))) else {
        return Err(Refusal::not_found(
            EntityKind::Registry,
            "",
            "there is no registry here; make one with `greenroom init`",
        ));
    };
    if from == to {
        return Ok(());
    }
    let whole = Snapshot::new(snapshot.objects(), snapshot.whole(), "")?;
    check_destination(&whole, from, to)?;
    for entry in snapshot.objects().tree(&root)?.iter() {
        let goes = from.is_empty().then(|| leaves_root(snapshot, entry)).transpose()?.unwrap_or(Moves::Whole);
        let target = format!("{to}{}", entry.name);
        match goes {
            Moves::Not => continue,
            Moves::Copy => {}
            Moves::Whole => d.patch.remove(format!("{from}{}", entry.name)),
        }
        if let Some(there) = whole.entry(&target)?
            && (there.kind, there.id) != (entry.kind, entry.id)
            && !holds_only(&whole, &target, from)?
        {
            let message = format!("there is already a different file {} at the destination", quoted(&target));
            return Err(Refusal::exists(EntityKind::Registry, message));
        }
        d.patch.link(target, entry.kind, entry.id);
    }
    Ok(())
}

/// How an entry at the root of the repository follows a registry that leaves the root.
enum Moves {
    /// It moves, because it belongs to the registry.
    Whole,
    /// It is copied, because it belongs to the registry and to the repository.
    Copy,
    /// It stays, because it belongs to the repository.
    Not,
}

/// Returns how an entry follows the registry. `.gitattributes` moves if its text is exactly the registry's own.
fn leaves_root(snapshot: &Snapshot<'_>, entry: &TreeEntry) -> Result<Moves, TreeError> {
    if moves_from_root(&entry.name) {
        return Ok(Moves::Whole);
    }
    if entry.name != ATTRIBUTES || !entry.kind.is_file() {
        return Ok(Moves::Not);
    }
    let own = attributes::registry();
    match snapshot.objects().blob(&entry.id, own.len() as u64) {
        Ok(bytes) if bytes == own.as_bytes() => Ok(Moves::Whole),
        Ok(_) | Err(TreeError::TooLarge { .. }) => Ok(Moves::Copy),
        Err(
            e @ (TreeError::Missing(_) | TreeError::Damaged { .. } | TreeError::Vast { .. } | TreeError::Io { .. }),
        ) => Err(e),
    }
}

/// Refuses a destination that holds other files.
fn check_destination(whole: &Snapshot<'_>, from: &str, to: &str) -> Result<(), Refusal> {
    if from.is_empty() && is_own_folder(to) {
        return Err(Refusal::invalid(format!("{} is a folder of the registry itself; choose another one", quoted(to))));
    }
    let path = to.trim_end_matches('/');
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    for way in ends.filter_map(|end| path.get(..end)).filter(|way| !way.is_empty()) {
        let Some(entry) = whole.entry(way)? else { break };
        if entry.kind != EntryKind::Tree {
            let message = format!("{} is a {}, so it cannot contain a folder", quoted(way), entry.kind.as_str());
            return Err(Refusal::exists(EntityKind::Registry, message));
        }
    }
    let entry = if path.is_empty() { None } else { whole.entry(path)? };
    if let Some(entry) = entry {
        if !holds_only(whole, path, from)? {
            let first = whole.objects().tree(&entry.id)?.first().map(|e| format!("{to}{}", e.name)).unwrap_or_default();
            let message = format!(
                "the folder {} contains other files, such as {}; choose a new folder",
                quoted(to),
                quoted(&first)
            );
            return Err(Refusal::exists(EntityKind::Registry, message));
        }
    } else if path.is_empty()
        && let Some(root) = whole.root()
    {
        let own = from.split('/').next().unwrap_or_default();
        let entries = whole.objects().tree(&root)?;
        let other = entries.iter().find(|e| e.name != own && !goes_with_any(&e.name));
        if let Some(other) = other {
            let message = format!(
                "the root folder contains other files, such as {}: a registry there would treat them as its own",
                quoted(&other.name)
            );
            return Err(Refusal::exists(EntityKind::Registry, message));
        }
    }
    Ok(())
}

/// Returns whether a folder holds nothing but the registry that moves out of folder `from`.
fn holds_only(whole: &Snapshot<'_>, folder: &str, from: &str) -> Result<bool, TreeError> {
    let mut at = folder.trim_end_matches('/').to_owned();
    while from.starts_with(&format!("{at}/")) {
        if from == format!("{at}/") {
            return Ok(true);
        }
        let Some(entry) = whole.entry(&at)?.filter(|e| e.kind == EntryKind::Tree) else { return Ok(false) };
        let entries = whole.objects().tree(&entry.id)?;
        let [only] = &*entries else { return Ok(false) };
        at = format!("{at}/{}", only.name);
    }
    Ok(false)
}

/// Returns whether a file at the root of a repository describes the repository as a whole, such as README or LICENSE.
pub fn goes_with_any(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let about =
        ["README", "LICENSE", "LICENCE", "COPYING", "NOTICE", "CHANGELOG", "CONTRIBUTING", "SECURITY", "CODEOWNERS"];
    name.starts_with('.') || about.contains(&stem.as_str())
}
