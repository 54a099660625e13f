//! Makes a service of the routes: each path is routed to its handler, after the arguments are parsed and the level is
//! checked.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{self, Body};
use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::http::{HeaderValue, Method, StatusCode, header, request};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::body_pace;
use super::guard::{CachedCaller, Guard, MatchedRoute, Peer, ResponseCommit, pass};
use super::route::{Handler, Route, RouteAccess};
use crate::entity::PermissionLevel;
use crate::name::Id;
use crate::server::context::arguments::Args;
use crate::server::context::call::{AnonymousCall, Call};
use crate::server::context::error::{ApiError, Code};
use crate::server::context::reply::{HandlerResult, Reply};
use crate::tree::Oid;

/// The largest JSON body, in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// The time in which a JSON body must arrive.
const BODY_TIME: Duration = Duration::from_secs(60);

/// Builds the server's router from the routes and from nothing else.
pub fn router(mut guard: Guard, table: Vec<Route>) -> Router {
    guard.signed = table.iter().filter(|r| r.needs == RouteAccess::Signed).map(|r| r.path.clone()).collect();
    guard.open = table
        .iter()
        .filter(|r| matches!(r.needs, RouteAccess::Nothing | RouteAccess::Token))
        .map(|r| r.path.clone())
        .collect();
    guard.fixed = table.iter().filter(|r| r.needs == RouteAccess::Nothing).map(|r| r.path.clone()).collect();
    let guard = Arc::new(guard);
    let mut router = Router::new();
    for route in table {
        let path = route.path.clone();
        router = router.route(&path, method_router(&guard, route));
    }
    router
        .fallback(|| async { no_such("URL") })
        .method_not_allowed_fallback(|| async { no_such("method of this URL") })
        .layer(middleware::from_fn_with_state(guard, pass))
}

/// Returns the response for a path or method without a route.
fn no_such(what: &str) -> Response {
    let message = format!(
        "This server has no such {what}. It is a model registry; experiments and runs belong on a tracking server."
    );
    ApiError::new(Code::EndpointNotFound, message).into_response()
}

/// Converts a route to a method router of axum.
fn method_router(guard: &Arc<Guard>, route: Route) -> MethodRouter {
    // The routes use only methods that have a filter.
    let filter = MethodFilter::try_from(route.method.clone()).unwrap_or(MethodFilter::TRACE);
    let matched = MatchedRoute(route.path.as_str().into());
    let (guard, route) = (Arc::clone(guard), Arc::new(route));
    on(filter, move |request: Request| {
        let (guard, route, matched) = (Arc::clone(&guard), Arc::clone(&route), matched.clone());
        async move {
            let answer = answer(&guard, &route, request).await;
            let mut response = answer.unwrap_or_else(ApiError::into_response);
            response.extensions_mut().insert(matched);
            response
        }
    })
}

/// Handles a request by its route.
async fn answer(guard: &Guard, route: &Route, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let body = body_pace::paced(body);
    match &route.handler {
        Handler::Fixed(fixed) => Ok(fixed()?.into_response()),
        Handler::Ask(ask) => {
            let args = arguments(route, &parts, body).await?;
            let call = call(guard, &mut parts, args).await?;
            permit(route.needs, &call)?;
            let etag = etag(&call);
            if let Some(etag) = &etag
                && call.headers.get(header::IF_NONE_MATCH) == Some(etag)
            {
                return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag.clone())]).into_response());
            }
            let mut response = ask(&call)?.into_response();
            response.headers_mut().extend(etag.map(|e| (header::ETAG, e)));
            Ok(response)
        }
        Handler::Act(act) => {
            let args = arguments(route, &parts, body).await?;
            let call = call(guard, &mut parts, args).await?;
            permit(route.needs, &call)?;
            let made = Arc::clone(&call.made);
            let answer = act(call).await;
            let answer = if route.is_mlflow { answer.map_err(ApiError::for_mlflow) } else { answer };
            Ok(settled(answer, &made))
        }
        Handler::Visit(visit) => {
            let made: Arc<OnceLock<Oid>> = Arc::default();
            let args = Args::new(parts.uri.query(), b"")?;
            let answer = visit(AnonymousCall { state: Arc::clone(&guard.state), args, made: Arc::clone(&made) }).await;
            Ok(settled(answer, &made))
        }
        Handler::Stream(stream) => {
            let args = Args::new(parts.uri.query(), b"")?;
            let call = call(guard, &mut parts, args).await?;
            permit(route.needs, &call)?;
            let made = Arc::clone(&call.made);
            Ok(settled(stream(call, body).await, &made))
        }
    }
}

/// Returns the response with the commit that the request made, for the log. If there is a commit, the response never
/// tells the client to try again, because the client would make the change again.
fn settled(answer: HandlerResult, made: &OnceLock<Oid>) -> Response {
    let Some(commit) = made.get() else { return answer.map_or_else(ApiError::into_response, Reply::into_response) };
    let mut response = match answer {
        Ok(reply) => reply.into_response(),
        Err(e) if matches!(e.code, Code::RequestLimitExceeded | Code::TemporarilyUnavailable) => {
            let message = "The change was made, but its result could not be read back.";
            let internal = Some(e.message);
            ApiError { internal, ..ApiError::new(Code::InternalError, message) }.into_response()
        }
        Err(e) => e.into_response(),
    };
    response.extensions_mut().insert(ResponseCommit(*commit));
    response
}

/// Parses the arguments as the route requires.
async fn arguments(route: &Route, parts: &request::Parts, body: Body) -> Result<Args, ApiError> {
    let args = read(parts, body).await?;
    Ok(if route.is_lenient { args.lenient() } else { args })
}

/// Parses the arguments: from the query of GET and DELETE, and from a JSON body. A change needs the JSON content type,
/// which a page of another site cannot send without permission.
async fn read(parts: &request::Parts, body: Body) -> Result<Args, ApiError> {
    let unread = |e: axum::Error| match body_pace::is_too_slow(&e) {
        true => ApiError::new(Code::BadRequest, "The body arrived too slowly; send it again."),
        false => ApiError::new(Code::TooLarge, format!("The body is larger than {MAX_BODY} bytes.")),
    };
    let slow = |_| ApiError::new(Code::BadRequest, format!("The body took more than {} seconds.", BODY_TIME.as_secs()));
    let bytes = tokio::time::timeout(BODY_TIME, body::to_bytes(body, MAX_BODY)).await.map_err(slow)?;
    let bytes = bytes.map_err(unread)?;
    let has_query = matches!(parts.method, Method::GET | Method::HEAD | Method::DELETE);
    let query = parts.uri.query().filter(|_| has_query);
    if bytes.is_empty() && has_query {
        return Args::new(query, b"");
    }
    let given = parts.headers.get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap_or_default());
    let Some(given) = given else {
        return Err(ApiError::invalid("Bad Request. Content-Type header is missing."));
    };
    let essence = given.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = "Bad Request. Content-Type must be one of ['application/json'].";
        return Err(ApiError::invalid(message));
    }
    Args::new(query, &bytes)
}

/// Collects the parts of a request for its handler.
async fn call(guard: &Guard, parts: &mut request::Parts, args: Args) -> Result<Call, ApiError> {
    let Some(CachedCaller { caller, catalog }) = parts.extensions.remove() else {
        return Err(ApiError::new(Code::Unauthenticated, "You are not authenticated."));
    };
    let not_text = |_| ApiError::new(Code::BadRequest, "The URL is not valid UTF-8.");
    let segments = RawPathParams::from_request_parts(parts, &()).await.map_err(not_text)?;
    let segments = segments.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let standing = catalog.standing(&caller.user);
    let nowhere = || ApiError::new(Code::BadRequest, "The address of the client is unknown.");
    let peer = parts.extensions.get::<Peer>().ok_or_else(nowhere)?.0.ip();
    let base = guard.base(&parts.headers);
    let headers = std::mem::take(&mut parts.headers);
    Ok(Call {
        state: Arc::clone(&guard.state),
        caller,
        catalog,
        standing,
        args,
        segments,
        headers,
        peer,
        base,
        made: Arc::default(),
    })
}

/// Checks the level that a route demands of the caller. If the model does not exist, or the caller may not see it, the
/// handler returns the error.
fn permit(needs: RouteAccess, call: &Call) -> Result<(), ApiError> {
    match needs {
        // The guard has verified signed URLs.
        RouteAccess::Nothing | RouteAccess::Token | RouteAccess::Caller | RouteAccess::Signed => Ok(()),
        RouteAccess::Writer if call.caller.read_only => Err(ApiError::denied("This token may only read.")),
        RouteAccess::Writer => Ok(()),
        RouteAccess::ModelId(level) => {
            match Id::new(call.segment("id")).ok().and_then(|id| call.catalog.model_by_id(&id)) {
                Some(model) if call.standing.reads(model) => call.demand(level, model),
                Some(_) | None => Ok(()),
            }
        }
        RouteAccess::Model(level) => {
            match call.args.text("name").ok().flatten().and_then(|name| call.catalog.model(name)) {
                Some(model) if call.standing.reads(model) => call.demand(level, model),
                Some(_) | None => Ok(()),
            }
        }
        RouteAccess::Registry(level) => registry(level, call),
    }
}

fn registry(level: PermissionLevel, call: &Call) -> Result<(), ApiError> {
    if call.standing.registry() >= Some(level) {
        return Ok(());
    }
    Err(ApiError::denied(format!("'{}' does not have the permission {level} on the registry.", call.caller.user)))
}

/// Returns the entity tag of a response: it depends on the commit, the caller, and the version of greenroom.
fn etag(call: &Call) -> Option<HeaderValue> {
    let commit = call.catalog.commit()?;
    let version = env!("CARGO_PKG_VERSION");
    HeaderValue::from_str(&format!("\"{commit}-{}-{version}\"", call.caller.user)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_change_was_made_no_answer_lets_a_client_make_it_again() {
        let (none, made) = (OnceLock::new(), OnceLock::new());
        made.set(Oid::from_hex(&"ab".repeat(20)).unwrap()).unwrap();
        let status = |code, made| settled(Err(ApiError::new(code, "")), made).status().as_u16();
        for (code, before, after) in [
            (Code::RequestLimitExceeded, 429, 500),
            (Code::TemporarilyUnavailable, 503, 500),
            (Code::ResourceDoesNotExist, 404, 404),
        ] {
            assert_eq!((status(code, &none), status(code, &made)), (before, after), "{code:?}");
        }
        let done = settled(Ok(Reply::done()), &made);
        assert_eq!((done.status().as_u16(), done.extensions().get::<ResponseCommit>().is_some()), (200, true));
    }
}
