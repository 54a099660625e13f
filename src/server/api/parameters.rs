//! The parameters that MLflow's API and the APIs beside it have in common: names, numbers, texts, tags.

use std::sync::Arc;

use crate::apply::Refusal;
use crate::entity::Tags;
use crate::index::VersionFacts;
use crate::name::{Key, ModelName};
use crate::server::context::arguments::Args;
use crate::server::context::call::Call;
use crate::server::context::catalog::ModelCard;
use crate::server::context::error::ApiError;
use crate::text::{InvalidText, Text};

/// The tag of a version in which MLflow stores the text of a prompt.
const PROMPT_TEXT: &str = "mlflow.prompt.text";

/// The longest value of a tag, in characters.
const MAX_TAG: usize = 100_000;

/// Returns the model name in a request, whether the model exists or not.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when the name is missing or invalid.
pub fn name(args: &Args) -> Result<ModelName, ApiError> {
    Ok(ModelName::new(args.text("name")?.unwrap_or_default())?)
}

/// Returns the name of a model that the caller may read.
///
/// # Errors
///
/// As [`name`], and `RESOURCE_DOES_NOT_EXIST` when the caller cannot see such a model.
pub fn model_name(call: &Call) -> Result<ModelName, ApiError> {
    call.model(&name(&call.args)?).map(|model| model.name.clone())
}

/// Parses the number of a version as MLflow does. `None` for an integer that cannot be a version number.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when the text is not an integer.
pub fn version_number(args: &Args) -> Result<Option<u64>, ApiError> {
    let text = args.text("version")?.unwrap_or_default();
    let wrong = || {
        let shown = crate::text::one_line(text);
        ApiError::invalid(format!("Parameter 'version' must be an integer, got '{shown}'."))
    };
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let plain = digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if !plain {
        return Err(wrong());
    }
    Ok(digits.replace('_', "").parse().ok().filter(|n| *n > 0 && !trimmed.starts_with('-')))
}

/// Returns a description or comment; empty if it is absent.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when the text is too long or has a character that may not be stored.
pub fn text(args: &Args, name: &str) -> Result<Text, ApiError> {
    let given = args.text(name)?.unwrap_or_default();
    Text::new(given).map_err(|e| match e {
        InvalidText::TooLong { max, .. } => {
            ApiError::invalid(format!("'{name}' exceeds the maximum length of {max} bytes"))
        }
        InvalidText::Character { .. } => {
            ApiError::invalid(format!("Invalid value for parameter '{name}' supplied: {e}"))
        }
    })
}

/// Checks the value of a tag of a version. The text of a prompt has its own message.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when the value is too long or has a character that may not be stored.
pub fn version_tag_value(key: &Key, given: &str) -> Result<Text, ApiError> {
    if key.as_str() == PROMPT_TEXT && given.chars().count() > MAX_TAG {
        return Err(ApiError::invalid(format!("Prompt text exceeds max length of {MAX_TAG} characters.")));
    }
    tag_value(given)
}

/// Checks the value of a tag.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when the value is too long or has a character that may not be stored.
pub fn tag_value(given: &str) -> Result<Text, ApiError> {
    if given.chars().count() > MAX_TAG {
        return Err(ApiError::invalid(format!("'value' exceeds the maximum length of {MAX_TAG} characters")));
    }
    let wrong = |e| ApiError::invalid(format!("Invalid value for parameter 'value' supplied: {e}"));
    Text::new(given).map_err(wrong)
}

/// Returns the key of a tag.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when the key is missing or invalid.
pub fn tag_key(args: &Args) -> Result<Key, ApiError> {
    Ok(Key::new(args.text("key")?.unwrap_or_default())?)
}

/// Returns the tags of a new model.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when a key or value is invalid.
pub fn tags(args: &Args) -> Result<Tags, ApiError> {
    args.tags("tags")?.into_iter().map(|(key, value)| Ok((Key::new(key)?, tag_value(&value)?))).collect()
}

/// Returns the tags of a new version.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when a key or value is invalid.
pub fn version_tags(args: &Args) -> Result<Tags, ApiError> {
    let tag = |(key, value): (String, String)| {
        let key = Key::new(key)?;
        let value = version_tag_value(&key, &value)?;
        Ok((key, value))
    };
    args.tags("tags")?.into_iter().map(tag).collect()
}

/// Returns MLflow's error for a number that cannot be a version number.
pub fn none_such(call: &Call, model: &ModelName) -> ApiError {
    let given = call.args.text("version").ok().flatten().unwrap_or_default();
    let plain = given.trim().replace('_', "");
    let shown = plain.parse().map_or_else(|_| crate::text::one_line(&plain).into_owned(), |n: i128| n.to_string());
    ApiError::not_found(format!("Model Version (name={model}, version={shown}) not found"))
}

/// Returns the version that a request names and the caller may read.
///
/// # Errors
///
/// `RESOURCE_DOES_NOT_EXIST` when the caller cannot see such a version, and `INVALID_PARAMETER_VALUE` when the name or
/// number is invalid.
pub fn named_version(call: &Call) -> Result<(&Arc<ModelCard>, &Arc<VersionFacts<'static>>), ApiError> {
    let name = name(&call.args)?;
    let number = version_number(&call.args)?;
    let missing = || match number {
        Some(number) => Refusal::no_version(&name, number).into(),
        None => none_such(call, &name),
    };
    // As in MLflow, a missing model is reported as a missing version.
    let model = call.model(&name).map_err(|_| missing())?;
    let version = number.and_then(|n| model.version(n)).ok_or_else(missing)?;
    Ok((model, version))
}

/// Returns the name and number of the version that a request names.
///
/// # Errors
///
/// As [`named_version`].
pub fn named(call: &Call) -> Result<(ModelName, u64), ApiError> {
    named_version(call).map(|(model, version)| (model.name.clone(), version.number))
}
