//! A push as a whole: each reference by the rules of references, each step of a protected branch by all the others.

use std::collections::BTreeSet;
use std::time::Instant;

use super::judge::Judged;
use super::namespace::Protected;
use super::structure::{Place, Structure};
use super::{Gate, GateError, IdLine, Lander, Landing, Pusher, Update, folders, namespace};
use crate::format::Problem;
use crate::git::GitError;
use crate::rules::{Class, Fault};
use crate::snapshot;
use crate::time::Timestamp;
use crate::tree::Oid;

/// Commits of a first-parent line with their first parents, oldest first.
type Line = Vec<(Oid, Option<Oid>)>;

/// What is said of a push.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// Faults of references, with the reference as the path.
    pub references: Vec<Fault>,
    /// Faults of commits by themselves, side branches included; with any, steps are not judged.
    pub commits: Vec<(Oid, Fault)>,
    /// The steps that would land, oldest first.
    pub steps: Vec<Judged>,
}

/// One thing that stands in the way of a push.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'j> {
    /// The commit, if it is not a reference that is at fault.
    pub commit: Option<Oid>,
    /// The step, if it is one.
    pub step: Option<&'j Judged>,
    /// What is wrong.
    pub fault: &'j Fault,
}

impl Judgement {
    /// Whether all of it may land.
    pub fn passes(&self) -> bool {
        self.faults().next().is_none()
    }

    /// All that stands in the way: references first, then commits, then the steps in their order.
    pub fn faults(&self) -> impl Iterator<Item = Refused<'_>> {
        let references = self.references.iter().map(|fault| Refused { commit: None, step: None, fault });
        let commits = self.commits.iter().map(|(id, fault)| Refused { commit: Some(*id), step: None, fault });
        let of = |step: &'_ Judged| Some(step.commit);
        let steps = self.steps.iter().flat_map(move |step| {
            step.faults.iter().map(move |fault| Refused { commit: of(step), step: Some(step), fault })
        });
        references.chain(commits).chain(steps)
    }

    /// What whoever pushes should know though it lands.
    pub fn warnings(&self) -> impl Iterator<Item = &Fault> {
        self.steps.iter().flat_map(|step| &step.warnings)
    }
}

impl Gate {
    /// Judges a push: all references together, for a push lands as a whole or not at all.
    ///
    /// # Errors
    /// When there can be no verdict: then the push is refused as well.
    pub fn judge(&self, updates: &[Update], pusher: Option<&Pusher>, now: Timestamp) -> Result<Judgement, GateError> {
        let started = Instant::now();
        let by = pusher.map_or(Lander::Nobody, |p| Lander::Pusher(p.clone()));
        let landing = Landing { by, at: now, bounded: true };
        let mut out = Judgement {
            references: namespace::judge(&self.repo, updates, Protected(&self.protected), self.limits)?,
            ..Judgement::default()
        };
        out.references.extend(self.releases(updates, pusher)?);
        if !out.references.is_empty() {
            return Ok(out);
        }
        for update in updates.iter().filter(|u| self.protects(&u.name)) {
            let Some(new) = update.new else { continue };
            let Some(steps) = self.steps(update, new, &mut out)? else { break };
            // What is not built as it must be is not read any further.
            out.commits.extend(self.structure(update, new, &steps, now)?);
            if !out.commits.is_empty() {
                break;
            }
            let base = steps.first().and_then(|(_, parent)| *parent);
            let mut ids = IdLine::after(&update.name, base);
            for (commit, parent) in steps {
                self.in_time(started)?;
                out.steps.push(self.judge_step(commit, parent, &landing, &mut ids)?);
            }
        }
        Ok(out)
    }

    /// What is wrong with the commits that are new to a protected branch, by themselves, side branches included.
    fn structure(
        &self,
        update: &Update,
        new: Oid,
        steps: &Line,
        now: Timestamp,
    ) -> Result<Vec<(Oid, Fault)>, GateError> {
        let known = update.old.map_or_else(|| self.landed(), |old| Ok(vec![old]))?;
        let max = self.limits.commits;
        let Some(commits) = self.repo.new_commits_oldest_first(new, &known, max)? else {
            let message = format!("more than {max} commits come at once");
            let help = "push in parts, or raise greenroom.maxCommits in the served repository";
            return Ok(vec![(new, fault(update, "limit", &message, help))]);
        };
        let root = |commit: &Oid| self.repo.tree_of(commit);
        let before = folders::of(&self.repo, known.first().map(root).transpose()?, &self.folders)?;
        let mut folders = folders::of(&self.repo, Some(root(&new)?), &self.folders)?;
        folders.extend(before);
        let mut unsearched = None;
        for commit in &commits {
            match self.touched(commit) {
                Ok(touched) => folders.extend(touched),
                // What is missing or damaged is told by the checks of structure, if by anything.
                Err(e) => drop(unsearched.get_or_insert(e)),
            }
        }
        folders.sort();
        folders.dedup();
        // Without a registry there is nothing to guard.
        if folders.is_empty() {
            return unsearched.map_or(Ok(Vec::new()), Err);
        }
        let line: BTreeSet<Oid> = steps.iter().map(|(commit, _)| *commit).collect();
        let mut structure = Structure::new(&self.repo, &folders, self.limits, now);
        let mut out = Vec::new();
        for commit in commits {
            let place = if line.contains(&commit) { Place::Line } else { Place::Side };
            out.extend(structure.commit(&commit, place)?.into_iter().map(|fault| (commit, fault)));
        }
        match unsearched.filter(|_| out.is_empty()) {
            Some(e) => Err(e),
            None => Ok(out),
        }
    }

    /// The folders of the registries that a commit changes.
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
    /// first-parent line of the new one. A branch that is new begins where another protected branch ends.
    fn steps(&self, update: &Update, new: Oid, out: &mut Judgement) -> Result<Option<Line>, GateError> {
        let max = self.limits.commits;
        let landed = if update.old.is_some() { Vec::new() } else { self.landed()? };
        let fresh: Option<BTreeSet<Oid>> = match landed.as_slice() {
            [] => None,
            landed => self.repo.new_commits(new, landed, max)?.map(|f| f.into_iter().collect()),
        };
        let mut steps = Vec::new();
        let mut reached = update.old.is_none();
        for step in self.repo.first_parents(new)? {
            let step = step?;
            reached |= Some(step.commit) == update.old;
            if Some(step.commit) == update.old || fresh.as_ref().is_some_and(|f| !f.contains(&step.commit)) {
                break;
            }
            steps.push((step.commit, step.parent));
            if steps.len() > max {
                break;
            }
        }
        if reached && steps.len() <= max {
            steps.reverse();
            return Ok(Some(steps));
        }
        let (message, help) = match update.old {
            Some(old) if steps.len() <= max => self.why_not(old, new)?,
            Some(_) | None => {
                let message = format!("more than {max} commits come at once");
                let help = "push in parts, or raise greenroom.maxCommits in the served repository";
                out.references.push(fault(update, "limit", &message, help));
                return Ok(None);
            }
        };
        out.references.push(fault(update, "ref-rewind", message, help));
        Ok(None)
    }

    /// The tips of the protected branches that are there.
    pub(super) fn landed(&self) -> Result<Vec<Oid>, GateError> {
        let mut out = Vec::new();
        for name in self.protected.iter().filter(|name| !name.contains('*')) {
            out.extend(self.repo.reference(name)?);
        }
        Ok(out)
    }

    /// Why a new tip does not continue the line of the old one.
    fn why_not(&self, old: Oid, new: Oid) -> Result<(&'static str, &'static str), GitError> {
        let max = self.limits.commits;
        let behind = |tip: Oid, known: Oid| self.repo.new_commits(tip, &[known], max);
        if behind(new, old)?.is_some_and(|c| c.is_empty()) {
            return Ok((
                "a protected branch may not be rewound: its history is the record",
                "undo a change by another change: `git pull --rebase && git push`",
            ));
        }
        if behind(old, new)?.is_some_and(|c| c.is_empty()) {
            return Ok((
                "the old tip would come in as a merged branch: that turns the first-parent line around",
                "`git pull --rebase && git push`, or after `git fetch`: `git rebase origin/main && git push` (`git config \
                 pull.rebase true` does so at each pull)",
            ));
        }
        Ok(("the history would be replaced by another", "`git pull --rebase`, and push again without --force"))
    }
}

/// A fault of a reference.
fn fault(update: &Update, rule: &'static str, message: &str, help: &str) -> Fault {
    Fault { problem: Problem::of_file(update.name.clone(), rule, message).help(help), class: Class::History }
}
