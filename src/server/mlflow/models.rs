//! Registered models, their tags and aliases.

use std::sync::Arc;

use super::shapes::{Model, OneModel, OneVersion, Version, Versions};
use super::{model_name, tag_key, tag_value, tags, text, version_number};
use crate::action::Action;
use crate::apply::Refusal;
use crate::name::{AliasName, ModelName};
use crate::search::IS_PROMPT;
use crate::server::args::missing;
use crate::server::call::Call;
use crate::server::error::{ApiError, Code};
use crate::server::route::{Answer, Reply};
use crate::server::state::Landed;
use crate::stage::Stage;

/// A model after a change, as an answer.
fn model_after(landed: &Landed, name: &ModelName) -> Answer {
    let model = landed.catalog.model(name.as_str()).ok_or_else(|| ApiError::from(Refusal::no_model(name)))?;
    Reply::json(&OneModel { registered_model: Model::of(model) })
}

/// POST `registered-models/create`; repeated because its answer was lost, it says again that it is done. So do the others
/// below that cannot be done twice.
pub async fn create(call: Call) -> Answer {
    let repeats = Arc::clone(&call.state.repeats);
    repeats.again("registered-models/create", call, create_now).await
}

async fn create_now(call: Call) -> Answer {
    let name = ModelName::new(call.args.required("name")?)?;
    let (description, tags) = (text(&call.args, "description")?, tags(&call.args)?);
    let is_prompt = tags.get(IS_PROMPT).is_some_and(|v| v.as_str().eq_ignore_ascii_case("true"));
    if let Some(there) = call.catalog.model(name.as_str()) {
        return Err(taken(&name, is_prompt, there.is_prompt()));
    }
    let landed = call.write(vec![Action::CreateModel { model: name.clone(), description, tags }]).await?;
    model_after(&landed, &name)
}

/// MLflow's words for a name that is taken; models and prompts share the names.
fn taken(name: &ModelName, is_prompt: bool, there: bool) -> ApiError {
    let both = "MLflow does not allow creating a model and a prompt with the same name.";
    let message = match (is_prompt, there) {
        (false, false) => format!("Registered Model (name={name}) already exists."),
        (true, true) => format!("Prompt (name={name}) already exists."),
        (false, true) => format!(
            "Tried to create a registered model with name '{name}', but the name is already taken by a prompt. {both}"
        ),
        (true, false) => format!(
            "Tried to create a prompt with name '{name}', but the name is already taken by a registered model. {both}"
        ),
    };
    ApiError::new(Code::ResourceAlreadyExists, message)
}

/// GET `registered-models/get`
pub fn get(call: &Call) -> Answer {
    Reply::json(&OneModel { registered_model: Model::of(call.named_model()?) })
}

/// PATCH `registered-models/update`
pub async fn update(call: Call) -> Answer {
    let (model, description) = (model_name(&call)?, text(&call.args, "description")?);
    let landed = call.write(vec![Action::DescribeModel { model: model.clone(), description }]).await?;
    model_after(&landed, &model)
}

/// POST `registered-models/rename`
pub async fn rename(call: Call) -> Answer {
    let repeats = Arc::clone(&call.state.repeats);
    repeats.again("registered-models/rename", call, rename_now).await
}

async fn rename_now(call: Call) -> Answer {
    let model = model_name(&call)?;
    let to = ModelName::new(call.args.required("new_name")?)?;
    let landed = call.write(vec![Action::RenameModel { model, to: to.clone() }]).await?;
    model_after(&landed, &to)
}

/// DELETE `registered-models/delete`
pub async fn delete(call: Call) -> Answer {
    let repeats = Arc::clone(&call.state.repeats);
    repeats.again("registered-models/delete", call, delete_now).await
}

async fn delete_now(call: Call) -> Answer {
    call.write(vec![Action::DeleteModel { model: model_name(&call)? }]).await?;
    Ok(Reply::done())
}

/// POST and GET `registered-models/get-latest-versions`
pub fn latest_versions(call: &Call) -> Answer {
    let model = call.named_model()?;
    let known = call.catalog.stages();
    let wanted: Vec<Stage> =
        call.args.texts("stages")?.iter().map(|s| Stage::among(s, &known)).collect::<Result<_, _>>()?;
    let is_wanted = |stage: &str| wanted.is_empty() || wanted.iter().any(|w| w.as_str() == stage);
    let found = model.latest_by_stage().into_iter().filter(|v| is_wanted(&v.stage));
    Reply::json(&Versions { model_versions: found.map(|v| Version::of(model, v)).collect(), next_page_token: None })
}

/// POST `registered-models/set-tag`
pub async fn set_tag(call: Call) -> Answer {
    let (model, key) = (model_name(&call)?, tag_key(&call.args)?);
    let value = tag_value(call.args.text("value")?.unwrap_or_default())?;
    call.write(vec![Action::SetModelTag { model, key, value }]).await?;
    Ok(Reply::done())
}

/// DELETE `registered-models/delete-tag`
pub async fn delete_tag(call: Call) -> Answer {
    let (model, key) = (model_name(&call)?, tag_key(&call.args)?);
    call.write(vec![Action::DeleteModelTag { model, key }]).await?;
    Ok(Reply::done())
}

/// POST `registered-models/alias`
pub async fn set_alias(call: Call) -> Answer {
    let model = model_name(&call)?;
    let alias = alias_name(call.args.required("alias")?)?;
    let number = version_number(&call.args)?;
    let version = number.ok_or_else(|| super::versions::none_such(&call, &model))?;
    call.write(vec![Action::SetAlias { model, alias, version }]).await?;
    Ok(Reply::done())
}

/// GET `registered-models/alias`
pub fn get_by_alias(call: &Call) -> Answer {
    let model = call.named_model()?;
    let alias = call.args.text("alias")?.filter(|a| !a.is_empty()).ok_or_else(|| missing("alias"))?;
    let version = if alias.eq_ignore_ascii_case("latest") {
        let none = || ApiError::not_found(format!("Latest version not found for model {}.", model.name));
        model.latest().ok_or_else(none)?
    } else {
        let number = model.aliases.get(alias);
        let found = number.and_then(|n| model.version(*n));
        let shown = crate::text::one_line(alias);
        found.ok_or_else(|| ApiError::from(Refusal::no_alias(&shown)))?
    };
    Reply::json(&OneVersion { model_version: Version::of(model, version) })
}

/// DELETE `registered-models/alias`
pub async fn delete_alias(call: Call) -> Answer {
    let model = model_name(&call)?;
    let alias = alias_name(call.args.required("alias")?)?;
    call.write(vec![Action::DeleteAlias { model, alias }]).await?;
    Ok(Reply::done())
}

/// An alias, or why it is none in MLflow's words.
fn alias_name(given: &str) -> Result<AliasName, ApiError> {
    use crate::name::InvalidName;
    AliasName::new(given).map_err(|e| match e {
        InvalidName::Characters { allowed, .. } => {
            ApiError::invalid(format!("Invalid alias name: '{}'. {allowed}", crate::text::one_line(given)))
        }
        other => other.into(),
    })
}
