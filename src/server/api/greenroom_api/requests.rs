//! Open requests across models: the ones that wait for the caller, the caller's own, or all.

use super::size;
use crate::clock;
use crate::entity::{Request, RequestState};
use crate::index::Committers;
use crate::name::{Id, ModelName};
use crate::rules::approvals::{ApprovalCount, awaited};
use crate::rules::obstacles;
use crate::server::api::databricks::shapes::Viewer;
use crate::server::context::call::Call;
use crate::server::context::error::ApiError;
use crate::server::context::id_lookup::{IdLookup, VersionLocation};
use crate::server::context::reply::{HandlerResult, Reply};
use crate::snapshot::Snapshot;
use crate::stage::Stage;
use crate::view::{Approvals, AvailableAction, RequestPage, TransitionRequest};

/// A filter by the caller's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestFilter {
    /// Requests that the caller may approve, and whose approval would count.
    Waiting,
    /// The caller's own requests.
    Mine,
    /// All requests.
    All,
}

/// The filter and page of a list.
struct RequestQuery {
    whose: RequestFilter,
    model: Option<ModelName>,
    stage: Option<Stage>,
    after: Option<Id>,
    size: usize,
}

impl RequestQuery {
    fn of(call: &Call) -> Result<Self, ApiError> {
        let whose = match call.args.text("role")?.unwrap_or("all") {
            "approver" => RequestFilter::Waiting,
            "creator" => RequestFilter::Mine,
            "all" => RequestFilter::All,
            other => {
                let shown = crate::text::quoted(other);
                return Err(ApiError::invalid(format!("'role' must be approver, creator or all, not {shown}.")));
            }
        };
        let given = |name| Ok::<_, ApiError>(call.args.text(name)?.filter(|t| !t.is_empty()));
        let model =
            given("name")?.map(|name| call.model(&ModelName::new(name)?).map(|m| m.name.clone())).transpose()?;
        let stage = given("stage")?.map(|s| Stage::among(s, &call.catalog.stages())).transpose()?;
        let wrong = |_| ApiError::invalid("The page_token is not one that this list returned.");
        let after = given("page_token")?.map(|t| Id::new(t).map_err(wrong)).transpose()?;
        Ok(Self { whose, model, stage, after, size: size(call)? })
    }
}

/// Handles GET `requests/list`.
pub async fn list(call: Call) -> HandlerResult {
    let wanted = RequestQuery::of(&call)?;
    let (viewer, catalog) = (Viewer::of(&call), std::sync::Arc::clone(&call.catalog));
    let look = move |registry: &crate::registry::Registry, places: &IdLookup| {
        let snapshot = registry.snapshot_of(catalog.commit())?;
        let mut found = Vec::new();
        for (id, place) in places.requests(wanted.after.as_ref()) {
            let card = catalog.model_by_id(&place.model).filter(|m| viewer.standing.reads(m));
            let Some(card) = card.filter(|m| wanted.model.as_ref().is_none_or(|name| m.name == *name)) else {
                continue;
            };
            let Some(shown) = open(&snapshot, &viewer, &card.name, &place, id, &wanted)? else { continue };
            if found.len() == wanted.size {
                let last = found.last().map(|row: &TransitionRequest| row.id.clone());
                return Ok(RequestPage { requests: found, next_page_token: last });
            }
            let landed_by = places.committer(id).map(str::to_owned);
            found.push(TransitionRequest { landed_by, ..shown });
        }
        Ok(RequestPage { requests: found, next_page_token: None })
    };
    Reply::output(&call.find(look).await?)
}

/// Returns a request if it is open and passes the filter.
fn open(
    snapshot: &Snapshot<'_>,
    viewer: &Viewer,
    name: &ModelName,
    place: &VersionLocation,
    id: &Id,
    wanted: &RequestQuery,
) -> Result<Option<TransitionRequest>, ApiError> {
    let Some(view) = snapshot.model(name)? else { return Ok(None) };
    let Some(version) = view.version(place.version)? else { return Ok(None) };
    let is_wanted = |r: &Request| {
        r.state == RequestState::Pending
            && wanted.stage.as_ref().is_none_or(|stage| r.to == *stage)
            && (wanted.whose != RequestFilter::Mine || r.created_by == *viewer.standing.user())
    };
    let request = version.request(id)?.and_then(|f| f.value).filter(is_wanted);
    let Some(request) = request else { return Ok(None) };
    let doing = viewer.about_request(snapshot, name, &view, place.version, &request)?;
    if wanted.whose == RequestFilter::Waiting && !doing.contains(&AvailableAction::ApproveTransitionRequest) {
        return Ok(None);
    }
    let from = view.stage_of(place.version)?;
    let count = ApprovalCount::of(snapshot, &view, (name, place.version), &request)?;
    let mut shown = TransitionRequest::new(name, place.version, &from, &request, &Committers::default());
    for (told, why) in shown.review.iter_mut().zip(count.objections()) {
        told.void = why.map(str::to_owned);
    }
    shown.approvals = Some(Approvals { needed: count.needed(), by: count.by().into_iter().cloned().collect() });
    shown.waits_for = Some(awaited(snapshot, &view, (name, place.version), &request)?);
    shown.available_actions = Some(doing);
    shown.missing = Some(obstacles::missing(snapshot, &view, place.version, &request.to, clock::now())?);
    Ok(Some(shown))
}
