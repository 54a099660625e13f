//! One step of a protected branch, judged: who acts, and what the rules of the state before say of it.

use std::collections::BTreeSet;

use super::people::People;
use super::proof::Proof;
use super::{Gate, GateError, Lander, Landing, folders};
use crate::diff::{self, Diff};
use crate::entity::Level;
use crate::entity::settings::{Authority, Identity};
use crate::event::Event;
use crate::format::Problem;
use crate::git::Commit;
use crate::name::UserName;
use crate::rules::{self, Actor, Class, Fault, Proposal, Step};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::{Limits, Oid, TreeError};

/// What was found of one step.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The commit.
    pub commit: Oid,
    /// Its subject.
    pub subject: String,
    /// When it landed, or lands.
    pub at: Timestamp,
    /// Who acts; none if that could not be established.
    pub actor: Option<Actor>,
    /// What happened, over all registries of the repository.
    pub events: Vec<Event>,
    /// Broken rules, sorted by place.
    pub faults: Vec<Fault>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
}

/// A commit that a merge brings in.
struct Side {
    person: Option<UserName>,
    proven: bool,
    authored: Timestamp,
}

/// What the commits of a step say of who made and landed it, by one state of people.
struct Finder<'g, 's, 'o> {
    gate: &'g Gate,
    people: People<'s, 'o>,
    before: &'s Snapshot<'o>,
    identity: Identity,
    landing: &'g Landing,
    step: Oid,
    faults: Vec<Fault>,
    unchecked: Vec<String>,
}

impl Gate {
    /// Judges a step of the first-parent line: a commit against its first parent.
    ///
    /// # Errors
    /// When an object cannot be read; then nobody can say whether the step may land.
    pub fn judge_step(&self, commit: Oid, parent: Option<Oid>, landing: &Landing) -> Result<Judged, GateError> {
        let info = self.repo.commit(&commit)?;
        let root = parent.map(|p| self.repo.tree_of(&p)).transpose()?;
        let mut judged = Judged {
            commit,
            subject: info.subject.clone(),
            at: landing.at,
            actor: None,
            events: Vec::new(),
            faults: Vec::new(),
            unchecked: Vec::new(),
        };
        let there = folders::of(&self.repo, root, &self.folders)?;
        let come: Vec<String> = folders::of(&self.repo, Some(info.tree), &self.folders)?;
        if there.is_empty() {
            for at in &come {
                self.judge_in(at, &info, parent, root, landing, &mut judged)?;
            }
        }
        for at in &there {
            self.judge_in(at, &info, parent, root, landing, &mut judged)?;
        }
        self.no_other_registry(&there, &come, root, &mut judged)?;
        judged.faults.sort();
        judged.faults.dedup();
        Ok(judged)
    }

    /// A second registry could take the place of the first in the eyes of readers: who manages that one may add it.
    fn no_other_registry(
        &self,
        there: &[String],
        come: &[String],
        root: Option<Oid>,
        judged: &mut Judged,
    ) -> Result<(), GateError> {
        let added: Vec<&String> = come.iter().filter(|at| !there.is_empty() && !there.contains(at)).collect();
        let (Some(at), Some(actor)) = (added.first(), &judged.actor) else { return Ok(()) };
        for other in there {
            let before = Snapshot::new(&self.repo, root, other)?;
            if before.registry_level(&actor.user)? < Some(Level::CanManage) {
                let message = format!("{} may not add another registry to this repository", actor.user);
                let problem = Problem::of_file(format!("{at}greenroom.toml"), "registry", message);
                let help = "let somebody with CAN_MANAGE of the registry that is there do it";
                judged.faults.push(Fault { problem: problem.help(help), class: Class::Permission });
            }
        }
        Ok(())
    }

    fn judge_in(
        &self,
        at: &str,
        info: &Commit,
        parent: Option<Oid>,
        root: Option<Oid>,
        landing: &Landing,
        judged: &mut Judged,
    ) -> Result<(), GateError> {
        let (before, after) = (Snapshot::new(&self.repo, root, at)?, Snapshot::new(&self.repo, Some(info.tree), at)?);
        let limits = Limits { entries: self.limits.entries, depth: self.limits.depth };
        let limits = if landing.bounded { limits } else { Limits::default() };
        let diff = diff::diff(&before, &after, limits)?;
        let Some(identity) = identity(&before, &after)? else {
            return Ok(());
        };
        let people = People::of(if before.settings_file()?.is_some() { &before } else { &after })?;
        let mut finder = Finder {
            gate: self,
            people,
            before: &before,
            identity,
            landing,
            step: info.id,
            faults: Vec::new(),
            unchecked: Vec::new(),
        };
        let side = finder.side(info, parent)?;
        let actor = finder.actor(info, &side)?;
        judged.faults.append(&mut finder.faults);
        judged.unchecked.append(&mut finder.unchecked);
        if let Some(actor) = actor {
            let made = side.iter().map(|s| s.authored).chain([info.author.time]).min();
            let proposal = self.proposal(at, info, &side, &actor)?;
            judged.faults.extend(judge(&before, &after, &diff, &actor, landing.at, made, proposal)?);
            judged.actor = Some(actor);
        }
        judged.events.extend(diff.events);
        Ok(())
    }

    /// The branch that a merge brings in, if all who made it are proven.
    fn proposal<'g>(
        &'g self,
        at: &str,
        info: &Commit,
        side: &[Side],
        actor: &Actor,
    ) -> Result<Option<Proposal<'g>>, GateError> {
        let [_, branch] = info.parents.as_slice() else { return Ok(None) };
        let all_proven = side.iter().all(|s| s.proven || s.person.as_ref() == Some(&actor.user));
        if side.is_empty() || !all_proven {
            return Ok(None);
        }
        let by = side.iter().filter_map(|s| s.person.clone()).collect();
        Ok(Some(Proposal { state: Snapshot::new(&self.repo, Some(self.repo.tree_of(branch)?), at)?, by }))
    }
}

fn judge(
    before: &Snapshot<'_>,
    after: &Snapshot<'_>,
    diff: &Diff,
    actor: &Actor,
    at: Timestamp,
    made: Option<Timestamp>,
    proposal: Option<Proposal<'_>>,
) -> Result<Vec<Fault>, TreeError> {
    let mut step = Step::new(before, after, diff, actor, at);
    // What a founding brings in was made before.
    step.since = made.filter(|_| before.root().is_some());
    step.proposal = proposal;
    Ok(rules::judge(&step)?.faults)
}

/// Whose word counts, by the state before; by the one after where the registry is founded. None without a registry.
fn identity(before: &Snapshot<'_>, after: &Snapshot<'_>) -> Result<Option<Identity>, TreeError> {
    let file = match before.settings_file()? {
        Some(file) => file,
        None => match after.settings_file()? {
            Some(file) => file,
            None => return Ok(None),
        },
    };
    let identity = file.value.as_ref().map(|s| s.identity.clone()).unwrap_or_default();
    // Settings with faults may ask for less than they mean to: then the host's word is asked for.
    let doubtful = !file.problems.is_empty() && identity.authority == Authority::Author;
    let authority = if doubtful { Authority::Pusher } else { identity.authority };
    Ok(Some(Identity { authority, ..identity }))
}

impl Finder<'_, '_, '_> {
    /// A fault of a commit: of no file, and named where it is another than the step's own.
    fn fault(&mut self, rule: &'static str, commit: &Commit, message: String, help: impl Into<String>) {
        let other = commit.id != self.step;
        let message = if other { format!("commit {}: {message}", commit.id.short()) } else { message };
        let problem = Problem::of_file("", rule, message).help(help);
        self.faults.push(Fault { problem, class: Class::Permission });
    }

    /// The commits that a merge brings in, each with its author and whether that is proven.
    fn side(&mut self, info: &Commit, parent: Option<Oid>) -> Result<Vec<Side>, GateError> {
        let (Some(parent), [_, merged @ ..]) = (parent, info.parents.as_slice()) else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        for tip in merged {
            let Some(new) = self.gate.repo.new_commits(*tip, &[parent], self.gate.limits.commits)? else {
                let message = format!("the merge brings in more than {} commits", self.gate.limits.commits);
                self.fault("limit", info, message, "merge in parts, or raise greenroom.maxCommits");
                return Ok(out);
            };
            for id in new {
                let commit = self.gate.repo.commit(&id)?;
                let person = self.people.by_ident(&commit.author)?;
                let proven = match &person {
                    Some(person) => self.proves(&commit, person)?,
                    None => false,
                };
                out.push(Side { person, proven, authored: commit.author.time });
            }
        }
        Ok(out)
    }

    /// Whether it is proven that a person made a commit of a merged branch: by the signature, or by the record that
    /// this person was the first who pushed it here.
    fn proves(&mut self, commit: &Commit, person: &UserName) -> Result<bool, GateError> {
        if self.identity.authority == Authority::Author {
            return Ok(true);
        }
        if let Some(signer) = self.signer(commit)? {
            if signer != *person {
                let message = format!("it is signed by {signer}, but {person} is its author");
                self.fault("signature", commit, message, "sign with the author's key");
            }
            return Ok(signer == *person);
        }
        let pushed = match self.gate.first_pusher(&commit.id)? {
            Some(pusher) => self.people.by_pusher(&pusher)?,
            None => None,
        };
        Ok(pushed.as_ref() == Some(person) && self.people.by_ident(&commit.committer)?.as_ref() == Some(person))
    }

    /// Who signed a commit, where that could be proven. A signature that is wrong is a fault.
    fn signer(&mut self, commit: &Commit) -> Result<Option<UserName>, GateError> {
        if !commit.signed {
            return Ok(None);
        }
        Ok(match self.gate.signature(commit, self.before, &self.people, self.landing.at)? {
            Proof::Signed(user) => Some(user),
            Proof::Unknown(key) => {
                self.unchecked.push(format!("{}: it is signed with {key}, which is nobody's key", commit.id.short()));
                None
            }
            Proof::Bad(why) => {
                let help = "sign it again with a key in people/, or leave the signature out";
                self.fault("signature", commit, format!("its signature does not count: {why}"), help);
                None
            }
        })
    }

    /// Who acts.
    fn actor(&mut self, info: &Commit, side: &[Side]) -> Result<Option<Actor>, GateError> {
        let signer = self.signer(info)?;
        let lander = match self.identity.authority {
            Authority::Author => self.named(info)?,
            Authority::Pusher => self.pusher(info)?,
            Authority::Signature => {
                if signer.is_none() && self.faults.is_empty() {
                    let message = "it is not signed by a person of this registry, as `authority` asks".to_owned();
                    let help = "sign it (`git commit -S`) with a key that `greenroom person set --key` has added";
                    self.fault("identity", info, message, help);
                }
                signer.clone()
            }
        };
        let Some(lander) = lander else { return Ok(None) };
        let author = self.people.by_ident(&info.author)?;
        let proven = match self.identity.authority {
            Authority::Author => true,
            Authority::Pusher | Authority::Signature => self.commits(info, &lander, author.as_ref())?,
        };
        if !proven {
            return Ok(None);
        }
        let serves = self.identity.servers.contains(&lander);
        let user = match (serves, &author) {
            (true, Some(author)) => author.clone(),
            (true, None) => {
                let message = format!("{lander} lands it for its author, who is nobody in people/");
                self.fault("identity", info, message, "greenroom person add ID --email ADDRESS");
                return Ok(None);
            }
            (false, _) => lander.clone(),
        };
        let mut authors: BTreeSet<UserName> = side.iter().filter_map(|s| s.person.clone()).collect();
        let mut vouched: BTreeSet<UserName> = authors
            .iter()
            .filter(|a| side.iter().filter(|s| s.person.as_ref() == Some(*a)).all(|s| s.proven))
            .cloned()
            .collect();
        if info.parents.len() < 2
            && let Some(author) = author
        {
            vouched.extend(signer.clone().filter(|s| *s == author));
            authors.insert(author);
        }
        authors.remove(&user);
        vouched.remove(&user);
        let signed = signer.is_some_and(|s| s == lander);
        Ok(Some(Actor { user, authors, vouched, signed }))
    }

    /// The author's word: the person with that address, or the address itself.
    fn named(&mut self, info: &Commit) -> Result<Option<UserName>, GateError> {
        if let Some(user) = self.people.by_ident(&info.author)? {
            return Ok(Some(user));
        }
        let user = UserName::new(info.author.email.to_lowercase()).ok();
        if user.is_none() {
            let help = "set user.email, and `greenroom person add ID --email ADDRESS`";
            self.fault("identity", info, "its author's address can be nobody's".to_owned(), help);
        }
        Ok(user)
    }

    /// The host's word about who pushes.
    fn pusher(&mut self, info: &Commit) -> Result<Option<UserName>, GateError> {
        let pusher = match &self.landing.by {
            Lander::Person(user) => return Ok(Some(user.clone())),
            Lander::Pusher(pusher) => pusher,
            Lander::Unrecorded => {
                let short = info.id.short();
                self.unchecked.push(format!("{short}: no record says who pushed it; its committer is taken"));
                return Ok(self.people.by_ident(&info.committer)?.or(self.named(info)?));
            }
            Lander::Nobody => {
                let message = "nobody says who pushes, and the registry's `authority` is the pusher".to_owned();
                let help = "tell greenroom how this host names the pusher: `greenroom hook install --host …`";
                self.fault("identity", info, message, help);
                return Ok(None);
            }
        };
        if let Some(user) = self.people.by_pusher(pusher)? {
            return Ok(Some(user));
        }
        let shown = [&pusher.login, &pusher.email, &pusher.key].into_iter().find_map(Option::as_deref).unwrap_or("?");
        let who = crate::text::quoted(shown);
        // Who founds a registry may be in no file yet.
        if self.before.settings_file()?.is_none() {
            return Ok(UserName::new(shown).ok());
        }
        let message = format!("who pushes ({who}, says the host) is no person of this registry");
        self.fault("identity", info, message, "greenroom person add ID --email ADDRESS --login LOGIN");
        Ok(None)
    }

    /// Whether a commit names who lands it: as committer, and as author unless he lands another's work.
    fn commits(&mut self, info: &Commit, lander: &UserName, author: Option<&UserName>) -> Result<bool, GateError> {
        if self.before.settings_file()?.is_none() {
            return Ok(true);
        }
        let web = self.identity.web.iter().any(|w| w.as_str().eq_ignore_ascii_case(&info.committer.email));
        let committer = self.people.by_ident(&info.committer)?;
        if !web && committer.as_ref() != Some(lander) {
            let named = committer.map_or_else(|| "nobody in people/".to_owned(), |c| c.to_string());
            let message = format!("{lander} lands it, but its committer is {named}");
            let help = format!(
                "commit it yourself: set user.email to an address of {lander}; to land another's commits, merge them \
                 (`git merge --no-ff`)"
            );
            self.fault("committer", info, message, help);
            return Ok(false);
        }
        let serves = self.identity.servers.contains(lander);
        if author == Some(lander) || web || serves || self.before.registry_level(lander)? >= Some(Level::CanManage) {
            return Ok(true);
        }
        let named = author.map_or_else(|| "nobody in people/".to_owned(), UserName::to_string);
        let message = format!("{lander} lands it, but its author is {named}");
        let help = format!("be its author yourself, or let {named} push a branch that you merge (`git merge --no-ff`)");
        self.fault("author", info, message, help);
        Ok(false)
    }
}
