//! One tree as a lazy value: what the registry is at a commit. Only what is asked for is read.
//!
//! Reading is lenient: a file with faults gives what can be used of it beside the faults, and hides nothing
//! else. Only a missing or damaged object is an error, for then nobody can say what the registry is.

mod approver;
mod moved;
mod places;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::entity::settings::Layout;
use crate::entity::{
    Access, AliasPointer, Comment, Level, Model, Person, Request, Settings, StagePointer, Version, Webhook,
};
use crate::format::path::{self, ModelDir, Paths};
use crate::format::{self, MAX_FILE, Problem, Record};
use crate::name::{AliasName, GroupName, Id, ModelName, Principal, UserName, fold};
use crate::stage::Stage;
use crate::tree::{Entry, Kind, Objects, Oid, TreeError};

pub use moved::{folders, is_own_folder, moves_from_root};
pub use places::{Finder, changed_registries, registries, where_files_came};

/// A file as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct File<T> {
    /// Its path from the repository's root.
    pub path: String,
    /// Its object id.
    pub id: Oid,
    /// What it says; none if its faults leave nothing to use.
    pub value: Option<T>,
    /// Its faults.
    pub problems: Vec<Problem>,
}

/// What the registry is at a commit.
pub struct Snapshot<'o> {
    objects: &'o dyn Objects,
    whole: Option<Oid>,
    root: Option<Oid>,
    at: String,
    settings: OnceCell<Option<File<Settings>>>,
    access: OnceCell<Option<File<Access>>>,
    people: OnceCell<BTreeMap<UserName, File<Person>>>,
}

impl<'o> Snapshot<'o> {
    /// The registry in folder `at` (empty, or ending in a slash) of the tree `root`; none for the state before any commit.
    pub fn new(objects: &'o dyn Objects, root: Option<Oid>, at: &str) -> Result<Self, TreeError> {
        let mut below = root;
        for name in at.split('/').filter(|p| !p.is_empty()) {
            below = match below {
                Some(tree) => child(objects, &tree, name)?.filter(|e| e.kind == Kind::Tree).map(|e| e.id),
                None => None,
            };
        }
        let at = at.to_owned();
        Ok(Self {
            objects,
            whole: root,
            root: below,
            at,
            settings: OnceCell::new(),
            access: OnceCell::new(),
            people: OnceCell::new(),
        })
    }

    /// The store that it reads from.
    pub fn objects(&self) -> &'o dyn Objects {
        self.objects
    }

    /// The registry's root tree; none where there is nothing.
    pub fn root(&self) -> Option<Oid> {
        self.root
    }

    /// The root tree of the repository; none for the state before any commit.
    pub fn whole(&self) -> Option<Oid> {
        self.whole
    }

    /// The folder of the registry in the repository: empty, or ending in a slash.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// A path within the registry as a path from the repository's root.
    pub fn full_path(&self, path: &str) -> String {
        format!("{}{path}", self.at)
    }

    /// The entry at a path within the registry.
    pub fn entry(&self, path: &str) -> Result<Option<Entry>, TreeError> {
        match &self.root {
            Some(root) => descend(self.objects, root, path),
            None => Ok(None),
        }
    }

    /// Reads the file at a path within the registry; none where no file lies.
    pub fn file<T: Record>(&self, path: &str) -> Result<Option<File<T>>, TreeError> {
        match self.entry(path)? {
            Some(entry) => self.read(self.full_path(path), &entry).map(Some),
            None => Ok(None),
        }
    }

    fn read<T: Record>(&self, path: String, entry: &Entry) -> Result<File<T>, TreeError> {
        read(self.objects, path, entry)
    }

    /// `greenroom.toml`; none where there is no registry.
    pub fn settings_file(&self) -> Result<Option<&File<Settings>>, TreeError> {
        once(&self.settings, || self.file("greenroom.toml")).map(Option::as_ref)
    }

    /// The settings; none where there is no registry or its settings cannot be read.
    pub fn settings(&self) -> Result<Option<&Settings>, TreeError> {
        Ok(self.settings_file()?.and_then(|f| f.value.as_ref()))
    }

    /// The layout: flat unless the settings say otherwise.
    pub fn layout(&self) -> Result<Layout, TreeError> {
        Ok(self.settings()?.map_or(Layout::Flat, |s| s.layout))
    }

    /// The paths of the layout.
    pub fn paths(&self) -> Result<Paths, TreeError> {
        Ok(Paths(self.layout()?))
    }

    /// The registry's own `access.toml`.
    pub fn access_file(&self) -> Result<Option<&File<Access>>, TreeError> {
        once(&self.access, || self.file("access.toml")).map(Option::as_ref)
    }

    /// The registry-wide grants and groups; empty where there are none.
    pub fn access(&self) -> Result<&Access, TreeError> {
        static NOTHING: Access = Access { grants: Vec::new(), groups: BTreeMap::new() };
        Ok(self.access_file()?.and_then(|f| f.value.as_ref()).unwrap_or(&NOTHING))
    }

    /// All people, by id.
    pub fn people(&self) -> Result<&BTreeMap<UserName, File<Person>>, TreeError> {
        once(&self.people, || {
            let mut out = BTreeMap::new();
            for entry in self.folder("people")?.iter() {
                if let Some(user) = path::person_of(&entry.name) {
                    let file = self.read(self.full_path(&format!("people/{}", entry.name)), entry)?;
                    out.insert(user, file);
                }
            }
            Ok(out)
        })
    }

    /// One person, without a look at the others.
    pub fn person(&self, user: &UserName) -> Result<Option<File<Person>>, TreeError> {
        self.file(&path::person(user))
    }

    /// The person with an e-mail address, in any case.
    pub fn person_by_email(&self, email: &str) -> Result<Option<UserName>, TreeError> {
        let has = |p: &Person| p.emails.iter().any(|e| e.as_str().eq_ignore_ascii_case(email));
        // The usual id of a person is the start of the address; a look at that file spares reading all people.
        let guess = email.split('@').next().and_then(|local| UserName::new(local).ok());
        if let Some(guess) = guess
            && self.person(&guess)?.and_then(|f| f.value).is_some_and(|p| has(&p))
        {
            return Ok(Some(guess));
        }
        Ok(self.people()?.iter().find(|(_, f)| f.value.as_ref().is_some_and(has)).map(|(u, _)| u.clone()))
    }

    /// The groups that a person is in, `everyone` among them.
    pub fn groups_of(&self, user: &UserName) -> Result<Vec<GroupName>, TreeError> {
        let access = self.access()?;
        let mut out = vec![GroupName::everyone()];
        out.extend(access.groups.iter().filter(|(_, members)| members.contains(user)).map(|(name, _)| name.clone()));
        Ok(out)
    }

    /// Whether a principal is the person or a group that holds the person.
    pub fn is_member(&self, user: &UserName, of: &Principal) -> Result<bool, TreeError> {
        match of {
            Principal::User(u) => Ok(u == user),
            Principal::Group(g) => Ok(self.groups_of(user)?.contains(g)),
        }
    }

    /// The highest level that some grants give a person.
    fn level_in(&self, access: &Access, user: &UserName) -> Result<Option<Level>, TreeError> {
        let groups = self.groups_of(user)?;
        let counts = |to: &Principal| match to {
            Principal::User(u) => u == user,
            Principal::Group(g) => groups.contains(g),
        };
        Ok(access.grants.iter().filter(|g| counts(&g.to)).map(|g| g.level).max())
    }

    /// What a person may do registry-wide.
    pub fn registry_level(&self, user: &UserName) -> Result<Option<Level>, TreeError> {
        self.level_in(self.access()?, user)
    }

    /// What a person may do with a model: the higher of the model's own grants and the registry-wide ones.
    pub fn level(&self, user: &UserName, model: &ModelName) -> Result<Option<Level>, TreeError> {
        let own = match self.model(model)? {
            Some(model) => match model.access()?.and_then(|f| f.value) {
                Some(access) => self.level_in(&access, user)?,
                None => None,
            },
            None => None,
        };
        Ok(own.max(self.registry_level(user)?))
    }

    /// All webhooks, by id.
    pub fn webhooks(&self) -> Result<BTreeMap<Id, File<Webhook>>, TreeError> {
        let mut out = BTreeMap::new();
        for entry in self.folder("webhooks")?.iter() {
            if let Some(id) = path::id_of(&entry.name) {
                out.insert(id, self.read(self.full_path(&format!("webhooks/{}", entry.name)), entry)?);
            }
        }
        Ok(out)
    }

    /// The entries of a folder; none where there is no such folder.
    fn folder(&self, path: &str) -> Result<Rc<[Entry]>, TreeError> {
        match self.entry(path)?.filter(|e| e.kind == Kind::Tree) {
            Some(e) => self.objects.tree(&e.id),
            None => Ok(Rc::new([])),
        }
    }

    /// A registered model by name.
    pub fn model(&self, name: &ModelName) -> Result<Option<ModelView<'o>>, TreeError> {
        let paths = self.paths()?;
        let folder = paths.model(name);
        let found = self.entry(&folder)?.filter(|e| e.kind == Kind::Tree);
        Ok(found.map(|e| self.view(&folder, ModelDir::of(name), e.id, paths)))
    }

    /// The model in a folder of a given name. An abbreviated folder does not tell its shard, so all are looked at.
    pub fn model_in(&self, dir: &ModelDir) -> Result<Option<ModelView<'o>>, TreeError> {
        if let Some(name) = dir.name() {
            return self.model(&name);
        }
        Ok(self.models()?.into_iter().find(|v| v.dir == *dir))
    }

    /// All model folders in the tree's order; nothing of them is read yet.
    pub fn models(&self) -> Result<Vec<ModelView<'o>>, TreeError> {
        let paths = self.paths()?;
        let mut out = Vec::new();
        let top = self.folder("models")?;
        for entry in top.iter().filter(|e| e.kind == Kind::Tree) {
            match paths.0 {
                Layout::Flat => out.extend(self.view_of("models", entry, paths)),
                Layout::Sharded => {
                    let shard = format!("models/{}", entry.name);
                    let inner = self.objects.tree(&entry.id)?;
                    out.extend(
                        inner.iter().filter(|e| e.kind == Kind::Tree).filter_map(|e| self.view_of(&shard, e, paths)),
                    );
                }
            }
        }
        Ok(out)
    }

    /// Models whose name differs from `name` only by case or Unicode normalisation, `name` itself left out.
    ///
    /// In the sharded layout only one shard is looked at: confusable names share it.
    pub fn confusable(&self, name: &ModelName) -> Result<Vec<ModelName>, TreeError> {
        let paths = self.paths()?;
        let folder = match paths.0 {
            Layout::Flat => "models".to_owned(),
            Layout::Sharded => format!("models/{}", path::shard(name)),
        };
        let folded = fold(name.as_str());
        let mut out = Vec::new();
        for entry in self.folder(&folder)?.iter().filter(|e| e.kind == Kind::Tree) {
            // Plain names stand for themselves; most are passed over here.
            let plain = entry.name.is_ascii() && !entry.name.contains(['%', '~']);
            if plain && !entry.name.eq_ignore_ascii_case(&folded) {
                continue;
            }
            let Some(view) = self.view_of(&folder, entry, paths) else { continue };
            let other = match view.dir.name() {
                Some(other) => other,
                None => match view.file()?.and_then(|f| f.value) {
                    Some(model) => model.name,
                    None => continue,
                },
            };
            if other != *name && fold(other.as_str()) == folded {
                out.push(other);
            }
        }
        Ok(out)
    }

    fn view_of(&self, folder: &str, entry: &Entry, paths: Paths) -> Option<ModelView<'o>> {
        let dir = ModelDir::parse(&entry.name)?;
        Some(self.view(&format!("{folder}/{}", entry.name), dir, entry.id, paths))
    }

    fn view(&self, folder: &str, dir: ModelDir, tree: Oid, paths: Paths) -> ModelView<'o> {
        ModelView { objects: self.objects, path: self.full_path(folder), dir, tree, paths }
    }
}

/// A registered model's folder.
#[derive(Clone)]
pub struct ModelView<'o> {
    objects: &'o dyn Objects,
    /// The folder's path from the repository's root.
    pub path: String,
    /// The folder's name.
    pub dir: ModelDir,
    /// The folder's tree.
    pub tree: Oid,
    paths: Paths,
}

impl<'o> ModelView<'o> {
    fn one<T: Record>(&self, file: &str) -> Result<Option<File<T>>, TreeError> {
        match descend(self.objects, &self.tree, file)? {
            Some(entry) => read(self.objects, format!("{}/{file}", self.path), &entry).map(Some),
            None => Ok(None),
        }
    }

    fn folder(&self, name: &str) -> Result<Rc<[Entry]>, TreeError> {
        subfolder(self.objects, &self.tree, name)
    }

    /// `model.toml`
    pub fn file(&self) -> Result<Option<File<Model>>, TreeError> {
        self.one("model.toml")
    }

    /// The model's own `access.toml`.
    pub fn access(&self) -> Result<Option<File<Access>>, TreeError> {
        self.one("access.toml")
    }

    /// The stage pointers.
    pub fn stages(&self) -> Result<Vec<(Stage, File<StagePointer>)>, TreeError> {
        let mut out = Vec::new();
        for entry in self.folder("stages")?.iter() {
            if let Some(stage) = path::stage_of(&entry.name) {
                out.push((stage, read(self.objects, format!("{}/stages/{}", self.path, entry.name), entry)?));
            }
        }
        Ok(out)
    }

    /// The stage of each version that is in one. A version in two stage files counts for the last in file order;
    /// the rules refuse that.
    pub fn stage_map(&self) -> Result<BTreeMap<u64, Stage>, TreeError> {
        let mut out = BTreeMap::new();
        for (stage, file) in self.stages()? {
            for version in file.value.unwrap_or_default().versions {
                out.insert(version, stage.clone());
            }
        }
        Ok(out)
    }

    /// The stage of a version.
    pub fn stage_of(&self, number: u64) -> Result<Stage, TreeError> {
        Ok(self.stage_map()?.remove(&number).unwrap_or(Stage::None))
    }

    /// The alias pointers.
    pub fn aliases(&self) -> Result<Vec<(AliasName, File<AliasPointer>)>, TreeError> {
        let mut out = Vec::new();
        for entry in self.folder("aliases")?.iter() {
            if let Some(alias) = path::alias_of(&entry.name) {
                out.push((alias, read(self.objects, format!("{}/aliases/{}", self.path, entry.name), entry)?));
            }
        }
        Ok(out)
    }

    /// One alias, without a look at the others.
    pub fn alias(&self, alias: &AliasName) -> Result<Option<File<AliasPointer>>, TreeError> {
        self.one(&format!("aliases/{}", path::alias_file(alias)))
    }

    /// The folders that hold versions, by the hundred where the layout is sharded: for comparing without reading.
    pub fn version_folders(&self) -> Result<Vec<(String, Oid)>, TreeError> {
        let Some(versions) = descend(self.objects, &self.tree, "versions")?.filter(|e| e.kind == Kind::Tree) else {
            return Ok(Vec::new());
        };
        match self.paths.0 {
            Layout::Flat => Ok(vec![("versions".to_owned(), versions.id)]),
            Layout::Sharded => {
                let hundreds = self.objects.tree(&versions.id)?;
                let trees = hundreds.iter().filter(|e| e.kind == Kind::Tree);
                Ok(trees.map(|e| (format!("versions/{}", e.name), e.id)).collect())
            }
        }
    }

    /// The versions in one of [`Self::version_folders`], rising.
    pub fn versions_in(&self, folder: &str, tree: &Oid) -> Result<Vec<VersionView<'o>>, TreeError> {
        let entries = self.objects.tree(tree)?;
        let mut out: Vec<VersionView<'o>> = entries
            .iter()
            .filter(|e| e.kind == Kind::Tree)
            .filter_map(|e| {
                let (objects, number) = (self.objects, path::number_of(&e.name)?);
                Some(VersionView { objects, path: format!("{}/{folder}/{}", self.path, e.name), number, tree: e.id })
            })
            .collect();
        out.sort_by_key(|v| v.number);
        Ok(out)
    }

    /// All versions, rising.
    pub fn versions(&self) -> Result<Vec<VersionView<'o>>, TreeError> {
        let mut out = Vec::new();
        for (folder, tree) in self.version_folders()? {
            out.extend(self.versions_in(&folder, &tree)?);
        }
        out.sort_by_key(|v| v.number);
        Ok(out)
    }

    /// One version, without a look at the others.
    pub fn version(&self, number: u64) -> Result<Option<VersionView<'o>>, TreeError> {
        let folder = self.paths.version_in_model(number);
        let found = descend(self.objects, &self.tree, &folder)?.filter(|e| e.kind == Kind::Tree);
        let path = format!("{}/{folder}", self.path);
        Ok(found.map(|e| VersionView { objects: self.objects, path, number, tree: e.id }))
    }

    /// The highest version number that is present; 0 where there is none.
    pub fn highest(&self) -> Result<u64, TreeError> {
        let last = match self.paths.0 {
            Layout::Flat => self.version_folders()?.pop(),
            Layout::Sharded => self
                .version_folders()?
                .into_iter()
                .max_by_key(|(f, _)| f.rsplit('/').next().and_then(|h| h.parse::<u64>().ok()).unwrap_or(0)),
        };
        match last {
            Some((_, tree)) => {
                let entries = self.objects.tree(&tree)?;
                Ok(entries.iter().filter_map(|e| path::number_of(&e.name)).max().unwrap_or(0))
            }
            None => Ok(0),
        }
    }

    /// The number of the next version: one more than the highest that is or ever was.
    pub fn next_version(&self) -> Result<u64, TreeError> {
        let retired = self.file()?.and_then(|f| f.value).and_then(|m| m.retired).unwrap_or(0);
        Ok(self.highest()?.max(retired).saturating_add(1))
    }
}

/// A version's folder.
#[derive(Clone)]
pub struct VersionView<'o> {
    objects: &'o dyn Objects,
    /// The folder's path from the repository's root.
    pub path: String,
    /// The version's number.
    pub number: u64,
    /// The folder's tree.
    pub tree: Oid,
}

impl VersionView<'_> {
    /// `version.toml`
    pub fn file(&self) -> Result<Option<File<Version>>, TreeError> {
        match descend(self.objects, &self.tree, "version.toml")? {
            Some(entry) => read(self.objects, format!("{}/version.toml", self.path), &entry).map(Some),
            None => Ok(None),
        }
    }

    /// The transition requests, by id (and so by age).
    pub fn requests(&self) -> Result<BTreeMap<Id, File<Request>>, TreeError> {
        self.records("requests")
    }

    /// The comments, by id (and so by age).
    pub fn comments(&self) -> Result<BTreeMap<Id, File<Comment>>, TreeError> {
        self.records("comments")
    }

    /// One transition request.
    pub fn request(&self, id: &Id) -> Result<Option<File<Request>>, TreeError> {
        self.record("requests", id)
    }

    /// One comment.
    pub fn comment(&self, id: &Id) -> Result<Option<File<Comment>>, TreeError> {
        self.record("comments", id)
    }

    fn record<T: Record>(&self, folder: &str, id: &Id) -> Result<Option<File<T>>, TreeError> {
        let entries = subfolder(self.objects, &self.tree, folder)?;
        let file = format!("{id}.toml");
        let found = entries.iter().find(|e| e.name == file);
        found.map(|entry| read(self.objects, format!("{}/{folder}/{}", self.path, entry.name), entry)).transpose()
    }

    fn records<T: Record>(&self, folder: &str) -> Result<BTreeMap<Id, File<T>>, TreeError> {
        let mut out = BTreeMap::new();
        for entry in subfolder(self.objects, &self.tree, folder)?.iter() {
            if let Some(id) = path::id_of(&entry.name) {
                out.insert(id, read(self.objects, format!("{}/{folder}/{}", self.path, entry.name), entry)?);
            }
        }
        Ok(out)
    }

    /// `.gitattributes` beside the artifacts.
    pub fn attributes(&self) -> Result<Option<Entry>, TreeError> {
        Ok(child(self.objects, &self.tree, ".gitattributes")?.filter(|e| e.kind.is_file()))
    }

    /// The tree of the artifacts; none where no file was copied.
    pub fn artifacts(&self) -> Result<Option<Oid>, TreeError> {
        Ok(descend(self.objects, &self.tree, "artifacts")?.filter(|e| e.kind == Kind::Tree).map(|e| e.id))
    }
}

/// Reads a file of the registry. What is no plain file, or is too large, is a fault of that file.
fn read<T: Record>(objects: &dyn Objects, path: String, entry: &Entry) -> Result<File<T>, TreeError> {
    let faulty = |path: String, rule, message: String| {
        let problems = vec![Problem::of_file(path.clone(), rule, message)];
        Ok(File { path, id: entry.id, value: None, problems })
    };
    if !entry.kind.is_file() {
        return faulty(path, "mode", format!("a {} lies where a file belongs", entry.kind.as_str()));
    }
    match objects.blob(&entry.id, MAX_FILE) {
        Ok(bytes) => {
            let (value, problems) = format::parse(&path, &bytes);
            Ok(File { path, id: entry.id, value, problems })
        }
        Err(TreeError::TooLarge { size, max, .. }) => {
            faulty(path, "size", format!("the file has {size} bytes; at most {max} are read"))
        }
        Err(
            e @ (TreeError::Missing(_) | TreeError::Damaged { .. } | TreeError::Vast { .. } | TreeError::Io { .. }),
        ) => Err(e),
    }
}

fn child(objects: &dyn Objects, tree: &Oid, name: &str) -> Result<Option<Entry>, TreeError> {
    Ok(objects.tree(tree)?.iter().find(|e| e.name == name).cloned())
}

fn descend(objects: &dyn Objects, tree: &Oid, path: &str) -> Result<Option<Entry>, TreeError> {
    let mut parts = path.split('/').peekable();
    let mut tree = *tree;
    while let Some(name) = parts.next() {
        let Some(entry) = child(objects, &tree, name)? else { return Ok(None) };
        if parts.peek().is_none() {
            return Ok(Some(entry));
        }
        if entry.kind != Kind::Tree {
            return Ok(None);
        }
        tree = entry.id;
    }
    Ok(None)
}

fn subfolder(objects: &dyn Objects, tree: &Oid, name: &str) -> Result<Rc<[Entry]>, TreeError> {
    match child(objects, tree, name)?.filter(|e| e.kind == Kind::Tree) {
        Some(e) => objects.tree(&e.id),
        None => Ok(Rc::new([])),
    }
}

/// Fills a cell on first use, unless that fails.
fn once<T>(cell: &OnceCell<T>, fill: impl FnOnce() -> Result<T, TreeError>) -> Result<&T, TreeError> {
    match cell.get() {
        Some(value) => Ok(value),
        None => fill().map(|value| cell.get_or_init(|| value)),
    }
}
