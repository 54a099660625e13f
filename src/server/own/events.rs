//! Events as the feed shows them, and who may see which.
//!
//! Who may read a model, now and under the name it has now, sees what happened to it. All else is for who manages the
//! registry: people with their addresses and keys, groups, settings, registry-wide grants, and models that are gone, of
//! which nobody can say any more who might read them. Webhooks may hold the addresses of others; they are for who manages
//! the model. An author who is no person of the registry is an address, and shown to managers alone; the words that came
//! with a commit are shown to those who may see all that it did.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::deliver::Happening;
use crate::entity::Level;
use crate::index::{Act, Entry, matches};
use crate::name::{Id, UserName};
use crate::server::catalog::Catalog;
use crate::server::places::Places;
use crate::tree::Oid;

/// The id of an event: the same in the feed, in webhooks and in activities.
pub fn event_id(commit: Oid, ordinal: u32) -> String {
    Happening::id_of(commit, ordinal)
}

/// Who reads the feed, and what is wanted of it.
pub struct Reader {
    catalog: Arc<Catalog>,
    /// Whether the reader manages the registry, and sees everything.
    manages: bool,
    /// What the reader may do with each model that he may read.
    levels: HashMap<Id, Level>,
    wanted: Arc<Wanted>,
}

/// Which events are wanted.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Only what happened to this model, under whatever name.
    pub model: Option<Id>,
    /// Only events of such names; without any all.
    pub names: Vec<String>,
}

impl Reader {
    /// A person who reads what is wanted, with the rights of this state.
    pub fn new(catalog: &Arc<Catalog>, user: &UserName, wanted: &Arc<Wanted>) -> Self {
        let standing = catalog.standing(user);
        let levels = catalog.models().filter_map(|m| Some((m.id.clone(), standing.level(m)?))).collect();
        Self { catalog: Arc::clone(catalog), manages: standing.manages(), levels, wanted: Arc::clone(wanted) }
    }

    /// The events of a commit that are wanted and may be seen, after the event of an ordinal if one is given.
    pub fn shown(&self, entry: &Entry, places: &Places, after: Option<u32>) -> Vec<Value> {
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

    /// The model that an event happened to.
    fn bearer<'p>(&self, act: &Act, number: u64, places: &'p Places) -> Option<&'p Id> {
        places.bearer(act.model.as_deref()?, number)
    }

    fn sees(&self, act: &Act, model: Option<&Id>) -> bool {
        let needed = if act.name.starts_with("webhook.") { Level::CanManage } else { Level::CanRead };
        self.manages || model.and_then(|id| self.levels.get(id)).is_some_and(|level| *level >= needed)
    }

    /// A person; who is none of the registry's is an address, and shown as nobody in particular.
    fn who(&self, user: &str) -> Value {
        if self.manages || self.catalog.people().contains_key(user) {
            return user.into();
        }
        Value::Null
    }

    fn event(&self, entry: &Entry, act: &Act, sees_all: bool) -> Value {
        let mut data: Value = serde_json::from_str(&act.json).unwrap_or(Value::Null);
        if let Some(object) = data.as_object_mut() {
            ["event", "model", "version"].iter().for_each(|known| drop(object.remove(*known)));
        }
        let asked_by: Vec<Value> = entry.asked_by.iter().map(|u| self.who(u)).filter(|u| !u.is_null()).collect();
        let out = json!({
            "id": event_id(entry.commit, act.ordinal),
            "cursor": format!("{}.{}", entry.commit, act.ordinal),
            "event": act.name,
            "commit": entry.commit,
            "timestamp": entry.at.as_millis(),
            "user_id": self.who(&entry.by),
            "landed_by": entry.landed_by.as_deref().map(|u| self.who(u)),
            "asked_by": asked_by,
            "name": act.model,
            "version": act.version.map(|v| v.to_string()),
            "text": act.text,
            "comment": if sees_all { entry.comment.as_str() } else { "" },
            "data": data,
        });
        let is_empty = |v: &Value| v.is_null() || v == "" || v.as_array().is_some_and(Vec::is_empty);
        let fields = out.as_object().into_iter().flatten().filter(|(_, v)| !is_empty(v));
        fields.map(|(k, v)| (k.clone(), v.clone())).collect::<serde_json::Map<_, _>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::What;
    use crate::time::Timestamp;

    #[test]
    fn an_event_has_the_id_under_which_it_is_delivered() {
        let commit = Oid::from_hex(&"ab".repeat(20)).unwrap();
        let happening = Happening {
            commit,
            ordinal: 3,
            at: Timestamp::from_millis(0),
            by: crate::name::UserName::nobody(),
            landed_by: None,
            comment: String::new(),
            what: What::RuleViolated { faults: Vec::new() },
        };
        assert_eq!(happening.id(), event_id(commit, 3));
    }
}
