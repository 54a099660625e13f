//! The actor of a step: the people whom its commit names, and the proof of their identity. Commands, the server, the
//! gate, the check of a pull request and the audit all use this module, so that they reach the same verdict.

mod former;
mod people;
mod proof;

use std::collections::BTreeSet;

use crate::entity::PermissionLevel;
use crate::entity::settings::{Authority, IdentitySettings};
use crate::format::Problem;
use crate::git::{Commit, GitError, Ident, Repo, Signed};
use crate::name::UserName;
use crate::pushes::{Push, Pushes, PushesError};
use crate::rules::{Actor, Fault, RuleClass};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::{Oid, TreeError};

pub use former::{former_people, former_person};
pub use people::{People, unread, unread_for};
pub use proof::PeopleKeys;
use proof::Proof;

/// The pusher, as the transport authenticated them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pusher {
    /// The login at the host, if there is one.
    pub login: Option<String>,
    /// The e-mail address, if the host gives it.
    pub email: Option<String>,
    /// The public key of the connection, as in an authorized_keys file: `ssh-ed25519 AAAA…`. Set only if nothing else
    /// identifies the pusher.
    pub key: Option<String>,
    /// How the host identified the pusher, for the record of pushes: `gitolite`, `http`, `ssh-key` …
    pub via: String,
    /// Further details for the record of pushes: the key, the protocol, the page where a merge was made.
    pub detail: Option<String>,
}

impl From<&Push> for Pusher {
    /// Returns the pusher of a recorded push.
    fn from(push: &Push) -> Self {
        let Push { login, email, key, via, detail, .. } = push.clone();
        Self { login, email, key, via, detail }
    }
}

/// The committer of a step, before they are looked up in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitterIdentity {
    /// The pusher that the host names.
    Pusher(Pusher),
    /// A person of the registry.
    Person(UserName),
    /// The committer of the commit: it is made here, and is committed or pushed from here.
    Committer,
    /// The host names no pusher.
    Nobody,
    /// An old step without an entry in the record of pushes.
    Unrecorded,
    /// An old step; no record of pushes is available here.
    Unknown,
}

/// An assumption that replaces proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumption {
    /// No assumption.
    None,
    /// Everything that a record of pushes could prove: for a history without its record.
    Records,
    /// The authors of commits: the git host vouches for them.
    Authors,
}

/// The identities on a commit, which may not exist yet.
#[derive(Debug, Clone, Copy)]
pub struct CommitNames<'c> {
    /// The commit; `None` if it does not exist yet.
    pub commit: Option<&'c Oid>,
    /// The author's name, address and time.
    pub author: &'c Ident,
    /// The committer's name, address and time.
    pub committer: &'c Ident,
    /// Whether the commit is a merge; then its author did not make the merged changes.
    pub is_merge: bool,
}

impl<'c> From<&'c Commit> for CommitNames<'c> {
    fn from(commit: &'c Commit) -> Self {
        let Commit { id, author, committer, parents, .. } = commit;
        Self { commit: Some(id), author, committer, is_merge: parents.len() > 1 }
    }
}

/// A commit of a merged branch, with its author.
#[derive(Debug, Clone)]
pub struct Contribution {
    /// The id of the commit.
    pub commit: Oid,
    /// The author as a person of the registry.
    pub person: Option<UserName>,
    /// Whether it is proven that this person made the commit.
    pub proven: bool,
    /// The author's time.
    pub authored: Timestamp,
    /// The id of the root tree.
    pub tree: Oid,
    /// The ids of the parents.
    pub parents: Vec<Oid>,
}

/// Why the actor could not be determined.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The record of pushes cannot be read.
    #[error(transparent)]
    Pushes(Box<PushesError>),
    /// A git operation failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// An object cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl From<PushesError> for AuthorityError {
    fn from(e: PushesError) -> Self {
        Self::Pushes(Box::new(e))
    }
}

/// Determines the authors and the committer of a step from its commits, as of one snapshot of people.
pub struct StepIdentities<'s, 'o> {
    repo: &'s Repo,
    keys: &'s PeopleKeys,
    /// The people of the snapshot before the step; of the snapshot after it if the step founds the registry.
    pub people: People<'s, 'o>,
    /// The registry's identity settings: what proves the actor.
    pub identity: IdentitySettings,
    before: &'s Snapshot<'o>,
    founds: bool,
    at: Timestamp,
    assumption: Assumption,
    step: Option<Oid>,
    /// The faults found so far.
    pub faults: Vec<Fault>,
    /// Checks that could not be made, and why.
    pub unchecked: Vec<String>,
}

/// Returns the identity settings of the snapshot before, or of the snapshot after if the registry is founded; `None`
/// without a registry.
///
/// # Errors
/// [`TreeError`] if the settings cannot be read.
pub fn identity(before: &Snapshot<'_>, after: &Snapshot<'_>) -> Result<Option<IdentitySettings>, TreeError> {
    let file = match before.settings_file()? {
        Some(file) => file,
        None => match after.settings_file()? {
            Some(file) => file,
            None => return Ok(None),
        },
    };
    let identity = file.value.as_ref().map(|s| s.identity.clone()).unwrap_or_default();
    // Faulty settings may demand less than intended. So the pusher is required instead of the author.
    let doubtful = !file.problems.is_empty() && identity.authority == Authority::Author;
    let authority = if doubtful { Authority::Pusher } else { identity.authority };
    Ok(Some(IdentitySettings { authority, ..identity }))
}

impl<'s, 'o> StepIdentities<'s, 'o> {
    /// Starts to examine a step from `before` to `after` at a time; `None` if there is no registry.
    ///
    /// # Errors
    /// [`TreeError`] if an object cannot be read.
    pub fn new(
        (repo, keys): (&'s Repo, &'s PeopleKeys),
        (before, after): (&'s Snapshot<'o>, &'s Snapshot<'o>),
        step: Option<Oid>,
        at: Timestamp,
        assumption: Assumption,
    ) -> Result<Option<Self>, TreeError> {
        let Some(identity) = identity(before, after)? else { return Ok(None) };
        let founds = before.settings_file()?.is_none();
        let people = People::of(if founds { after } else { before })?;
        let (faults, unchecked) = (Vec::new(), Vec::new());
        Ok(Some(Self { repo, keys, people, identity, before, founds, at, assumption, step, faults, unchecked }))
    }

    /// Adds a fault of a commit. The message names the commit if it is not the step's own.
    pub fn fault(&mut self, rule: &'static str, commit: Option<&Oid>, message: String, help: impl Into<String>) {
        let message = match commit {
            Some(commit) if Some(*commit) != self.step => format!("commit {}: {message}", commit.short()),
            Some(_) | None => message,
        };
        let problem = Problem::of_file("", rule, message).help(help);
        self.faults.push(Fault { problem, class: RuleClass::Permission });
    }

    /// Returns the words for an identity that belongs to no person in `people/`. They name an unreadable file there,
    /// because it may be that person's.
    fn nobody(&self) -> Result<String, TreeError> {
        Ok(match self.people.unread()? {
            Some(problem) => {
                format!(
                    "not a person whose file in people/ can be read ({} cannot be read: {})",
                    problem.path, problem.message
                )
            }
            None => "not a person in people/".to_owned(),
        })
    }

    /// A commit of a merged branch: its author, and whether that is proven.
    pub fn contribution(&mut self, commit: &Commit) -> Result<Contribution, AuthorityError> {
        let person = self.people.by_ident(&commit.author)?;
        let proven = match &person {
            Some(person) => self.proves(commit, person)?,
            None => false,
        };
        let (tree, parents) = (commit.tree, commit.parents.clone());
        Ok(Contribution { commit: commit.id, person, proven, authored: commit.author.time, tree, parents })
    }

    /// Whether it is proven that a person made a commit of a merged branch: by the signature, or by the record of
    /// pushes, if this person pushed it first.
    fn proves(&mut self, commit: &Commit, person: &UserName) -> Result<bool, AuthorityError> {
        if self.identity.authority == Authority::Author {
            return Ok(true);
        }
        if let Some(signer) = self.signer(commit)? {
            if signer != *person {
                let message = format!("it is signed by {signer}, but {person} is its author");
                self.fault("signature", Some(&commit.id), message, "sign with the author's key");
            }
            return Ok(signer == *person);
        }
        let pushed = match self.assumption {
            Assumption::Authors => return Ok(true),
            Assumption::Records => true,
            Assumption::None => match Pushes::open(self.repo)?.first(&commit.id)? {
                Some(push) => self.people.by_pusher(&Pusher::from(&push))?.as_ref() == Some(person),
                None => false,
            },
        };
        Ok(pushed && self.people.by_ident(&commit.committer)?.as_ref() == Some(person))
    }

    /// Returns the signer of a commit, if that is proven. An invalid signature adds a fault.
    ///
    /// # Errors
    /// [`AuthorityError`] if an object cannot be read.
    pub fn signer(&mut self, commit: &Commit) -> Result<Option<UserName>, AuthorityError> {
        if !commit.signed {
            return Ok(None);
        }
        let idents = [&commit.committer, &commit.author];
        let known = (&self.people, self.before);
        let proof = self.keys.check_commit(self.repo, &commit.id, idents, known, self.at)?;
        Ok(self.take(proof, Some(&commit.id)))
    }

    /// Returns the signer of a commit that does not exist yet, from a specimen made with the same key.
    ///
    /// # Errors
    /// [`AuthorityError`] if an object cannot be read.
    pub fn signer_of(
        &mut self,
        specimen: &Signed,
        names: &CommitNames<'_>,
    ) -> Result<Option<UserName>, AuthorityError> {
        let idents = [names.committer, names.author];
        let proof = self.keys.check(specimen, idents, (&self.people, self.before), self.at)?;
        Ok(self.take(proof, None))
    }

    fn take(&mut self, proof: Proof, commit: Option<&Oid>) -> Option<UserName> {
        match proof {
            Proof::Signed(user) => Some(user),
            Proof::Unknown(key) => {
                let which = commit.map_or_else(String::new, |c| format!("{}: ", c.short()));
                self.unchecked
                    .push(format!("{which}it is signed with {key}, which does not belong to a person in people/"));
                None
            }
            Proof::Bad(why) => {
                let help = "sign it again with a key in people/, or omit the signature";
                self.fault("signature", commit, format!("its signature does not count: {why}"), help);
                None
            }
        }
    }

    /// Returns the actor. Returns `None` and adds faults if the actor cannot be determined. `signer` is the signer of
    /// the commit, from [`Self::signer`]; `branch` are the commits that a merge adds.
    ///
    /// # Errors
    /// [`AuthorityError`] if the record of pushes or an object cannot be read.
    pub fn actor(
        &mut self,
        names: &CommitNames<'_>,
        lander: &CommitterIdentity,
        signer: Option<&UserName>,
        branch: &[Contribution],
    ) -> Result<Option<Actor>, AuthorityError> {
        let lander = match self.identity.authority {
            Authority::Author => self.author(names)?,
            Authority::Pusher => self.pusher(names, lander)?,
            Authority::Signature => {
                if signer.is_none() && self.faults.is_empty() {
                    self.unsigned(names);
                }
                signer.cloned()
            }
        };
        let Some(lander) = lander else { return Ok(None) };
        let author = self.people.by_ident(names.author)?;
        let proven = match self.identity.authority {
            Authority::Author => true,
            Authority::Pusher | Authority::Signature => self.commits(names, &lander, author.as_ref())?,
        };
        if !proven {
            return Ok(None);
        }
        let user = match (self.identity.servers.contains(&lander), &author) {
            (true, Some(author)) => author.clone(),
            (true, None) => {
                let message = format!("{lander} commits it for its author, who is {}", self.nobody()?);
                self.fault("identity", names.commit, message, "greenroom person add ID --email ADDRESS");
                return Ok(None);
            }
            (false, _) => lander.clone(),
        };
        let own = author.filter(|_| !names.is_merge).map(|author| {
            let signed = signer == Some(&author);
            (author, signed)
        });
        let signed = signer == Some(&lander);
        let manages = self.before.registry_level(&lander)? >= Some(PermissionLevel::CanManage);
        let imported = own.as_ref().map(|(author, _)| author.clone()).filter(|author| manages && *author != user);
        Ok(Some(Actor { imported, ..acting(user, own, branch, signed) }))
    }

    fn unsigned(&mut self, names: &CommitNames<'_>) {
        let message = "it is not signed by a person of this registry, as `authority` requires".to_owned();
        let help = match names.commit {
            Some(_) => "sign it (`git commit -S`) with a key that `greenroom person set --key` has added".to_owned(),
            None => format!(
                "configure git to sign (`git config commit.gpgSign true`, `gpg.format`, `user.signingKey`) with a key \
                 that an administrator of the registry has added (`greenroom person set ID --key FILE`); {PROPOSE}"
            ),
        };
        self.fault("identity", names.commit, message, help);
    }

    /// Returns the author: the person with that address, or else the address itself.
    fn author(&mut self, names: &CommitNames<'_>) -> Result<Option<UserName>, AuthorityError> {
        if let Some(user) = self.people.by_ident(names.author)? {
            return Ok(Some(user));
        }
        let user = UserName::new(names.author.email.to_lowercase()).ok();
        if user.is_none() {
            let help = "set user.email, and run `greenroom person add ID --email ADDRESS`";
            self.fault(
                "identity",
                names.commit,
                "its author's e-mail address cannot belong to a person".to_owned(),
                help,
            );
        }
        Ok(user)
    }

    /// Returns the pusher that the host names.
    fn pusher(
        &mut self,
        names: &CommitNames<'_>,
        lander: &CommitterIdentity,
    ) -> Result<Option<UserName>, AuthorityError> {
        let pusher = match lander {
            CommitterIdentity::Person(user) => return Ok(Some(user.clone())),
            CommitterIdentity::Pusher(pusher) => pusher,
            CommitterIdentity::Committer => return self.committer(names),
            CommitterIdentity::Unrecorded | CommitterIdentity::Unknown => {
                let short = names.commit.map_or_else(String::new, |c| format!("{}: ", c.short()));
                self.unchecked
                    .push(format!("{short}the pusher, because no push of it is recorded; its committer was trusted"));
                return match self.people.by_ident(names.committer)? {
                    Some(user) => Ok(Some(user)),
                    None => self.author(names),
                };
            }
            CommitterIdentity::Nobody => {
                let message =
                    "the git host does not name the pusher, and the registry's `authority` is the pusher".to_owned();
                let help = "configure how this host names the pusher: `greenroom hook install --host …`";
                self.fault("identity", names.commit, message, help);
                return Ok(None);
            }
        };
        if let Some(user) = self.people.by_pusher(pusher)? {
            return Ok(Some(user));
        }
        let shown = [&pusher.login, &pusher.email, &pusher.key].into_iter().find_map(Option::as_deref).unwrap_or("?");
        let who = crate::text::quoted(shown);
        // The founder of a registry may not be in any file yet.
        if self.founds {
            return Ok(UserName::new(shown).ok());
        }
        let message = match self.people.unread()? {
            None => format!("the pusher ({who}, according to the host) is not a person of this registry"),
            Some(_) => format!("the pusher ({who}, according to the host) is {}", self.nobody()?),
        };
        self.fault("identity", names.commit, message, "greenroom person add ID --email ADDRESS --login LOGIN");
        Ok(None)
    }

    /// Returns the committer of a commit that is made here: no other person can push it.
    fn committer(&mut self, names: &CommitNames<'_>) -> Result<Option<UserName>, AuthorityError> {
        if let Some(user) = self.people.by_ident(names.committer)? {
            return Ok(Some(user));
        }
        if self.founds {
            return self.author(names);
        }
        let shown = crate::text::quoted(&names.committer.email);
        let who = self.nobody()?;
        let message = format!("its committer {shown} is {who}, and the registry's `authority` is the pusher");
        let help = format!(
            "set user.email to one of your addresses in people/; or let an administrator of the registry add your \
             address (`greenroom person add ID --email ADDRESS`); {PROPOSE}"
        );
        self.fault("identity", names.commit, message, help);
        Ok(None)
    }

    /// Whether a commit names its pusher: as committer, and as author unless they may commit another person's work.
    fn commits(
        &mut self,
        names: &CommitNames<'_>,
        lander: &UserName,
        author: Option<&UserName>,
    ) -> Result<bool, AuthorityError> {
        if self.founds {
            return Ok(true);
        }
        let web = self.is_web(names.committer);
        let committer = self.people.by_ident(names.committer)?;
        if !web && committer.as_ref() != Some(lander) {
            let named = committer.map_or_else(|| self.nobody(), |c| Ok(c.to_string()))?;
            let message = format!("{lander} puts it on the branch, but its committer is {named}");
            let help = format!(
                "commit it yourself: set user.email to an address of {lander}; merge the commits of other people (`git \
                 merge --no-ff`)"
            );
            self.fault("committer", names.commit, message, help);
            return Ok(false);
        }
        let serves = self.identity.servers.contains(lander);
        if author == Some(lander)
            || web
            || serves
            || self.before.registry_level(lander)? >= Some(PermissionLevel::CanManage)
        {
            return Ok(true);
        }
        let named = author.map_or_else(|| self.nobody(), |author| Ok(author.to_string()))?;
        let message = format!("{lander} puts it on the branch, but its author is {named}");
        let help = match names.commit {
            Some(_) => {
                format!(
                    "make yourself its author, or let the author push a branch that you merge (`git merge --no-ff`): \
                     {named}"
                )
            }
            None => format!(
                "act as {lander}, without --as; or let the author make the change: {named}. A server that acts for \
                 other people needs its own account, which `greenroom settings set --add-server PERSON` adds"
            ),
        };
        self.fault("author", names.commit, message, help);
        Ok(false)
    }

    /// Whether an identity is one that the git host itself commits with.
    pub fn is_web(&self, committer: &Ident) -> bool {
        self.identity.web.iter().any(|w| w.as_str().eq_ignore_ascii_case(&committer.email))
    }
}

/// Advice for a change that cannot be committed from here.
const PROPOSE: &str = "to request the change instead, run `greenroom request create MODEL VERSION STAGE --branch`, \
                       which makes a branch";

/// Builds the actor of a step: the committer, and the authors of merged commits. `own` is the author of a commit that
/// is not a merge, and whether the author signed it.
pub fn acting(user: UserName, own: Option<(UserName, bool)>, branch: &[Contribution], signed: bool) -> Actor {
    let mut authors: BTreeSet<UserName> = branch.iter().filter_map(|c| c.person.clone()).collect();
    let all_proven = |a: &UserName| branch.iter().filter(|c| c.person.as_ref() == Some(a)).all(|c| c.proven);
    let mut proven_authors: BTreeSet<UserName> = authors.iter().filter(|a| all_proven(a)).cloned().collect();
    if let Some((author, is_signed)) = own {
        if is_signed {
            proven_authors.insert(author.clone());
        }
        authors.insert(author);
    }
    authors.remove(&user);
    proven_authors.remove(&user);
    Actor { user, authors, proven_authors, imported: None, signed }
}
