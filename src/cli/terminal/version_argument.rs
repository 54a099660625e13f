//! A version on the command line: NAME VERSION, or one reference.

use std::ops::RangeInclusive;

use clap::Args;

use super::complete;
use super::report::{CliError, Exit};
use super::suggest;
use crate::apply::Refusal;
use crate::name::ModelName;
use crate::reference::{self, ModelRef, ReferenceTarget, VersionPick};
use crate::snapshot::{ModelView, Snapshot, VersionView};
use crate::stage::Stage;
use crate::text::{listed, quoted};

/// A version: two words, or a reference alone.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct VersionArgument {
    /// The model's name; or a reference without VERSION, such as churn/3, churn@champion or models:/churn/Production
    #[arg(value_name = "NAME", add = complete::version())]
    name: String,
    /// The version: a number, a stage, @ALIAS or latest
    #[arg(value_name = "VERSION", value_parser = pick, add = complete::version())]
    version: Option<VersionPick>,
}

impl VersionArgument {
    /// Splits the words of a command into the version at their start and the words that follow. `after` limits the
    /// number of words that follow. The version has the usual forms: `churn 3` or `churn/3`.
    ///
    /// # Errors
    /// The words name no version, or too few or too many words follow it.
    pub(in crate::cli) fn leading(
        words: &[String],
        after: RangeInclusive<usize>,
    ) -> Result<(Self, &[String]), CliError> {
        let one = match words {
            [reference, rest @ ..] if after.contains(&rest.len()) => match reference.parse::<ModelRef>() {
                Ok(found) if found.pick != VersionPick::Model => Some((Self::reference_only(reference), rest)),
                Ok(_) | Err(_) => None,
            },
            _ => None,
        };
        let two = match words {
            [name, version, rest @ ..] if after.contains(&rest.len()) => {
                let pick = pick(version).ok();
                pick.map(|pick| (Self { name: name.clone(), version: Some(pick) }, rest))
            }
            _ => None,
        };
        match (one, two) {
            // A stage or a text may follow a reference; a number, an alias or `latest` belongs to the name before it.
            (Some(one), Some(two)) => Ok(if matches!(two.0.version, Some(VersionPick::Stage(_))) { one } else { two }),
            (Some(found), None) | (None, Some(found)) => Ok(found),
            (None, None) => Err(unclear(words, &after)),
        }
    }

    /// A version named by a reference alone.
    pub(in crate::cli) fn reference_only(reference: &str) -> Self {
        Self { name: reference.to_owned(), version: None }
    }

    /// The reference, before it is looked up.
    pub(in crate::cli) fn reference(&self) -> Result<ModelRef, CliError> {
        let wrong = |e: &dyn std::error::Error| CliError::usage(e.to_string());
        match &self.version {
            Some(pick) => {
                let model: ModelName = self.name.parse().map_err(|e: crate::name::InvalidName| wrong(&e))?;
                Ok(ModelRef { model, pick: pick.clone(), moment: None })
            }
            None => {
                let found: ModelRef = self.name.parse().map_err(|e: reference::InvalidRef| wrong(&e))?;
                if found.pick == VersionPick::Model {
                    let hint = format!("greenroom version list {}", found.model);
                    return Err(CliError::usage(format!("name a version of {}", found.model)).hint(hint));
                }
                Ok(found)
            }
        }
    }

    /// The reference as of its own moment, or as of `at`.
    ///
    /// # Errors
    /// The words are no reference, or both the reference and `at` name a moment.
    pub(in crate::cli) fn reference_at(&self, at: Option<&str>) -> Result<ModelRef, CliError> {
        let found = self.reference()?;
        match (&found.moment, at) {
            (Some(_), Some(_)) => Err(CliError::usage("the moment is given twice: in the reference and by --at")),
            (_, None) => Ok(found),
            (None, Some(at)) => Ok(ModelRef { moment: Some(at.to_owned()), ..found }),
        }
    }

    /// The model and the number of a version that the command changes; the reference must name no earlier moment.
    pub(in crate::cli) fn of_now(&self, snapshot: &Snapshot<'_>) -> Result<(ModelName, u64), CliError> {
        let found = self.reference()?;
        if found.moment.is_some() {
            return Err(CliError::usage("an earlier state cannot be changed; leave out `@{…}`"));
        }
        let (_, version) = find(snapshot, &found)?;
        Ok((found.model, version.number))
    }
}

/// The error for words that name no version.
fn unclear(words: &[String], after: &RangeInclusive<usize>) -> CliError {
    let forms = "write NAME VERSION or NAME/VERSION; the version is a number, a stage, @ALIAS or latest";
    let name = words.first().map(String::as_str).unwrap_or_default();
    if words.len() > after.end() + 2 {
        let extra = words.get(after.end() + 2).map(|w| quoted(w)).unwrap_or_default();
        return CliError::usage(format!("unexpected argument {extra}"));
    }
    match (name.parse::<ModelRef>(), words.get(1)) {
        (Err(e), _) => CliError::usage(e.to_string()),
        (Ok(found), _) if found.pick != VersionPick::Model => {
            CliError::usage("an argument is missing after the version")
        }
        (Ok(_), Some(word)) if pick(word).is_err() => {
            CliError::usage(format!("invalid version {}: {forms}", quoted(word)))
        }
        (Ok(found), Some(_)) if words.len() > 2 || *after.start() == 0 => {
            CliError::usage(format!("name a version of {}", found.model)).hint(forms)
        }
        (Ok(_), Some(_)) => CliError::usage("an argument is missing after the version").hint(forms),
        (Ok(found), None) => {
            let hint = format!("greenroom version list {}", found.model);
            CliError::usage(format!("name a version of {}", found.model)).hint(forms).hint(hint)
        }
    }
}

/// A model, or a version in either form; `None` without words.
pub(in crate::cli) fn any(words: &[String]) -> Result<Option<ModelRef>, CliError> {
    match words {
        [] => Ok(None),
        [word] => word.parse().map(Some).map_err(|e: reference::InvalidRef| CliError::usage(e.to_string())),
        [..] => VersionArgument::leading(words, 0..=0)?.0.reference().map(Some),
    }
}

/// Parses a model's name, with `@{MOMENT}` or `--at` for an earlier state. A name may hold `@` itself.
pub(in crate::cli) fn model_at(word: &str, at: Option<&str>) -> Result<(ModelName, Option<String>), CliError> {
    let (name, moment) = moment_of(word, at)?;
    let name = name.strip_prefix("models:/").unwrap_or(name);
    let name = name.parse().map_err(|e: crate::name::InvalidName| CliError::usage(e.to_string()))?;
    Ok((name, moment))
}

/// Splits `@{MOMENT}` from the end of a word; `at` is the value of `--at`.
pub(in crate::cli) fn moment_of<'w>(word: &'w str, at: Option<&str>) -> Result<(&'w str, Option<String>), CliError> {
    let split = word.strip_suffix('}').and_then(|rest| rest.split_once("@{")).filter(|(_, moment)| !moment.is_empty());
    match (split, at) {
        (Some(_), Some(_)) => Err(CliError::usage("the moment is given twice: in the reference and by --at")),
        (Some((rest, moment)), None) => Ok((rest, Some(moment.to_owned()))),
        (None, at) => Ok((word, at.map(str::to_owned))),
    }
}

/// Parses a version as it is named beside its model: a number, a stage, `@alias`, `latest`.
pub(in crate::cli) fn pick(s: &str) -> Result<VersionPick, String> {
    if s.eq_ignore_ascii_case("latest") || s == "@latest" {
        return Ok(VersionPick::Latest);
    }
    if let Some(alias) = s.strip_prefix('@') {
        return alias.parse().map(VersionPick::Alias).map_err(|e: crate::name::InvalidName| e.to_string());
    }
    if !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()) {
        return s.parse().map(VersionPick::Number).map_err(|_| "the number is too large".to_owned());
    }
    match s.parse::<Stage>() {
        Ok(stage) => Ok(VersionPick::Stage(stage)),
        Err(_) => Err("write a version's number, a stage, @ALIAS or latest".to_owned()),
    }
}

/// Parses the stage that follows a version. An unknown stage of the registry is a not-found error.
pub(in crate::cli) fn stage(snapshot: &Snapshot<'_>, rest: &[String]) -> Result<Stage, CliError> {
    let word = rest.first().map(String::as_str).unwrap_or_default();
    let stage: Stage = word.parse().map_err(|e: crate::stage::InvalidStage| CliError::usage(e.to_string()))?;
    let known = suggest::stages(snapshot)?;
    if known.contains(&stage) {
        return Ok(stage);
    }
    let names: Vec<&str> = known.iter().map(Stage::as_str).collect();
    let e = CliError::not_found(format!("{} is not a stage of this registry", quoted(word)));
    Err(match suggest::nearest(word, names.iter().copied()) {
        Some(nearest) => e.hint(format!("did you mean {nearest}?")),
        None => e.hint(format!("use one of {}, or declare it: greenroom stage set {word}", names.join(", "))),
    })
}

/// Looks a reference up in a snapshot.
pub(in crate::cli) fn find<'o>(
    snapshot: &Snapshot<'o>,
    wanted: &ModelRef,
) -> Result<(ModelView<'o>, VersionView<'o>), CliError> {
    let model = snapshot.model(&wanted.model)?.ok_or_else(|| Refusal::no_model(&wanted.model))?;
    let number = match reference::resolve(snapshot, &wanted.model, &wanted.pick)? {
        ReferenceTarget::Version(number) => number,
        ReferenceTarget::NoModel => return Err(Refusal::no_model(&wanted.model).into()),
        ReferenceTarget::Nothing => return Err(nothing(snapshot, &model, wanted)?),
    };
    let version = model.version(number)?.ok_or_else(|| Refusal::no_version(&wanted.model, number))?;
    Ok((model, version))
}

/// The error for a version that does not exist, with a similar name if there is one.
fn nothing(snapshot: &Snapshot<'_>, model: &ModelView<'_>, wanted: &ModelRef) -> Result<CliError, CliError> {
    let name = &wanted.model;
    let meant =
        |e: CliError, given: &str, names: &[String]| match suggest::nearest(given, names.iter().map(String::as_str))
            .filter(|n| *n != given)
        {
            Some(nearest) => e.hint(format!("did you mean {nearest}?")),
            None => e,
        };
    Ok(match &wanted.pick {
        VersionPick::Number(n) => Refusal::no_version(name, *n).into(),
        VersionPick::Alias(alias) => {
            let aliases: Vec<String> = model.aliases()?.into_iter().map(|(alias, _)| alias.to_string()).collect();
            let e = CliError::from(Refusal::no_alias(alias.as_str()));
            match suggest::nearest(alias.as_str(), aliases.iter().map(String::as_str)) {
                Some(nearest) => e.hint(format!("did you mean {nearest}?")),
                None => e.hint(places(model, &aliases)?),
            }
        }
        VersionPick::Stage(stage) => {
            let stages: Vec<String> = suggest::stages(snapshot)?.iter().map(ToString::to_string).collect();
            let known = stages.iter().any(|known| known == stage.as_str());
            let e = CliError::not_found(format!("no version of {name} is in {stage}"));
            let e = if known { e } else { meant(e, stage.as_str(), &stages) };
            let aliases = model.aliases()?;
            match aliases.iter().find(|(alias, _)| alias.as_str().eq_ignore_ascii_case(stage.as_str())) {
                Some((alias, _)) => e.hint(format!("{alias} is an alias: write {name}@{alias}, or {name} @{alias}")),
                None => e,
            }
        }
        VersionPick::Latest => CliError::not_found(format!("{name} has no version that is READY yet")),
        VersionPick::Model => CliError::new(Exit::Usage, format!("name a version of {name}")),
    })
}

/// Says which aliases and stages of a model name a version.
fn places(model: &ModelView<'_>, aliases: &[String]) -> Result<String, CliError> {
    const MOST: usize = 8;
    let stages =
        model.stages()?.into_iter().filter(|(_, file)| file.value.as_ref().is_some_and(|p| !p.versions.is_empty()));
    let stages: Vec<String> = stages.map(|(stage, _)| stage.to_string()).collect();
    let of = |one: &str, many: &str, names: &[String]| match names.len() {
        0 => format!("no {one}"),
        1 => format!("the {one} {}", listed(names, MOST)),
        _ => format!("the {many} {}", listed(names, MOST)),
    };
    Ok(format!("it has {}, and versions in {}", of("alias", "aliases", aliases), of("stage", "stages", &stages)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, version: Option<&str>) -> Result<String, Exit> {
        let version = version.map(pick).transpose().map_err(|_| Exit::Usage)?;
        let target = VersionArgument { name: name.to_owned(), version };
        target.reference().map(|r| r.to_string()).map_err(|e| e.exit)
    }

    #[test]
    fn a_version_is_named_by_two_words_or_a_reference() {
        for (name, version, want) in [
            ("churn", Some("3"), "models:/churn/3"),
            ("churn", Some("production"), "models:/churn/Production"),
            ("churn", Some("@champion"), "models:/churn@champion"),
            ("churn", Some("latest"), "models:/churn/latest"),
            ("churn/3", None, "models:/churn/3"),
            ("models:/churn/Production@{2026-03-01}", None, "models:/churn/Production@{2026-03-01}"),
            ("churn@champion", None, "models:/churn@champion"),
        ] {
            assert_eq!(shown(name, version).as_deref(), Ok(want));
        }
    }

    #[test]
    fn words_begin_with_a_version_in_either_form() {
        let split = |words: &str, after: RangeInclusive<usize>| {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            let found = VersionArgument::leading(&words, after).map_err(|e| e.exit)?;
            let version = found.0.reference().map_err(|e| e.exit)?;
            Ok::<_, Exit>(format!("{version} then {}", found.1.join(" ")))
        };
        for (words, after, want) in [
            ("churn 3 Production", 1..=1, "models:/churn/3 then Production"),
            ("churn/3 Production", 1..=1, "models:/churn/3 then Production"),
            ("churn@champion Production", 1..=1, "models:/churn@champion then Production"),
            ("churn @champion Production", 1..=1, "models:/churn@champion then Production"),
            ("churn Staging Production", 1..=1, "models:/churn/Staging then Production"),
            ("models:/churn/Staging Production", 1..=1, "models:/churn/Staging then Production"),
            ("churn 3", 0..=1, "models:/churn/3 then "),
            ("churn/3", 0..=1, "models:/churn/3 then "),
            ("churn/3 Production", 0..=1, "models:/churn/3 then Production"),
            ("churn 3 Production", 0..=1, "models:/churn/3 then Production"),
            ("a@b 3", 0..=1, "models:/a@b/3 then "),
        ] {
            assert_eq!(split(words, after).as_deref(), Ok(want), "{words}");
        }
        for (words, after) in [
            ("churn Production", 1..=1),
            ("churn", 0..=1),
            ("churn 3", 1..=1),
            ("churn/3", 1..=1),
            ("churn 3 a b", 0..=1),
            ("a:b 3", 0..=0),
        ] {
            assert_eq!(split(words, after), Err(Exit::Usage), "{words}");
        }
    }

    #[test]
    fn what_names_no_version_is_wrong_usage() {
        for (name, version) in [("churn", None), ("churn/3", Some("3")), ("churn", Some("a b")), ("churn", Some(""))] {
            assert_eq!(shown(name, version), Err(Exit::Usage), "{name} {version:?}");
        }
    }
}
