//! Who is who by one state of the registry: addresses and logins become people.

use super::Pusher;
use crate::format::Problem;
use crate::git::{Ident, Mailmap};
use crate::name::UserName;
use crate::snapshot::Snapshot;
use crate::tree::TreeError;

/// The largest `.mailmap` that is read, in bytes.
const MAX_MAILMAP: u64 = 1 << 20;

/// The people of a state, with its own `.mailmap`: both are of the state before the change, so that nobody can make
/// himself somebody else by what he pushes.
pub struct People<'s, 'o> {
    state: &'s Snapshot<'o>,
    mailmap: Mailmap,
}

impl<'s, 'o> People<'s, 'o> {
    /// The people of a state. Only a `.mailmap` in the registry's own folder counts, for only that one is guarded.
    pub fn of(state: &'s Snapshot<'o>) -> Result<Self, TreeError> {
        let mailmap = match state.entry(".mailmap")?.filter(|e| e.kind.is_file()) {
            Some(entry) => Mailmap::parse(&state.objects().blob(&entry.id, MAX_MAILMAP)?),
            None => Mailmap::default(),
        };
        Ok(Self { state, mailmap })
    }

    /// A person's file that cannot be read, with what is wrong: whoever is looked for and not found may be that person.
    pub fn unread(&self) -> Result<Option<Problem>, TreeError> {
        unread(self.state)
    }

    /// The person with an identity's address.
    pub fn by_ident(&self, who: &Ident) -> Result<Option<UserName>, TreeError> {
        self.state.person_by_email(&self.mailmap.email(who))
    }

    /// The person with a login: the one whose file has that name, unless it names logins and this is none of them;
    /// else the one who lists it.
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

    /// The person with a public key, as a line of a file of keys, that is not revoked; a comment behind it is free.
    fn by_key(&self, key: &str) -> Result<Option<UserName>, TreeError> {
        let words = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
        let wanted = words(key);
        let has = |p: &crate::entity::Person| {
            p.keys.iter().any(|k| k.revoked_at.is_none() && words(k.key.as_str()) == wanted)
        };
        let people = self.state.people()?;
        Ok(people.iter().find(|(_, f)| f.value.as_ref().is_some_and(has)).map(|(user, _)| user.clone()))
    }

    /// The person who pushed: by login, else by the key, else by the address that the host tells.
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

/// The first fault of people's files, if there is one, as the reason why somebody was not found among them.
///
/// # Errors
/// When an object cannot be read.
pub fn unread(state: &Snapshot<'_>) -> Result<Option<Problem>, TreeError> {
    let faulty = state.people()?.values().find_map(|file| file.problems.first());
    Ok(faulty.cloned())
}
