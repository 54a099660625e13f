//! Judges a push as a whole: references by the rules of references, and each step of a protected branch by all other
//! rules.

use std::collections::BTreeSet;
use std::time::Instant;

use super::branch_start::BranchStart;
use super::error::GateError;
use super::ids::IdLine;
use super::judge::StepJudgement;
use super::lost::lost_fault;
use super::refs::Update;
use super::structure::{RuleScope, Structure};
use super::{CommitterIdentity, Gate, Pusher, StepArrival, namespace};
use crate::authority::Assumption;
use crate::format::Problem;
use crate::git::GitError;
use crate::rules::{Fault, RuleClass};
use crate::snapshot;
use crate::time::Timestamp;
use crate::tree::Oid;

/// Commits of a first-parent history with their first parents, oldest first.
pub(super) type PushedSteps = Vec<(Oid, Option<Oid>)>;

/// The result for a push.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// Faults of references; the path is the reference.
    pub references: Vec<Fault>,
    /// Faults of single commits, side branches included. If there are any, steps are not judged.
    pub commits: Vec<(Oid, Fault)>,
    /// The steps that the push would add, oldest first.
    pub steps: Vec<StepJudgement>,
}

/// One fault that blocks a push.
#[derive(Debug, Clone, Copy)]
pub struct PushFault<'j> {
    /// The commit; `None` if a reference is at fault.
    pub commit: Option<Oid>,
    /// The step, if the fault belongs to a step.
    pub step: Option<&'j StepJudgement>,
    /// The broken rule and where it is broken.
    pub fault: &'j Fault,
}

impl Judgement {
    /// Whether the push is accepted.
    pub fn passes(&self) -> bool {
        self.faults().next().is_none()
    }

    /// Returns all faults: references first, then commits, then the steps in their order.
    pub fn faults(&self) -> impl Iterator<Item = PushFault<'_>> {
        let references = self.references.iter().map(|fault| PushFault { commit: None, step: None, fault });
        let commits = self.commits.iter().map(|(id, fault)| PushFault { commit: Some(*id), step: None, fault });
        let of = |step: &'_ StepJudgement| Some(step.commit);
        let steps = self.steps.iter().flat_map(move |step| {
            step.faults.iter().map(move |fault| PushFault { commit: of(step), step: Some(step), fault })
        });
        references.chain(commits).chain(steps)
    }

    /// Returns warnings for the pusher, which do not block the push.
    pub fn warnings(&self) -> impl Iterator<Item = &Fault> {
        self.steps.iter().flat_map(|step| &step.warnings)
    }
}

impl Gate {
    /// Judges a push: all references together, because a push is accepted or refused as a whole.
    ///
    /// # Errors
    /// [`GateError`] if there can be no verdict. Then the push is refused as well.
    pub fn judge(&self, updates: &[Update], pusher: Option<&Pusher>, now: Timestamp) -> Result<Judgement, GateError> {
        let started = Instant::now();
        let by = pusher.map_or(CommitterIdentity::Nobody, |p| CommitterIdentity::Pusher(p.clone()));
        let landing = StepArrival { by, at: now, bounded: true, assumption: Assumption::None };
        let mut out = Judgement {
            references: namespace::judge(&self.repo, updates, self.reserved(), self.limits)?,
            ..Judgement::default()
        };
        out.references.extend(self.releases(updates, pusher)?);
        if !out.references.is_empty() {
            return Ok(out);
        }
        let mut guarded: Vec<&Update> = updates.iter().filter(|u| self.protects(&u.name)).collect();
        // Existing branches go first, and HEAD's branch among equals: new branches start at steps of these.
        guarded.sort_by_key(|u| (u.old.is_none(), self.protected.first() != Some(&u.name)));
        let mut tips = if guarded.iter().any(|u| u.old.is_none()) { self.tips()? } else { Vec::new() };
        for update in guarded {
            let Some(new) = update.new else { continue };
            let steps = match update.old {
                Some(old) => self.steps(update, (old, new), &mut out)?,
                None => self.first_steps(update, new, (&tips, pusher), &mut out)?,
            };
            let Some(steps) = steps else { break };
            let known = update.old.map_or_else(|| tips.clone(), |old| vec![old]);
            let ids = IdLine::after(&update.name, steps.first().and_then(|(_, parent)| *parent));
            let first = out.steps.len();
            self.judge_line(update, (new, &steps, &known), (&landing, ids), started, &mut out)?;
            self.tell_lost(update, &steps, first, &mut out)?;
            if !out.commits.is_empty() || !out.references.is_empty() {
                break;
            }
            tips.push(new);
        }
        Ok(out)
    }

    /// Judges the steps that a branch takes to `new`. What is not built as it must be is not read any further.
    pub(super) fn judge_line(
        &self,
        update: &Update,
        (new, steps, known): (Oid, &PushedSteps, &[Oid]),
        (landing, mut ids): (&StepArrival, IdLine),
        started: Instant,
        out: &mut Judgement,
    ) -> Result<(), GateError> {
        out.commits.extend(self.structure(update, new, (steps, known), landing.at)?);
        if !out.commits.is_empty() {
            return Ok(());
        }
        for (commit, parent) in steps {
            self.in_time(started)?;
            out.steps.push(self.judge_step(*commit, *parent, landing, &mut ids)?);
        }
        Ok(())
    }

    /// Returns the faults in the structure of the commits that are new to a protected branch, side branches included.
    fn structure(
        &self,
        update: &Update,
        new: Oid,
        (steps, known): (&PushedSteps, &[Oid]),
        now: Timestamp,
    ) -> Result<Vec<(Oid, Fault)>, GateError> {
        let max = self.limits.commits;
        let Some(commits) = self.repo.new_commits_oldest_first(new, known, max)? else {
            return Ok(vec![(new, too_many(update, max))]);
        };
        let root = |commit: &Oid| self.repo.tree_of(commit);
        let before = snapshot::folders(&self.repo, known.first().map(root).transpose()?, &self.folders)?;
        let mut folders = snapshot::folders(&self.repo, Some(root(&new)?), &self.folders)?;
        folders.extend(before);
        let mut unsearched = None;
        for commit in &commits {
            match self.touched(commit) {
                Ok(touched) => folders.extend(touched),
                // The structural checks report a missing or damaged object.
                Err(e) => drop(unsearched.get_or_insert(e)),
            }
        }
        folders.sort();
        folders.dedup();
        // Without a registry there is nothing to protect.
        if folders.is_empty() {
            return unsearched.map_or(Ok(Vec::new()), Err);
        }
        let line: BTreeSet<Oid> = steps.iter().map(|(commit, _)| *commit).collect();
        let mut structure = Structure::new(&self.repo, &folders, self.limits, now);
        let mut out = Vec::new();
        for commit in commits {
            let place = if line.contains(&commit) { RuleScope::Line } else { RuleScope::Side };
            out.extend(structure.commit(&commit, place)?.into_iter().map(|fault| (commit, fault)));
        }
        match unsearched.filter(|_| out.is_empty()) {
            Some(e) => Err(e),
            None => Ok(out),
        }
    }

    /// Returns the folders of the registries that a commit changes.
    fn touched(&self, commit: &Oid) -> Result<impl Iterator<Item = String>, GateError> {
        let commit = self.repo.commit(commit)?;
        let parent = commit.parents.first().filter(|parent| self.repo.has(parent));
        let before = parent.map(|parent| self.repo.tree_of(parent)).transpose()?;
        let (there, come) = snapshot::changed_registries(&self.repo, before, Some(commit.tree))?;
        Ok(there.into_iter().chain(come))
    }

    fn in_time(&self, started: Instant) -> Result<(), GateError> {
        let limit = self.limits.time;
        if started.elapsed() > limit { Err(GateError::Late { seconds: limit.as_secs() }) } else { Ok(()) }
    }

    /// The steps that a protected branch would take, oldest first; none, with a fault, if the old tip is not on the
    /// first-parent line of the new one.
    pub(super) fn steps(
        &self,
        update: &Update,
        (old, new): (Oid, Oid),
        out: &mut Judgement,
    ) -> Result<Option<PushedSteps>, GateError> {
        let max = self.limits.commits;
        let mut steps = Vec::new();
        let mut reached = false;
        for step in self.repo.first_parents(new)? {
            let step = step?;
            reached = step.commit == old;
            if reached {
                break;
            }
            steps.push((step.commit, step.parent));
            if steps.len() > max {
                break;
            }
        }
        if steps.len() > max {
            out.references.push(too_many(update, max));
        } else if !reached {
            let (message, help) = self.why_not(update, (old, new))?;
            out.references.push(fault(update, "ref-rewind", message, &help));
        }
        steps.reverse();
        Ok(Some(steps).filter(|steps| reached && steps.len() <= max))
    }

    /// Returns the steps of a new protected branch: it starts where it leaves another branch's first-parent history.
    fn first_steps(
        &self,
        update: &Update,
        new: Oid,
        (tips, pusher): (&[Oid], Option<&Pusher>),
        out: &mut Judgement,
    ) -> Result<Option<PushedSteps>, GateError> {
        match self.begin(update, new, tips, pusher)? {
            BranchStart::Steps(steps) => return Ok(Some(steps)),
            BranchStart::TooMany => out.references.push(too_many(update, self.limits.commits)),
            BranchStart::Refused(fault) => {
                let lost = self.lost(&update.name, None, (None, &vec![(new, None)]))?;
                out.references.push(lost.map_or(fault, |lost| lost_fault(update, &lost)));
            }
        }
        Ok(None)
    }

    /// Returns why a new tip does not continue the first-parent history of the old one.
    fn why_not(&self, update: &Update, (old, new): (Oid, Oid)) -> Result<(&'static str, String), GitError> {
        let max = self.limits.commits;
        let behind = |tip: Oid, known: Oid| self.repo.new_commits(tip, &[known], max);
        let branch = update.name.strip_prefix("refs/heads/").unwrap_or(&update.name);
        if behind(new, old)?.is_some_and(|c| c.is_empty()) {
            return Ok((
                "a protected branch may not be reset to an older commit: its history is the record",
                "undo a change with a new commit: `git pull --rebase && git push`".to_owned(),
            ));
        }
        if behind(old, new)?.is_some_and(|c| c.is_empty()) {
            return Ok((
                "the old tip would become a merged branch, which changes the first-parent history",
                format!(
                    "run `git pull --rebase && git push`, or after `git fetch`: `git rebase origin/{branch} && git push` \
                     (`git config pull.rebase true` makes each pull a rebase)"
                ),
            ));
        }
        Ok(("the push would replace the history", "run `git pull --rebase`, and push again without --force".to_owned()))
    }
}

fn too_many(update: &Update, max: usize) -> Fault {
    let message = format!("the push has more than {max} commits");
    fault(update, "limit", &message, "push in parts, or raise greenroom.maxCommits in the served repository")
}

/// Returns a fault of a reference.
fn fault(update: &Update, rule: &'static str, message: &str, help: &str) -> Fault {
    Fault { problem: Problem::of_file(update.name.clone(), rule, message).help(help), class: RuleClass::History }
}
