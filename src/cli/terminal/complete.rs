//! Shell completions: names of models, versions, stages, aliases, people and groups.
//!
//! The shell calls the program with the words typed so far. If something cannot be read, there are no candidates and
//! no message, because the shell would not show it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::suggest;
use crate::name::ModelName;
use crate::registry::{Registry, RegistryError};
use crate::snapshot::Snapshot;

/// The environment variable by which the completion script calls the program.
pub(in crate::cli) const VARIABLE: &str = "COMPLETE";

/// Answers the shell's completion request for this program, if there is one. Returns whether there was one.
pub(in crate::cli) fn answer(program: fn() -> clap::Command) -> Result<bool, clap::Error> {
    let folder = std::env::current_dir().ok();
    CompleteEnv::with_factory(program).var(VARIABLE).try_complete(std::env::args_os(), folder.as_deref())
}

/// Completes the name of a registered model.
pub(in crate::cli) fn model() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| candidates(typed, |snapshot, _| models(snapshot)))
}

/// Completes a version in each of its forms: first the model's name, then its numbers, aliases and stages.
pub(in crate::cli) fn version() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, |snapshot, words| {
            let typed = typed.to_string_lossy();
            if let Some((name, separator)) = reference(&typed) {
                return of_model(snapshot, name, &format!("{name}{separator}"), separator == '@');
            }
            for word in words {
                if let Ok(name) = word.parse::<ModelName>()
                    && snapshot.model(&name)?.is_some()
                {
                    return of_model(snapshot, word, "", false);
                }
            }
            if words.iter().any(|word| reference(word).is_some()) { stages(snapshot) } else { models(snapshot) }
        })
    })
}

/// Completes the id of a person.
pub(in crate::cli) fn person() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, |snapshot, _| Ok(snapshot.people()?.keys().map(ToString::to_string).collect()))
    })
}

/// Completes a person or a group as grants name them.
pub(in crate::cli) fn principal() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| candidates(typed, |snapshot, _| suggest::principals(snapshot)))
}

/// The candidates that begin with the typed word; `find` gets the snapshot and the words before.
fn candidates(
    typed: &OsStr,
    find: impl Fn(&Snapshot<'_>, &[String]) -> Result<Vec<String>, RegistryError>,
) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let line = TypedLine::read(std::env::args_os());
    let found = Registry::discover(&line.folder).and_then(|registry| find(&registry.snapshot()?, &line.words));
    let found = found.unwrap_or_default().into_iter().filter(|name| name.starts_with(typed));
    found.map(CompletionCandidate::new).collect()
}

/// The command line typed so far.
struct TypedLine {
    folder: PathBuf,
    words: Vec<String>,
}

impl TypedLine {
    /// Reads the words after `--` in the call of the completion script: the program, then the typed words.
    fn read(args: impl Iterator<Item = OsString>) -> Self {
        let mut words = args.skip_while(|word| word != "--").skip(2);
        let mut line = Self { folder: PathBuf::from("."), words: Vec::new() };
        while let Some(word) = words.next() {
            if word == "-C" {
                line.folder = words.next().map_or_else(|| PathBuf::from("."), PathBuf::from);
            } else if let Some(word) = word.to_str().filter(|word| !word.starts_with('-')) {
                line.words.push(word.to_owned());
            }
        }
        line
    }
}

/// The model of a half-typed reference, and the separator before its version: `churn/`, `models:/churn@`.
fn reference(word: &str) -> Option<(&str, char)> {
    let start = if word.starts_with("models:/") { "models:/".len() } else { 0 };
    let at = word.get(start..)?.rfind(['/', '@'])?;
    let separator = word.get(start + at..)?.chars().next()?;
    Some((word.get(..start + at)?, separator))
}

fn models(snapshot: &Snapshot<'_>) -> Result<Vec<String>, RegistryError> {
    Ok(snapshot.models()?.iter().filter_map(|view| view.dir.name()).map(|name| name.to_string()).collect())
}

fn stages(snapshot: &Snapshot<'_>) -> Result<Vec<String>, RegistryError> {
    Ok(suggest::stages(snapshot)?.iter().map(ToString::to_string).collect())
}

/// The versions of a model as candidates after `before`: numbers, stages, `latest` and aliases. After `@`, only
/// aliases.
fn of_model(
    snapshot: &Snapshot<'_>,
    name: &str,
    before: &str,
    only_aliases: bool,
) -> Result<Vec<String>, RegistryError> {
    let name = name.strip_prefix("models:/").unwrap_or(name);
    let Ok(name) = name.parse::<ModelName>() else { return Ok(Vec::new()) };
    let Some(view) = snapshot.model(&name)? else { return Ok(Vec::new()) };
    let aliases: Vec<String> = view.aliases()?.into_iter().map(|(alias, _)| alias.to_string()).collect();
    if only_aliases {
        return Ok(aliases.into_iter().map(|alias| format!("{before}{alias}")).collect());
    }
    let mut out: Vec<String> = view.versions()?.iter().rev().map(|v| v.number.to_string()).collect();
    out.extend(stages(snapshot)?);
    out.push("latest".to_owned());
    let mut out: Vec<String> = out.into_iter().map(|version| format!("{before}{version}")).collect();
    if before.is_empty() {
        out.extend(aliases.into_iter().map(|alias| format!("@{alias}")));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_without_flags() {
        let args = ["greenroom", "--", "greenroom", "-C", "reg", "transition", "-n", "churn", ""];
        let line = TypedLine::read(args.into_iter().map(OsString::from));
        assert_eq!(line.folder, PathBuf::from("reg"));
        assert_eq!(line.words, ["transition", "churn", ""]);
    }

    #[test]
    fn a_reference_is_split_where_its_version_begins() {
        for (word, want) in [
            ("churn/", Some(("churn", '/'))),
            ("churn/Pro", Some(("churn", '/'))),
            ("churn@ch", Some(("churn", '@'))),
            ("models:/churn/", Some(("models:/churn", '/'))),
            ("models:/", None),
            ("churn", None),
            ("", None),
        ] {
            assert_eq!(reference(word), want, "{word}");
        }
    }
}
