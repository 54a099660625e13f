//! The registry in memory, as of one commit: the source of lists, searches and single models.
//!
//! A catalog is a value. A change makes a new catalog that shares all unchanged parts with the old one. So a reader
//! keeps its state, whatever is written meanwhile. At the start, the catalog is loaded from the index. After that, each
//! step of the history is applied to it ([`Catalog::advance`]), no matter which person or program made the step.

mod advance;
mod find;
mod load;
mod tag_filter;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::entity::version::VersionStatus;
use crate::entity::{Access, PermissionLevel, Person, Settings, Tags};
use crate::index::VersionFacts;
use crate::name::{AliasName, GroupName, Id, ModelName, Principal, UserName};
use crate::search::IS_PROMPT;
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;
use crate::tree::Oid;

pub use find::VersionHit;
pub use load::CatalogError;
use tag_filter::TagFilter;

/// The number of parts into which the models are divided. A change copies one part.
const SHARDS: usize = 256;

/// The registry as of a commit.
#[derive(Debug, Clone)]
pub struct Catalog {
    commit: Option<Oid>,
    /// When that commit reached the branch.
    landed: Timestamp,
    frame: Arc<RegistryFrame>,
    /// When each person was added, for people who have not left since.
    arrivals: Arc<BTreeMap<UserName, Timestamp>>,
    shards: Vec<Arc<BTreeMap<ModelName, Arc<ModelCard>>>>,
    /// The names of the models with an id: one, or several if an id was used a second time.
    names: Vec<Arc<BTreeMap<Id, BTreeSet<ModelName>>>>,
}

/// The data that belongs to no model.
#[derive(Debug, Clone, Default)]
pub(super) struct RegistryFrame {
    ids: [Option<Oid>; 3],
    /// The registry's settings. `None` if they cannot be read.
    pub(super) settings: Option<Settings>,
    /// Registry-wide grants, and groups.
    pub(super) access: Access,
    /// The people.
    pub(super) people: BTreeMap<UserName, Person>,
}

/// A registered model with all data that lists and single responses show.
#[derive(Debug, Clone)]
pub struct ModelCard {
    /// The model's id, which stays the same after a rename.
    pub id: Id,
    /// The model's name.
    pub name: ModelName,
    /// When the model was registered, in milliseconds since the epoch.
    pub created: i64,
    /// When the model was last updated, in milliseconds since the epoch.
    pub updated: i64,
    /// The person who registered the model.
    pub created_by: UserName,
    /// The model's description.
    pub description: Text,
    /// The model's tags.
    pub tags: Tags,
    /// The grants on this model only.
    pub access: Access,
    /// The aliases, with the number of their versions.
    pub aliases: BTreeMap<AliasName, u64>,
    /// The versions in ascending order. Their descriptions are always complete.
    pub versions: Vec<Arc<VersionFacts<'static>>>,
    /// Whether a version of the model has MLflow's tag of prompts.
    pub of_prompt: bool,
    /// Whether only READY versions count as the latest of all or of a stage.
    wants_ready: bool,
    /// The tags that its versions may have.
    seen: TagFilter,
}

/// The permissions of a person, as far as they do not depend on the model.
#[derive(Debug, Clone)]
pub struct PersonRights {
    user: UserName,
    groups: Vec<GroupName>,
    level: Option<PermissionLevel>,
}

impl Catalog {
    /// Returns the commit. `None` before the first commit.
    pub fn commit(&self) -> Option<Oid> {
        self.commit
    }

    /// Returns the registry's settings. `None` if they cannot be read.
    pub fn settings(&self) -> Option<&Settings> {
        self.frame.settings.as_ref()
    }

    /// Returns the registry-wide grants, and the groups.
    pub fn access(&self) -> &Access {
        &self.frame.access
    }

    /// Returns all people.
    pub fn people(&self) -> &BTreeMap<UserName, Person> {
        &self.frame.people
    }

    /// Returns when a current person was added. `None` if that is not known.
    pub fn arrival(&self, user: &UserName) -> Option<Timestamp> {
        self.arrivals.get(user).copied()
    }

    /// Returns the stages of the registry, in their order.
    pub fn stages(&self) -> Vec<Stage> {
        self.settings().map_or_else(|| Stage::BUILT_IN.to_vec(), Settings::known_stages)
    }

    /// Returns a model by name, without a check of permissions.
    pub fn model(&self, name: &str) -> Option<&Arc<ModelCard>> {
        self.shards.get(shard(name))?.get(name)
    }

    /// Returns a model by its id, without a check of permissions. If two models have the id, neither is returned: files
    /// and permissions depend on the id, and their owner would be ambiguous.
    pub fn model_by_id(&self, id: &Id) -> Option<&Arc<ModelCard>> {
        let names = self.names.get(shard(id.as_str()))?.get(id)?;
        let name = names.first().filter(|_| names.len() == 1)?;
        self.model(name.as_str()).filter(|card| card.id == *id)
    }

    /// Returns all models in no particular order, without a check of permissions.
    pub fn models(&self) -> impl Iterator<Item = &Arc<ModelCard>> {
        self.shards.iter().flat_map(|s| s.values())
    }

    /// Returns the permissions of a person.
    pub fn standing(&self, user: &UserName) -> PersonRights {
        let groups = &self.access().groups;
        let member = groups.iter().filter(|(_, members)| members.contains(user)).map(|(name, _)| name.clone());
        let mut standing = PersonRights {
            user: user.clone(),
            groups: [GroupName::everyone()].into_iter().chain(member).collect(),
            level: None,
        };
        standing.level = standing.level_in(self.access());
        standing
    }

    fn put(&mut self, card: ModelCard) {
        let known = self.model(card.name.as_str()).map(|known| known.id.clone());
        if let Some(old) = known.as_ref().filter(|id| **id != card.id) {
            self.forget_id(old, card.name.as_str());
        }
        if let Some(names) = self.names.get_mut(shard(card.id.as_str()))
            && names.get(&card.id).is_none_or(|names| !names.contains(&card.name))
        {
            Arc::make_mut(names).entry(card.id.clone()).or_default().insert(card.name.clone());
        }
        if let Some(shard) = self.shards.get_mut(shard(card.name.as_str())) {
            Arc::make_mut(shard).insert(card.name.clone(), Arc::new(card));
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some(id) = self.model(name).map(|card| card.id.clone()) {
            self.forget_id(&id, name);
        }
        if let Some(shard) = self.shards.get_mut(shard(name)).filter(|s| s.contains_key(name)) {
            Arc::make_mut(shard).remove(name);
        }
    }

    /// Removes a name from the names of an id.
    fn forget_id(&mut self, id: &Id, name: &str) {
        let Some(names) = self.names.get_mut(shard(id.as_str())).filter(|names| names.contains_key(id)) else { return };
        let names = Arc::make_mut(names);
        if let Some(bearers) = names.get_mut(id) {
            bearers.retain(|bearer| bearer.as_str() != name);
            if bearers.is_empty() {
                names.remove(id);
            }
        }
    }
}

impl PersonRights {
    /// Returns the person.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// Returns the person's groups, `everyone` first.
    pub fn groups(&self) -> &[GroupName] {
        &self.groups
    }

    /// Returns whether the person is an administrator of the registry, and so may see everything.
    pub fn manages(&self) -> bool {
        self.level == Some(PermissionLevel::CanManage)
    }

    /// Returns the person's registry-wide level.
    pub fn registry(&self) -> Option<PermissionLevel> {
        self.level
    }

    /// Returns the person's level on a model.
    pub fn level(&self, model: &ModelCard) -> Option<PermissionLevel> {
        self.level.max(self.level_in(&model.access))
    }

    /// Returns whether the person may read a model.
    pub fn reads(&self, model: &ModelCard) -> bool {
        self.level.is_some() || self.level_in(&model.access).is_some()
    }

    fn level_in(&self, access: &Access) -> Option<PermissionLevel> {
        let counts = |to: &Principal| match to {
            Principal::User(u) => *u == self.user,
            Principal::Group(g) => self.groups.contains(g),
        };
        access.grants.iter().filter(|g| counts(&g.to)).map(|g| g.level).max()
    }
}

impl ModelCard {
    /// Returns a version by number.
    pub fn version(&self, number: u64) -> Option<&Arc<VersionFacts<'static>>> {
        let at = self.versions.binary_search_by_key(&number, |v| v.number).ok()?;
        self.versions.get(at)
    }

    /// Returns whether a version may be the latest of all or of its stage.
    fn may_be_latest(&self, version: &VersionFacts<'_>) -> bool {
        !self.wants_ready || version.status == VersionStatus::Ready.as_str()
    }

    /// Returns the newest usable version in any stage.
    pub fn latest(&self) -> Option<&Arc<VersionFacts<'static>>> {
        self.versions.iter().rev().find(|v| self.may_be_latest(v))
    }

    /// Returns the newest usable version of each stage that has one. As in MLflow, the stages are in the order of their
    /// oldest versions.
    pub fn latest_by_stage(&self) -> Vec<&Arc<VersionFacts<'static>>> {
        let mut newest: Vec<&Arc<VersionFacts<'static>>> = Vec::new();
        for version in self.versions.iter().filter(|v| self.may_be_latest(v)) {
            match newest.iter_mut().find(|known| known.stage == version.stage) {
                Some(known) => *known = version,
                None => newest.push(version),
            }
        }
        newest
    }

    /// Returns the aliases of a version.
    pub fn aliases_of(&self, number: u64) -> impl Iterator<Item = &AliasName> {
        self.aliases.iter().filter(move |(_, n)| **n == number).map(|(alias, _)| alias)
    }

    /// Returns whether the model is a prompt of MLflow.
    pub fn is_prompt(&self) -> bool {
        self.tags.iter().any(|(k, v)| k.as_str() == IS_PROMPT && v.as_str().eq_ignore_ascii_case("true"))
    }
}

/// Returns the part in which a model is kept.
fn shard(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    usize::try_from(hash % SHARDS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str, id: &Id) -> ModelCard {
        ModelCard {
            id: id.clone(),
            name: name.parse().unwrap(),
            created: 0,
            updated: 0,
            created_by: UserName::nobody(),
            description: Text::default(),
            tags: Tags::new(),
            access: Access::default(),
            aliases: BTreeMap::new(),
            versions: Vec::new(),
            of_prompt: false,
            wants_ready: true,
            seen: TagFilter::default(),
        }
    }

    #[test]
    fn an_id_that_two_models_have_finds_neither() {
        let (a, b) = (Id::from_parts(1, [1; 10]), Id::from_parts(2, [2; 10]));
        let mut catalog = Catalog::empty();
        let found = |catalog: &Catalog, id: &Id| catalog.model_by_id(id).map(|m| m.name.to_string());
        catalog.put(card("churn", &a));
        assert_eq!(found(&catalog, &a).as_deref(), Some("churn"));
        catalog.put(card("taken", &a));
        assert_eq!(found(&catalog, &a), None);
        catalog.remove("taken");
        assert_eq!(found(&catalog, &a).as_deref(), Some("churn"));
        // A rename: the new name is added before the old one is removed.
        catalog.put(card("churn2", &a));
        catalog.remove("churn");
        assert_eq!(found(&catalog, &a).as_deref(), Some("churn2"));
        // A model is deleted and another model takes its name.
        catalog.put(card("churn2", &b));
        assert_eq!((found(&catalog, &a), found(&catalog, &b).as_deref()), (None, Some("churn2")));
    }
}
