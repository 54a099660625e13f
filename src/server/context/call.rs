//! One request as a handler gets it: the caller, the arguments, the state.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::http::HeaderMap;

use super::arguments::Args;
use super::auth::Caller;
use super::catalog::{Catalog, ModelCard, PersonRights};
use super::error::ApiError;
use super::id_lookup::IdLookup;
use super::idempotency::RequestKey;
use super::reply::HandlerResult;
use super::state::ServerState;
use super::writer::ChangeResult;
use crate::action::Action;
use crate::apply::Refusal;
use crate::entity::PermissionLevel;
use crate::index::Index;
use crate::name::ModelName;
use crate::registry::Registry;
use crate::snapshot::Snapshot;
use crate::tree::Oid;

/// An authenticated request.
pub struct Call {
    /// The state of the server.
    pub state: Arc<ServerState>,
    /// The caller.
    pub caller: Arc<Caller>,
    /// The catalog, at least as new as in any earlier response.
    pub catalog: Arc<Catalog>,
    /// The caller's permissions in that catalog.
    pub standing: PersonRights,
    /// The arguments.
    pub args: Args,
    /// The values of `{…}` in the path, decoded.
    pub segments: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The address of the client.
    pub peer: IpAddr,
    /// The base URL under which the client reached the server, such as `http://127.0.0.1:5050`.
    pub base: String,
    /// The commit that the request made, if it has made one.
    pub made: Arc<OnceLock<Oid>>,
}

/// A request without a caller, with a token in the URL.
pub struct AnonymousCall {
    /// The state of the server.
    pub state: Arc<ServerState>,
    /// The query of the URL.
    pub args: Args,
    /// The commit that the request made, if it has made one.
    pub made: Arc<OnceLock<Oid>>,
}

impl Call {
    /// Returns a model that the caller may read.
    ///
    /// # Errors
    ///
    /// `RESOURCE_DOES_NOT_EXIST` when the model does not exist or the caller may not read it.
    pub fn model(&self, name: &ModelName) -> Result<&Arc<ModelCard>, ApiError> {
        let found = self.catalog.model(name.as_str()).filter(|m| self.standing.reads(m));
        found.ok_or_else(|| Refusal::no_model(name).into())
    }

    /// Returns the model that the argument `name` names.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER_VALUE` when the name is missing or invalid, and `RESOURCE_DOES_NOT_EXIST` when the caller
    /// cannot see such a model.
    pub fn named_model(&self) -> Result<&Arc<ModelCard>, ApiError> {
        self.model(&ModelName::new(self.args.required("name")?)?)
    }

    /// Returns the value of a name in the path, or an empty string.
    pub fn segment(&self, name: &str) -> &str {
        self.segments.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v)
    }

    /// Reads data that is not in memory. After the request has made a change, it waits for a reader, however many wait:
    /// a client that is told to try again would make the change again.
    ///
    /// # Errors
    ///
    /// `REQUEST_LIMIT_EXCEEDED` when too many requests wait, and the error of `read`.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Registry) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        match self.made.get() {
            Some(_) => self.state.read_in_turn(read).await,
            None => self.state.read(read).await,
        }
    }

    /// Reads files as of a catalog.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub async fn look<T: Send + 'static>(
        &self,
        catalog: &Catalog,
        look: impl FnOnce(&Snapshot<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let commit = catalog.commit();
        self.read(move |registry| look(&registry.snapshot_of(commit)?)).await
    }

    /// Reads with the index, which is of the newest commit.
    ///
    /// # Errors
    ///
    /// As [`Self::read`]; also when the index cannot be opened.
    pub async fn look_up<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Registry, &mut Index<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.read(move |registry| look(registry, &mut Index::open(registry, &mut |_| {})?)).await
    }

    /// Reads with the table of locations, as of the newest commit.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub async fn find<T: Send + 'static>(
        &self,
        find: impl FnOnce(&Registry, &IdLookup) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.read(self.state.with_places(|registry, _, places| find(registry, places))).await
    }

    /// Makes a change in the caller's name and waits until it is on disk.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` for a read-only token, and the reason when the change is refused.
    pub async fn write(&self, actions: Vec<Action>) -> Result<ChangeResult, ApiError> {
        self.write_with(actions, String::new()).await
    }

    /// Checks that the caller's token may write.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` for a read-only token.
    pub fn demand_writer(&self) -> Result<(), ApiError> {
        if self.caller.read_only { Err(ApiError::denied("This token may only read.")) } else { Ok(()) }
    }

    /// Makes a change with a comment for the commit's body.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub async fn write_with(&self, actions: Vec<Action>, comment: String) -> Result<ChangeResult, ApiError> {
        self.demand_writer()?;
        let landed = self.state.write(Arc::clone(&self.caller), actions, comment).await?;
        if let Some(commit) = landed.commit {
            // Of several commits, the first identifies them all: they are adjacent.
            let _ = self.made.set(commit);
        }
        Ok(landed)
    }

    /// Checks that the caller has a level on a model.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` when the caller does not have it.
    pub fn demand(&self, level: PermissionLevel, model: &ModelCard) -> Result<(), ApiError> {
        if self.standing.level(model) >= Some(level) {
            return Ok(());
        }
        let (user, name) = (&self.caller.user, &model.name);
        Err(ApiError::denied(format!(
            "'{user}' does not have the permission {level} on the registered model '{name}'."
        )))
    }

    /// Runs the request once, although the client repeats it because the response was lost
    /// ([`Repeats::once`](super::idempotency::Repeats::once)).
    ///
    /// # Errors
    ///
    /// The error of the request.
    pub async fn once<F>(self, endpoint: &str, handle: impl FnOnce(Self) -> F) -> HandlerResult
    where
        F: Future<Output = HandlerResult> + Send + 'static,
    {
        let (key, repeats) = (self.key(endpoint), Arc::clone(&self.state.repeats));
        repeats.once(key, handle(self)).await
    }

    /// Runs the request again if the client repeats it, with the response of the first one where the second fails
    /// because the first one succeeded ([`Repeats::again`](super::idempotency::Repeats::again)).
    ///
    /// # Errors
    ///
    /// The error of the request.
    pub async fn again<F>(self, endpoint: &str, handle: impl FnOnce(Self) -> F) -> HandlerResult
    where
        F: Future<Output = HandlerResult> + Send + 'static,
    {
        let (key, repeats) = (self.key(endpoint), Arc::clone(&self.state.repeats));
        repeats.again(key, handle(self)).await
    }

    fn key(&self, endpoint: &str) -> RequestKey {
        RequestKey::new(endpoint, &self.caller.user, &self.args)
    }
}
