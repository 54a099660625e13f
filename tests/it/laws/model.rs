//! A registry as plain maps: the model that tests compare with the real registry. It folds events, can be written as
//! files in several ways, and knows the expected events of each action.

use std::collections::{BTreeMap, BTreeSet};

use greenroom::action::{Action, Arrived, Hindered, NewVersion, NewWebhook, RequestSelector};
use greenroom::entity::settings::{Layout, Settings, StageRule};
use greenroom::entity::version::{Artifacts, ModelInfo, VersionStatus};
use greenroom::entity::{
    Access, AliasPointer, Comment, Grant, Model, PermissionLevel, Person, Request, RequestState, StagePointer, Version,
    Webhook,
};
use greenroom::event::Event;
use greenroom::format::path::{self, Paths};
use greenroom::format::{EntityFile, print};
use greenroom::name::{AliasName, Digest, GroupName, Id, Key, ModelName, Principal, UserName};
use greenroom::snapshot::{File, Snapshot};
use greenroom::stage::Stage;
use greenroom::text::Text;
use greenroom::time::Timestamp;
use greenroom::tree::{Memory, Objects, Oid, Patch, Stage as _};

/// The contents of a registry. The layout is not part of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    settings: Option<Settings>,
    grants: BTreeMap<Principal, PermissionLevel>,
    groups: BTreeMap<GroupName, BTreeSet<UserName>>,
    people: BTreeMap<UserName, Person>,
    webhooks: BTreeMap<Id, Webhook>,
    models: BTreeMap<ModelName, ModelState>,
}

#[derive(Debug, Clone, PartialEq)]
struct ModelState {
    model: Model,
    grants: BTreeMap<Principal, PermissionLevel>,
    stages: BTreeMap<u64, Stage>,
    aliases: BTreeMap<AliasName, u64>,
    versions: BTreeMap<u64, VersionState>,
}

#[derive(Debug, Clone, PartialEq)]
struct VersionState {
    version: Version,
    requests: BTreeMap<Id, Request>,
    comments: BTreeMap<Id, Comment>,
}

fn values<K: Ord, T>(files: BTreeMap<K, File<T>>) -> BTreeMap<K, T> {
    files.into_iter().map(|(k, f)| (k, f.value.expect("a file without fault"))).collect()
}

fn grants(access: &Access) -> BTreeMap<Principal, PermissionLevel> {
    access.grants.iter().map(|g| (g.to.clone(), g.level)).collect()
}

impl State {
    /// Reads all of a snapshot.
    pub fn read(s: &Snapshot<'_>) -> Self {
        let access = s.access().expect("readable");
        let people = s.people().expect("readable").clone();
        let models = s.models().expect("readable").into_iter().map(|view| {
            let model = view.file().expect("readable").and_then(|f| f.value).expect("a model.toml");
            let versions = view.versions().expect("readable").into_iter().map(|v| {
                let version = v.file().expect("readable").and_then(|f| f.value).expect("a version.toml");
                let (requests, comments) = (v.requests().expect("readable"), v.comments().expect("readable"));
                (v.number, VersionState { version, requests: values(requests), comments: values(comments) })
            });
            let aliases =
                view.aliases().expect("readable").into_iter().map(|(a, f)| (a, f.value.expect("sound").version));
            let own = view.access().expect("readable").and_then(|f| f.value).unwrap_or_default();
            let state = ModelState {
                grants: grants(&own),
                stages: view.stage_map().expect("readable"),
                aliases: aliases.collect(),
                versions: versions.collect(),
                model: model.clone(),
            };
            (model.name, state)
        });
        Self {
            settings: s.settings().expect("readable").cloned().map(|s| Settings { layout: Layout::Flat, ..s }),
            grants: grants(access),
            groups: access.groups.clone(),
            people: values(people),
            webhooks: values(s.webhooks().expect("readable")),
            models: models.collect(),
        }
    }

    /// The grant of a new model: a creator who does not manage the registry gets CAN_MANAGE on the model.
    fn registered(&self, model: &ModelName, actor: &UserName) -> Vec<String> {
        let is = |to: &Principal| match to {
            Principal::User(user) => user == actor,
            Principal::Group(group) => {
                *group == GroupName::everyone() || self.groups.get(group).is_some_and(|members| members.contains(actor))
            }
        };
        let manages = self.grants.iter().any(|(to, level)| *level == PermissionLevel::CanManage && is(to));
        let grant = (!manages).then(|| format!("access.granted {model}"));
        grant.into_iter().chain([format!("model.created {model}")]).collect()
    }

    fn model(&mut self, name: &ModelName) -> &mut ModelState {
        self.models.get_mut(name).expect("the events name models that are there")
    }

    fn version(&mut self, name: &ModelName, number: u64) -> &mut VersionState {
        self.model(name).versions.get_mut(&number).expect("the events name versions that are there")
    }

    /// Applies an event.
    pub fn fold(&mut self, event: &Event) {
        match event.clone() {
            Event::RegistryCreated { settings } | Event::SettingsChanged { after: settings, .. } => {
                self.settings = Some(Settings { layout: Layout::Flat, ..settings });
            }
            // The folder is not part of the state.
            Event::RegistryMoved { .. } => {}
            Event::RegistryDeleted { .. } => self.settings = None,
            Event::Granted { model, to, level, .. } => drop(self.grants_of(model.as_ref()).insert(to, level)),
            Event::Revoked { model, to, .. } => drop(self.grants_of(model.as_ref()).remove(&to)),
            Event::GroupCreated { group, members } => drop(self.groups.insert(group, members)),
            Event::GroupChanged { group, added, removed } => {
                let members = self.groups.get_mut(&group).expect("the group is there");
                members.extend(added);
                members.retain(|m| !removed.contains(m));
            }
            Event::GroupDeleted { group, .. } => drop(self.groups.remove(&group)),
            Event::PersonAdded { user, person } | Event::PersonChanged { user, after: person, .. } => {
                self.people.insert(user, person);
            }
            Event::PersonRemoved { user, .. } => drop(self.people.remove(&user)),
            Event::WebhookCreated { webhook } | Event::WebhookChanged { after: webhook, .. } => {
                self.webhooks.insert(webhook.id.clone(), webhook);
            }
            Event::WebhookDeleted { webhook } => drop(self.webhooks.remove(&webhook.id)),
            Event::ModelDeleted { model, .. } => drop(self.models.remove(&model)),
            Event::FileChanged { .. } | Event::FileUnreadable { .. } | Event::FileRepaired { .. } => {}
            other => self.fold_model(other),
        }
    }

    fn grants_of(&mut self, model: Option<&ModelName>) -> &mut BTreeMap<Principal, PermissionLevel> {
        match model {
            Some(model) => &mut self.model(model).grants,
            None => &mut self.grants,
        }
    }

    fn fold_model(&mut self, event: Event) {
        match event {
            Event::ModelCreated { model, created } => {
                let empty = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
                let (grants, stages, aliases, versions) = empty;
                self.models.insert(model, ModelState { model: created, grants, stages, aliases, versions });
            }
            Event::ModelRenamed { model, from } => {
                let mut state = self.models.remove(&from).expect("the model is there");
                state.model.name = model.clone();
                self.models.insert(model, state);
            }
            Event::ModelAltered { model, after, .. } => self.model(&model).model = after,
            Event::ModelDescribed { model, description, .. } => self.model(&model).model.description = description,
            Event::ModelTagSet { model, key, value, .. } => drop(self.model(&model).model.tags.insert(key, value)),
            Event::ModelTagDeleted { model, key, .. } => drop(self.model(&model).model.tags.remove(&key)),
            Event::AliasSet { model, alias, version, .. } => drop(self.model(&model).aliases.insert(alias, version)),
            Event::AliasDeleted { model, alias, .. } => drop(self.model(&model).aliases.remove(&alias)),
            Event::Transitioned { model, version, to, .. } => {
                self.model(&model).stages.insert(version, to);
                self.model(&model).stages.retain(|_, s| *s != Stage::None);
            }
            Event::VersionCreated { model, version, created, .. } => {
                let state = VersionState { version: created, requests: BTreeMap::new(), comments: BTreeMap::new() };
                self.model(&model).versions.insert(version, state);
            }
            Event::VersionDeleted { model, version, .. } => {
                self.model(&model).versions.remove(&version);
                self.model(&model).stages.remove(&version);
            }
            other => self.fold_version(other),
        }
    }

    fn fold_version(&mut self, event: Event) {
        let (Some(model), Some(number)) = (event.model().cloned(), event.version()) else {
            panic!("no fold for {event:?}")
        };
        let state = self.version(&model, number);
        let v = &mut state.version;
        match event {
            Event::VersionAltered { after, .. } => *v = *after,
            // The files are not part of this state; their digest is.
            Event::ArtifactsChanged { .. } => {}
            Event::VersionDescribed { description, .. } => v.description = description,
            Event::StatusChanged { status, message, .. } => (v.status, v.status_message) = (status, message),
            Event::VersionTagSet { key, value, .. } => drop(v.tags.insert(key, value)),
            Event::VersionTagDeleted { key, .. } => drop(v.tags.remove(&key)),
            Event::ParamAdded { key, value, .. } => drop(v.params.insert(key, value)),
            Event::MetricAdded { key, value, .. } => drop(v.metrics.insert(key, value)),
            Event::CommentCreated { comment, .. }
            | Event::CommentEdited { after: comment, .. }
            | Event::CommentAltered { after: comment, .. } => drop(state.comments.insert(comment.id.clone(), comment)),
            Event::CommentDeleted { comment, .. } => drop(state.comments.remove(&comment.id)),
            Event::RequestCreated { request, .. }
            | Event::RequestReviewed { request, .. }
            | Event::RequestApproved { request, .. }
            | Event::RequestRejected { request, .. }
            | Event::RequestCancelled { request, .. }
            | Event::RequestAltered { after: request, .. } => drop(state.requests.insert(request.id.clone(), request)),
            Event::RequestDeleted { request, .. } => drop(state.requests.remove(&request.id)),
            other => panic!("no fold for {other:?}"),
        }
    }
}

/// The way to write a state as files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Style {
    /// As greenroom writes it, in a layout.
    Canonical(Layout),
    /// In the flat layout, with comments, other spacing and reversed keys.
    ByHand,
}

impl State {
    /// Writes the state as files and returns their tree.
    pub fn tree(&self, store: &Memory, style: Style) -> Oid {
        let layout = match style {
            Style::Canonical(layout) => layout,
            Style::ByHand => Layout::Flat,
        };
        let (paths, mut out) = (Paths(layout), Writer { style, patch: Patch::default() });
        if let Some(settings) = &self.settings {
            out.put("greenroom.toml", &Settings { layout, ..settings.clone() });
        }
        out.access("access.toml", &self.grants, &self.groups);
        self.people.iter().for_each(|(user, person)| out.put(&path::person(user), person));
        self.webhooks.iter().for_each(|(id, webhook)| out.put(&path::webhook(id), webhook));
        for (name, m) in &self.models {
            let folder = paths.model(name);
            out.put(&format!("{folder}/model.toml"), &m.model);
            out.access(&format!("{folder}/access.toml"), &m.grants, &BTreeMap::new());
            for stage in m.stages.values().collect::<BTreeSet<_>>() {
                let versions = m.stages.iter().filter(|(_, s)| *s == stage).map(|(n, _)| *n).collect();
                out.put(&format!("{folder}/stages/{stage}.toml"), &StagePointer { versions });
            }
            for (alias, version) in &m.aliases {
                out.put(&format!("{folder}/aliases/{}", path::alias_file(alias)), &AliasPointer { version: *version });
            }
            for (n, v) in &m.versions {
                let folder = paths.version(name, *n);
                out.put(&format!("{folder}/version.toml"), &v.version);
                v.requests.iter().for_each(|(id, r)| out.put(&format!("{folder}/requests/{id}.toml"), r));
                v.comments.iter().for_each(|(id, c)| out.put(&format!("{folder}/comments/{id}.toml"), c));
            }
        }
        store.stage(None, &out.patch).expect("a tree in memory")
    }

    /// A registry of `models` models, each with one version.
    pub fn many(models: usize) -> Self {
        let Action::CreateRegistry { settings, maker } = founding() else { panic!("founding makes a registry") };
        let alice = user("alice");
        let id = |n: usize| {
            let mut random = [0; 10];
            random[2..].copy_from_slice(&(n as u64).to_be_bytes());
            Id::from_parts(1_772_366_400_000, random)
        };
        let at = Timestamp::from_millis(1_772_366_400_000);
        let one = |n: usize| {
            let name = ModelName::new(format!("m-{n:04}")).expect("a name");
            let model = Model {
                id: id(n),
                name: name.clone(),
                created_at: at,
                created_by: alice.clone(),
                description: Text::default(),
                retired: None,
                tags: BTreeMap::new(),
            };
            let version = Version {
                id: id(n + 1_000_000),
                created_at: at,
                created_by: alice.clone(),
                description: Text::default(),
                status: VersionStatus::Ready,
                status_message: Text::default(),
                source: greenroom::entity::version::VersionSource::default(),
                artifacts: None,
                tags: BTreeMap::new(),
                params: BTreeMap::new(),
                metrics: BTreeMap::new(),
                schema: None,
                model: None,
                environment: None,
            };
            let version = VersionState { version, requests: BTreeMap::new(), comments: BTreeMap::new() };
            let (grants, stages, aliases) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
            (name, ModelState { model, grants, stages, aliases, versions: [(1, version)].into() })
        };
        Self {
            settings: Some(settings),
            grants: [(Principal::User(alice.clone()), PermissionLevel::CanManage)].into(),
            people: [(alice.clone(), maker)].into(),
            models: (0..models).map(one).collect(),
            ..Self::default()
        }
    }
}

struct Writer {
    style: Style,
    patch: Patch,
}

impl Writer {
    fn put<T: EntityFile>(&mut self, path: &str, value: &T) {
        let text = print(value);
        let text = match self.style {
            Style::Canonical(_) => text,
            Style::ByHand => rewritten(&text),
        };
        self.patch.write(path, text);
    }

    fn access(
        &mut self,
        path: &str,
        grants: &BTreeMap<Principal, PermissionLevel>,
        groups: &BTreeMap<GroupName, BTreeSet<UserName>>,
    ) {
        let grants = grants.iter().map(|(to, level)| Grant { to: to.clone(), level: *level }).collect();
        let access = Access { grants, groups: groups.clone() };
        if access != Access::default() {
            self.put(path, &access);
        }
    }
}

/// The same TOML with reversed keys, comments and blank lines.
fn rewritten(text: &str) -> String {
    let mut doc: toml_edit::DocumentMut = text.parse().expect("what we print is TOML");
    doc.as_table_mut().sort_values_by(|a, _, b, _| b.cmp(a));
    for (mut key, _) in doc.as_table_mut().iter_mut() {
        key.leaf_decor_mut().set_suffix("   ");
    }
    format!("# By hand.\n\n{doc}\n\n# The end.\n")
}

/// All readable files of a snapshot, by path, as text.
pub fn read_all(store: &dyn Objects, root: Option<Oid>) -> BTreeMap<String, String> {
    let s = Snapshot::new(store, root, "").expect("a state in memory");
    let mut out = BTreeMap::new();
    fn note<T: std::fmt::Debug>(out: &mut BTreeMap<String, String>, file: Option<File<T>>) {
        out.extend(file.map(|f| (f.path, format!("{:?}", f.value))));
    }
    note(&mut out, s.settings_file().expect("readable").cloned());
    note(&mut out, s.access_file().expect("readable").cloned());
    s.people().expect("readable").values().for_each(|f| note(&mut out, Some(f.clone())));
    s.webhooks().expect("readable").into_values().for_each(|f| note(&mut out, Some(f)));
    for view in s.models().expect("readable") {
        note(&mut out, view.file().expect("readable"));
        note(&mut out, view.access().expect("readable"));
        view.stages().expect("readable").into_iter().for_each(|(_, f)| note(&mut out, Some(f)));
        view.aliases().expect("readable").into_iter().for_each(|(_, f)| note(&mut out, Some(f)));
        for v in view.versions().expect("readable") {
            note(&mut out, v.file().expect("readable"));
            v.requests().expect("readable").into_values().for_each(|f| note(&mut out, Some(f)));
            v.comments().expect("readable").into_values().for_each(|f| note(&mut out, Some(f)));
        }
    }
    out
}

fn user(name: &str) -> UserName {
    UserName::new(name).expect("a person's id")
}

fn text(s: &str) -> Text {
    Text::new(s).expect("plain text")
}

fn person(email: &str) -> Person {
    Person { emails: [text(email)].into(), ..Person::default() }
}

/// Makes the registry of the tests: one declared stage, which holds one version.
pub fn founding() -> Action {
    let canary = "Canary".parse().expect("a stage");
    let settings = Settings {
        id: Id::from_parts(1_772_366_400_000, [9; 10]),
        name: text("laws"),
        format: 1,
        layout: Layout::Flat,
        identity: greenroom::entity::settings::IdentitySettings::default(),
        notifications: greenroom::entity::settings::MailPolicy::default(),
        rules: greenroom::entity::settings::Rules::default(),
        sources: Default::default(),
        acknowledged: Vec::new(),
        stages: [(canary, StageRule { exclusive: true, ..StageRule::default() })].into(),
        aliases: std::collections::BTreeMap::new(),
    };
    Action::CreateRegistry { settings, maker: person("alice@example.org") }
}

/// Changes of one model or version, for counting their reads.
pub fn small_changes() -> Vec<Action> {
    let model = ModelName::new("m-0042").expect("a name");
    let m = || model.clone();
    vec![
        Action::CreateModel {
            model: ModelName::new("brand-new").expect("a name"),
            description: text(""),
            tags: BTreeMap::new(),
        },
        Action::DescribeModel { model: m(), description: text("x") },
        Action::CreateVersion { model: m(), new: Box::default() },
        Action::DescribeVersion { model: m(), version: 1, description: text("x") },
        Action::SetVersionTag { model: m(), version: 1, key: key(0), value: text("x") },
        Action::SetAlias { model: m(), alias: alias(0), version: 1 },
        Action::Transition { model: m(), version: 1, to: Stage::Staging, archive_existing: false },
        Action::CreateRequest {
            model: m(),
            version: 1,
            to: Stage::Staging,
            archive_existing: false,
            comment: text(""),
        },
        Action::AddComment { model: m(), version: 1, text: text("x") },
        Action::Grant { model: Some(m()), to: Principal::User(user("alice")), level: PermissionLevel::CanManage },
        Action::RenameModel { model: m(), to: ModelName::new("another").expect("a name") },
        Action::DeleteVersion { model: m(), version: 1 },
    ]
}

fn key(n: u8) -> Key {
    Key::new(["team", "data/source", "größe"][usize::from(n) % 3]).expect("a key")
}

fn alias(n: u8) -> AliasName {
    AliasName::new(["champion", "challenger"][usize::from(n) % 2]).expect("an alias")
}

fn words(n: u8) -> Text {
    text(["", "one", "two\nlines \"quoted\"", "# three"][usize::from(n) % 4])
}

fn pick<T: Clone>(from: impl IntoIterator<Item = T>, n: u8) -> Option<T> {
    let all: Vec<T> = from.into_iter().collect();
    all.get(usize::from(n) % all.len().max(1)).cloned()
}

/// A random action on existing things, and sometimes on missing ones.
pub fn action(state: &State, [what, a, b, c]: [u8; 4]) -> Action {
    let names = ["churn", "wine quality", "größe"];
    let model = ModelName::new(names[usize::from(a) % 3]).expect("a name");
    let there = state.models.get(&model);
    let version = there.and_then(|m| pick(m.versions.keys().copied(), b)).unwrap_or(u64::from(b % 3) + 1);
    let v = there.and_then(|m| m.versions.get(&version));
    let to =
        pick([Stage::None, Stage::Staging, Stage::Production, Stage::Archived, "Canary".parse().expect("a stage")], c)
            .expect("some stage");
    let archive_existing = to.is_active() && c % 2 == 0;
    let who = user(["alice", "bob", "carol"][usize::from(b) % 3]);
    let to_whom = if c % 3 == 0 {
        Principal::Group(GroupName::new("risk").expect("a group"))
    } else {
        Principal::User(who.clone())
    };
    let group = GroupName::new("risk").expect("a group");
    let level = PermissionLevel::ALL[usize::from(c) % PermissionLevel::ALL.len()];
    let on = (a % 4 != 3).then(|| model.clone());
    let nowhere = Id::from_parts(0, [0; 10]);
    let comment = v.and_then(|v| pick(v.comments.keys().cloned(), c)).unwrap_or_else(|| nowhere.clone());
    let hook = pick(state.webhooks.keys().cloned(), b).unwrap_or(nowhere);
    let webhook = |model: Option<ModelName>| {
        let (events, url) = (["*".parse().expect("a pattern")].into(), Some(text("https://example.org/")));
        Box::new(NewWebhook { name: words(c), model, events, url, ..NewWebhook::default() })
    };
    let (which, description) = (RequestSelector::Only, words(c));
    match what % 35 {
        0 | 33 => Action::CreateModel { model, description, tags: BTreeMap::new() },
        1 => Action::DescribeModel { model, description },
        2 => Action::SetModelTag { model, key: key(b), value: words(c) },
        3 => Action::DeleteModelTag { model, key: key(b) },
        4 => Action::RenameModel { model, to: ModelName::new(names[usize::from(b) % 3]).expect("a name") },
        5 => Action::DeleteModel { model },
        6 | 7 => {
            let aliases = if c % 3 == 0 { [alias(b)].into() } else { BTreeSet::new() };
            Action::CreateVersion {
                model,
                new: Box::new(NewVersion { create_model: b % 2 == 0, aliases, ..NewVersion::default() }),
            }
        }
        8 => Action::DescribeVersion { model, version, description },
        9 => Action::SetStatus { model, version, status: VersionStatus::ALL[usize::from(b) % 3], message: words(c) },
        34 => Action::CompleteVersion { model, version, arrived: arrived(b, c) },
        10 => Action::AddEvidence { model, version, params: [(key(b), words(c))].into(), metrics: BTreeMap::new() },
        11 => Action::DeleteVersion { model, version },
        12 => Action::SetVersionTag { model, version, key: key(b), value: words(c) },
        13 => Action::DeleteVersionTag { model, version, key: key(b) },
        14 => Action::SetAlias { model, alias: alias(c), version },
        15 => Action::DeleteAlias { model, alias: alias(c) },
        16 | 17 => Action::Transition { model, version, to, archive_existing },
        18 | 19 => Action::CreateRequest { model, version, to, archive_existing, comment: words(b) },
        20 => {
            let (comment, hindered) = (words(c), Hindered::Refuse);
            Action::ApproveRequest { model, version, which, archive_existing: false, comment, hindered }
        }
        21 => Action::RejectRequest { model, version, which, comment: words(c) },
        22 => Action::CancelRequest { model, version, which, comment: words(c) },
        23 => Action::AddComment { model, version, text: text("What of it?") },
        24 => Action::EditComment { model, version, id: comment, text: text("Indeed.") },
        25 => Action::DeleteComment { model, version, id: comment },
        26 => Action::Grant { model: on, to: to_whom, level },
        27 if c % 3 == 0 => Action::SetGrants { model: on, grants: [(to_whom, level)].into() },
        27 => Action::Revoke { model: on, to: to_whom },
        28 if c % 3 == 0 => Action::DeleteGroup { group },
        28 => Action::ChangeGroup { group, add: [who].into(), remove: BTreeSet::new() },
        29 if c % 4 == 0 => Action::RemovePerson { user: who },
        29 if c % 2 == 0 => Action::ChangePerson {
            user: who.clone(),
            person: Person { name: words(c), ..person(&format!("{who}@example.org")) },
            seen: None,
        },
        29 => Action::AddPerson { user: who.clone(), person: person(&format!("{who}@example.org")) },
        30 => Action::CreateWebhook { new: webhook(on) },
        31 if c % 3 == 0 => Action::DeleteWebhook { id: hook },
        31 => {
            let model = state.webhooks.get(&hook).and_then(|w| w.model.clone());
            Action::ChangeWebhook { id: hook, new: webhook(model), seen: None }
        }
        _ => {
            let settings = state.settings.clone().expect("a registry");
            Action::ChangeSettings { settings: Settings { name: words(c), ..settings }, seen: None }
        }
    }
}

/// The expected events of an action, sorted; `None` if it cannot be applied. Written from the meaning of actions, not
/// from their implementation.
pub fn promise(s: &State, action: &Action, actor: &UserName) -> Option<Vec<String>> {
    let mut out = match action {
        Action::CreateRegistry { .. } | Action::Reshard { .. } | Action::MoveRegistry { .. } => {
            panic!("not among the generated actions")
        }
        Action::ChangeSettings { settings, .. } => {
            only_if(s.settings.as_ref() != Some(settings), "registry.settings_changed".to_owned())
        }
        Action::Grant { model, to, level } => {
            let known = match model {
                Some(m) => &s.models.get(m)?.grants,
                None => &s.grants,
            };
            only_if(known.get(to) != Some(level), format!("access.granted{}", of(model.as_ref())))
        }
        Action::Revoke { model, to } => {
            let known = match model {
                Some(m) => &s.models.get(m)?.grants,
                None => &s.grants,
            };
            known.get(to).map(|_| vec![format!("access.revoked{}", of(model.as_ref()))])?
        }
        Action::SetGrants { model, grants } => {
            let known = match model {
                Some(m) => &s.models.get(m)?.grants,
                None => &s.grants,
            };
            let place = of(model.as_ref());
            let new = grants.iter().filter(|(to, level)| known.get(*to) != Some(*level));
            let gone = known.keys().filter(|to| !grants.contains_key(*to));
            let granted = new.map(|_| format!("access.granted{place}"));
            granted.chain(gone.map(|_| format!("access.revoked{place}"))).collect()
        }
        Action::ChangeGroup { group, add, .. } => match s.groups.get(group) {
            None => vec!["group.created".to_owned()],
            Some(members) => only_if(!members.is_superset(add), "group.changed".to_owned()),
        },
        Action::DeleteGroup { group } => s.groups.get(group).map(|_| vec!["group.deleted".to_owned()])?,
        Action::AddPerson { user, .. } => match s.people.get(user) {
            None => vec!["person.added".to_owned()],
            Some(_) => return None,
        },
        Action::ChangePerson { user, person, .. } => {
            only_if(s.people.get(user)? != person, "person.changed".to_owned())
        }
        Action::RemovePerson { user } => s.people.get(user).map(|_| vec!["person.removed".to_owned()])?,
        Action::CreateWebhook { new } => {
            if let Some(model) = &new.model {
                s.models.get(model)?;
            }
            vec![format!("webhook.created{}", of(new.model.as_ref()))]
        }
        Action::ChangeWebhook { id, new, .. } => {
            let old = s.webhooks.get(id)?;
            only_if(old.name != new.name, format!("webhook.changed{}", of(old.model.as_ref())))
        }
        Action::DeleteWebhook { id } => vec![format!("webhook.deleted{}", of(s.webhooks.get(id)?.model.as_ref()))],
        other => promise_of_model(s, other, actor)?,
    };
    out.sort();
    Some(out)
}

fn only_if(differs: bool, event: String) -> Vec<String> {
    if differs { vec![event] } else { Vec::new() }
}

fn of(model: Option<&ModelName>) -> String {
    model.map_or(String::new(), |m| format!(" {m}"))
}

fn promise_of_model(s: &State, action: &Action, actor: &UserName) -> Option<Vec<String>> {
    let hooks = |m: &ModelName| s.webhooks.values().filter(|w| w.model.as_ref() == Some(m)).count();
    Some(match action {
        Action::CreateModel { model, .. } => match s.models.get(model) {
            None => s.registered(model, actor),
            Some(_) => return None,
        },
        Action::DescribeModel { model, description } => {
            only_if(s.models.get(model)?.model.description != *description, format!("model.described {model}"))
        }
        Action::SetModelTag { model, key, value } => {
            only_if(s.models.get(model)?.model.tags.get(key) != Some(value), format!("model.tag_set {model}"))
        }
        Action::DeleteModelTag { model, key } => {
            only_if(s.models.get(model)?.model.tags.contains_key(key), format!("model.tag_deleted {model}"))
        }
        Action::RenameModel { model, to } => {
            s.models.get(model)?;
            if model == to {
                return Some(Vec::new());
            }
            if s.models.contains_key(to) {
                return None;
            }
            let mut out = vec![format!("webhook.changed {to}"); hooks(model)];
            out.push(format!("model.renamed {to}"));
            out
        }
        Action::DeleteModel { model } => {
            s.models.get(model)?;
            let mut out = vec![format!("webhook.deleted {model}"); hooks(model)];
            out.push(format!("model.deleted {model}"));
            out
        }
        Action::CreateVersion { model, new } => {
            let (mut out, number) = match s.models.get(model) {
                Some(m) => {
                    let highest = m.versions.keys().next_back().copied().unwrap_or(0);
                    (Vec::new(), highest.max(m.model.retired.unwrap_or(0)) + 1)
                }
                None if new.create_model => (s.registered(model, actor), 1),
                None => return None,
            };
            out.push(format!("version.created {model}/{number}"));
            out.extend(new.aliases.iter().map(|_| format!("alias.set {model}/{number}")));
            out
        }
        Action::SetAlias { model, alias, version } => {
            let m = s.models.get(model)?;
            m.versions.get(version)?;
            only_if(m.aliases.get(alias) != Some(version), format!("alias.set {model}/{version}"))
        }
        Action::DeleteAlias { model, alias } => {
            let old = s.models.get(model)?.aliases.get(alias);
            old.map(|n| format!("alias.deleted {model}/{n}")).into_iter().collect()
        }
        other => promise_of_version(s, other, actor)?,
    })
}

fn promise_of_version(s: &State, action: &Action, actor: &UserName) -> Option<Vec<String>> {
    let find = |model: &ModelName, version: &u64| {
        let m = s.models.get(model)?;
        Some((m, m.versions.get(version)?, format!("{model}/{version}")))
    };
    Some(match action {
        Action::DescribeVersion { model, version, description } => {
            let (_, v, at) = find(model, version)?;
            only_if(v.version.description != *description, format!("version.described {at}"))
        }
        Action::SetStatus { model, version, status, message } => {
            let (_, v, at) = find(model, version)?;
            let same = (&v.version.status, &v.version.status_message) == (status, message);
            only_if(!same, format!("version.status_changed {at}"))
        }
        Action::CompleteVersion { model, version, arrived } => {
            let (_, v, at) = find(model, version)?;
            if v.version.status != VersionStatus::PendingRegistration {
                return None;
            }
            let events = ["version.altered", "version.status_changed", "version.artifacts_changed"];
            let new = arrived.params.keys().filter(|k| !v.version.params.contains_key(*k));
            let new = new.map(|_| format!("version.param_added {at}"));
            events.iter().map(|event| format!("{event} {at}")).chain(new).collect()
        }
        Action::AddEvidence { model, version, params, .. } => {
            let (_, v, at) = find(model, version)?;
            if params.iter().any(|(k, p)| v.version.params.get(k).is_some_and(|old| old != p)) {
                return None;
            }
            let new = params.keys().filter(|k| !v.version.params.contains_key(*k));
            new.map(|_| format!("version.param_added {at}")).collect()
        }
        Action::SetVersionTag { model, version, key, value } => {
            let (_, v, at) = find(model, version)?;
            only_if(v.version.tags.get(key) != Some(value), format!("version.tag_set {at}"))
        }
        Action::DeleteVersionTag { model, version, key } => {
            let (_, v, at) = find(model, version)?;
            only_if(v.version.tags.contains_key(key), format!("version.tag_deleted {at}"))
        }
        Action::DeleteVersion { model, version } => {
            let (m, _, at) = find(model, version)?;
            let mut out = vec![format!("version.deleted {at}")];
            out.extend(m.aliases.values().filter(|n| *n == version).map(|_| format!("alias.deleted {at}")));
            // The number of the highest version is recorded, so that it is not used again.
            if m.versions.keys().next_back() == Some(version) && m.model.retired < Some(*version) {
                out.push(format!("model.altered {model}"));
            }
            out
        }
        Action::Transition { model, version, to, archive_existing } => {
            let (m, ..) = find(model, version)?;
            entered(s, m, model, *version, to, *archive_existing, None)
        }
        Action::CreateRequest { model, version, to, .. } => {
            let (m, v, at) = find(model, version)?;
            let twin = |r: &&Request| r.state == RequestState::Pending && r.to == *to && r.created_by == *actor;
            if stage(m, *version) == *to || v.requests.values().find(twin).is_some() {
                return None;
            }
            vec![format!("request.created {at}")]
        }
        Action::ApproveRequest { model, version, .. } => {
            let (m, v, at) = find(model, version)?;
            let request = only_open(v)?;
            let mut out = entered(s, m, model, *version, &request.to, request.archive_existing, Some(&request.id));
            out.push(format!("request.approved {at}"));
            out
        }
        Action::RejectRequest { model, version, .. } => {
            let (_, v, at) = find(model, version)?;
            only_open(v).map(|_| vec![format!("request.rejected {at}")])?
        }
        Action::CancelRequest { model, version, .. } => {
            let (_, v, at) = find(model, version)?;
            only_open(v).map(|_| vec![format!("request.cancelled {at}")])?
        }
        Action::AddComment { model, version, .. } => vec![format!("comment.created {}", find(model, version)?.2)],
        Action::EditComment { model, version, id, text } => {
            let (_, v, at) = find(model, version)?;
            only_if(v.comments.get(id)?.text != *text, format!("comment.edited {at}"))
        }
        Action::DeleteComment { model, version, id } => {
            let (_, v, at) = find(model, version)?;
            v.comments.get(id).map(|_| vec![format!("comment.deleted {at}")])?
        }
        other => panic!("no promise for {other:?}"),
    })
}

/// Files that arrive for a version; no two have the same facts.
fn arrived(b: u8, c: u8) -> Box<Arrived> {
    let mut files = Patch::default();
    files.write("MLmodel", format!("flavors: {{}} # {b}"));
    let digest = Digest::new(format!("{b:02x}").repeat(32)).expect("a digest");
    Box::new(Arrived {
        artifacts: Artifacts { digest, size: u64::from(c), files: 1 },
        files,
        attributes: c.is_multiple_of(2).then(|| "# none\n".to_owned()),
        run_id: words(b),
        model_id: words(c),
        params: [(key(b), words(c))].into(),
        metrics: BTreeMap::new(),
        schema: None,
        info: Some(ModelInfo { mlflow_version: words(b), ..ModelInfo::default() }),
        environment: None,
        message: words(c),
    })
}

fn stage(m: &ModelState, version: u64) -> Stage {
    m.stages.get(&version).cloned().unwrap_or(Stage::None)
}

fn only_open(v: &VersionState) -> Option<&Request> {
    let mut open = v.requests.values().filter(|r| r.state == RequestState::Pending);
    let first = open.next()?;
    open.next().is_none().then_some(first)
}

/// A version enters a stage: other versions are archived if requested or ruled, and its other requests for the stage
/// are closed.
fn entered(
    s: &State,
    m: &ModelState,
    model: &ModelName,
    version: u64,
    to: &Stage,
    archive: bool,
    approved: Option<&Id>,
) -> Vec<String> {
    if stage(m, version) == *to {
        return Vec::new();
    }
    let mut out = vec![format!("version.transitioned {model}/{version}")];
    let exclusive = s.settings.as_ref().and_then(|s| s.rule(to)).is_some_and(|r| r.exclusive);
    if (archive || exclusive) && to.is_active() {
        let others = m.stages.iter().filter(|(n, s)| **n != version && *s == to);
        out.extend(others.map(|(n, _)| format!("version.transitioned {model}/{n}")));
    }
    let open = m.versions[&version].requests.values().filter(|r| r.state == RequestState::Pending && r.to == *to);
    out.extend(open.filter(|r| Some(&r.id) != approved).map(|_| format!("request.cancelled {model}/{version}")));
    out
}
