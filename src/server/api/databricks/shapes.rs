//! Models, versions and activities as databricks-sdk reads them. Unknown fields are absent, never empty.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::audience::{Subscription, VersionInvolvement};
use crate::entity::{Comment, PermissionLevel, Person, Request};
use crate::index::VersionFacts;
use crate::name::ModelName;
use crate::rules::approvals::ApprovalCount;
use crate::server::api::mlflow::shapes;
use crate::server::context::call::Call;
use crate::server::context::catalog::{ModelCard, PersonRights};
use crate::snapshot::{ModelView, Snapshot};
use crate::stage::Stage;
use crate::text::Text;
use crate::tree::TreeError;
pub use crate::view::AvailableAction as Doing;

/// An action on a version, an open request, or a comment: they have one JSON form.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ActivityBody {
    /// The id of the comment or request, or else of the event.
    pub id: String,
    /// When it was created, in milliseconds since the epoch.
    pub creation_timestamp: i64,
    /// When it was last changed, in milliseconds since the epoch.
    pub last_updated_timestamp: i64,
    /// The id of the person who created it.
    pub user_id: String,
    /// The committer, if it is another person. Databricks' API does not have this field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// The kind of activity, in Databricks' words.
    pub activity_type: &'static str,
    /// The person's comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The stage of the version before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_stage: Option<String>,
    /// The target stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_stage: Option<String>,
    /// A comment by the registry itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_comment: Option<String>,
    /// The actions that the caller may take.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub available_actions: Vec<Doing>,
}

impl ActivityBody {
    /// Describes an open request.
    pub fn request(request: &Request, from: &Stage, doing: Vec<Doing>) -> Self {
        Self {
            id: request.id.to_string(),
            creation_timestamp: request.created_at.as_millis(),
            last_updated_timestamp: request.review.last().map_or(request.created_at, |r| r.at).as_millis(),
            user_id: request.created_by.to_string(),
            landed_by: None,
            activity_type: "REQUESTED_TRANSITION",
            comment: said(&request.comment),
            from_stage: Some(from.to_string()),
            to_stage: Some(request.to.to_string()),
            system_comment: None,
            available_actions: doing,
        }
    }

    /// Describes a comment.
    pub fn comment(comment: &Comment, doing: Vec<Doing>) -> Self {
        Self {
            id: comment.id.to_string(),
            creation_timestamp: comment.created_at.as_millis(),
            last_updated_timestamp: comment.edited_at.unwrap_or(comment.created_at).as_millis(),
            user_id: comment.created_by.to_string(),
            activity_type: "NEW_COMMENT",
            comment: said(&comment.text),
            available_actions: doing,
            ..Self::default()
        }
    }
}

fn said(text: &Text) -> Option<String> {
    (!text.is_empty()).then(|| text.as_str().to_owned())
}

/// The person for whom actions are listed.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The person's permissions.
    pub standing: PersonRights,
    /// Whether the token may only read.
    pub read_only: bool,
}

impl Viewer {
    /// Returns the caller as a viewer of requests and comments.
    pub fn of(call: &Call) -> Self {
        Self { standing: call.standing.clone(), read_only: call.caller.read_only }
    }

    /// Returns the possible actions on an open request: the ones that the rules accept. An approval is listed only if
    /// it would count.
    ///
    /// # Errors
    ///
    /// [`TreeError`] when an object cannot be read.
    pub fn about_request(
        &self,
        snapshot: &Snapshot<'_>,
        name: &ModelName,
        view: &ModelView<'_>,
        number: u64,
        request: &Request,
    ) -> Result<Vec<Doing>, TreeError> {
        let (user, mut out) = (self.standing.user(), Vec::new());
        let Some(settings) = snapshot.settings()?.filter(|_| !self.read_only) else { return Ok(out) };
        let level = snapshot.level(user, name)?;
        let is_own = request.created_by == *user;
        if is_own || level >= Some(PermissionLevel::CanManage) {
            out.push(Doing::CancelTransitionRequest);
        }
        let from = view.stage_of(number)?;
        let needed = settings.approvals_between(&from, &request.to);
        let has_level = level >= Some(settings.level_for(&from).max(settings.level_for(&request.to)));
        let may_approve = snapshot.may_approve(user, name, &from, &request.to)?;
        let counts = if needed == 0 {
            has_level
        } else {
            let own = is_own && !settings.identity.self_approval;
            let given = ApprovalCount::of(snapshot, view, (name, number), request)?;
            may_approve && !own && !given.by().contains(user)
        };
        if counts {
            out.push(Doing::ApproveTransitionRequest);
        }
        if has_level || may_approve {
            out.push(Doing::RejectTransitionRequest);
        }
        Ok(out)
    }

    /// Returns the possible actions on a comment, for a person with a level on its model.
    pub fn about_comment(&self, comment: &Comment, level: Option<PermissionLevel>) -> Vec<Doing> {
        let is_own = comment.created_by == *self.standing.user();
        let may = [
            (Doing::EditComment, is_own || self.standing.manages()),
            (Doing::DeleteComment, is_own || level >= Some(PermissionLevel::CanManage)),
        ];
        may.into_iter().filter(|(_, may)| *may && !self.read_only).map(|(doing, _)| doing).collect()
    }
}

/// Returns a model with its id and the viewer's level.
pub fn model(card: &ModelCard, standing: &PersonRights) -> Value {
    let mut out = fields(&shapes::Model::of(card));
    // Tags may have empty values; all other empty fields are absent.
    let latest = out.get_mut("latest_versions").and_then(Value::as_array_mut);
    latest.into_iter().flatten().filter_map(Value::as_object_mut).for_each(without_empty);
    out.insert("id".to_owned(), hex_id(card).into());
    out.extend(standing.level(card).map(|level| ("permission_level".to_owned(), level.as_str().into())));
    out.into()
}

/// Returns the id of a model as this API shows it: its UUID without dashes.
pub fn hex_id(card: &ModelCard) -> String {
    card.id.as_str().replace('-', "")
}

/// Returns a version with its open requests and the viewer's level. `tie` is the viewer's relation to the version, by
/// which they follow it.
pub fn version(
    card: &ModelCard,
    facts: &VersionFacts<'static>,
    open: Vec<ActivityBody>,
    standing: &PersonRights,
    person: Option<&Person>,
    tie: Option<VersionInvolvement>,
) -> Value {
    let mut out = fields(&shapes::Version::of(card, facts));
    if !open.is_empty() {
        out.insert("open_requests".to_owned(), open.iter().map(|a| Value::Object(fields(a))).collect());
    }
    out.extend(standing.level(card).map(|level| ("permission_level".to_owned(), level.as_str().into())));
    let is_own = card.created_by == *standing.user();
    let names = std::slice::from_ref(&card.name);
    let status =
        person.map_or(Subscription::Unsubscribed, |p| Subscription::of(p, names, is_own, Some(facts.number), tie));
    out.insert("email_subscription_status".to_owned(), status.as_str().into());
    out.into()
}

/// Returns a value as the fields of an object, without empty ones.
pub fn fields(value: &impl Serialize) -> Map<String, Value> {
    let Ok(Value::Object(mut map)) = serde_json::to_value(value) else { return Map::new() };
    without_empty(&mut map);
    map
}

/// Removes the empty fields.
fn without_empty(map: &mut Map<String, Value>) {
    map.retain(|_, v| v.as_str() != Some("") && !v.is_null());
}
