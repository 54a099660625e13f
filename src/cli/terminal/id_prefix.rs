//! Finding a record by a part of its id.

use super::report::{CliError, Exit};
use crate::name::Id;

/// The fewest characters of an id that must be given.
const SHORTEST: usize = 4;

/// The end of an id, which differs even between ids of the same moment. It is enough to name a record in most lists.
pub(in crate::cli) fn short(id: &Id) -> &str {
    id.as_str().get(28..).unwrap_or(id.as_str())
}

/// Whether a word can be a part of an id: long enough, and only hexadecimal digits and hyphens.
pub(in crate::cli) fn is_part(word: &str) -> bool {
    word.len() >= SHORTEST && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// Finds the only id that starts or ends with `given`, or whose short form starts with it. `what` names the kind of
/// record in errors.
///
/// # Errors
/// No id matches, or more than one.
pub(in crate::cli) fn by_part<'i>(
    what: &str,
    given: &str,
    ids: impl IntoIterator<Item = &'i Id>,
) -> Result<&'i Id, CliError> {
    let meant =
        |id: &&Id| id.as_str().starts_with(given) || id.as_str().ends_with(given) || short(id).starts_with(given);
    let found: Vec<&Id> = ids.into_iter().filter(|_| given.len() >= SHORTEST).filter(meant).collect();
    let shown = crate::text::quoted(given);
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(CliError::not_found(format!("there is no {what} with id {shown}"))
            .hint(format!("give the whole id, or at least {SHORTEST} characters of its start or end"))),
        several => {
            let list: Vec<&str> = several.iter().take(8).map(|id| id.as_str()).collect();
            let message = format!("{shown} matches {} {what}s: {}", several.len(), list.join(", "));
            Err(CliError::new(Exit::Failed, message).hint("give more characters of the id"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_named_by_its_start_or_end_if_that_is_one() {
        let ids: Vec<Id> = ["0199a000-0000-7000-8000-00000000aaaa", "0199a000-0000-7000-8000-00000000bbbb"]
            .into_iter()
            .map(|s| s.parse().expect("an id"))
            .collect();
        let find = |given: &str| by_part("comment", given, &ids).map(Id::as_str).map_err(|e| e.exit);
        assert_eq!(find("aaaa"), Ok(ids[0].as_str()));
        assert_eq!(find(short(&ids[1])), Ok(ids[1].as_str()));
        assert_eq!(find(ids[1].as_str()), Ok(ids[1].as_str()));
        // Lists print the short form, and people type its beginning.
        assert_eq!(find("0000b"), Ok(ids[1].as_str()));
        assert_eq!(find("0000"), Err(Exit::Failed));
        assert_eq!(find("0199a000"), Err(Exit::Failed));
        assert_eq!(find("bbb"), Err(Exit::NotFound));
        assert_eq!(find(""), Err(Exit::NotFound));
    }
}
