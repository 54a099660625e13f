//! The law book: named rules over two states, the events between them, the actor, and the time.
//!
//! Rules see what git can show, and never how a change was requested. So a hand edit, a push, the CLI and the server
//! get the same verdict. Settings and permissions are those of the state *before* the step: a change cannot grant
//! itself what it needs. All rules run, and all findings are listed, sorted by file and line.

mod access;
mod alias;
pub mod approvals;
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
mod making_way;
mod merge;
mod moved;
pub mod obstacles;
mod people;
mod place;
pub mod proposal;
mod ready;
mod renaming;
mod rewrite;
mod source_disguise;
pub mod sources;
mod stage;
mod step;
pub mod subject;
mod webhook;
mod windows;

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::diff;
use crate::format::Problem;
use crate::name::UserName;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::{CompareLimits, TreeError};

pub use consequences::without_consequences;
pub use holders::{FormerPeople, former_holders, holder_marks, needs_history};
pub use ids::{NewId, new_ids, repeated, reused};
use line::line_of;
pub use people::{added_people, is_same_person, taken_over};
pub use proposal::{BranchCommit, Proposal};
pub use stage::lacking;
pub use step::{StepContext, UsedIds, brought_by};
pub use webhook::{former_secrets, secret_marks};

/// The person who acts, as the setting `authority` identifies them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// The person responsible for the step: the committer.
    pub user: UserName,
    /// The authors of the step's commits, if they are other people. These are claims: shown, but without any right.
    pub authors: BTreeSet<UserName>,
    /// The proven ones of these authors: they signed their commits, or pushed them here themselves. In a merge they
    /// have a right to the changes that the [`Proposal`] attributes to them; without a proposal they have none.
    pub proven_authors: BTreeSet<UserName>,
    /// The author of a commit that is not a merge, if the actor is an administrator. Administrators may commit texts of
    /// other people, as an import does. It gives no permission for requests and reviews.
    pub imported: Option<UserName>,
    /// Whether the actor signed the step.
    pub signed: bool,
}

impl Actor {
    /// Returns an actor who commits their own change.
    pub fn of(user: UserName) -> Self {
        Self { user, authors: BTreeSet::new(), proven_authors: BTreeSet::new(), imported: None, signed: false }
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
        about: "A registry contains only files that it knows, as plain files.",
        check: files::paths,
    },
    Rule {
        name: "file",
        class: RuleClass::Format,
        about: "Each changed file is TOML 1.0 in UTF-8 with known keys and correct types; at most 256 KiB.",
        check: files::readable,
    },
    Rule {
        name: "place",
        class: RuleClass::Format,
        about: "The names and ids in a file agree with its path.",
        check: files::places,
    },
    Rule {
        name: "artifact",
        class: RuleClass::Format,
        about: "Model files are plain files with names that are valid on every file system.",
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
        about: "Only people who may change the content of a file move it, or reword it without a change of meaning.",
        check: rewrite::rewrites,
    },
    Rule {
        name: "move",
        class: RuleClass::History,
        about: "A registry moves to another folder with all its files, in a step without other changes.",
        check: moved::alone,
    },
    Rule {
        name: "manager",
        class: RuleClass::Policy,
        about: "At least one person keeps CAN_MANAGE on the registry.",
        check: access::manager_left,
    },
    Rule {
        name: "authority",
        class: RuleClass::Policy,
        about: "At least one administrator can act by `authority`; the step that sets it to `signature` is signed.",
        check: authority::usable,
    },
    Rule {
        name: "author",
        class: RuleClass::Permission,
        about: "No person writes in another person's name: creators, reviewers and closers are the actor, or proven \
                authors of that change.",
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
        about: "A version enters a stage with the required approvals of its content before and after the step, and archives \
                only what was requested.",
        check: stage::approvals,
    },
    Rule {
        name: "stage-name",
        class: RuleClass::Policy,
        about: "A rename never points a stage reference at a version that was not approved under the new name, nor \
                during a freeze.",
        check: renaming::renamed,
    },
    Rule {
        name: "review",
        class: RuleClass::Policy,
        about: "An approval that is added to an open request has the subject of the current state.",
        check: stage::reviews,
    },
    Rule {
        name: "stage-leaving",
        class: RuleClass::Policy,
        about: "A version leaves a stage with the required approvals, or because an approved version replaces it.",
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
        about: "A version enters a stage with the evidence that its rule requires.",
        check: stage::evidence,
    },
    Rule {
        name: "stage-frozen",
        class: RuleClass::Policy,
        about: "No version enters a stage during a freeze.",
        check: stage::frozen,
    },
    Rule {
        name: "ready",
        class: RuleClass::Policy,
        about: "Only READY versions enter active stages and get aliases, unless the registry allows others.",
        check: ready::ready,
    },
    Rule {
        name: "ready-files",
        class: RuleClass::Policy,
        about: "A version without files that entered a stage by approvals or evidence, or got a guarded alias, gets no \
                files there.",
        check: ready::completed,
    },
    Rule {
        name: "alias",
        class: RuleClass::Policy,
        about: "A guarded alias names versions that its rule allows, and does not move during a freeze.",
        check: alias::guarded,
    },
    Rule {
        name: "alias-approval",
        class: RuleClass::Policy,
        about: "An alias whose rule requires an approval moves only by the merge of another person's proposal.",
        check: alias::approval,
    },
    Rule {
        name: "active",
        class: RuleClass::Policy,
        about: "A version in an active stage is not deleted, nor its model renamed or deleted, unless the registry \
                allows it.",
        check: stage::active,
    },
    Rule {
        name: "immutable",
        class: RuleClass::History,
        about: "Recorded facts do not change: identity, source, files, evidence, reviews, closed requests.",
        check: history::immutable,
    },
    Rule {
        name: "id",
        class: RuleClass::Link,
        about: "Each id is a UUID of version 7, and is used once: in the current registry and in all of its history.",
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
        about: "A request starts open and is closed by the action that its state names.",
        check: history::requests,
    },
    Rule {
        name: "time",
        class: RuleClass::History,
        about: "Times are those of the step; no time is in the future.",
        check: history::times,
    },
    Rule {
        name: "pointer",
        class: RuleClass::Link,
        about: "Stages and aliases point at versions that exist.",
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
        about: "No person is shown or identified by the id, name or login of another person.",
        check: people::distinct,
    },
    Rule {
        name: "person-id",
        class: RuleClass::Link,
        about: "The id of a removed person goes to no other person, nor a former address, login or key of a person if \
                approvals count.",
        check: people::one_holder,
    },
    Rule {
        name: "alias-rule",
        class: RuleClass::Link,
        about: "Rules of aliases name known stages and require only what is possible.",
        check: alias::sensible,
    },
    Rule { name: "freeze", class: RuleClass::Link, about: "A freeze ends after it begins.", check: windows::windows },
    Rule {
        name: "source",
        class: RuleClass::Link,
        about: "The source of a version is an address without `..` and credentials, under an allowed prefix; ids of runs \
                are valid ids.",
        check: sources::sources,
    },
    Rule {
        name: "webhook",
        class: RuleClass::Link,
        about: "A webhook has one target, a model that stays with it, an https address without secrets, and secrets of its own.",
        check: webhook::sensible,
    },
];

impl Rule {
    /// Returns whether the rule judges a state by itself, independent of its steps and of the people who made them.
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
