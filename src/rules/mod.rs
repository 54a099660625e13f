//! The law book: named rules over two states, the events between them, the actor, and the time.
//!
//! Rules see what git can show, and never how a change was requested. So a hand edit, a push, the CLI and the server
//! get the same verdict. Settings and permissions are those of the state *before* the step: a change cannot grant
//! itself what it needs. All rules run, and all findings are listed, sorted by file and line.

mod access;
mod alias;
mod authority;
mod consequences;
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
pub mod obstacles;
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
use crate::entity::{PermissionLevel, Review};
use crate::event::Event;
use crate::format::Problem;
use crate::format::path::Location;
use crate::name::{Id, ModelName, UserName};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::{CompareLimits, FileChange, Oid, TreeError};

pub use consequences::without_consequences;
pub use holders::{FormerPeople, former_holders, holder_marks};
pub use ids::{NewId, new_ids, repeated, reused};
use line::line_of;
pub use people::{added_people, is_same_person, taken_over};
pub use proposal::{BranchCommit, Proposal};

/// One step of the history, to be judged.
pub struct StepContext<'a> {
    /// The state before the step.
    pub before: &'a Snapshot<'a>,
    /// The state after the step.
    pub after: &'a Snapshot<'a>,
    /// The events and changed files between the two states.
    pub diff: &'a Diff,
    /// The person who acts.
    pub actor: &'a Actor,
    /// The time at which the step reaches the branch.
    pub at: Timestamp,
    /// The author time of the earliest commit that the step brings; `None` if times are not compared with it.
    pub since: Option<Timestamp>,
    /// The branch that a merge brings in; `None` without a merge, or if it is uncertain what the branch changed.
    pub proposal: Option<&'a Proposal<'a>>,
    /// Whether the step is history that is judged again: newer rules do not refuse old steps that did no harm.
    pub is_past: bool,
    /// The ids of the step that were used before, with the place of the use; `None` if the history was not searched:
    /// then the rule searches the state before.
    pub used: Option<UsedIds>,
    /// What by the history belonged to others of what the step gives to people, as far as that was asked.
    pub former: FormerPeople,
    moves: OnceCell<Moves>,
    levels: RefCell<BTreeMap<ModelName, Option<PermissionLevel>>>,
    touched: OnceCell<Vec<(Location, &'a FileChange)>>,
}

/// Ids that were used before, each with the place of its use.
pub type UsedIds = BTreeMap<Id, String>;

/// Returns the place of the use of an id, for an id that a commit brought.
pub fn brought_by(commit: Oid) -> String {
    format!("commit {} brought it", commit.short())
}

/// The models that the step creates, and the former names of the models that it renames.
#[derive(Default)]
struct Moves {
    created: BTreeSet<ModelName>,
    renamed: BTreeMap<ModelName, ModelName>,
}

impl<'a> StepContext<'a> {
    /// Returns a step from one state to another, without a proposal or knowledge of the history.
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

    /// Returns the name of a model before the step, because permissions before the step count.
    fn before_name(&self, model: &ModelName) -> ModelName {
        self.moves().renamed.get(model).unwrap_or(model).clone()
    }

    /// Returns whether the step registers a model.
    fn created(&self, model: &ModelName) -> bool {
        self.moves().created.contains(model)
    }

    /// Returns the level of the actor on a model, by the permissions before the step.
    fn level(&self, model: &ModelName) -> Result<Option<PermissionLevel>, TreeError> {
        if let Some(level) = self.levels.borrow().get(model) {
            return Ok(*level);
        }
        let level = self.before.level(&self.actor.user, model)?;
        self.levels.borrow_mut().insert(model.clone(), level);
        Ok(level)
    }

    /// Returns the changed files with the meaning of their paths after the step; of deleted files, before the step.
    fn touched(&self) -> Result<&[(Location, &'a FileChange)], TreeError> {
        let (old, new) = (self.before.layout()?, self.after.layout()?);
        let place = |f: &FileChange| Location::parse(&f.path, if f.after.is_some() { new } else { old }).ok();
        let find = || self.diff.files.iter().filter_map(|f| Some((place(f)?, f))).collect();
        Ok(self.touched.get_or_init(find))
    }

    /// Returns whether an event that names a person was made by that person: the actor, or a proven author. In a merge,
    /// only changes of the branch can be another person's.
    fn is_by(&self, event: &Event, name: &UserName) -> Result<bool, TreeError> {
        if *name == self.actor.user {
            return Ok(true);
        }
        match self.proposal {
            Some(proposal) => proposal.is_by(event, name, &self.actor.user),
            None => Ok(self.actor.vouched.contains(name)),
        }
    }

    /// Returns the same as [`Self::is_by`] for a new review of a request.
    fn is_review_by(&self, request: &Id, review: &Review) -> Result<bool, TreeError> {
        if review.by == self.actor.user {
            return Ok(true);
        }
        match self.proposal {
            Some(proposal) => proposal.adds_review(request, review),
            None => Ok(self.actor.vouched.contains(&review.by)),
        }
    }

    /// Returns whether the step creates the registry: nobody has permissions yet, and its content was not made step by
    /// step.
    fn founds(&self) -> Result<bool, TreeError> {
        Ok(self.before.settings_file()?.is_none())
    }
}

/// The person who acts, as the setting `authority` identifies them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// The person responsible for the step: the committer.
    pub user: UserName,
    /// The authors of the step's commits, if they are other people. These are claims: shown, but without any right.
    pub authors: BTreeSet<UserName>,
    /// The proven ones of these authors: they signed their commits, or pushed them here themselves. In a merge they
    /// have a right to the changes that the [`Proposal`] attributes to them; without a proposal they have none.
    pub vouched: BTreeSet<UserName>,
    /// The author of a commit that is no merge, if the actor is an administrator. Administrators may commit words of
    /// others, as an import does. It gives no right to requests and reviews.
    pub imported: Option<UserName>,
    /// Whether the actor signed the step.
    pub signed: bool,
}

impl Actor {
    /// Returns an actor who commits their own change.
    pub fn of(user: UserName) -> Self {
        Self { user, authors: BTreeSet::new(), vouched: BTreeSet::new(), imported: None, signed: false }
    }
}

/// The kind of a rule; servers choose the status code of a response by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Class")]
pub enum RuleClass {
    /// A file does not follow the file format.
    Format,
    /// The actor lacks a permission.
    Permission,
    /// A stage or alias rule does not hold.
    Policy,
    /// The change would rewrite recorded history.
    History,
    /// A reference names an object that does not exist.
    Link,
}

/// A finding: one broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Fault {
    /// The file, the message and the hint.
    #[serde(flatten)]
    pub problem: Problem,
    /// The kind of the rule.
    pub class: RuleClass,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

/// The result of judging a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// All findings, sorted by file and line. Without findings the step may reach the branch.
    pub faults: Vec<Fault>,
}

impl Verdict {
    /// Returns whether the step may reach the branch.
    pub fn passes(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A named rule.
pub struct Rule {
    /// The name of the rule, as findings quote it.
    pub name: &'static str,
    /// The kind of the rule.
    pub class: RuleClass,
    /// The demand of the rule in one sentence.
    pub about: &'static str,
    check: fn(&StepContext<'_>, &mut Faults) -> Result<(), TreeError>,
}

/// Collects the findings of one rule.
struct Faults {
    rule: &'static str,
    class: RuleClass,
    out: Vec<Fault>,
}

impl Faults {
    /// Adds a finding about a file, with a hint.
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>, help: impl Into<String>) {
        self.at((path.into(), 0), message, help);
    }

    /// Adds a finding about a line of a file (0: the file as a whole).
    fn at(&mut self, (path, line): (String, usize), message: impl Into<String>, help: impl Into<String>) {
        let mut problem = Problem::of_file(path, self.rule, message).help(help);
        if line > 0 {
            problem.line = line;
            problem.column = 1;
        }
        self.out.push(Fault { problem, class: self.class });
    }

    /// Adds a fault that reading a file found, under its own rule name.
    fn problem(&mut self, problem: Problem) {
        self.out.push(Fault { problem, class: self.class });
    }
}

/// All rules, in the order of their documentation.
pub static RULES: &[Rule] = &[
    Rule {
        name: "path",
        class: RuleClass::Format,
        about: "Only files that the registry knows lie in it, as plain files.",
        check: files::paths,
    },
    Rule {
        name: "file",
        class: RuleClass::Format,
        about: "Each changed file is TOML 1.0 in UTF-8 with known keys and right types; at most 256 KiB.",
        check: files::readable,
    },
    Rule {
        name: "place",
        class: RuleClass::Format,
        about: "A file says what its path says: names and ids agree.",
        check: files::places,
    },
    Rule {
        name: "artifact",
        class: RuleClass::Format,
        about: "Model files are plain files with names that every file system can hold.",
        check: files::artifacts,
    },
    Rule {
        name: "key",
        class: RuleClass::Format,
        about: "Keys of people are public SSH or OpenPGP keys that are strong enough; each is one person's.",
        check: keys::keys,
    },
    Rule {
        name: "permission",
        class: RuleClass::Permission,
        about: "The actor has the level that each event needs, by the permissions before the step.",
        check: access::permission,
    },
    Rule {
        name: "rewrite",
        class: RuleClass::Permission,
        about: "Files are moved or reworded without a change of meaning by who may change what they say.",
        check: rewrite::rewrites,
    },
    Rule {
        name: "move",
        class: RuleClass::History,
        about: "A registry is moved to another folder with all its files, in a step in which nothing else happens.",
        check: moved::alone,
    },
    Rule {
        name: "manager",
        class: RuleClass::Policy,
        about: "Somebody keeps CAN_MANAGE of the registry.",
        check: access::manager_left,
    },
    Rule {
        name: "authority",
        class: RuleClass::Policy,
        about: "Somebody who manages the registry can act by its `authority`; who turns it to `signature` signs that.",
        check: authority::usable,
    },
    Rule {
        name: "author",
        class: RuleClass::Permission,
        about: "Nobody writes in another's name: creators, reviewers and closers are who acts, or proven authors of that change.",
        check: access::authors,
    },
    Rule {
        name: "stage-known",
        class: RuleClass::Link,
        about: "Stages are built in or declared in greenroom.toml.",
        check: stage::known,
    },
    Rule { name: "stage-one", class: RuleClass::Policy, about: "A version is in one stage.", check: stage::one },
    Rule {
        name: "stage-from",
        class: RuleClass::Policy,
        about: "A version enters a stage from the stages that its rule allows.",
        check: stage::from,
    },
    Rule {
        name: "stage-approvals",
        class: RuleClass::Policy,
        about: "A version enters a stage with the approvals that its rule asks for, given to what is there before and after.",
        check: stage::approvals,
    },
    Rule {
        name: "stage-name",
        class: RuleClass::Policy,
        about: "A rename leads no reference to a stage to a version that was not approved under the new name, or in a freeze.",
        check: renaming::renamed,
    },
    Rule {
        name: "review",
        class: RuleClass::Policy,
        about: "An approval that is added to an open request is of what is there: its subject says so.",
        check: stage::reviews,
    },
    Rule {
        name: "stage-leaving",
        class: RuleClass::Policy,
        about: "A version leaves a stage with the approvals that its rule asks for, or makes way for one that was approved.",
        check: leaving::leaving,
    },
    Rule {
        name: "stage-exclusive",
        class: RuleClass::Policy,
        about: "An exclusive stage holds one version.",
        check: stage::exclusive,
    },
    Rule {
        name: "stage-evidence",
        class: RuleClass::Policy,
        about: "A version enters a stage with the evidence that its rule asks for.",
        check: stage::evidence,
    },
    Rule {
        name: "stage-frozen",
        class: RuleClass::Policy,
        about: "Nothing enters a stage in a freeze.",
        check: stage::frozen,
    },
    Rule {
        name: "ready",
        class: RuleClass::Policy,
        about: "Only READY versions enter active stages and take aliases, unless the registry allows others.",
        check: ready::ready,
    },
    Rule {
        name: "ready-files",
        class: RuleClass::Policy,
        about: "A version that entered a stage by approvals or evidence, or took a guarded alias, without its files gets none there.",
        check: ready::completed,
    },
    Rule {
        name: "alias",
        class: RuleClass::Policy,
        about: "A guarded alias names versions that its rule allows, and is not moved in a freeze.",
        check: alias::guarded,
    },
    Rule {
        name: "alias-approval",
        class: RuleClass::Policy,
        about: "An alias whose rule asks for an approval is moved by the merge of what somebody else proposed.",
        check: alias::approval,
    },
    Rule {
        name: "active",
        class: RuleClass::Policy,
        about: "What is in an active stage is not deleted, nor its model renamed or deleted, unless the registry allows it.",
        check: stage::active,
    },
    Rule {
        name: "immutable",
        class: RuleClass::History,
        about: "What was recorded stays: identity, source, files, evidence, reviews, closed requests.",
        check: history::immutable,
    },
    Rule {
        name: "id",
        class: RuleClass::Link,
        about: "Each id is a UUID of version 7, and is used once: in the registry as it is and in all of its history.",
        check: ids::new,
    },
    Rule {
        name: "number",
        class: RuleClass::History,
        about: "Version numbers are consecutive and never used twice.",
        check: history::numbers,
    },
    Rule {
        name: "request",
        class: RuleClass::History,
        about: "A request starts open and is closed by the act that its state names.",
        check: history::requests,
    },
    Rule {
        name: "time",
        class: RuleClass::History,
        about: "Times are those of the step; none lies in the future.",
        check: history::times,
    },
    Rule {
        name: "pointer",
        class: RuleClass::Link,
        about: "Stages and aliases point at versions that are there.",
        check: links::pointers,
    },
    Rule {
        name: "name",
        class: RuleClass::Link,
        about: "No two models or aliases differ only by case or Unicode normalisation; no id is used twice.",
        check: links::names,
    },
    Rule {
        name: "principal",
        class: RuleClass::Link,
        about: "Grants, groups and approvers name people and groups that exist.",
        check: links::principals,
    },
    Rule {
        name: "person",
        class: RuleClass::Link,
        about: "Nobody is shown as, or known by, what is another person's id, name or login.",
        check: people::distinct,
    },
    Rule {
        name: "person-id",
        class: RuleClass::Link,
        about: "The id of a person who was removed is given to nobody else, nor a handle of one who stays where approvals count.",
        check: people::one_holder,
    },
    Rule {
        name: "alias-rule",
        class: RuleClass::Link,
        about: "Rules of aliases name known stages and ask for what can be given.",
        check: alias::sensible,
    },
    Rule { name: "freeze", class: RuleClass::Link, about: "A freeze ends after it begins.", check: windows::windows },
    Rule {
        name: "source",
        class: RuleClass::Link,
        about: "Where a version comes from is an address without `..` and credentials, under a prefix that is allowed.",
        check: sources::sources,
    },
    Rule {
        name: "webhook",
        class: RuleClass::Link,
        about: "A webhook has one target, a model that exists, an https address without secrets, and secrets for webhooks.",
        check: links::webhooks,
    },
];

impl Rule {
    /// Returns whether the rule judges a state by itself, whatever steps led to it and whoever made them.
    pub fn of_state(&self) -> bool {
        match self.class {
            RuleClass::Format => true,
            // Whether an id is new is a question about a step; the rule `name` finds ids that occur twice in a state.
            RuleClass::Link => self.name != "id",
            RuleClass::Policy => self.name == "stage-one",
            RuleClass::Permission | RuleClass::History => false,
        }
    }
}

/// Judges a whole state by the rules that need no step, as if all of it had just been written.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn lint(state: &Snapshot<'_>) -> Result<Verdict, TreeError> {
    let before = Snapshot::new(state.objects(), None, state.at())?;
    let diff = diff::diff(&before, state, CompareLimits::default())?;
    // No rule of a state asks for the actor or the time.
    let nobody = Actor::of(UserName::nobody());
    let mut step = StepContext::new(&before, state, &diff, &nobody, Timestamp::from_millis(0));
    // The age of the state's content is unknown.
    step.is_past = true;
    judge_state(&step)
}

/// Judges the state after a step by the rules of states.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn judge_state(step: &StepContext<'_>) -> Result<Verdict, TreeError> {
    judge_by(RULES.iter().filter(|r| r.of_state()), step)
}

/// Judges a step by all rules.
///
/// # Errors
/// If an object of the tree cannot be read: then there is no verdict, and the step must not reach the branch.
pub fn judge(step: &StepContext<'_>) -> Result<Verdict, TreeError> {
    judge_by(RULES.iter(), step)
}

fn judge_by<'r>(rules: impl Iterator<Item = &'r Rule>, step: &StepContext<'_>) -> Result<Verdict, TreeError> {
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
