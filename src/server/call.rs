//! One request as a handler sees it: who asks, with what arguments, of which state.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::http::HeaderMap;

use super::args::Args;
use super::auth::Caller;
use super::catalog::{Catalog, ModelCard, Standing};
use super::databricks::shapes::Viewer;
use super::error::ApiError;
use super::places::Places;
use super::state::{Landed, State};
use crate::action::Action;
use crate::apply::Refusal;
use crate::entity::Level;
use crate::index::Index;
use crate::name::ModelName;
use crate::registry::Registry;
use crate::snapshot::Snapshot;
use crate::tree::Oid;

/// One request.
pub struct Call {
    /// What the server holds.
    pub state: Arc<State>,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// The registry, at least as new as anything that was answered before.
    pub catalog: Arc<Catalog>,
    /// What the caller may do, by that state.
    pub standing: Standing,
    /// The arguments.
    pub args: Args,
    /// What stood in the address for `{…}`, decoded.
    pub segments: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The address that the caller calls from.
    pub peer: IpAddr,
    /// The address under which the caller reached the server, such as `http://127.0.0.1:5050`.
    pub base: String,
    /// The commit that the request made, once it has.
    pub made: Arc<OnceLock<Oid>>,
}

/// A request by nobody in particular, with a token in the address.
pub struct Visit {
    /// What the server holds.
    pub state: Arc<State>,
    /// The query of the address.
    pub args: Args,
    /// The commit that the request made, once it has.
    pub made: Arc<OnceLock<Oid>>,
}

impl Call {
    /// Who looks at requests and comments.
    pub fn viewer(&self) -> Viewer {
        Viewer { standing: self.standing.clone(), read_only: self.caller.read_only }
    }

    /// A model that the caller may read; otherwise it is answered as if it were not there.
    pub fn model(&self, name: &ModelName) -> Result<&Arc<ModelCard>, ApiError> {
        let found = self.catalog.model(name.as_str()).filter(|m| self.standing.reads(m));
        found.ok_or_else(|| Refusal::no_model(name).into())
    }

    /// The model that the argument `name` names.
    pub fn named_model(&self) -> Result<&Arc<ModelCard>, ApiError> {
        self.model(&ModelName::new(self.args.required("name")?)?)
    }

    /// What stood in the address for a name.
    pub fn segment(&self, name: &str) -> &str {
        self.segments.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v)
    }

    /// Reads what is not in memory. Once the request has changed something it waits for its turn however many do: a client
    /// that is told to try again would make the change again.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Registry) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        match self.made.get() {
            Some(_) => self.state.read_in_turn(read).await,
            None => self.state.read(read).await,
        }
    }

    /// Reads what the files say as of a catalog.
    pub async fn look<T: Send + 'static>(
        &self,
        catalog: &Catalog,
        look: impl FnOnce(&Snapshot<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let commit = catalog.commit();
        self.read(move |registry| look(&registry.snapshot_of(commit)?)).await
    }

    /// Reads with the help of the index, which is of the newest commit.
    pub async fn look_up<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Registry, &mut Index<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.read(move |registry| look(registry, &mut Index::open(registry, &mut |_| {})?)).await
    }

    /// Reads with the help of where things are, as of the newest commit.
    pub async fn find<T: Send + 'static>(
        &self,
        find: impl FnOnce(&Registry, &Places) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.read(self.state.with_places(|registry, _, places| find(registry, places))).await
    }

    /// Makes a change in the caller's name and waits until it is durable.
    pub async fn write(&self, actions: Vec<Action>) -> Result<Landed, ApiError> {
        self.write_with(actions, String::new()).await
    }

    /// Makes a change with a comment for the commit's body.
    pub async fn write_with(&self, actions: Vec<Action>, comment: String) -> Result<Landed, ApiError> {
        if self.caller.read_only {
            return Err(ApiError::denied("This token may only read."));
        }
        let landed = self.state.write(Arc::clone(&self.caller), actions, comment).await?;
        if let Some(commit) = landed.commit {
            // Of several commits the first names them all: they are neighbours.
            let _ = self.made.set(commit);
        }
        Ok(landed)
    }

    /// Demands a level on a model.
    pub fn demand(&self, level: Level, model: &ModelCard) -> Result<(), ApiError> {
        if self.standing.level(model) >= Some(level) {
            return Ok(());
        }
        let (user, name) = (&self.caller.user, &model.name);
        Err(ApiError::denied(format!(
            "'{user}' does not have the permission {level} on the registered model '{name}'."
        )))
    }
}
