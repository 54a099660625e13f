//! Judges the commits that are not pushed yet, as the gate would judge them if the local committer pushed them now.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::error::GateError;
use super::ids::IdLine;
use super::judge::StepJudgement;
use super::limits::GateLimits;
use super::push::{Judgement, PushedSteps};
use super::pushed_files::MissingPolicy;
use super::refs::Update;
use super::{Gate, PROTECTED, StepArrival, full, matches};
use crate::authority::{Assumption, CommitterIdentity, People};
use crate::format::Problem;
use crate::git::{GitError, Ident, Repo, Tracked};
use crate::index::IndexError;
use crate::pushes::{FETCH, Pushes};
use crate::registry::{Registry, RegistryError};
use crate::rules::{Fault, RuleClass};
use crate::text::{counted, one_line};
use crate::time::Timestamp;
use crate::tree::{Oid, TreeError};

/// The verdict on the steps that are not pushed yet.
#[derive(Debug, Default)]
pub struct Ahead {
    /// The steps that were judged, oldest first.
    pub steps: Vec<Oid>,
    /// The faults for which the gate would refuse the push. The message of each names its commit, if a commit is at fault.
    pub faults: Vec<Fault>,
    /// The parts that were not judged, and the reason.
    pub warnings: Vec<Problem>,
}

/// Judges the steps of the registry's branch that the remote's branch did not have at the last fetch.
///
/// `committer` is the person who would push; without it, each commit counts as pushed by its committer. If the branch is
/// not pushed to a protected branch of a remote, nothing is judged, and a warning says why: the merge will be judged later.
///
/// # Errors
/// [`GateError`] if an object cannot be read, unless a shallow or partial clone lacks it: that is a warning.
pub fn ahead(registry: &Registry, committer: Option<&Ident>, now: Timestamp) -> Result<Ahead, GateError> {
    let repo = registry.repo();
    let Some(tip) = repo.reference(registry.branch())? else { return Ok(Ahead::default()) };
    let Some(tracked) = repo.tracked(registry.branch())? else { return Ok(unseen(repo)) };
    let found = match goes_to(repo, registry.branch(), &tracked) {
        Target::Protected => judged(registry, (tip, &tracked), committer, now),
        Target::Unknown { why, help } => unjudged(repo, tip, &tracked, (why, help)),
    };
    match found {
        Err(e) => match cut(repo, &e) {
            Some((why, help)) => {
                let message = format!("the commits that are not in {} were not judged: {why}", tracked.name);
                Ok(Ahead { warnings: vec![warning(message, help)], ..Ahead::default() })
            }
            None => Err(e),
        },
        found => found,
    }
}

/// Where commits of the branch go.
enum Target {
    /// To a branch that a gate protects, as far as it is known here.
    Protected,
    /// It is not known here.
    Unknown { why: &'static str, help: String },
}

fn goes_to(repo: &Repo, branch: &str, tracked: &Tracked) -> Target {
    let Some(short) = branch.strip_prefix("refs/heads/") else {
        let why = "HEAD is on no branch, so it is not known to which one they go";
        let help = format!("`greenroom check {}..` judges what a merge of them would make happen", tracked.name);
        return Target::Unknown { why, help };
    };
    let is_named = repo.own_settings(PROTECTED).iter().any(|pattern| matches(&full(pattern), branch));
    if tracked.is_main || (is_named && (tracked.has_its_name || tracked.name == tracked.main)) {
        return Target::Protected;
    }
    let mut help = format!("`greenroom check {}..` judges what that merge would make happen", tracked.main);
    if tracked.has_its_name {
        help = format!(
            "{help}; if the gate protects this branch too: `git config --add {PROTECTED} '{short}'`, then check again"
        );
    }
    Target::Unknown { why: "the branch is not the main one, so others will merge it", help }
}

/// Says that commits were not judged, if there are any that the remote's branch has not.
fn unjudged(repo: &Repo, tip: Oid, tracked: &Tracked, (why, help): (&str, String)) -> Result<Ahead, GateError> {
    let new = repo.new_commits(tip, &[tracked.commit], GateLimits::of(repo)?.commits)?;
    if new.is_some_and(|new| new.is_empty()) {
        return Ok(Ahead::default());
    }
    let message = format!("the commits that are not in {} were not judged: {why}", tracked.name);
    Ok(Ahead { warnings: vec![warning(message, help)], ..Ahead::default() })
}

/// Says that nothing is known of the remotes.
fn unseen(repo: &Repo) -> Ahead {
    let Some(remote) = repo.remote_names().into_iter().next() else { return Ahead::default() };
    let remote = one_line(&remote).into_owned();
    let message = format!(
        "the commits were not judged as a push: no branch of the remote '{remote}' is known here; recent ones were judged as \
         `greenroom verify` does"
    );
    Ahead { warnings: vec![warning(message, format!("`git fetch {remote}`, then check again"))], ..Ahead::default() }
}

fn warning(message: impl Into<String>, help: impl Into<String>) -> Problem {
    Problem::of_file("", "unpushed", message).help(help)
}

/// Returns why a clone lacks objects that the verdict needs, and what to do; `None` if the error has another cause.
fn cut(repo: &Repo, e: &GateError) -> Option<(&'static str, &'static str)> {
    let shallow = ("the clone is shallow", "fetch the whole history: `git fetch --unshallow`");
    let partial = ("the clone is partial", "fetch all objects: `git fetch --refetch --no-filter`");
    let tree = match e {
        GateError::Git(GitError::Shallow)
        | GateError::Ids(IndexError::Registry(RegistryError::Git(GitError::Shallow))) => return Some(shallow),
        GateError::Tree(e)
        | GateError::Git(GitError::Object(e))
        | GateError::Ids(IndexError::Registry(RegistryError::Tree(e) | RegistryError::Git(GitError::Object(e)))) => e,
        GateError::Ids(_)
        | GateError::Setting { .. }
        | GateError::Late { .. }
        | GateError::Pushes(_)
        | GateError::Git(_) => {
            return None;
        }
    };
    (matches!(tree, TreeError::Missing(_)) && repo.promisor().is_some()).then_some(partial)
}

fn judged(
    registry: &Registry,
    (tip, tracked): (Oid, &Tracked),
    committer: Option<&Ident>,
    now: Timestamp,
) -> Result<Ahead, GateError> {
    let gate = Gate::open(Repo::open_beside(registry.repo().git_dir())?)?.of_a_clone();
    let mut out = Ahead::default();
    gate.tell_others(tip, tracked, &mut out)?;
    let Some(base) = gate.base(tip, tracked, &mut out)? else { return Ok(out) };
    let people = registry.snapshot_of(Some(base)).map_err(of_registry)?;
    let person = committer.map(|who| People::of(&people)?.by_ident(who)).transpose()?.flatten();
    let by = person.map_or(CommitterIdentity::Committer, CommitterIdentity::Person);
    let update = Update { name: registry.branch().to_owned(), old: Some(base), new: Some(tip) };
    let landing = StepArrival { by, at: now, bounded: true, assumption: Assumption::None };
    let mut judgement = gate.judge_ahead(&update, (base, tip), &landing, &mut out)?;
    let has_record = Pushes::open(gate.repo())?.tip().is_some();
    let brings = |step: &StepJudgement| {
        !step.faults.is_empty() && gate.repo().commit(&step.commit).is_ok_and(|c| c.parents.len() > 1)
    };
    let lenient = match !has_record && judgement.steps.iter().any(brings) {
        true => {
            let landing = StepArrival { assumption: Assumption::Records, ..landing };
            Some(gate.judge_ahead(&update, (base, tip), &landing, &mut Ahead::default())?)
        }
        false => None,
    };
    gate.tell_behind(&update, tracked, &mut judgement, &mut out)?;
    report_judgement(&judgement, lenient.as_ref(), tip, &mut out);
    Ok(out)
}

fn of_registry(e: RegistryError) -> GateError {
    GateError::Ids(IndexError::Registry(e))
}

/// Adds the faults of a judgement, with advice for commits that are not pushed yet. A fault that only the record of
/// pushes could remove, which is not in this clone, becomes a warning.
fn report_judgement(judgement: &Judgement, lenient: Option<&Judgement>, tip: Oid, out: &mut Ahead) {
    out.steps.extend(judgement.steps.iter().map(|step| step.commit));
    let stays = |commit: Option<Oid>, fault: &Fault| {
        lenient.is_none_or(|lenient| lenient.faults().any(|other| other.commit == commit && other.fault == fault))
    };
    for one in judgement.faults() {
        if stays(one.commit, one.fault) {
            out.faults.push(mended(one.fault, one.commit, tip));
        } else {
            let message =
                format!("only the record of pushes can decide this, and it is not in this clone: {}", one.fault);
            out.warnings.push(Problem::of_file("", "push-record", message).help(format!("fetch it: `{FETCH}`")));
        }
    }
}

/// Adds advice to a fault of a commit that exists. Each commit is judged by itself, so a later commit corrects nothing.
fn mended(fault: &Fault, commit: Option<Oid>, tip: Oid) -> Fault {
    let Some(commit) = commit else { return fault.clone() };
    let short = commit.short();
    let way = match fault.class {
        RuleClass::Permission | RuleClass::Policy => format!(
            "the commit is not pushed, so you can undo it and all later commits: `git reset --keep {short}~1`, or with \
             `--soft` instead to keep its changes as edits"
        ),
        RuleClass::Format | RuleClass::History | RuleClass::Link if commit == tip => {
            "make that change in the commit itself (`git commit --amend`): each commit is judged by itself".to_owned()
        }
        RuleClass::Format | RuleClass::History | RuleClass::Link => format!(
            "make that change in the commit itself (`git rebase -i {short}~1`, with `edit`): each commit is judged by \
             itself"
        ),
    };
    let mut fault = fault.clone();
    fault.problem.help = if fault.problem.help.is_empty() { way } else { format!("{}; {way}", fault.problem.help) };
    fault.problem.message = format!("commit {short}: {}", fault.problem.message);
    fault
}

impl Gate {
    /// Returns the gate for commits of a clone. It ignores missing model files, because a push sends them, and takes up to a
    /// day, because only the caller waits.
    fn of_a_clone(mut self) -> Self {
        self.missing = MissingPolicy::Ignore;
        self.limits.time = Duration::from_secs(24 * 60 * 60);
        self
    }

    /// Returns the commit after which the steps of `tip` are new to the remote's branch; `None` if no step is new.
    fn base(&self, tip: Oid, tracked: &Tracked, out: &mut Ahead) -> Result<Option<Oid>, GateError> {
        let max = self.limits.commits;
        let Some(new) = self.repo.new_commits(tip, &[tracked.commit], max)? else { return Ok(Some(tracked.commit)) };
        if new.is_empty() {
            return Ok(None);
        }
        if self.repo.new_commits(tracked.commit, &[tip], max)?.is_some_and(|c| c.is_empty()) {
            return Ok(Some(tracked.commit));
        }
        let new: BTreeSet<Oid> = new.into_iter().collect();
        for step in self.repo.first_parents(tip)? {
            let step = step?;
            if !new.contains(&step.commit) {
                let message = format!("{} has commits that are not here, which may change the verdict", tracked.name);
                out.warnings.push(warning(message, "`git pull --rebase`, then check again"));
                return Ok(Some(step.commit));
            }
        }
        Ok(Some(tracked.commit))
    }

    /// Judges the steps from `old` to `new` as a push of them.
    fn judge_ahead(
        &self,
        update: &Update,
        (old, new): (Oid, Oid),
        landing: &StepArrival,
        told: &mut Ahead,
    ) -> Result<Judgement, GateError> {
        let mut out = Judgement::default();
        let Some(steps) = self.steps(update, (old, new), &mut out)? else { return Ok(out) };
        let judge = |ids: IdLine| self.judge_new(update, (old, new), &steps, (landing, ids));
        match judge(IdLine::after(&update.name, Some(old))) {
            Err(GateError::Ids(IndexError::Registry(RegistryError::Git(GitError::Shallow)))) => {
                let message = "not checked: whether new ids were used before, because the clone is shallow";
                let help = "fetch the whole history: `git fetch --unshallow`";
                told.warnings.push(Problem::of_file("", "shallow", message).help(help));
                judge(IdLine::elsewhere())
            }
            found => found,
        }
    }

    /// Replaces the faults of steps that the remote's branch had when it was fetched before: the remote lost them, and
    /// nothing has to be taken back here.
    fn tell_behind(
        &self,
        update: &Update,
        tracked: &Tracked,
        judgement: &mut Judgement,
        out: &mut Ahead,
    ) -> Result<(), GateError> {
        if judgement.passes() {
            return Ok(());
        }
        let (Some(old), Some(new)) = (update.old, update.new) else { return Ok(()) };
        let steps = self.steps(update, (old, new), &mut Judgement::default())?.unwrap_or_default();
        let Some(lost) = self.lost(&update.name, Some(&tracked.reference), (Some(tracked.commit), &steps))? else {
            return Ok(());
        };
        judgement.commits.clear();
        judgement.steps.iter_mut().take(lost.known).for_each(|step| step.faults.clear());
        let (name, at) = (&tracked.name, lost.at.short());
        let message = format!(
            "{name} is at {}, behind what it was before: it was at {at} ({}); the remote lost these commits, as when it is \
             restored from a backup",
            tracked.commit.short(),
            lost.evidence()
        );
        let help = format!(
            "keep the commits here; {}. If they were taken out on purpose: `git reset --keep {name}`",
            lost.way(&update.name, Some(tracked.commit))
        );
        let problem = Problem::of_file("", "ref-lost", message).help(help);
        out.faults.push(Fault { problem, class: RuleClass::History });
        Ok(())
    }

    /// Says which commits would also be new to the branch of another remote: which remote has a gate is not known here.
    fn tell_others(&self, tip: Oid, tracked: &Tracked, out: &mut Ahead) -> Result<(), GateError> {
        let max = self.limits.commits;
        for (name, commit) in &tracked.others {
            let many = match self.repo.new_commits(tip, &[*commit, tracked.commit], max)? {
                Some(judged) => match self.repo.new_commits(tip, &[*commit], max)? {
                    Some(all) if all.len() == judged.len() => continue,
                    Some(all) => counted(all.len() - judged.len(), "commit"),
                    None => format!("more than {max} commits"),
                },
                None => continue,
            };
            let message =
                format!("{many} that {} has and {name} has not were not judged as a push to {name}", tracked.name);
            let help =
                format!("if the gate is there: `greenroom check {name}..` judges what a merge would make happen");
            out.warnings.push(warning(message, help));
        }
        Ok(())
    }

    fn judge_new(
        &self,
        update: &Update,
        (old, new): (Oid, Oid),
        steps: &PushedSteps,
        (landing, ids): (&StepArrival, IdLine),
    ) -> Result<Judgement, GateError> {
        let mut out = Judgement::default();
        self.judge_line(update, (new, steps, &[old]), (landing, ids), Instant::now(), &mut out)?;
        Ok(out)
    }
}
