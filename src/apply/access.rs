//! Grants, groups and people.

use std::collections::{BTreeMap, BTreeSet};

use super::{ChangeDraft, EntityKind, Refusal};
use crate::entity::{Access, Grant, PermissionLevel, Person};
use crate::format::path;
use crate::name::{GroupName, ModelName, Principal, UserName};
use crate::snapshot::File;

/// Returns the grants of a model or of the registry: the file if it exists, and its path within the registry.
fn file(d: &ChangeDraft<'_, '_>, model: Option<&ModelName>) -> Result<(Option<File<Access>>, String), Refusal> {
    match model {
        Some(name) => {
            let path = format!("{}/access.toml", d.snapshot.paths()?.model(name));
            Ok((d.model(name)?.access()?, path))
        }
        None => Ok((d.snapshot.access_file()?.cloned(), "access.toml".to_owned())),
    }
}

fn change(
    d: &mut ChangeDraft<'_, '_>,
    model: Option<&ModelName>,
    change: impl FnOnce(&mut Access),
) -> Result<(), Refusal> {
    match file(d, model)? {
        (Some(file), _) => d.edit(&file, change),
        (None, path) => {
            let mut access = Access::default();
            change(&mut access);
            d.put(&path, &access);
            Ok(())
        }
    }
}

pub(super) fn grant(
    d: &mut ChangeDraft<'_, '_>,
    model: Option<&ModelName>,
    to: &Principal,
    level: PermissionLevel,
) -> Result<(), Refusal> {
    change(d, model, |a| a.grant(to.clone(), level))
}

pub(super) fn revoke(d: &mut ChangeDraft<'_, '_>, model: Option<&ModelName>, to: &Principal) -> Result<(), Refusal> {
    let there = file(d, model)?.0.and_then(|f| f.value).is_some_and(|a| a.granted(to).is_some());
    if !there {
        let place = model.map_or_else(|| "registry-wide".to_owned(), |m| format!("on '{m}'"));
        return Err(Refusal::not_found(EntityKind::Grant, to, format!("{to} has no grant {place}")));
    }
    change(d, model, |a| a.grants.retain(|g| g.to != *to))
}

pub(super) fn set_grants(
    d: &mut ChangeDraft<'_, '_>,
    model: Option<&ModelName>,
    grants: &BTreeMap<Principal, PermissionLevel>,
) -> Result<(), Refusal> {
    if grants.is_empty() && file(d, model)?.0.is_none() {
        return Ok(());
    }
    let wanted: Vec<Grant> = grants.iter().map(|(to, level)| Grant { to: to.clone(), level: *level }).collect();
    change(d, model, |a| a.grants = wanted)
}

pub(super) fn change_group(
    d: &mut ChangeDraft<'_, '_>,
    group: &GroupName,
    add: &BTreeSet<UserName>,
    remove: &BTreeSet<UserName>,
) -> Result<(), Refusal> {
    if *group == GroupName::everyone() {
        return Err(Refusal::invalid("the group everyone contains all people; its members cannot be changed"));
    }
    change(d, None, |a| {
        let members = a.groups.entry(group.clone()).or_default();
        members.extend(add.iter().cloned());
        members.retain(|m| !remove.contains(m));
    })
}

pub(super) fn delete_group(d: &mut ChangeDraft<'_, '_>, group: &GroupName) -> Result<(), Refusal> {
    if !d.snapshot.access()?.groups.contains_key(group) {
        return Err(Refusal::not_found(EntityKind::Group, group, format!("there is no group '{group}'")));
    }
    change(d, None, |a| drop(a.groups.remove(group)))
}

pub(super) fn add_person(d: &mut ChangeDraft<'_, '_>, user: &UserName, person: &Person) -> Result<(), Refusal> {
    if d.snapshot.person(user)?.is_some() {
        return Err(Refusal::exists(EntityKind::Person, format!("there is already a person '{user}'")));
    }
    d.put(&path::person(user), person);
    Ok(())
}

fn person(d: &ChangeDraft<'_, '_>, user: &UserName) -> Result<File<Person>, Refusal> {
    d.snapshot.person(user)?.ok_or_else(|| Refusal::no_person(user))
}

pub(super) fn change_person(
    d: &mut ChangeDraft<'_, '_>,
    user: &UserName,
    new: &Person,
    seen: Option<&Person>,
) -> Result<(), Refusal> {
    let file = person(d, user)?;
    super::current(seen, file.value.as_ref(), file.path.as_str())?;
    d.edit(&file, |p| *p = new.clone())
}

pub(super) fn remove_person(d: &mut ChangeDraft<'_, '_>, user: &UserName) -> Result<(), Refusal> {
    let file = person(d, user)?;
    d.patch.remove(file.path);
    Ok(())
}
