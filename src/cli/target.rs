//! Naming a version on the command line: NAME VERSION, or one reference.

use clap::Args;

use super::report::{CliError, Exit};
use crate::apply::Refusal;
use crate::name::ModelName;
use crate::reference::{self, Found, ModelRef, Pick};
use crate::snapshot::{ModelView, Snapshot, VersionView};
use crate::stage::Stage;

/// A version: two words, or a reference alone.
#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    /// The model's name; or a reference without VERSION, such as churn/3, churn@champion or models:/churn/Production
    #[arg(value_name = "NAME")]
    name: String,
    /// Its version: a number, a stage, @ALIAS or latest
    #[arg(value_name = "VERSION", value_parser = pick)]
    version: Option<Pick>,
}

impl Target {
    /// A version named by a reference alone.
    pub(super) fn reference_only(reference: &str) -> Self {
        Self { name: reference.to_owned(), version: None }
    }

    /// What is meant, before it is looked up.
    pub(super) fn reference(&self) -> Result<ModelRef, CliError> {
        let wrong = |e: &dyn std::error::Error| CliError::usage(e.to_string());
        match &self.version {
            Some(pick) => {
                let model: ModelName = self.name.parse().map_err(|e: crate::name::InvalidName| wrong(&e))?;
                Ok(ModelRef { model, pick: pick.clone(), moment: None })
            }
            None => {
                let found: ModelRef = self.name.parse().map_err(|e: reference::InvalidRef| wrong(&e))?;
                if found.pick == Pick::Model {
                    let hint = format!("greenroom version list {}", found.model);
                    return Err(CliError::usage(format!("which version of {} is meant?", found.model)).hint(hint));
                }
                Ok(found)
            }
        }
    }

    /// The model and the number of a version that is to be changed: one of now.
    pub(super) fn of_now(&self, snapshot: &Snapshot<'_>) -> Result<(ModelName, u64), CliError> {
        let found = self.reference()?;
        if found.moment.is_some() {
            return Err(CliError::usage("the past cannot be changed; leave out `@{…}`"));
        }
        let (_, version) = find(snapshot, &found)?;
        Ok((found.model, version.number))
    }
}

/// Reads a version as it is named beside its model: a number, a stage, `@alias`, `latest`.
pub(super) fn pick(s: &str) -> Result<Pick, String> {
    if s.eq_ignore_ascii_case("latest") || s == "@latest" {
        return Ok(Pick::Latest);
    }
    if let Some(alias) = s.strip_prefix('@') {
        return alias.parse().map(Pick::Alias).map_err(|e: crate::name::InvalidName| e.to_string());
    }
    if !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()) {
        return s.parse().map(Pick::Number).map_err(|_| "the number is too large".to_owned());
    }
    match s.parse::<Stage>() {
        Ok(stage) => Ok(Pick::Stage(stage)),
        Err(_) => Err("write a version's number, a stage, @ALIAS or latest".to_owned()),
    }
}

/// Finds what a reference means in a snapshot.
pub(super) fn find<'o>(
    snapshot: &Snapshot<'o>,
    wanted: &ModelRef,
) -> Result<(ModelView<'o>, VersionView<'o>), CliError> {
    let model = snapshot.model(&wanted.model)?.ok_or_else(|| Refusal::no_model(&wanted.model))?;
    let number = match reference::resolve(snapshot, &wanted.model, &wanted.pick)? {
        Found::Version(number) => number,
        Found::NoModel => return Err(Refusal::no_model(&wanted.model).into()),
        Found::Nothing => return Err(nothing(wanted)),
    };
    let version = model.version(number)?.ok_or_else(|| Refusal::no_version(&wanted.model, number))?;
    Ok((model, version))
}

fn nothing(wanted: &ModelRef) -> CliError {
    let name = &wanted.model;
    match &wanted.pick {
        Pick::Number(n) => Refusal::no_version(name, *n).into(),
        Pick::Alias(alias) => Refusal::no_alias(alias.as_str()).into(),
        Pick::Stage(stage) => CliError::not_found(format!("no version of {name} is in {stage}")),
        Pick::Latest => CliError::not_found(format!("{name} has no version that is READY yet")),
        Pick::Model => CliError::new(Exit::Usage, format!("which version of {name} is meant?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, version: Option<&str>) -> Result<String, Exit> {
        let version = version.map(pick).transpose().map_err(|_| Exit::Usage)?;
        let target = Target { name: name.to_owned(), version };
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
    fn what_names_no_version_is_wrong_usage() {
        for (name, version) in [("churn", None), ("churn/3", Some("3")), ("churn", Some("a b")), ("churn", Some(""))] {
            assert_eq!(shown(name, version), Err(Exit::Usage), "{name} {version:?}");
        }
    }
}
