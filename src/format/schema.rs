//! The JSON Schemas (2020-12) of the files, generated from the types that read and write them.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::FileKind;
use crate::entity::{Access, AliasPointer, Comment, Model, Person, Request, Settings, StagePointer, Version, Webhook};

/// Returns the JSON Schema of a kind of file, as text that ends in a line feed.
pub fn schema(kind: FileKind) -> String {
    let schema = match kind {
        FileKind::Settings => of::<Settings>(kind),
        FileKind::Access => of::<Access>(kind),
        FileKind::Person => of::<Person>(kind),
        FileKind::Model => of::<Model>(kind),
        FileKind::Stage => of::<StagePointer>(kind),
        FileKind::Alias => of::<AliasPointer>(kind),
        FileKind::Version => of::<Version>(kind),
        FileKind::Request => of::<Request>(kind),
        FileKind::Comment => of::<Comment>(kind),
        FileKind::Webhook => of::<Webhook>(kind),
    };
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// Returns the text of `.taplo.toml`, so that editors complete and check each file by its path.
pub fn taplo() -> String {
    let mut out = String::from(
        "# Written by `greenroom init`: editors with a TOML language server complete and check the registry's files.\n\
         include = [\"greenroom.toml\", \"access.toml\", \"people/**/*.toml\", \"models/**/*.toml\", \"webhooks/*.toml\"]\n\
         exclude = [\"models/**/artifacts/**\"]\n",
    );
    for kind in FileKind::ALL {
        let globs: Vec<String> = kind.globs().iter().map(|g| format!("\"{g}\"")).collect();
        out.push_str(&format!(
            "\n[[rule]]\ninclude = [{}]\n\n[rule.schema]\npath = \".greenroom/schema/{}.schema.json\"\nenabled = true\n",
            globs.join(", "),
            kind.as_str()
        ));
    }
    out
}

fn of<T: JsonSchema>(kind: FileKind) -> Schema {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(close));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), json!(format!("Greenroom {}", kind.as_str())));
    schema
}

/// Adapts a generated schema to the reader: unknown keys are refused, and `null` goes, because TOML cannot write it.
fn close(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.contains_key("properties") {
        object.entry("additionalProperties").or_insert(json!(false));
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|t| t != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(any)) = object.get_mut("anyOf") {
        any.retain(|s| s.get("type") != Some(&json!("null")));
        if let [one] = any.as_slice() {
            let one = one.clone();
            object.remove("anyOf");
            if let Value::Object(one) = one {
                object.extend(one);
            }
        }
    }
    object.remove("default");
    // `uint64` and the like are not formats of JSON Schema; date formats are.
    if object.get("format").and_then(Value::as_str).is_some_and(|f| !f.starts_with("date")) {
        object.remove("format");
    }
}
