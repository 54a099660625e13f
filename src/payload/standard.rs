//! Greenroom's own events in full: as Standard Webhooks `{"type", "timestamp", "id", "data"}`, and as CloudEvents 1.0.

use serde_json::{Map, Value, json};

use super::{PayloadEvent, PayloadSubject, value};
use crate::phrase;

/// Returns the body `{"type", "timestamp", "id", "data"}`.
pub(super) fn body(told: &PayloadEvent<'_>) -> Value {
    json!({"type": told.name(), "timestamp": told.at, "id": told.id, "data": data(told)})
}

/// Returns a CloudEvent in structured mode. `source` and `id` together are unique.
pub(super) fn cloudevent(told: &PayloadEvent<'_>) -> Value {
    let (model, version) = subject(told);
    let mut source = format!("/registries/{}", told.registry.id);
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("specversion", json!("1.0"));
    put("id", json!(told.id));
    if let Some(model) = model {
        source.push_str("/models/");
        source.push_str(&encoded(model));
    }
    put("source", json!(source));
    put("type", json!(format!("greenroom.{}", told.name())));
    if let Some(model) = model {
        put("subject", json!(version.map_or_else(|| model.to_owned(), |n| format!("{model}/{n}"))));
    }
    put("time", json!(told.at));
    put("datacontenttype", json!("application/json"));
    put("data", data(told));
    Value::Object(out)
}

/// Returns the `data` of both shapes: the registry, the commit, the person, and the event in words and as data.
fn data(told: &PayloadEvent<'_>) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("registry", value(told.registry));
    put("commit", value(told.commit));
    put("by", json!(told.by));
    if let Some(by) = told.landed_by {
        put("landed_by", json!(by));
    }
    if !told.comment.is_empty() {
        put("comment", json!(told.comment));
    }
    let (model, version) = subject(told);
    if let Some(model) = model {
        put("model", json!(model));
    }
    if let Some(version) = version {
        put("version", json!(version));
    }
    put("text", json!(text(told)));
    put("event", event(told));
    Value::Object(out)
}

/// Returns the event as `greenroom log -o json` prints it.
fn event(told: &PayloadEvent<'_>) -> Value {
    match told.what {
        PayloadSubject::Event(event) => value(event),
        PayloadSubject::RuleViolated(faults) => {
            let faults: Vec<Value> = faults.iter().map(|(rule, say)| json!({"rule": rule, "message": say})).collect();
            json!({"event": told.name(), "faults": faults})
        }
        PayloadSubject::HistoryRewritten(before) => json!({"event": told.name(), "before": before}),
    }
}

/// Returns the event in words, without the person.
pub(super) fn text(told: &PayloadEvent<'_>) -> String {
    match told.what {
        PayloadSubject::Event(event) => phrase::act(event),
        PayloadSubject::RuleViolated(faults) => {
            let list: Vec<String> = faults.iter().map(|(rule, say)| format!("{rule}: {say}")).collect();
            let list = crate::text::one_line(&list.join("; ")).into_owned();
            format!("make a change that breaks rules and that no gate has judged: {list}")
        }
        PayloadSubject::HistoryRewritten(before) => {
            format!("rewrite the history: commit {} is no longer part of it", before.short())
        }
    }
}

/// Returns the model and version that the event is about.
fn subject<'t>(told: &PayloadEvent<'t>) -> (Option<&'t str>, Option<u64>) {
    match told.what {
        PayloadSubject::Event(event) => (event.model().map(crate::name::ModelName::as_str), event.version()),
        PayloadSubject::RuleViolated(_) | PayloadSubject::HistoryRewritten(_) => (None, None),
    }
}

/// Percent-encodes a name as a segment of a path.
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for b in name.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}
