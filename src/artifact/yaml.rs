//! YAML from model folders: read with limits on size, depth, nodes and aliases, and never into anything but data.

use serde::de::DeserializeOwned;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use crate::text::one_line;

/// The largest YAML file that is read, in bytes.
pub const MAX_YAML: u64 = 1 << 20;

/// Reads one YAML document; the error is one line that says why not.
///
/// As with the Python reader of MLflow, the last of two equal keys counts. Unknown tags are ignored. `yes` and `on` are
/// text.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if bytes.len() as u64 > MAX_YAML {
        return Err(format!("it has {} bytes, at most {MAX_YAML} are read", bytes.len()));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_nodes: 100_000,
            max_events: 250_000,
            max_anchors: 100,
            max_aliases: 100,
            max_documents: 1,
            max_merge_keys: 100,
            max_total_scalar_bytes: 4 << 20,
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
    };
    serde_saphyr::from_slice_with_options(bytes, options).map_err(|e| one_line(&e.to_string()).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

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
