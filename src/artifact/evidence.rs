//! Parameters and metrics of a run, in the JSON form of MLflow's REST API and of greenroom's own API.
//!
//! ```json
//! {"params": [{"key": "C", "value": "0.1"}],
//!  "metrics": [{"key": "auc", "value": 0.91, "step": 3, "timestamp": 1772366400000}]}
//! ```
//! Timestamps are milliseconds since the epoch. JSON has no notation for non-finite numbers: the strings `"NaN"`,
//! `"Infinity"` and `"-Infinity"` stand for them, as in protobuf's JSON. All numbers may be written as strings.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::entity::version::Metric;
use crate::name::Key;
use crate::text::{Text, quoted};
use crate::time::Timestamp;

/// The largest number of recorded parameters, and of recorded metrics: `version.toml` must stay small.
pub const MAX_ENTRIES: usize = 1000;

/// The approximate number of bytes that parameters and metrics may take in `version.toml`.
const MAX_BYTES: usize = 96 * 1024;

/// The longest value of a parameter, in bytes; MLflow allows 6000 characters.
const MAX_VALUE: usize = 24_000;

/// The known parameters and metrics of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// The parameters of the run.
    pub params: BTreeMap<Key, Text>,
    /// The latest value of each metric.
    pub metrics: BTreeMap<Key, Metric>,
}

/// Why an entry cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvidence {
    /// The value is not a list of objects with a key and a value.
    #[error("'{0}' must be a list of objects with a key and a value")]
    Shape(&'static str),
    /// The key cannot be stored.
    #[error("the key {key} of '{list}' is not allowed: {why}")]
    Key {
        /// `params` or `metrics`.
        list: &'static str,
        /// The key, quoted.
        key: String,
        /// The rule that the key breaks.
        why: String,
    },
    /// The value cannot be stored.
    #[error("the value of {key} in '{list}' is not allowed: {why}")]
    Value {
        /// `params` or `metrics`.
        list: &'static str,
        /// The key, quoted.
        key: String,
        /// The rule that the value breaks.
        why: String,
    },
    /// There are more entries or bytes than the limits allow.
    #[error(
        "there are too many parameters or metrics: at most {MAX_ENTRIES} of each are recorded, {MAX_BYTES} bytes in all"
    )]
    TooMuch,
}

impl Evidence {
    /// Reads the parameters and metrics in a request.
    ///
    /// # Errors
    /// [`InvalidEvidence`] for the first entry that cannot be recorded.
    pub fn strict(params: Option<&Value>, metrics: Option<&Value>) -> Result<Self, InvalidEvidence> {
        let (found, faults) = Self::read(params, metrics);
        faults.into_iter().next().map_or(Ok(found), Err)
    }

    /// Reads all entries that can be recorded, and returns an error for each other entry.
    pub fn read(params: Option<&Value>, metrics: Option<&Value>) -> (Self, Vec<InvalidEvidence>) {
        let (mut out, mut faults) = (Self::default(), Vec::new());
        let mut bytes = 0_usize;
        let mut room = |key: &Key, value: usize| {
            bytes = bytes.saturating_add(key.as_str().len() + value + 64);
            bytes <= MAX_BYTES
        };
        for entry in entries("params", params, &mut faults) {
            match param(entry) {
                Ok((key, value)) if room(&key, value.as_str().len()) => drop(out.params.insert(key, value)),
                Ok(_) => faults.push(InvalidEvidence::TooMuch),
                Err(e) => faults.push(e),
            }
        }
        for entry in entries("metrics", metrics, &mut faults) {
            match metric(entry) {
                Ok((key, value)) if room(&key, 0) => drop(out.metrics.insert(key, value)),
                Ok(_) => faults.push(InvalidEvidence::TooMuch),
                Err(e) => faults.push(e),
            }
        }
        (out, faults)
    }

    /// Whether there are no parameters and no metrics.
    pub fn is_empty(&self) -> bool {
        self.params.is_empty() && self.metrics.is_empty()
    }

    /// Adds missing entries of the run to the evidence of a logged model. If both have the same measurement (step and
    /// time), the run's value wins: MLflow stores 0 for a NaN of a logged model.
    pub fn fill_from_run(&mut self, run: Self) {
        for (key, value) in &run.metrics {
            let moment = |metric: &Metric| match metric {
                Metric::Value(_) => None,
                Metric::At { value: _, step, timestamp } => Some((*step, *timestamp)),
            };
            if let Some(known) = self.metrics.get_mut(key)
                && moment(known).is_some_and(|m| Some(m) == moment(value))
            {
                *known = *value;
            }
        }
        self.fill(run);
    }

    /// Adds missing entries.
    pub fn fill(&mut self, other: Self) {
        for (key, value) in other.params {
            self.params.entry(key).or_insert(value);
        }
        for (key, value) in other.metrics {
            self.metrics.entry(key).or_insert(value);
        }
    }
}

/// Returns the entries of a list, at most [`MAX_ENTRIES`].
fn entries<'v>(name: &'static str, list: Option<&'v Value>, faults: &mut Vec<InvalidEvidence>) -> &'v [Value] {
    let all = match list {
        None | Some(Value::Null) => return &[],
        Some(Value::Array(all)) => all.as_slice(),
        Some(_) => {
            faults.push(InvalidEvidence::Shape(name));
            return &[];
        }
    };
    if all.len() > MAX_ENTRIES {
        faults.push(InvalidEvidence::TooMuch);
    }
    all.get(..MAX_ENTRIES).unwrap_or(all)
}

fn key(list: &'static str, entry: &Value) -> Result<Key, InvalidEvidence> {
    let given = entry.get("key").and_then(Value::as_str).ok_or(InvalidEvidence::Shape(list))?;
    Key::new(given).map_err(|e| InvalidEvidence::Key { list, key: quoted(given), why: e.to_string() })
}

fn param(entry: &Value) -> Result<(Key, Text), InvalidEvidence> {
    let key = key("params", entry)?;
    let wrong = |why: String| InvalidEvidence::Value { list: "params", key: quoted(key.as_str()), why };
    let value = match entry.get("value") {
        Some(Value::String(text)) => text.as_str(),
        None | Some(Value::Null) => "",
        Some(_) => return Err(wrong("it is not text".to_owned())),
    };
    if value.len() > MAX_VALUE {
        return Err(wrong(format!("it has {} bytes, at most {MAX_VALUE} are recorded", value.len())));
    }
    let value = Text::new(value).map_err(|e| wrong(e.to_string()))?;
    Ok((key, value))
}

fn metric(entry: &Value) -> Result<(Key, Metric), InvalidEvidence> {
    let key = key("metrics", entry)?;
    let wrong = |what: &str| InvalidEvidence::Value {
        list: "metrics",
        key: quoted(key.as_str()),
        why: format!("{what} is not a number"),
    };
    let value = match entry.get("value") {
        Some(Value::Number(n)) => n.as_f64(),
        Some(Value::String(s)) => match s.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            other => other.parse().ok(),
        },
        _ => None,
    };
    let value = value.ok_or_else(|| wrong("the value"))?;
    let whole = |name: &str| match entry.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(s)) => s.parse().map(Some).map_err(|_| wrong(name)),
        Some(other) => other.as_i64().map(Some).ok_or_else(|| wrong(name)),
    };
    let (step, millis) = (whole("step")?, whole("timestamp")?);
    let timestamp = millis.map(Timestamp::from_millis);
    let plain = step.is_none() && timestamp.is_none();
    Ok((key, if plain { Metric::Value(value) } else { Metric::At { value, step, timestamp } }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_mlflow_writes_is_read() -> Result<(), InvalidEvidence> {
        let params = json!([{ "key": "C", "value": "0.1" }, { "key": "note", "value": "a\nb" }]);
        let metrics = json!([
            { "key": "auc", "value": 0.91, "timestamp": 1_772_366_400_000_i64, "step": 3, "run_id": "r" },
            { "key": "loss", "value": "NaN", "step": "0" },
            { "key": "gain", "value": "-Infinity" },
            { "key": "count", "value": 7 },
        ]);
        let found = Evidence::strict(Some(&params), Some(&metrics))?;
        let text = |k: &str| found.params.get(k).map(Text::as_str);
        assert_eq!((text("C"), text("note")), (Some("0.1"), Some("a\nb")));
        let at = |step, millis: Option<i64>, value| Metric::At {
            value,
            step,
            timestamp: millis.map(Timestamp::from_millis),
        };
        let metric = |k: &str| found.metrics.get(k).copied();
        assert_eq!(metric("auc"), Some(at(Some(3), Some(1_772_366_400_000), 0.91)));
        assert_eq!(metric("loss"), Some(at(Some(0), None, f64::NAN)));
        assert_eq!(metric("gain"), Some(Metric::Value(f64::NEG_INFINITY)));
        assert_eq!(metric("count"), Some(Metric::Value(7.0)));
        assert!(Evidence::strict(None, Some(&Value::Null))?.is_empty());
        Ok(())
    }

    #[test]
    fn what_cannot_be_recorded_is_refused_or_left_out() {
        let long = "x".repeat(MAX_VALUE + 1);
        for params in [
            json!({ "C": "0.1" }),
            json!(["C"]),
            json!([{ "value": "0.1" }]),
            json!([{ "key": "../C", "value": "0.1" }]),
            json!([{ "key": "C", "value": 0.1 }]),
            json!([{ "key": "C", "value": "a\u{1b}[31m" }]),
            json!([{ "key": "C", "value": long }]),
        ] {
            assert!(Evidence::strict(Some(&params), None).is_err(), "{params}");
        }
        for metrics in [
            json!([{ "key": "auc" }]),
            json!([{ "key": "auc", "value": "high" }]),
            json!([{ "key": "auc", "value": 1, "step": 0.5 }]),
            json!([{ "key": "auc", "value": 1, "timestamp": "now" }]),
        ] {
            assert!(Evidence::strict(None, Some(&metrics)).is_err(), "{metrics}");
        }
        let mixed = json!([{ "key": "good", "value": "1" }, { "key": "bad", "value": 1 }]);
        let (found, faults) = Evidence::read(Some(&mixed), None);
        assert_eq!((found.params.len(), faults.len()), (1, 1));
    }

    #[test]
    fn no_run_makes_a_version_too_large() {
        let many: Vec<Value> = (0..5000).map(|n| json!({ "key": format!("p{n}"), "value": "v" })).collect();
        let (found, faults) = Evidence::read(Some(&many.into()), None);
        assert!(found.params.len() <= MAX_ENTRIES && faults.contains(&InvalidEvidence::TooMuch));
        let wide: Vec<Value> = (0..100).map(|n| json!({ "key": format!("p{n}"), "value": "v".repeat(9000) })).collect();
        let (found, _) = Evidence::read(Some(&wide.into()), None);
        assert!((1..20).contains(&found.params.len()), "{}", found.params.len());
    }

    #[test]
    fn a_measurement_that_a_run_has_too_is_the_runs() {
        let of = |metrics: Value| Evidence::read(None, Some(&metrics)).0;
        let mut model = of(json!([
            { "key": "loss", "value": 0, "step": 1, "timestamp": 5 }, { "key": "auc", "value": 0.5, "step": 1, "timestamp": 5 },
        ]));
        model.fill_from_run(of(json!([
            { "key": "loss", "value": "NaN", "step": 1, "timestamp": 5 },
            { "key": "auc", "value": 0.9, "step": 2, "timestamp": 6 },
            { "key": "f1", "value": 0.7 },
        ])));
        let value = |key: &str| model.metrics.get(key).map(Metric::value);
        assert!(value("loss").is_some_and(f64::is_nan));
        assert_eq!((value("auc"), value("f1")), (Some(0.5), Some(0.7)), "of another checkpoint the model's own counts");
    }

    #[test]
    fn what_is_known_first_stands() {
        let of = |value: &str| Evidence::read(Some(&json!([{ "key": "C", "value": value }])), None).0;
        let mut known = of("1");
        known.fill(of("2"));
        assert_eq!(known, of("1"));
    }
}
