//! The committers of changes whose files name another person: the committer or merger of the step that added the
//! change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::history::{HistoryEntry, HistorySubject, LogFilter};
use super::record::EventText;
use super::{Index, IndexError};
use crate::entity::Review;
use crate::name::{Id, ModelName, UserName};
use crate::tree::Oid;

/// The committers of a version and its comments, requests and reviews, if they differ from the people in the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committers {
    by_key: BTreeMap<String, String>,
}

impl Committers {
    /// Returns the committer of the version, comment or request with this id, if it is not the person who made it.
    pub fn of(&self, id: &Id) -> Option<&str> {
        self.by_key.get(id.as_str()).map(String::as_str)
    }

    /// Returns the committer of a review, if it is not the reviewer.
    pub fn of_review(&self, request: &Id, review: &Review) -> Option<&str> {
        let key = review_key(request.as_str(), review.by.as_str(), &review.at.to_string());
        self.by_key.get(&key).map(String::as_str)
    }

    /// Records the committers of an event. The first record of a key counts; entries are read newest first.
    fn note(&mut self, entry: &HistoryEntry, act: &EventText, servers: &BTreeSet<UserName>) {
        for (key, maker) in made(act) {
            if let Some(committer) = committer(entry, &maker, servers) {
                self.by_key.entry(key).or_insert_with(|| committer.to_owned());
            }
        }
    }
}

/// Returns the committer of an entry for a change that `maker` made, if it is another person. Service accounts do not
/// count.
pub fn committer<'e>(entry: &'e HistoryEntry, maker: &str, servers: &BTreeSet<UserName>) -> Option<&'e str> {
    if entry.by != maker {
        return Some(&entry.by);
    }
    let committer = entry.landed_by.as_deref().filter(|by| *by != maker);
    committer.filter(|by| !servers.iter().any(|server| server.as_str() == *by))
}

/// Returns the keys of the objects that an event added, each with the person whom the file names.
fn made(act: &EventText) -> Vec<(String, String)> {
    let field = match act.name.as_str() {
        "model.created" | "version.created" => "created",
        "comment.created" => "comment",
        "request.created" | "request.reviewed" | "request.approved" | "request.rejected" => "request",
        _ => return Vec::new(),
    };
    let Ok(event) = serde_json::from_str::<Value>(&act.json) else { return Vec::new() };
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let noun = &event[field];
    let Some(id) = word(&noun["id"]) else { return Vec::new() };
    if act.name.ends_with(".created") {
        return word(&noun["created_by"]).map(|by| (id, by)).into_iter().collect();
    }
    let review = match act.name.as_str() {
        "request.reviewed" => Some(&event["review"]),
        _ => noun["review"].as_array().and_then(|all| all.last()),
    };
    let keyed = |r: &Value| {
        let (by, at) = (word(&r["by"])?, word(&r["at"])?);
        Some((review_key(&id, &by, &at), by))
    };
    review.and_then(keyed).into_iter().collect()
}

fn review_key(request: &str, by: &str, at: &str) -> String {
    format!("{request} {by} {at}")
}

impl Index<'_> {
    /// Returns the service accounts that commit on behalf of their callers.
    ///
    /// # Errors
    /// [`IndexError`] if the settings cannot be read.
    pub fn servers(&self) -> Result<BTreeSet<UserName>, IndexError> {
        Ok(self.registry.servers(None)?)
    }

    /// Returns the committers for a version, as of a commit or as of now.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn landers(&mut self, model: &ModelName, version: u64, at: Option<Oid>) -> Result<Committers, IndexError> {
        let filter = LogFilter { subject: HistorySubject::Version(model.clone(), version), at, ..LogFilter::default() };
        let servers = self.registry.servers(at)?;
        let mut out = Committers::default();
        for entry in self.log(&filter)? {
            entry.acts.iter().for_each(|act| out.note(&entry, act, &servers));
            // Older events belong to another version with the same number, of a model that was deleted.
            if entry.acts.iter().any(|act| act.name == "version.created") {
                break;
            }
        }
        Ok(out)
    }
}
