//! The one law book: named rules over two states, what happened between them, who acted, and when.
//!
//! The rules see what git can show and never how a change was asked for, so a hand edit, a push, the CLI and the
//! server get the same verdict. Settings and permissions are always those of the state *before*: a change cannot
//! grant itself what it needs. All rules run, and all faults are listed, sorted by place.

mod access;
mod alias;
mod authority;
mod files;
mod history;
mod holders;
mod ids;
mod keys;
mod leaving;
mod line;
mod links;
mod merge;
mod moved;
pub mod outlook;
mod people;
pub mod proposal;
mod ready;
mod renaming;
mod rewrite;
pub mod sources;
pub mod stage;
pub mod subject;
mod windows;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::diff::{self, Diff};
use crate::entity::{Level, Review};
use crate::event::Event;
use crate::format::Problem;
use crate::format::path::Location;
use crate::name::{Id, ModelName, UserName};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::{FileChange, Limits, Oid, TreeError};

pub use holders::{FormerPeople, former_holders, holder_marks};
pub use ids::{NewId, new_ids, repeated, reused};
use line::line_of;
pub use people::{added_people, is_same_person, taken_over};
pub use proposal::{BranchCommit, Proposal};

/// One step of history to be judged.
pub struct Step<'a> {
    /// The state before.
    pub before: &'a Snapshot<'a>,
    /// The state after.
    pub after: &'a Snapshot<'a>,
    /// What happened between them.
    pub diff: &'a Diff,
    /// Who acted.
    pub actor: &'a Actor,
    /// When it lands.
    pub at: Timestamp,
    /// When the earliest of what lands was made; none where that is not to be asked.
    pub since: Option<Timestamp>,
    /// The branch that a merge brings in; none where it is not certain what that branch changed.
    pub proposal: Option<&'a Proposal<'a>>,
    /// Whether the step landed long ago and is judged again: rules that came later do not refuse what did no harm.
    pub is_past: bool,
    /// Which ids that the step brings were used before it, with where; none where that was not asked of the history: then
    /// the state before is searched.
    pub used: Option<UsedIds>,
    /// What by the history belonged to others of what the step gives to people, as far as that was asked.
    pub former: FormerPeople,
    moves: OnceCell<Moves>,
    levels: RefCell<BTreeMap<ModelName, Option<Level>>>,
    touched: OnceCell<Vec<(Location, &'a FileChange)>>,
}

/// Ids that were used before, each with the place of its use.
pub type UsedIds = BTreeMap<Id, String>;

/// The place of the use of an id that a commit brought.
pub fn brought_by(commit: Oid) -> String {
    format!("commit {} brought it", commit.short())
}

/// Which models came and which had another name before.
#[derive(Default)]
struct Moves {
    created: BTreeSet<ModelName>,
    renamed: BTreeMap<ModelName, ModelName>,
}

impl<'a> Step<'a> {
    /// A step from one state to another.
    pub fn new(
        before: &'a Snapshot<'a>,
        after: &'a Snapshot<'a>,
        diff: &'a Diff,
        actor: &'a Actor,
        at: Timestamp,
    ) -> Self {
        Self {
            before,
            after,
            diff,
            actor,
            at,
            since: None,
            used: None,
            former: FormerPeople::default(),
            proposal: None,
            is_past: false,
            moves: OnceCell::new(),
            levels: RefCell::default(),
            touched: OnceCell::new(),
        }
    }

    fn moves(&self) -> &Moves {
        self.moves.get_or_init(|| {
            let mut out = Moves::default();
            for event in &self.diff.events {
                match event {
                    Event::ModelCreated { model, .. } => drop(out.created.replace(model.clone())),
                    Event::ModelRenamed { model, from } => drop(out.renamed.insert(model.clone(), from.clone())),
                    _ => {}
                }
            }
            out
        })
    }

    /// The name that a model had before the step: permissions hang on what was.
    fn before_name(&self, model: &ModelName) -> ModelName {
        self.moves().renamed.get(model).unwrap_or(model).clone()
    }

    /// Whether a model was registered in this step.
    fn created(&self, model: &ModelName) -> bool {
        self.moves().created.contains(model)
    }

    /// What the actor may do with a model, by the permissions before the step.
    fn level(&self, model: &ModelName) -> Result<Option<Level>, TreeError> {
        if let Some(level) = self.levels.borrow().get(model) {
            return Ok(*level);
        }
        let level = self.before.level(&self.actor.user, model)?;
        self.levels.borrow_mut().insert(model.clone(), level);
        Ok(level)
    }

    /// The files that differ, each by what it is where it lies after the step, or lay before if it is gone.
    fn touched(&self) -> Result<&[(Location, &'a FileChange)], TreeError> {
        let (old, new) = (self.before.layout()?, self.after.layout()?);
        let place = |f: &FileChange| Location::parse(&f.path, if f.after.is_some() { new } else { old }).ok();
        let find = || self.diff.files.iter().filter_map(|f| Some((place(f)?, f))).collect();
        Ok(self.touched.get_or_init(find))
    }

    /// Whether an event that names a person as the one who did it is that person's: the actor's own, or proven. Of a
    /// merge only what the branch changed can be somebody else's.
    fn is_by(&self, event: &Event, name: &UserName) -> Result<bool, TreeError> {
        if *name == self.actor.user {
            return Ok(true);
        }
        match self.proposal {
            Some(proposal) => proposal.is_by(event, name, &self.actor.user),
            None => Ok(self.actor.vouched.contains(name)),
        }
    }

    /// The same of a review that a request has and had not before.
    fn is_review_by(&self, request: &Id, review: &Review) -> Result<bool, TreeError> {
        if review.by == self.actor.user {
            return Ok(true);
        }
        match self.proposal {
            Some(proposal) => proposal.adds_review(request, review),
            None => Ok(self.actor.vouched.contains(&review.by)),
        }
    }

    /// Whether the step makes the registry: then there is nobody above who acts, and what it brings was not done here.
    fn founds(&self) -> Result<bool, TreeError> {
        Ok(self.before.settings_file()?.is_none())
    }
}

/// Who acts, as the registry's `authority` establishes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// The one whose act it is: who lands the step.
    pub user: UserName,
    /// The authors of what lands, where they are others: claims that are shown and give no right.
    pub authors: BTreeSet<UserName>,
    /// Those of the authors who are proven: their commits are signed by them, or they pushed them here themselves. Of a
    /// merge these have a right to what the [`Proposal`] says that they changed, and to nothing without one.
    pub vouched: BTreeSet<UserName>,
    /// The author of a commit that is no merge, where the actor manages the registry and so may land words of others,
    /// as an import does. It gives no right to requests and reviews.
    pub imported: Option<UserName>,
    /// Whether the step is signed by the actor.
    pub signed: bool,
}

impl Actor {
    /// Someone who lands his own change.
    pub fn of(user: UserName) -> Self {
        Self { user, authors: BTreeSet::new(), vouched: BTreeSet::new(), imported: None, signed: false }
    }
}

/// What kind of rule was broken; it decides how an answer is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A file is not what the format asks for.
    Format,
    /// The actor may not do this.
    Permission,
    /// A stage rule does not hold.
    Policy,
    /// The past would be changed.
    History,
    /// Something points at what is not there.
    Link,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Fault {
    /// Where and what.
    #[serde(flatten)]
    pub problem: Problem,
    /// The kind of rule.
    pub class: Class,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

/// What the rules say of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// All faults, sorted by place; none means that the step may land.
    pub faults: Vec<Fault>,
}

impl Verdict {
    /// Whether the step may land.
    pub fn passes(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A named rule.
pub struct Rule {
    /// Its name, as faults quote it.
    pub name: &'static str,
    /// Its kind.
    pub class: Class,
    /// What it asks, in a sentence.
    pub about: &'static str,
    check: fn(&Step<'_>, &mut Faults) -> Result<(), TreeError>,
}

/// Collects the faults of one rule.
struct Faults {
    rule: &'static str,
    class: Class,
    out: Vec<Fault>,
}

impl Faults {
    /// Adds a fault in a file, with a way out.
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>, help: impl Into<String>) {
        self.at((path.into(), 0), message, help);
    }

    /// Adds a fault at a line of a file (0: the file as a whole).
    fn at(&mut self, (path, line): (String, usize), message: impl Into<String>, help: impl Into<String>) {
        let mut problem = Problem::of_file(path, self.rule, message).help(help);
        if line > 0 {
            problem.line = line;
            problem.column = 1;
        }
        self.out.push(Fault { problem, class: self.class });
    }

    /// Adds a fault that reading a file brought up, under its own name.
    fn problem(&mut self, problem: Problem) {
        self.out.push(Fault { problem, class: self.class });
    }
}

/// All rules in the order in which they are described.
pub static RULES: &[Rule] = &[
    Rule {
        name: "path",
        class: Class::Format,
        about: "Only files that the registry knows lie in it, as plain files.",
        check: files::paths,
    },
    Rule {
        name: "file",
        class: Class::Format,
        about: "Each changed file is TOML 1.0 in UTF-8 with known keys and right types; at most 256 KiB.",
        check: files::readable,
    },
    Rule {
        name: "place",
        class: Class::Format,
        about: "A file says what its path says: names and ids agree.",
        check: files::places,
    },
    Rule {
        name: "artifact",
        class: Class::Format,
        about: "Model files are plain files with names that every file system can hold.",
        check: files::artifacts,
    },
    Rule {
        name: "key",
        class: Class::Format,
        about: "Keys of people are public SSH or OpenPGP keys that are strong enough; each is one person's.",
        check: keys::keys,
    },
    Rule {
        name: "permission",
        class: Class::Permission,
        about: "The actor has the level that each event needs, by the permissions before the step.",
        check: access::permission,
    },
    Rule {
        name: "rewrite",
        class: Class::Permission,
        about: "Files are moved or reworded without a change of meaning by who may change what they say.",
        check: rewrite::rewrites,
    },
    Rule {
        name: "move",
        class: Class::History,
        about: "A registry is moved to another folder with all its files, in a step in which nothing else happens.",
        check: moved::alone,
    },
    Rule {
        name: "manager",
        class: Class::Policy,
        about: "Somebody keeps CAN_MANAGE of the registry.",
        check: access::manager_left,
    },
    Rule {
        name: "authority",
        class: Class::Policy,
        about: "Somebody who manages the registry can act by its `authority`; who turns it to `signature` signs that.",
        check: authority::usable,
    },
    Rule {
        name: "author",
        class: Class::Permission,
        about: "Nobody writes in another's name: creators, reviewers and closers are who acts, or proven authors of that change.",
        check: access::authors,
    },
    Rule {
        name: "stage-known",
        class: Class::Link,
        about: "Stages are built in or declared in greenroom.toml.",
        check: stage::known,
    },
    Rule { name: "stage-one", class: Class::Policy, about: "A version is in one stage.", check: stage::one },
    Rule {
        name: "stage-from",
        class: Class::Policy,
        about: "A version enters a stage from the stages that its rule allows.",
        check: stage::from,
    },
    Rule {
        name: "stage-approvals",
        class: Class::Policy,
        about: "A version enters a stage with the approvals that its rule asks for, given to what is there before and after.",
        check: stage::approvals,
    },
    Rule {
        name: "stage-name",
        class: Class::Policy,
        about: "A rename leads no reference to a stage to a version that was not approved under the new name, or in a freeze.",
        check: renaming::renamed,
    },
    Rule {
        name: "review",
        class: Class::Policy,
        about: "An approval that is added to an open request is of what is there: its subject says so.",
        check: stage::reviews,
    },
    Rule {
        name: "stage-leaving",
        class: Class::Policy,
        about: "A version leaves a stage with the approvals that its rule asks for, or makes way for one that was approved.",
        check: leaving::leaving,
    },
    Rule {
        name: "stage-exclusive",
        class: Class::Policy,
        about: "An exclusive stage holds one version.",
        check: stage::exclusive,
    },
    Rule {
        name: "stage-evidence",
        class: Class::Policy,
        about: "A version enters a stage with the evidence that its rule asks for.",
        check: stage::evidence,
    },
    Rule {
        name: "stage-frozen",
        class: Class::Policy,
        about: "Nothing enters a stage in a freeze.",
        check: stage::frozen,
    },
    Rule {
        name: "ready",
        class: Class::Policy,
        about: "Only READY versions enter active stages and take aliases, unless the registry allows others.",
        check: ready::ready,
    },
    Rule {
        name: "ready-files",
        class: Class::Policy,
        about: "A version that entered a stage by approvals or evidence, or took a guarded alias, without its files gets none there.",
        check: ready::completed,
    },
    Rule {
        name: "alias",
        class: Class::Policy,
        about: "A guarded alias names versions that its rule allows, and is not moved in a freeze.",
        check: alias::guarded,
    },
    Rule {
        name: "alias-approval",
        class: Class::Policy,
        about: "An alias whose rule asks for an approval is moved by the merge of what somebody else proposed.",
        check: alias::approval,
    },
    Rule {
        name: "active",
        class: Class::Policy,
        about: "What is in an active stage is not deleted, nor its model renamed or deleted, unless the registry allows it.",
        check: stage::active,
    },
    Rule {
        name: "immutable",
        class: Class::History,
        about: "What was recorded stays: identity, source, files, evidence, reviews, closed requests.",
        check: history::immutable,
    },
    Rule {
        name: "id",
        class: Class::Link,
        about: "Each id is a UUID of version 7, and is used once: in the registry as it is and in all of its history.",
        check: ids::new,
    },
    Rule {
        name: "number",
        class: Class::History,
        about: "Version numbers are consecutive and never used twice.",
        check: history::numbers,
    },
    Rule {
        name: "request",
        class: Class::History,
        about: "A request starts open and is closed by the act that its state names.",
        check: history::requests,
    },
    Rule {
        name: "time",
        class: Class::History,
        about: "Times are those of the step; none lies in the future.",
        check: history::times,
    },
    Rule {
        name: "pointer",
        class: Class::Link,
        about: "Stages and aliases point at versions that are there.",
        check: links::pointers,
    },
    Rule {
        name: "name",
        class: Class::Link,
        about: "No two models or aliases differ only by case or Unicode normalisation; no id is used twice.",
        check: links::names,
    },
    Rule {
        name: "principal",
        class: Class::Link,
        about: "Grants, groups and approvers name people and groups that exist.",
        check: links::principals,
    },
    Rule {
        name: "person",
        class: Class::Link,
        about: "Nobody is shown as, or known by, what is another person's id, name or login.",
        check: people::distinct,
    },
    Rule {
        name: "person-id",
        class: Class::Link,
        about: "The id of a person who was removed is given to nobody else, nor a handle of one who stays where approvals count.",
        check: people::one_holder,
    },
    Rule {
        name: "alias-rule",
        class: Class::Link,
        about: "Rules of aliases name known stages and ask for what can be given.",
        check: alias::sensible,
    },
    Rule { name: "freeze", class: Class::Link, about: "A freeze ends after it begins.", check: windows::windows },
    Rule {
        name: "source",
        class: Class::Link,
        about: "Where a version comes from is an address without `..` and credentials, under a prefix that is allowed.",
        check: sources::sources,
    },
    Rule {
        name: "webhook",
        class: Class::Link,
        about: "A webhook has one target, a model that exists, an https address without secrets, and secrets for webhooks.",
        check: links::webhooks,
    },
];

impl Rule {
    /// Whether it says something of a state by itself, whatever steps led there and whoever took them.
    pub fn of_state(&self) -> bool {
        match self.class {
            Class::Format => true,
            // Whether an id is new is asked of a step; that two have it is told by `name`.
            Class::Link => self.name != "id",
            Class::Policy => self.name == "stage-one",
            Class::Permission | Class::History => false,
        }
    }
}

/// Judges a whole state, as if all of it had just been written, by the rules that need no step.
///
/// # Errors
/// When an object cannot be read.
pub fn lint(state: &Snapshot<'_>) -> Result<Verdict, TreeError> {
    let before = Snapshot::new(state.objects(), None, state.at())?;
    let diff = diff::diff(&before, state, Limits::default())?;
    // No rule of a state asks who acted or when.
    let nobody = Actor::of(UserName::nobody());
    let mut step = Step::new(&before, state, &diff, &nobody, Timestamp::from_millis(0));
    // How long ago what it says was written is not known.
    step.is_past = true;
    judge_state(&step)
}

/// Judges what a step leads to by the rules that hold of a state, whoever took the step and whatever it did.
///
/// # Errors
/// When an object cannot be read.
pub fn judge_state(step: &Step<'_>) -> Result<Verdict, TreeError> {
    judge_by(RULES.iter().filter(|r| r.of_state()), step)
}

/// Judges a step by all rules.
///
/// # Errors
/// When an object cannot be read: then there is no verdict, and nothing may land.
pub fn judge(step: &Step<'_>) -> Result<Verdict, TreeError> {
    judge_by(RULES.iter(), step)
}

fn judge_by<'r>(rules: impl Iterator<Item = &'r Rule>, step: &Step<'_>) -> Result<Verdict, TreeError> {
    let mut faults = Vec::new();
    for rule in rules {
        let mut found = Faults { rule: rule.name, class: rule.class, out: Vec::new() };
        (rule.check)(step, &mut found)?;
        faults.extend(found.out);
    }
    faults.sort();
    faults.dedup();
    Ok(Verdict { faults })
}
