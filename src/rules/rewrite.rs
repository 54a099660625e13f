//! The rule of changes without an event: comments and formatting of files, and the layout.

use super::{Faults, StepContext};
use crate::entity::PermissionLevel;
use crate::entity::{Access, AliasPointer, Comment, Model, Person, Request, Settings, StagePointer, Version, Webhook};
use crate::format::EntityFile;
use crate::format::path::Location;
use crate::name::UserName;
use crate::snapshot::Snapshot;
use crate::tree::TreeError;

pub(super) fn rewrites(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    if step.founds()? {
        return Ok(());
    }
    let user = &step.actor.user;
    let manages = step.before.registry_level(user)? >= Some(PermissionLevel::CanManage);
    if manages {
        return Ok(());
    }
    if step.before.layout()? != step.after.layout()? {
        let message = format!("{user} may not change the layout: it needs CAN_MANAGE on the registry");
        let help = super::access::managers(step, None, PermissionLevel::CanManage, &[])?;
        faults.add(step.after.full_path("greenroom.toml"), message, help);
        return Ok(());
    }
    for (place, file) in step.touched()? {
        let is_reworded = same_meaning((step.before, step.after), place, &file.path)?;
        if !is_reworded && !super::merge::rewords(step, place, file)? {
            continue;
        }
        let model = place.model().and_then(crate::format::path::ModelDir::name);
        let (asks, help) = match (rewriter(step, place, &file.path)?, model) {
            (RewriteRight::Person(person), _) if person == *user => continue,
            (RewriteRight::Level(level), Some(model)) if step.level(&model)? >= Some(level) => continue,
            (RewriteRight::Level(level), Some(model)) => {
                (level.to_string(), super::access::managers(step, Some(&model), level, &[])?)
            }
            (RewriteRight::Person(person), _) => {
                let who = super::access::managers(step, None, PermissionLevel::CanManage, &[])?;
                (format!("CAN_MANAGE on the registry, or {person}, who wrote the text"), who)
            }
            (RewriteRight::Level(_), None) | (RewriteRight::Manager, _) => (
                PermissionLevel::CanManage.to_string(),
                super::access::managers(step, None, PermissionLevel::CanManage, &[])?,
            ),
        };
        let message = format!("{user} may not rewrite this file: it needs {asks}");
        faults.add(step.after.full_path(&file.path), message, help);
    }
    Ok(())
}

/// The person who may reword a file, apart from administrators.
enum RewriteRight {
    /// Only administrators.
    Manager,
    /// The person whose words the file holds.
    Person(UserName),
    /// A person with this level on the model.
    Level(PermissionLevel),
}

/// Returns who may reword a file: the people who may change its content. Comments in a file with one person's words
/// would be read as that person's.
fn rewriter(step: &StepContext<'_>, place: &Location, path: &str) -> Result<RewriteRight, TreeError> {
    let settings = step.before.settings()?;
    Ok(match place {
        Location::Person(person) => RewriteRight::Person(person.clone()),
        // Steps before this distinction existed stay valid.
        _ if step.is_past && place.model().is_some() => RewriteRight::Level(PermissionLevel::CanEdit),
        Location::Comment(..) => match step.before.file::<Comment>(path)?.and_then(|f| f.value) {
            Some(comment) => RewriteRight::Person(comment.created_by),
            None => RewriteRight::Manager,
        },
        Location::Request(..) => match step.before.file::<Request>(path)?.and_then(|f| f.value) {
            Some(request) if request.review.is_empty() && request.closed_by.is_none() => {
                RewriteRight::Person(request.created_by)
            }
            Some(_) | None => RewriteRight::Manager,
        },
        Location::Stage(_, stage) => {
            RewriteRight::Level(settings.map_or(PermissionLevel::CanManage, |s| s.level_for(stage)))
        }
        Location::Alias(_, alias) => match super::alias::rule(step, alias)? {
            Some(rule) => rule.needed_level().map_or(RewriteRight::Manager, RewriteRight::Level),
            None => RewriteRight::Level(PermissionLevel::CanEdit),
        },
        Location::ModelAccess(_) => RewriteRight::Level(PermissionLevel::CanManage),
        Location::Model(_) | Location::Version(..) => RewriteRight::Level(PermissionLevel::CanEdit),
        Location::Settings
        | Location::Access
        | Location::Webhook(_)
        | Location::Artifact(..)
        | Location::Attributes(..)
        | Location::Companion(_) => RewriteRight::Manager,
    })
}

/// Returns whether a file has the same meaning in both states.
pub(super) fn same_meaning(
    states: (&Snapshot<'_>, &Snapshot<'_>),
    place: &Location,
    path: &str,
) -> Result<bool, TreeError> {
    match place {
        Location::Settings => same::<Settings>(states, path),
        // A missing file of grants means the same as a file without grants.
        Location::Access | Location::ModelAccess(_) => {
            let access = |s: &Snapshot<'_>| match s.file::<Access>(path) {
                Ok(None) => Ok(Some(Access::default())),
                Ok(Some(file)) => Ok(file.value),
                Err(e) => Err(e),
            };
            let (before, after) = (access(states.0)?, access(states.1)?);
            Ok(before.is_some() && before == after)
        }
        Location::Person(_) => same::<Person>(states, path),
        Location::Webhook(_) => same::<Webhook>(states, path),
        Location::Model(_) => same::<Model>(states, path),
        Location::Stage(..) => same::<StagePointer>(states, path),
        Location::Alias(..) => same::<AliasPointer>(states, path),
        Location::Version(..) => same::<Version>(states, path),
        Location::Request(..) => same::<Request>(states, path),
        Location::Comment(..) => same::<Comment>(states, path),
        // Every change of these files has its event.
        Location::Artifact(..) | Location::Attributes(..) | Location::Companion(_) => Ok(false),
    }
}

fn same<T: EntityFile>(states: (&Snapshot<'_>, &Snapshot<'_>), path: &str) -> Result<bool, TreeError> {
    let value = |s: &Snapshot<'_>| s.file::<T>(path).map(|f| f.and_then(|f| f.value));
    let (before, after) = (value(states.0)?, value(states.1)?);
    Ok(before.is_some() && before == after)
}
