//! A snapshot: the state of a registry at one commit, read lazily from a tree.
//!
//! Reading is lenient: a file with faults yields its usable content and its faults, and hides no other file. Methods
//! return an error only if an object is missing or damaged, because then the state of the registry is unknown.

mod approver;
mod moved;
mod places;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::entity::settings::Layout;
use crate::entity::{
    Access, AliasPointer, Comment, Model, PermissionLevel, Person, Request, Settings, StagePointer, Version, Webhook,
};
use crate::format::path::{self, ModelDir, Paths};
use crate::format::{self, EntityFile, MAX_FILE, Problem};
use crate::name::{AliasName, GroupName, Id, ModelName, Principal, UserName, fold};
use crate::stage::Stage;
use crate::tree::{EntryKind, Objects, Oid, TreeEntry, TreeError};

pub use moved::{folders, is_own_folder, moves_from_root};
pub use places::{Finder, changed_registries, registries, where_files_came};

/// A file of the registry, read.
#[derive(Debug, Clone, PartialEq)]
pub struct File<T> {
    /// The path from the root of the repository.
    pub path: String,
    /// The object id of the file.
    pub id: Oid,
    /// The content; `None` if the faults leave nothing to use.
    pub value: Option<T>,
    /// The faults of the file.
    pub problems: Vec<Problem>,
}

/// The state of a registry at one commit. Its methods fail only if an object of the tree cannot be read.
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
    /// Opens the registry in folder `at` (empty, or ending in a slash) of the tree `root`; `None`: an empty repository.
    pub fn new(objects: &'o dyn Objects, root: Option<Oid>, at: &str) -> Result<Self, TreeError> {
        let mut below = root;
        for name in at.split('/').filter(|p| !p.is_empty()) {
            below = match below {
                Some(tree) => child(objects, &tree, name)?.filter(|e| e.kind == EntryKind::Tree).map(|e| e.id),
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

    /// Returns the store that the snapshot reads from.
    pub fn objects(&self) -> &'o dyn Objects {
        self.objects
    }

    /// Returns the root tree of the registry; `None` if the folder does not exist.
    pub fn root(&self) -> Option<Oid> {
        self.root
    }

    /// Returns the root tree of the repository; `None` for the empty repository.
    pub fn whole(&self) -> Option<Oid> {
        self.whole
    }

    /// Returns the folder of the registry in the repository: empty, or ending in a slash.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Returns a path within the registry as a path from the root of the repository.
    pub fn full_path(&self, path: &str) -> String {
        format!("{}{path}", self.at)
    }

    /// Returns the entry at a path within the registry.
    pub fn entry(&self, path: &str) -> Result<Option<TreeEntry>, TreeError> {
        match &self.root {
            Some(root) => descend(self.objects, root, path),
            None => Ok(None),
        }
    }

    /// Reads the file at a path within the registry; `None` if there is no file.
    pub fn file<T: EntityFile>(&self, path: &str) -> Result<Option<File<T>>, TreeError> {
        match self.entry(path)? {
            Some(entry) => self.read(self.full_path(path), &entry).map(Some),
            None => Ok(None),
        }
    }

    fn read<T: EntityFile>(&self, path: String, entry: &TreeEntry) -> Result<File<T>, TreeError> {
        read(self.objects, path, entry)
    }

    /// Returns `greenroom.toml`; `None` if there is no registry.
    pub fn settings_file(&self) -> Result<Option<&File<Settings>>, TreeError> {
        once(&self.settings, || self.file("greenroom.toml")).map(Option::as_ref)
    }

    /// Returns the settings; `None` if there is no registry, or its settings cannot be read.
    pub fn settings(&self) -> Result<Option<&Settings>, TreeError> {
        Ok(self.settings_file()?.and_then(|f| f.value.as_ref()))
    }

    /// Returns the layout: flat unless the settings say otherwise.
    pub fn layout(&self) -> Result<Layout, TreeError> {
        Ok(self.settings()?.map_or(Layout::Flat, |s| s.layout))
    }

    /// Returns the paths of the layout.
    pub fn paths(&self) -> Result<Paths, TreeError> {
        Ok(Paths(self.layout()?))
    }

    /// Returns the registry's own `access.toml`.
    pub fn access_file(&self) -> Result<Option<&File<Access>>, TreeError> {
        once(&self.access, || self.file("access.toml")).map(Option::as_ref)
    }

    /// Returns the registry-wide grants and the groups; empty if there are none.
    pub fn access(&self) -> Result<&Access, TreeError> {
        static NOTHING: Access = Access { grants: Vec::new(), groups: BTreeMap::new() };
        Ok(self.access_file()?.and_then(|f| f.value.as_ref()).unwrap_or(&NOTHING))
    }

    /// Returns all people by user name.
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

    /// Returns one person without reading the others.
    pub fn person(&self, user: &UserName) -> Result<Option<File<Person>>, TreeError> {
        self.file(&path::person(user))
    }

    /// Returns the person with an e-mail address, ignoring upper and lower case.
    pub fn person_by_email(&self, email: &str) -> Result<Option<UserName>, TreeError> {
        let has = |p: &Person| p.emails.iter().any(|e| e.as_str().eq_ignore_ascii_case(email));
        // Most user names are the local part of the address: trying that file first saves reading all people.
        let guess = email.split('@').next().and_then(|local| UserName::new(local).ok());
        if let Some(guess) = guess
            && self.person(&guess)?.and_then(|f| f.value).is_some_and(|p| has(&p))
        {
            return Ok(Some(guess));
        }
        Ok(self.people()?.iter().find(|(_, f)| f.value.as_ref().is_some_and(has)).map(|(u, _)| u.clone()))
    }

    /// Returns the groups of a person, including `everyone`.
    pub fn groups_of(&self, user: &UserName) -> Result<Vec<GroupName>, TreeError> {
        let access = self.access()?;
        let mut out = vec![GroupName::everyone()];
        out.extend(access.groups.iter().filter(|(_, members)| members.contains(user)).map(|(name, _)| name.clone()));
        Ok(out)
    }

    /// Returns whether a principal is the person, or a group with the person as a member.
    pub fn is_member(&self, user: &UserName, of: &Principal) -> Result<bool, TreeError> {
        match of {
            Principal::User(u) => Ok(u == user),
            Principal::Group(g) => Ok(self.groups_of(user)?.contains(g)),
        }
    }

    /// Returns the highest level that the grants of a file give a person.
    fn level_in(&self, access: &Access, user: &UserName) -> Result<Option<PermissionLevel>, TreeError> {
        let groups = self.groups_of(user)?;
        let counts = |to: &Principal| match to {
            Principal::User(u) => u == user,
            Principal::Group(g) => groups.contains(g),
        };
        Ok(access.grants.iter().filter(|g| counts(&g.to)).map(|g| g.level).max())
    }

    /// Returns the level of a person on the whole registry.
    pub fn registry_level(&self, user: &UserName) -> Result<Option<PermissionLevel>, TreeError> {
        self.level_in(self.access()?, user)
    }

    /// Returns the level of a person on a model: the higher of the model's own grants and the registry-wide ones.
    pub fn level(&self, user: &UserName, model: &ModelName) -> Result<Option<PermissionLevel>, TreeError> {
        let own = match self.model(model)? {
            Some(model) => match model.access()?.and_then(|f| f.value) {
                Some(access) => self.level_in(&access, user)?,
                None => None,
            },
            None => None,
        };
        Ok(own.max(self.registry_level(user)?))
    }

    /// Returns all webhooks by id.
    pub fn webhooks(&self) -> Result<BTreeMap<Id, File<Webhook>>, TreeError> {
        let mut out = BTreeMap::new();
        for entry in self.folder("webhooks")?.iter() {
            if let Some(id) = path::id_of(&entry.name) {
                out.insert(id, self.read(self.full_path(&format!("webhooks/{}", entry.name)), entry)?);
            }
        }
        Ok(out)
    }

    /// Returns the entries of a folder; empty if the folder does not exist.
    fn folder(&self, path: &str) -> Result<Rc<[TreeEntry]>, TreeError> {
        match self.entry(path)?.filter(|e| e.kind == EntryKind::Tree) {
            Some(e) => self.objects.tree(&e.id),
            None => Ok(Rc::new([])),
        }
    }

    /// Returns a registered model by name.
    pub fn model(&self, name: &ModelName) -> Result<Option<ModelView<'o>>, TreeError> {
        let paths = self.paths()?;
        let folder = paths.model(name);
        let found = self.entry(&folder)?.filter(|e| e.kind == EntryKind::Tree);
        Ok(found.map(|e| self.view(&folder, ModelDir::of(name), e.id, paths)))
    }

    /// Returns the model in a folder. An abbreviated folder name does not tell its shard, so all shards are searched.
    pub fn model_in(&self, dir: &ModelDir) -> Result<Option<ModelView<'o>>, TreeError> {
        if let Some(name) = dir.name() {
            return self.model(&name);
        }
        Ok(self.models()?.into_iter().find(|v| v.dir == *dir))
    }

    /// Returns all model folders in the order of the tree, without reading their content.
    pub fn models(&self) -> Result<Vec<ModelView<'o>>, TreeError> {
        let paths = self.paths()?;
        let mut out = Vec::new();
        let top = self.folder("models")?;
        for entry in top.iter().filter(|e| e.kind == EntryKind::Tree) {
            match paths.0 {
                Layout::Flat => out.extend(self.view_of("models", entry, paths)),
                Layout::Sharded => {
                    let shard = format!("models/{}", entry.name);
                    let inner = self.objects.tree(&entry.id)?;
                    let folders = inner.iter().filter(|e| e.kind == EntryKind::Tree);
                    out.extend(folders.filter_map(|e| self.view_of(&shard, e, paths)));
                }
            }
        }
        Ok(out)
    }

    /// Returns the models whose name differs from `name` only by case or Unicode normalisation, except `name` itself.
    ///
    /// In the sharded layout only one shard is read, because confusable names share it.
    pub fn confusable(&self, name: &ModelName) -> Result<Vec<ModelName>, TreeError> {
        let paths = self.paths()?;
        let folder = match paths.0 {
            Layout::Flat => "models".to_owned(),
            Layout::Sharded => format!("models/{}", path::shard(name)),
        };
        let folded = fold(name.as_str());
        let mut out = Vec::new();
        for entry in self.folder(&folder)?.iter().filter(|e| e.kind == EntryKind::Tree) {
            // A folder with a plain name has the model's name itself; most are skipped here.
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

    fn view_of(&self, folder: &str, entry: &TreeEntry, paths: Paths) -> Option<ModelView<'o>> {
        let dir = ModelDir::parse(&entry.name)?;
        Some(self.view(&format!("{folder}/{}", entry.name), dir, entry.id, paths))
    }

    fn view(&self, folder: &str, dir: ModelDir, tree: Oid, paths: Paths) -> ModelView<'o> {
        ModelView { objects: self.objects, path: self.full_path(folder), dir, tree, paths }
    }
}

/// The folder of a registered model. Its methods fail only if an object of the tree cannot be read.
#[derive(Clone)]
pub struct ModelView<'o> {
    objects: &'o dyn Objects,
    /// The path of the folder from the root of the repository.
    pub path: String,
    /// The name of the folder.
    pub dir: ModelDir,
    /// The tree of the folder.
    pub tree: Oid,
    paths: Paths,
}

impl<'o> ModelView<'o> {
    fn one<T: EntityFile>(&self, file: &str) -> Result<Option<File<T>>, TreeError> {
        match descend(self.objects, &self.tree, file)? {
            Some(entry) => read(self.objects, format!("{}/{file}", self.path), &entry).map(Some),
            None => Ok(None),
        }
    }

    fn folder(&self, name: &str) -> Result<Rc<[TreeEntry]>, TreeError> {
        subfolder(self.objects, &self.tree, name)
    }

    /// Returns `model.toml`.
    pub fn file(&self) -> Result<Option<File<Model>>, TreeError> {
        self.one("model.toml")
    }

    /// Returns the model's own `access.toml`.
    pub fn access(&self) -> Result<Option<File<Access>>, TreeError> {
        self.one("access.toml")
    }

    /// Returns the stage pointers.
    pub fn stages(&self) -> Result<Vec<(Stage, File<StagePointer>)>, TreeError> {
        let mut out = Vec::new();
        for entry in self.folder("stages")?.iter() {
            if let Some(stage) = path::stage_of(&entry.name) {
                out.push((stage, read(self.objects, format!("{}/stages/{}", self.path, entry.name), entry)?));
            }
        }
        Ok(out)
    }

    /// Returns the stage of each version that is in one. A version in two stage files counts for the last file; the
    /// rules refuse that state.
    pub fn stage_map(&self) -> Result<BTreeMap<u64, Stage>, TreeError> {
        let mut out = BTreeMap::new();
        for (stage, file) in self.stages()? {
            for version in file.value.unwrap_or_default().versions {
                out.insert(version, stage.clone());
            }
        }
        Ok(out)
    }

    /// Returns the stage of a version.
    pub fn stage_of(&self, number: u64) -> Result<Stage, TreeError> {
        Ok(self.stage_map()?.remove(&number).unwrap_or(Stage::None))
    }

    /// Returns the alias pointers.
    pub fn aliases(&self) -> Result<Vec<(AliasName, File<AliasPointer>)>, TreeError> {
        let mut out = Vec::new();
        for entry in self.folder("aliases")?.iter() {
            if let Some(alias) = path::alias_of(&entry.name) {
                out.push((alias, read(self.objects, format!("{}/aliases/{}", self.path, entry.name), entry)?));
            }
        }
        Ok(out)
    }

    /// Returns one alias without reading the others.
    pub fn alias(&self, alias: &AliasName) -> Result<Option<File<AliasPointer>>, TreeError> {
        self.one(&format!("aliases/{}", path::alias_file(alias)))
    }

    /// Returns the folders that hold versions (in the sharded layout, one for each hundred), to compare them unread.
    pub fn version_folders(&self) -> Result<Vec<(String, Oid)>, TreeError> {
        let Some(versions) = descend(self.objects, &self.tree, "versions")?.filter(|e| e.kind == EntryKind::Tree)
        else {
            return Ok(Vec::new());
        };
        match self.paths.0 {
            Layout::Flat => Ok(vec![("versions".to_owned(), versions.id)]),
            Layout::Sharded => {
                let hundreds = self.objects.tree(&versions.id)?;
                let trees = hundreds.iter().filter(|e| e.kind == EntryKind::Tree);
                Ok(trees.map(|e| (format!("versions/{}", e.name), e.id)).collect())
            }
        }
    }

    /// Returns the versions in one of [`Self::version_folders`], in ascending order.
    pub fn versions_in(&self, folder: &str, tree: &Oid) -> Result<Vec<VersionView<'o>>, TreeError> {
        let entries = self.objects.tree(tree)?;
        let mut out: Vec<VersionView<'o>> = entries
            .iter()
            .filter(|e| e.kind == EntryKind::Tree)
            .filter_map(|e| {
                let (objects, number) = (self.objects, path::number_of(&e.name)?);
                Some(VersionView { objects, path: format!("{}/{folder}/{}", self.path, e.name), number, tree: e.id })
            })
            .collect();
        out.sort_by_key(|v| v.number);
        Ok(out)
    }

    /// Returns all versions in ascending order.
    pub fn versions(&self) -> Result<Vec<VersionView<'o>>, TreeError> {
        let mut out = Vec::new();
        for (folder, tree) in self.version_folders()? {
            out.extend(self.versions_in(&folder, &tree)?);
        }
        out.sort_by_key(|v| v.number);
        Ok(out)
    }

    /// Returns one version without reading the others.
    pub fn version(&self, number: u64) -> Result<Option<VersionView<'o>>, TreeError> {
        let folder = self.paths.version_in_model(number);
        let found = descend(self.objects, &self.tree, &folder)?.filter(|e| e.kind == EntryKind::Tree);
        let path = format!("{}/{folder}", self.path);
        Ok(found.map(|e| VersionView { objects: self.objects, path, number, tree: e.id }))
    }

    /// Returns the highest version number that exists; 0 if there is no version.
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

    /// Returns the number of the next version: one more than the highest number that exists or ever existed.
    pub fn next_version(&self) -> Result<u64, TreeError> {
        let retired = self.file()?.and_then(|f| f.value).and_then(|m| m.retired).unwrap_or(0);
        Ok(self.highest()?.max(retired).saturating_add(1))
    }
}

/// The folder of a version. Its methods fail only if an object of the tree cannot be read.
#[derive(Clone)]
pub struct VersionView<'o> {
    objects: &'o dyn Objects,
    /// The path of the folder from the root of the repository.
    pub path: String,
    /// The version number.
    pub number: u64,
    /// The tree of the folder.
    pub tree: Oid,
}

impl VersionView<'_> {
    /// Returns `version.toml`.
    pub fn file(&self) -> Result<Option<File<Version>>, TreeError> {
        match descend(self.objects, &self.tree, "version.toml")? {
            Some(entry) => read(self.objects, format!("{}/version.toml", self.path), &entry).map(Some),
            None => Ok(None),
        }
    }

    /// Returns the transition requests by id, and therefore by age.
    pub fn requests(&self) -> Result<BTreeMap<Id, File<Request>>, TreeError> {
        self.records("requests")
    }

    /// Returns the comments by id, and therefore by age.
    pub fn comments(&self) -> Result<BTreeMap<Id, File<Comment>>, TreeError> {
        self.records("comments")
    }

    /// Returns one transition request.
    pub fn request(&self, id: &Id) -> Result<Option<File<Request>>, TreeError> {
        self.record("requests", id)
    }

    /// Returns one comment.
    pub fn comment(&self, id: &Id) -> Result<Option<File<Comment>>, TreeError> {
        self.record("comments", id)
    }

    fn record<T: EntityFile>(&self, folder: &str, id: &Id) -> Result<Option<File<T>>, TreeError> {
        let entries = subfolder(self.objects, &self.tree, folder)?;
        let file = format!("{id}.toml");
        let found = entries.iter().find(|e| e.name == file);
        found.map(|entry| read(self.objects, format!("{}/{folder}/{}", self.path, entry.name), entry)).transpose()
    }

    fn records<T: EntityFile>(&self, folder: &str) -> Result<BTreeMap<Id, File<T>>, TreeError> {
        let mut out = BTreeMap::new();
        for entry in subfolder(self.objects, &self.tree, folder)?.iter() {
            if let Some(id) = path::id_of(&entry.name) {
                out.insert(id, read(self.objects, format!("{}/{folder}/{}", self.path, entry.name), entry)?);
            }
        }
        Ok(out)
    }

    /// Returns the entry of `.gitattributes` beside the artifacts.
    pub fn attributes(&self) -> Result<Option<TreeEntry>, TreeError> {
        Ok(child(self.objects, &self.tree, ".gitattributes")?.filter(|e| e.kind.is_file()))
    }

    /// Returns the tree of the artifacts; `None` if no file was copied.
    pub fn artifacts(&self) -> Result<Option<Oid>, TreeError> {
        Ok(descend(self.objects, &self.tree, "artifacts")?.filter(|e| e.kind == EntryKind::Tree).map(|e| e.id))
    }
}

/// Reads a file of the registry. A wrong entry mode and a too large file are faults of the file, not errors.
fn read<T: EntityFile>(objects: &dyn Objects, path: String, entry: &TreeEntry) -> Result<File<T>, TreeError> {
    let faulty = |path: String, rule, message: String| {
        let problems = vec![Problem::of_file(path.clone(), rule, message)];
        Ok(File { path, id: entry.id, value: None, problems })
    };
    if !entry.kind.is_file() {
        return faulty(path, "mode", format!("this is a {}; it must be a file", entry.kind.as_str()));
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

fn child(objects: &dyn Objects, tree: &Oid, name: &str) -> Result<Option<TreeEntry>, TreeError> {
    Ok(objects.tree(tree)?.iter().find(|e| e.name == name).cloned())
}

fn descend(objects: &dyn Objects, tree: &Oid, path: &str) -> Result<Option<TreeEntry>, TreeError> {
    let mut parts = path.split('/').peekable();
    let mut tree = *tree;
    while let Some(name) = parts.next() {
        let Some(entry) = child(objects, &tree, name)? else { return Ok(None) };
        if parts.peek().is_none() {
            return Ok(Some(entry));
        }
        if entry.kind != EntryKind::Tree {
            return Ok(None);
        }
        tree = entry.id;
    }
    Ok(None)
}

fn subfolder(objects: &dyn Objects, tree: &Oid, name: &str) -> Result<Rc<[TreeEntry]>, TreeError> {
    match child(objects, tree, name)?.filter(|e| e.kind == EntryKind::Tree) {
        Some(e) => objects.tree(&e.id),
        None => Ok(Rc::new([])),
    }
}

/// Fills a cell on first use; a failure leaves it empty.
fn once<T>(cell: &OnceCell<T>, fill: impl FnOnce() -> Result<T, TreeError>) -> Result<&T, TreeError> {
    match cell.get() {
        Some(value) => Ok(value),
        None => fill().map(|value| cell.get_or_init(|| value)),
    }
}
