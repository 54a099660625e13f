//! JSON whose objects have each key once: of two values for one key, readers differ in which they take.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::text::quoted;

/// A value in which no object has a key twice.
pub(in crate::cli) struct UniqueJson(pub(in crate::cli) Value);

impl<'de> Deserialize<'de> for UniqueJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

/// Reads a value.
struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(UniqueJson(element)) = elements.next_element()? {
            out.push(element);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if out.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {} is given twice", quoted(&key))));
            }
            let UniqueJson(value) = fields.next_value()?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        let text = r#"{"a": [1, -2, 0.5, true, null, {"b": "c", "d": {}}], "e": 18446744073709551615}"#;
        let read = serde_json::from_str::<UniqueJson>(text).map(|json| json.0.to_string()).map_err(|e| e.to_string());
        assert_eq!(read, Ok(serde_json::from_str::<Value>(text).expect("JSON").to_string()));
        for twice in [r#"{"k": 1, "k": 1}"#, r#"[{"a": {"k": 1, "b": 2, "k": 3}}]"#, r#"{"k": 1, "\u006b": 1}"#] {
            let refused = serde_json::from_str::<UniqueJson>(twice).map(|_| ()).map_err(|e| e.to_string());
            assert!(
                refused.as_ref().is_err_and(|e| e.starts_with("the key 'k' is given twice at line 1")),
                "{refused:?}"
            );
        }
    }
}
