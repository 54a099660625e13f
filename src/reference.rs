//! References to models and versions: `models:/churn/3`, `models:/churn/Production`, `models:/churn@champion`. Each can
//! end in `@{moment}` for the past.

pub mod origin;

use std::fmt;
use std::str::FromStr;

use crate::entity::Settings;
use crate::entity::version::VersionStatus;
use crate::name::{AliasName, InvalidName, ModelName};
use crate::snapshot::{ModelView, Snapshot};
use crate::stage::Stage;
use crate::tree::TreeError;

/// A parsed reference. `models:/` may be left out.
///
/// ```
/// use greenroom::reference::{ModelRef, VersionPick};
/// let r: ModelRef = "models:/churn/Production@{2026-03-01}".parse()?;
/// assert_eq!(r.model.as_str(), "churn");
/// assert_eq!(r.moment.as_deref(), Some("2026-03-01"));
/// assert!(matches!(r.pick, VersionPick::Stage(_)));
/// # Ok::<(), greenroom::reference::InvalidRef>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    /// The name of the model.
    pub model: ModelName,
    /// Which of its versions is meant.
    pub pick: VersionPick,
    /// A time or git revision: the reference is resolved as of that commit.
    pub moment: Option<String>,
}

/// Which version of a model a reference means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionPick {
    /// The model itself.
    Model,
    /// A version number.
    Number(u64),
    /// The highest version number in a stage.
    Stage(Stage),
    /// The version that an alias points at.
    Alias(AliasName),
    /// The highest version number with status READY in any stage, as MLflow's `latest`.
    Latest,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRef {
    /// The name of the model is not valid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The text after the model has none of the known forms.
    #[error(
        "{0} is not a reference; write models:/NAME/VERSION, models:/NAME/STAGE or models:/NAME@ALIAS, with @{{TIME or \
         REVISION}} for the past"
    )]
    Form(String),
}

impl FromStr for ModelRef {
    type Err = InvalidRef;

    fn from_str(s: &str) -> Result<Self, InvalidRef> {
        let wrong = || InvalidRef::Form(crate::text::quoted(s));
        let rest = s.strip_prefix("models:/").unwrap_or(s);
        let (rest, moment) = match rest.split_once("@{") {
            Some((rest, moment)) => {
                let moment = moment.strip_suffix('}').filter(|m| !m.is_empty()).ok_or_else(wrong)?;
                (rest, Some(moment.to_owned()))
            }
            None => (rest, None),
        };
        if let Some((model, which)) = rest.split_once('/') {
            let pick = if which.eq_ignore_ascii_case("latest") {
                VersionPick::Latest
            } else if which.bytes().all(|b| b.is_ascii_digit()) {
                VersionPick::Number(which.parse().map_err(|_| wrong())?)
            } else {
                VersionPick::Stage(which.parse().map_err(|_| wrong())?)
            };
            return Ok(Self { model: model.parse()?, pick, moment });
        }
        // The name of a model may contain `@`; with a slash form the name is unambiguous.
        if let Some((model, alias)) = rest.rsplit_once('@') {
            let pick = if alias.eq_ignore_ascii_case("latest") {
                VersionPick::Latest
            } else {
                VersionPick::Alias(alias.parse().map_err(|_| wrong())?)
            };
            return Ok(Self { model: model.parse()?, pick, moment });
        }
        Ok(Self { model: rest.parse()?, pick: VersionPick::Model, moment })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "models:/{}", self.model)?;
        match &self.pick {
            VersionPick::Model => {}
            VersionPick::Number(n) => write!(f, "/{n}")?,
            VersionPick::Stage(s) => write!(f, "/{s}")?,
            VersionPick::Alias(a) => write!(f, "@{a}")?,
            VersionPick::Latest => write!(f, "/latest")?,
        }
        match &self.moment {
            Some(m) => write!(f, "@{{{m}}}"),
            None => Ok(()),
        }
    }
}

/// The result of resolving a reference in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceTarget {
    /// The version number.
    Version(u64),
    /// The model exists, but not the version, stage or alias.
    Nothing,
    /// The model does not exist.
    NoModel,
}

/// Finds the version that a reference means. A stage means the highest version number in it, as in MLflow.
///
/// `latest` and the stage None mean READY versions, unless the settings of the registry say otherwise. In an active
/// stage, a READY version is preferred.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn resolve(snapshot: &Snapshot<'_>, model: &ModelName, pick: &VersionPick) -> Result<ReferenceTarget, TreeError> {
    let Some(view) = snapshot.model(model)? else { return Ok(ReferenceTarget::NoModel) };
    let number = match pick {
        VersionPick::Model => None,
        VersionPick::Number(n) => view.version(*n)?.map(|v| v.number),
        VersionPick::Latest => newest(snapshot, &view, (1..=view.highest()?).rev())?,
        VersionPick::Alias(alias) => view.alias(alias)?.and_then(|f| f.value).map(|p| p.version),
        VersionPick::Stage(Stage::None) => {
            let staged = view.stage_map()?;
            newest(snapshot, &view, (1..=view.highest()?).rev().filter(|n| !staged.contains_key(n)))?
        }
        VersionPick::Stage(stage) => {
            let pointers = view.stages()?;
            let named = |s: &Stage| s.as_str().eq_ignore_ascii_case(stage.as_str());
            let pointer = pointers.into_iter().find(|(s, _)| named(s)).and_then(|(_, f)| f.value);
            let versions = pointer.unwrap_or_default().versions;
            newest(snapshot, &view, versions.iter().rev().copied())?.or(versions.last().copied())
        }
    };
    Ok(number.map_or(ReferenceTarget::Nothing, ReferenceTarget::Version))
}

/// Returns the first existing version of `numbers`; if the settings require READY versions, the first with status
/// READY.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn newest(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    numbers: impl Iterator<Item = u64>,
) -> Result<Option<u64>, TreeError> {
    let wants_ready = snapshot.settings()?.is_none_or(Settings::wants_ready);
    for number in numbers {
        let Some(version) = view.version(number)? else { continue };
        let is_ready = || {
            let file = version.file()?.and_then(|f| f.value);
            Ok::<_, TreeError>(file.is_some_and(|v| v.status == VersionStatus::Ready))
        };
        if !wants_ready || is_ready()? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_and_print() {
        for s in [
            "models:/churn",
            "models:/churn/3",
            "models:/churn/Production",
            "models:/churn@champion",
            "models:/churn/latest",
            "models:/wine quality/Staging@{2026-03-01}",
            "models:/churn@champion@{HEAD~3}",
        ] {
            assert_eq!(s.parse::<ModelRef>().map(|r| r.to_string()), Ok(s.to_owned()));
        }
        assert_eq!(
            "churn/production".parse::<ModelRef>().map(|r| r.to_string()),
            Ok("models:/churn/Production".into())
        );
        for bad in ["", "models:/", "churn/", "churn/a b", "churn@", "churn/3@{", "churn@{}", "a:b/3"] {
            assert!(bad.parse::<ModelRef>().is_err(), "{bad}");
        }
    }
}
