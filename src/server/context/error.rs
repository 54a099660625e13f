//! API errors in the form of MLflow and Databricks: a code, a sentence, an HTTP status.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::catalog::CatalogError;
use crate::apply::{EntityKind, Refusal};
use crate::git::PublishError;
use crate::index::IndexError;
use crate::name::InvalidName;
use crate::registry::RegistryError;
use crate::rules::{Fault, RuleClass};
use crate::search::SearchError;
use crate::text::InvalidText;
use crate::tree::TreeError;

/// The kind of an error. The names are those of MLflow and Databricks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A parameter is invalid.
    InvalidParameterValue,
    /// The request cannot be parsed.
    BadRequest,
    /// The object exists already.
    ResourceAlreadyExists,
    /// The object does not exist.
    ResourceDoesNotExist,
    /// There is no such URL.
    EndpointNotFound,
    /// A rule of the registry forbids it.
    InvalidState,
    /// The caller is not authenticated.
    Unauthenticated,
    /// The caller does not have the permission.
    PermissionDenied,
    /// A concurrent change was made.
    ResourceConflict,
    /// The body is too large.
    TooLarge,
    /// The file does not have the requested range.
    NotInFile,
    /// The disk is full.
    NoSpace,
    /// Too many requests at the same time; trying again helps.
    RequestLimitExceeded,
    /// The operation is not offered.
    NotImplemented,
    /// The server failed.
    InternalError,
    /// The server is stopping or overloaded.
    TemporarilyUnavailable,
}

impl Code {
    /// Returns the code as clients read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            Self::BadRequest | Self::TooLarge | Self::NotInFile => "BAD_REQUEST",
            Self::ResourceAlreadyExists => "RESOURCE_ALREADY_EXISTS",
            Self::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            Self::EndpointNotFound => "ENDPOINT_NOT_FOUND",
            Self::InvalidState => "INVALID_STATE",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceConflict => "RESOURCE_CONFLICT",
            Self::NoSpace => "RESOURCE_EXHAUSTED",
            Self::RequestLimitExceeded => "REQUEST_LIMIT_EXCEEDED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
            Self::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
        }
    }

    /// Returns the code for a broken rule of a class.
    pub const fn of(class: RuleClass) -> Self {
        match class {
            RuleClass::Permission => Self::PermissionDenied,
            RuleClass::Policy | RuleClass::History => Self::InvalidState,
            RuleClass::Format | RuleClass::Link => Self::InvalidParameterValue,
        }
    }

    /// Returns the HTTP status. An error that the client can correct is never 5xx, because clients repeat those
    /// requests for minutes.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidParameterValue | Self::BadRequest | Self::ResourceAlreadyExists | Self::InvalidState => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::ResourceDoesNotExist | Self::EndpointNotFound => StatusCode::NOT_FOUND,
            Self::ResourceConflict => StatusCode::CONFLICT,
            Self::NotInFile => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            // Not 503: clients would send gigabytes again and again.
            Self::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
            Self::RequestLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The reason why a request failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {message}", .code.as_str())]
pub struct ApiError {
    /// The kind of the error.
    pub code: Code,
    /// The message for the caller.
    pub message: String,
    /// Details for the log only.
    pub internal: Option<String>,
}

impl ApiError {
    /// Makes an error with a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), internal: None }
    }

    /// Makes an error for an invalid parameter.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    /// Makes an error for an object that does not exist, or that the caller may not see.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceDoesNotExist, message)
    }

    /// Makes an error for a missing permission.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Code::PermissionDenied, message)
    }

    /// Makes an error for a failure of the server. The cause is for the log.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut why = cause.to_string();
        let mut next = cause.source();
        while let Some(e) = next {
            why.push_str(": ");
            why.push_str(&e.to_string());
            next = e.source();
        }
        let message = "The registry could not be read or written. The server's log says why, under the id in the \
                       header X-Request-Id.";
        Self { internal: Some(why), ..Self::new(Code::InternalError, message) }
    }

    /// Replaces a code that MLflow's own server, in front of this one, would not pass on with the same status. It turns
    /// `INVALID_STATE` into a 500, which its clients repeat for minutes.
    pub fn for_mlflow(self) -> Self {
        match self.code {
            Code::InvalidState => Self { code: Code::InvalidParameterValue, ..self },
            _ => self,
        }
    }

    /// Makes an error for a server that is stopping or not ready yet.
    pub fn stopping() -> Self {
        Self::new(Code::TemporarilyUnavailable, "The server is stopping.")
    }
}

/// Phrases that databricks-sdk takes for a temporary error: it repeats the request for five minutes, even for a "not
/// found" whose message only quotes a name.
const RETRIED: [&str; 8] = [
    "com.databricks.backend.manager.util.UnknownWorkerEnvironmentException",
    "does not have any associated worker environments",
    "There is no worker environment with id",
    "Unknown worker environment",
    "ClusterNotReadyException",
    "Unexpected error",
    "Please try again later or try a faster operation.",
    "RPC token bucket limit has been exceeded",
];

/// Returns a message that no client takes for a reason to repeat the request: a space in such phrases is replaced by
/// another space that looks the same.
fn unretried(message: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(message);
    for words in RETRIED.iter().filter(|w| message.contains(*w)) {
        let other = match words.split_once(' ') {
            Some((first, rest)) => format!("{first}\u{a0}{rest}"),
            None => words.replacen('.', ".\u{a0}", 1).replacen("NotReady", "Not\u{a0}Ready", 1),
        };
        out = Cow::Owned(out.replace(words, &other));
    }
    out
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error_code": self.code.as_str(), "message": unretried(&self.message) }).to_string();
        let mut response = (self.code.status(), [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        match self.code {
            Code::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"greenroom\""));
            }
            Code::RequestLimitExceeded | Code::TemporarilyUnavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(e: Refusal) -> Self {
        match e {
            // MLflow's clients and tests expect an invalid parameter for a missing alias.
            Refusal::NotFound { noun: EntityKind::Alias, name: _, message } => Self::invalid(message),
            Refusal::NotFound { noun: _, name: _, message } => Self::not_found(message),
            Refusal::Exists { noun: _, message } => Self::new(Code::ResourceAlreadyExists, message),
            Refusal::Outdated { .. } => Self::new(Code::ResourceConflict, e.to_string()),
            Refusal::Invalid { message } => Self::invalid(message),
            Refusal::Faulty { .. } => Self::new(Code::InvalidState, e.to_string()),
            Refusal::Tree(e) => e.into(),
        }
    }
}

impl From<RegistryError> for ApiError {
    fn from(e: RegistryError) -> Self {
        match e {
            RegistryError::Refused(refusal) | RegistryError::RefusedAt { index: _, refusal } => refusal.into(),
            RegistryError::Denied { outcome } => Self::broken(&outcome.verdict.faults),
            RegistryError::Contended => Self::new(Code::RequestLimitExceeded, e.to_string()),
            RegistryError::NoMoment(_)
            | RegistryError::Reflog(_)
            | RegistryError::AmbiguousMoment(_)
            | RegistryError::BeforeHistory(_)
            | RegistryError::Ahead(_)
            | RegistryError::TooManyCommits { .. } => Self::invalid(e.to_string()),
            RegistryError::Publish(PublishError::Dirty { .. })
            | RegistryError::BranchExists { .. }
            | RegistryError::InProgress(_) => Self::new(Code::ResourceConflict, e.to_string()),
            RegistryError::NoPerson { .. } => Self::denied(e.to_string()),
            RegistryError::BranchGone { .. } | RegistryError::RegistryGone { .. } => {
                Self::new(Code::TemporarilyUnavailable, e.to_string())
            }
            RegistryError::NotARegistry { .. }
            | RegistryError::SeveralRegistries { .. }
            | RegistryError::Publish(_)
            | RegistryError::Pushes(_)
            | RegistryError::Git(_)
            | RegistryError::Stage(_)
            | RegistryError::Ids(_)
            | RegistryError::Tree(_) => Self::internal(&e),
        }
    }
}

impl ApiError {
    /// Returns the error for broken rules. A missing permission comes first, because the caller can act on it.
    fn broken(faults: &[Fault]) -> Self {
        let rank = |fault: &&Fault| match fault.class {
            RuleClass::Permission => 0,
            RuleClass::Policy => 1,
            RuleClass::History => 2,
            RuleClass::Format | RuleClass::Link => 3,
        };
        let Some(first) = faults.iter().min_by_key(rank) else {
            return Self::new(Code::InvalidState, "The rules of the registry refuse the change.");
        };
        let same = faults.iter().filter(|f| f.class == first.class);
        let sentences: Vec<String> = same.map(|f| sentence(&f.problem.message)).collect();
        Self::new(Code::of(first.class), sentences.join(" "))
    }
}

/// Returns a fault as a complete sentence.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    let end = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

impl From<TreeError> for ApiError {
    fn from(e: TreeError) -> Self {
        Self::internal(&e)
    }
}

impl From<IndexError> for ApiError {
    fn from(e: IndexError) -> Self {
        match e {
            IndexError::Registry(e) => e.into(),
            IndexError::OffLine(_) | IndexError::Moved => Self::invalid(e.to_string()),
            IndexError::Damaged { .. } | IndexError::Unwritable { .. } | IndexError::Busy { .. } => Self::internal(&e),
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(e: CatalogError) -> Self {
        match e {
            CatalogError::Registry(e @ (RegistryError::BranchGone { .. } | RegistryError::RegistryGone { .. })) => {
                e.into()
            }
            CatalogError::Registry(_) | CatalogError::Index(_) | CatalogError::Tree(_) | CatalogError::Git(_) => {
                Self::internal(&e)
            }
        }
    }
}

impl From<SearchError> for ApiError {
    fn from(e: SearchError) -> Self {
        Self::invalid(e.to_string())
    }
}

impl From<InvalidName> for ApiError {
    fn from(e: InvalidName) -> Self {
        Self::invalid(e.to_string())
    }
}

impl From<InvalidText> for ApiError {
    fn from(e: InvalidText) -> Self {
        Self::invalid(e.to_string())
    }
}

impl From<crate::stage::InvalidStage> for ApiError {
    fn from(e: crate::stage::InvalidStage) -> Self {
        Self::invalid(e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RULES;

    /// The error code for each broken rule, as in API.md: a missing permission is denied, a rule of the registry is an
    /// invalid state, an invalid value is an invalid parameter.
    const ANSWERS: &[(&str, &str)] = &[
        ("path", "INVALID_PARAMETER_VALUE"),
        ("file", "INVALID_PARAMETER_VALUE"),
        ("place", "INVALID_PARAMETER_VALUE"),
        ("artifact", "INVALID_PARAMETER_VALUE"),
        ("key", "INVALID_PARAMETER_VALUE"),
        ("permission", "PERMISSION_DENIED"),
        ("rewrite", "PERMISSION_DENIED"),
        ("manager", "INVALID_STATE"),
        ("authority", "INVALID_STATE"),
        ("ready-files", "INVALID_STATE"),
        ("stage-name", "INVALID_STATE"),
        ("move", "INVALID_STATE"),
        ("author", "PERMISSION_DENIED"),
        ("stage-known", "INVALID_PARAMETER_VALUE"),
        ("stage-one", "INVALID_STATE"),
        ("stage-from", "INVALID_STATE"),
        ("stage-approvals", "INVALID_STATE"),
        ("stage-leaving", "INVALID_STATE"),
        ("review", "INVALID_STATE"),
        ("stage-exclusive", "INVALID_STATE"),
        ("stage-evidence", "INVALID_STATE"),
        ("stage-frozen", "INVALID_STATE"),
        ("ready", "INVALID_STATE"),
        ("alias", "INVALID_STATE"),
        ("alias-approval", "INVALID_STATE"),
        ("active", "INVALID_STATE"),
        ("id", "INVALID_PARAMETER_VALUE"),
        ("immutable", "INVALID_STATE"),
        ("number", "INVALID_STATE"),
        ("request", "INVALID_STATE"),
        ("time", "INVALID_STATE"),
        ("pointer", "INVALID_PARAMETER_VALUE"),
        ("name", "INVALID_PARAMETER_VALUE"),
        ("principal", "INVALID_PARAMETER_VALUE"),
        ("person", "INVALID_PARAMETER_VALUE"),
        ("person-id", "INVALID_PARAMETER_VALUE"),
        ("alias-rule", "INVALID_PARAMETER_VALUE"),
        ("freeze", "INVALID_PARAMETER_VALUE"),
        ("source", "INVALID_PARAMETER_VALUE"),
        ("webhook", "INVALID_PARAMETER_VALUE"),
    ];

    #[test]
    fn each_broken_rule_has_the_answer_that_is_promised() {
        let found: Vec<_> = RULES.iter().map(|rule| (rule.name, Code::of(rule.class).as_str())).collect();
        let mut wanted = ANSWERS.to_vec();
        wanted.sort_unstable();
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, wanted);
        for rule in RULES {
            let problem = crate::format::Problem::of_file("x", rule.name, "it is broken");
            let error = ApiError::broken(&[Fault { problem, class: rule.class }]);
            // The codes that MLflow's own server passes on: only these are 4xx there.
            let passed = ["INVALID_PARAMETER_VALUE", "PERMISSION_DENIED"];
            assert!(passed.contains(&error.clone().for_mlflow().code.as_str()), "{}", rule.name);
            assert_eq!(error.for_mlflow().code.status(), Code::of(rule.class).status(), "{}", rule.name);
        }
    }

    #[test]
    fn no_message_makes_a_client_repeat_the_request() {
        for words in RETRIED {
            let said = unretried(&format!("There is no model '{words}'.")).into_owned();
            assert!(!RETRIED.iter().any(|w| said.contains(w)), "{said}");
            let letters = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(letters(&said), letters(&format!("There is no model '{words}'.")));
        }
        assert!(matches!(unretried("plain"), Cow::Borrowed("plain")));
    }
}
