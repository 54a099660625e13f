//! The source of a version. The server never opens a path or URL that a caller gives. It stores the text, refuses
//! sources that can only be meant to lead elsewhere, and resolves references to versions of this registry.

use crate::apply::Refusal;
use crate::entity::version::VersionSource;
use crate::index::VersionFacts;
use crate::name::ModelName;
pub(super) use crate::reference::origin::registered;
use crate::reference::{ModelRef, VersionPick};
use crate::rules::sources::{self, BadAddress};
use crate::search::IS_PROMPT;
use crate::server::api::artifacts;
use crate::server::context::call::Call;
use crate::server::context::catalog::ModelCard;
use crate::server::context::error::{ApiError, Code};
use crate::stage::Stage;
use crate::text::Text;

/// The largest number of references from one version to another that are followed.
const MAX_HOPS: usize = 10;

/// The sources that MLflow's client writes for the version of a prompt, which has no files.
const OF_PROMPTS: [&str; 2] = ["dummy-source", "prompt-template"];

/// Returns whether the tags of a new version make it the version of a prompt. If a key occurs twice, the last value
/// counts.
pub fn is_prompt(tags: &[(String, String)]) -> bool {
    let last = tags.iter().rev().find(|(key, _)| key == IS_PROMPT);
    last.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"))
}

/// Checks the source of a version that is registered. A reference to another version of this registry becomes
/// `models:/name/number`. Fields that the caller does not give are taken from that version. The location of its files
/// is recorded, so that the files can be found after that version is deleted or its model renamed.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when the source is invalid, and `RESOURCE_DOES_NOT_EXIST` when it names a model or version
/// that the caller cannot see.
pub fn settled(call: &Call, given: VersionSource, is_prompt: bool) -> Result<VersionSource, ApiError> {
    let shown = crate::text::one_line(given.uri.as_str());
    if is_prompt && !OF_PROMPTS.contains(&given.uri.as_str()) {
        return Err(ApiError::invalid(format!(
            "Invalid prompt source: '{shown}'. Prompt sources must use an MLflow placeholder."
        )));
    }
    if let Some(reference) = registered(given.uri.as_str()) {
        return copied(call, &given, reference);
    }
    check(given.uri.as_str())?;
    Ok(given)
}

/// Returns the source of a version that is a copy of another version in this registry.
fn copied(call: &Call, given: &VersionSource, uri: &str) -> Result<VersionSource, ApiError> {
    let shown = crate::text::one_line(uri);
    let invalid = |why: &str| ApiError::invalid(format!("Invalid model version source: '{shown}'. {why}"));
    let nowhere = || invalid("The model_id request parameter must identify the resource that contains the source.");
    if uri.starts_with("models://") {
        return Err(invalid("Registered model sources must use the active model registry."));
    }
    let (name, which) = parts(uri).ok_or_else(nowhere)?;
    let model = call.model(&ModelName::new(name)?)?;
    if model.is_prompt() {
        return Err(invalid("Prompt versions cannot be used as model version sources."));
    }
    let version = pick(call, model, &which)?;
    let other = |given: &Text, known: &str| !given.is_empty() && given.as_str() != known;
    if other(&given.run_id, &version.run_id) || other(&given.model_id, &version.model_id) {
        return Err(invalid("The run_id and model_id request parameters must match the referenced model version."));
    }
    Ok(VersionSource {
        uri: Text::new(&format!("models:/{}/{}", model.name, version.number))?,
        run_id: Text::new(&version.run_id)?,
        run_link: given.run_link.clone(),
        model_id: Text::new(&version.model_id)?,
        location: Text::new(recorded(version))?,
    })
}

/// How a source names a version of a model.
enum SourceSelector<'u> {
    Number(&'u str),
    Latest,
    Stage(&'u str),
    Alias(&'u str),
}

/// Splits `models:/name/3`, `models:/name/Stage` and `models:/name@alias` into name and version, as MLflow does.
fn parts(uri: &str) -> Option<(&str, SourceSelector<'_>)> {
    // MLflow splits off a query, so it is not part of the name.
    let path = uri.strip_prefix("models:/")?.split('?').next()?.trim_start_matches('/');
    match path.split_once('/') {
        Some((name, which)) if !name.trim().is_empty() && !which.trim().is_empty() && !which.contains('/') => {
            let which = if which.bytes().all(|b| b.is_ascii_digit()) {
                SourceSelector::Number(which)
            } else if which.eq_ignore_ascii_case("latest") {
                SourceSelector::Latest
            } else {
                SourceSelector::Stage(which)
            };
            Some((name, which))
        }
        Some(_) => None,
        None => path
            .rsplit_once('@')
            .filter(|(_, alias)| !alias.trim().is_empty())
            .map(|(n, a)| (n, SourceSelector::Alias(a))),
    }
}

fn pick<'m>(
    call: &Call,
    model: &'m ModelCard,
    which: &SourceSelector<'_>,
) -> Result<&'m VersionFacts<'static>, ApiError> {
    let no_version =
        |which: &str| ApiError::not_found(format!("Model Version (name={}, version={which}) not found", model.name));
    let none_in = |stage: &str| {
        let shown = crate::text::one_line(stage);
        let message = format!("No versions of model with name '{}' and stage '{shown}' found", model.name);
        ApiError::new(Code::InvalidParameterValue, message)
    };
    let found = match which {
        SourceSelector::Number(digits) => {
            let number = Some(digits.trim_start_matches('0')).filter(|n| !n.is_empty()).unwrap_or("0");
            number.parse().ok().and_then(|n| model.version(n)).ok_or_else(|| no_version(number))
        }
        SourceSelector::Latest => model.latest().ok_or_else(|| none_in("None")),
        SourceSelector::Alias(alias) if alias.eq_ignore_ascii_case("latest") => {
            let none = || ApiError::not_found(format!("Latest version not found for model {}.", model.name));
            model.latest().ok_or_else(none)
        }
        SourceSelector::Alias(alias) => {
            let missing = || ApiError::from(Refusal::no_alias(&crate::text::one_line(alias)));
            super::models::readable_alias(alias)?;
            model.aliases.get(*alias).and_then(|n| model.version(*n)).ok_or_else(missing)
        }
        SourceSelector::Stage(stage) => {
            let known = Stage::among(stage, &call.catalog.stages())?;
            let newest = model.latest_by_stage().into_iter().find(|v| v.stage == known.as_str());
            newest.ok_or_else(|| none_in(stage))
        }
    };
    found.map(AsRef::as_ref)
}

/// Returns the location of a version's files. Files in the registry are at this server. Other files are at the location
/// that was recorded when the version was registered. The recorded location stays valid, because the source may name
/// another model by now. Only if no location was recorded, as for a file written by hand, the source is followed to its
/// version, if the caller may read that.
pub fn location(call: &Call, model: &ModelCard, version: &VersionFacts<'static>) -> String {
    let (mut model, mut version) = (model, version);
    for _ in 0..MAX_HOPS {
        if version.has_files {
            return artifacts::address(&call.base, model, version.number);
        }
        match origin(call, version) {
            Some((of, next)) => (model, version) = (of, next),
            None => break,
        }
    }
    recorded(version).to_owned()
}

/// Returns the version of which a version without a recorded location is a copy.
fn origin<'c>(call: &'c Call, version: &VersionFacts<'_>) -> Option<(&'c ModelCard, &'c VersionFacts<'static>)> {
    let uri = registered(&version.source).filter(|_| version.location.is_empty())?;
    let ModelRef { model, pick: VersionPick::Number(number), .. } = uri.parse().ok()? else { return None };
    let model = call.model(&model).ok()?;
    Some((model, model.version(number)?))
}

/// Returns the location of a version's files that was recorded when the version was registered.
fn recorded<'v>(version: &'v VersionFacts<'_>) -> &'v str {
    let counts = !version.location.is_empty() && registered(&version.source).is_some();
    if counts { &version.location } else { &version.source }
}

/// Refuses sources that the rule of addresses refuses, with MLflow's message if MLflow has one. The rule itself judges
/// the commit again, like every other commit.
fn check(uri: &str) -> Result<(), ApiError> {
    let Some(why) = sources::bad_address(uri) else { return Ok(()) };
    match why {
        BadAddress::Climbs | BadAddress::Unreadable | BadAddress::Vague => {
            let shown = crate::text::one_line(uri);
            Err(ApiError::invalid(format!(
                "Invalid model version source: '{shown}'. If supplying a source as an http, https, local file path, \
                 ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path \
                 references present. Please provide an absolute path."
            )))
        }
        // A source that may hold a secret is not repeated.
        BadAddress::Foreign | BadAddress::Password | BadAddress::Signed | BadAddress::Disguised => {
            Err(ApiError::invalid(format!("Invalid model version source: the address {}.", why.as_str())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_sources_pass_and_those_that_climb_do_not() {
        for good in [
            "s3://bucket/model",
            "models:/m-0123456789abcdef0123456789abcdef",
            "runs:/abc/model",
            "file:///models/wine",
            "/models/wine..v2",
            "dbfs:/models/wine",
            "path/to/model",
            "dummy-source",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "s3://bucket",
            "s3://bucket/",
            "s3://bucket/a/../b",
            "file:///a/%2e%2e/b",
            "file:///a/%252e%252e/b",
            "http://host/a#/../b",
            "file://\\..\\..\\etc",
            "a/..",
            "..",
            "s3://b/a?x=/../..",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_last_tag_of_a_key_makes_a_prompt() {
        let tags = |values: &[&str]| values.iter().map(|v| (IS_PROMPT.to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        assert!(is_prompt(&tags(&["false", "True"])));
        assert!(!is_prompt(&tags(&["true", "false"])));
        assert!(!is_prompt(&[]));
    }
}
