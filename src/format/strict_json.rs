//! JSON whose objects have each key once, and which is not too deep: of two values for one key, readers differ in which
//! they take.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::text::quoted;

/// The largest depth.
const MAX_DEPTH: usize = 32;

/// A value in which no object has a key twice, of at most 32 levels.
pub struct StrictJson(pub Value);

impl<'de> Deserialize<'de> for StrictJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reader(0).deserialize(deserializer).map(Self)
    }
}

/// Reads a value at this depth.
#[derive(Clone, Copy)]
struct Reader(usize);

impl Reader {
    fn below<E: Error>(self) -> Result<Self, E> {
        if self.0 < MAX_DEPTH {
            Ok(Self(self.0 + 1))
        } else {
            Err(E::custom(format!("deeper than {MAX_DEPTH} levels")))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut out = Vec::new();
        while let Some(element) = elements.next_element_seed(below)? {
            out.push(element);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut out = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if out.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {} is given twice", quoted(&key))));
            }
            let value = fields.next_value_seed(below)?;
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
        let read = serde_json::from_str::<StrictJson>(text).map(|json| json.0.to_string()).map_err(|e| e.to_string());
        assert_eq!(read, Ok(serde_json::from_str::<Value>(text).expect("JSON").to_string()));
        for twice in [r#"{"k": 1, "k": 1}"#, r#"[{"a": {"k": 1, "b": 2, "k": 3}}]"#, r#"{"k": 1, "\u006b": 1}"#] {
            let refused = serde_json::from_str::<StrictJson>(twice).map(|_| ()).map_err(|e| e.to_string());
            assert!(
                refused.as_ref().is_err_and(|e| e.starts_with("the key 'k' is given twice at line 1")),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn more_levels_than_any_input_needs_are_refused() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(serde_json::from_str::<StrictJson>(&nested(MAX_DEPTH)).is_ok());
        let refused = serde_json::from_str::<StrictJson>(&nested(MAX_DEPTH + 1)).map(|_| ()).map_err(|e| e.to_string());
        assert!(refused.as_ref().is_err_and(|e| e.contains("deeper than 32 levels")), "{refused:?}");
    }
}
