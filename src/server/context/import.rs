//! Copies models into the registry in the background, from sources that an administrator allowed.
//!
//! A version whose files are to be copied is registered as pending. The tree is the queue: versions that are pending
//! when the server starts are copied from the beginning. A few workers copy one model each at a time. Then they
//! complete the version in the name of the person who registered it, or mark the version as failed with the reason.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{Semaphore, oneshot, watch};

use super::auth::Caller;
use super::catalog::{Catalog, ModelCard};
use super::error::{ApiError, Code};
use super::idle::IdleTimer;
use super::log::Log;
use super::writer::WriterJob;
use crate::action::{Action, Arrived};
use crate::artifact::evidence::Evidence;
use crate::artifact::import::{ImportError, Sources};
use crate::artifact::{self, ArtifactLimits, IngestedFolder, Store};
use crate::entity::version::{ModelInfo, VersionStatus};
use crate::index::VersionFacts;
use crate::name::{Id, UserName};
use crate::supervisor::Supervisor;
use crate::text::{Text, one_line, with_causes};

/// The number of models that are copied at the same time.
const WORKERS: usize = 2;

/// The number of attempts to copy a version, if trying again may help.
const ATTEMPTS: u32 = 3;

/// The pause between the first two attempts. Each further pause is four times as long.
const PAUSE: Duration = Duration::from_secs(1);

/// The number of requests that query the tracking server at the same time.
const ASKING: usize = 8;

/// The longest message on a version, in bytes.
const MAX_MESSAGE: usize = 1000;

/// A version whose files are to be copied. It holds the model's id, because the model may be renamed meanwhile.
#[derive(Debug, Clone)]
struct Task {
    model: Id,
    version: u64,
}

/// The sources of models, and the queue of the workers.
#[derive(Debug)]
pub struct Imports {
    sources: Arc<Sources>,
    tasks: mpsc::Sender<Task>,
    asking: Semaphore,
}

/// The parts that workers need.
#[derive(Clone)]
pub struct WorkerContext {
    /// The sources of models.
    pub sources: Arc<Sources>,
    /// The limits of a copy.
    pub limits: ArtifactLimits,
    /// The content store.
    pub store: Store,
    /// The newest catalog.
    pub catalog: watch::Receiver<Option<Arc<Catalog>>>,
    /// The writer's queue. It is weak, because the server may stop during a copy.
    pub jobs: tokio::sync::mpsc::WeakSender<WriterJob>,
    /// Counts running activities.
    pub activity: Arc<IdleTimer>,
    /// The log.
    pub log: Log,
}

impl Imports {
    /// Starts the workers, if there are sources. They end with the value, or with the process.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started.
    pub fn start(parts: &WorkerContext, supervisor: &Arc<Supervisor>) -> std::io::Result<Self> {
        let (tasks, receive) = mpsc::channel();
        let receive = Arc::new(Mutex::new(receive));
        let workers = if parts.sources.is_empty() { 0 } else { WORKERS };
        for number in 0..workers {
            let (receive, parts) = (Arc::clone(&receive), parts.clone());
            supervisor.spawn(&format!("import-{number}"), move || work(&receive, &parts))?;
        }
        Ok(Self { sources: Arc::clone(&parts.sources), tasks, asking: Semaphore::new(ASKING) })
    }

    /// Returns whether the files of a source are copied.
    pub fn takes(&self, source: &str) -> bool {
        self.sources.origin(source).is_some()
    }

    /// Queues a version whose files are to be copied.
    pub fn add(&self, model: &ModelCard, version: u64) {
        // Without workers, there is nothing to copy.
        let _ = self.tasks.send(Task { model: model.id.clone(), version });
    }

    /// Queues the versions that an earlier server left pending.
    pub fn resume(&self, catalog: &Catalog) {
        if self.sources.is_empty() {
            return;
        }
        for model in catalog.models() {
            for version in model.versions.iter().filter(|v| is_pending(v) && self.takes(&v.source)) {
                self.add(model, version.number);
            }
        }
    }

    /// Returns what the tracking server knows about a run and a logged model, and the reason if the server could not be
    /// queried. If neither is named, the result is empty. Waits while too many other requests query the server.
    ///
    /// # Errors
    ///
    /// `REQUEST_LIMIT_EXCEEDED` when the queue of such requests is closed.
    pub async fn evidence(&self, run_id: &str, model_id: &str) -> Result<(Evidence, Option<String>), ApiError> {
        if !self.sources.asks() || (run_id.is_empty() && model_id.is_empty()) {
            return Ok((Evidence::default(), None));
        }
        let busy = || {
            ApiError::new(Code::RequestLimitExceeded, "Too many registrations at the same time; try again in a moment.")
        };
        let _turn = self.asking.acquire().await.map_err(|_| busy())?;
        let (sources, run, model) = (Arc::clone(&self.sources), run_id.to_owned(), model_id.to_owned());
        let asked = tokio::task::spawn_blocking(move || sources.evidence(&run, &model)).await;
        Ok(match asked {
            Ok(Ok(found)) => (found, None),
            Ok(Err(e)) => (Evidence::default(), Some(unknown(&e))),
            Err(_) => (Evidence::default(), Some(unknown(&"the query ended without a result"))),
        })
    }
}

/// Returns the message that a version lacks the parameters and metrics of its run.
fn unknown(why: &dyn std::fmt::Display) -> String {
    format!("the run's parameters and metrics are not recorded: {why}")
}

fn is_pending(version: &VersionFacts<'_>) -> bool {
    version.status == VersionStatus::PendingRegistration.as_str()
}

/// Returns a message as a version stores it: one line, cut to the largest length.
pub fn message(text: &str) -> Text {
    let line = one_line(text);
    let end = line.floor_char_boundary(MAX_MESSAGE);
    let cut = line.get(..end).unwrap_or_default();
    let dots = if cut.len() < line.len() { "…" } else { "" };
    Text::new(&format!("{cut}{dots}")).unwrap_or_default()
}

/// Returns the findings about the model's files, for the field in which MLflow's and Databricks' clients show a
/// message.
pub fn findings(info: Option<&ModelInfo>) -> Text {
    let all: Vec<&str> = info.into_iter().flat_map(|i| &i.findings).map(Text::as_str).collect();
    message(&all.join("; "))
}

/// Copies one model after the other.
fn work(tasks: &Mutex<mpsc::Receiver<Task>>, parts: &WorkerContext) {
    loop {
        let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = next else { return };
        let _busy = parts.activity.begin();
        if catch_unwind(AssertUnwindSafe(|| import(parts, &task))).is_err() {
            parts.log.error(json!({ "message": "the copy of a model ended unexpectedly", "version": task.version }));
        }
    }
}

/// Why a version could not be completed.
enum Failed {
    /// The files cannot be copied.
    Import(ImportError),
    /// The registry refuses the files.
    Refused(ApiError),
    /// There is nothing left to do.
    Moot,
}

/// Copies a model and completes its version, or marks the version as failed.
fn import(parts: &WorkerContext, task: &Task) {
    let begun = Instant::now();
    let name = find(parts, task).map(|(model, _)| model.name.clone());
    let mut attempt = 0;
    let failed = loop {
        match try_import(parts, task) {
            Ok(files) => {
                let ms = begun.elapsed().as_millis();
                parts.log.info(json!({ "message": "copied a model", "model": name, "version": task.version,
                    "files": files.files, "bytes": files.size, "ms": u64::try_from(ms).ok() }));
                return;
            }
            Err(Failed::Moot) => return,
            Err(Failed::Import(e)) if e.is_passing() && attempt + 1 < ATTEMPTS => {
                thread::sleep(PAUSE.saturating_mul(4_u32.pow(attempt)));
                attempt += 1;
            }
            Err(Failed::Import(e)) => break with_causes(&e),
            Err(Failed::Refused(e)) => break e.message,
        }
    };
    parts.log.error(json!({ "message": "a model could not be copied", "model": name, "version": task.version,
        "error": failed }));
    let Some((model, version)) = find(parts, task) else { return };
    let status = VersionStatus::FailedRegistration;
    let action =
        Action::SetStatus { model: model.name.clone(), version: task.version, status, message: message(&failed) };
    if let Err(Failed::Refused(e)) = write(parts, &caller(parts, &version.created_by), action) {
        // The version stays pending, and the next server tries again.
        parts.log.error(json!({ "message": "a version could not be marked as failed", "model": name,
            "version": task.version, "error": e.message }));
    }
}

/// Returns the version, if it still exists and is pending.
fn find(parts: &WorkerContext, task: &Task) -> Option<(Arc<ModelCard>, Arc<VersionFacts<'static>>)> {
    let catalog = parts.catalog.borrow().clone()?;
    let model = catalog.model_by_id(&task.model)?;
    let version = model.version(task.version).filter(|v| is_pending(v))?;
    Some((Arc::clone(model), Arc::clone(version)))
}

fn try_import(parts: &WorkerContext, task: &Task) -> Result<crate::entity::version::Artifacts, Failed> {
    let (_, version) = find(parts, task).ok_or(Failed::Moot)?;
    let shown = || crate::text::quoted(&version.source);
    let origin = parts.sources.origin(&version.source).ok_or_else(|| Failed::Import(ImportError::Revoked(shown())))?;
    let taken = parts.sources.copy(&origin, &parts.store, &parts.limits, &|_, _| {}).map_err(Failed::Import)?;
    let first = |known: [&str; 3]| known.into_iter().find(|id| !id.is_empty()).unwrap_or_default().to_owned();
    let ((run, model), facts) = (origin.ids(), &taken.facts);
    let run_id = first([&version.run_id, run, facts.run_id.as_str()]);
    let model_id = first([&version.model_id, model, facts.model_id.as_str()]);
    let evidence = parts.sources.evidence(&run_id, &model_id);
    let ids = [Text::new(&run_id).unwrap_or_default(), Text::new(&model_id).unwrap_or_default()];
    let arrived = arrived(taken, ids, evidence);
    let sum = arrived.artifacts.clone();
    // The model may have been renamed meanwhile.
    let (model, version) = find(parts, task).ok_or(Failed::Moot)?;
    let (model, number) = (model.name.clone(), version.number);
    let action = Action::CompleteVersion { model, version: number, arrived: Box::new(arrived) };
    write(parts, &caller(parts, &version.created_by), action)?;
    Ok(sum)
}

/// Returns the copied files and their facts, for the version.
fn arrived(taken: IngestedFolder, [run_id, model_id]: [Text; 2], evidence: Result<Evidence, ImportError>) -> Arrived {
    let (evidence, note) = match evidence {
        Ok(found) => (found, findings(taken.facts.model.as_ref())),
        Err(e) => (Evidence::default(), message(&unknown(&e))),
    };
    let mut files = crate::tree::Patch::default();
    artifact::add_to_patch(&taken, "", &mut files);
    let attributes = artifact::attributes(&taken);
    let IngestedFolder { artifacts, facts, .. } = taken;
    Arrived {
        artifacts,
        files,
        attributes,
        run_id,
        model_id,
        params: evidence.params,
        metrics: evidence.metrics,
        schema: facts.schema,
        info: facts.model,
        environment: facts.environment,
        message: note,
    }
}

/// Returns the person who registered a version, as the caller who completes it.
fn caller(parts: &WorkerContext, created_by: &str) -> Arc<Caller> {
    let user = UserName::new(created_by).unwrap_or_else(|_| UserName::nobody());
    let catalog = parts.catalog.borrow().clone();
    let known = catalog.and_then(|c| Caller::of(&user, c.people().get(&user)?));
    // A person who is not in the registry is named by their address.
    let (name, email) = (user.as_str().to_owned(), user.as_str().to_owned());
    Arc::new(known.unwrap_or(Caller { user, name, email, read_only: false, delegated: false }))
}

/// Makes a change and waits until it is on disk.
fn write(parts: &WorkerContext, caller: &Arc<Caller>, action: Action) -> Result<(), Failed> {
    let jobs = parts.jobs.upgrade().ok_or(Failed::Moot)?;
    let (reply, answer) = oneshot::channel();
    let job = WriterJob::Change { caller: Arc::clone(caller), actions: vec![action], comment: String::new(), reply };
    jobs.blocking_send(job).map_err(|_| Failed::Moot)?;
    // While waiting for the writer, hold no handle that keeps the writer running.
    drop(jobs);
    answer.blocking_recv().map_err(|_| Failed::Moot)?.map(drop).map_err(Failed::Refused)
}
