//! Output types for commits with their events, the event feed, the derived index and the registry as a whole.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::event::Event;
use crate::index::HistoryEntry;
use crate::name::{Id, UserName};
use crate::phrase;
use crate::pushes::Push;
use crate::registry;
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;
use crate::tree::Oid;

/// A commit with its events.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogEntry {
    /// The commit.
    pub commit: Oid,
    /// The first parent of the commit. Null for the first commit.
    pub parent: Option<Oid>,
    /// The time when the commit reached the branch.
    pub at: Timestamp,
    /// The person who made the change: the id in the registry, or the e-mail address if the registry has no such
    /// person.
    pub by: String,
    /// The author's name, as written in the commit.
    pub author: String,
    /// The committer. Null if the committer is the person in `by`.
    pub landed_by: Option<String>,
    /// The authors of the merged commits, if the commit is a merge; otherwise empty.
    pub asked_by: Vec<String>,
    /// The authors in `asked_by` without proof, which is a signature or the record of pushes.
    pub unproven: Vec<String>,
    /// The recorded push that put the commit on the branch. Null if no push is recorded, and always null in the output of `show`.
    pub push: Option<Push>,
    /// Whether the commit carries a signature.
    pub signed: bool,
    /// The body of the commit message, without trailers.
    pub comment: String,
    /// One sentence for each event.
    pub summary: Vec<String>,
    /// The events.
    #[schemars(with = "Vec<Event>")]
    pub events: Vec<Value>,
}

impl LogEntry {
    /// Makes the output for an entry of the index, with the push that put it on the branch.
    pub fn new(entry: &HistoryEntry, push: Option<Push>, unproven: &BTreeSet<UserName>) -> Self {
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

/// The difference between two states of the registry.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Difference<'a> {
    /// The commit of the earlier state. Null for the state before the first commit.
    pub before: Option<Oid>,
    /// The commit of the later state.
    pub after: Option<Oid>,
    /// The events that lead from the earlier state to the later state.
    pub events: &'a [Event],
}

/// A summary of the registry.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Overview<'a> {
    /// The registry's name.
    pub name: &'a Text,
    /// The registry's id.
    pub id: &'a Id,
    /// The layout of the folders: `flat` or `sharded`.
    pub layout: &'a str,
    /// The branch with the registry.
    pub branch: &'a str,
    /// The folder of the registry in the repository. Empty for the root.
    pub folder: &'a str,
    /// The number of registered models.
    pub models: usize,
    /// The number of people.
    pub people: usize,
    /// The stages that have a rule.
    pub stages_with_rules: Vec<&'a Stage>,
    /// The newest commit.
    pub commit: Option<Oid>,
    /// The time of the newest commit.
    pub updated_at: Option<Timestamp>,
}

/// The state of the registry that a response of the HTTP API shows.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AsOf {
    /// The commit.
    pub commit: Oid,
    /// The time when the commit reached the branch.
    pub at: Timestamp,
}

/// An event of the event feed. Keys without a value are absent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FeedEvent {
    /// The id of the event. Webhooks and activities use the same id.
    pub id: String,
    /// The cursor of the event. A request with this cursor continues after the event.
    pub cursor: String,
    /// The dotted name of the event, such as `version.created`.
    pub event: String,
    /// The commit with the event.
    pub commit: Oid,
    /// The time when the commit reached the branch.
    pub at: Timestamp,
    /// The person who made the change. Absent if the caller may not see that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The committer. Absent if the committer is the person in `by`, or if the caller may not see that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// The authors of the merged commits, if the commit is a merge.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked_by: Vec<String>,
    /// The registered model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The version number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// A sentence that describes the event.
    pub text: String,
    /// The body of the commit message. Absent if the caller may not see all events of the commit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The other keys of the event, as `greenroom log -o json` prints it.
    pub data: Value,
}

/// A page of the event feed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Events {
    /// The events, oldest first.
    pub events: Vec<FeedEvent>,
    /// The cursor of the next page. Null if the registry has no commit.
    pub next: Option<String>,
    /// Whether more events are available now.
    pub more: bool,
}

/// The state of the derived index.
#[derive(Debug, Serialize, JsonSchema)]
pub struct IndexStatus<'a> {
    /// `absent`, `current`, `behind` or `damaged`.
    pub health: &'a str,
    /// A description of the damage. Null if the index is not damaged.
    pub damage: Option<&'a str>,
    /// The newest commit in the index.
    pub commit: Option<Oid>,
    /// The number of commits in the index.
    pub commits: u64,
    /// The size of the index in bytes.
    pub bytes: u64,
    /// The folder of the index.
    pub folder: String,
}

/// The result of `index rebuild`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct IndexRebuild {
    /// The newest commit in the index.
    pub commit: Option<Oid>,
    /// The number of commits in the index.
    pub commits: u64,
}
