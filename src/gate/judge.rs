//! Judges one step of a protected branch: determines the actor, and applies the rules of the snapshot before the step.

use std::collections::BTreeSet;

use super::error::GateError;
use super::ids::IdLine;
use super::{Gate, StepArrival, folders, proposal};
use crate::authority::{self, Assumption, CommitNames, CommitterIdentity, Contribution, StepIdentities};
use crate::diff::{self, Diff};
use crate::entity::settings::Authority;
use crate::entity::{PermissionLevel, Settings};
use crate::event::Event;
use crate::format::Problem;
use crate::git::{Commit, GitError};
use crate::name::UserName;
use crate::phrase::folder;
use crate::registry::past_folders;
use crate::rules::{self, Actor, Fault, FormerPeople, NewId, Proposal, RuleClass, StepContext, UsedIds};
use crate::snapshot::{self, Snapshot};
use crate::time::Timestamp;
use crate::tree::{CompareLimits, Oid, TreeError};

/// The result for one step.
#[derive(Debug, Clone)]
pub struct StepJudgement {
    /// The id of the commit.
    pub commit: Oid,
    /// The subject of the commit.
    pub subject: String,
    /// The time at which the step was, or will be, on the branch.
    pub at: Timestamp,
    /// The person who acts; `None` if that could not be determined.
    pub actor: Option<Actor>,
    /// The events of the step, over all registries of the repository.
    pub events: Vec<Event>,
    /// The new ids, each with the registry's folder.
    pub new_ids: Vec<(String, NewId)>,
    /// The registries that were moved: the old and the new folder.
    pub moved: Vec<(String, String)>,
    /// The people who were added, each with the registry's folder.
    pub people: Vec<(String, UserName)>,
    /// Broken rules, sorted by file.
    pub faults: Vec<Fault>,
    /// Findings that break no rule but should be known, such as model files that did not arrive.
    pub warnings: Vec<Fault>,
    /// Checks that could not be made, and why.
    pub unchecked: Vec<String>,
    /// The assumption about the actor, if nothing proves it; `None` if the actor is proven or the step has no events.
    pub on_word: Option<&'static str>,
    /// Trailers of the commit that name events that did not happen. They do not affect the verdict.
    pub false_trailers: Vec<String>,
}

/// Returns messages about the oddities of a commit. The gate refuses such a commit; an earlier history may contain it.
fn odd(commit: &Commit) -> impl Iterator<Item = String> + '_ {
    let id = commit.id.short();
    commit.oddities.iter().map(move |oddity| format!("{id}: the content of an unusual commit: {oddity}"))
}

impl Gate {
    /// Judges a step of the first-parent history: a commit compared with its first parent.
    ///
    /// # Errors
    /// [`GateError`] if an object cannot be read. Then it is unknown whether the step is allowed.
    pub fn judge_step(
        &self,
        commit: Oid,
        parent: Option<Oid>,
        landing: &StepArrival,
        ids: &mut IdLine,
    ) -> Result<StepJudgement, GateError> {
        let info = self.repo.commit(&commit)?;
        let root = parent.map(|p| self.repo.tree_of(&p)).transpose()?;
        let mut judged = StepJudgement {
            commit,
            subject: info.subject.clone(),
            at: landing.at,
            actor: None,
            events: Vec::new(),
            new_ids: Vec::new(),
            moved: Vec::new(),
            people: Vec::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
            unchecked: odd(&info).collect(),
            on_word: None,
            false_trailers: Vec::new(),
        };
        let (there, come) = folders::of_step(&self.repo, (root, info.tree), &self.folders)?;
        if there.is_empty() {
            for at in &come {
                self.judge_in((at, at), &info, (parent, root), landing, ids, &mut judged)?;
            }
        }
        let pairs = folders::pairs(&self.repo, (root, &there), (info.tree, &come))?;
        for (from, to) in folders::concerned(&self.repo, &pairs, &come, (root, info.tree))? {
            self.judge_in((from, to), &info, (parent, root), landing, ids, &mut judged)?;
            if from != to {
                ids.moved(from, to);
                judged.moved.push((from.clone(), to.clone()));
            }
        }
        self.no_other_registry(&pairs, &come, (root, info.tree), &mut judged)?;
        if let Some(before) = root.filter(|before| *before != info.tree) {
            self.nothing_left(&pairs, (parent, before, info.tree), &mut judged)?;
        }
        // Steps from before this rule existed stay valid.
        if landing.bounded {
            self.guard_git_settings(&there, (root, info.tree), &mut judged)?;
        }
        judged.faults.sort();
        judged.faults.dedup();
        // Of the past, each fault stays, because each may be acknowledged.
        if landing.bounded {
            judged.faults = rules::without_consequences(std::mem::take(&mut judged.faults));
        }
        let founded = self.founded(&pairs, &come, info.tree)?;
        judged.false_trailers = match founded.is_empty() {
            true => crate::phrase::false_trailers(&info.body, &judged.events),
            false => crate::phrase::false_trailers(&info.body, &[judged.events.clone(), founded].concat()),
        };
        Ok(judged)
    }

    /// Returns the events of registries that a step adds beside others.
    fn founded(&self, pairs: &[(String, String)], come: &[String], after: Oid) -> Result<Vec<Event>, GateError> {
        let mut out = Vec::new();
        for at in come.iter().filter(|at| !pairs.is_empty() && !pairs.iter().any(|(from, to)| from == *at || to == *at))
        {
            let (before, after) = (Snapshot::new(&self.repo, None, at)?, Snapshot::new(&self.repo, Some(after), at)?);
            out.extend(diff::diff(&before, &after, CompareLimits::default())?.events);
        }
        Ok(out)
    }

    /// Refuses another registry in the repository unless the actor manages the existing ones: readers could take the
    /// new registry for the old one. Refuses a copy of an existing registry.
    fn no_other_registry(
        &self,
        pairs: &[(String, String)],
        come: &[String],
        (root, after): (Option<Oid>, Oid),
        judged: &mut StepJudgement,
    ) -> Result<(), GateError> {
        let is_old = |at: &String| pairs.iter().any(|(from, to)| from == at || to == at);
        let added: Vec<&String> = come.iter().filter(|at| !pairs.is_empty() && !is_old(at)).collect();
        let Some(at) = added.first() else { return Ok(()) };
        for (other, _) in pairs {
            let id = Snapshot::new(&self.repo, root, other)?.id()?.cloned();
            for at in &added {
                if id.is_some() && Snapshot::new(&self.repo, Some(after), at)?.id()? == id.as_ref() {
                    let message = format!("this is a copy of the registry in {}: both have the same id", folder(other));
                    let problem = Problem::of_file(format!("{at}greenroom.toml"), "registry", message);
                    let help = "each commit is judged alone, so a move by hand is one commit with the files of both folders: \
                                move it with `greenroom move`; or make another registry with `greenroom init --at FOLDER`";
                    judged.faults.push(Fault { problem: problem.help(help), class: RuleClass::History });
                }
            }
        }
        let Some(actor) = &judged.actor else { return Ok(()) };
        for (other, _) in pairs {
            let before = Snapshot::new(&self.repo, root, other)?;
            if before.registry_level(&actor.user)? < Some(PermissionLevel::CanManage) {
                let message = format!("{} may not add another registry to this repository", actor.user);
                let problem = Problem::of_file(format!("{at}greenroom.toml"), "registry", message);
                let help = "let a person with CAN_MANAGE on the existing registry do it";
                judged.faults.push(Fault { problem: problem.help(help), class: RuleClass::Permission });
            }
        }
        Ok(())
    }

    /// Refuses files of a registry in a folder where the registry was earlier: a branch from before the registry was
    /// moved adds such files. The history is searched only if such files are added.
    fn nothing_left(
        &self,
        pairs: &[(String, String)],
        (parent, before, after): (Option<Oid>, Oid, Oid),
        judged: &mut StepJudgement,
    ) -> Result<(), GateError> {
        let places: BTreeSet<&String> = pairs.iter().flat_map(|(from, to)| [from, to]).collect();
        let candidates = folders::where_files_came(&self.repo, (before, after), &places)?;
        let Some(parent) = parent.filter(|_| !candidates.is_empty()) else { return Ok(()) };
        // A registry that the step does not change may have been there, whatever its current depth is.
        let others = snapshot::registries(&self.repo, Some(before))?.into_iter();
        let others = others.filter(|at| pairs.iter().all(|(from, _)| from != at)).map(|at| (at.clone(), at));
        let others: Vec<(String, String)> = others.collect();
        for (from, to) in pairs.iter().chain(&others) {
            let past = past_folders(&self.repo, parent, from)?;
            for (at, left) in candidates.iter().filter(|(at, _)| past.contains(*at)) {
                let message = format!(
                    "the registry was moved from {} to {}, and this file would be in its old folder",
                    folder(at),
                    folder(to)
                );
                let problem = Problem::of_file(left.clone(), "move", message);
                let help = format!(
                    "merge the target branch into yours first, and move the files to {} with `git mv`",
                    folder(to)
                );
                judged.faults.push(Fault { problem: problem.help(help), class: RuleClass::History });
            }
        }
        Ok(())
    }

    fn judge_in(
        &self,
        (from, at): (&str, &str),
        info: &Commit,
        (parent, root): (Option<Oid>, Option<Oid>),
        landing: &StepArrival,
        ids: &mut IdLine,
        judged: &mut StepJudgement,
    ) -> Result<(), GateError> {
        let (before, after) = (Snapshot::new(&self.repo, root, from)?, Snapshot::new(&self.repo, Some(info.tree), at)?);
        let limits = CompareLimits { entries: self.limits.entries, depth: self.limits.depth };
        let limits = if landing.bounded { limits } else { CompareLimits::default() };
        let diff = diff::diff(&before, &after, limits)?;
        let new = rules::new_ids(&after, &diff)?;
        let used = ids.used(&self.repo, from, &new)?;
        // A later audit does not know where a push began.
        let onto = if landing.bounded { ids.onto(&self.repo, &before)? } else { None };
        let former = ids.former(&self.repo, parent, (&before, onto.as_ref()), &diff)?;
        let states = (&before, &after, &diff, &KnownHistory { used, former, onto });
        let found = self.found(info, parent, states, landing, landing.assumption)?;
        let Some(mut found) = found else { return Ok(()) };
        if landing.by == CommitterIdentity::Unknown && !found.faults.is_empty() {
            found = self.pardon(info, parent, states, landing, found)?;
        }
        ids.note(at, &new, info.id);
        ids.note_people(at, &diff, info.id);
        judged.people.extend(rules::added_people(&diff).map(|user| (at.to_owned(), user.clone())));
        judged.new_ids.extend(new.into_iter().map(|new| (at.to_owned(), new)));
        judged.faults.append(&mut found.faults);
        judged.unchecked.append(&mut found.unchecked);
        judged.actor = found.actor.or(judged.actor.take());
        judged.on_word = found.on_word.filter(|_| !diff.events.is_empty()).or(judged.on_word);
        if landing.bounded {
            // The audit compares the files of old steps, and reads each file once.
            self.judge_files((&before, &after), &diff, &mut ids.seen, judged)?;
        }
        judged.events.extend(diff.events);
        Ok(())
    }

    /// Determines the actor of a step and applies the rules. Returns `None` if there is no registry.
    fn found(
        &self,
        info: &Commit,
        parent: Option<Oid>,
        (before, after, diff, known): States<'_>,
        landing: &StepArrival,
        assumption: Assumption,
    ) -> Result<Option<RegistryJudgement>, GateError> {
        let with = (&self.repo, &self.keys);
        let inquiry = StepIdentities::new(with, (before, after), Some(info.id), landing.at, assumption)?;
        let Some(mut inquiry) = inquiry else { return Ok(None) };
        let branch = self.branch(&mut inquiry, info, parent)?;
        let signer = inquiry.signer(info)?;
        let actor = inquiry.actor(&CommitNames::from(info), &landing.by, signer.as_ref(), &branch)?;
        let authority = inquiry.identity.authority;
        let is_web = inquiry.is_web(&info.committer);
        let pusher = match &landing.by {
            CommitterIdentity::Pusher(pusher) => inquiry.people.by_pusher(pusher)?,
            CommitterIdentity::Person(_)
            | CommitterIdentity::Committer
            | CommitterIdentity::Nobody
            | CommitterIdentity::Unrecorded
            | CommitterIdentity::Unknown => None,
        };
        let (faults, unchecked) = (inquiry.faults, inquiry.unchecked);
        let mut found = RegistryJudgement { actor, faults, unchecked, authority, is_web, on_word: None };
        let Some(mut actor) = found.actor.take() else { return Ok(Some(found)) };
        found.on_word = on_word(authority, &actor.user, signer.as_ref(), pusher.as_ref());
        let proposal = match self.proposal(after, info, parent, &branch) {
            Err(GitError::Shallow) if !landing.bounded => {
                let what = "the clone is shallow, so the changes of the merged branch are not known";
                found.unchecked.push(format!("{}: {what} (`git fetch --unshallow`)", info.id.short()));
                found.actor = Some(actor);
                return Ok(Some(found));
            }
            read => read?,
        };
        if info.parents.len() > 1 && proposal.is_none() {
            actor.proven_authors.clear();
        }
        let mut step = StepContext::new(before, after, diff, &actor, landing.at);
        let made = branch.iter().map(|c| c.authored).chain([info.author.time]).min();
        // The content of a founding commit may be older.
        step.since = made.filter(|_| before.root().is_some());
        step.proposal = proposal.as_ref();
        step.is_past = !landing.bounded;
        step.used = Some(known.used.clone());
        step.former.clone_from(&known.former);
        step.onto = known.onto.as_ref();
        found.faults.extend(rules::judge(&step)?.faults);
        drop(step);
        if !found.faults.is_empty() && landing.bounded {
            found.faults.extend(doubtful_person(before, &actor.user)?);
        }
        found.actor = Some(actor);
        Ok(Some(found))
    }

    /// Reduces the faults of a step whose record of pushes is not available to those that no record could remove. The
    /// others become unchecked.
    fn pardon(
        &self,
        info: &Commit,
        parent: Option<Oid>,
        states: States<'_>,
        landing: &StepArrival,
        strict: RegistryJudgement,
    ) -> Result<RegistryJudgement, GateError> {
        if strict.authority == Authority::Author {
            return Ok(strict);
        }
        let mut landers = vec![CommitterIdentity::Unknown];
        if strict.authority == Authority::Pusher && strict.is_web {
            // The git host made the commit, so only the record of pushes says for whom.
            let people = states.0.people()?;
            landers.extend(people.keys().take(MAX_TRIED).map(|user| CommitterIdentity::Person(user.clone())));
        }
        let mut best: Option<RegistryJudgement> = None;
        let later = Timestamp::from_millis(i64::MAX);
        // A freeze may have ended before the push.
        for (by, at_time) in landers.into_iter().flat_map(|by| [(by.clone(), landing.at), (by, later)]) {
            let landing = StepArrival { by, at: at_time, ..landing.clone() };
            let Some(found) = self.found(info, parent, states, &landing, Assumption::Records)? else { continue };
            if best.as_ref().is_none_or(|b| found.faults.len() < b.faults.len()) {
                best = Some(found);
            }
        }
        let Some(mut best) = best else { return Ok(strict) };
        best.unchecked = strict.unchecked;
        for fault in strict.faults.iter().filter(|f| !best.faults.contains(f)) {
            best.unchecked.push(format!(
                "a fault that only the record of pushes can decide, and that record is not in this clone: {fault}"
            ));
        }
        if best.faults.len() < strict.faults.len() {
            // Names no person for an action that another person may have performed.
            best.actor = strict.actor;
        }
        Ok(best)
    }

    /// Returns the commits that a merge adds, each with its author and whether the author is proven.
    fn branch(
        &self,
        inquiry: &mut StepIdentities<'_, '_>,
        info: &Commit,
        parent: Option<Oid>,
    ) -> Result<Vec<Contribution>, GateError> {
        let (Some(parent), [_, merged @ ..]) = (parent, info.parents.as_slice()) else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        for tip in merged {
            let Some(new) = self.repo.new_commits(*tip, &[parent], self.limits.commits)? else {
                let message = format!("the merge adds more than {} commits", self.limits.commits);
                let help = "merge in parts, or raise greenroom.maxCommits";
                inquiry.fault("limit", Some(&info.id), message, help);
                return Ok(out);
            };
            for id in new {
                let commit = self.repo.commit(&id)?;
                inquiry.unchecked.extend(odd(&commit));
                out.push(inquiry.contribution(&commit)?);
            }
        }
        Ok(out)
    }

    /// Returns the branch that a merge adds; `None` for a merge of several branches.
    fn proposal<'g>(
        &'g self,
        state: &Snapshot<'_>,
        info: &Commit,
        parent: Option<Oid>,
        branch: &[Contribution],
    ) -> Result<Option<Proposal<'g>>, GitError> {
        let (Some(onto), [_, tip]) = (parent, info.parents.as_slice()) else { return Ok(None) };
        proposal::read(&self.repo, state, (onto, *tip), branch)
    }
}

/// Returns a fault if the actor is not a known person while a file of people cannot be read: it may be that person's.
fn doubtful_person(before: &Snapshot<'_>, user: &UserName) -> Result<Option<Fault>, TreeError> {
    let Some(problem) = authority::unread_for(before, user)? else { return Ok(None) };
    let message = format!("the file cannot be read, so {user} may be this person: {}", problem.message);
    let help = "repair the file first: `greenroom check` lists its faults";
    let problem = Problem::of_file(problem.path, "identity", message).help(help);
    Ok(Some(Fault { problem, class: RuleClass::Permission }))
}

/// The snapshots before and after a step, the difference, and what the history says about it.
type States<'s> = (&'s Snapshot<'s>, &'s Snapshot<'s>, &'s Diff, &'s KnownHistory);

/// What the history says about a step.
struct KnownHistory {
    /// The ids of the step that were used before.
    used: UsedIds,
    /// What the step gives to people and was another's.
    former: FormerPeople,
    /// The settings before the push, if an earlier step of it changed them.
    onto: Option<Settings>,
}

/// The result of a step for one registry.
struct RegistryJudgement {
    actor: Option<Actor>,
    faults: Vec<Fault>,
    unchecked: Vec<String>,
    authority: Authority,
    /// Whether the git host made the commit.
    is_web: bool,
    on_word: Option<&'static str>,
}

/// Returns the assumption about the actor: the authority is the author, and neither a signature nor the record of
/// pushes names the same person.
fn on_word(
    authority: Authority,
    actor: &UserName,
    signer: Option<&UserName>,
    pusher: Option<&UserName>,
) -> Option<&'static str> {
    match authority {
        Authority::Author if signer == Some(actor) || pusher == Some(actor) => None,
        Authority::Author if pusher.is_some() => Some(
            "who acted: the author field was trusted (`authority = \"author\"`), although another person pushed the \
             commit",
        ),
        Authority::Author => {
            Some("who acted: the author field was trusted (`authority = \"author\"`); no proof exists")
        }
        Authority::Pusher | Authority::Signature => None,
    }
}

/// The largest number of people that are tried for a step whose committer is unknown.
const MAX_TRIED: usize = 50;
