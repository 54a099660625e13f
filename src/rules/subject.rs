//! The subject of an approval, as a digest: the parts of a version, its stage and the stage rule that reviewers decide
//! about.
//!
//! There are two sets. The *digest* is stored in each review and must still match when the review is counted. It covers
//! only what decides about the transition, so a tag that no rule asks for voids no approval. The *content* is
//! everything in a version. A step that uses approvals must not change any of it, because such a change would not be
//! approved.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::entity::request::ReviewSubject;
use crate::entity::settings::{Evidence, StageRule};
use crate::entity::version::Metric;
use crate::entity::{Model, Version};
use crate::name::Digest;
use crate::snapshot::{ModelView, Snapshot};
use crate::stage::Stage;
use crate::tree::{Oid, TreeError};

/// Maps with free keys, in which an empty value differs from a missing one.
const FREE_MAPS: [&str; 4] = ["tags", "params", "metrics", "flavors"];

/// Returns the subject of a review of a version for a stage, in one state.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn subject(
    snapshot: &Snapshot<'_>,
    model: &ModelView<'_>,
    number: u64,
    to: &Stage,
) -> Result<ReviewSubject, TreeError> {
    let from = model.stage_of(number)?;
    let read = VersionContent::of(snapshot, model, number, (&from, to))?;
    let current = read.digest(&from, to);
    let former = read.former(&from, to);
    Ok(ReviewSubject { current: hashed(&current, model.tree)?, former: hashed(&former, model.tree)? })
}

/// Returns the names of the parts by which the digests of two states differ.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn changes(
    (then, old): (&Snapshot<'_>, &ModelView<'_>),
    (now, new): (&Snapshot<'_>, &ModelView<'_>),
    number: u64,
    to: &Stage,
) -> Result<Vec<String>, TreeError> {
    let parts = |snapshot: &Snapshot<'_>, model: &ModelView<'_>| {
        let from = model.stage_of(number)?;
        let whole = VersionContent::of(snapshot, model, number, (&from, to))?.digest(&from, to);
        let Value::Object(mut parts) = whole else { return Ok(Map::new()) };
        if let Some(Value::Object(seen)) = parts.remove("seen") {
            parts.extend(seen.into_iter().filter(|(name, _)| name != "model"));
        }
        Ok::<_, TreeError>(parts)
    };
    let named = |name: String| if name == "from" { "stage".to_owned() } else { name };
    let (one, other) = (parts(then, old)?, parts(now, new)?);
    Ok(differences(&one, &other).into_iter().map(named).collect())
}

/// Returns everything that a state holds of a version that moves from one stage to another, by names that people know.
pub(super) fn content(
    snapshot: &Snapshot<'_>,
    model: &ModelView<'_>,
    number: u64,
    ends: (&Stage, &Stage),
) -> Result<Map<String, Value>, TreeError> {
    Ok(VersionContent::of(snapshot, model, number, ends)?.content())
}

/// Returns the names of the parts by which two contents differ.
pub(super) fn differences(one: &Map<String, Value>, other: &Map<String, Value>) -> Vec<String> {
    one.iter().filter(|(name, value)| other.get(*name) != Some(*value)).map(|(name, _)| name.clone()).collect()
}

fn hashed(value: &Value, place: Oid) -> Result<Digest, TreeError> {
    let hex: String = Sha256::digest(value.to_string().as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    // 64 hexadecimal digits always make a digest.
    Digest::new(hex).map_err(|e| TreeError::Damaged { id: place, why: e.to_string() })
}

/// The parts of a version that its digests are made of.
struct VersionContent {
    model: Option<Model>,
    folder: String,
    number: u64,
    version: Option<Version>,
    files: Option<Oid>,
    attributes: Option<Oid>,
    rule: StageRule,
    /// The rule of the stage that the version leaves, if leaving requires approvals.
    leaving: Option<StageRule>,
}

impl VersionContent {
    fn of(
        snapshot: &Snapshot<'_>,
        model: &ModelView<'_>,
        number: u64,
        (from, to): (&Stage, &Stage),
    ) -> Result<Self, TreeError> {
        let view = model.version(number)?;
        let (mut version, mut files, mut attributes) = (None, None, None);
        if let Some(view) = &view {
            version = view.file()?.and_then(|f| f.value);
            files = view.artifacts()?;
            attributes = view.attributes()?.map(|e| e.id);
        }
        Ok(Self {
            model: model.file()?.and_then(|f| f.value),
            folder: model.dir.to_string(),
            number,
            version,
            files,
            attributes,
            rule: snapshot.settings()?.and_then(|s| s.rule(to)).cloned().unwrap_or_default(),
            leaving: snapshot.settings()?.and_then(|s| s.rule(from)).filter(|r| r.approvals_to_leave > 0).cloned(),
        })
    }

    /// Returns format 2 of the digest. Unlike format 1, it covers the files, the model's name and every description.
    fn digest(&self, from: &Stage, to: &Stage) -> Value {
        let asked = &self.rule.require;
        let seen = self.version.as_ref().map(|v| {
            let tags: Map<String, Value> =
                asked.tags.keys().map(|k| (k.to_string(), json!(v.tags.get(k).map(ToString::to_string)))).collect();
            let metrics: Map<String, Value> =
                asked.metrics.keys().map(|k| (k.to_string(), json!(v.metrics.get(k).map(metric)))).collect();
            json!({
                "id": v.id, "source": pruned(json!(v.source)), "artifacts": v.artifacts,
                "schema": pruned(json!(v.schema)), "model": pruned(json!(v.model)),
                "environment": pruned(json!(v.environment)), "status": v.status,
                "description": v.description, "tags": tags, "metrics": metrics,
            })
        });
        let mut out = json!({
            "format": 2, "model": self.model.as_ref().map(|m| &m.id), "name": self.name(), "version": self.number,
            "from": from, "to": to, "seen": seen, "files": hex(self.files), "attributes": hex(self.attributes),
            "rule": pruned(json!(self.rule)),
        });
        if let Some(rule) = &self.leaving {
            out["leaving"] = pruned(json!(rule));
        }
        out
    }

    /// Returns format 1 of the digest, which old reviews hold. It must never change, so the fields of the rule are
    /// spelled out.
    fn former(&self, from: &Stage, to: &Stage) -> Value {
        let StageRule { from: allowed, level, approvals, approvers, exclusive, require, frozen, .. } = &self.rule;
        let Evidence { description, artifacts, signed, tags, metrics, .. } = require;
        let rule = json!({
            "from": allowed, "level": level, "approvals": approvals, "approvers": approvers, "exclusive": exclusive,
            "require": {
                "description": description, "artifacts": artifacts, "signed": signed, "tags": tags, "metrics": metrics,
            },
            "frozen": frozen,
        });
        let seen = self.version.as_ref().map(|v| {
            let tags: Map<String, Value> = tags.keys().map(|k| (k.to_string(), json!(v.tags.get(k)))).collect();
            let metrics: Map<String, Value> =
                metrics.keys().map(|k| (k.to_string(), json!(v.metrics.get(k).map(ToString::to_string)))).collect();
            let description = description.then(|| v.description.clone());
            json!({
                "id": v.id, "source": v.source, "artifacts": v.artifacts, "schema": v.schema, "model": v.model,
                "environment": v.environment, "status": v.status,
                "tags": tags, "metrics": metrics,
                "description": description,
            })
        });
        json!({
            "format": 1, "version": self.number, "from": from, "to": to, "seen": seen, "rule": rule,
            "tree": self.files.is_some(),
        })
    }

    fn content(&self) -> Map<String, Value> {
        let v = self.version.as_ref();
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
        put("id", json!(v.map(|v| (&v.id, v.created_at, &v.created_by))));
        put("name", json!(self.name()));
        put("description", json!(v.map(|v| &v.description)));
        put("status", json!(v.map(|v| (v.status, &v.status_message))));
        put("source", json!(v.map(|v| &v.source)));
        put("artifacts", json!(v.map(|v| &v.artifacts)));
        put("files", json!((hex(self.files), hex(self.attributes))));
        put("schema", json!(v.map(|v| &v.schema)));
        put("model", json!(v.map(|v| &v.model)));
        put("environment", json!(v.map(|v| &v.environment)));
        put("tags", json!(v.map(|v| &v.tags)));
        put("params", json!(v.map(|v| &v.params)));
        let metrics = |v: &Version| v.metrics.iter().map(|(k, m)| (k.to_string(), metric(m))).collect::<Map<_, _>>();
        put("metrics", json!(v.map(metrics)));
        put("rule", json!((&self.rule, &self.leaving)));
        out
    }

    fn name(&self) -> String {
        self.model.as_ref().map_or_else(|| self.folder.clone(), |m| m.name.to_string())
    }
}

fn hex(id: Option<Oid>) -> Option<String> {
    id.map(|id| id.to_string())
}

/// Returns all values of a metric; its number as text, because JSON cannot express some numbers.
fn metric(metric: &Metric) -> Value {
    match metric {
        Metric::Value(value) => json!([value.to_string()]),
        Metric::At { value, step, timestamp } => json!([value.to_string(), step, timestamp]),
    }
}

/// Returns a value without empty parts, so that a key which a later program version adds changes no digest.
fn pruned(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let keep = |(name, value): (String, Value)| {
                let value = if FREE_MAPS.contains(&name.as_str()) { value } else { pruned(value) };
                (!is_nothing(&value)).then_some((name, value))
            };
            Value::Object(map.into_iter().filter_map(keep).collect())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(pruned).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_with_its_default_changes_no_digest() {
        let today = json!({ "from": null, "approvals": 2, "require": { "tags": { "k": "" }, "signed": false } });
        let later = json!({ "from": null, "approvals": 2, "leaving": false, "ready": 0,
            "require": { "tags": { "k": "" }, "signed": false, "lineage": "" } });
        assert_eq!(pruned(today), pruned(later));
        assert_eq!(pruned(json!({ "tags": { "k": "" } })), json!({ "tags": { "k": "" } }));
    }
}
