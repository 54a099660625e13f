//! The committed JSON Schemas match the types, are valid, and are strict. The format's documentation lists their keys,
//! and its examples are files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use greenroom::format::{FileKind, schema::schema};
use greenroom::view;
use jsonschema::Validator;
use serde_json::{Map, Value};

use crate::examples;

/// The variable that makes tests write the expected files: `GREENROOM_WRITE=1 cargo test --test it schema`.
pub const WRITE: &str = "GREENROOM_WRITE";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")
}

/// The schema of a kind of file as a JSON value.
fn value(kind: FileKind) -> Value {
    serde_json::from_str(&schema(kind)).expect("a schema is JSON")
}

/// A validator of a kind of file that checks formats, too.
pub fn validator(kind: FileKind) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(&value(kind)).expect("a valid schema")
}

/// Compares a committed file with its expected text; with the variable, writes it.
fn committed(path: &Path, wanted: &str) {
    if std::env::var_os(WRITE).is_some() {
        fs::write(path, wanted).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    assert!(there == wanted, "{} is out of date: {WRITE}=1 cargo test --test it schema", path.display());
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    for kind in FileKind::ALL {
        committed(&folder().join(format!("{}.schema.json", kind.as_str())), &schema(kind));
    }
}

#[test]
fn each_is_a_valid_schema_of_2020_12() {
    for kind in FileKind::ALL {
        let schema = value(kind);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        let faults = jsonschema::draft202012::meta::validate(&schema).map_err(|e| e.to_string());
        assert_eq!(faults, Ok(()), "{kind:?}");
    }
}

/// Calls `check` with each subschema of a schema and its path.
fn each(schema: &Value, at: &str, check: &mut impl FnMut(&str, &Map<String, Value>)) {
    match schema {
        Value::Object(object) => {
            check(at, object);
            object.iter().for_each(|(key, inner)| each(inner, &format!("{at}/{key}"), check));
        }
        Value::Array(inner) => inner.iter().for_each(|inner| each(inner, at, check)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_schemas_are_tight_and_say_what_each_key_is() {
    for kind in FileKind::ALL {
        each(&value(kind), kind.as_str(), &mut |at, schema| {
            let is_keys = at.ends_with("/properties");
            if schema.get("type").is_some_and(|t| t == "object") {
                let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
                assert!(closed, "{at}: unknown keys are let through");
            }
            if is_keys {
                for (key, inner) in schema {
                    assert!(inner["description"].is_string(), "{at}/{key} is not described");
                }
                return;
            }
            // TOML has no null, and a schema's default would have no effect.
            assert!(schema.get("type").is_none_or(|t| t.is_string() && t != "null"), "{at}: several types");
            assert!(!schema.contains_key("nullable"), "{at}");
            assert!(schema.get("default").is_none_or(Value::is_object), "{at}: a default");
            if let Some(Value::String(format)) = schema.get("format") {
                assert!(["date", "date-time"].contains(&format.as_str()), "{at}: format {format}");
            }
        });
    }
}

/// The keys of a schema as a table, with nested tables as `outer.inner`.
fn keys(kind: FileKind) -> String {
    let root = value(kind);
    let mut out = String::from("| key | what | |\n|---|---|---|\n");
    rows(&root, &root, "", &mut out);
    out
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
        Some(name) => &root["$defs"][name],
        None => schema,
    }
}

fn rows(root: &Value, schema: &Value, prefix: &str, out: &mut String) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, inner) in properties {
        let (target, mut name) = (resolve(root, inner), format!("{prefix}{key}"));
        let words: Vec<String> = target["oneOf"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|w| w["const"].as_str().map(|c| format!("`{c}`")))
            .collect();
        let mut what = inner["description"].as_str().unwrap_or_default().to_owned();
        if !words.is_empty() {
            what.push_str(&format!(" One of {}.", words.join(", ")));
        }
        let must = if required.contains(&key.as_str()) { "required" } else { "" };
        out.push_str(&format!("| `{name}` | {} | {must} |\n", what.replace('|', "\\|").replace('\n', " ")));
        let free = target["patternProperties"].as_object().and_then(|p| p.values().next());
        let below = target.get("items").map(|i| ("[]", i)).or_else(|| free.map(|f| (".*", f)));
        let below = match below {
            Some((mark, inner)) => {
                name.push_str(mark);
                resolve(root, inner)
            }
            None => target,
        };
        rows(root, below, &format!("{name}."), out);
    }
}

/// The sections of the documentation, by the kind that their heading names first.
fn sections(text: &str) -> Vec<(FileKind, String)> {
    let parts = text.split("\n## ").skip(1);
    parts
        .filter_map(|part| {
            let word = part.split(':').next().unwrap_or_default();
            let kind = FileKind::ALL.into_iter().find(|k| k.as_str() == word);
            kind.map(|k| (k, part.to_owned()))
        })
        .collect()
}

#[test]
fn the_documentation_lists_the_keys_of_every_kind() {
    let _held = README.lock().unwrap_or_else(PoisonError::into_inner);
    let path = folder().join("README.md");
    let mut text = fs::read_to_string(&path).expect("schema/README.md is there");
    for kind in FileKind::ALL {
        let (start, end) = (format!("<!-- keys of {} -->\n", kind.as_str()), "<!-- end -->");
        let from = text.find(&start).unwrap_or_else(|| panic!("no '{start}' in README.md")) + start.len();
        let to = from + text[from..].find(end).expect("the keys end");
        text.replace_range(from..to, &keys(kind));
    }
    committed(&path, &text);
}

#[test]
fn the_examples_of_the_documentation_are_files_without_fault() {
    let text = fs::read_to_string(folder().join("README.md")).expect("schema/README.md is there");
    let sections = sections(&text);
    let kinds: Vec<FileKind> = sections.iter().map(|(k, _)| *k).collect();
    assert_eq!(kinds, FileKind::ALL, "one section for each kind, in the order of the tree");
    for (kind, section) in sections {
        let blocks: Vec<&str> = section.split("```toml\n").skip(1).filter_map(|b| b.split("```").next()).collect();
        assert!(!blocks.is_empty(), "{kind:?} has no example");
        for block in blocks {
            assert_eq!(examples::read(kind, kind.as_str(), block.as_bytes()).0, [], "{block}");
            let value = examples::json(block).expect("the example is TOML");
            let faults: Vec<String> = validator(kind).iter_errors(&value).map(|e| e.to_string()).collect();
            assert_eq!(faults, [""; 0], "{block}");
        }
    }
}

/// The folder of the output schemas.
pub fn outputs() -> PathBuf {
    folder().join("output").join(format!("v{}", view::schema::VERSION))
}

#[test]
fn the_committed_schemas_of_outputs_are_those_of_the_types() {
    if std::env::var_os(WRITE).is_some() {
        fs::create_dir_all(outputs()).expect("a folder can be made");
    }
    for kind in view::schema::ALL {
        committed(&outputs().join(format!("{}.schema.json", kind.name)), &kind.schema());
        let schema: Value = serde_json::from_str(&kind.schema()).expect("a schema is JSON");
        assert_eq!(
            jsonschema::draft202012::meta::validate(&schema).map_err(|e| e.to_string()),
            Ok(()),
            "{}",
            kind.name
        );
    }
    let there = fs::read_dir(outputs()).expect("the folder is there").count();
    assert_eq!(there, view::schema::ALL.len(), "a file of no output");
}

#[test]
fn every_key_of_an_output_is_described_and_none_is_of_another_contract() {
    for kind in view::schema::ALL {
        let schema: Value = serde_json::from_str(&kind.schema()).expect("a schema is JSON");
        undescribed(&schema, kind.name);
    }
}

/// Demands a description of each key in the objects of outputs; events are described by their kind.
fn undescribed(schema: &Value, name: &str) {
    let is_event =
        schema["properties"]["event"]["const"].is_string() || schema["properties"]["by"]["const"].is_string();
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        assert!(is_event || inner["description"].is_string(), "{name}: {key} has no description");
        assert!(key != "user_id" && !key.ends_with("_timestamp"), "{name}: {key}");
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|inner| undescribed(inner, name)),
        Value::Array(items) => items.iter().for_each(|inner| undescribed(inner, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A lock for the tests that write parts of one README, so that none overwrites another's part.
static README: Mutex<()> = Mutex::new(());

#[test]
fn the_documentation_lists_the_outputs() {
    let _held = README.lock().unwrap_or_else(PoisonError::into_inner);
    let path = folder().join("README.md");
    let mut text = fs::read_to_string(&path).expect("schema/README.md is there");
    let (start, end) = ("<!-- outputs -->\n", "<!-- end -->");
    let from = text.find(start).expect("the outputs begin") + start.len();
    let to = from + text[from..].find(end).expect("the outputs end");
    let row = |k: &view::schema::OutputKind| {
        let file = format!("output/v{}/{}.schema.json", view::schema::VERSION, k.name);
        format!("| {} | [{}]({file}) |\n", k.printed_by, k.name)
    };
    let rows: String = view::schema::ALL.iter().map(row).collect();
    text.replace_range(from..to, &format!("| printed by | schema |\n|---|---|\n{rows}"));
    committed(&path, &text);
}
