//! Databricks' registry webhooks: event names, fields in Databricks' order, and sentences.

use serde_json::{Map, Value, json};

use super::{PayloadEvent, PayloadSubject};
use crate::event::Event;
use crate::stage::Stage;

/// The event names, in the order of Databricks' own list.
pub(super) const NAMES: [&str; 12] = [
    "MODEL_VERSION_CREATED",
    "MODEL_VERSION_TRANSITIONED_STAGE",
    "TRANSITION_REQUEST_CREATED",
    "COMMENT_CREATED",
    "REGISTERED_MODEL_CREATED",
    "MODEL_VERSION_TAG_SET",
    "MODEL_VERSION_TRANSITIONED_TO_STAGING",
    "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION",
    "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED",
    "TRANSITION_REQUEST_TO_STAGING_CREATED",
    "TRANSITION_REQUEST_TO_PRODUCTION_CREATED",
    "TRANSITION_REQUEST_TO_ARCHIVED_CREATED",
];

/// Returns whether a name is general, and not the special case of another name.
pub(super) fn is_general(name: &str) -> bool {
    !name.contains("_TO_")
}

/// Returns the names of an event: the general one, then the specific one. The stage None and declared stages have no
/// specific name.
pub(super) fn names(told: &PayloadEvent<'_>) -> Vec<&'static str> {
    let PayloadSubject::Event(event) = told.what else { return Vec::new() };
    let moved = |to: &Stage, names: [&'static str; 3]| match to {
        Stage::Staging => Some(names[0]),
        Stage::Production => Some(names[1]),
        Stage::Archived => Some(names[2]),
        Stage::None | Stage::Declared(_) => None,
    };
    match event {
        Event::ModelCreated { .. } => vec!["REGISTERED_MODEL_CREATED"],
        Event::VersionCreated { created, .. } => {
            let tagged = (!created.tags.is_empty()).then_some("MODEL_VERSION_TAG_SET");
            ["MODEL_VERSION_CREATED"].into_iter().chain(tagged).collect()
        }
        Event::VersionTagSet { .. } => vec!["MODEL_VERSION_TAG_SET"],
        Event::CommentCreated { .. } => vec!["COMMENT_CREATED"],
        Event::Transitioned { to, .. } => {
            let specific = [
                "MODEL_VERSION_TRANSITIONED_TO_STAGING",
                "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION",
                "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED",
            ];
            ["MODEL_VERSION_TRANSITIONED_STAGE"].into_iter().chain(moved(to, specific)).collect()
        }
        Event::RequestCreated { request, .. } => {
            let specific = [
                "TRANSITION_REQUEST_TO_STAGING_CREATED",
                "TRANSITION_REQUEST_TO_PRODUCTION_CREATED",
                "TRANSITION_REQUEST_TO_ARCHIVED_CREATED",
            ];
            ["TRANSITION_REQUEST_CREATED"].into_iter().chain(moved(&request.to, specific)).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the body under one of the [`names`].
pub(super) fn body(name: &str, webhook: &str, told: &PayloadEvent<'_>) -> Option<Value> {
    let PayloadSubject::Event(event) = told.what else { return None };
    if !names(told).contains(&name) {
        return None;
    }
    let by = told.by;
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("event", json!(name));
    put("webhook_id", json!(webhook));
    put("event_timestamp", json!(told.at.as_millis()));
    put("model_name", json!(event.model()?));
    let model = event.model()?;
    if let Some(version) = event.version() {
        put("version", json!(version.to_string()));
    }
    let text = match event {
        Event::ModelCreated { .. } => format!("{by} created a new registered model '{model}'."),
        Event::VersionCreated { version, created, .. } if name == "MODEL_VERSION_TAG_SET" => {
            let tags: Vec<_> = created.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            put("tags", tags_value(&tags));
            tags_text(by.as_str(), &tags, model.as_str(), *version)
        }
        Event::VersionCreated { version, .. } => {
            format!("{by} created version {version} of registered model '{model}'.")
        }
        Event::VersionTagSet { version, key, value, .. } => {
            let tags = [(key.as_str(), value.as_str())];
            put("tags", tags_value(&tags));
            tags_text(by.as_str(), &tags, model.as_str(), *version)
        }
        Event::CommentCreated { version, comment, .. } => {
            put("comment", json!(comment.text));
            format!("A user commented on registered model '{model}' version {version}.")
        }
        Event::Transitioned { version, from, to, .. } => {
            put("to_stage", json!(to));
            put("from_stage", json!(from));
            format!("Registered model '{model}' version {version} transitioned from {from} to {to}.")
        }
        Event::RequestCreated { version, request, .. } => {
            let (from, to) = (told.stage, &request.to);
            put("to_stage", json!(to));
            put("from_stage", json!(from));
            let change_author = &request.created_by;
            format!(
                "{change_author} requested that registered model '{model}' version {version} transition from {from} to {to}."
            )
        }
        _ => return None,
    };
    put("text", json!(text));
    Some(Value::Object(out))
}

fn tags_value(tags: &[(&str, &str)]) -> Value {
    tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

fn tags_text(by: &str, tags: &[(&str, &str)], model: &str, version: u64) -> String {
    let list: Vec<String> = tags.iter().map(|(key, value)| format!("'{key}' => '{value}'")).collect();
    format!("{by} set version tag(s) {} for registered model '{model}' version {version}.", list.join(", "))
}
