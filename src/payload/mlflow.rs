//! MLflow 3's webhooks: `{"entity", "action", "timestamp", "data"}`. MLflow stores prompts as registered models with
//! marker tags. Events of prompts have names of their own and leave the marker tags out.

use serde_json::{Map, Value, json};

use super::{PayloadEvent, PayloadSubject};
use crate::entity::Tags;
use crate::event::Event;
use crate::search::IS_PROMPT;
use crate::text::Text;

/// The event names, as `entity.action`.
pub(super) const NAMES: [&str; 14] = [
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "prompt.created",
    "prompt_version.created",
    "prompt_tag.set",
    "prompt_tag.deleted",
    "prompt_version_tag.set",
    "prompt_version_tag.deleted",
    "prompt_alias.created",
    "prompt_alias.deleted",
];

/// The tag that holds the text of a prompt.
const PROMPT_TEXT: &str = "mlflow.prompt.text";

/// The tag that holds the kind of a prompt.
const PROMPT_TYPE: &str = "_mlflow_prompt_type";

fn marked(tags: &Tags) -> bool {
    tags.get(IS_PROMPT).is_some_and(|v| v.as_str().eq_ignore_ascii_case("true"))
}

/// Returns the MLflow name of an event; `None` if MLflow has no such event.
pub(super) fn name(told: &PayloadEvent<'_>) -> Option<&'static str> {
    let PayloadSubject::Event(event) = told.what else { return None };
    let or = |prompt: bool, as_prompt: &'static str, as_model: &'static str| if prompt { as_prompt } else { as_model };
    let is_prompt = told.is_prompt;
    Some(match event {
        Event::ModelCreated { created, .. } => {
            or(is_prompt || marked(&created.tags), "prompt.created", "registered_model.created")
        }
        Event::VersionCreated { created, .. } => {
            or(is_prompt || marked(&created.tags), "prompt_version.created", "model_version.created")
        }
        Event::VersionTagSet { .. } => or(is_prompt, "prompt_version_tag.set", "model_version_tag.set"),
        Event::VersionTagDeleted { .. } => or(is_prompt, "prompt_version_tag.deleted", "model_version_tag.deleted"),
        Event::ModelTagSet { .. } if is_prompt => "prompt_tag.set",
        Event::ModelTagDeleted { .. } if is_prompt => "prompt_tag.deleted",
        Event::AliasSet { .. } => or(is_prompt, "prompt_alias.created", "model_version_alias.created"),
        Event::AliasDeleted { .. } => or(is_prompt, "prompt_alias.deleted", "model_version_alias.deleted"),
        _ => return None,
    })
}

/// Returns the body under the [`name`].
pub(super) fn body(wanted: &str, told: &PayloadEvent<'_>) -> Option<Value> {
    let name = name(told).filter(|name| *name == wanted)?;
    let (entity, action) = name.split_once('.')?;
    let PayloadSubject::Event(event) = told.what else { return None };
    // MLflow writes microseconds and the offset, as Python does.
    let time = told.at.to_string();
    let timestamp = format!("{}000+00:00", time.trim_end_matches('Z'));
    Some(json!({"entity": entity, "action": action, "timestamp": timestamp, "data": data(event, entity)?}))
}

fn data(event: &Event, entity: &str) -> Option<Value> {
    let name = event.model()?;
    Some(match event {
        Event::ModelCreated { created, .. } => {
            let tags = tags(&created.tags, if entity == "prompt" { &[IS_PROMPT, PROMPT_TYPE] } else { &[] });
            json!({"name": name, "tags": tags, "description": created.description})
        }
        Event::VersionCreated { version, created, .. } if entity == "prompt_version" => {
            let markers = [IS_PROMPT, PROMPT_TYPE, PROMPT_TEXT];
            json!({
                "name": name,
                "version": version.to_string(),
                "template": created.tags.get(PROMPT_TEXT).map(Text::as_str),
                "tags": tags(&created.tags, &markers),
                "description": given(&created.description),
            })
        }
        Event::VersionCreated { version, created, .. } => json!({
            "name": name,
            "version": version.to_string(),
            "source": created.source.uri,
            "run_id": given(&created.source.run_id),
            "tags": tags(&created.tags, &[]),
            "description": given(&created.description),
        }),
        Event::VersionTagSet { version, key, value, .. } => {
            json!({"name": name, "version": version.to_string(), "key": key, "value": value})
        }
        Event::VersionTagDeleted { version, key, .. } => {
            json!({"name": name, "version": version.to_string(), "key": key})
        }
        Event::ModelTagSet { key, value, .. } => json!({"name": name, "key": key, "value": value}),
        Event::ModelTagDeleted { key, .. } => json!({"name": name, "key": key}),
        Event::AliasSet { alias, version, .. } => {
            json!({"name": name, "alias": alias, "version": version.to_string()})
        }
        Event::AliasDeleted { alias, .. } => json!({"name": name, "alias": alias}),
        _ => return None,
    })
}

/// Returns a text, or null for an empty one.
fn given(text: &Text) -> Option<&str> {
    Some(text.as_str()).filter(|t| !t.is_empty())
}

fn tags(tags: &Tags, without: &[&str]) -> Map<String, Value> {
    let kept = tags.iter().filter(|(key, _)| !without.contains(&key.as_str()));
    kept.map(|(key, value)| (key.as_str().to_owned(), json!(value))).collect()
}
