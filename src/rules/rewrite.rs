//! The rule of changes that no event tells of: comments and spacing of files, and the layout.

use super::{Faults, Step};
use crate::entity::Level;
use crate::entity::{Access, AliasPointer, Comment, Model, Person, Request, Settings, StagePointer, Version, Webhook};
use crate::format::Record;
use crate::format::path::Location;
use crate::tree::TreeError;

pub(super) fn rewrites(step: &Step<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    if step.founds()? {
        return Ok(());
    }
    let user = &step.actor.user;
    let manages = step.before.registry_level(user)? >= Some(Level::CanManage);
    if manages {
        return Ok(());
    }
    if step.before.layout()? != step.after.layout()? {
        let message = format!("{user} may not change the layout: it needs CAN_MANAGE of the registry");
        let help = super::access::managers(step, None, Level::CanManage, &[])?;
        faults.add(step.after.full_path("greenroom.toml"), message, help);
        return Ok(());
    }
    for (place, file) in step.touched()? {
        if !same_meaning(step, place, &file.path)? {
            continue;
        }
        let model = place.model().and_then(crate::format::path::ModelDir::name);
        let allowed = match (place, &model) {
            (Location::Person(person), _) => person == user,
            (_, Some(model)) => step.level(model)? >= Some(Level::CanEdit),
            (_, None) => false,
        };
        if !allowed {
            let level = if model.is_some() { Level::CanEdit } else { Level::CanManage };
            let message = format!("{user} may not rewrite this file: it needs {level}");
            let help = super::access::managers(step, model.as_ref(), level, &[])?;
            faults.add(step.after.full_path(&file.path), message, help);
        }
    }
    Ok(())
}

/// Whether a file says after the step what it said before.
fn same_meaning(step: &Step<'_>, place: &Location, path: &str) -> Result<bool, TreeError> {
    match place {
        Location::Settings => same::<Settings>(step, path),
        // No file of grants is the same as one without a grant.
        Location::Access | Location::ModelAccess(_) => {
            let access = |s: &crate::snapshot::Snapshot<'_>| match s.file::<Access>(path) {
                Ok(None) => Ok(Some(Access::default())),
                Ok(Some(file)) => Ok(file.value),
                Err(e) => Err(e),
            };
            let (before, after) = (access(step.before)?, access(step.after)?);
            Ok(before.is_some() && before == after)
        }
        Location::Person(_) => same::<Person>(step, path),
        Location::Webhook(_) => same::<Webhook>(step, path),
        Location::Model(_) => same::<Model>(step, path),
        Location::Stage(..) => same::<StagePointer>(step, path),
        Location::Alias(..) => same::<AliasPointer>(step, path),
        Location::Version(..) => same::<Version>(step, path),
        Location::Request(..) => same::<Request>(step, path),
        Location::Comment(..) => same::<Comment>(step, path),
        // Every change of these has its event.
        Location::Artifact(..) | Location::Attributes(..) | Location::Companion(_) => Ok(false),
    }
}

fn same<T: Record>(step: &Step<'_>, path: &str) -> Result<bool, TreeError> {
    let value = |s: &crate::snapshot::Snapshot<'_>| s.file::<T>(path).map(|f| f.and_then(|f| f.value));
    let (before, after) = (value(step.before)?, value(step.after)?);
    Ok(before.is_some() && before == after)
}
