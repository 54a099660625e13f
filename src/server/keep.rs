//! Keeps the stored index close behind what lands here, so that the next start has little to make up for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::catalog::Catalog;
use super::desk::Desks;
use crate::git::Repo;
use crate::index::{Index, IndexError};
use crate::registry::{Registry, RegistryError};

/// How long nothing must land before the index is brought up to date, so that it costs no writer anything.
const QUIET: Duration = Duration::from_secs(1);

/// After what time it is done in any case.
const MOST: Duration = Duration::from_secs(10);

/// Brings the index up to date after changes, until nobody makes any more.
pub async fn keep(mut catalog: watch::Receiver<Option<Arc<Catalog>>>, desks: Desks) {
    while catalog.changed().await.is_ok() {
        let since = Instant::now();
        while since.elapsed() < MOST && matches!(timeout(QUIET, catalog.changed()).await, Ok(Ok(()))) {}
        // A repository of its own: what is kept of one is for readers of the same few objects. Where the index cannot be
        // stored, the next start takes longer; it is never wrong.
        let _ = desks.run(|registry| Ok(bring_up(&again(registry)?)?)).await;
    }
}

/// The same registry, opened once more.
fn again(registry: &Registry) -> Result<Registry, RegistryError> {
    Ok(Registry::with(Repo::open_beside(registry.repo().git_dir())?, "")?.at_place(&registry.place()))
}

/// Brings the index up to date.
pub fn bring_up(registry: &Registry) -> Result<(), IndexError> {
    Index::open(registry, &mut |_| {}).map(drop)
}
