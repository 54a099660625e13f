//! Events of the registry itself: settings, groups, grants, people, webhooks.

use std::collections::BTreeMap;

use super::{ChangedFiles, sides};
use crate::entity::{Access, PermissionLevel, Settings};
use crate::event::Event;
use crate::format::path::{self, Location};
use crate::name::{ModelName, Principal};
use crate::snapshot::Snapshot;
use crate::tree::TreeError;

/// Returns the events outside of models.
pub(super) fn events(
    touched: &ChangedFiles,
    before: &Snapshot<'_>,
    after: &Snapshot<'_>,
) -> Result<Vec<Event>, TreeError> {
    let mut out = Vec::new();
    if after.was_elsewhere(before)? {
        out.push(Event::RegistryMoved { from: before.at().to_owned(), to: after.at().to_owned() });
    }
    for place in touched.known.keys() {
        match place {
            Location::Settings => {
                out.extend(sides(before.settings_file()?.cloned(), after.settings_file()?.cloned()).events(
                    |settings| vec![Event::RegistryCreated { settings }],
                    |settings| vec![Event::RegistryDeleted { settings }],
                    // The layout is not part of the state, so a change of the layout alone makes no event.
                    |before, after| {
                        let moved = Settings { layout: after.layout, ..before.clone() };
                        if moved == after { Vec::new() } else { vec![Event::SettingsChanged { before, after }] }
                    },
                ));
            }
            Location::Access => {
                let nothing = Access::default;
                out.extend(sides(before.access_file()?.cloned(), after.access_file()?.cloned()).events(
                    |new| access(None, &nothing(), &new),
                    |old| access(None, &old, &nothing()),
                    |old, new| access(None, &old, &new),
                ));
            }
            Location::Person(user) => {
                out.extend(sides(before.person(user)?, after.person(user)?).events(
                    |person| vec![Event::PersonAdded { user: user.clone(), person }],
                    |person| vec![Event::PersonRemoved { user: user.clone(), person }],
                    |before, after| vec![Event::PersonChanged { user: user.clone(), before, after }],
                ));
            }
            Location::Webhook(id) => {
                let file = path::webhook(id);
                out.extend(sides(before.file(&file)?, after.file(&file)?).events(
                    |webhook| vec![Event::WebhookCreated { webhook }],
                    |webhook| vec![Event::WebhookDeleted { webhook }],
                    |before, after| vec![Event::WebhookChanged { before, after }],
                ));
            }
            Location::Model(_)
            | Location::ModelAccess(_)
            | Location::Stage(..)
            | Location::Alias(..)
            | Location::Version(..)
            | Location::Request(..)
            | Location::Comment(..)
            | Location::Artifact(..)
            | Location::Attributes(..)
            | Location::Companion(_) => {}
        }
    }
    Ok(out)
}

/// Returns the events between two lists of grants and groups. Groups come first, because grants may name them.
pub(super) fn access(model: Option<&ModelName>, before: &Access, after: &Access) -> Vec<Event> {
    let mut out = Vec::new();
    for (group, members) in &after.groups {
        match before.groups.get(group) {
            None => out.push(Event::GroupCreated { group: group.clone(), members: members.clone() }),
            Some(old) if old == members => {}
            Some(old) => out.push(Event::GroupChanged {
                group: group.clone(),
                added: members.difference(old).cloned().collect(),
                removed: old.difference(members).cloned().collect(),
            }),
        }
    }
    let (old, new) = (levels(before), levels(after));
    for (to, level) in &new {
        let before = old.get(to).copied();
        if before != Some(*level) {
            out.push(Event::Granted { model: model.cloned(), to: to.clone(), level: *level, before });
        }
    }
    for (to, level) in old.into_iter().filter(|(to, _)| !new.contains_key(to)) {
        out.push(Event::Revoked { model: model.cloned(), to, level });
    }
    for (group, members) in before.groups.iter().filter(|(g, _)| !after.groups.contains_key(*g)) {
        out.push(Event::GroupDeleted { group: group.clone(), members: members.clone() });
    }
    out
}

/// Returns the level that each principal is granted.
fn levels(access: &Access) -> BTreeMap<Principal, PermissionLevel> {
    access.grants.iter().filter_map(|g| Some((g.to.clone(), access.granted(&g.to)?))).collect()
}
