//! MLflow's registry API, as its Python client uses it. The client defines the URLs, defaults, messages and JSON forms.

mod models;
mod register;
mod schema;
mod search;
pub mod shapes;
mod source;
mod versions;

pub use search::{models as search_models, page_of_models, page_of_versions};
pub use versions::{named, named_version};

use axum::http::Method;

use super::arguments::Args;
use super::call::Call;
use super::error::ApiError;
use super::route::{Route, RouteAccess};
use crate::entity::PermissionLevel;
use crate::entity::Tags;
use crate::name::{Key, ModelName};
use crate::text::{InvalidText, Text};

/// The prefixes under which MLflow's client, its pages and older clients look for the API.
pub const PREFIXES: [&str; 4] =
    ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/2.0/preview/mlflow", "/ajax-api/2.0/preview/mlflow"];

/// The tag of a version in which MLflow stores the text of a prompt.
const PROMPT_TEXT: &str = "mlflow.prompt.text";

/// The longest value of a tag, in characters.
const MAX_TAG: usize = 100_000;

/// Returns the routes of this module.
pub fn routes() -> Vec<Route> {
    use PermissionLevel::{CanEdit, CanManage, CanRead};
    let read = RouteAccess::Model(CanRead);
    let edit = RouteAccess::Model(CanEdit);
    let manage = RouteAccess::Model(CanManage);
    let ask = |method, path: &str, needs, handler| Route::ask(method, path, needs, handler);
    let rows = vec![
        Route::act(Method::POST, "/registered-models/create", RouteAccess::Caller, models::create),
        ask(Method::GET, "/registered-models/get", read, models::get),
        Route::act(Method::PATCH, "/registered-models/update", edit, models::update),
        Route::act(Method::POST, "/registered-models/rename", manage, models::rename),
        Route::act(Method::DELETE, "/registered-models/delete", manage, models::delete),
        ask(Method::GET, "/registered-models/search", RouteAccess::Caller, search::models),
        ask(Method::POST, "/registered-models/get-latest-versions", read, models::latest_versions),
        ask(Method::GET, "/registered-models/get-latest-versions", read, models::latest_versions),
        Route::act(Method::POST, "/registered-models/set-tag", edit, models::set_tag),
        Route::act(Method::DELETE, "/registered-models/delete-tag", edit, models::delete_tag),
        // The settings decide whether an alias has a rule of its own.
        Route::act(Method::POST, "/registered-models/alias", read, models::set_alias),
        ask(Method::GET, "/registered-models/alias", read, models::get_by_alias),
        Route::act(Method::DELETE, "/registered-models/alias", read, models::delete_alias),
        Route::act(Method::POST, "/model-versions/create", edit, versions::create),
        ask(Method::GET, "/model-versions/get", read, versions::get),
        Route::act(Method::PATCH, "/model-versions/update", edit, versions::update),
        Route::act(Method::DELETE, "/model-versions/delete", manage, versions::delete),
        ask(Method::GET, "/model-versions/search", RouteAccess::Caller, search::versions),
        ask(Method::GET, "/model-versions/get-download-uri", read, versions::download_uri),
        // The stage rule decides who may make a transition.
        Route::act(Method::POST, "/model-versions/transition-stage", read, versions::transition),
        Route::act(Method::POST, "/model-versions/set-tag", edit, versions::set_tag),
        Route::act(Method::DELETE, "/model-versions/delete-tag", edit, versions::delete_tag),
    ];
    rows.into_iter().flat_map(|row| row.of_mlflow().under(&PREFIXES)).collect()
}

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
