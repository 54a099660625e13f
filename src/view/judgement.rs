//! What `check`, `verify`, `doctor` and the preview of a review say.

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

/// What `check` says of the files of the work tree.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileReport<'a> {
    /// How many files were read.
    pub files: usize,
    /// The files that differ from the last commit.
    pub changed: &'a [String],
    /// The broken rules.
    pub faults: &'a [Fault],
    /// What should be known.
    pub warnings: &'a [Problem],
}

/// What `check BASE..HEAD` says of a pull request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PullReport<'a> {
    /// The commit that it is merged into.
    pub base: Option<Oid>,
    /// The commit that is merged.
    pub head: Oid,
    /// The merge, or the commit that stands for it.
    pub tip: Oid,
    /// The commits of the branch.
    pub commits: Vec<Oid>,
    /// The people who made them, as the commits say.
    pub authors: &'a BTreeSet<UserName>,
    /// Whether all authors are proven.
    pub authors_proven: bool,
    /// Whether somebody may merge it.
    pub passes: bool,
    /// Who may merge it.
    pub may_merge: &'a [UserName],
    /// Whether more people might, who were not tried.
    pub more_people: bool,
    /// Who comes nearest where nobody may merge it.
    pub nearest: Option<&'a UserName>,
    /// The requests that stay open, and who may decide them.
    pub may_approve: Vec<Approvers<'a>>,
    /// The rules of the stages that versions would enter.
    pub rules: Vec<StageConditions<'a>>,
    /// The events of the merge.
    pub events: &'a [Event],
    /// The broken rules.
    pub faults: &'a [Fault],
    /// What should be known.
    pub warnings: &'a [Problem],
}

/// An open transition request and who may decide it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Approvers<'a> {
    /// The registered model.
    pub model: &'a ModelName,
    /// The version's number.
    pub version: u64,
    /// The stage that is asked for.
    pub to: &'a Stage,
    /// Who may decide.
    pub users: &'a [UserName],
}

/// The rule of a stage for a version that would enter it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StageConditions<'a> {
    /// The registered model.
    pub model: &'a ModelName,
    /// The version's number.
    pub version: u64,
    /// The stage.
    pub to: &'a Stage,
    /// The parts of the rule.
    pub conditions: Vec<Condition<'a>>,
}

/// A part of a stage's rule.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Condition<'a> {
    /// What it demands.
    pub asks: &'a str,
    /// Whether it holds; null where only the merge can tell.
    pub holds: Option<bool>,
}

/// What `verify` found in the history.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verification<'a> {
    /// The audit.
    #[serde(flatten)]
    pub audit: &'a Audit,
    /// Whether there are no findings.
    pub ok: bool,
}

/// What `doctor` found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Checks<'a> {
    /// Whether no check failed.
    pub ok: bool,
    /// The checks.
    pub checks: &'a [Check],
}

/// A review to be pasted into the file of its transition request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReviewBlock<'a> {
    /// The file.
    pub path: &'a str,
    /// The review.
    pub review: &'a Review,
}
