//! Notices of the file system that a branch may have moved. They are hints: what they miss is found by the look that is
//! taken every few seconds. So only folders are watched in which little else happens: each change of each file in a watched
//! folder wakes a thread, and who commits would pay for that.

use std::path::Path;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::outbox::wake_file;

/// Notices of one repository, as long as it is kept.
pub(super) struct Notices(#[expect(dead_code, reason = "dropping it ends the notices")] RecommendedWatcher);

/// Begins to call `wake` when something may have happened: a branch moved, or somebody touched the wake file.
pub(super) fn start(common_dir: &Path, state_dir: &Path, wake: impl Fn() + Send + 'static) -> Result<Notices, String> {
    let told = move |event: notify::Result<Event>| match event {
        Ok(event) if event.need_rescan() || (is_change(event.kind) && event.paths.iter().any(|p| matters(p))) => wake(),
        Ok(_) => {}
        // What was missed is not known, so all may be.
        Err(_) => wake(),
    };
    let mut watcher = notify::recommended_watcher(told).map_err(|e| e.to_string())?;
    let mut watch = |path: &Path, mode| watcher.watch(path, mode).map_err(|e| e.to_string());
    watch(&common_dir.join("refs"), RecursiveMode::Recursive)?;
    if let Some(folder) = wake_file(state_dir).parent() {
        watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(Notices(watcher))
}

/// Whether something was changed rather than read: our own looks must not wake us.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// Whether a file may tell where a branch is, or that somebody wants us awake: all but git's own locks.
fn matters(path: &Path) -> bool {
    path.extension().is_none_or(|e| e != "lock")
}
