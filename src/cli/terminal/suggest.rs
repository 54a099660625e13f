//! Suggests a similar name for a model, a stage, an alias, a person or a group that does not exist.

use super::report::CliError;
use super::session::Session;
use super::shell::shell;
use crate::apply::EntityKind;
use crate::entity::Settings;
use crate::name::{GroupName, ModelName, Principal};
use crate::registry::{Registry, RegistryError};
use crate::snapshot::Snapshot;
use crate::stage::Stage;
use crate::text::quoted;

/// The lowest similarity (Jaro–Winkler) of a suggestion.
const SIMILAR: f64 = 0.75;

/// The shortest name, in characters, for which a name with one typing error is suggested.
const SHORT: usize = 3;

/// Adds a hint with a similar name, if the error is about a name that does not exist.
pub(in crate::cli) fn hint(e: CliError, session: &Session) -> CliError {
    let Some((noun, name)) = e.absent.as_deref() else { return e };
    // The error itself matters more; other commands report a registry that cannot be read.
    let found = session.registry().ok().and_then(|registry| {
        let names = names(&registry.snapshot().ok()?, *noun).ok()?;
        if *noun == EntityKind::Model && names.contains(name) {
            return before(session, &registry, &name.parse().ok()?);
        }
        let nearest = nearest(name, names.iter().map(String::as_str))?;
        Some(format!("did you mean {}?", quoted(nearest)))
    });
    match found {
        Some(hint) => e.hint(hint),
        None => e,
    }
}

/// Returns a hint for a model that exists now but did not exist at the given time: its earlier names.
fn before(session: &Session, registry: &Registry, name: &ModelName) -> Option<String> {
    let names = session.index(registry).ok()?.names_of(name).ok()?;
    let former: Vec<String> = names.iter().filter(|n| *n != name).map(|n| quoted(n.as_str())).collect();
    Some(match former.as_slice() {
        [] => format!("`greenroom log {}` shows when the model got this name", shell(name.as_str())),
        [one] => format!("the model {name} was called {one} before; use that name"),
        several => format!("the model {name} had other names before; use one of {}", several.join(", ")),
    })
}

/// Adds a hint with the person or group that was probably meant, if the given one does not exist and a similar one
/// does.
pub(in crate::cli) fn principal(e: CliError, given: &Principal, session: &Session) -> CliError {
    let names = || principals(&session.registry().ok()?.snapshot().ok()?).ok();
    let given = given.to_string();
    match names().filter(|names| !names.contains(&given)) {
        Some(names) => match nearest(&given, names.iter().map(String::as_str)) {
            Some(name) => e.hint(format!("did you mean {}?", quoted(name))),
            None => e,
        },
        None => e,
    }
}

/// The people and groups of a registry, as grants name them.
pub(in crate::cli) fn principals(snapshot: &Snapshot<'_>) -> Result<Vec<String>, RegistryError> {
    let people = snapshot.people()?.keys().map(ToString::to_string);
    let groups = snapshot.access()?.groups.keys().map(|group| format!("group:{group}"));
    Ok(people.chain(groups).chain([Principal::Group(GroupName::everyone()).to_string()]).collect())
}

/// The most similar name; `None` if no name is similar enough.
pub(in crate::cli) fn nearest<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let given = given.to_lowercase();
    let rate = |name: &str| {
        let rate = strsim::jaro_winkler(&given, name);
        // Jaro–Winkler finds no similarity in short names with swapped letters.
        let is_slip = given.chars().count() >= SHORT && strsim::osa_distance(&given, name) <= 1;
        if is_slip { rate.max(SIMILAR) } else { rate }
    };
    let rated = names.into_iter().map(|name| (rate(&name.to_lowercase()), name));
    let best = rated.filter(|(rate, _)| *rate >= SIMILAR).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, name)| name)
}

/// The stages of a registry.
pub(in crate::cli) fn stages(snapshot: &Snapshot<'_>) -> Result<Vec<Stage>, RegistryError> {
    Ok(snapshot.settings()?.map_or_else(|| Stage::BUILT_IN.to_vec(), Settings::known_stages))
}

/// The names of a kind of thing.
fn names(snapshot: &Snapshot<'_>, noun: EntityKind) -> Result<Vec<String>, RegistryError> {
    Ok(match noun {
        EntityKind::Model => snapshot.models()?.iter().filter_map(|m| m.dir.name()).map(|n| n.to_string()).collect(),
        EntityKind::Person => snapshot.people()?.keys().map(ToString::to_string).collect(),
        EntityKind::Group => snapshot.access()?.groups.keys().map(ToString::to_string).collect(),
        // Versions, requests and the like have numbers and ids, which are all similar. Aliases belong to a
        // model, so their suggestions come from the code that looks up the alias.
        EntityKind::Alias
        | EntityKind::Registry
        | EntityKind::Version
        | EntityKind::Request
        | EntityKind::Comment
        | EntityKind::Grant
        | EntityKind::Webhook => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_similar_name_is_found_and_another_is_not() {
        let names = ["churn", "wine", "fraud-detection"];
        assert_eq!(nearest("chrun", names), Some("churn"));
        assert_eq!(nearest("Fraud-detecton", names), Some("fraud-detection"));
        assert_eq!(nearest("wines", names), Some("wine"));
        assert_eq!(nearest("bbo", ["alice", "bob"]), Some("bob"));
        assert_eq!(nearest("zzz", names), None);
        assert_eq!(nearest("", names), None);
    }
}
