//! Notifications of the file system that a branch may have moved. They are hints: the check every few seconds finds
//! what they miss. So only folders with few other changes are watched. Each change of a file in a watched folder wakes
//! a thread, which would slow down each commit.

use std::path::Path;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::outbox::wake_file;

/// The notifications of one repository. They end when this is dropped.
pub(super) struct Notices(#[expect(dead_code, reason = "dropping it ends the notifications")] RecommendedWatcher);

/// Starts to call `wake` when something may have changed: a branch moved, or the wake file was written.
pub(super) fn start(common_dir: &Path, state_dir: &Path, wake: impl Fn() + Send + 'static) -> Result<Notices, String> {
    let told = move |event: notify::Result<Event>| match event {
        Ok(event) if event.need_rescan() || (is_change(event.kind) && event.paths.iter().any(|p| matters(p))) => wake(),
        Ok(_) => {}
        // Unknown notifications were missed, so check everything.
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

/// Returns whether a file was changed rather than read: the watcher's own reads must not wake it.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// Returns whether a file may belong to a branch or be the wake file: all files except git's locks.
fn matters(path: &Path) -> bool {
    path.extension().is_none_or(|e| e != "lock")
}
