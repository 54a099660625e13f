//! Sample events that never happened: for test deliveries, and to check the schemas.

use std::collections::BTreeSet;

use super::{DATABRICKS, MLFLOW, PayloadSubject};
use crate::entity::settings::{IdentitySettings, Layout};
use crate::entity::version::{Metric, VersionSource, VersionStatus};
use crate::entity::webhook::{PayloadProfile, WebhookState};
use crate::entity::{
    Comment, Model, PermissionLevel, Person, Request, RequestState, Review, ReviewVerdict, Settings, Tags, Version,
    Webhook,
};
use crate::event::{Event, TransitionCause};
use crate::name::{AliasName, Digest, GroupName, Id, Key, ModelName, Principal, UserName};
use crate::search::IS_PROMPT;
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;
use crate::tree::Oid;

/// The names of all events of the registry.
pub const OWN: [&str; 49] = [
    "registry.created",
    "registry.settings_changed",
    "registry.moved",
    "registry.deleted",
    "access.granted",
    "access.revoked",
    "group.created",
    "group.changed",
    "group.deleted",
    "person.added",
    "person.changed",
    "person.removed",
    "webhook.created",
    "webhook.changed",
    "webhook.deleted",
    "model.created",
    "model.renamed",
    "model.described",
    "model.tag_set",
    "model.tag_deleted",
    "model.altered",
    "model.deleted",
    "version.created",
    "version.described",
    "version.status_changed",
    "version.tag_set",
    "version.tag_deleted",
    "version.param_added",
    "version.metric_added",
    "version.altered",
    "version.artifacts_changed",
    "version.transitioned",
    "version.deleted",
    "comment.created",
    "comment.edited",
    "comment.altered",
    "comment.deleted",
    "request.created",
    "request.reviewed",
    "request.approved",
    "request.rejected",
    "request.cancelled",
    "request.altered",
    "request.deleted",
    "alias.set",
    "alias.deleted",
    "file.changed",
    "file.unreadable",
    "file.repaired",
];

/// A sample event.
#[derive(Debug)]
pub struct SampleEvent {
    what: SampleKind,
    /// Whether the sample is about an MLflow prompt.
    pub is_prompt: bool,
}

#[derive(Debug)]
enum SampleKind {
    Event(Box<Event>),
    RuleViolated(Vec<(String, String)>),
    HistoryRewritten(Oid),
}

impl SampleEvent {
    /// Returns the name of the model in the sample of an event. MLflow uses another one for prompts.
    pub fn model_name(name: &str) -> &'static str {
        if is_of_prompt(name) { "example_prompt" } else { "example_model" }
    }

    /// Returns a sample of the event with this name, which is Databricks', MLflow's or Greenroom's.
    pub fn of(name: &str, model: &ModelName, by: &UserName, now: Timestamp) -> Option<Self> {
        let is_prompt = is_of_prompt(name);
        let maker = SampleMaker { model, by, now, is_prompt };
        let what = match name {
            "rule.violated" => {
                let say = "'mallory' may not move it to Production".to_owned();
                SampleKind::RuleViolated(vec![("permission".to_owned(), say)])
            }
            "history.rewritten" => SampleKind::HistoryRewritten(Oid::from_bytes(&[0xab; 20])?),
            name => SampleKind::Event(Box::new(maker.event(own_name(name)?, stage_of(name))?)),
        };
        Some(Self { what, is_prompt })
    }

    /// Returns the event as the content of a delivery.
    pub fn subject(&self) -> PayloadSubject<'_> {
        match &self.what {
            SampleKind::Event(event) => PayloadSubject::Event(event),
            SampleKind::RuleViolated(faults) => PayloadSubject::RuleViolated(faults),
            SampleKind::HistoryRewritten(before) => PayloadSubject::HistoryRewritten(before),
        }
    }
}

/// Returns whether a name is one of MLflow's names for prompts.
fn is_of_prompt(name: &str) -> bool {
    name.starts_with("prompt")
}

/// Returns Greenroom's name of the event that another name means.
fn own_name(name: &str) -> Option<&'static str> {
    if DATABRICKS.contains(&name) {
        return Some(match name {
            "REGISTERED_MODEL_CREATED" => "model.created",
            "MODEL_VERSION_CREATED" => "version.created",
            "MODEL_VERSION_TAG_SET" => "version.tag_set",
            "COMMENT_CREATED" => "comment.created",
            name if name.starts_with("TRANSITION_REQUEST") => "request.created",
            _ => "version.transitioned",
        });
    }
    if MLFLOW.contains(&name) {
        return Some(match name {
            "registered_model.created" | "prompt.created" => "model.created",
            "model_version.created" | "prompt_version.created" => "version.created",
            "model_version_tag.set" | "prompt_version_tag.set" => "version.tag_set",
            "model_version_tag.deleted" | "prompt_version_tag.deleted" => "version.tag_deleted",
            "prompt_tag.set" => "model.tag_set",
            "prompt_tag.deleted" => "model.tag_deleted",
            "model_version_alias.created" | "prompt_alias.created" => "alias.set",
            _ => "alias.deleted",
        });
    }
    OWN.into_iter().find(|own| *own == name)
}

/// Returns the stage that a Databricks name contains.
fn stage_of(name: &str) -> Stage {
    if name.contains("_TO_STAGING") {
        Stage::Staging
    } else if name.contains("_TO_ARCHIVED") {
        Stage::Archived
    } else {
        Stage::Production
    }
}

fn text(s: &str) -> Text {
    Text::new(s).unwrap_or_default()
}

struct SampleMaker<'m> {
    model: &'m ModelName,
    by: &'m UserName,
    now: Timestamp,
    is_prompt: bool,
}

impl SampleMaker<'_> {
    fn event(&self, name: &str, to: Stage) -> Option<Event> {
        match name.split_once('.')?.0 {
            "registry" | "access" | "group" | "person" | "webhook" | "file" => self.of_registry(name),
            "model" => self.of_model(name),
            "version" | "alias" => self.of_version(name, to),
            _ => self.of_talk(name, to),
        }
    }

    fn of_registry(&self, name: &str) -> Option<Event> {
        let settings = || Settings {
            id: self.id(),
            name: text("example"),
            format: 1,
            layout: Layout::default(),
            identity: IdentitySettings::default(),
            notifications: crate::entity::settings::MailPolicy::default(),
            sources: Default::default(),
            acknowledged: Vec::new(),
            stages: Default::default(),
            aliases: Default::default(),
            rules: crate::entity::settings::Rules::default(),
        };
        let to = Principal::User(self.by.clone());
        let group = GroupName::new("risk").ok()?;
        let (members, user) = (BTreeSet::from([self.by.clone()]), self.by.clone());
        let person = Person { name: text("Alice"), ..Person::default() };
        let path = "docs/notes.md".to_owned();
        let after = Oid::from_bytes(&[0xcd; 20]);
        Some(match name {
            "registry.created" => Event::RegistryCreated { settings: settings() },
            "registry.settings_changed" => {
                Event::SettingsChanged { before: settings(), after: Settings { name: text("renamed"), ..settings() } }
            }
            "registry.moved" => Event::RegistryMoved { from: String::new(), to: "registry/".to_owned() },
            "registry.deleted" => Event::RegistryDeleted { settings: settings() },
            "access.granted" => Event::Granted { model: None, to, level: PermissionLevel::CanRead, before: None },
            "access.revoked" => Event::Revoked { model: None, to, level: PermissionLevel::CanRead },
            "group.created" => Event::GroupCreated { group, members },
            "group.changed" => Event::GroupChanged { group, added: members, removed: BTreeSet::new() },
            "group.deleted" => Event::GroupDeleted { group, members },
            "person.added" => Event::PersonAdded { user, person },
            "person.changed" => Event::PersonChanged { user, before: Person::default(), after: person },
            "person.removed" => Event::PersonRemoved { user, person },
            "webhook.created" => Event::WebhookCreated { webhook: self.webhook()? },
            "webhook.changed" => {
                let after = Webhook { state: WebhookState::Disabled, updated_at: Some(self.now), ..self.webhook()? };
                Event::WebhookChanged { before: self.webhook()?, after }
            }
            "webhook.deleted" => Event::WebhookDeleted { webhook: self.webhook()? },
            "file.changed" => Event::FileChanged { path, before: None, after },
            "file.unreadable" => Event::FileUnreadable { path },
            "file.repaired" => Event::FileRepaired { path },
            _ => return None,
        })
    }

    fn of_model(&self, name: &str) -> Option<Event> {
        let model = self.model.clone();
        let record = Model {
            id: self.id(),
            name: model.clone(),
            created_at: self.now,
            created_by: self.by.clone(),
            description: self.description("registered model"),
            retired: None,
            tags: self.tags()?,
        };
        let (key, value) = (Key::new("example_key").ok()?, text("example_value"));
        Some(match name {
            "model.created" => Event::ModelCreated { model, created: record },
            "model.renamed" => Event::ModelRenamed { model, from: ModelName::new("former").ok()? },
            "model.described" => Event::ModelDescribed { model, description: text("An example"), before: text("") },
            "model.tag_set" => Event::ModelTagSet { model, key, value, before: None },
            "model.tag_deleted" => Event::ModelTagDeleted { model, key, value },
            "model.altered" => {
                Event::ModelAltered { model, before: record.clone(), after: Model { retired: Some(1), ..record } }
            }
            "model.deleted" => Event::ModelDeleted { model, deleted: record },
            _ => return None,
        })
    }

    fn of_version(&self, name: &str, to: Stage) -> Option<Event> {
        let (model, version) = (self.model.clone(), 1);
        let (key, value) = (Key::new("example_key").ok()?, text("example_value"));
        let alias = AliasName::new("example_alias").ok()?;
        let record = self.version()?;
        Some(match name {
            "version.created" => Event::VersionCreated { model, version, created: record, artifacts: None },
            "version.described" => {
                Event::VersionDescribed { model, version, description: text("An example"), before: text("") }
            }
            "version.status_changed" => Event::StatusChanged {
                model,
                version,
                status: VersionStatus::Ready,
                message: text(""),
                before: VersionStatus::PendingRegistration,
            },
            "version.tag_set" => Event::VersionTagSet { model, version, key, value, before: None },
            "version.tag_deleted" => Event::VersionTagDeleted { model, version, key, value },
            "version.param_added" => Event::ParamAdded { model, version, key, value },
            "version.metric_added" => Event::MetricAdded { model, version, key, value: Metric::Value(0.93) },
            "version.altered" => {
                let after = Version { created_by: UserName::nobody(), ..record.clone() };
                Event::VersionAltered { model, version, before: Box::new(record), after: Box::new(after) }
            }
            "version.artifacts_changed" => {
                Event::ArtifactsChanged { model, version, before: None, after: Oid::from_bytes(&[0xcd; 20]) }
            }
            "version.transitioned" => {
                Event::Transitioned { model, version, from: Stage::None, to, cause: TransitionCause::Direct }
            }
            "version.deleted" => Event::VersionDeleted { model, version, deleted: record },
            "alias.set" => Event::AliasSet { model, alias, version, before: None },
            "alias.deleted" => Event::AliasDeleted { model, alias, version },
            _ => return None,
        })
    }

    /// Returns an event of a comment or a request.
    fn of_talk(&self, name: &str, to: Stage) -> Option<Event> {
        let (model, version, by) = (self.model.clone(), 1, self.by.clone());
        let comment = Comment {
            id: self.id(),
            created_by: by.clone(),
            created_at: self.now,
            edited_at: None,
            text: text("Raw text content of the comment"),
        };
        let edited = Comment { edited_at: Some(self.now), text: text("Edited"), ..comment.clone() };
        let review = Review {
            by: by.clone(),
            at: self.now,
            verdict: ReviewVerdict::Approved,
            comment: text("fine"),
            subject: Digest::new("0".repeat(64)).ok()?,
        };
        let request = Request {
            id: self.id(),
            to,
            created_by: by.clone(),
            created_at: self.now,
            comment: text("please"),
            archive_existing: true,
            state: RequestState::Pending,
            closed_by: None,
            closed_at: None,
            close_comment: text(""),
            review: Vec::new(),
        };
        let closed =
            |state| Request { state, closed_by: Some(by.clone()), closed_at: Some(self.now), ..request.clone() };
        Some(match name {
            "comment.created" => Event::CommentCreated { model, version, comment },
            "comment.edited" => Event::CommentEdited { model, version, before: comment, after: edited },
            "comment.altered" => Event::CommentAltered { model, version, before: comment, after: edited },
            "comment.deleted" => Event::CommentDeleted { model, version, comment },
            "request.created" => Event::RequestCreated { model, version, request },
            "request.reviewed" => {
                let request = Request { review: vec![review.clone()], ..request };
                Event::RequestReviewed { model, version, review, request }
            }
            "request.approved" => {
                let request = Request { review: vec![review], ..closed(RequestState::Approved) };
                Event::RequestApproved { model, version, request }
            }
            "request.rejected" => Event::RequestRejected { model, version, request: closed(RequestState::Rejected) },
            "request.cancelled" => {
                let request = closed(RequestState::Cancelled);
                Event::RequestCancelled { model, version, overtaken: false, request }
            }
            "request.altered" => {
                let after = Request { created_by: UserName::nobody(), ..request.clone() };
                Event::RequestAltered { model, version, before: request, after }
            }
            "request.deleted" => Event::RequestDeleted { model, version, request },
            _ => return None,
        })
    }

    /// Returns the description in MLflow's own samples.
    fn description(&self, of_model: &str) -> Text {
        text(&match (self.is_prompt, of_model) {
            (true, "model version") => "An example prompt version".to_owned(),
            (true, _) => "An example prompt".to_owned(),
            (false, of_model) => format!("An example {of_model}"),
        })
    }

    fn id(&self) -> Id {
        Id::from_parts(self.now.as_millis(), [0; 10])
    }

    fn tags(&self) -> Option<Tags> {
        let mut tags = Tags::from([(Key::new("example_key").ok()?, text("example_value"))]);
        if self.is_prompt {
            tags.insert(Key::new(IS_PROMPT).ok()?, text("true"));
        }
        Some(tags)
    }

    fn version_tags(&self) -> Option<Tags> {
        let mut tags = self.tags()?;
        if self.is_prompt {
            tags.insert(Key::new("mlflow.prompt.text").ok()?, text("Hello {{name}}!"));
            tags.insert(Key::new("_mlflow_prompt_type").ok()?, text("text"));
        }
        Some(tags)
    }

    fn version(&self) -> Option<Version> {
        Some(Version {
            id: self.id(),
            created_at: self.now,
            created_by: self.by.clone(),
            description: self.description("model version"),
            status: VersionStatus::Ready,
            status_message: text(""),
            source: VersionSource {
                uri: text("models:/123"),
                run_id: text("abcd1234abcd5678"),
                ..VersionSource::default()
            },
            artifacts: None,
            tags: self.version_tags()?,
            params: Default::default(),
            metrics: Default::default(),
            schema: None,
            model: None,
            environment: None,
        })
    }

    fn webhook(&self) -> Option<Webhook> {
        Some(Webhook {
            id: self.id(),
            created_at: self.now,
            created_by: self.by.clone(),
            updated_at: None,
            name: text("example"),
            description: text(""),
            model: None,
            events: BTreeSet::from(["*".parse().ok()?]),
            state: WebhookState::Active,
            profile: PayloadProfile::Standard,
            url: Some(text("https://hooks.example.org/")),
            job: None,
            insecure: false,
            secret: None,
            authorization: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::WATCHER;

    #[test]
    fn every_name_has_a_sample_of_its_own() {
        let (model, by) = (ModelName::new("m").unwrap(), UserName::new("alice").unwrap());
        let now = Timestamp::from_millis(1_589_859_029_343);
        for name in OWN {
            let sample = SampleEvent::of(name, &model, &by, now).unwrap_or_else(|| panic!("{name}"));
            let PayloadSubject::Event(event) = sample.subject() else { panic!("{name}") };
            assert_eq!(event.name(), name);
        }
        for name in DATABRICKS.iter().chain(&MLFLOW).chain(&WATCHER) {
            assert!(SampleEvent::of(name, &model, &by, now).is_some(), "{name}");
        }
        assert!(SampleEvent::of("version.imagined", &model, &by, now).is_none());
    }
}
