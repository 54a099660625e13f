//! The entries of a `greenroom apply` file: the name of each action, its fields, and the action that results.

use std::collections::BTreeMap;

use crate::action::{Action, Hindered, NewVersion, NewWebhook, RequestSelector};
use crate::entity::settings::{AliasRule, Authority, MailPolicy, Removal, StageRule, UnreadyPolicy};
use crate::entity::version::VersionSource;
use crate::entity::{Person, Settings};
use crate::format::read::{Fields, FromTable, FromToml, Node};
use crate::name::{AliasName, Id, UserName};
use crate::stage::Stage;
use crate::text::Text;

/// The values of `do` with their fields, as `greenroom apply --help` lists them.
pub(in crate::cli) const WORDS: &str = "\
settings.change       name, authority, self_approval, removal, unready, notifications
stage.set             stage, from, level, approvals, approvers, approvals_to_leave, exclusive,
                      require, frozen
stage.unset           stage
model.create          model, description, tags
model.describe        model, description
model.rename          model, to
model.delete          model
model.set_tag         model, key, value
model.delete_tag      model, key
version.create        model, source, run_id, run_link, model_id, description, status, tags,
                      params, metrics, schema, environment, aliases, create_model
version.describe      model, version, description
version.set_status    model, version, status, message
version.add_evidence  model, version, params, metrics
version.delete        model, version
version.set_tag       model, version, key, value
version.delete_tag    model, version, key
version.transition    model, version, to, archive_existing
alias.set             model, alias, version
alias.delete          model, alias
alias.guard           alias, from, level, approvals, approvers, require, frozen
alias.unguard         alias
request.create        model, version, to, archive_existing, comment
request.approve       model, version, stage or id, by, archive_existing, comment
request.reject        model, version, stage or id, by, comment
request.cancel        model, version, stage or id, by, comment
comment.add           model, version, text
comment.edit          model, version, id, text
comment.delete        model, version, id
access.grant          to, level, model
access.revoke         to, model
group.change          group, add, remove
group.delete          group
person.add            user, name, emails, logins, keys, notifications
person.change         user, and the fields of person.add; they replace the whole person
person.remove         user
webhook.create        name, description, model, events, state, profile, url, job, insecure,
                      secret, authorization
webhook.change        id, and the fields of webhook.create; they replace the whole webhook
webhook.delete        id";

/// An entry of the file.
pub(in crate::cli) struct ApplyEntry {
    /// The value of `do`.
    pub(in crate::cli) word: String,
    what: EntrySubject,
}

/// The meaning of an entry.
enum EntrySubject {
    /// An action that needs no other state.
    Action(Action),
    /// A change of some settings; the other settings stay as they are.
    Settings {
        name: Option<Text>,
        authority: Option<Authority>,
        self_approval: Option<bool>,
        removal: Option<Removal>,
        unready: Option<UnreadyPolicy>,
        notifications: Option<MailPolicy>,
    },
    /// The complete rule of a stage.
    Rule(Stage, StageRule),
    /// The deletion of a stage rule.
    NoRule(Stage),
    /// The complete rule of an alias.
    Guard(AliasName, AliasRule),
    /// The deletion of an alias rule.
    NoGuard(AliasName),
}

/// The entries of the file, in their order.
pub(in crate::cli) struct Entries(pub(in crate::cli) Vec<ApplyEntry>);

impl FromTable for Entries {
    fn from_table(fields: &mut Fields<'_, '_>) -> Option<Self> {
        fields.required("action").map(Self)
    }
}

impl FromToml for ApplyEntry {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        let mut fields = node.fields()?;
        let word: Text = fields.required("do")?;
        let Some(read) = read(word.as_str(), &mut fields) else {
            let shown = crate::text::quoted(word.as_str());
            return node
                .wrong("value", format!("{shown} is not an action; `greenroom apply --help` lists the actions"));
        };
        fields.finish();
        Some(Self { word: word.as_str().to_owned(), what: read? })
    }
}

impl ApplyEntry {
    /// The action. A change of settings builds on `settings`, the state after the earlier entries.
    pub(in crate::cli) fn action(self, settings: &mut Settings) -> Action {
        let seen = Some(Box::new(settings.clone()));
        match self.what {
            EntrySubject::Action(action) => return action,
            EntrySubject::Settings { name, authority, self_approval, removal, unready, notifications } => {
                settings.rules.unready = unready.or(settings.rules.unready);
                settings.rules.removal = removal.unwrap_or(settings.rules.removal);
                let identity = &mut settings.identity;
                identity.authority = authority.unwrap_or(identity.authority);
                identity.self_approval = self_approval.unwrap_or(identity.self_approval);
                settings.notifications = notifications.unwrap_or_else(|| settings.notifications.clone());
                settings.name = name.unwrap_or_else(|| settings.name.clone());
            }
            EntrySubject::Rule(stage, rule) => drop(settings.stages.insert(stage, rule)),
            EntrySubject::NoRule(stage) => drop(settings.stages.remove(&stage)),
            EntrySubject::Guard(alias, rule) => drop(settings.aliases.insert(alias, rule)),
            EntrySubject::NoGuard(alias) => drop(settings.aliases.remove(&alias)),
        }
        Action::ChangeSettings { settings: settings.clone(), seen }
    }
}

/// Reads all fields of an action before a missing field ends the entry, so that every fault is reported.
macro_rules! action {
    ($f:ident, $variant:ident { $($field:ident : $mode:ident),* $(,)? }) => {{
        $(let $field = $f.$mode(stringify!($field));)*
        (|| Some(EntrySubject::Action(Action::$variant { $($field: action!(@take $mode, $field)),* })))()
    }};
    (@take required, $v:ident) => { $v? };
    (@take $other:ident, $v:ident) => { $v };
}

/// Reads the fields of an entry. The outer `None`: the value of `do` is unknown. The inner `None`: a field is missing
/// or wrong.
fn read(word: &str, f: &mut Fields<'_, '_>) -> Option<Option<EntrySubject>> {
    Some(match word {
        "settings.change" => {
            let (name, authority) = (f.optional("name"), f.optional("authority"));
            let (self_approval, removal) = (f.optional("self_approval"), f.optional("removal"));
            let (unready, notifications) = (f.optional("unready"), f.optional("notifications"));
            Some(EntrySubject::Settings { name, authority, self_approval, removal, unready, notifications })
        }
        "stage.set" => {
            let stage = f.required("stage");
            let rule = StageRule::from_table(f);
            stage.zip(rule).map(|(stage, rule)| EntrySubject::Rule(stage, rule))
        }
        "alias.guard" => {
            let alias = f.required("alias");
            let rule = AliasRule::from_table(f);
            alias.zip(rule).map(|(alias, rule)| EntrySubject::Guard(alias, rule))
        }
        "alias.unguard" => f.required("alias").map(EntrySubject::NoGuard),
        "stage.unset" => f.required("stage").map(EntrySubject::NoRule),
        "model.create" => action!(f, CreateModel { model: required, description: default, tags: default }),
        "model.describe" => action!(f, DescribeModel { model: required, description: required }),
        "model.rename" => action!(f, RenameModel { model: required, to: required }),
        "model.delete" => action!(f, DeleteModel { model: required }),
        "model.set_tag" => action!(f, SetModelTag { model: required, key: required, value: required }),
        "model.delete_tag" => action!(f, DeleteModelTag { model: required, key: required }),
        "alias.set" => action!(f, SetAlias { model: required, alias: required, version: required }),
        "alias.delete" => action!(f, DeleteAlias { model: required, alias: required }),
        "comment.add" => action!(f, AddComment { model: required, version: required, text: required }),
        "comment.edit" => action!(f, EditComment { model: required, version: required, id: required, text: required }),
        "comment.delete" => action!(f, DeleteComment { model: required, version: required, id: required }),
        "access.grant" => action!(f, Grant { model: optional, to: required, level: required }),
        "access.revoke" => action!(f, Revoke { model: optional, to: required }),
        "group.change" => action!(f, ChangeGroup { group: required, add: default, remove: default }),
        "group.delete" => action!(f, DeleteGroup { group: required }),
        "person.add" => person(f).map(|(user, person)| EntrySubject::Action(Action::AddPerson { user, person })),
        "person.change" => {
            person(f).map(|(user, person)| EntrySubject::Action(Action::ChangePerson { user, person, seen: None }))
        }
        "person.remove" => action!(f, RemovePerson { user: required }),
        "webhook.create" => webhook(f).map(|new| EntrySubject::Action(Action::CreateWebhook { new })),
        "webhook.change" => {
            let id = f.required("id");
            id.zip(webhook(f)).map(|(id, new)| EntrySubject::Action(Action::ChangeWebhook { id, new, seen: None }))
        }
        "webhook.delete" => action!(f, DeleteWebhook { id: required }),
        _ if word.starts_with("version.") => version(word, f)?,
        _ => request(word, f)?,
    })
}

/// Reads the actions on a version.
fn version(word: &str, f: &mut Fields<'_, '_>) -> Option<Option<EntrySubject>> {
    Some(match word {
        "version.create" => {
            let model = f.required("model");
            let new = new_version(f);
            model.map(|model| EntrySubject::Action(Action::CreateVersion { model, new: Box::new(new) }))
        }
        "version.describe" => {
            action!(f, DescribeVersion { model: required, version: required, description: required })
        }
        "version.set_status" => {
            action!(f, SetStatus { model: required, version: required, status: required, message: default })
        }
        "version.add_evidence" => {
            action!(f, AddEvidence { model: required, version: required, params: default, metrics: default })
        }
        "version.delete" => action!(f, DeleteVersion { model: required, version: required }),
        "version.set_tag" => {
            action!(f, SetVersionTag { model: required, version: required, key: required, value: required })
        }
        "version.delete_tag" => action!(f, DeleteVersionTag { model: required, version: required, key: required }),
        "version.transition" => {
            action!(f, Transition { model: required, version: required, to: required, archive_existing: default })
        }
        _ => return None,
    })
}

/// Reads the actions on a transition request.
fn request(word: &str, f: &mut Fields<'_, '_>) -> Option<Option<EntrySubject>> {
    if word == "request.create" {
        return Some(action!(
            f,
            CreateRequest {
                model: required,
                version: required,
                to: required,
                archive_existing: default,
                comment: default
            }
        ));
    }
    if !["request.approve", "request.reject", "request.cancel"].contains(&word) {
        return None;
    }
    let (model, version) = (f.required("model"), f.required("version"));
    let (which, comment) = (which(f), f.default("comment"));
    let archive_existing = word == "request.approve" && f.default("archive_existing");
    let action = model.zip(version).map(|(model, version)| match word {
        "request.approve" => {
            // All actions of the file are one commit or none, so an approval without its transition is refused.
            let hindered = Hindered::Refuse;
            Action::ApproveRequest { model, version, which, archive_existing, comment, hindered }
        }
        "request.reject" => Action::RejectRequest { model, version, which, comment },
        _ => Action::CancelRequest { model, version, which, comment },
    });
    Some(action.map(EntrySubject::Action))
}

fn which(f: &mut Fields<'_, '_>) -> RequestSelector {
    let (id, stage, by): (Option<Id>, Option<Stage>, Option<UserName>) =
        (f.optional("id"), f.optional("stage"), f.optional("by"));
    match (id, stage) {
        (Some(id), _) => RequestSelector::Id(id),
        (None, Some(stage)) => RequestSelector::Stage(stage, by),
        (None, None) => RequestSelector::Only,
    }
}

fn new_version(f: &mut Fields<'_, '_>) -> NewVersion {
    NewVersion {
        create_model: f.default("create_model"),
        description: f.default("description"),
        status: f.default("status"),
        source: VersionSource {
            uri: f.default("source"),
            run_id: f.default("run_id"),
            run_link: f.default("run_link"),
            model_id: f.default("model_id"),
            location: Text::default(),
        },
        tags: f.default("tags"),
        params: f.default::<BTreeMap<_, _>>("params"),
        metrics: f.default::<BTreeMap<_, _>>("metrics"),
        schema: f.optional("schema"),
        environment: f.optional("environment"),
        aliases: f.default("aliases"),
        ..NewVersion::default()
    }
}

fn person(f: &mut Fields<'_, '_>) -> Option<(UserName, Person)> {
    let user = f.required("user");
    user.zip(Person::from_table(f))
}

fn webhook(f: &mut Fields<'_, '_>) -> Option<Box<NewWebhook>> {
    let events = f.required("events");
    let rest = NewWebhook {
        name: f.default("name"),
        description: f.default("description"),
        model: f.optional("model"),
        state: f.default("state"),
        profile: f.default("profile"),
        url: f.optional("url"),
        job: f.optional("job"),
        insecure: f.default("insecure"),
        secret: f.optional("secret"),
        authorization: f.optional("authorization"),
        ..NewWebhook::default()
    };
    events.map(|events| Box::new(NewWebhook { events, ..rest }))
}
