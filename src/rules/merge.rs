//! Rules of merges: a merge must not take over what others created on its branch, or add words to their files.

use std::collections::BTreeSet;

use super::{Faults, StepContext};
use crate::entity::PermissionLevel;
use crate::event::Event;
use crate::format::path::Location;
use crate::format::{MAX_FILE, comments};
use crate::name::Principal;
use crate::tree::{FileChange, TreeEntry, TreeError};

/// Checks that creations of a branch's proven authors stay theirs. A merge must not change the creator of a model or
/// version, or drop the grant that the creator of a model got with it. Administrators may.
pub(super) fn creators_kept(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let user = &step.actor.user;
    let Some(proposal) = step.proposal.filter(|_| !step.is_past) else { return Ok(()) };
    if step.before.registry_level(user)? >= Some(PermissionLevel::CanManage) {
        return Ok(());
    }
    for made in proposal.created_by_others(user)? {
        let landed = step.diff.events.iter().find_map(|event| {
            let (id, by, _) = super::proposal::created(event)?;
            (*id == made.id).then_some((event, by))
        });
        let Some((event, by)) = landed else { continue };
        if *by != made.by {
            let path = super::ids::file(step.after, event)?;
            let message = format!("the merge names {by} as the creator, but {} created it on the branch", made.by);
            faults.add(path, message, "merge it without changes to the branch's content");
            continue;
        }
        let Event::ModelCreated { model, .. } = event else { continue };
        let is_granted = step.diff.events.iter().any(|event| {
            matches!(event, Event::Granted { model: Some(m), to, level: PermissionLevel::CanManage, .. }
                if m == model && *to == Principal::User(made.by.clone()))
        });
        if made.is_granted && !is_granted {
            let path = step.after.full_path(&format!("{}/access.toml", step.after.paths()?.model(model)));
            let message =
                format!("the merge removes CAN_MANAGE on '{model}' from {}, who created it on the branch", made.by);
            faults.add(path, message, "merge the file without changes to the branch's content");
        }
    }
    Ok(())
}

/// Returns whether a step adds TOML comments that neither the file nor the merged branch had, or reformats a file of
/// the branch. No event shows such a change, and readers take the comments for words of the person whose file it is.
pub(super) fn rewords(step: &StepContext<'_>, place: &Location, file: &FileChange) -> Result<bool, TreeError> {
    let Some(after) = file.after.as_ref().filter(|e| e.kind.is_file() && !step.is_past) else { return Ok(false) };
    match (place, step.proposal) {
        (Location::Artifact(..) | Location::Attributes(..) | Location::Companion(_), _) => return Ok(false),
        // Outside of merges only requests and comments are checked: TOML comments in them would be read as their
        // author's words.
        (Location::Request(..) | Location::Comment(..), None) | (_, Some(_)) => {}
        (_, None) => return Ok(false),
    }
    let at = |snapshot: &crate::snapshot::Snapshot<'_>| snapshot.entry(&file.path);
    let (base, branch) = match step.proposal {
        Some(proposal) => (at(&proposal.base)?, at(&proposal.state)?),
        None => (None, None),
    };
    let is = |entry: &Option<TreeEntry>| entry.as_ref().is_some_and(|e| e.id == after.id);
    // A file that is new belongs to the actor; a file as it is on the branch belongs to the branch.
    if is(&branch) || file.before.is_none() && branch.is_none() {
        return Ok(false);
    }
    let id = |entry: &Option<TreeEntry>| entry.as_ref().map(|e| e.id);
    let is_branchs_alone = step.proposal.is_some() && branch.is_some() && id(&file.before) == id(&base);
    if let Some(proposal) = step.proposal.filter(|_| is_branchs_alone)
        && super::rewrite::same_meaning((&proposal.state, step.after), place, &file.path)?
    {
        return Ok(true);
    }
    let mut known = BTreeSet::new();
    for entry in [&file.before, &branch].into_iter().flatten().filter(|e| e.kind.is_file()) {
        known.extend(said(step, entry)?);
    }
    Ok(said(step, after)?.iter().any(|comment| !known.contains(comment)))
}

/// Returns the comments of a file; empty for a file that is too large to be one of the registry's.
fn said(step: &StepContext<'_>, entry: &TreeEntry) -> Result<Vec<String>, TreeError> {
    match step.after.objects().blob(&entry.id, MAX_FILE) {
        Ok(bytes) => Ok(comments::comments(&String::from_utf8_lossy(&bytes))),
        Err(TreeError::TooLarge { .. }) => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}
