//! Lookup by id: the locations of open requests and comments, which clients name by id only, and the model that had a
//! name at a commit.
//!
//! All of this is computed from the log of events. It is kept in memory and updated by the steps since its last use. It
//! only leads to the files; the files hold the data.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::index::{EventText, HistoryEntry, Index, IndexError, committer};
use crate::name::{Id, UserName};
use crate::registry::Registry;
use crate::tree::Oid;

/// The number of commits that are read at a time.
const CHUNK: u64 = 1000;

/// A model, by its position in the list of all models that ever existed.
type ModelIndex = u32;

/// A version, by its model's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionLocation {
    /// The model's id.
    pub model: Id,
    /// The number of the version.
    pub version: u64,
}

/// The locations as of a commit.
#[derive(Debug, Clone, Default)]
pub struct IdLookup {
    tip: Option<Oid>,
    count: u64,
    models: Vec<Id>,
    names: HashMap<String, Vec<(u64, Option<ModelIndex>)>>,
    requests: BTreeMap<Id, (ModelIndex, u64)>,
    comments: HashMap<Id, (ModelIndex, u64)>,
    landers: HashMap<Id, String>,
    /// Ids that several requests or comments have or had: lookups of these find nothing.
    doubtful: BTreeSet<Id>,
}

/// The newest locations, shared by all requests. A request waits only while they are updated, not for the work of
/// another request.
#[derive(Debug, Default)]
pub struct NewestLookup(Mutex<Arc<IdLookup>>);

impl NewestLookup {
    /// Returns the index and the locations of the newest commit.
    ///
    /// # Errors
    ///
    /// [`IndexError`] when the index cannot be read or built.
    pub fn open<'r>(&self, registry: &'r Registry) -> Result<(Index<'r>, Arc<IdLookup>), IndexError> {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Opened under the lock, so that the locations are never newer than the index.
        let mut index = Index::open(registry, &mut |_| {})?;
        if !newest.is_of(&index) {
            // Requests that still use the old locations keep them.
            Arc::make_mut(&mut newest).refresh(&mut index)?;
        }
        Ok((index, Arc::clone(&newest)))
    }
}

impl IdLookup {
    /// Returns whether the locations are of the index's commit.
    pub fn is_of(&self, index: &Index<'_>) -> bool {
        index.tip() == self.tip
    }

    /// Applies the steps since the last update. If the history is another one, all of it is read again.
    ///
    /// # Errors
    ///
    /// [`IndexError`] when the index cannot be read.
    pub fn refresh(&mut self, index: &mut Index<'_>) -> Result<(), IndexError> {
        if self.is_of(index) {
            return Ok(());
        }
        let servers = index.servers()?;
        let is_same_line = self.count > 0 && index.commit(self.count - 1)? == self.tip;
        if !is_same_line {
            *self = Self::default();
        }
        while self.count < index.commits() {
            let end = index.commits().min(self.count + CHUNK);
            for entry in index.entries(self.count..end)? {
                for act in &entry.acts {
                    self.take(entry.number, act);
                    self.note_lander(&entry, act, &servers);
                }
            }
            self.count = end;
        }
        self.tip = index.tip();
        Ok(())
    }

    /// Returns the model that had a name right after the commit with a number. `None` if no model had the name then.
    /// Also `None` if several models had it in that commit, one after the other: then the model of an event is
    /// ambiguous.
    pub fn bearer(&self, name: &str, number: u64) -> Option<&Id> {
        let borne = self.names.get(name)?;
        if borne.iter().filter(|(from, _)| *from == number).count() > 1 {
            return None;
        }
        let (_, key) = borne.iter().rev().find(|(from, _)| *from <= number)?;
        self.model((*key)?)
    }

    /// Returns the location of a comment.
    pub fn comment(&self, id: &Id) -> Option<VersionLocation> {
        self.place(*self.comments.get(id).filter(|_| !self.doubtful.contains(id))?)
    }

    /// Returns the committer of an open request or a comment, if the file names another person.
    pub fn committer(&self, id: &Id) -> Option<&str> {
        self.landers.get(id).map(String::as_str)
    }

    /// Records the committer of a request or comment, if it is another person than its author.
    fn note_lander(&mut self, entry: &HistoryEntry, act: &EventText, servers: &BTreeSet<UserName>) {
        let field = match act.name.as_str() {
            "comment.created" => "comment",
            "request.created" => "request",
            _ => return,
        };
        let noun = &json(act)[field];
        let (Some(id), Some(maker)) = (id_in(noun), noun["created_by"].as_str()) else { return };
        if let Some(by) = committer(entry, maker, servers) {
            self.landers.insert(id, by.to_owned());
        }
    }

    /// Returns the locations of open requests, oldest first, after the request `after` if one is given.
    pub fn requests(&self, after: Option<&Id>) -> impl Iterator<Item = (&Id, VersionLocation)> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let all = self.requests.range::<Id, _>((from, std::ops::Bound::Unbounded));
        all.filter(|(id, _)| !self.doubtful.contains(*id)).filter_map(|(id, place)| Some((id, self.place(*place)?)))
    }

    fn place(&self, (key, version): (ModelIndex, u64)) -> Option<VersionLocation> {
        Some(VersionLocation { model: self.model(key)?.clone(), version })
    }

    fn model(&self, key: ModelIndex) -> Option<&Id> {
        self.models.get(usize::try_from(key).ok()?)
    }

    /// Returns the model that has a name now.
    fn key(&self, name: &str) -> Option<ModelIndex> {
        self.names.get(name)?.last()?.1
    }

    fn name(&mut self, name: &str, number: u64, key: Option<ModelIndex>) {
        self.names.entry(name.to_owned()).or_default().push((number, key));
    }

    /// Applies one event of the commit with a number.
    fn take(&mut self, number: u64, act: &EventText) {
        let Some(model) = act.model.as_deref() else { return };
        match act.name.as_str() {
            "model.created" => {
                let Some(id) = id_in(&json(act)["created"]) else { return };
                let Ok(key) = ModelIndex::try_from(self.models.len()) else { return };
                self.models.push(id);
                self.name(model, number, Some(key));
            }
            "model.renamed" => {
                let Some(from) = act.renamed_from.as_deref() else { return };
                let key = self.key(from);
                self.name(from, number, None);
                self.name(model, number, key);
            }
            "model.deleted" => {
                if let Some(key) = self.key(model) {
                    self.forget(|(k, _)| *k == key);
                }
                self.name(model, number, None);
            }
            "version.deleted" => {
                let gone = self.key(model).zip(act.version);
                self.forget(|place| Some(*place) == gone);
            }
            "comment.created" | "comment.deleted" => {
                let Some(id) = id_in(&json(act)["comment"]) else { return };
                let place = self.key(model).zip(act.version);
                if self.comments.get(&id).is_some_and(|known| Some(*known) != place) {
                    self.doubtful.insert(id.clone());
                }
                match self.key(model).zip(act.version).filter(|_| act.name == "comment.created") {
                    Some(place) => drop(self.comments.insert(id, place)),
                    None => drop((self.comments.remove(&id), self.landers.remove(&id))),
                }
            }
            name if name.starts_with("request.") => {
                let event = json(act);
                let request = if event["request"].is_null() { &event["after"] } else { &event["request"] };
                let Some(id) = id_in(request) else { return };
                let place = self.key(model).zip(act.version);
                if self.requests.get(&id).is_some_and(|known| Some(*known) != place) {
                    self.doubtful.insert(id.clone());
                }
                let is_open = request["state"] == "pending" && name != "request.deleted";
                match self.key(model).zip(act.version).filter(|_| is_open) {
                    Some(place) => drop(self.requests.insert(id, place)),
                    None => drop((self.requests.remove(&id), self.landers.remove(&id))),
                }
            }
            _ => {}
        }
    }

    fn forget(&mut self, is_gone: impl Fn(&(ModelIndex, u64)) -> bool) {
        self.requests.retain(|_, place| !is_gone(place));
        self.comments.retain(|_, place| !is_gone(place));
        let (requests, comments) = (&self.requests, &self.comments);
        self.landers.retain(|id, _| requests.contains_key(id) || comments.contains_key(id));
    }
}

fn json(act: &EventText) -> Value {
    serde_json::from_str(&act.json).unwrap_or(Value::Null)
}

fn id_in(noun: &Value) -> Option<Id> {
    Id::new(noun["id"].as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "019b0000-0000-7000-8000-00000000000a";
    const B: &str = "019b0000-0000-7000-8000-00000000000b";
    const C: &str = "019b0000-0000-7000-8000-00000000000c";

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn act(name: &str, model: &str, version: Option<u64>, event: &Value) -> EventText {
        EventText {
            name: name.to_owned(),
            model: Some(model.to_owned()),
            version,
            renamed_from: event["from"].as_str().map(str::to_owned),
            text: String::new(),
            details: Vec::new(),
            json: event.to_string(),
            ordinal: 0,
        }
    }

    #[test]
    fn who_asks_does_not_wait_for_the_answer_to_another() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::with(crate::git::Repo::init(dir.path(), false).unwrap(), "").unwrap();
        let newest = NewestLookup::default();
        let (_index, first) = newest.open(&registry).unwrap();
        let (_index, second) = newest.open(&registry).unwrap();
        assert!(Arc::ptr_eq(&first, &second), "while the first is looked at");
    }

    #[test]
    fn a_name_is_followed_through_renames_and_to_those_who_take_it_later() {
        let mut places = IdLookup::default();
        places.take(1, &act("model.created", "x", None, &json!({ "created": { "id": A } })));
        places.take(3, &act("model.renamed", "y", None, &json!({ "from": "x" })));
        places.take(5, &act("model.created", "x", None, &json!({ "created": { "id": B } })));
        places.take(7, &act("model.deleted", "y", None, &json!({})));
        let at = |name, number| places.bearer(name, number).map(Id::as_str);
        assert_eq!(
            [at("x", 0), at("x", 1), at("x", 2), at("x", 3), at("x", 6)],
            [None, Some(A), Some(A), None, Some(B)]
        );
        assert_eq!([at("y", 2), at("y", 3), at("y", 6), at("y", 7)], [None, Some(A), Some(A), None]);
        places.take(9, &act("model.deleted", "x", None, &json!({})));
        places.take(9, &act("model.created", "x", None, &json!({ "created": { "id": C } })));
        let at = |number| places.bearer("x", number).map(Id::as_str);
        assert_eq!([at(8), at(9), at(10)], [Some(B), None, Some(C)]);
    }

    #[test]
    fn an_id_that_two_comments_have_leads_nowhere() {
        let mut places = IdLookup::default();
        for (number, name, model) in [(0, "x", A), (1, "y", B)] {
            places.take(number, &act("model.created", name, None, &json!({ "created": { "id": model } })));
        }
        let comment = json!({ "comment": { "id": C } });
        places.take(2, &act("comment.created", "x", Some(1), &comment));
        assert_eq!(places.comment(&id(C)), Some(VersionLocation { model: id(A), version: 1 }));
        places.take(3, &act("comment.created", "y", Some(1), &comment));
        assert_eq!(places.comment(&id(C)), None);
        places.take(4, &act("comment.deleted", "y", Some(1), &comment));
        assert_eq!(places.comment(&id(C)), None);
    }

    #[test]
    fn requests_and_comments_are_found_while_they_are_there() {
        let mut places = IdLookup::default();
        places.take(0, &act("model.created", "x", None, &json!({ "created": { "id": A } })));
        let request = |state: &str| json!({ "request": { "id": B, "state": state } });
        places.take(1, &act("request.created", "x", Some(2), &request("pending")));
        places.take(2, &act("comment.created", "x", Some(2), &json!({ "comment": { "id": C } })));
        places.take(3, &act("model.renamed", "y", None, &json!({ "from": "x" })));
        let place = VersionLocation { model: id(A), version: 2 };
        assert_eq!(places.requests(None).collect::<Vec<_>>(), [(&id(B), place.clone())]);
        assert_eq!(places.requests(Some(&id(B))).count(), 0);
        assert_eq!(places.comment(&id(C)), Some(place));
        places.take(4, &act("request.approved", "y", Some(2), &request("approved")));
        assert_eq!(places.requests(None).count(), 0);
        places.take(5, &act("version.deleted", "y", Some(2), &json!({})));
        assert_eq!(places.comment(&id(C)), None);
    }
}
