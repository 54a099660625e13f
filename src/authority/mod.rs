//! Who acts in a step: what its commit says, and what proves it. Commands, the server, the gate, the check of a pull
//! request and the audit all ask here, so that what one of them lets pass, the others do.

mod former;
mod people;
mod proof;

use std::collections::BTreeSet;

use crate::entity::Level;
use crate::entity::settings::{Authority, Identity};
use crate::format::Problem;
use crate::git::{Commit, GitError, Ident, Repo, Signed};
use crate::name::UserName;
use crate::pushes::{Push, Pushes, PushesError};
use crate::rules::{Actor, Class, Fault};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::{Oid, TreeError};

pub use former::former_person;
pub use people::{People, unread};
pub use proof::Keys;
use proof::Proof;

/// Who pushed, as the transport authenticated him.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pusher {
    /// The login at the host, if it has one.
    pub login: Option<String>,
    /// The e-mail address, if the host tells it.
    pub email: Option<String>,
    /// The public key that he came with, as in a file of keys: `ssh-ed25519 AAAA…`; only where nothing else names him.
    pub key: Option<String>,
    /// How the host knew him, for the record: `gitolite`, `http`, `ssh-key` …
    pub via: String,
    /// What else belongs to the record: the key, the protocol, the page where a merge was made.
    pub detail: Option<String>,
}

impl From<&Push> for Pusher {
    /// Who pushed, as the record says what the host said.
    fn from(push: &Push) -> Self {
        let Push { login, email, key, via, detail, .. } = push.clone();
        Self { login, email, key, via, detail }
    }
}

/// Who lands a step, before the registry is asked who that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lander {
    /// Whom the host names.
    Pusher(Pusher),
    /// A person of the registry.
    Person(UserName),
    /// The committer: the commit is made here, and lands here or is pushed from here.
    Committer,
    /// The host names nobody.
    Nobody,
    /// It landed long ago, and the record of pushes does not tell of it.
    Unrecorded,
    /// It landed long ago, and there is no record of pushes here.
    Unknown,
}

/// What is taken for proven although nothing here shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumption {
    /// Nothing.
    None,
    /// What a record of pushes could show: for a history whose record is not here.
    Records,
    /// The authors of commits: the git host vouches for them.
    Authors,
}

/// The identities on a commit that was made, or is about to be.
#[derive(Debug, Clone, Copy)]
pub struct Names<'c> {
    /// The commit; none if it is not made yet.
    pub commit: Option<&'c Oid>,
    /// Its author.
    pub author: &'c Ident,
    /// Its committer.
    pub committer: &'c Ident,
    /// Whether it is a merge; then its author made nothing of what it brings in.
    pub is_merge: bool,
}

impl<'c> From<&'c Commit> for Names<'c> {
    fn from(commit: &'c Commit) -> Self {
        let Commit { id, author, committer, parents, .. } = commit;
        Self { commit: Some(id), author, committer, is_merge: parents.len() > 1 }
    }
}

/// A commit of a merged branch, with its author.
#[derive(Debug, Clone)]
pub struct Contribution {
    /// The commit.
    pub commit: Oid,
    /// Its author as a person of the registry.
    pub person: Option<UserName>,
    /// Whether it is proven that this person made it.
    pub proven: bool,
    /// When it was made, as it says.
    pub authored: Timestamp,
    /// Its root tree.
    pub tree: Oid,
    /// The commits before it.
    pub parents: Vec<Oid>,
}

/// Why the question cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The record of pushes cannot be read.
    #[error(transparent)]
    Pushes(Box<PushesError>),
    /// Git's side failed.
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

/// What the commits of a step say of who made and landed it, by one state of people.
pub struct Inquiry<'s, 'o> {
    repo: &'s Repo,
    keys: &'s Keys,
    /// The people of the state before; of the one after where the registry is founded.
    pub people: People<'s, 'o>,
    /// What proves who acts.
    pub identity: Identity,
    before: &'s Snapshot<'o>,
    founds: bool,
    at: Timestamp,
    assumption: Assumption,
    step: Option<Oid>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
}

/// Whose word counts, by the state before; by the one after where the registry is founded. None without a registry.
pub fn identity(before: &Snapshot<'_>, after: &Snapshot<'_>) -> Result<Option<Identity>, TreeError> {
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

impl<'s, 'o> Inquiry<'s, 'o> {
    /// Begins to ask about a step from `before` to `after` that lands at a time; none if there is no registry.
    pub fn new(
        (repo, keys): (&'s Repo, &'s Keys),
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

    /// Notes a fault of a commit: of no file, and named where it is another than the step's own.
    pub fn fault(&mut self, rule: &'static str, commit: Option<&Oid>, message: String, help: impl Into<String>) {
        let message = match commit {
            Some(commit) if Some(*commit) != self.step => format!("commit {}: {message}", commit.short()),
            Some(_) | None => message,
        };
        let problem = Problem::of_file("", rule, message).help(help);
        self.faults.push(Fault { problem, class: Class::Permission });
    }

    /// That an identity is nobody's in `people/`, with a file there that cannot be read and may be that person's.
    fn nobody(&self) -> Result<String, TreeError> {
        Ok(match self.people.unread()? {
            Some(problem) => {
                format!("nobody who can be read in people/ ({} cannot: {})", problem.path, problem.message)
            }
            None => "nobody in people/".to_owned(),
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

    /// Whether it is proven that a person made a commit of a merged branch: by the signature, or by the record that
    /// this person was the first who pushed it here.
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

    /// Who signed a commit, where that could be proven. A signature that is wrong is a fault.
    pub fn signer(&mut self, commit: &Commit) -> Result<Option<UserName>, AuthorityError> {
        if !commit.signed {
            return Ok(None);
        }
        let idents = [&commit.committer, &commit.author];
        let known = (&self.people, self.before);
        let proof = self.keys.check_commit(self.repo, &commit.id, idents, known, self.at)?;
        Ok(self.take(proof, Some(&commit.id)))
    }

    /// Whose signature a commit will carry that is not made yet, by a specimen that was made with the same key.
    pub fn signer_of(&mut self, specimen: &Signed, names: &Names<'_>) -> Result<Option<UserName>, AuthorityError> {
        let idents = [names.committer, names.author];
        let proof = self.keys.check(specimen, idents, (&self.people, self.before), self.at)?;
        Ok(self.take(proof, None))
    }

    fn take(&mut self, proof: Proof, commit: Option<&Oid>) -> Option<UserName> {
        match proof {
            Proof::Signed(user) => Some(user),
            Proof::Unknown(key) => {
                let which = commit.map_or_else(String::new, |c| format!("{}: ", c.short()));
                self.unchecked.push(format!("{which}it is signed with {key}, which is nobody's key"));
                None
            }
            Proof::Bad(why) => {
                let help = "sign it again with a key in people/, or leave the signature out";
                self.fault("signature", commit, format!("its signature does not count: {why}"), help);
                None
            }
        }
    }

    /// Who acts; none, with faults, if that cannot be established. `signer` is who signed the commit, as
    /// [`Self::signer`] found; `branch` is what a merge brings in.
    pub fn actor(
        &mut self,
        names: &Names<'_>,
        lander: &Lander,
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
                let message = format!("{lander} lands it for its author, who is {}", self.nobody()?);
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
        let manages = self.before.registry_level(&lander)? >= Some(Level::CanManage);
        let imported = own.as_ref().map(|(author, _)| author.clone()).filter(|author| manages && *author != user);
        Ok(Some(Actor { imported, ..acting(user, own, branch, signed) }))
    }

    fn unsigned(&mut self, names: &Names<'_>) {
        let message = "it is not signed by a person of this registry, as `authority` asks".to_owned();
        let help = match names.commit {
            Some(_) => "sign it (`git commit -S`) with a key that `greenroom person set --key` has added".to_owned(),
            None => format!(
                "let git sign (`git config commit.gpgSign true`, `gpg.format`, `user.signingKey`) with a key that \
                 somebody who manages the registry has added (`greenroom person set ID --key FILE`); {PROPOSE}"
            ),
        };
        self.fault("identity", names.commit, message, help);
    }

    /// The author's word: the person with that address, or the address itself.
    fn author(&mut self, names: &Names<'_>) -> Result<Option<UserName>, AuthorityError> {
        if let Some(user) = self.people.by_ident(names.author)? {
            return Ok(Some(user));
        }
        let user = UserName::new(names.author.email.to_lowercase()).ok();
        if user.is_none() {
            let help = "set user.email, and `greenroom person add ID --email ADDRESS`";
            self.fault("identity", names.commit, "its author's address can be nobody's".to_owned(), help);
        }
        Ok(user)
    }

    /// The host's word about who pushes.
    fn pusher(&mut self, names: &Names<'_>, lander: &Lander) -> Result<Option<UserName>, AuthorityError> {
        let pusher = match lander {
            Lander::Person(user) => return Ok(Some(user.clone())),
            Lander::Pusher(pusher) => pusher,
            Lander::Committer => return self.committer(names),
            Lander::Unrecorded | Lander::Unknown => {
                let short = names.commit.map_or_else(String::new, |c| format!("{}: ", c.short()));
                self.unchecked.push(format!("{short}no record says who pushed it; its committer is taken"));
                return match self.people.by_ident(names.committer)? {
                    Some(user) => Ok(Some(user)),
                    None => self.author(names),
                };
            }
            Lander::Nobody => {
                let message = "nobody says who pushes, and the registry's `authority` is the pusher".to_owned();
                let help = "tell greenroom how this host names the pusher: `greenroom hook install --host …`";
                self.fault("identity", names.commit, message, help);
                return Ok(None);
            }
        };
        if let Some(user) = self.people.by_pusher(pusher)? {
            return Ok(Some(user));
        }
        let shown = [&pusher.login, &pusher.email, &pusher.key].into_iter().find_map(Option::as_deref).unwrap_or("?");
        let who = crate::text::quoted(shown);
        // Who founds a registry may be in no file yet.
        if self.founds {
            return Ok(UserName::new(shown).ok());
        }
        let message = match self.people.unread()? {
            None => format!("who pushes ({who}, says the host) is no person of this registry"),
            Some(_) => format!("who pushes ({who}, says the host) is {}", self.nobody()?),
        };
        self.fault("identity", names.commit, message, "greenroom person add ID --email ADDRESS --login LOGIN");
        Ok(None)
    }

    /// The committer of a commit that is made here: nobody else can push it.
    fn committer(&mut self, names: &Names<'_>) -> Result<Option<UserName>, AuthorityError> {
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
            "set user.email to an address of yours in people/; or let somebody who manages the registry add it \
             (`greenroom person add ID --email ADDRESS`); {PROPOSE}"
        );
        self.fault("identity", names.commit, message, help);
        Ok(None)
    }

    /// Whether a commit names who lands it: as committer, and as author unless he lands another's work.
    fn commits(
        &mut self,
        names: &Names<'_>,
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
            let message = format!("{lander} lands it, but its committer is {named}");
            let help = format!(
                "commit it yourself: set user.email to an address of {lander}; to land another's commits, merge them \
                 (`git merge --no-ff`)"
            );
            self.fault("committer", names.commit, message, help);
            return Ok(false);
        }
        let serves = self.identity.servers.contains(lander);
        if author == Some(lander) || web || serves || self.before.registry_level(lander)? >= Some(Level::CanManage) {
            return Ok(true);
        }
        let named = author.map_or_else(|| self.nobody(), |author| Ok(author.to_string()))?;
        let message = format!("{lander} lands it, but its author is {named}");
        let help = match names.commit {
            Some(_) => {
                format!("be its author yourself, or let {named} push a branch that you merge (`git merge --no-ff`)")
            }
            None => format!(
                "act as {lander}, without --as; or let {named} do it. A server that acts for others needs an account \
                 of its own, which `greenroom settings set --add-server PERSON` names"
            ),
        };
        self.fault("author", names.commit, message, help);
        Ok(false)
    }

    /// Whether an identity is one with which the git host itself commits.
    pub fn is_web(&self, committer: &Ident) -> bool {
        self.identity.web.iter().any(|w| w.as_str().eq_ignore_ascii_case(&committer.email))
    }
}

/// How to bring in what cannot be landed from here.
const PROPOSE: &str = "to ask others instead, `greenroom request create MODEL VERSION STAGE --branch` makes a branch";

/// The actor of a step: who lands it, beside the authors of what it brings. `own` is the author of a commit that is no
/// merge, and whether that author signed it.
pub fn acting(user: UserName, own: Option<(UserName, bool)>, branch: &[Contribution], signed: bool) -> Actor {
    let mut authors: BTreeSet<UserName> = branch.iter().filter_map(|c| c.person.clone()).collect();
    let all_proven = |a: &UserName| branch.iter().filter(|c| c.person.as_ref() == Some(a)).all(|c| c.proven);
    let mut vouched: BTreeSet<UserName> = authors.iter().filter(|a| all_proven(a)).cloned().collect();
    if let Some((author, is_signed)) = own {
        if is_signed {
            vouched.insert(author.clone());
        }
        authors.insert(author);
    }
    authors.remove(&user);
    vouched.remove(&user);
    Actor { user, authors, vouched, imported: None, signed }
}
