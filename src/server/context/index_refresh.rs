//! Keeps the stored index up to date after changes, so that the next start is fast.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::catalog::Catalog;
use super::reader_pool::ReaderPool;
use crate::git::Repo;
use crate::index::{Index, IndexError};
use crate::registry::{Registry, RegistryError};

/// How long the branch must be quiet before the index is updated, so that the update does not slow down writes.
const QUIET: Duration = Duration::from_secs(1);

/// The time after which the index is updated even during changes.
const MOST: Duration = Duration::from_secs(10);

/// Updates the index after changes, until the server stops.
pub async fn keep(mut catalog: watch::Receiver<Option<Arc<Catalog>>>, readers: ReaderPool) {
    while catalog.changed().await.is_ok() {
        let since = Instant::now();
        while since.elapsed() < MOST && matches!(timeout(QUIET, catalog.changed()).await, Ok(Ok(()))) {}
        // Uses a repository of its own, because the cache of the shared one is for readers of the same few objects. If
        // the index cannot be stored, the next start takes longer, but is never wrong.
        let _ = readers.run(|registry| Ok(bring_up(&again(registry)?)?)).await;
    }
}

/// Opens the same registry again.
fn again(registry: &Registry) -> Result<Registry, RegistryError> {
    Ok(Registry::with(Repo::open_beside(registry.repo().git_dir())?, "")?.at_place(&registry.place()))
}

/// Updates the stored index.
///
/// # Errors
///
/// [`IndexError`] when the index cannot be read or built.
pub fn bring_up(registry: &Registry) -> Result<(), IndexError> {
    Index::open(registry, &mut |_| {}).map(drop)
}
