//! Commits with their events, the feed, the index and the registry as a whole.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::event::Event;
use crate::index::Entry;
use crate::name::{Id, UserName};
use crate::phrase;
use crate::pushes::Push;
use crate::registry;
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;
use crate::tree::Oid;

/// A commit and what it did.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogEntry {
    /// The commit.
    pub commit: Oid,
    /// Its first parent; null for the first commit.
    pub parent: Option<Oid>,
    /// When it landed.
    pub at: Timestamp,
    /// Who made the change, as a person of the registry or by e-mail address.
    pub by: String,
    /// The author's name as written in the commit.
    pub author: String,
    /// The committer, where that is another person.
    pub landed_by: Option<String>,
    /// Of a merge: the authors of what it brought in.
    pub asked_by: Vec<String>,
    /// Those of `asked_by` of whom nothing proves that they made it: neither a signature nor the record of pushes.
    pub unproven: Vec<String>,
    /// The recorded push that landed it, where there is one; `show` does not look for it.
    pub push: Option<Push>,
    /// Whether the commit carries a signature.
    pub signed: bool,
    /// The body of the commit's message without trailers.
    pub comment: String,
    /// The events in words.
    pub summary: Vec<String>,
    /// The events.
    #[schemars(with = "Vec<Event>")]
    pub events: Vec<Value>,
}

impl LogEntry {
    /// An entry of the index, with the push that landed it.
    pub fn new(entry: &Entry, push: Option<Push>, unproven: &BTreeSet<UserName>) -> Self {
        let event = |json: &str| serde_json::from_str(json).unwrap_or(Value::Null);
        Self {
            commit: entry.commit,
            parent: entry.parent,
            at: entry.at,
            by: entry.by.clone(),
            author: entry.author.clone(),
            landed_by: entry.landed_by.clone(),
            asked_by: entry.asked_by.clone(),
            unproven: unproven.iter().map(ToString::to_string).collect(),
            push,
            signed: entry.signed,
            comment: entry.comment.clone(),
            summary: entry.acts.iter().map(|a| a.text.clone()).collect(),
            events: entry.acts.iter().map(|a| event(&a.json)).collect(),
        }
    }

    /// A commit as compared with its first parent.
    pub fn of_step(step: &registry::LogEntry, parent: Option<Oid>, unproven: &BTreeSet<UserName>) -> Self {
        Self {
            commit: step.commit,
            parent,
            at: step.at,
            by: step.by.to_string(),
            author: step.author.clone(),
            landed_by: step.landed_by.as_ref().map(ToString::to_string),
            asked_by: step.asked_by.iter().map(ToString::to_string).collect(),
            unproven: unproven.iter().map(ToString::to_string).collect(),
            push: None,
            signed: step.signed,
            comment: step.comment.clone(),
            summary: step.events.iter().map(phrase::act).collect(),
            events: step.events.iter().map(|e| serde_json::to_value(e).unwrap_or_default()).collect(),
        }
    }
}

/// What differs between two states.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Difference<'a> {
    /// The commit of the earlier state; null for the state before the first commit.
    pub before: Option<Oid>,
    /// The commit of the later state.
    pub after: Option<Oid>,
    /// The events that lead from the one to the other.
    pub events: &'a [Event],
}

/// The registry as a whole.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Overview<'a> {
    /// Its name.
    pub name: &'a Text,
    /// Its id.
    pub id: &'a Id,
    /// How folders are laid out: flat or sharded.
    pub layout: &'a str,
    /// The branch that is shown.
    pub branch: &'a str,
    /// The folder of the registry in the repository; empty for the root.
    pub folder: &'a str,
    /// How many registered models there are.
    pub models: usize,
    /// How many people there are.
    pub people: usize,
    /// The stages that have a rule.
    pub stages_with_rules: Vec<&'a Stage>,
    /// The newest commit.
    pub commit: Option<Oid>,
    /// When it was made.
    pub updated_at: Option<Timestamp>,
}

/// What state an answer of the HTTP API is of.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AsOf {
    /// The commit.
    pub commit: Oid,
    /// When it landed.
    pub at: Timestamp,
}

/// An event of the feed. Keys without a value are absent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FeedEvent {
    /// Its id: the same in webhooks and activities.
    pub id: String,
    /// What the feed goes on after.
    pub cursor: String,
    /// Its dotted name.
    pub event: String,
    /// The commit that landed it.
    pub commit: Oid,
    /// When it landed.
    pub at: Timestamp,
    /// Who did it, where the reader may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Who landed it, where that is another person and the reader may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// The authors of what a merge brought in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked_by: Vec<String>,
    /// The registered model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The version's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What happened in words.
    pub text: String,
    /// The body of the commit's message, where the reader may see all that the commit did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The other keys of the event, as `greenroom log -o json` prints it.
    pub data: Value,
}

/// A page of the feed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Events {
    /// The events, oldest first.
    pub events: Vec<FeedEvent>,
    /// The cursor of the next page; null where there is no commit.
    pub next: Option<String>,
    /// Whether there is more at once.
    pub more: bool,
}

/// The state of the derived index.
#[derive(Debug, Serialize, JsonSchema)]
pub struct IndexStatus<'a> {
    /// absent, current, behind or damaged.
    pub health: &'a str,
    /// What is damaged.
    pub damage: Option<&'a str>,
    /// The newest commit that it holds.
    pub commit: Option<Oid>,
    /// How many commits it holds.
    pub commits: u64,
    /// Its size.
    pub bytes: u64,
    /// Its folder.
    pub folder: String,
}

/// The outcome of `index rebuild`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct IndexRebuild {
    /// The newest commit that the index holds.
    pub commit: Option<Oid>,
    /// How many commits it holds.
    pub commits: u64,
}
