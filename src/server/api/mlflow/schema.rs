//! The parameters of each path of MLflow's API. MLflow checks all parameters of a request, their types first, before
//! their values. So errors come in MLflow's order and with MLflow's messages.

use serde_json::Value;

use crate::server::context::arguments::{Args, missing, wrong_type};
use crate::server::context::error::ApiError;

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParameterType {
    Text,
    Flag,
    Texts,
    Tags,
}

/// A parameter of a path.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    name: &'static str,
    kind: ParameterType,
    required: bool,
}

/// Declares a required string.
pub const fn needs(name: &'static str) -> Param {
    Param { name, kind: ParameterType::Text, required: true }
}

/// Declares an optional string.
pub const fn takes(name: &'static str) -> Param {
    Param { name, kind: ParameterType::Text, required: false }
}

/// Declares an optional boolean.
pub const fn flag(name: &'static str) -> Param {
    Param { name, kind: ParameterType::Flag, required: false }
}

/// Declares an optional list of strings.
pub const fn texts(name: &'static str) -> Param {
    Param { name, kind: ParameterType::Texts, required: false }
}

/// Declares an optional list of keys and values.
pub const fn tags(name: &'static str) -> Param {
    Param { name, kind: ParameterType::Tags, required: false }
}

impl ParameterType {
    /// Returns whether a value can be parsed as this type. Null counts as absent.
    fn reads(self, value: &Value) -> bool {
        let is_text = |v: &Value| matches!(v, Value::String(_));
        let is_tag = |v: &Value| {
            let part = |part: &str| v.get(part).is_none_or(|v| v.is_null() || v.is_string());
            v.is_object() && part("key") && part("value")
        };
        match (self, value) {
            (_, Value::Null) | (Self::Text, Value::String(_)) | (Self::Flag, Value::Bool(_)) => true,
            (Self::Texts, Value::Array(items)) => items.iter().all(is_text),
            (Self::Tags, Value::Array(items)) => items.iter().all(is_tag),
            _ => false,
        }
    }

    /// Returns whether MLflow's own type check accepts a value. There, null is not a string.
    fn is_type_of(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            Self::Tags => self.reads(value) && !value.is_null(),
        }
    }
}

/// Checks the parameters of a request in their order.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` for the first parameter that is missing or has a wrong type.
pub fn check(args: &Args, params: &[Param]) -> Result<(), ApiError> {
    let mut all_read = true;
    for param in params {
        all_read &= args.value(param.name)?.is_none_or(|value| param.kind.reads(value));
    }
    for param in params {
        let sent = args.sent(param.name);
        let is_there = sent.is_some() || args.in_query(param.name).is_some();
        if !is_there && !param.required {
            continue;
        }
        if let Some(value) = sent.filter(|v| !all_read && !param.kind.is_type_of(v)) {
            return Err(wrong_type(param.name, value));
        }
        let is_empty = match sent {
            Some(value) => value.is_null() || value == "",
            None => args.in_query(param.name).is_none_or(str::is_empty),
        };
        if param.required && is_empty {
            return Err(if all_read || sent.is_some() || args.in_query(param.name).is_some() {
                missing(param.name)
            } else {
                wrong_type(param.name, &Value::Null)
            });
        }
    }
    // Parameters that exist only under their other spelling.
    match params.iter().find_map(|p| Some((p, args.value(p.name).ok()??)).filter(|(p, v)| !p.kind.reads(v))) {
        Some((param, value)) => Err(wrong_type(param.name, value)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: &[Param] = &[needs("name"), needs("key"), takes("value"), tags("tags"), flag("force")];

    fn said(query: Option<&str>, body: &str) -> String {
        let args = Args::new(query, body.as_bytes()).unwrap();
        check(&args, PARAMS).map_or_else(|e| e.message, |()| "ok".to_owned())
    }

    #[test]
    fn what_is_missing_is_named_in_the_order_of_the_list() {
        assert!(said(None, "{}").starts_with("Missing value for required parameter 'name'. See"));
        assert!(said(None, r#"{"name": "a", "key": ""}"#).starts_with("Missing value for required parameter 'key'."));
        assert!(said(Some("name=a&key="), "").starts_with("Missing value for required parameter 'key'."));
        assert_eq!(said(None, r#"{"name": "  ", "key": "k", "value": null, "force": true}"#), "ok");
        assert_eq!(said(Some("name=a&key=k"), ""), "ok");
    }

    #[test]
    fn a_wrong_type_is_told_before_what_is_missing_behind_it() {
        assert!(said(None, r#"{"name": 5}"#).starts_with("Invalid value 5 for parameter 'name' supplied:  Hint:"));
        let null = said(None, r#"{"name": "a", "value": 5}"#);
        assert!(null.starts_with("Invalid value null for parameter 'key'"), "{null}");
        assert!(said(None, r#"{"name": "a", "key": "k", "force": "true"}"#).starts_with("Invalid value \"true\""));
        for bad in ["5", "[5]", r#"[{"key": 5}]"#, "[null]"] {
            let said = said(None, &format!(r#"{{"name": "a", "key": "k", "tags": {bad}}}"#));
            assert!(said.starts_with("Invalid value "), "{said}");
        }
    }
}
