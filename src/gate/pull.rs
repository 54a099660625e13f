//! Judges a pull request before it is merged: the effect of the merge, and who may merge it.
//!
//! The rules are the gate's. Only the merger is not known yet, so each possible merger is tried: the request passes if
//! at least one person may merge it.

use std::collections::BTreeSet;

use crate::artifact::recorded::brought;
use crate::authority::{self, Assumption, AuthorityError, Contribution, PeopleKeys, StepIdentities};
use crate::codeowners;
use crate::diff::{self, Diff};
use crate::entity::person::SigningKey;
use crate::entity::settings::Authority;
use crate::event::Event;
use crate::format::Problem;
use crate::git::{Commit, GitError, Repo};
use crate::index;
use crate::name::{Id, Principal, UserName};
use crate::phrase;
use crate::pushes::{FETCH, Pushes};
use crate::registry::{Registry, RegistryError};
use crate::rules::{self, Fault, FormerPeople, Proposal, RuleClass, StepContext, UsedIds};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::{CompareLimits, Oid, Stage as _, StageError, TreeError};

use super::limits::GateLimits;
use super::merge;
use super::proposal;
use super::structure::{RuleScope, Structure};

/// The largest number of commits in a pull request.
const MAX_COMMITS: usize = 5_000;

/// The largest number of people that are tried. Managers of the registry are tried first.
const MAX_TRIED: usize = 200;

/// A pull request: a branch to be merged, and its target.
pub struct PullRequest<'r> {
    registry: &'r Registry,
    /// The target commit; `None` if the branch founds a registry.
    pub base: Option<Oid>,
    /// The commit that was asked about.
    pub head: Oid,
    /// The tip of the branch: `head`, or the commit that `head` merges into `base`.
    pub tip: Oid,
    /// The commits that the branch adds, newest first.
    pub commits: Vec<Commit>,
    /// Whether the clone is cut within the branch, so that there may be more commits and authors.
    pub cut: bool,
    /// The root tree of the merge.
    result: Oid,
    /// Why the branch cannot be merged.
    faults: Vec<Fault>,
}

/// The assumptions for judging a pull request.
#[derive(Debug, Clone)]
pub struct PullContext {
    /// The merger; `None` to try everyone.
    pub merger: Option<UserName>,
    /// Whether the host proves that the authors of the commits are who they claim to be.
    pub authors_proven: bool,
    /// The time of the merge.
    pub now: Timestamp,
}

/// The result for a pull request.
#[derive(Debug)]
pub struct PullVerdict {
    /// The authors of the branch's commits, as the commits name them.
    pub authors: BTreeSet<UserName>,
    /// Whether all authors are proven.
    pub proven: bool,
    /// The events of the merge.
    pub diff: Diff,
    /// The people who may merge: those that were tried and that no rule refuses, managers of the registry first.
    pub may_merge: Vec<UserName>,
    /// Whether there are more people who were not tried.
    pub more: bool,
    /// The person with the fewest faults, if no person may merge.
    pub nearest: Option<UserName>,
    /// The rules that refuse the merge to everyone; empty if at least one person may merge.
    pub faults: Vec<Fault>,
    /// Findings that break no rule but should be known.
    pub warnings: Vec<Problem>,
}

impl<'r> PullRequest<'r> {
    /// Opens the pull request of a range of revisions. `BASE..HEAD` and `BASE...HEAD` merge HEAD into BASE; either may
    /// be omitted and is then `HEAD`. A single revision is compared with its first parent.
    ///
    /// # Errors
    /// [`RegistryError`] if a revision is unknown, the branch has too many commits, or an object cannot be read.
    pub fn of_range(registry: &'r Registry, range: &str) -> Result<Self, RegistryError> {
        let repo = registry.repo();
        let resolve = |rev: &str| repo.resolve(if rev.is_empty() { "HEAD" } else { rev });
        match range.split_once("...").or_else(|| range.split_once("..")) {
            Some((base, head)) => Self::open(registry, Some(resolve(base)?), resolve(head)?),
            None => {
                let head = resolve(range)?;
                let base = repo.commit(&head)?.parents.first().copied();
                Self::open(registry, base, head)
            }
        }
    }

    /// Computes the result of merging `head` into `base`. `head` may be the merge itself, as hosts create it for CI.
    ///
    /// # Errors
    /// [`RegistryError::TooManyCommits`] if the branch has more than 5,000 commits; other [`RegistryError`]s if an
    /// object cannot be read.
    pub fn open(registry: &'r Registry, base: Option<Oid>, head: Oid) -> Result<Self, RegistryError> {
        let repo = registry.repo();
        let parents = repo.commit(&head)?.parents;
        let tip = match parents.as_slice() {
            [first, second] if Some(*first) == base => *second,
            _ => head,
        };
        let (commits, cut) = commits(repo, base, tip)?;
        let result = repo.tree_of(&head)?;
        let mut pull = Self { registry, base, head, tip, commits, cut, result, faults: Vec::new() };
        if let (Some(base), true) = (base, tip == head) {
            pull.merge(base)?;
        }
        Ok(pull)
    }

    /// Merges the branch into `base` in memory.
    fn merge(&mut self, base: Oid) -> Result<(), RegistryError> {
        let repo = self.registry.repo();
        let common = repo.merge_bases(&base, &self.head)?;
        let ancestor = match common.as_slice() {
            [one] if *one == base => return Ok(()),
            [one] => Some(repo.tree_of(one)?),
            [] => None,
            _ => {
                let message =
                    "the branch and its target were merged into each other, so the result of a merge is ambiguous";
                self.cannot("", message, "merge the target into the branch first");
                return Ok(());
            }
        };
        let (ours, theirs) = (repo.tree_of(&base)?, repo.tree_of(&self.head)?);
        let (old, new) = (self.registry.snapshot_in(Some(ours))?, self.registry.edited_in(theirs)?);
        let at = old.at().to_owned();
        if at != new.at() {
            let message = format!(
                "the registry is in {} in the target and in {} in the branch, so the result of a merge is ambiguous",
                phrase::folder(&at),
                phrase::folder(new.at())
            );
            self.cannot(&old.full_path("greenroom.toml"), &message, "merge the target into the branch first");
            return Ok(());
        }
        let within = |path: &str| path.starts_with(&at) || codeowners::is_place(path);
        let merged = merge::three_way(repo, ancestor, Some(ours), Some(theirs), &within)?;
        for path in merged.conflicts.iter().filter(|p| p.starts_with(&at)) {
            let message = "the branch and its target changed this file in different ways";
            self.cannot(
                path,
                message,
                "merge the target into the branch, or rebase the branch, and resolve the conflict there",
            );
        }
        match repo.stage(Some(ours), &merged.patch) {
            Ok(tree) => self.result = tree,
            Err(StageError::Path { path, why }) => {
                self.cannot(&path, &format!("the file cannot be merged: {why}"), "rename it or remove it");
            }
            Err(e @ StageError::Object(_)) => return Err(e.into()),
        }
        Ok(())
    }

    fn cannot(&mut self, path: &str, message: &str, help: &str) {
        let problem = Problem::of_file(path, "merge", message).help(help);
        self.faults.push(Fault { problem, class: RuleClass::History });
    }

    /// Returns the registry before the merge.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn before(&self) -> Result<Snapshot<'r>, RegistryError> {
        self.registry.snapshot_of(self.base)
    }

    /// Returns the registry after the merge.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn after(&self) -> Result<Snapshot<'r>, RegistryError> {
        self.registry.edited_in(self.result)
    }

    /// Judges the merge by `terms`.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn judge(&self, terms: &PullContext) -> Result<PullVerdict, RegistryError> {
        let (before, after) = (self.before()?, self.after()?);
        let mut made = self.made((&before, &after), terms)?;
        made.proposal = self.proposal(&made)?;
        let diff = diff::diff(&before, &after, CompareLimits::default())?;
        made.used = self.used_ids(&after, &diff)?;
        if made.used.is_some() {
            made.former = self.registry.former_people(self.base, &diff)?;
        }
        if made.used.is_none() {
            let message = "not checked: whether new ids were used before, because the clone is shallow";
            let help = "fetch the whole history: `git fetch --unshallow`, or `fetch-depth: 0`";
            made.warnings.push(Problem::of_file("", "shallow", message).help(help));
        }
        let mut warnings = made.warnings.clone();
        let files = codeowners::files_in(self.registry.repo(), Some(self.result))?;
        warnings.extend(codeowners::stale(&files, &after)?);
        let mut judged = PullVerdict {
            proven: made.all_proven(),
            authors: made.authors(),
            diff,
            may_merge: Vec::new(),
            more: false,
            nearest: None,
            faults: self.faults.clone(),
            warnings,
        };
        if judged.faults.is_empty() {
            self.try_all(&before, &after, terms, &made, &mut judged)?;
            // Faults of a commit do not depend on the merger.
            let files = recorded_files(&after, &judged.diff)?;
            let own: Vec<Fault> = made.faults.into_iter().chain(self.structure(terms.now)?).chain(files).collect();
            if !own.is_empty() {
                judged.may_merge.clear();
                judged.nearest = None;
                judged.faults.extend(own);
            }
        }
        judged.faults.sort();
        judged.faults.dedup();
        judged.faults = rules::without_consequences(std::mem::take(&mut judged.faults));
        Ok(judged)
    }

    /// Returns which ids that the merge adds were used before; `None` if the clone is shallow, so that it is unknown.
    fn used_ids(&self, after: &Snapshot<'_>, diff: &Diff) -> Result<Option<UsedIds>, RegistryError> {
        let Some(base) = self.base else { return Ok(Some(UsedIds::new())) };
        let ids: BTreeSet<Id> = rules::new_ids(after, diff)?.into_iter().map(|new| new.id).collect();
        if ids.is_empty() {
            return Ok(Some(UsedIds::new()));
        }
        match index::used_in(self.registry, base, &ids) {
            Ok(found) => Ok(Some(found.into_iter().map(|(id, commit)| (id, rules::brought_by(commit))).collect())),
            Err(RegistryError::Git(GitError::Shallow)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Returns the faults of the branch's commits, each by itself.
    fn structure(&self, now: Timestamp) -> Result<Vec<Fault>, RegistryError> {
        let mut out = Vec::new();
        // Objects that are missing because the clone is shallow are not a fault of the branch.
        if self.cut {
            return Ok(out);
        }
        let mut folders = vec![self.before()?.at().to_owned(), self.after()?.at().to_owned()];
        folders.dedup();
        let mut structure = Structure::new(self.registry.repo(), &folders, GateLimits::default(), now);
        for commit in self.commits.iter().rev() {
            out.extend(structure.commit(&commit.id, RuleScope::Side)?);
        }
        Ok(out)
    }

    /// Determines the authors of the branch's commits and which of them are proven, as the gate does at the merge.
    fn made(
        &self,
        (before, after): (&Snapshot<'_>, &Snapshot<'_>),
        terms: &PullContext,
    ) -> Result<BranchAuthorship<'r>, RegistryError> {
        let repo = self.registry.repo();
        let keys = PeopleKeys::default();
        let assumption = if terms.authors_proven { Assumption::Authors } else { Assumption::None };
        let mut made = BranchAuthorship::default();
        let Some(mut inquiry) = StepIdentities::new((repo, &keys), (before, after), None, terms.now, assumption)?
        else {
            return Ok(made);
        };
        made.authority = inquiry.identity.authority;
        for commit in &self.commits {
            let contribution = inquiry.contribution(commit)?;
            if contribution.person.is_none() {
                let shown = crate::text::quoted(&commit.author.email);
                let message =
                    format!("commit {} is by {shown}, but no person in people/ has this address", commit.id.short());
                let help = "greenroom person add ID --email ADDRESS";
                made.warnings.push(Problem::of_file("", "identity", message).help(help));
            }
            made.branch.push(contribution);
        }
        made.faults = inquiry.faults;
        let unknown = inquiry.unchecked.into_iter().map(|message| Problem::of_file("", "signature", message));
        made.warnings.extend(unknown.map(|p| p.help("a key in people/ would prove who made it")));
        if self.cut {
            let message = "the clone is shallow within the branch, so not all of its authors are known";
            let problem = Problem::of_file("", "shallow", message);
            made.warnings.push(problem.help("fetch the whole history: `git fetch --unshallow`, or `fetch-depth: 0`"));
        }
        made.is_whole = !self.cut;
        let unproven = made.branch.iter().any(|c| c.person.is_some() && !c.proven);
        if unproven && Pushes::open(repo).map_err(AuthorityError::from)?.tip().is_none() {
            let message = "the pusher of the branch is not known: there is no record of pushes in this clone";
            let help = format!("if the host keeps the record, fetch it: `{FETCH}`; or sign the commits");
            made.warnings.push(Problem::of_file("", "push-record", message).help(help));
        }
        if made.authority == Authority::Signature {
            let message = "the gate requires that the committer signs the merge with a key in people/; this is checked \
                           when the merge is pushed";
            made.warnings.push(Problem::of_file("", "signature", message).help("`git merge --no-ff -S`"));
        }
        Ok(made)
    }

    /// Tries everyone who could merge.
    fn try_all(
        &self,
        before: &Snapshot<'_>,
        after: &Snapshot<'_>,
        terms: &PullContext,
        made: &BranchAuthorship<'_>,
        judged: &mut PullVerdict,
    ) -> Result<(), RegistryError> {
        let everyone = match &terms.merger {
            Some(user) => vec![user.clone()],
            None => candidates(before, &judged.diff, &judged.authors)?,
        };
        judged.more = everyone.len() > MAX_TRIED;
        let mut refused: Vec<(UserName, Vec<Fault>)> = Vec::new();
        for user in everyone.into_iter().take(MAX_TRIED) {
            let faults = self.judge_as(&user, true, (before, after), terms, (made, &judged.diff))?;
            if faults.is_empty() { judged.may_merge.push(user) } else { refused.push((user, faults)) }
        }
        if let Some(user) = judged.may_merge.first() {
            // The merge will be signed later, or not. A rule that demands a signature cannot be decided yet.
            let unsigned = self.judge_as(user, false, (before, after), terms, (made, &judged.diff))?;
            for fault in unsigned {
                let message = "a rule requires that the committer signs the merge; the gate checks this when the merge \
                               is pushed";
                judged.warnings.push(Problem { message: message.to_owned(), ..fault.problem });
            }
            return Ok(());
        }
        let key = |f: &Fault| (f.problem.rule, f.problem.path.clone());
        let all: Vec<BTreeSet<_>> = refused.iter().map(|(_, faults)| faults.iter().map(key).collect()).collect();
        // An author comes last, even with the fewest faults, because another person should merge.
        let nearest = refused.into_iter().min_by_key(|(u, faults)| (judged.authors.contains(u), faults.len()));
        if let Some((user, faults)) = nearest {
            let shared = |f: &&Fault| all.iter().all(|keys| keys.contains(&key(f)));
            let common: Vec<Fault> = faults.iter().filter(shared).cloned().collect();
            judged.faults = if common.is_empty() { faults } else { common };
            judged.nearest = Some(user);
        }
        Ok(())
    }

    fn judge_as(
        &self,
        user: &UserName,
        signed: bool,
        (before, after): (&Snapshot<'_>, &Snapshot<'_>),
        terms: &PullContext,
        (made, diff): (&BranchAuthorship<'_>, &Diff),
    ) -> Result<Vec<Fault>, RegistryError> {
        let mut faults = made.cannot_land(user, before, terms.now)?;
        let mut actor = authority::acting(user.clone(), None, &made.branch, signed);
        if made.proposal.is_none() {
            actor.proven_authors.clear();
        }
        let mut step = StepContext::new(before, after, diff, &actor, terms.now);
        // The content of a founding commit may be older.
        step.used.clone_from(&made.used);
        step.former.clone_from(&made.former);
        step.since = self.commits.iter().map(|c| c.author.time).min().filter(|_| before.root().is_some());
        step.proposal = made.proposal.as_ref();
        faults.extend(rules::judge(&step)?.faults);
        Ok(faults)
    }

    /// Returns the branch in the form that the rules need; `None` if it is not certain what it changed, as in a shallow
    /// clone.
    fn proposal(&self, made: &BranchAuthorship<'_>) -> Result<Option<Proposal<'r>>, RegistryError> {
        let Some(base) = self.base.filter(|_| made.is_whole) else { return Ok(None) };
        match proposal::read(self.registry.repo(), &self.after()?, (base, self.tip), &made.branch) {
            Err(GitError::Shallow) => Ok(None),
            found => Ok(found?),
        }
    }
}

/// Returns the faults of the files of added versions.
fn recorded_files(after: &Snapshot<'_>, diff: &Diff) -> Result<Vec<Fault>, RegistryError> {
    Ok(brought(after, &diff.events)?.into_iter().flat_map(|(_, found)| found.faults).collect())
}

/// The authors of a branch, and everything that is judged independently of the merger.
#[derive(Default)]
struct BranchAuthorship<'r> {
    authority: Authority,
    branch: Vec<Contribution>,
    /// Whether all commits of the branch are available.
    is_whole: bool,
    /// The branch in the form that the rules need.
    proposal: Option<Proposal<'r>>,
    faults: Vec<Fault>,
    warnings: Vec<Problem>,
    /// Which of the added ids were used before; `None` if that could not be checked.
    used: Option<UsedIds>,
    /// The people whom the branch adds under an id that was used before.
    former: FormerPeople,
}

impl BranchAuthorship<'_> {
    fn authors(&self) -> BTreeSet<UserName> {
        self.branch.iter().filter_map(|c| c.person.clone()).collect()
    }

    fn all_proven(&self) -> bool {
        self.is_whole && !self.branch.is_empty() && self.branch.iter().all(|c| c.proven)
    }

    /// Returns why the gate would refuse any merge by a person.
    fn cannot_land(&self, user: &UserName, before: &Snapshot<'_>, now: Timestamp) -> Result<Vec<Fault>, TreeError> {
        if before.settings_file()?.is_none() {
            return Ok(Vec::new());
        }
        let person = before.person(user)?.and_then(|f| f.value);
        let counts = |key: &SigningKey| key.revoked_at.is_none_or(|at| at > now);
        let (message, help) = match (self.authority, person) {
            (Authority::Author, _) | (Authority::Pusher, Some(_)) => return Ok(Vec::new()),
            (Authority::Signature, Some(person)) if person.keys.iter().any(counts) => return Ok(Vec::new()),
            (Authority::Pusher | Authority::Signature, None) => (
                format!("{user} is not a person of this registry"),
                format!("greenroom person add {user} --email ADDRESS"),
            ),
            (Authority::Signature, Some(_)) => (
                format!("{user} has no key in people/, and `authority` requires a signed merge"),
                format!("greenroom person set {user} --key FILE"),
            ),
        };
        Ok(vec![Fault { problem: Problem::of_file("", "identity", message).help(help), class: RuleClass::Permission }])
    }
}

/// Returns the commits that are reachable from `tip` and not from `base`, and whether the clone is cut among them.
fn commits(repo: &Repo, base: Option<Oid>, tip: Oid) -> Result<(Vec<Commit>, bool), RegistryError> {
    let known: Vec<Oid> = base.into_iter().collect();
    let found = repo.new_commits_oldest_first(tip, &known, MAX_COMMITS)?;
    let mut ids = found.ok_or(RegistryError::TooManyCommits { max: MAX_COMMITS })?;
    ids.reverse();
    let commits: Vec<Commit> = ids.iter().map(|id| repo.commit(id)).collect::<Result<_, _>>()?;
    // At the cut of a clone, a commit names parents that are not available. `base` may be such a parent that is
    // available.
    let edges: BTreeSet<Oid> = repo.cut_commits()?.into_iter().collect();
    let is_known = |parent: &Oid| Some(*parent) == base || ids.contains(parent);
    let cut = commits.iter().any(|c| edges.contains(&c.id) && !c.parents.iter().all(is_known));
    Ok((commits, cut))
}

/// Returns everyone who could merge, by rank in the registry: its people, and all whom grants name. Service accounts
/// are excluded, because they commit on behalf of others.
fn candidates(
    before: &Snapshot<'_>,
    diff: &Diff,
    authors: &BTreeSet<UserName>,
) -> Result<Vec<UserName>, RegistryError> {
    let mut all: BTreeSet<UserName> = before.people()?.keys().cloned().collect();
    let access = before.access()?;
    let mut grants = access.grants.clone();
    for model in diff.events.iter().filter_map(Event::model).collect::<BTreeSet<_>>() {
        if let Some(view) = before.model(model)? {
            grants.extend(view.access()?.and_then(|f| f.value).unwrap_or_default().grants);
        }
    }
    all.extend(grants.into_iter().filter_map(|g| match g.to {
        Principal::User(user) => Some(user),
        Principal::Group(_) => None,
    }));
    all.extend(access.groups.values().flatten().cloned());
    if let Some(settings) = before.settings()? {
        all.retain(|u| !settings.identity.servers.contains(u));
    }
    if all.is_empty() {
        // The author founds a registry.
        all.extend(authors.iter().cloned());
    }
    let mut ranked = Vec::new();
    for user in all {
        ranked.push((std::cmp::Reverse(before.registry_level(&user)?), user));
    }
    ranked.sort();
    Ok(ranked.into_iter().map(|(_, user)| user).collect())
}
