//! Models, versions and activities as databricks-sdk reads them. What is not known is absent, never empty.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::audience::{Subscription, Tie};
use crate::entity::{Comment, Level, Person, Request};
use crate::index::VersionFacts;
use crate::name::ModelName;
use crate::server::catalog::{ModelCard, Standing};
use crate::server::mlflow::shapes;
use crate::snapshot::{ModelView, Snapshot};
use crate::stage::Stage;
use crate::text::Text;
use crate::tree::TreeError;
pub use crate::view::AvailableAction as Doing;

/// Something that somebody did to a version, an open request, or a comment: one shape serves them all.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Activity {
    /// A comment's or request's own id, else that of the event.
    pub id: String,
    /// When it was done, in milliseconds.
    pub creation_timestamp: i64,
    /// When it was last changed.
    pub last_updated_timestamp: i64,
    /// Who did it.
    pub user_id: String,
    /// Who landed it, where that is somebody else: it is no part of the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// What was done.
    pub activity_type: &'static str,
    /// What was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The stage that the version was in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_stage: Option<String>,
    /// The stage that it goes or shall go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_stage: Option<String>,
    /// What the registry says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_comment: Option<String>,
    /// What the caller may do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub available_actions: Vec<Doing>,
}

impl Activity {
    /// An open request.
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

    /// A comment.
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

/// Who looks, and whether he may do anything.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// What the person may do.
    pub standing: Standing,
    /// Whether the token may only read.
    pub read_only: bool,
}

impl Viewer {
    /// What may be done about an open request: what the rules would let land and, of approvals, what would count.
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
        if is_own || level >= Some(Level::CanManage) {
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
            may_approve && !own && !approvals(snapshot, name, view, number, request)?.contains(user)
        };
        if counts {
            out.push(Doing::ApproveTransitionRequest);
        }
        if has_level || may_approve {
            out.push(Doing::RejectTransitionRequest);
        }
        Ok(out)
    }

    /// What may be done about a comment, by one with a level on its model.
    pub fn about_comment(&self, comment: &Comment, level: Option<Level>) -> Vec<Doing> {
        let is_own = comment.created_by == *self.standing.user();
        let may = [
            (Doing::EditComment, is_own || self.standing.manages()),
            (Doing::DeleteComment, is_own || level >= Some(Level::CanManage)),
        ];
        may.into_iter().filter(|(_, may)| *may && !self.read_only).map(|(doing, _)| doing).collect()
    }
}

/// Whose approvals of a request count as things are.
pub fn approvals(
    snapshot: &Snapshot<'_>,
    name: &ModelName,
    view: &ModelView<'_>,
    number: u64,
    request: &Request,
) -> Result<std::collections::BTreeSet<crate::name::UserName>, TreeError> {
    use crate::rules::stage::objection;
    use crate::rules::subject::subject;
    let (from, subject) = (view.stage_of(number)?, subject(snapshot, view, number, &request.to)?);
    let mut out = std::collections::BTreeSet::new();
    for review in request.review.iter().filter(|r| r.verdict == crate::entity::Verdict::Approved) {
        if objection(snapshot, name, &from, request, review, &subject)?.is_none() {
            out.insert(review.by.clone());
        }
    }
    Ok(out)
}

/// A model with its id and what the viewer may do with it.
pub fn model(card: &ModelCard, standing: &Standing) -> Value {
    let mut out = fields(&shapes::Model::of(card));
    // Their tags may have empty values; all else that is empty is not set.
    let latest = out.get_mut("latest_versions").and_then(Value::as_array_mut);
    latest.into_iter().flatten().filter_map(Value::as_object_mut).for_each(without_empty);
    out.insert("id".to_owned(), hex_id(card).into());
    out.extend(standing.level(card).map(|level| ("permission_level".to_owned(), level.as_str().into())));
    out.into()
}

/// The id of a model as this API shows it: its UUID without dashes.
pub fn hex_id(card: &ModelCard) -> String {
    card.id.as_str().replace('-', "")
}

/// A version with its open requests and what the viewer may do with it. `tie` is what he did with the version, so that he
/// follows it.
pub fn version(
    card: &ModelCard,
    facts: &VersionFacts<'static>,
    open: Vec<Activity>,
    standing: &Standing,
    person: Option<&Person>,
    tie: Option<Tie>,
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

/// A value as the fields of an object, without those that are empty.
pub fn fields(value: &impl Serialize) -> Map<String, Value> {
    let Ok(Value::Object(mut map)) = serde_json::to_value(value) else { return Map::new() };
    without_empty(&mut map);
    map
}

/// Leaves out the fields that are empty.
fn without_empty(map: &mut Map<String, Value>) {
    map.retain(|_, v| v.as_str() != Some("") && !v.is_null());
}
