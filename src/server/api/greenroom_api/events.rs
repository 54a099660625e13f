//! Events as the feed shows them, and the rules of who may see which event.
//!
//! A caller who may read a model now, under its current name, sees its events. Events of deleted models are for people
//! with a registry-wide grant, who may read any model. Webhooks may hold URLs of other people, so their events are for
//! managers of the model. All other events are for administrators of the registry: people with their e-mail addresses
//! and keys, groups, settings, registry-wide grants. An author who is not in the registry is an e-mail address, which
//! only administrators see. The comment of a commit is shown to callers who may see all events of the commit.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::deliver::Notification;
use crate::entity::PermissionLevel;
use crate::index::{EventText, HistoryEntry, matches};
use crate::name::{Id, UserName};
use crate::server::context::catalog::Catalog;
use crate::server::context::id_lookup::IdLookup;
use crate::tree::Oid;
use crate::view::FeedEvent;

/// Returns the id of an event: the same in the feed, in webhooks and in activities.
pub fn event_id(commit: Oid, ordinal: u32) -> String {
    Notification::id_of(commit, ordinal)
}

/// The reader of the feed, with their permissions and filter.
pub struct FeedReader {
    catalog: Arc<Catalog>,
    /// The reader's registry-wide level. An administrator sees everything.
    registry: Option<PermissionLevel>,
    /// The reader's level on each model that they may read.
    levels: HashMap<Id, PermissionLevel>,
    wanted: Arc<FeedQuery>,
}

/// A filter of events.
#[derive(Debug, Default)]
pub struct FeedQuery {
    /// Only events of this model, under any name.
    pub model: Option<Id>,
    /// Only events with these names. Empty for all events.
    pub names: Vec<String>,
}

impl FeedReader {
    /// Makes a reader with a filter and the permissions of this catalog.
    pub fn new(catalog: &Arc<Catalog>, user: &UserName, wanted: &Arc<FeedQuery>) -> Self {
        let standing = catalog.standing(user);
        let levels = catalog.models().filter_map(|m| Some((m.id.clone(), standing.level(m)?))).collect();
        Self { catalog: Arc::clone(catalog), registry: standing.registry(), levels, wanted: Arc::clone(wanted) }
    }

    /// Returns the events of a commit that pass the filter and may be seen, after the event `after` if one is given.
    pub fn shown(&self, entry: &HistoryEntry, places: &IdLookup, after: Option<u32>) -> Vec<FeedEvent> {
        let sees_all = entry.acts.iter().all(|act| self.sees(act, self.bearer(act, entry.number, places)));
        let acts = entry.acts.iter().filter(|act| after.is_none_or(|o| act.ordinal > o));
        let wanted = acts.filter(|act| {
            let model = self.bearer(act, entry.number, places);
            let is_of = self.wanted.model.as_ref().is_none_or(|wanted| model == Some(wanted));
            let is_named = self.wanted.names.is_empty() || self.wanted.names.iter().any(|n| matches(n, &act.name));
            is_of && is_named && self.sees(act, model)
        });
        wanted.map(|act| self.event(entry, act, sees_all)).collect()
    }

    /// Returns the model of an event.
    fn bearer<'p>(&self, act: &EventText, number: u64, places: &'p IdLookup) -> Option<&'p Id> {
        places.bearer(act.model.as_deref()?, number)
    }

    fn sees(&self, act: &EventText, model: Option<&Id>) -> bool {
        let needed =
            if act.name.starts_with("webhook.") { PermissionLevel::CanManage } else { PermissionLevel::CanRead };
        let level = self.registry.max(model.and_then(|id| self.levels.get(id)).copied());
        self.manages() || (act.model.is_some() && level >= Some(needed))
    }

    fn manages(&self) -> bool {
        self.registry == Some(PermissionLevel::CanManage)
    }

    /// Returns a person. `None` for an author who is not in the registry and whose e-mail address the reader may not
    /// see.
    fn who(&self, user: &str) -> Option<String> {
        let known = self.manages() || self.catalog.people().contains_key(user);
        known.then(|| user.to_owned())
    }

    fn event(&self, entry: &HistoryEntry, act: &EventText, sees_all: bool) -> FeedEvent {
        let mut data: Value = serde_json::from_str(&act.json).unwrap_or(Value::Null);
        if let Some(object) = data.as_object_mut() {
            ["event", "model", "version"].iter().for_each(|known| drop(object.remove(*known)));
        }
        FeedEvent {
            id: event_id(entry.commit, act.ordinal),
            cursor: format!("{}.{}", entry.commit, act.ordinal),
            event: act.name.clone(),
            commit: entry.commit,
            at: entry.at,
            by: self.who(&entry.by),
            landed_by: entry.landed_by.as_deref().and_then(|u| self.who(u)),
            asked_by: entry.asked_by.iter().filter_map(|u| self.who(u)).collect(),
            model: act.model.clone(),
            version: act.version,
            text: act.text.clone(),
            comment: if sees_all { entry.comment.clone() } else { String::new() },
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::NotificationKind;
    use crate::time::Timestamp;

    #[test]
    fn an_event_has_the_id_under_which_it_is_delivered() {
        let commit = Oid::from_hex(&"ab".repeat(20)).unwrap();
        let notification = Notification {
            commit,
            ordinal: 3,
            at: Timestamp::from_millis(0),
            by: crate::name::UserName::nobody(),
            landed_by: None,
            comment: String::new(),
            what: NotificationKind::RuleViolated { faults: Vec::new() },
        };
        assert_eq!(notification.id(), event_id(commit, 3));
    }
}
