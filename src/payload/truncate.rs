//! Limits the size of bodies: longer texts are cut, and the cut is marked.
//!
//! Long texts are cut first: each keeps its beginning and ends in `… [N bytes cut]`. If that is not enough, lists and
//! tables with free keys (tags, params, metrics, stages, models) lose their last entries. Names, ids, stages and times
//! are short and stay.

use serde_json::{Value, json};

/// The limits of a text in bytes, tried one after the other.
const TEXTS: [usize; 6] = [8192, 4096, 2048, 1024, 512, 256];

/// The limits of the entries of a list or table, tried after those of texts.
const ENTRIES: [usize; 5] = [64, 32, 8, 2, 1];

/// Tables with free keys. Other tables have a fixed shape and keep all their keys.
const FREE: [&str; 5] = ["tags", "params", "metrics", "stages", "models"];

/// Returns the JSON of a value in at most `max` bytes. The `data` of Greenroom's own events gets `cut: true` if
/// something is missing.
pub fn within(mut value: Value, max: usize) -> Vec<u8> {
    let whole = bytes(&value);
    if whole.len() <= max {
        return whole;
    }
    if let Some(data) = value.get_mut("data").and_then(Value::as_object_mut)
        && data.contains_key("event")
    {
        data.insert("cut".to_owned(), json!(true));
    }
    let limits = TEXTS.map(|text| (text, usize::MAX)).into_iter().chain(ENTRIES.map(|entries| (256, entries)));
    let mut out = Vec::new();
    for (text, entries) in limits {
        let mut shorter = value.clone();
        cut(&mut shorter, "", text, entries);
        out = bytes(&shorter);
        if out.len() <= max {
            break;
        }
    }
    out
}

/// Returns a text cut to `max` bytes, followed by a mark with the number of bytes cut.
pub fn text(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max);
    let head = text.get(..end).unwrap_or_default();
    format!("{head}… [{} bytes cut]", text.len() - end)
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn cut(value: &mut Value, key: &str, longest: usize, entries: usize) {
    match value {
        Value::String(s) if s.len() > longest => *s = text(s, longest),
        Value::Array(items) => {
            items.truncate(entries);
            items.iter_mut().for_each(|item| cut(item, key, longest, entries));
        }
        Value::Object(map) => {
            if FREE.contains(&key) && map.len() > entries {
                let gone: Vec<String> = map.keys().skip(entries).cloned().collect();
                map.retain(|key, _| !gone.contains(key));
            }
            map.iter_mut().for_each(|(key, inner)| cut(inner, key, longest, entries));
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_says_so() {
        let small = json!({"event": "X", "comment": "short"});
        assert_eq!(within(small.clone(), 100), bytes(&small));
        let long = json!({"event": "X", "comment": "é".repeat(20_000), "text": "said"});
        let out: Value = serde_json::from_slice(&within(long, 20_000)).unwrap();
        assert_eq!(out["comment"], json!(format!("{}… [31808 bytes cut]", "é".repeat(4096))));
        assert_eq!((&out["event"], &out["text"]), (&json!("X"), &json!("said")));
    }

    #[test]
    fn many_entries_are_cut_after_long_texts_and_shapes_keep_their_keys() {
        let tags: serde_json::Map<_, _> = (0..500).map(|n| (format!("k{n}"), json!("v".repeat(300)))).collect();
        let shape: serde_json::Map<_, _> = (0..80).map(|n| (format!("f{n}"), json!(n))).collect();
        let list: Vec<Value> = (0..500).map(|n| json!({"key": n, "value": "v".repeat(300)})).collect();
        let value = json!({"data": {"event": shape, "tags": tags}, "tags": list});
        let bytes = within(value, 20_000);
        assert!(bytes.len() <= 20_000, "{}", bytes.len());
        let out: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(out["data"]["event"].as_object().unwrap().len(), 80);
        assert_eq!(out["data"]["cut"], json!(true));
        assert!((1..64).contains(&out["data"]["tags"].as_object().unwrap().len()));
        assert!((1..64).contains(&out["tags"].as_array().unwrap().len()));
    }
}
