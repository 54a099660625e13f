//! Permissions of a model by its id, and of the whole registry as `root`: the grants of `access.toml`. Each model shows
//! the registry's grants as inherited.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::shapes::hex_id;
use crate::action::Action;
use crate::entity::{Access, PermissionLevel};
use crate::name::{GroupName, Id, ModelName, Principal};
use crate::server::context::arguments::{missing, wrong_type};
use crate::server::context::call::Call;
use crate::server::context::catalog::{Catalog, ModelCard, PersonRights};
use crate::server::context::error::ApiError;
use crate::server::context::reply::{HandlerResult, Reply};

/// The largest number of entries in a list of grants.
const MAX_ENTRIES: usize = 1000;

/// The object of permissions.
enum PermissionObject<'c> {
    /// The registry.
    Root,
    /// A model that the caller may read.
    Model(&'c ModelCard),
}

impl PermissionObject<'_> {
    fn name(&self) -> Option<ModelName> {
        match self {
            Self::Root => None,
            Self::Model(model) => Some(model.name.clone()),
        }
    }

    fn level(&self, standing: &PersonRights) -> Option<PermissionLevel> {
        match self {
            Self::Root => standing.registry(),
            Self::Model(model) => standing.level(model),
        }
    }
}

/// Finds the object that the id in the path names.
fn on(call: &Call) -> Result<PermissionObject<'_>, ApiError> {
    let given = call.segment("id");
    if given == "root" {
        return Ok(PermissionObject::Root);
    }
    let digits: String = given.chars().filter(|c| *c != '-').collect();
    let Some(id) = Id::from_digits(&digits) else {
        let shown = crate::text::quoted(given);
        return Err(ApiError::invalid(format!("{shown} is not a valid registered model ID.")));
    };
    let found = call.catalog.model_by_id(&id).filter(|m| call.standing.reads(m));
    let digits = digits.to_ascii_lowercase();
    let gone =
        || ApiError::not_found(format!("RegisteredModel '{digits}' does not exist. It might have been deleted."));
    Ok(PermissionObject::Model(found.ok_or_else(gone)?))
}

/// Checks that the caller may change the permissions.
fn demand_manage(call: &Call, on: &PermissionObject<'_>) -> Result<(), ApiError> {
    match on {
        PermissionObject::Model(model) => call.demand(PermissionLevel::CanManage, model),
        PermissionObject::Root if call.standing.manages() => Ok(()),
        PermissionObject::Root => Err(ApiError::denied(format!(
            "'{}' does not have the permission CAN_MANAGE on the registry.",
            call.caller.user
        ))),
    }
}

/// Handles GET `permissions/registered-models/{id}`. The caller must be able to read the model; for the registry, the
/// caller must have a registry-wide grant.
pub fn get(call: &Call) -> HandlerResult {
    let on = on(call)?;
    if on.level(&call.standing).is_none() {
        let user = &call.caller.user;
        return Err(ApiError::denied(format!("'{user}' does not have any permission on the registry.")));
    }
    shown(&call.catalog, &on, &call.standing)
}

/// Handles PUT `permissions/registered-models/{id}`: replaces all direct grants.
pub async fn set(call: Call) -> HandlerResult {
    let grants = given(&call)?;
    let on = on(&call)?;
    demand_manage(&call, &on)?;
    let model = on.name();
    let landed = call.write(vec![Action::SetGrants { model: model.clone(), grants }]).await?;
    after(&call, &landed.catalog, model)
}

/// Handles PATCH `permissions/registered-models/{id}`: replaces the grants of the named principals.
pub async fn update(call: Call) -> HandlerResult {
    let grants = given(&call)?;
    let on = on(&call)?;
    demand_manage(&call, &on)?;
    let model = on.name();
    let grant = |(to, level)| Action::Grant { model: model.clone(), to, level };
    let landed = call.write(grants.into_iter().map(grant).collect()).await?;
    after(&call, &landed.catalog, model)
}

/// Handles GET `permissions/registered-models/{id}/permissionLevels`.
pub fn levels(call: &Call) -> HandlerResult {
    on(call)?;
    let row = |level: PermissionLevel| json!({ "permission_level": level, "description": meaning(level) });
    Reply::json(&json!({ "permission_levels": PermissionLevel::ALL.map(row) }))
}

fn meaning(level: PermissionLevel) -> &'static str {
    match level {
        PermissionLevel::CanRead => {
            "Can view the details of the registered model and its model versions, and use the model versions."
        }
        PermissionLevel::CanEdit => {
            "Can view and edit the details of the registered model, except stages, and add model versions."
        }
        PermissionLevel::CanManageStagingVersions => {
            "Can edit the details of the registered model and move its model versions between stages other than \
             Production."
        }
        PermissionLevel::CanManageProductionVersions => {
            "Can edit the details of the registered model and move its model versions between any stages."
        }
        PermissionLevel::CanManage => "Can manage permissions of the registered model and do everything with it.",
    }
}

/// Returns the permissions after a change.
fn after(call: &Call, catalog: &Catalog, model: Option<ModelName>) -> HandlerResult {
    let standing = catalog.standing(&call.caller.user);
    let on = match &model {
        None => PermissionObject::Root,
        Some(name) => {
            let card = catalog.model(name.as_str());
            PermissionObject::Model(card.ok_or_else(|| ApiError::from(crate::apply::Refusal::no_model(name)))?)
        }
    };
    shown(catalog, &on, &standing)
}

/// Returns all grants, and the caller's own level.
fn shown(catalog: &Catalog, on: &PermissionObject<'_>, standing: &PersonRights) -> HandlerResult {
    let (direct, inherited) = match on {
        PermissionObject::Root => (catalog.access(), None),
        PermissionObject::Model(model) => (&model.access, Some(catalog.access())),
    };
    let mut entries: BTreeMap<&Principal, Vec<Value>> = BTreeMap::new();
    for grant in &direct.grants {
        let row = json!({ "permission_level": grant.level, "inherited": false });
        entries.entry(&grant.to).or_default().push(row);
    }
    for grant in inherited.into_iter().flat_map(|access: &Access| &access.grants) {
        let from = ["/registered-models/"];
        let row = json!({ "permission_level": grant.level, "inherited": true, "inherited_from_object": from });
        entries.entry(&grant.to).or_default().push(row);
    }
    let id = match on {
        PermissionObject::Root => "root".to_owned(),
        PermissionObject::Model(model) => hex_id(model),
    };
    let level = on.level(standing).map(PermissionLevel::as_str);
    let list: Vec<Value> = entries.into_iter().map(|(to, all)| entry(catalog, to, all)).collect();
    Reply::json(&json!({
        "object_id": format!("/registered-models/{id}"),
        "object_type": "registered-model",
        "access_control_list": list,
        // A person without a registry-wide grant may still register models.
        "user_level": level.unwrap_or("CAN_CREATE_REGISTERED_MODEL"),
    }))
}

/// Returns the entry of one principal.
fn entry(catalog: &Catalog, to: &Principal, all: Vec<Value>) -> Value {
    let mut out = Map::new();
    match to {
        Principal::Group(group) => drop(out.insert("group_name".to_owned(), json!(group))),
        Principal::User(user) => {
            out.insert("user_name".to_owned(), json!(user));
            let name = catalog.people().get(user).map(|p| p.name.as_str()).filter(|n| !n.is_empty());
            out.extend(name.map(|name| ("display_name".to_owned(), name.into())));
        }
    }
    out.insert("all_permissions".to_owned(), all.into());
    out.into()
}

/// Parses the grants of a request.
fn given(call: &Call) -> Result<BTreeMap<Principal, PermissionLevel>, ApiError> {
    let mut out = BTreeMap::new();
    let list = match call.args.value("access_control_list")? {
        None => return Ok(out),
        Some(Value::Array(list)) if list.len() <= MAX_ENTRIES => list,
        Some(Value::Array(_)) => {
            return Err(ApiError::invalid(format!("An access_control_list may have at most {MAX_ENTRIES} entries.")));
        }
        Some(other) => return Err(wrong_type("access_control_list", other)),
    };
    for item in list {
        let Value::Object(item) = item else { return Err(wrong_type("access_control_list", item)) };
        let to = principal(&call.catalog, item)?;
        let level = match item.get("permission_level") {
            Some(Value::String(level)) => level.parse().map_err(|e| ApiError::invalid(format!("{e}.")))?,
            Some(other) => return Err(wrong_type("permission_level", other)),
            None => return Err(missing("permission_level")),
        };
        if out.insert(to.clone(), level).is_some() {
            return Err(ApiError::invalid(format!("The access_control_list names {to} twice.")));
        }
    }
    Ok(out)
}

/// Returns the principal of an entry. A service principal is a person of the registry, like all holders of a token.
fn principal(catalog: &Catalog, item: &Map<String, Value>) -> Result<Principal, ApiError> {
    let names = ["user_name", "group_name", "service_principal_name"];
    let named: Vec<(&str, &Value)> =
        names.into_iter().filter_map(|n| Some((n, item.get(n).filter(|v| !v.is_null())?))).collect();
    let [(kind, value)] = named.as_slice() else {
        return Err(ApiError::invalid(
            "Each entry of the access_control_list must name exactly one of user_name, group_name and \
             service_principal_name.",
        ));
    };
    let Value::String(name) = value else { return Err(wrong_type(kind, value)) };
    let shown = crate::text::quoted(name);
    if *kind == "group_name" {
        let known = |g: &GroupName| *g == GroupName::everyone() || catalog.access().groups.contains_key(g);
        let group = GroupName::new(name.as_str()).ok().filter(known);
        let unknown = || ApiError::not_found(format!("There is no group {shown} in this registry."));
        return Ok(Principal::Group(group.ok_or_else(unknown)?));
    }
    let unknown = || ApiError::not_found(format!("There is no person {shown} in this registry."));
    Ok(Principal::User(super::person(catalog, name).ok_or_else(unknown)?))
}
