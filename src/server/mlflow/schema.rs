//! What each address of MLflow's API takes. MLflow looks at all parameters of a request, their types first, before it
//! looks at what they say; so errors come in its order and in its words.

use serde_json::Value;

use crate::server::args::{Args, missing, wrong_type};
use crate::server::error::ApiError;

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Flag,
    Texts,
    Tags,
}

/// A parameter of an address.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    name: &'static str,
    kind: Kind,
    required: bool,
}

/// A text that must be there.
pub const fn needs(name: &'static str) -> Param {
    Param { name, kind: Kind::Text, required: true }
}

/// A text that may be there.
pub const fn takes(name: &'static str) -> Param {
    Param { name, kind: Kind::Text, required: false }
}

/// Yes or no.
pub const fn flag(name: &'static str) -> Param {
    Param { name, kind: Kind::Flag, required: false }
}

/// Several texts.
pub const fn texts(name: &'static str) -> Param {
    Param { name, kind: Kind::Texts, required: false }
}

/// Keys and values.
pub const fn tags(name: &'static str) -> Param {
    Param { name, kind: Kind::Tags, required: false }
}

impl Kind {
    /// Whether a value can be read as this; null is as good as absent.
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

    /// Whether MLflow's own check of the type lets a value pass, to which null is no text.
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
    // What can be read under its other name only.
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
