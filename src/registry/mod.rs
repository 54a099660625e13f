//! The transaction: read, apply, judge, commit, and retry if the head moved meanwhile. Also reading: as of a moment,
//! history.
//!
//! Greenroom changes a registry only in this way. The new snapshot is built in memory and judged before any of it is
//! written, so a refused change leaves nothing behind.

mod batch;
mod change_author;
mod error;
mod former_folders;
pub mod health;
mod history;
mod lint;
mod location;
mod propose;
pub mod unsent_files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::action::Action;
use crate::apply::{self, Context};
use crate::authority;
use crate::diff::{self, Diff};
use crate::event::Event;
use crate::git::{Durability, GitError, Ident, PublishError, Repo, stamp};
use crate::name::{Id, UserName};
use crate::phrase;
use crate::rules::{self, FormerPeople, StepContext, UsedIds, Verdict};
use crate::snapshot::{self, Snapshot};
use crate::time::{Calendar, Timestamp};
use crate::tree::{CompareLimits, Objects as _, Oid, Stage as _};

use change_author::ProofCache;

pub use batch::Batch;
pub use error::RegistryError;
pub use former_folders::{named_folders, newest_id, past_folders};
pub use history::{LogEntry, Steps};
pub use lint::LintReport;
pub use location::RegistryLocation;
pub use propose::Proposal;
pub use unsent_files::UnsentFiles;

/// The setting that names further folders with registries deeper in the repository, so that they are found without a
/// search.
pub const NAMED_FOLDERS: &str = "greenroom.registry";

/// How often a change is retried because the head moved.
const ATTEMPTS: usize = 20;

/// How long to wait for another greenroom writer.
pub const LOCK_WAIT: Duration = Duration::from_secs(30);

/// A registry in a git repository.
pub struct Registry {
    repo: Repo,
    branch: String,
    at: String,
    landed: AsOfLookup,
    proofs: ProofCache,
    used: Option<UsedIdLookup>,
    calendar: Option<Calendar>,
    past: former_folders::FormerFolders,
}

/// A function that returns the newest commit as of a time in the first-parent history of a tip; `None` if there was
/// none yet.
pub type AsOfLookup = fn(&Registry, Oid, Timestamp) -> Result<Option<Oid>, RegistryError>;

/// A function that returns which ids were used in the first-parent history of a tip, each with the first commit that
/// used it.
pub type UsedIdLookup = fn(&Registry, Oid, &BTreeSet<Id>) -> Result<BTreeMap<Id, Oid>, RegistryError>;

/// The requester of a change.
#[derive(Debug, Clone)]
pub struct ChangeAuthor {
    /// The person in the registry.
    pub user: UserName,
    /// The author for the commit.
    pub author: Ident,
    /// The committer for the commit.
    pub committer: Ident,
}

/// Options of a change.
#[derive(Debug, Clone, Default)]
pub struct ChangeOptions {
    /// The comment for the commit's body: why the change is made.
    pub comment: String,
    /// Only show the effect and commit nothing.
    pub dry_run: bool,
    /// Return before the disk confirms the commit.
    pub relaxed: bool,
}

/// The effect of a change.
#[derive(Debug)]
pub struct ChangeOutcome {
    /// The commit; `None` if nothing changed, or for a dry run.
    pub commit: Option<Oid>,
    /// The time of the commit, or the time it would have.
    pub at: Timestamp,
    /// The difference between the snapshots before and after: events and files.
    pub diff: Diff,
    /// The verdict of the rules.
    pub verdict: Verdict,
    /// The commit's message.
    pub message: String,
    /// Why the work tree was not updated, if so.
    pub left_behind: Option<String>,
}

impl Registry {
    /// Finds the registry for a folder. Searches in this order: the root of the repository; the folders above `dir`;
    /// the top folders and the folders that a setting names; the whole tree.
    ///
    /// # Errors
    /// [`RegistryError::NotARegistry`] if there is none; [`RegistryError::SeveralRegistries`] if there are several;
    /// other [`RegistryError`]s if the repository cannot be read.
    pub fn discover(dir: &Path) -> Result<Self, RegistryError> {
        let repo = Repo::discover(dir)?;
        let branch = branch(&repo)?;
        let found = Self::on_branch(repo, branch, "");
        let at = found.locate(dir)?;
        Ok(Self { at, ..found })
    }

    /// Opens the registry in folder `at` of a repository (empty, or ending in a slash). The registry need not exist
    /// yet.
    ///
    /// # Errors
    /// [`RegistryError::Git`] if HEAD cannot be read.
    pub fn with(repo: Repo, at: &str) -> Result<Self, RegistryError> {
        let branch = branch(&repo)?;
        Ok(Self::on_branch(repo, branch, at))
    }

    fn on_branch(repo: Repo, branch: String, at: &str) -> Self {
        let (proofs, past) = (ProofCache::default(), former_folders::FormerFolders::default());
        Self { repo, branch, at: at.to_owned(), landed: walk, proofs, used: None, calendar: None, past }
    }

    /// Sets another function for the commit as of a time, for instance one that uses an index. It must return the same
    /// as [`Repo::landed_at`].
    pub fn with_landed(self, landed: AsOfLookup) -> Self {
        Self { landed, ..self }
    }

    /// Sets the function that checks which ids were used before. Without it, only the snapshot before a change is
    /// checked.
    pub fn with_used(self, used: UsedIdLookup) -> Self {
        Self { used: Some(used), ..self }
    }

    /// Returns which new ids of a step were used before it, in the history up to `tip`. Returns `None` if the history
    /// cannot be checked, as in a shallow clone: then the rules check the snapshot before.
    fn used_before(&self, tip: Option<Oid>, diff: &Diff) -> Result<Option<UsedIds>, RegistryError> {
        let new: BTreeSet<Id> = diff.events.iter().filter_map(Event::new_id).cloned().collect();
        let (Some(tip), false) = (tip, new.is_empty()) else { return Ok(Some(UsedIds::new())) };
        let Some(used) = self.used else { return Ok(None) };
        match used(self, tip, &new) {
            Ok(found) => Ok(Some(found.into_iter().map(|(id, commit)| (id, rules::brought_by(commit))).collect())),
            Err(RegistryError::Git(GitError::Shallow)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Returns what a step gives to people and was another's before it, by the history up to `tip`. Returns nothing if the
    /// history cannot be checked, as in a shallow clone: then the gate checks it.
    pub fn former_people(&self, tip: Option<Oid>, diff: &Diff) -> Result<FormerPeople, RegistryError> {
        let (Some(tip), Some(used)) = (tip, self.used) else { return Ok(FormerPeople::default()) };
        let before = self.snapshot_of(Some(tip))?;
        let is_used = |ids: &BTreeSet<Id>| -> Result<BTreeSet<Id>, RegistryError> {
            Ok(used(self, tip, ids)?.into_keys().collect())
        };
        match authority::former_people(&self.repo, (before.at(), tip), (&before, None), diff, is_used) {
            Err(RegistryError::Git(GitError::Shallow)) => Ok(FormerPeople::default()),
            found => found,
        }
    }

    /// Sets a calendar, so that moments can be written informally: `yesterday`, `7d`, a local time.
    pub fn with_calendar(self, calendar: Calendar) -> Self {
        Self { calendar: Some(calendar), ..self }
    }

    /// Returns the same registry on another branch than HEAD's (full name), to continue with a branch whatever is
    /// checked out.
    pub fn following(self, branch: &str) -> Self {
        Self { branch: branch.to_owned(), past: former_folders::FormerFolders::default(), ..self }
    }

    fn locate(&self, dir: &Path) -> Result<String, RegistryError> {
        let none = || RegistryError::NotARegistry { path: dir.to_owned() };
        let Some(root) = self.head()?.map(|c| self.repo.tree_of(&c)).transpose()? else { return Err(none()) };
        let is_registry =
            |at: &str| -> Result<bool, RegistryError> { Ok(Snapshot::new(&self.repo, Some(root), at)?.is_registry()?) };
        if is_registry("")? {
            return Ok(String::new());
        }
        for folder in self.folders_above(dir) {
            if is_registry(&folder)? {
                return Ok(folder);
            }
        }
        let mut found = Vec::new();
        for entry in self.repo.tree(&root)?.iter().filter(|e| e.kind == crate::tree::EntryKind::Tree) {
            let at = format!("{}/", entry.name);
            if is_registry(&at)? {
                found.push(at);
            }
        }
        for at in named_folders(&self.repo) {
            if !found.contains(&at) && is_registry(&at)? {
                found.push(at);
            }
        }
        if found.is_empty() {
            found = snapshot::registries(&self.repo, Some(root))?;
        }
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(none()),
            several => Err(RegistryError::SeveralRegistries { folders: several.to_vec() }),
        }
    }

    /// Returns the folders from `dir` up to the work tree's root, as paths in the repository that end in a slash.
    fn folders_above(&self, dir: &Path) -> Vec<String> {
        let real = |p: &Path| p.canonicalize().unwrap_or_else(|_| p.to_owned());
        let Some(root) = self.repo.work_dir().map(|r| real(&r)) else { return Vec::new() };
        let dir = real(dir);
        let Ok(inside) = dir.strip_prefix(&root) else { return Vec::new() };
        let above = inside.ancestors().filter(|p| !p.as_os_str().is_empty());
        above.filter_map(|p| p.to_str()).map(|p| format!("{p}/")).collect()
    }

    /// Returns the registry's own folders: the folder of its checked-out files, and the git folders.
    pub fn own_folders(&self) -> Vec<PathBuf> {
        let git = [self.repo.git_dir(), self.repo.common_dir()].map(Path::to_owned);
        self.repo.work_dir().map(|dir| dir.join(&self.at)).into_iter().chain(git).collect()
    }

    /// Returns the repository.
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// Returns the full name of the registry's branch; `HEAD` if HEAD is detached, as in a CI job: then the registry is
    /// read-only.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// Returns the registry's folder in the repository: empty, or ending in a slash.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Returns the folder for greenroom's data outside of git history: the index, secrets and cursors.
    pub fn state_dir(&self) -> PathBuf {
        self.repo.common_dir().join("greenroom")
    }

    /// Returns the newest commit; `None` before the first.
    ///
    /// # Errors
    /// [`RegistryError::Git`] if the reference cannot be read.
    pub fn head(&self) -> Result<Option<Oid>, RegistryError> {
        let own = self.branch.starts_with("refs/heads/").then(|| self.repo.tip(&self.branch).look());
        match own.flatten() {
            Some(tip) => Ok(Some(tip)),
            None => Ok(self.repo.reference(&self.branch)?),
        }
    }

    /// Returns the registry as of the newest commit.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, RegistryError> {
        self.snapshot_of(self.head()?)
    }

    /// Returns the registry as of a commit; empty for `None`.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn snapshot_of(&self, commit: Option<Oid>) -> Result<Snapshot<'_>, RegistryError> {
        let root = commit.map(|c| self.repo.tree_of(&c)).transpose()?;
        self.snapshot_in(root)
    }

    /// Returns the registry in a root tree, in whatever folder it is there.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn snapshot_in(&self, root: Option<Oid>) -> Result<Snapshot<'_>, RegistryError> {
        self.follow_in(root)
    }

    /// Makes a change: applies the actions one after the other, judges the result, and commits it as one step.
    ///
    /// If the head moves meanwhile, the change is applied again to the new head.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] or [`RegistryError::RefusedAt`] if an action cannot be applied;
    /// [`RegistryError::Denied`] if the rules refuse the change; [`RegistryError::InProgress`] during a merge or
    /// rebase; [`RegistryError::Contended`] if the head kept moving; [`RegistryError::Publish`] and others if the
    /// commit cannot be made.
    pub fn change(
        &self,
        change_author: &ChangeAuthor,
        actions: &[Action],
        now: Timestamp,
        options: &ChangeOptions,
    ) -> Result<ChangeOutcome, RegistryError> {
        // A commit now would disturb git's unfinished operation.
        if let Some(operation) = self.repo.operation() {
            return Err(RegistryError::InProgress(operation));
        }
        if options.dry_run {
            let root = self.head()?.map(|c| self.repo.tree_of(&c)).transpose()?;
            let prepared = self.prepare(root, (change_author, false), actions, now, &options.comment);
            self.repo.discard_staged();
            return prepared.map(|(_, outcome)| outcome);
        }
        let mut lock = self.repo.lock(LOCK_WAIT)?;
        let durability = if options.relaxed { Durability::Relaxed } else { Durability::Full };
        for _ in 0..ATTEMPTS {
            let mut batch = self.batch(&mut lock)?;
            let mut outcome = batch.add(change_author, actions, now, &options.comment)?;
            match batch.publish(durability) {
                Ok(published) => {
                    outcome.commit = published.commits.last().copied();
                    outcome.left_behind = published.left_behind.map(|e| crate::text::with_causes(&e));
                    return Ok(outcome);
                }
                Err(PublishError::Moved { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(RegistryError::Contended)
    }

    /// Applies the actions to a root tree in memory and judges the result. Returns no tree if nothing would change.
    fn prepare(
        &self,
        root: Option<Oid>,
        (change_author, is_authenticated): (&ChangeAuthor, bool),
        actions: &[Action],
        now: Timestamp,
        comment: &str,
    ) -> Result<(Option<Oid>, ChangeOutcome), RegistryError> {
        let before = self.snapshot_in(root)?;
        // Random ids that are generated here are unique; only other ids must be checked against the history.
        let mut made = BTreeSet::new();
        let mut random = || {
            let bytes = random_bytes();
            made.insert(Id::from_parts(now.as_millis(), bytes));
            bytes
        };
        let (subject, may_enter) = (&rules::subject::subject, &rules::obstacles::may_enter);
        let is_approved = &rules::approvals::is_complete;
        let mut cx =
            Context { actor: change_author.user.clone(), now, random: &mut random, subject, may_enter, is_approved };
        let mut tree = root;
        for (index, action) in actions.iter().enumerate() {
            let snapshot = self.snapshot_in(tree)?;
            let patch = apply::apply(&snapshot, action, &mut cx).map_err(|refusal| match actions.len() {
                1 => RegistryError::Refused(refusal),
                _ => RegistryError::RefusedAt { index, refusal },
            })?;
            if !patch.is_empty() {
                tree = Some(self.repo.stage(tree, &patch)?);
            }
        }
        let mut after = self.snapshot_in(tree)?;
        if let Some(root) = tree.filter(|_| before.at() != after.at()) {
            tree = Some(self.renew_owners(root, &after)?);
            after = self.snapshot_in(tree)?;
        }
        let diff = diff::diff(&before, &after, CompareLimits::default())?;
        let foreign = diff.events.iter().filter_map(Event::new_id).any(|id| !made.contains(id));
        let used = if foreign { self.used_before(self.head()?, &diff)? } else { Some(UsedIds::new()) };
        let verdict = match self.actor((&before, &after), change_author, is_authenticated, now)? {
            Ok(actor) => {
                let mut step = StepContext::new(&before, &after, &diff, &actor, now);
                step.since = Some(change_author.author.time.min(now));
                step.used = used;
                // Few changes need it, and it reads the branch again.
                if rules::needs_history(&diff) {
                    step.former = self.former_people(self.head()?, &diff)?;
                }
                rules::judge(&step)?
            }
            Err(faults) => Verdict { faults },
        };
        if !verdict.passes() {
            readable_people(&before, &change_author.user)?;
            readable_grants(&before, &diff)?;
        }
        let message = message(&diff, comment);
        let tree = tree.filter(|t| Some(*t) != root);
        Ok((tree, ChangeOutcome { commit: None, at: now, diff, verdict, message, left_behind: None }))
    }
}

/// Checks, if a change is refused to an unknown person, that all files of people could be read: one of them may be that
/// person's.
fn readable_people(before: &Snapshot<'_>, user: &UserName) -> Result<(), RegistryError> {
    match authority::unread_for(before, user)? {
        Some(problem) => Err(apply::Refusal::Faulty { problem }.into()),
        None => Ok(()),
    }
}

/// Checks, if a change is refused, that the grants of the registry and of the affected models could be read. A file that
/// cannot be read grants nothing, so it is the reason of the refusal.
fn readable_grants(before: &Snapshot<'_>, diff: &Diff) -> Result<(), RegistryError> {
    let mut files: Vec<_> = before.access_file()?.cloned().into_iter().collect();
    for name in diff.events.iter().filter_map(Event::model).collect::<BTreeSet<_>>() {
        files.extend(before.model(name)?.map(|view| view.access()).transpose()?.flatten());
    }
    match files.into_iter().find(|file| !file.problems.is_empty()).and_then(|file| file.problems.into_iter().next()) {
        Some(problem) => Err(apply::Refusal::Faulty { problem }.into()),
        None => Ok(()),
    }
}

/// The branch name for reading a registry while HEAD is detached.
const DETACHED: &str = "HEAD";

/// Returns HEAD's branch, or [`DETACHED`].
fn branch(repo: &Repo) -> Result<String, RegistryError> {
    match repo.branch() {
        Err(GitError::Detached) => Ok(DETACHED.to_owned()),
        other => Ok(other?),
    }
}

/// Finds the commit as of a time by reading the whole history.
fn walk(registry: &Registry, tip: Oid, time: Timestamp) -> Result<Option<Oid>, RegistryError> {
    Ok(registry.repo.landed_at(tip, time)?)
}

/// Formats the message of a commit: the events, the comment, and trailers for readers of `git log`.
fn message(diff: &Diff, comment: &str) -> String {
    let subject = if diff.events.is_empty() {
        "Rearrange the registry's files".to_owned()
    } else {
        phrase::subject(&diff.events)
    };
    let trailers = phrase::trailers(&diff.events);
    let parts = [subject.as_str(), comment.trim(), trailers.as_str()];
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// Adds the time of the commit to its message, as a trailer.
fn stamped(message: &str, diff: &Diff, at: Timestamp) -> String {
    let gap = if phrase::trailers(&diff.events).is_empty() { "\n\n" } else { "\n" };
    format!("{message}{gap}{}", stamp::trailer(at))
}

/// Returns ten random bytes for an id. The system's source of randomness does not fail once the machine is up. If it
/// does, the time and process id make ids unique enough, and the rules refuse an id that is used twice.
pub fn random_bytes() -> [u8; 10] {
    let mut bytes = [0; 10];
    if getrandom::fill(&mut bytes).is_err() {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let seed = nanos ^ (u128::from(std::process::id()) << 64);
        bytes.copy_from_slice(seed.to_le_bytes().get(..10).unwrap_or(&[0; 10]));
    }
    bytes
}
