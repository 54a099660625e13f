//! Resolves addresses, logins and keys to people, as of one snapshot of the registry.

use super::Pusher;
use crate::format::Problem;
use crate::git::{Ident, Mailmap};
use crate::name::UserName;
use crate::snapshot::Snapshot;
use crate::tree::TreeError;

/// The largest `.mailmap` that is read, in bytes.
const MAX_MAILMAP: u64 = 1 << 20;

/// The people of a snapshot, with its `.mailmap`. Both are from before the change, so that a push cannot turn its
/// author into another person.
pub struct People<'s, 'o> {
    state: &'s Snapshot<'o>,
    mailmap: Mailmap,
}

impl<'s, 'o> People<'s, 'o> {
    /// Reads the people of a snapshot. Only a `.mailmap` in the registry's own folder counts, because only that file is
    /// protected.
    ///
    /// # Errors
    /// [`TreeError`] if the `.mailmap` cannot be read.
    pub fn of(state: &'s Snapshot<'o>) -> Result<Self, TreeError> {
        let mailmap = match state.entry(".mailmap")?.filter(|e| e.kind.is_file()) {
            Some(entry) => Mailmap::parse(&state.objects().blob(&entry.id, MAX_MAILMAP)?),
            None => Mailmap::default(),
        };
        Ok(Self { state, mailmap })
    }

    /// Returns the first fault of a file of `people/` that cannot be read; `None` if all can be read. A person who is
    /// looked up and not found may be the person of that file.
    ///
    /// # Errors
    /// [`TreeError`] if an object cannot be read.
    pub fn unread(&self) -> Result<Option<Problem>, TreeError> {
        unread(self.state)
    }

    /// The person with an identity's address.
    pub fn by_ident(&self, who: &Ident) -> Result<Option<UserName>, TreeError> {
        self.state.person_by_email(&self.mailmap.email(who))
    }

    /// Returns the person with a login: the person whose file has that name, unless the file lists other logins only;
    /// else the person whose file lists the login.
    ///
    /// # Errors
    /// [`TreeError`] if the people cannot be read.
    pub fn by_login(&self, login: &str) -> Result<Option<UserName>, TreeError> {
        if let Ok(user) = UserName::new(login) {
            let person = self.state.person(&user)?.and_then(|f| f.value);
            if person.is_some_and(|p| p.logins.is_empty() || p.logins.iter().any(|l| l.as_str() == login)) {
                return Ok(Some(user));
            }
        }
        let lists = |p: &crate::entity::Person| p.logins.iter().any(|l| l.as_str() == login);
        let people = self.state.people()?;
        Ok(people.iter().find(|(_, f)| f.value.as_ref().is_some_and(lists)).map(|(user, _)| user.clone()))
    }

    /// Returns the person with a public key that is not revoked. `key` is a line of a key file; its comment is ignored.
    fn by_key(&self, key: &str) -> Result<Option<UserName>, TreeError> {
        let words = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
        let wanted = words(key);
        let has = |p: &crate::entity::Person| {
            p.keys.iter().any(|k| k.revoked_at.is_none() && words(k.key.as_str()) == wanted)
        };
        let people = self.state.people()?;
        Ok(people.iter().find(|(_, f)| f.value.as_ref().is_some_and(has)).map(|(user, _)| user.clone()))
    }

    /// Returns the person who pushed: by login, else by key, else by the address that the host gives.
    ///
    /// # Errors
    /// [`TreeError`] if the people cannot be read.
    pub fn by_pusher(&self, pusher: &Pusher) -> Result<Option<UserName>, TreeError> {
        if let Some(login) = &pusher.login {
            return self.by_login(login);
        }
        if let Some(key) = &pusher.key {
            return self.by_key(key);
        }
        match &pusher.email {
            Some(email) => self.state.person_by_email(email),
            None => Ok(None),
        }
    }
}

/// Returns the first fault of the files of people if a person has no file that can be read: one of the faulty files may
/// be theirs.
///
/// # Errors
/// When an object cannot be read.
pub fn unread_for(state: &Snapshot<'_>, user: &UserName) -> Result<Option<Problem>, TreeError> {
    if state.person(user)?.is_some_and(|file| file.value.is_some()) { Ok(None) } else { unread(state) }
}

/// Returns the first fault of the files of people; `None` if there is no fault. It may be why a person was not found.
///
/// # Errors
/// When an object cannot be read.
pub fn unread(state: &Snapshot<'_>) -> Result<Option<Problem>, TreeError> {
    let faulty = state.people()?.values().find_map(|file| file.problems.first());
    Ok(faulty.cloned())
}
