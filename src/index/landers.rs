//! Who landed what the files say that somebody made: the committer or merger of the step that brought it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::history::{Entry, LogFilter, Subject};
use super::record::Act;
use super::{Index, IndexError};
use crate::entity::Review;
use crate::name::{Id, ModelName, UserName};
use crate::tree::Oid;

/// Who landed a version, its comments, requests and reviews, where that is another than the files name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Landers {
    by_key: BTreeMap<String, String>,
}

impl Landers {
    /// Who landed the version, comment or request with this id, if that is somebody else than who made it.
    pub fn of(&self, id: &Id) -> Option<&str> {
        self.by_key.get(id.as_str()).map(String::as_str)
    }

    /// Who landed a review of a request, if that is somebody else than the reviewer.
    pub fn of_review(&self, request: &Id, review: &Review) -> Option<&str> {
        let key = review_key(request.as_str(), review.by.as_str(), &review.at.to_string());
        self.by_key.get(&key).map(String::as_str)
    }

    /// Notes who landed what an event brought. The first that is met counts, which is the newest.
    fn note(&mut self, entry: &Entry, act: &Act, servers: &BTreeSet<UserName>) {
        for (key, maker) in made(act) {
            if let Some(lander) = lander(entry, &maker, servers) {
                self.by_key.entry(key).or_insert_with(|| lander.to_owned());
            }
        }
    }
}

/// Who landed an entry's change of `maker`, if that is somebody else. A server that lands for its callers is nobody.
pub fn lander<'e>(entry: &'e Entry, maker: &str, servers: &BTreeSet<UserName>) -> Option<&'e str> {
    if entry.by != maker {
        return Some(&entry.by);
    }
    let committer = entry.landed_by.as_deref().filter(|by| *by != maker);
    committer.filter(|by| !servers.iter().any(|server| server.as_str() == *by))
}

/// What an event brought, as keys, each with the person whom the file names.
fn made(act: &Act) -> Vec<(String, String)> {
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
    /// The service accounts that land changes for their callers.
    pub fn servers(&self) -> Result<BTreeSet<UserName>, IndexError> {
        Ok(self.registry.servers(None)?)
    }

    /// Who landed what was made of a version, as of a commit, or as of now.
    pub fn landers(&mut self, model: &ModelName, version: u64, at: Option<Oid>) -> Result<Landers, IndexError> {
        let filter = LogFilter { subject: Subject::Version(model.clone(), version), at, ..LogFilter::default() };
        let servers = self.registry.servers(at)?;
        let mut out = Landers::default();
        for entry in self.log(&filter)? {
            entry.acts.iter().for_each(|act| out.note(&entry, act, &servers));
            // What is older happened to another version of the same number, of a model that was deleted.
            if entry.acts.iter().any(|act| act.name == "version.created") {
                break;
            }
        }
        Ok(out)
    }
}
