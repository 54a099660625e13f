//! The JSON Schemas (2020-12) of the bodies, one for each profile: the contract with recipients.
//!
//! They are version 1. A new key or event may be added without a new version; a key is never removed and never changes
//! its type without one.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{DATABRICKS, MLFLOW, WATCHER, sample};
use crate::entity::webhook::PayloadProfile;
use crate::event::Event;

/// The version of the schemas, and the name of their folder in `schema/events`.
pub const VERSION: u32 = 1;

/// Returns the schema of all bodies of a profile, as text that ends in a line feed.
pub fn schema(profile: PayloadProfile) -> String {
    let mut root = Map::new();
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!(format!("Bodies of webhooks with the profile {}", profile.as_str())));
    let body = match profile {
        PayloadProfile::Databricks => json!({"oneOf": DATABRICKS.map(databricks)}),
        PayloadProfile::Mlflow => json!({"oneOf": MLFLOW.map(mlflow)}),
        PayloadProfile::Standard => standard(),
        PayloadProfile::Cloudevents => cloudevents(),
        PayloadProfile::Slack => slack(),
        PayloadProfile::Teams => teams(),
    };
    if let Value::Object(body) = body {
        root.extend(body);
    }
    if matches!(profile, PayloadProfile::Standard | PayloadProfile::Cloudevents) {
        let (event, defs) = event();
        root.insert("$defs".to_owned(), defs);
        if let Some(defs) = root.get_mut("$defs").and_then(Value::as_object_mut) {
            defs.insert("Event".to_owned(), event);
            defs.insert("Data".to_owned(), data());
        }
    }
    let mut text = serde_json::to_string_pretty(&root).unwrap_or_default();
    text.push('\n');
    text
}

/// Returns the schema of an object with exactly these keys. A key is required unless its name ends in `?`.
fn object(keys: Value) -> Value {
    let Value::Object(keys) = keys else { return Value::Bool(false) };
    let required: Vec<&String> = keys.keys().filter(|k| !k.ends_with('?')).collect();
    let required = json!(required);
    let properties: Map<String, Value> =
        keys.into_iter().map(|(key, schema)| (key.trim_end_matches('?').to_owned(), schema)).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn string() -> Value {
    json!({"type": "string"})
}

fn only(word: &str) -> Value {
    json!({"const": word})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// Returns the schema of a version number as Databricks and MLflow write it.
fn version() -> Value {
    json!({"type": "string", "pattern": "^[1-9][0-9]*$"})
}

fn databricks(name: &str) -> Value {
    let mut keys = Map::new();
    let mut put = |key: &str, schema: Value| keys.insert(key.to_owned(), schema);
    put("event", only(name));
    put("webhook_id", string());
    put("event_timestamp", json!({"type": "integer", "description": "Milliseconds since the epoch."}));
    put("model_name", string());
    if name != "REGISTERED_MODEL_CREATED" {
        put("version", version());
    }
    match name {
        "MODEL_VERSION_TAG_SET" => {
            put("tags", json!({"type": "array", "items": object(json!({"key": string(), "value": string()}))}));
        }
        "COMMENT_CREATED" => drop(put("comment", string())),
        name if name.contains("TRANSITION") => {
            let to = ["Staging", "Production", "Archived"].into_iter().find(|to| name.contains(&to.to_uppercase()));
            put("to_stage", to.map_or_else(string, only));
            put("from_stage", string());
        }
        _ => {}
    }
    put("text", json!({"type": "string", "description": "The event as a sentence."}));
    object(Value::Object(keys))
}

fn mlflow(name: &str) -> Value {
    let (entity, action) = name.split_once('.').unwrap_or((name, ""));
    let tags = json!({"type": "object", "additionalProperties": string()});
    let maybe = json!({"type": ["string", "null"]});
    let is_of_version = entity.contains("version");
    let data = match (entity, action) {
        ("registered_model" | "prompt", _) => json!({"name": string(), "tags": tags, "description": string()}),
        ("model_version", _) => json!({
            "name": string(), "version": version(), "source": string(), "run_id": maybe, "tags": tags,
            "description": maybe,
        }),
        ("prompt_version", _) => json!({
            "name": string(), "version": version(), "template": maybe, "tags": tags, "description": maybe,
        }),
        ("model_version_alias" | "prompt_alias", "created") => {
            json!({"name": string(), "alias": string(), "version": version()})
        }
        ("model_version_alias" | "prompt_alias", _) => json!({"name": string(), "alias": string()}),
        (_, "set") if is_of_version => {
            json!({"name": string(), "version": version(), "key": string(), "value": string()})
        }
        (_, "set") => json!({"name": string(), "key": string(), "value": string()}),
        _ if is_of_version => json!({"name": string(), "version": version(), "key": string()}),
        _ => json!({"name": string(), "key": string()}),
    };
    object(json!({"entity": only(entity), "action": only(action), "timestamp": time(), "data": object(data)}))
}

/// Returns the names of all events that Greenroom's own profiles send.
fn own() -> Vec<&'static str> {
    sample::OWN.iter().chain(&WATCHER).copied().collect()
}

fn standard() -> Value {
    object(json!({
        "type": {"enum": own()},
        "timestamp": time(),
        "id": {"type": "string", "description": "The same in every body and on every attempt."},
        "data": {"$ref": "#/$defs/Data"},
    }))
}

fn cloudevents() -> Value {
    let types: Vec<String> = own().iter().map(|name| format!("greenroom.{name}")).collect();
    object(json!({
        "specversion": only("1.0"),
        "id": string(),
        "source": {
            "type": "string",
            "description": "/registries/<id>, followed by /models/<name> if the event is about a model.",
        },
        "type": {"enum": types},
        "subject?": {"type": "string", "description": "The model, or model/version."},
        "time": time(),
        "datacontenttype": only("application/json"),
        "data": {"$ref": "#/$defs/Data"},
    }))
}

fn data() -> Value {
    object(json!({
        "registry": object(json!({"id": string(), "name": string()})),
        "commit": {"type": "string", "description": "The commit that made the change."},
        "by": {"type": "string", "description": "The author of the change: a person of the registry."},
        "landed_by?": {"type": "string", "description": "The committer, if it is another person."},
        "comment?": {"type": "string", "description": "The comment on the change."},
        "model?": string(),
        "version?": {"type": "integer", "minimum": 1},
        "text": {"type": "string", "description": "The event in words."},
        "event": {"$ref": "#/$defs/Event"},
        "cut?": {"const": true, "description": "Present if a part was too long and was cut."},
    }))
}

/// Returns the schema of the events as data, and the definitions that it refers to.
fn event() -> (Value, Value) {
    let mut root =
        SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Event>().to_value();
    let mut defs = root.get_mut("$defs").map(Value::take).unwrap_or_else(|| json!({}));
    // A file leaves out a field that an event writes as null.
    if let Some(webhook) = defs.get_mut("Webhook").and_then(Value::as_object_mut) {
        webhook.remove("oneOf");
    }
    let mut kinds = match root.get_mut("oneOf").map(Value::take) {
        Some(Value::Array(kinds)) => kinds,
        Some(_) | None => Vec::new(),
    };
    let faults = json!({"type": "array", "items": object(json!({"rule": string(), "message": string()}))});
    kinds.push(object(json!({"event": only("rule.violated"), "faults": faults})));
    kinds.push(object(json!({"event": only("history.rewritten"), "before": string()})));
    (json!({"description": "The event, as `greenroom log -o json` prints it.", "oneOf": kinds}), defs)
}

fn slack() -> Value {
    let text = object(json!({"type": only("mrkdwn"), "text": {"type": "string", "maxLength": 3000}}));
    let block = object(json!({"type": only("section"), "text": text}));
    object(json!({"text": string(), "blocks": {"type": "array", "items": block}}))
}

fn teams() -> Value {
    let block = object(json!({"type": only("TextBlock"), "text": string(), "wrap": only_true()}));
    let card = object(json!({
        "$schema": only("http://adaptivecards.io/schemas/adaptive-card.json"),
        "type": only("AdaptiveCard"),
        "version": only("1.4"),
        "body": {"type": "array", "items": block},
    }));
    let attachment = object(json!({
        "contentType": only("application/vnd.microsoft.card.adaptive"),
        "contentUrl": {"type": "null"},
        "content": card,
    }));
    object(json!({"type": only("message"), "attachments": {"type": "array", "items": attachment}}))
}

fn only_true() -> Value {
    json!({"const": true})
}
