//! The tracking server: the location of its models' files, and the metrics of its runs.

use serde_json::Value;

use super::super::evidence::Evidence;
use super::super::path::FilePath;
use super::client::{Client, Credentials};
use super::{API, ImportError, ImportOrigin, ServerBase, place};

/// The tracking server that an administrator named.
#[derive(Debug, Clone)]
pub(super) struct Tracking {
    server: ServerBase,
    credentials: Option<Credentials>,
}

impl Tracking {
    pub(super) fn new(server: ServerBase, credentials: Option<Credentials>) -> Self {
        Self { server, credentials }
    }

    /// Returns the credentials, but only for the tracking server itself.
    pub(super) fn credentials_for(&self, server: &ServerBase) -> Option<Credentials> {
        self.credentials.clone().filter(|_| self.server.is_same_server(server))
    }

    /// Parses a source with one of MLflow's own schemes, if this server can have it.
    pub(super) fn origin(&self, uri: &str) -> Option<ImportOrigin> {
        place::check(uri).ok()?;
        if let Some(id) = uri.strip_prefix("models:/") {
            return id.strip_prefix("m-").filter(|rest| is_id(rest)).map(|_| ImportOrigin::LoggedModel(id.to_owned()));
        }
        if let Some(rest) = uri.strip_prefix("runs:/") {
            let (run, path) = rest.split_once('/')?;
            let path = FilePath::new(path.trim_end_matches('/')).ok()?;
            return is_id(run).then(|| ImportOrigin::OfRun { run: run.to_owned(), path });
        }
        self.proxied(uri)
    }

    /// Parses `mlflow-artifacts:/path`, or `mlflow-artifacts://host:port/path` if that host is this server.
    pub(super) fn proxied(&self, uri: &str) -> Option<ImportOrigin> {
        place::check(uri).ok()?;
        let rest = uri.strip_prefix("mlflow-artifacts:")?;
        let path = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_once('/')?;
                if !authority.is_empty() && !self.server.is_at(authority) {
                    return None;
                }
                path
            }
            None => rest.strip_prefix('/')?,
        };
        let path = FilePath::new(path.trim_end_matches('/')).ok()?;
        // Uploads to a registry are not artifacts of a tracking server.
        let is_upload = path.segments().next() == Some("uploads");
        (!is_upload).then(|| ImportOrigin::Proxied { server: self.server.below(API), path: Some(path) })
    }

    fn client(&self) -> Client {
        Client::new(&self.server, self.credentials.clone())
    }

    /// Asks the server for the location of the files of a logged model or of a run's artifact.
    pub(super) fn locate(&self, origin: &ImportOrigin) -> Result<String, ImportError> {
        let client = self.client();
        match origin {
            ImportOrigin::LoggedModel(id) => self.text(&logged_model(&client, id)?, "/model/info/artifact_uri", id),
            ImportOrigin::OfRun { run, path } => {
                let found = run_of(&client, run)?;
                // Since MLflow 3 a model that a run logged is stored apart from the run's other artifacts.
                let outputs = found.pointer("/run/outputs/model_outputs").and_then(Value::as_array);
                let ids = outputs.into_iter().flatten().filter_map(|o| o.get("model_id")?.as_str());
                for id in ids.filter(|id| id.strip_prefix("m-").is_some_and(is_id)) {
                    let model = logged_model(&client, id)?;
                    if model.pointer("/model/info/name").and_then(Value::as_str) == Some(path.as_str()) {
                        return self.text(&model, "/model/info/artifact_uri", id);
                    }
                }
                let root = self.text(&found, "/run/info/artifact_uri", run)?;
                Ok(format!("{}/{path}", root.trim_end_matches('/')))
            }
            ImportOrigin::Folder { .. } | ImportOrigin::Proxied { .. } => {
                Err(ImportError::NotAllowed(format!("{origin:?}")))
            }
        }
    }

    fn text(&self, answer: &Value, pointer: &str, what: &str) -> Result<String, ImportError> {
        let found = answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        found.ok_or_else(|| ImportError::Answer {
            server: self.server.to_string(),
            what: what.to_owned(),
            why: "it does not name the location of its files".to_owned(),
        })
    }

    /// Requests the parameters and metrics of a logged model and of the run that created it.
    pub(super) fn evidence(&self, run_id: &str, model_id: &str) -> Result<Evidence, ImportError> {
        let (client, mut found) = (self.client(), Evidence::default());
        let mut run_id = run_id.to_owned();
        if model_id.strip_prefix("m-").is_some_and(is_id) {
            let model = logged_model(&client, model_id)?;
            found.fill(evidence_at(&model, "/model/data"));
            if run_id.is_empty() {
                let source = model.pointer("/model/info/source_run_id").and_then(Value::as_str);
                run_id = source.unwrap_or_default().to_owned();
            }
        }
        if is_id(&run_id) {
            found.fill_from_run(evidence_at(&run_of(&client, &run_id)?, "/run/data"));
        }
        Ok(found)
    }
}

/// Returns the entries of a response that can be recorded. Invalid entries are ignored, because the others are worth
/// keeping.
fn evidence_at(answer: &Value, pointer: &str) -> Evidence {
    let data = answer.pointer(pointer);
    Evidence::read(data.and_then(|d| d.get("params")), data.and_then(|d| d.get("metrics"))).0
}

fn logged_model(client: &Client, id: &str) -> Result<Value, ImportError> {
    client.json(&format!("/api/2.0/mlflow/logged-models/{id}"), &format!("the logged model {id}"))
}

fn run_of(client: &Client, run: &str) -> Result<Value, ImportError> {
    client.json(&format!("/api/2.0/mlflow/runs/get?run_id={run}"), &format!("the run {run}"))
}

/// Whether a text is an MLflow id: letters, digits, dashes and underscores.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
