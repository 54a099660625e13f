//! The context of a command: the registry, the identity, the clock, the output.

use std::cell::Cell;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use super::options::Global;
use super::output::Output;
use super::progress::ProgressBar;
use super::report::CliError;
use super::report::Exit;
use crate::apply::Refusal;
use crate::authority;
use crate::clock;
use crate::entity::Person;
use crate::git::{GitError, Ident, Repo};
use crate::hook::prepush;
use crate::index::{self, Index};
use crate::name::UserName;
use crate::pushes;
use crate::registry::{ChangeAuthor, Registry, RegistryError};
use crate::snapshot::Snapshot;
use crate::time::{Calendar, Timestamp};
use crate::tree::{Oid, TreeError};

/// The number of commits from which it is slow to build the index for each query.
const SLOW: u64 = 2000;

/// One run of the program.
pub(in crate::cli) struct Session {
    global: Global,
    played: Option<ScriptedActor>,
    /// Whether the warning about an unreadable file of a person was printed.
    warned: Cell<bool>,
    /// Whether it was said that files are edited and not committed.
    noted: Cell<bool>,
    pub(in crate::cli) out: Output,
}

/// The identity and the clock of a run in the demo, instead of git's config and the system's clock.
pub(in crate::cli) struct ScriptedActor {
    /// The person and the time of the action.
    pub(in crate::cli) ident: Ident,
}

impl Session {
    pub(in crate::cli) fn new(global: Global, out: Output) -> Self {
        Self { global, played: None, warned: Cell::new(false), noted: Cell::new(false), out }
    }

    /// A run in the demo by one of its people.
    pub(in crate::cli) fn played(global: Global, out: Output, played: ScriptedActor) -> Self {
        Self { global, played: Some(played), warned: Cell::new(false), noted: Cell::new(false), out }
    }

    /// The author and the committer for a commit made now.
    pub(in crate::cli) fn identity(&self, repo: &Repo) -> Result<(Ident, Ident), CliError> {
        match &self.played {
            Some(ScriptedActor { ident }) => Ok((ident.clone(), ident.clone())),
            None => Ok(repo.identity()?),
        }
    }

    /// The folder to work in.
    pub(in crate::cli) fn dir(&self) -> PathBuf {
        self.global.dir.clone().unwrap_or_else(|| PathBuf::from("."))
    }

    /// Checks that the folder of `-C` exists.
    ///
    /// # Errors
    /// There is no such folder, or it is a file.
    pub(in crate::cli) fn check_dir(&self) -> Result<(), CliError> {
        let Some(dir) = self.global.dir.as_deref().filter(|dir| !dir.is_dir()) else { return Ok(()) };
        let shown = crate::text::quoted(&dir.to_string_lossy());
        let what = if dir.exists() { "is not a folder" } else { "does not exist" };
        let hint = "-C names a folder of the registry, as a path from the current folder";
        Err(CliError::not_found(format!("the folder {shown} of -C {what}")).hint(hint))
    }

    /// Opens the index of a registry and updates it, with a progress bar. If the index cannot be stored, the warning
    /// comes only for histories that are slow to index each time.
    pub(in crate::cli) fn index<'r>(&self, registry: &'r Registry) -> Result<Index<'r>, CliError> {
        self.index_at(registry, None)
    }

    /// Opens the index of a registry as of a moment, or up to date without one.
    pub(in crate::cli) fn index_at<'r>(&self, registry: &'r Registry, at: Option<&str>) -> Result<Index<'r>, CliError> {
        let commit = at.map(|moment| registry.moment(moment)).transpose()?;
        let progress = ProgressBar::counting("Indexing");
        let mut much = false;
        let mut seen = |p: crate::index::BuildProgress| {
            much |= p.total > SLOW;
            progress.seen(p.done, p.total);
        };
        let index = match commit {
            Some(commit) => Index::open_at(registry, commit, &mut seen)?,
            None => Index::open(registry, &mut seen)?,
        };
        if let Some(why) = index.unstored().filter(|_| much) {
            super::report::warn(&format!("the index could not be stored, so it is built anew each time: {why}"));
        }
        Ok(index)
    }

    /// A path from the command line: relative to the caller's current folder, whatever `-C` says. In the demo, paths
    /// are relative to the folder of the run.
    pub(in crate::cli) fn path(&self, given: &Path) -> PathBuf {
        if self.played.is_some() { self.dir().join(given) } else { given.to_owned() }
    }

    /// Opens the registry.
    pub(in crate::cli) fn registry(&self) -> Result<Registry, CliError> {
        let registry = match self.played {
            // The demo stays in its own folder, whatever GIT_DIR says.
            Some(_) => Registry::with(Repo::open(&self.dir())?, "")?,
            None => self.discover()?,
        };
        if self.played.is_none() && registry.repo().is_own_clone() {
            // `greenroom doctor` reports why the hook could not be installed.
            let _ = prepush::ensure(registry.repo());
        }
        let calendar = self.calendar(registry.repo());
        Ok(index::indexed(registry).with_calendar(calendar))
    }

    /// The current time, and the local time zone: that of `TZ`, or the machine's.
    pub(in crate::cli) fn calendar(&self, repo: &Repo) -> Calendar {
        let now = self.identity(repo).map_or_else(|_| clock::now(), |(_, committer)| self.now(&committer));
        Calendar::new(now, jiff::tz::TimeZone::system())
    }

    /// Finds the registry. Fetches the parts that a partial clone left out.
    fn discover(&self) -> Result<Registry, CliError> {
        let found = Registry::discover(&self.dir());
        let repo = match &found {
            Ok(registry) if registry.repo().promisor().is_none() => return Ok(found?),
            Ok(_) | Err(RegistryError::Git(GitError::Object(TreeError::Missing(_)))) => Repo::discover(&self.dir())?,
            Err(RegistryError::Tree(TreeError::Missing(_))) => Repo::discover(&self.dir())?,
            Err(_) => return Ok(found?),
        };
        let Some(remote) = repo.promisor() else { return Ok(found?) };
        let at = found.as_ref().map_or("", Registry::at);
        let mut tips: Vec<Oid> = repo.head()?.into_iter().collect();
        tips.extend(repo.reference(pushes::REFERENCE)?);
        match (repo.fetch_left_out(&remote, &tips, at), found) {
            (Ok(0), Ok(registry)) => Ok(registry),
            (Ok(_), _) => Ok(Registry::discover(&self.dir())?),
            // The command may need only what is here.
            (Err(e), Ok(registry)) => {
                super::report::warn(&crate::text::with_causes(&e));
                Ok(registry)
            }
            (Err(e), Err(_)) => Err(e.into()),
        }
    }

    /// Installs the hook that sends model files with a push. Obstacles are printed as warnings.
    pub(in crate::cli) fn send_files(&self, repo: &Repo) {
        let warnings = match prepush::ensure(repo) {
            Ok(report) => report.warnings,
            Err(e) => vec![format!("a push will not send the model files: {}", crate::text::with_causes(&e))],
        };
        warnings.iter().for_each(|warning| super::report::warn(warning));
    }

    /// The person who acts: git's identity, or the person of `--as` with git's committer.
    pub(in crate::cli) fn change_author(
        &self,
        registry: &Registry,
        named: Option<&UserName>,
    ) -> Result<ChangeAuthor, CliError> {
        let (author, committer) = self.identity(registry.repo())?;
        let snapshot = registry.snapshot()?;
        let Some(user) = named else {
            let user = registry.person_of(&snapshot, &author)?;
            self.warn_of_unread(&snapshot, &user)?;
            return Ok(ChangeAuthor { user, author, committer });
        };
        let person = person(&snapshot, user)?;
        let email = person.emails.iter().next().ok_or_else(|| {
            let hint = format!("greenroom person set {user} --email ADDRESS");
            CliError::new(Exit::Failed, format!("'{user}' has no e-mail address to commit with")).hint(hint)
        })?;
        let name = if person.name.is_empty() { user.as_str() } else { person.name.as_str() };
        let author = Ident { name: name.to_owned(), email: email.as_str().to_owned(), ..author };
        Ok(ChangeAuthor { user: user.clone(), author, committer })
    }

    /// Warns once that the file of a person cannot be read, if no readable file has the identity: the unreadable file
    /// may have it.
    fn warn_of_unread(&self, snapshot: &Snapshot<'_>, user: &UserName) -> Result<(), CliError> {
        if self.warned.get() {
            return Ok(());
        }
        if let Some(problem) = authority::unread_for(snapshot, user)? {
            self.warned.set(true);
            let message =
                format!("{} cannot be read ({}), so your identity is uncertain", problem.path, problem.message);
            super::report::warn(&format!("{message}: you act as {user}; `greenroom check` lists the faults"));
        }
        Ok(())
    }

    /// Says once on stderr that files of the work tree differ from the last commit, where a command shows the last commit.
    /// Programs, which ask for JSON, are not told, nor are questions about the past.
    pub(in crate::cli) fn note_edits(&self, registry: &Registry, at: Option<&str>) {
        if at.is_some() || self.out.is_json() || self.played.is_some() || self.noted.replace(true) {
            return;
        }
        // The answer does not depend on the work tree; `greenroom check` says what cannot be read there.
        let edited = registry.uncommitted().unwrap_or_default();
        let Some(first) = edited.first() else { return };
        let which = match edited.len() {
            1 => format!("{first} has edits that are"),
            n => format!("{n} files have edits, the first {first}, that are"),
        };
        super::report::note(&format!(
            "note: {which} not committed; this shows the last commit, and `greenroom check` judges the edits"
        ));
    }

    /// Now; or the committer's date where the environment sets it, as git does.
    pub(in crate::cli) fn now(&self, committer: &Ident) -> Timestamp {
        if self.played.is_some() || std::env::var_os("GIT_COMMITTER_DATE").is_some() {
            return committer.time;
        }
        clock::now()
    }

    /// Asks a question on the terminal. Returns `None` if there is no terminal.
    pub(in crate::cli) fn ask(&mut self, question: &str) -> Result<Option<String>, CliError> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Ok(None);
        }
        self.out.flush()?;
        let mut err = anstream::stderr().lock();
        write!(err, "{question} ")?;
        err.flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        Ok(Some(answer.trim().to_owned()))
    }

    /// Confirms a deletion: by `--yes`, or by the name typed at a prompt.
    pub(in crate::cli) fn confirm_deletion(&mut self, what: &str, name: &str, yes: bool) -> Result<(), CliError> {
        if yes {
            return Ok(());
        }
        let shown = crate::text::one_line(name).into_owned();
        match self.ask(&format!("Delete {what}? It cannot be undone. Type '{shown}' to confirm:"))? {
            Some(answer) if answer == name => Ok(()),
            Some(_) => Err(CliError::new(Exit::Failed, "not confirmed; nothing was deleted")),
            None => Err(CliError::usage(format!("without a terminal, --yes is needed to delete {what}"))),
        }
    }
}

/// The contents of the file of the named person.
pub(in crate::cli) fn person(snapshot: &Snapshot<'_>, user: &UserName) -> Result<Person, CliError> {
    let none = || CliError::from(Refusal::no_person(user)).hint(format!("greenroom person add {user} --email ADDRESS"));
    let file = snapshot.person(user)?.ok_or_else(none)?;
    match (file.value, file.problems.into_iter().next()) {
        // A file that lost its addresses to a fault is not one without addresses.
        (Some(person), Some(problem)) if person.emails.is_empty() => Err(Refusal::Faulty { problem }.into()),
        (Some(person), _) => Ok(person),
        (None, Some(problem)) => Err(Refusal::Faulty { problem }.into()),
        (None, None) => Err(none()),
    }
}
