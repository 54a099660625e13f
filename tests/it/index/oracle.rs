//! The answers of a fresh walk of the history, computed in the simplest way, and the answers of the index.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use greenroom::event::Event;
use greenroom::format::path::ModelDir;
use greenroom::index::{HistorySubject, Index, LogFilter};
use greenroom::name::ModelName;
use greenroom::registry::{LogEntry, Registry};
use greenroom::search::{PageLimits, Query};
use greenroom::stage::Stage;
use greenroom::time::Timestamp;
use greenroom::tree::Oid;
use serde_json::{Value, json};

/// The answers to all queries.
#[derive(Debug, PartialEq)]
pub struct Answers {
    log: Vec<Value>,
    /// By the subject: model, or model and version.
    logs: BTreeMap<(String, Option<u64>), Vec<Value>>,
    /// By time in milliseconds.
    landed: BTreeMap<i64, Option<Oid>>,
    models: Vec<Value>,
    versions: Vec<Value>,
}

impl Answers {
    /// Demands equal answers; names the first that differ.
    #[track_caller]
    pub fn assert_eq(&self, walked: &Self, when: &str) {
        same(&self.log, &walked.log, &format!("log, {when}"));
        same(&self.logs, &walked.logs, &format!("log of a subject, {when}"));
        same(&self.landed, &walked.landed, &format!("as of, {when}"));
        same(&self.models, &walked.models, &format!("models, {when}"));
        same(&self.versions, &walked.versions, &format!("versions, {when}"));
    }

    /// The answers of the index.
    pub fn of_index(index: &mut Index<'_>, registry: &Registry) -> Self {
        let subjects = subjects(&steps(registry));
        let mut log = |subject: HistorySubject| -> Vec<Value> {
            let entries = index.log(&LogFilter { subject, ..LogFilter::default() }).unwrap();
            entries
                .iter()
                .map(|e| {
                    let events: Vec<Value> = e.acts.iter().map(|a| serde_json::from_str(&a.json).unwrap()).collect();
                    let parent = e.parent.map(|p| p.to_string());
                    json!([
                        e.commit,
                        parent,
                        e.at,
                        e.by,
                        e.author,
                        e.landed_by,
                        e.asked_by,
                        e.signed,
                        e.comment,
                        events
                    ])
                })
                .collect()
        };
        let all = log(HistorySubject::All);
        let logs = subjects.into_iter().map(|(model, version)| {
            let name = ModelName::new(&model).unwrap();
            let subject = version.map_or(HistorySubject::Model(name.clone()), |v| HistorySubject::Version(name, v));
            let entries = log(subject);
            ((model, version), entries)
        });
        let logs = logs.collect();
        let landed = times(registry).into_iter().map(|t| (t, index.landed_at(Timestamp::from_millis(t)).unwrap()));
        let landed = landed.collect();
        // With this clause the search finds prompts as well.
        let everything = "tag.`mlflow.prompt.is_prompt` = 'true'";
        let (mut models, mut versions) = (Vec::new(), Vec::new());
        for filter in ["", everything] {
            let query = Query::models(filter, &[]).unwrap();
            let page = index.search_models(&query, 0, PageLimits::MODELS.size(Some("1000")).unwrap()).unwrap();
            let rows = page.rows.iter().map(|r| json!([r.name, r.updated, pairs(&r.tags)]));
            models.extend(rows);
            let query = Query::versions(filter, &["name".to_owned(), "version_number ASC".to_owned()]).unwrap();
            let page = index.search_versions(&query, 0, PageLimits::VERSIONS.size(None).unwrap()).unwrap();
            versions.extend(page.rows.iter().map(|r| {
                let f = &r.facts;
                let tags = pairs(&f.tags);
                json!([r.model, f.number, f.created, f.updated, f.created_by, f.stage, f.status, f.description, tags])
            }));
        }
        Self { log: all, logs, landed, models, versions }
    }

    /// The answers of a walk.
    pub fn of_walk(registry: &Registry) -> Self {
        let steps = steps(registry);
        let happened = steps.iter().rev().filter(|s| !s.entry.events.is_empty());
        let log = happened.map(|s| shown(s, &s.entry.events)).collect();
        let logs = subjects(&steps).into_iter().map(|(m, v)| ((m.clone(), v), log_of(&steps, m, v))).collect();
        let head = registry.head().unwrap().unwrap();
        let at = |t| registry.repo().landed_at(head, Timestamp::from_millis(t)).unwrap();
        let landed = times(registry).into_iter().map(|t| (t, at(t))).collect();
        let (models, versions) = rows(registry, &steps);
        Self { log, logs, landed, models, versions }
    }
}

/// Demands that two lists have the same items; shows the items of only one of them.
#[track_caller]
fn same<T: PartialEq + Debug>(said: impl IntoIterator<Item = T>, walked: impl IntoIterator<Item = T>, what: &str) {
    let (said, walked): (Vec<T>, Vec<T>) = (said.into_iter().collect(), walked.into_iter().collect());
    let only = |a: &[T], b: &[T]| a.iter().filter(|x| !b.contains(x)).map(|x| format!("{x:?}")).collect::<Vec<_>>();
    let (index, walk) = (only(&said, &walked), only(&walked, &said));
    assert!(said == walked, "{what}\n  only the index says {index:#?}\n  only a walk says {walk:#?}");
}

struct Step {
    parent: Option<Oid>,
    entry: LogEntry,
}

/// All steps, oldest first, including those without events.
fn steps(registry: &Registry) -> Vec<Step> {
    let head = registry.head().unwrap().unwrap();
    let walk = registry.repo().first_parents(head).unwrap().map(Result::unwrap);
    let step = |s: greenroom::git::Step| Step { parent: s.parent, entry: registry.step(s.commit, s.parent).unwrap() };
    let mut out: Vec<Step> = walk.map(step).collect();
    out.reverse();
    // The time of a step is the latest of its own time and the times before it.
    for n in 1..out.len() {
        out[n].entry.at = out[n].entry.at.max(out[n - 1].entry.at);
    }
    out
}

/// Every model that ever existed, and its first versions.
fn subjects(steps: &[Step]) -> BTreeSet<(String, Option<u64>)> {
    let names = steps.iter().flat_map(|s| &s.entry.events).filter_map(Event::model).map(|m| m.to_string());
    names.flat_map(|m| [None, Some(1), Some(2)].map(|v| (m.clone(), v))).collect()
}

/// Times around every commit.
fn times(registry: &Registry) -> BTreeSet<i64> {
    let at: Vec<i64> = steps(registry).iter().map(|s| s.entry.at.as_millis()).collect();
    at.into_iter().flat_map(|t| [t - 1, t, t + 1]).collect()
}

fn shown<'e>(step: &Step, events: impl IntoIterator<Item = &'e Event>) -> Value {
    let e = &step.entry;
    let events: Vec<&Event> = events.into_iter().collect();
    let parent = step.parent.map(|p| p.to_string());
    json!([e.commit, parent, e.at, e.by, e.author, e.landed_by, e.asked_by, e.signed, e.comment, events])
}

/// The log of a model or version, newest first, across renames.
fn log_of(steps: &[Step], mut name: String, version: Option<u64>) -> Vec<Value> {
    let mut out = Vec::new();
    for step in steps.iter().rev() {
        let renamed = step.entry.events.iter().find_map(|e| match e {
            Event::ModelRenamed { model, from } if model.as_str() == name => Some(from.to_string()),
            _ => None,
        });
        let is_of = |e: &&Event| {
            let old = matches!(e, Event::ModelRenamed { from, .. } if from.as_str() == name);
            (old || e.model().is_some_and(|m| m.as_str() == name)) && version.is_none_or(|v| e.version() == Some(v))
        };
        let events: Vec<&Event> = step.entry.events.iter().filter(is_of).collect();
        if !events.is_empty() {
            out.push(shown(step, events));
        }
        name = renamed.unwrap_or(name);
    }
    out
}

/// The times of the last relevant change of models and versions.
#[derive(Default)]
struct Times {
    model: BTreeMap<String, i64>,
    version: BTreeMap<(String, u64), i64>,
}

impl Times {
    fn take(&mut self, event: &Event, at: i64) {
        let model = event.model().map(ToString::to_string).unwrap_or_default();
        let number = event.version().unwrap_or(0);
        match event {
            Event::ModelCreated { .. } | Event::ModelDeleted { .. } => {
                self.version.retain(|(m, _), _| *m != model);
                self.model.insert(model, at);
            }
            Event::ModelRenamed { from, .. } => {
                let from = from.to_string();
                self.version.retain(|(m, _), _| *m != model && *m != from);
                // Every version changed with its model, whichever versions exist.
                self.version.extend((0..1000).map(|n| ((model.clone(), n), at)));
                self.model.remove(&from);
                self.model.insert(model, at);
            }
            Event::ModelDescribed { .. } => drop(self.model.insert(model, at)),
            Event::VersionCreated { created, .. } => {
                self.version.insert((model.clone(), number), at);
                self.model.insert(model, at.max(created.created_at.as_millis()));
            }
            Event::Transitioned { .. } | Event::VersionDeleted { .. } => {
                self.version.insert((model.clone(), number), at);
                self.model.insert(model, at);
            }
            Event::VersionDescribed { .. }
            | Event::StatusChanged { .. }
            | Event::VersionAltered { .. }
            | Event::ArtifactsChanged { .. } => drop(self.version.insert((model, number), at)),
            _ => {}
        }
    }
}

/// Models and versions at the tip; first those that are not prompts, then the prompts.
fn rows(registry: &Registry, steps: &[Step]) -> (Vec<Value>, Vec<Value>) {
    let mut times = Times::default();
    for step in steps {
        step.entry.events.iter().for_each(|e| times.take(e, step.entry.at.as_millis()));
    }
    let is_prompt = |tags: &greenroom::entity::Tags| {
        tags.iter().any(|(k, v)| k.as_str() == "mlflow.prompt.is_prompt" && v.as_str() == "true")
    };
    let (mut models, mut versions) = (BTreeMap::new(), BTreeMap::new());
    for view in registry.snapshot().unwrap().models().unwrap() {
        let file = view.file().unwrap().and_then(|f| f.value);
        let Some(m) = file.filter(|m| ModelDir::of(&m.name) == view.dir) else { continue };
        let name = m.name.to_string();
        let updated = m.created_at.as_millis().max(times.model.get(&name).copied().unwrap_or(i64::MIN));
        models.insert((is_prompt(&m.tags), name.clone()), json!([name, updated, m.tags]));
        let stages = view.stage_map().unwrap();
        let all = view.versions().unwrap();
        let files: Vec<_> = all.iter().map(|v| (v.number, v.file().unwrap().and_then(|f| f.value))).collect();
        let any_prompt = files.iter().any(|(_, v)| v.as_ref().is_some_and(|v| is_prompt(&v.tags)));
        for (number, version) in files.into_iter().filter_map(|(n, v)| Some((n, v?))) {
            let bumped = times.version.get(&(name.clone(), number)).copied().unwrap_or(i64::MIN);
            let (created, d) = (version.created_at.as_millis(), version.description.as_str());
            let stage = stages.get(&number).unwrap_or(&Stage::None);
            let description = (d.len() <= 256).then_some(d);
            let (by, status, tags) = (&version.created_by, version.status, &version.tags);
            let row = json!([name, number, created, created.max(bumped), by, stage, status, description, tags]);
            if !any_prompt {
                versions.insert((false, name.clone(), number), row);
            } else if is_prompt(&version.tags) {
                versions.insert((true, name.clone(), number), row);
            }
        }
    }
    (models.into_values().collect(), versions.into_values().collect())
}

fn pairs(tags: &[greenroom::index::Tag<'_>]) -> BTreeMap<String, String> {
    tags.iter().map(|t| (t.key.to_string(), t.value.to_string())).collect()
}
