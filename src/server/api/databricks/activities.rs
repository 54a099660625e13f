//! The activities of a version, from the log of events: transitions, requests, decisions, comments.
//!
//! Each activity is what the history shows. An approval that moves the version is one activity: the approval. A comment
//! is shown in its current form; a deleted comment is not shown.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::shapes::{ActivityBody, Viewer};
use crate::entity::{Comment, PermissionLevel};
use crate::event::Event;
use crate::index::{HistoryEntry, HistorySubject, Index, LogFilter, committer};
use crate::name::{Id, ModelName};
use crate::registry::Registry;
use crate::server::api::greenroom_api::events::event_id;
use crate::server::api::parameters::named;
use crate::server::context::call::Call;
use crate::server::context::error::ApiError;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::server::context::writer::ChangeResult;
use crate::time::Timestamp;

/// The largest number of activities in a response without pages.
const ALL: usize = 1000;

/// The number of log entries that are read at a time.
const CHUNK: usize = 200;

/// The largest number of such reads for a page. Most events of a version, such as a tag, are not activities.
const CHUNKS: usize = 50;

/// Handles GET `model-versions/get-activities`: oldest first, the newest thousand.
///
/// # Errors
///
/// `RESOURCE_DOES_NOT_EXIST` when the caller cannot see the version, and an error when the registry or index cannot be
/// read.
pub async fn all(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let page = read(&call, model, version, None, ALL).await?;
    let found: Vec<ActivityBody> = page.found.into_iter().rev().collect();
    if found.is_empty() { Ok(Reply::done()) } else { Reply::json(&json!({ "activities": found })) }
}

/// A page of activities, newest first.
#[derive(Debug)]
pub struct ActivityPage {
    /// The activities.
    pub found: Vec<ActivityBody>,
    /// The number of the commit before which the next page starts. `None` for the last page.
    pub next: Option<u64>,
}

/// Returns the activities of a version, newest first, of commits with a smaller number than `before`: `size`
/// activities, and the rest of the last commit. There are fewer if a long part of the history holds none.
///
/// # Errors
///
/// `RESOURCE_DOES_NOT_EXIST` when the caller cannot see the model, and an error when the registry or index cannot be
/// read.
pub async fn read(
    call: &Call,
    model: ModelName,
    version: u64,
    before: Option<u64>,
    size: usize,
) -> Result<ActivityPage, ApiError> {
    let (viewer, level) = (Viewer::of(call), call.model(&model).map(|m| call.standing.level(m))?);
    let look = move |registry: &Registry, index: &mut Index<'_>| {
        let comments = comments(registry, &model, version)?;
        let (begun, servers) = (begun(index, &model, version)?, index.servers()?);
        let mut page = ActivityPage { found: Vec::new(), next: before };
        for _ in 0..CHUNKS {
            let filter = LogFilter {
                subject: HistorySubject::Version(model.clone(), version),
                before: page.next,
                limit: Some(CHUNK),
                ..LogFilter::default()
            };
            let mut entries = index.log(&filter)?;
            let is_last = entries.len() < CHUNK || entries.last().is_some_and(|e| e.number <= begun);
            entries.retain(|e| e.number >= begun);
            for (at, entry) in entries.iter().enumerate() {
                let told = VersionCommit::of(entry);
                let landed = told.activities(&comments, &viewer, level).into_iter().map(|activity| {
                    let landed_by = committer(entry, &activity.user_id, &servers).map(str::to_owned);
                    ActivityBody { landed_by, ..activity }
                });
                page.found.extend(landed.rev());
                page.next = Some(entry.number);
                if page.found.len() >= size {
                    page.next = page.next.filter(|_| !is_last || at + 1 < entries.len());
                    return Ok(page);
                }
            }
            if is_last {
                return Ok(ActivityPage { next: None, ..page });
            }
        }
        Ok(page)
    };
    call.look_up(look).await
}

/// Returns the number of the commit that created a version. Older events belong to another version of the same number,
/// of a model that was deleted or renamed. The caller may never have been allowed to read that model.
fn begun(index: &mut Index<'_>, model: &ModelName, version: u64) -> Result<u64, ApiError> {
    let subject = HistorySubject::Version(model.clone(), version);
    let event = Some("version.created".to_owned());
    let made = index.log(&LogFilter { subject, event, limit: Some(1), ..LogFilter::default() })?;
    Ok(made.first().map_or(0, |entry| entry.number))
}

/// Returns the comments of a version in their current form.
fn comments(registry: &Registry, model: &ModelName, version: u64) -> Result<BTreeMap<Id, Comment>, ApiError> {
    let snapshot = registry.snapshot()?;
    let Some(view) = snapshot.model(model)? else { return Ok(BTreeMap::new()) };
    let Some(view) = view.version(version)? else { return Ok(BTreeMap::new()) };
    Ok(view.comments()?.into_iter().filter_map(|(id, file)| Some((id, file.value?))).collect())
}

/// Returns the activity of a decision about a request, for its response.
pub fn of_decision(landed: &ChangeResult, version: u64, by: &str) -> Option<ActivityBody> {
    let commit = landed.commit?;
    let events = landed.events.iter().zip(0..).filter(|(event, _)| event.version() == Some(version));
    let acts = events.map(|(event, ordinal)| (event_id(commit, ordinal), shown(event))).collect();
    let told = VersionCommit { at: 0, by, comment: "", acts };
    let mut found = told.activities_of(|_, _| None).into_iter();
    found.find(|a| a.system_comment.as_deref() != Some(OVERTAKEN) && a.activity_type.ends_with("_REQUEST"))
}

fn shown(event: &Event) -> Value {
    serde_json::to_value(event).unwrap_or(Value::Null)
}

/// The text about a request whose version entered the stage by another way.
const OVERTAKEN: &str = "The version entered the stage in another way.";

/// The text about an approval after which the version did not move.
const MORE: &str = "The request stays open: it needs more approvals, or the version may not enter the stage yet.";

/// A commit and its events of one version.
struct VersionCommit<'e> {
    at: i64,
    by: &'e str,
    comment: &'e str,
    acts: Vec<(String, Value)>,
}

impl<'e> VersionCommit<'e> {
    fn of(entry: &'e HistoryEntry) -> Self {
        let event = |json: &str| serde_json::from_str(json).unwrap_or(Value::Null);
        VersionCommit {
            at: entry.at.as_millis(),
            by: &entry.by,
            comment: &entry.comment,
            acts: entry.acts.iter().map(|a| (event_id(entry.commit, a.ordinal), event(&a.json))).collect(),
        }
    }

    fn activities(
        &self,
        comments: &BTreeMap<Id, Comment>,
        viewer: &Viewer,
        level: Option<PermissionLevel>,
    ) -> Vec<ActivityBody> {
        self.activities_of(|_, event| {
            let id = event["comment"]["id"].as_str()?;
            let comment = comments.get(id)?;
            Some(ActivityBody::comment(comment, viewer.about_comment(comment, level)))
        })
    }

    /// Returns the activities. `comment` makes the activity of a new comment.
    fn activities_of(&self, comment: impl Fn(&str, &Value) -> Option<ActivityBody>) -> Vec<ActivityBody> {
        let mut out = Vec::new();
        for (id, event) in &self.acts {
            match event["event"].as_str().unwrap_or_default() {
                "comment.created" => out.extend(comment(id, event)),
                "version.transitioned" => out.extend(self.moved(id, event)),
                "request.created" => out.push(self.requested(event)),
                "request.reviewed" => {
                    let review = &event["review"];
                    out.push(ActivityBody {
                        system_comment: Some(MORE.to_owned()),
                        ..self.reviewed(id, event, review)
                    });
                }
                "request.approved" | "request.rejected" => {
                    let last = event["request"]["review"].as_array().and_then(|r| r.last()).unwrap_or(&Value::Null);
                    out.push(self.reviewed(id, event, last));
                }
                "request.cancelled" => out.push(self.cancelled(id, event)),
                _ => {}
            }
        }
        out
    }

    /// Returns the activity of a transition. A transition by an approval has none: the approval is the activity.
    fn moved(&self, id: &str, event: &Value) -> Option<ActivityBody> {
        let (activity_type, comment, system_comment) = match event["cause"]["by"].as_str()? {
            "direct" => ("APPLIED_TRANSITION", text(self.comment), None),
            "made_way" => {
                let (other, from) = (&event["cause"]["for_version"], event["from"].as_str()?);
                let why = format!("Version {other} was transitioned to {from}.");
                ("SYSTEM_TRANSITION", None, Some(why))
            }
            _ => return None,
        };
        Some(ActivityBody {
            activity_type,
            from_stage: word(&event["from"]),
            to_stage: word(&event["to"]),
            comment,
            system_comment,
            ..self.bare(id)
        })
    }

    fn requested(&self, event: &Value) -> ActivityBody {
        let request = &event["request"];
        ActivityBody {
            activity_type: "REQUESTED_TRANSITION",
            to_stage: word(&request["to"]),
            comment: word(&request["comment"]),
            ..self.by(&word(&request["id"]).unwrap_or_default(), &request["created_by"], &request["created_at"])
        }
    }

    fn reviewed(&self, id: &str, event: &Value, review: &Value) -> ActivityBody {
        let is_yes = review["verdict"] == "approved";
        ActivityBody {
            activity_type: if is_yes { "APPROVED_REQUEST" } else { "REJECTED_REQUEST" },
            from_stage: self.from(&event["request"]["id"]),
            to_stage: word(&event["request"]["to"]),
            comment: word(&review["comment"]),
            ..self.by(id, &review["by"], &review["at"])
        }
    }

    fn cancelled(&self, id: &str, event: &Value) -> ActivityBody {
        let request = &event["request"];
        ActivityBody {
            activity_type: "CANCELLED_REQUEST",
            to_stage: word(&request["to"]),
            comment: word(&request["close_comment"]),
            system_comment: (event["overtaken"] == true).then(|| OVERTAKEN.to_owned()),
            ..self.by(id, &request["closed_by"], &request["closed_at"])
        }
    }

    /// Returns the stage of the version before a request was approved.
    fn from(&self, request: &Value) -> Option<String> {
        let moved =
            self.acts.iter().find(|(_, e)| e["event"] == "version.transitioned" && e["cause"]["id"] == *request);
        word(&moved?.1["from"])
    }

    fn bare(&self, id: &str) -> ActivityBody {
        ActivityBody {
            id: id.to_owned(),
            user_id: self.by.to_owned(),
            creation_timestamp: self.at,
            last_updated_timestamp: self.at,
            ..ActivityBody::default()
        }
    }

    /// Uses the person and time in the file, which were checked when it was committed, or else those of the commit.
    fn by(&self, id: &str, by: &Value, at: &Value) -> ActivityBody {
        let at = at.as_str().and_then(|t| t.parse::<Timestamp>().ok()).map_or(self.at, Timestamp::as_millis);
        let user_id = word(by).unwrap_or_else(|| self.by.to_owned());
        ActivityBody { user_id, creation_timestamp: at, last_updated_timestamp: at, ..self.bare(id) }
    }
}

fn text(given: &str) -> Option<String> {
    (!given.is_empty()).then(|| given.to_owned())
}

fn word(value: &Value) -> Option<String> {
    value.as_str().and_then(text)
}
