//! Where a new protected branch begins: at a step of a protected branch that is there, so that what it holds was judged.
//!
//! An older step shows rights and rules that were changed since. A branch may begin there only if whoever manages the
//! registry today makes it; from then on each branch is judged by its own states.

use std::collections::{BTreeSet, HashSet};

use super::push::Line;
use super::{Gate, GateError, Update};
use crate::authority::{People, Pusher};
use crate::entity::Level;
use crate::format::Problem;
use crate::git::{GitError, Repo, Walk};
use crate::rules::{Class, Fault};
use crate::snapshot::{self, Snapshot};
use crate::tree::Oid;

/// The first-parent lines of several commits, read as far as they are asked for.
pub(super) struct Lines<'r> {
    repo: &'r Repo,
    /// The tips whose lines are not begun yet, the next one last.
    tips: Vec<Oid>,
    walk: Option<Walk<'r>>,
    seen: HashSet<Oid>,
}

impl<'r> Lines<'r> {
    /// The lines that end in these commits; the first ones are read first.
    pub(super) fn of(repo: &'r Repo, tips: &[Oid]) -> Self {
        Self { repo, tips: tips.iter().rev().copied().collect(), walk: None, seen: HashSet::new() }
    }

    /// Whether a commit is a step of one of the lines. Each step is read once, however often this is asked.
    pub(super) fn hold(&mut self, commit: &Oid) -> Result<bool, GitError> {
        loop {
            if self.seen.contains(commit) {
                return Ok(true);
            }
            match self.walk.as_mut().and_then(Iterator::next).transpose()? {
                Some(step) if self.seen.insert(step.commit) => {}
                // The rest of this line was read with another.
                Some(_) | None => match self.tips.pop() {
                    Some(tip) => self.walk = Some(self.repo.first_parents(tip)?),
                    None => return Ok(false),
                },
            }
        }
    }
}

/// What a new protected branch would bring.
pub(super) enum Begin {
    /// These steps, oldest first.
    Steps(Line),
    /// More steps than one push may bring.
    TooMany,
    /// It may not begin where it does.
    Refused(Fault),
}

impl Gate {
    /// The tips of the protected branches that are there, that of HEAD first.
    pub(super) fn tips(&self) -> Result<Vec<Oid>, GateError> {
        let mut out = Vec::new();
        for name in self.protected.iter().filter(|name| !name.contains('*')) {
            out.extend(self.repo.reference(name)?);
        }
        if self.protected.iter().any(|name| name.contains('*')) {
            for name in self.repo.reference_names()?.iter().filter(|name| self.protects(name)) {
                out.extend(self.repo.reference(name)?);
            }
        }
        let mut seen = BTreeSet::new();
        out.retain(|tip| seen.insert(*tip));
        Ok(out)
    }

    /// The steps of a protected branch that is not there yet, from where it leaves the line of another one. `tips` are
    /// those of the others; without any the branch is the first one, and begins with its root.
    pub(super) fn begin(
        &self,
        update: &Update,
        new: Oid,
        tips: &[Oid],
        pusher: Option<&Pusher>,
    ) -> Result<Begin, GateError> {
        let max = self.limits.commits;
        // What cannot be reached from the others is no step of theirs.
        let fresh: Option<HashSet<Oid>> = match tips {
            [] => None,
            tips => match self.repo.new_commits(new, tips, max)? {
                Some(fresh) => Some(fresh.into_iter().collect()),
                None => return Ok(Begin::TooMany),
            },
        };
        let mut lines = Lines::of(&self.repo, tips);
        let mut steps = Vec::new();
        for step in self.repo.first_parents(new)? {
            let step = step?;
            let known = fresh.as_ref().is_some_and(|fresh| !fresh.contains(&step.commit));
            if known && lines.hold(&step.commit)? {
                steps.reverse();
                return Ok(match self.why_not_from(update, step.commit, tips, pusher)? {
                    Some(fault) => Begin::Refused(fault),
                    None => Begin::Steps(steps),
                });
            }
            steps.push((step.commit, step.parent));
            if steps.len() > max {
                return Ok(Begin::TooMany);
            }
        }
        if tips.is_empty() {
            steps.reverse();
            return Ok(Begin::Steps(steps));
        }
        let message = "the new protected branch begins at no step of a protected branch".to_owned();
        let help = "make it from one: `git switch -c NAME origin/main`, and commit on top of that";
        Ok(Begin::Refused(fault(update, Class::History, message, help)))
    }

    /// Why a branch may not begin at a step; none if that is a tip, or if whoever pushes manages the registry by its
    /// newest state.
    fn why_not_from(
        &self,
        update: &Update,
        step: Oid,
        tips: &[Oid],
        pusher: Option<&Pusher>,
    ) -> Result<Option<Fault>, GateError> {
        if tips.contains(&step) {
            return Ok(None);
        }
        let Some(why) = self.lacks(pusher, Level::CanManage, "begin a protected branch there", tips.first())? else {
            return Ok(None);
        };
        let message = format!(
            "the new protected branch begins at {}, whose rights and rules are not those of today, and {why}",
            step.short()
        );
        let help =
            "begin at the newest step of a protected branch, or let somebody with CAN_MANAGE of the registry push it";
        Ok(Some(fault(update, Class::Permission, message, help)))
    }

    /// Why whoever pushes may not do what needs a registry-wide level, by the newest state of the branch of HEAD, or
    /// where that is not there of another one; none if it is allowed, or if there is no registry.
    pub(super) fn lacks(
        &self,
        pusher: Option<&Pusher>,
        level: Level,
        act: &str,
        other: Option<&Oid>,
    ) -> Result<Option<String>, GateError> {
        let Some(pusher) = pusher else { return Ok(Some("nobody says who pushes".to_owned())) };
        let head = self.protected.first().map(|head| self.repo.reference(head)).transpose()?.flatten();
        let Some(tip) = head.as_ref().or(other) else { return Ok(None) };
        let root = self.repo.tree_of(tip)?;
        for at in snapshot::registries(&self.repo, Some(root))? {
            let state = Snapshot::new(&self.repo, Some(root), &at)?;
            let Some(user) = People::of(&state)?.by_pusher(pusher)? else {
                return Ok(Some("who pushes is not a person of this registry".to_owned()));
            };
            if state.registry_level(&user)? < Some(level) {
                return Ok(Some(format!("{user} may not {act}: it needs {level} of the registry")));
            }
        }
        Ok(None)
    }
}

fn fault(update: &Update, class: Class, message: String, help: &str) -> Fault {
    Fault { problem: Problem::of_file(update.name.clone(), "ref-begin", message).help(help), class }
}
