//! A model's signature: MLflow's own JSON, converted to columns with readable types.
//!
//! Source: `mlflow/types/schema.py` (`ColSpec`, `TensorSpec`, `ParamSpec`, `Object`, `Array`, `Map`).

use serde_json::{Map, Value};

use super::fact_text::text;
use super::python_json;
use crate::entity::version::Column;

/// The largest nesting depth of types.
const MAX_DEPTH: usize = 32;

/// Parses `signature.inputs` or `signature.outputs`: JSON in a string, or the same as YAML. Null yields no columns. A
/// column that cannot be read gets the type `unknown`, and a fault.
///
/// # Errors
/// A message of one line, if the value is not a list of columns.
pub fn columns(value: &Value, faults: &mut Vec<String>) -> Result<Vec<Column>, String> {
    Ok(each(&list(value)?, column, faults))
}

/// Parses inference parameters, from `signature.params`.
///
/// # Errors
/// The same as [`columns`].
pub fn params(value: &Value, faults: &mut Vec<String>) -> Result<Vec<Column>, String> {
    Ok(each(&list(value)?, param, faults))
}

/// The type of a column that cannot be read.
const UNKNOWN: &str = "unknown";

fn each(specs: &[Value], read: fn(&Value) -> Result<Column, String>, faults: &mut Vec<String>) -> Vec<Column> {
    let mut out = Vec::with_capacity(specs.len());
    for (at, spec) in specs.iter().enumerate() {
        out.push(read(spec).unwrap_or_else(|why| {
            let name = spec.as_object().map_or("", name);
            faults.push(format!("number {}: {why}", at + 1));
            Column { name: text(name), kind: text(UNKNOWN), optional: false, default: text("") }
        }));
    }
    out
}

fn list(value: &Value) -> Result<Vec<Value>, String> {
    let wrong = || "the signature is not a list of columns".to_owned();
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => Ok(items.clone()),
        Value::String(json) => match python_json::parse(json) {
            Ok(Value::Array(items)) => Ok(items),
            Ok(Value::Null) => Ok(Vec::new()),
            Ok(_) => Err(wrong()),
            Err(e) => Err(format!("the signature is not JSON: {e}")),
        },
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong()),
    }
}

fn column(value: &Value) -> Result<Column, String> {
    let spec = value.as_object().ok_or("a column is not a JSON object")?;
    let kind = text(&kind(spec, MAX_DEPTH)?);
    Ok(Column { name: text(name(spec)), kind, optional: is_optional(spec), default: text("") })
}

/// Parses a parameter: a scalar, or a list if it has a shape. It always has a default.
fn param(value: &Value) -> Result<Column, String> {
    let spec = value.as_object().ok_or("a parameter is not a JSON object")?;
    let inner = kind(spec, MAX_DEPTH)?;
    let kind = if spec.get("shape").is_some_and(Value::is_array) { format!("array<{inner}>") } else { inner };
    let default = spec.get("default").map(python_json::show).unwrap_or_default();
    Ok(Column { name: text(name(spec)), kind: text(&kind), optional: false, default: text(&default) })
}

fn name(spec: &Map<String, Value>) -> &str {
    spec.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// Whether the spec has `required: false`, or `optional: true` as MLflow 2.0 to 2.9 wrote it.
fn is_optional(spec: &Map<String, Value>) -> bool {
    let says = |key: &str| spec.get(key).and_then(Value::as_bool);
    says("required") == Some(false) || says("optional") == Some(true)
}

/// Formats the type of a column, such as `array<object{a: double, b?: string}>`.
fn kind(spec: &Map<String, Value>, depth: usize) -> Result<String, String> {
    let depth = depth.checked_sub(1).ok_or("a type is nested too deeply")?;
    let within = |key: &str| -> Result<String, String> {
        let inner = spec.get(key).and_then(Value::as_object).ok_or_else(|| format!("a type lacks its '{key}'"))?;
        kind(inner, depth)
    };
    let name = spec.get("type").and_then(Value::as_str).ok_or("a column has no type")?;
    match name {
        "tensor" => tensor(spec),
        "array" => Ok(format!("array<{}>", within("items")?)),
        "map" => Ok(format!("map<{}>", within("values")?)),
        "object" => {
            let properties = spec.get("properties").and_then(Value::as_object).ok_or("an object lacks properties")?;
            let one = |(name, value): (&String, &Value)| -> Result<String, String> {
                let spec = value.as_object().ok_or("a property is not a JSON object")?;
                let mark = if is_optional(spec) { "?" } else { "" };
                Ok(format!("{name}{mark}: {}", kind(spec, depth)?))
            };
            let properties: Vec<String> = properties.iter().map(one).collect::<Result<_, _>>()?;
            Ok(format!("object{{{}}}", properties.join(", ")))
        }
        // Scalars, `any`, `sparkml vector` and future types.
        other => Ok(other.to_owned()),
    }
}

fn tensor(spec: &Map<String, Value>) -> Result<String, String> {
    let tensor = spec.get("tensor-spec").and_then(Value::as_object).ok_or("a tensor lacks its 'tensor-spec'")?;
    let dtype = tensor.get("dtype").and_then(Value::as_str).ok_or("a tensor has no 'dtype'")?;
    let shape = tensor.get("shape").and_then(Value::as_array).ok_or("a tensor has no 'shape'")?;
    let shape: Vec<String> = shape.iter().map(Value::to_string).collect();
    Ok(format!("tensor({dtype}, [{}])", shape.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(spec: Value, want: &str) {
        let shown =
            columns(&json!([spec]), &mut Vec::new()).map(|c| c.iter().map(|c| c.kind.to_string()).collect::<String>());
        assert_eq!(shown.as_deref(), Ok(want));
    }

    #[test]
    fn types_are_readable() {
        check(json!({"type": "double", "name": "a", "required": true}), "double");
        check(
            json!({"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}),
            "tensor(float64, [-1, 3])",
        );
        check(
            json!({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}),
            "array<array<string>>",
        );
        check(json!({"type": "map", "values": {"type": "long"}}), "map<long>");
        check(
            json!({"type": "array", "items": {"type": "object", "properties": {
                "role": {"type": "string", "required": true},
                "tags": {"type": "map", "values": {"type": "any"}, "required": false}}}}),
            "array<object{role: string, tags?: map<any>}>",
        );
        check(json!({"type": "sparkml vector"}), "sparkml vector");
    }

    #[test]
    fn columns_come_from_json_in_a_string() {
        let given = Value::from(r#"[{"type": "long", "name": "od280/od315"}, {"type": "string", "optional": true}]"#);
        let shown = columns(&given, &mut Vec::new())
            .map(|all| all.iter().map(|c| (c.name.to_string(), c.kind.to_string(), c.optional)).collect::<Vec<_>>());
        let want = [("od280/od315".to_owned(), "long".to_owned(), false), (String::new(), "string".to_owned(), true)];
        assert_eq!(shown, Ok(want.to_vec()));
        assert_eq!(columns(&Value::Null, &mut Vec::new()), Ok(Vec::new()));
        assert_eq!(columns(&Value::from("null"), &mut Vec::new()), Ok(Vec::new()));
    }

    #[test]
    fn parameters_have_defaults() {
        let given = json!([
            {"name": "threshold", "default": 0.5, "shape": null, "type": "double"},
            {"name": "stop", "default": ["a"], "shape": [-1], "type": "string"},
        ]);
        let shown = params(&given, &mut Vec::new())
            .map(|all| all.iter().map(|c| format!("{} {} {}", c.name, c.kind, c.default)).collect::<Vec<_>>());
        assert_eq!(shown, Ok(vec!["threshold double 0.5".to_owned(), "stop array<string> [\"a\"]".to_owned()]));
    }

    #[test]
    fn faulty_signatures_are_errors() {
        let mut deep = json!({"type": "long"});
        for _ in 0..MAX_DEPTH {
            deep = json!({"type": "array", "items": deep});
        }
        for bad in [json!("{"), json!({}), json!("[[")] {
            assert!(columns(&bad, &mut Vec::new()).is_err(), "{bad}");
        }
        for bad in [deep, json!(1), json!({}), json!({"type": "array"})] {
            let mut faults = Vec::new();
            let read = columns(&json!([{"type": "long"}, bad]), &mut faults);
            let kinds: Vec<_> = read.iter().flatten().map(|c| c.kind.to_string()).collect();
            assert_eq!((kinds, faults.len()), (vec!["long".to_owned(), UNKNOWN.to_owned()], 1), "{bad}");
        }
    }
}
