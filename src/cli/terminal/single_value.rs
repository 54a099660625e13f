//! Values by key from an option that can be repeated: one value for each key.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::report::CliError;
use crate::text::one_line;

/// The values by key. Two values for one key are refused, since one of them would be lost.
///
/// # Errors
/// A key occurs twice.
pub(in crate::cli) fn by_key<K: Ord + Display, V>(
    option: &str,
    given: Vec<(K, V)>,
) -> Result<BTreeMap<K, V>, CliError> {
    let mut out = BTreeMap::new();
    for (key, value) in given {
        if out.contains_key(&key) {
            let shown = one_line(&key.to_string()).into_owned();
            return Err(CliError::usage(format!("{option} gives '{shown}' twice")).hint("give each key one value"));
        }
        out.insert(key, value);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_values_for_one_key_are_refused() {
        assert_eq!(by_key("--tag", vec![("a", 1), ("b", 1)]).map(|m| m.len()).map_err(|e| e.message), Ok(2));
        let twice = by_key("--tag", vec![("a", 1), ("b", 1), ("a", 2)]).map_err(|e| e.message);
        assert_eq!(twice, Err("--tag gives 'a' twice".to_owned()));
    }
}
