//! Folders made once under `target/` and shared by all test processes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that cargo builds into.
pub fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the temporary folder is in the target folder")
}

/// The folder `target/<name>`, made by `make` unless an earlier test process has completed it.
///
/// Concurrent callers wait. A folder that a killed process left unfinished is removed and made again.
pub fn made_once(target: &Path, name: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let folder = target.join(name);
    let complete = folder.join(".complete");
    locked(target, name, || {
        if complete.exists() {
            return Ok(());
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        make(&folder)?;
        File::create(&complete).map(drop).map_err(|e| format!("{}: {e}", complete.display()))
    })?;
    Ok(folder)
}

/// Runs `act` while no other thread or process runs an act with the same name.
pub fn locked<T>(target: &Path, name: &str, act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let path = target.join(format!("{name}.lock"));
    let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
    let held = lock.map_err(|e| format!("{}: {e}", path.display()))?;
    let result = act();
    drop(held);
    result
}

/// Runs a command to its end. The error names the command and holds the end of its output.
pub fn run(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}");
    let out = command.output().map_err(|e| format!("{shown}: {e}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if out.status.success() {
        return Ok(text(&out.stdout));
    }
    let said = text(&out.stdout) + &text(&out.stderr);
    let lines: Vec<&str> = said.lines().collect();
    Err(format!("{shown}: {}\n{}", out.status, lines[lines.len().saturating_sub(30)..].join("\n")))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_folder_is_made_once_even_by_many_at_a_time() {
        let target = tempfile::tempdir().unwrap();
        let count = AtomicUsize::new(0);
        let make = |folder: &Path| {
            count.fetch_add(1, Ordering::SeqCst);
            fs::create_dir(folder).map_err(|e| e.to_string())
        };
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| made_once(target.path(), "x", make).unwrap());
            }
        });
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn an_unfinished_folder_is_made_anew() {
        let target = tempfile::tempdir().unwrap();
        let half = |folder: &Path| {
            fs::create_dir(folder).and_then(|()| fs::write(folder.join("half"), "")).map_err(|e| e.to_string())?;
            Err("no more space".to_owned())
        };
        assert_eq!(made_once(target.path(), "x", half), Err("no more space".to_owned()));
        let folder = made_once(target.path(), "x", |f| fs::create_dir(f).map_err(|e| e.to_string())).unwrap();
        assert!(!folder.join("half").exists());
    }

    #[test]
    fn a_failed_command_says_what_it_printed() {
        let said = run(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"])).unwrap_err();
        assert!(said.contains("exit status: 3\none\ntwo"), "{said}");
        assert!(run(&mut Command::new("no-such-program")).is_err());
    }
}
