//! The location of the served registry: its branch may be renamed, and its folder moved, while the server runs.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::git::{Repo, Tip};
use crate::registry::{Registry, RegistryError, RegistryLocation};
use crate::tree::Oid;

/// The current location of the registry. The writer sets it; all other threads read it.
#[derive(Debug)]
pub struct ServedLocation {
    git_dir: PathBuf,
    place: Mutex<RegistryLocation>,
    tip: RwLock<Tip>,
}

impl ServedLocation {
    /// Returns the location of an open registry.
    pub fn of(registry: &Registry) -> Self {
        Self {
            git_dir: registry.repo().git_dir().to_owned(),
            place: Mutex::new(registry.place()),
            tip: RwLock::new(registry.repo().tip(registry.branch())),
        }
    }

    /// Returns the branch and the folder.
    pub fn place(&self) -> RegistryLocation {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the newest commit, if the branch's file shows it.
    pub fn look(&self) -> Option<Oid> {
        self.tip.read().unwrap_or_else(PoisonError::into_inner).look()
    }

    /// Sets the current location of the registry.
    pub fn moved(&self, registry: &Registry) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = registry.place();
        *self.tip.write().unwrap_or_else(PoisonError::into_inner) = registry.repo().tip(registry.branch());
    }

    /// Opens the registry, for one thread.
    ///
    /// # Errors
    ///
    /// [`RegistryError`] when the repository cannot be opened.
    pub fn open(&self) -> Result<Registry, RegistryError> {
        self.with(Repo::open(&self.git_dir)?)
    }

    /// Opens the registry for a thread that reads beside others: little is kept in memory.
    ///
    /// # Errors
    ///
    /// [`RegistryError`] when the repository cannot be opened.
    pub fn open_beside(&self) -> Result<Registry, RegistryError> {
        self.with(Repo::open_beside(&self.git_dir)?)
    }

    fn with(&self, repo: Repo) -> Result<Registry, RegistryError> {
        Ok(crate::index::indexed(Registry::with(repo, "")?.at_place(&self.place())))
    }
}
