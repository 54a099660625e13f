//! Models and versions as of a moment. The content is that of the moment. Permissions are the current ones, looked up
//! by the model's id. Models that were deleted since are for people with a registry-wide grant, who may read any model.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::{moment, size};
use crate::apply::Refusal;
use crate::entity::{Model, Version};
use crate::index::{Index, IndexError};
use crate::name::{AliasName, Id, ModelName};
use crate::reference;
use crate::registry::Registry;
use crate::server::api::parameters::version_number;
use crate::server::context::arguments::missing;
use crate::server::context::call::Call;
use crate::server::context::error::ApiError;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::snapshot::{ModelView, Snapshot, VersionView};
use crate::stage::Stage;
use crate::tree::Oid;
use crate::view::{
    AsOf, Dated, FoundModel, FoundVersion, ModelPage, ModelVersion, Output, RegisteredModel, StageOccupant,
};

/// The models that the caller may read now.
enum ReadScope {
    /// Any model, past, present or future.
    All,
    /// These models, by id.
    These(HashSet<Id>),
}

impl ReadScope {
    fn contains(&self, id: &Id) -> bool {
        match self {
            Self::All => true,
            Self::These(ids) => ids.contains(id),
        }
    }
}

/// The history up to the requested moment.
struct Past<'i, 'r> {
    index: &'i mut Index<'r>,
    commit: Option<Oid>,
}

impl Past<'_, '_> {
    /// Returns the committer of a version, if it is another person than the one who registered it.
    fn committer(&mut self, name: &ModelName, number: u64, version: &Version) -> Result<Option<String>, ApiError> {
        let landers = match self.index.landers(name, number, self.commit) {
            // The moment is a commit outside of the first-parent history.
            Err(IndexError::OffLine(_)) => return Ok(None),
            found => found?,
        };
        Ok(landers.of(&version.id).map(str::to_owned))
    }
}

/// Looks at the registry as of the moment that is asked for, or of now.
async fn look<T: Send + 'static>(
    call: &Call,
    look: impl FnOnce(&Snapshot<'_>, &ReadScope, &mut Past<'_, '_>) -> Result<T, ApiError> + Send + 'static,
) -> HandlerResult
where
    Dated<T>: Output,
{
    let given = call.args.text("as_of")?.filter(|t| !t.is_empty()).map(str::to_owned);
    let (catalog, standing) = (Arc::clone(&call.catalog), call.standing.clone());
    let read = move |registry: &Registry, index: &mut Index<'_>| {
        let commit = match given {
            Some(given) => Some(moment(registry, index, &given)?),
            None => catalog.commit(),
        };
        let readable = match standing.registry() {
            Some(_) => ReadScope::All,
            None => ReadScope::These(catalog.models().filter(|m| standing.reads(m)).map(|m| m.id.clone()).collect()),
        };
        let found = look(&registry.snapshot_of(commit)?, &readable, &mut Past { index, commit })?;
        Ok(Dated { found, as_of: commit.map(|c| as_of(registry, c)).transpose()? })
    };
    Reply::output(&call.look_up(read).await?)
}

/// Returns the commit that a response is of, with its time.
fn as_of(registry: &Registry, commit: Oid) -> Result<AsOf, ApiError> {
    let at = registry.repo().landing_time(&commit).map_err(crate::registry::RegistryError::from)?;
    Ok(AsOf { commit, at })
}

/// Returns a model as it was, if the caller may read it.
fn find<'o>(
    snapshot: &Snapshot<'o>,
    readable: &ReadScope,
    name: &ModelName,
) -> Result<(ModelView<'o>, Model), ApiError> {
    let view = snapshot.model(name)?.ok_or_else(|| Refusal::no_model(name))?;
    let file = view.file()?.and_then(|f| f.value).filter(|m| m.name == *name && readable.contains(&m.id));
    Ok((view, file.ok_or_else(|| Refusal::no_model(name))?))
}

/// Handles GET `models/get`.
pub async fn model(call: Call) -> HandlerResult {
    let name = ModelName::new(call.args.required("name")?)?;
    look(&call, move |snapshot, readable, _| {
        let (view, model) = find(snapshot, readable, &name)?;
        Ok(FoundModel { model: show_model(snapshot, &view, model)? })
    })
    .await
}

/// Handles GET `models/list`: by name, in pages. The token of a page is the last name of the previous page.
pub async fn models(call: Call) -> HandlerResult {
    let size = size(&call)?;
    let after = call.args.text("page_token")?.unwrap_or_default().to_owned();
    look(&call, move |snapshot, readable, _| {
        let mut found: Vec<(ModelName, ModelView<'_>, Model)> = Vec::new();
        for view in snapshot.models()? {
            let file = view.file()?.and_then(|f| f.value).filter(|m| readable.contains(&m.id));
            found.extend(file.filter(|m| *m.name.as_str() > *after).map(|m| (m.name.clone(), view, m)));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let is_more = found.len() > size;
        found.truncate(size);
        let next_page_token = found.last().filter(|_| is_more).map(|(name, ..)| name.clone());
        let models =
            found.into_iter().map(|(_, view, model)| show_model(snapshot, &view, model)).collect::<Result<_, _>>()?;
        Ok(ModelPage { models, next_page_token })
    })
    .await
}

/// How the request names a version.
enum VersionSelector {
    Number(Option<u64>),
    Stage(String),
    Alias(String),
}

impl VersionSelector {
    fn of(call: &Call) -> Result<Self, ApiError> {
        let given = |name| Ok::<_, ApiError>(call.args.text(name)?.filter(|t| !t.is_empty()).map(str::to_owned));
        match (given("version")?, given("stage")?, given("alias")?) {
            (Some(_), None, None) => Ok(Self::Number(version_number(&call.args)?)),
            (None, Some(stage), None) => Ok(Self::Stage(stage)),
            (None, None, Some(alias)) => Ok(Self::Alias(alias)),
            (None, None, None) => Err(missing("version")),
            _ => Err(ApiError::invalid("Give exactly one of version, stage and alias.")),
        }
    }

    fn find<'o>(&self, snapshot: &Snapshot<'_>, view: &ModelView<'o>) -> Result<Option<VersionView<'o>>, ApiError> {
        let number = match self {
            Self::Number(number) => *number,
            Self::Stage(stage) => {
                let known = snapshot.settings()?.map_or_else(|| Stage::BUILT_IN.to_vec(), |s| s.known_stages());
                let stage = Stage::among(stage, &known)?;
                let stages = view.stage_map()?;
                let of = |v: &VersionView<'_>| *stages.get(&v.number).unwrap_or(&Stage::None) == stage;
                match stage {
                    Stage::None => view.versions()?.iter().filter(|v| of(v)).map(|v| v.number).max(),
                    _ => stages.iter().filter(|(_, s)| **s == stage).map(|(n, _)| *n).max(),
                }
            }
            Self::Alias(alias) => match AliasName::new(alias.as_str()) {
                Ok(alias) => view.alias(&alias)?.and_then(|f| f.value).map(|p| p.version),
                Err(_) => None,
            },
        };
        Ok(number.map_or(Ok(None), |n| view.version(n))?)
    }

    fn none(&self, name: &ModelName) -> ApiError {
        match self {
            Self::Number(number) => Refusal::no_version(name, number.unwrap_or(0)).into(),
            Self::Stage(stage) => {
                let stage = crate::text::one_line(stage);
                ApiError::not_found(format!("No version of '{name}' was in the stage {stage}."))
            }
            Self::Alias(alias) => {
                let alias = crate::text::one_line(alias);
                ApiError::not_found(format!("The model '{name}' had no alias {alias}."))
            }
        }
    }
}

/// Handles GET `versions/get`: by number, by stage (the newest version), or by alias.
pub async fn version(call: Call) -> HandlerResult {
    let (name, which) = (ModelName::new(call.args.required("name")?)?, VersionSelector::of(&call));
    look(&call, move |snapshot, readable, past| {
        let ((view, model), which) = (find(snapshot, readable, &name)?, which?);
        let version = which.find(snapshot, &view)?.ok_or_else(|| which.none(&name))?;
        let file = version.file()?.and_then(|f| f.value).ok_or_else(|| which.none(&name))?;
        let (number, stage) = (version.number, view.stage_of(version.number)?);
        let aliases =
            view.aliases()?.into_iter().filter(|(_, f)| f.value.as_ref().is_some_and(|p| p.version == number));
        let aliases: Vec<AliasName> = aliases.map(|(alias, _)| alias).collect();
        let landed_by = past.committer(&model.name, number, &file)?;
        let shown = ModelVersion::new(&model.name, number, &file, &stage, &aliases);
        Ok(FoundVersion { version: ModelVersion { landed_by, ..shown } })
    })
    .await
}

fn show_model(snapshot: &Snapshot<'_>, view: &ModelView<'_>, model: Model) -> Result<RegisteredModel, ApiError> {
    let stages = view.stage_map()?;
    let stage_of = |n: u64| stages.get(&n).cloned().unwrap_or(Stage::None);
    let aliases = view.aliases()?.into_iter().filter_map(|(alias, file)| Some((alias, file.value?.version)));
    let aliases: Vec<(AliasName, u64)> = aliases.collect();
    let versions = view.versions()?;
    let versions = versions.iter().map(|v| StageOccupant::new(v.number, stage_of(v.number), &aliases));
    let mut latest = Vec::new();
    for stage in stages.values().collect::<BTreeSet<_>>() {
        let there = stages.iter().filter(|(_, s)| *s == stage).map(|(number, _)| *number);
        let newest = reference::newest(snapshot, view, there.collect::<BTreeSet<_>>().into_iter().rev())?;
        latest.extend(newest.map(|number| (stage.clone(), number)));
    }
    let shown = RegisteredModel::new(model, &aliases, &latest, stage_of);
    Ok(RegisteredModel { versions: Some(versions.collect()), ..shown })
}
