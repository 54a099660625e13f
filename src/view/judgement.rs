//! Output types for `check`, `verify`, `doctor` and `request approve --print`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::entity::Review;
use crate::event::Event;
use crate::format::Problem;
use crate::gate::verify::Audit;
use crate::name::{ModelName, UserName};
use crate::registry::health::Check;
use crate::rules::Fault;
use crate::stage::Stage;
use crate::tree::Oid;

/// The result of `check` for the files of the work tree.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileReport<'a> {
    /// The number of checked files.
    pub files: usize,
    /// The files that differ from the newest commit.
    pub changed: &'a [String],
    /// The broken rules.
    pub faults: &'a [Fault],
    /// The warnings.
    pub warnings: &'a [Problem],
}

/// The result of `check BASE..HEAD` for a pull request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PullReport<'a> {
    /// The commit of the target branch. Null if the target branch has no commit.
    pub base: Option<Oid>,
    /// The head commit of the pull request.
    pub head: Oid,
    /// The merge commit, or the commit that is judged in its place.
    pub tip: Oid,
    /// The commits of the pull request.
    pub commits: Vec<Oid>,
    /// The authors that these commits name.
    pub authors: &'a BTreeSet<UserName>,
    /// Whether all authors are proven, by a signature or by the record of pushes.
    pub authors_proven: bool,
    /// Whether at least one person may merge the pull request.
    pub passes: bool,
    /// The people who may merge the pull request.
    pub may_merge: &'a [UserName],
    /// Whether further people were not checked, who might be allowed to merge.
    pub more_people: bool,
    /// The person with the fewest broken rules, if no person may merge the pull request; otherwise null.
    pub nearest: Option<&'a UserName>,
    /// The transition requests that stay open, and the people who may decide them.
    pub may_approve: Vec<Approvers<'a>>,
    /// The rules of the stages that versions enter by the merge.
    pub rules: Vec<StageConditions<'a>>,
    /// The events of the merge.
    pub events: &'a [Event],
    /// The broken rules.
    pub faults: &'a [Fault],
    /// The warnings.
    pub warnings: &'a [Problem],
}

/// An open transition request, and the people who may decide it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Approvers<'a> {
    /// The registered model.
    pub model: &'a ModelName,
    /// The version number.
    pub version: u64,
    /// The requested stage.
    pub to: &'a Stage,
    /// The people who may decide the request.
    pub users: &'a [UserName],
}

/// The rule of a stage, applied to a version that enters it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StageConditions<'a> {
    /// The registered model.
    pub model: &'a ModelName,
    /// The version number.
    pub version: u64,
    /// The stage.
    pub to: &'a Stage,
    /// The conditions of the rule.
    pub conditions: Vec<Condition<'a>>,
}

/// A condition of a stage's rule.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Condition<'a> {
    /// The text of the condition.
    pub asks: &'a str,
    /// Whether the condition holds. Null if only the merge itself can show that.
    pub holds: Option<bool>,
}

/// The result of `verify`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verification<'a> {
    /// The result of the audit.
    #[serde(flatten)]
    pub audit: &'a Audit,
    /// Whether there are no findings.
    pub ok: bool,
}

/// The result of `doctor`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Checks<'a> {
    /// Whether no check failed.
    pub ok: bool,
    /// The checks.
    pub checks: &'a [Check],
}

/// A review, to be added by hand to the file of the transition request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReviewBlock<'a> {
    /// The path of the request's file.
    pub path: &'a str,
    /// The review.
    pub review: &'a Review,
}
