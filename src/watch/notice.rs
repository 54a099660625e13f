//! Notices of the file system that a branch may have moved. They are hints: what they miss is found by the look that is
//! taken every few seconds.

use std::path::Path;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::outbox::wake_file;

/// Notices of one repository, as long as it is kept.
pub(super) struct Notices(#[expect(dead_code, reason = "dropping it ends the notices")] RecommendedWatcher);

/// Begins to call `wake` when something may have happened: a branch moved, was packed, or somebody touched the wake file.
pub(super) fn start(common_dir: &Path, state_dir: &Path, wake: impl Fn() + Send + 'static) -> Result<Notices, String> {
    let told = move |event: notify::Result<Event>| match event {
        Ok(event) if event.need_rescan() || (is_change(event.kind) && event.paths.iter().any(|p| matters(p))) => wake(),
        Ok(_) => {}
        // What was missed is not known, so all may be.
        Err(_) => wake(),
    };
    let mut watcher = notify::recommended_watcher(told).map_err(|e| e.to_string())?;
    let mut watch = |path: &Path, mode| watcher.watch(path, mode).map_err(|e| e.to_string());
    watch(common_dir, RecursiveMode::NonRecursive)?;
    watch(&common_dir.join("refs"), RecursiveMode::Recursive)?;
    watch(state_dir, RecursiveMode::NonRecursive)?;
    debug_assert_eq!(wake_file(state_dir).parent(), Some(state_dir), "the wake file is watched");
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

/// Whether a file may tell where a branch is, how to deliver, or that somebody wants us awake. Git's own locks and our
/// files of every command don't.
fn matters(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let in_refs = path.components().any(|c| c.as_os_str() == "refs");
    let named = ["HEAD", "packed-refs", "config", "wake", "secrets.toml"].contains(&name);
    (in_refs || named) && !name.ends_with(".lock")
}
