//! Reads YAML from model folders with limits on size, depth, nodes and aliases, and only into plain data.

use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use crate::text::one_line;

/// The largest YAML file that is read, in bytes.
pub const MAX_YAML: u64 = 1 << 20;

/// The largest `MLmodel` that is read, in bytes: a signature or metadata may be long.
pub const MAX_MLMODEL: u64 = 16 << 20;

/// Parses one YAML document.
///
/// As in MLflow's Python reader, the last of two equal keys counts. Unknown tags are ignored. `yes` and `on` are
/// strings.
///
/// # Errors
/// A message of one line that says why it cannot be read.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if bytes.len() as u64 > MAX_YAML {
        return Err(format!("it has {} bytes, at most {MAX_YAML} are read", bytes.len()));
    }
    serde_saphyr::from_slice_with_options(bytes, options(1)).map_err(|e| said(&e))
}

/// A document as a value, and again with numbers as they are written: `1.10` is a version and not a number.
#[derive(Debug)]
pub struct Document {
    /// The values as YAML reads them.
    pub value: Value,
    /// The same with each number as a string.
    pub written: Value,
    /// Whether further documents follow, which are not read.
    pub has_more: bool,
}

/// Parses the first document of an `MLmodel` of at most [`MAX_MLMODEL`] bytes.
///
/// # Errors
/// A message of one line that says why it cannot be read.
pub fn document(bytes: &[u8]) -> Result<Document, String> {
    if bytes.len() as u64 > MAX_MLMODEL {
        return Err(format!("it has {} bytes, at most {MAX_MLMODEL} are read", bytes.len()));
    }
    let first = first_document(bytes);
    let has_more = first.len() < bytes.len();
    let value: Value = serde_saphyr::from_slice_with_options(first, options(4)).map_err(|e| said(&e))?;
    let shape = Shape(&value);
    let read = serde_saphyr::with_deserializer_from_slice_with_options(first, options(4), |de| shape.deserialize(de));
    let written = read.unwrap_or_else(|_| as_text(&value));
    Ok(Document { value, written, has_more })
}

fn said(e: &serde_saphyr::Error) -> String {
    one_line(&e.to_string()).into_owned()
}

/// Returns the limits of a document that may be `times` as large as usual.
fn options(times: usize) -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_nodes: 100_000 * times,
            max_events: 250_000 * times,
            max_anchors: 100,
            max_aliases: 100,
            max_documents: 1,
            max_merge_keys: 100,
            max_total_scalar_bytes: (4 << 20) * times,
            max_recorded_anchor_events: 10_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
        strict_booleans: true,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    }
}

/// Returns the bytes up to the second document. After the first content a line `---` or `...` ends the document,
/// wherever it stands.
fn first_document(bytes: &[u8]) -> &[u8] {
    let (mut at, mut has_content) = (0, false);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let text = line.trim_ascii_end();
        let is =
            |mark: &[u8]| text == mark || (text.starts_with(mark) && text.get(3).is_some_and(u8::is_ascii_whitespace));
        let (begins, ends) = (is(b"---"), is(b"..."));
        if has_content && (begins || ends) {
            let rest = bytes.get(at + line.len()..).unwrap_or_default();
            let is_last = ends && rest.trim_ascii().is_empty();
            return if is_last { bytes } else { bytes.get(..at).unwrap_or(bytes) };
        }
        has_content |=
            (begins && text.len() > 3) || !(begins || ends || text.is_empty() || matches!(text, [b'#' | b'%', ..]));
        at += line.len();
    }
    bytes
}

/// Reads a document again whose value is known, with each number as it is written.
struct Shape<'v>(&'v Value);

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        match self.0 {
            Value::Number(_) => String::deserialize(from).map(Value::String),
            Value::Array(_) => from.deserialize_seq(self),
            Value::Object(_) => from.deserialize_map(self),
            Value::Null | Value::Bool(_) | Value::String(_) => {
                IgnoredAny::deserialize(from)?;
                Ok(self.0.clone())
            }
        }
    }
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same as before")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = from.next_element_seed(Shape(self.0.get(out.len()).unwrap_or(&Value::Null)))? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            let value = from.next_value_seed(Shape(self.0.get(&key).unwrap_or(&Value::Null)))?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

/// Converts numbers to strings, as this program writes them.
fn as_text(value: &Value) -> Value {
    match value {
        Value::Number(n) => Value::String(n.to_string()),
        Value::Array(items) => Value::Array(items.iter().map(as_text).collect()),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), as_text(v))).collect()),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_stay_as_they_are_written() {
        let yaml = b"v: 1.10\nid: 007\nn: {a: [1.0, x, 2e3]}\nb: true\nz: null\n<<: {m: 3.0}\n";
        let read = document(yaml).expect("it is read");
        let want = json!({"v": "1.10", "id": "007", "n": {"a": ["1.0", "x", "2e3"]}, "b": true, "z": null, "m": "3.0"});
        assert_eq!((read.written, read.has_more), (want, false));
        assert_eq!(read.value["v"], json!(1.1));
    }

    #[test]
    fn the_first_of_several_documents_is_read() {
        for (text, more) in [
            ("%YAML 1.1\n# c\n---\na: 1\n", false),
            ("a: 1\n...\n", false),
            ("--- {a: 1}\n---\nb: 2\n", true),
            ("a: 1\n---\nb: [\n", true),
            ("a: 1\n...\n---\n- x\n", true),
        ] {
            let read = document(text.as_bytes()).expect("the first is read");
            assert_eq!((read.value, read.has_more), (json!({"a": 1}), more), "{text:?}");
        }
    }

    #[test]
    fn sixteen_megabytes_are_read_and_no_more() {
        let long = |bytes: usize| format!("a: '{}'\n", "x".repeat(bytes));
        assert!(document(long((16 << 20) - 10).as_bytes()).is_ok());
        assert!(document(long(16 << 20).as_bytes()).is_err_and(|e| e.contains("at most")));
        let many = format!("a:\n{}", "- {k: 1.5}\n".repeat(60_000));
        assert!(document(many.as_bytes()).is_ok());
    }

    #[test]
    fn data_is_read() {
        let yaml = b"a: 1\nb: {c: .nan}\nd: &x [y]\ne: *x\na: 2\nf: !!python/object:os.system {g: h}\n";
        let want = json!({"a": 2, "b": {"c": ".nan"}, "d": ["y"], "e": ["y"], "f": {"g": "h"}});
        assert_eq!(parse::<Value>(yaml), Ok(want));
    }

    #[test]
    fn bombs_are_refused_at_once() {
        let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for i in 1..12 {
            let aliases = vec![format!("*a{}", i - 1); 9].join(", ");
            laughs.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let wide = "- x\n".repeat(200_000);
        let large = "#".repeat(2 << 20);
        let cyclic = "&a [*a]".to_owned();
        let started = std::time::Instant::now();
        for bomb in [laughs, deep, wide, large, cyclic] {
            assert!(parse::<Value>(bomb.as_bytes()).is_err(), "{}", &bomb[..20.min(bomb.len())]);
        }
        assert!(started.elapsed().as_secs() < 5);
    }

    #[test]
    fn an_error_is_one_line() {
        for bad in [&b"a: [1"[..], b"\xff\xfe", b"a: b: c", b"a: *b"] {
            assert!(parse::<Value>(bad).is_err_and(|e| !e.contains('\n')), "{bad:?}");
        }
    }
}
