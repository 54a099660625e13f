//! JSON as Python's `json` writes it: with `NaN`, `Infinity` and `-Infinity` as numbers, and with lone surrogates in
//! strings.

use serde_json::Value;

/// The prefix of strings that stand for non-finite numbers in a parsed value. No text of a model begins with it.
const MARK: &str = "\u{1}";

/// Parses JSON.
///
/// # Errors
/// A message of one line that says why it is invalid.
pub fn parse(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(strict) => serde_json::from_str(&plain(text)).map_err(|_| strict.to_string()),
    }
}

/// Formats a value as Python would, with non-finite numbers as words.
pub fn show(value: &Value) -> String {
    match word(value) {
        Some(word) => word.to_owned(),
        None => match value {
            Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(",")),
            Value::Object(map) => {
                let one = |(k, v): (&String, &Value)| format!("{}:{}", Value::from(k.as_str()), show(v));
                format!("{{{}}}", map.iter().map(one).collect::<Vec<_>>().join(","))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        },
    }
}

/// Returns `NaN`, `Infinity` or `-Infinity`, if the value is such a number.
fn word(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix(MARK)
}

/// Converts to strict JSON: the words become marked strings, lone surrogates become the replacement character.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut in_string) = (text, false);
    while let Some(c) = rest.chars().next() {
        let words = ["NaN", "Infinity", "-Infinity"];
        if let Some(word) = words.into_iter().find(|word| !in_string && rest.starts_with(word)) {
            out.push_str("\"\\u0001");
            out.push_str(word);
            out.push('"');
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        let taken = match c {
            '\\' if in_string => escape(rest, &mut out),
            _ => {
                in_string ^= c == '"';
                out.push(c);
                c.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

/// Copies an escape of a string and returns its length in bytes.
fn escape(rest: &str, out: &mut String) -> usize {
    let unit = |at: usize| {
        let digits = rest.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let length = match (unit(0), unit(6)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
        (Some(0xD800..=0xDFFF), _) => {
            out.push_str("\\ufffd");
            return 6;
        }
        // The mark must not occur in the text of a model.
        (Some(1), _) => {
            out.push_str("\\ufffd");
            return 6;
        }
        (Some(_), _) => 6,
        (None, _) => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
    };
    out.push_str(rest.get(..length).unwrap_or(rest));
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_writes_is_read() {
        for (text, shown) in [
            (
                r#"[{"default": Infinity}, {"default": -Infinity}, NaN]"#,
                r#"[{"default":Infinity},{"default":-Infinity},NaN]"#,
            ),
            (r#"["NaN", "a \"Infinity\"", 1.5]"#, r#"["NaN","a \"Infinity\"",1.5]"#),
            (r#"[NaN, "\ud83d\ude00", "x\ud800y", "\\"]"#, "[NaN,\"😀\",\"x\u{fffd}y\",\"\\\\\"]"),
            ("{}", "{}"),
        ] {
            assert_eq!(parse(text).map(|v| show(&v)).as_deref(), Ok(shown), "{text}");
        }
        for bad in ["", "[", "[NaNa]", "[Infinite]", "[\"\\u00\"]", "[NaN\"]", "\\"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
