//! Permissions of files that several accounts share: a new file or folder takes them from its parent folder.
//!
//! In a repository with `core.sharedRepository` git gives each folder setgid and group write permission. A folder that
//! greenroom creates in such a folder gets the same permissions, and a file gets the corresponding ones, whatever the
//! umask is. Everywhere else only the umask decides. Private files (secrets, tokens, the outbox) are not created with
//! these functions.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The bit that passes a folder's group on to its new entries.
const SET_GID: u32 = 0o2000;

/// The bit for group write permission.
const GROUP_WRITES: u32 = 0o020;

/// Creates a folder and its missing parents.
///
/// # Errors
/// The error of the operating system.
pub fn create_dir_all(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = dir.parent().filter(|p| !p.as_os_str().is_empty());
    above.map_or(Ok(()), create_dir_all)?;
    match fs::create_dir(dir) {
        Ok(()) => adjust(dir),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(e) => Err(e),
    }
}

/// Gives a new file or folder the permissions of its folder, if that folder is shared. Files of another account are
/// left as they are.
///
/// # Errors
/// The error of the operating system.
pub fn adjust(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    adjust_as_in(path, folder)
}

/// Works like [`adjust`], for a file that is about to be moved into another folder.
///
/// # Errors
/// The error of the operating system.
pub fn adjust_as_in(path: &Path, folder: &Path) -> io::Result<()> {
    let folder = fs::metadata(folder)?.permissions().mode();
    if folder & SET_GID == 0 || folder & GROUP_WRITES == 0 {
        return Ok(());
    }
    let there = fs::symlink_metadata(path)?;
    let mode = there.permissions().mode() & 0o7777;
    let wanted = wanted(&there, mode, folder);
    if wanted == mode {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(wanted)) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        set => set,
    }
}

/// Returns the mode of a file or folder in a shared folder: accounts that can read the folder can read it, and accounts
/// that can write to the folder can write to it, unless its owner cannot.
fn wanted(there: &Metadata, mode: u32, folder: u32) -> u32 {
    if there.is_dir() {
        return (mode & 0o700) | (folder & 0o077) | SET_GID;
    }
    let mut rights = folder & 0o066;
    if mode & 0o200 == 0 {
        rights &= !0o022;
    }
    if mode & 0o100 != 0 {
        rights |= (rights & 0o044) >> 2;
    }
    (mode & 0o700) | rights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_made_in_a_shared_folder_is_shared() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, sub, file, object, program) in [
            (0o2775, 0o2775, 0o664, 0o444, 0o775),
            (0o2770, 0o2770, 0o660, 0o440, 0o770),
            // These folders are not shared, so the permissions from the umask stay.
            (0o2755, 0o700, 0o600, 0o400, 0o700),
            (0o775, 0o700, 0o600, 0o400, 0o700),
        ] {
            let root = dir.path().join(format!("{folder:o}"));
            fs::create_dir(&root).unwrap();
            set(&root, folder);
            for (name, before, after) in [("file", 0o600, file), ("object", 0o400, object), ("program", 0o700, program)]
            {
                let path = root.join(name);
                fs::write(&path, "x").unwrap();
                set(&path, before);
                adjust(&path).unwrap();
                assert_eq!(mode(&path), after, "{name} in {folder:o}");
            }
            let path = root.join("sub");
            fs::create_dir(&path).unwrap();
            set(&path, 0o700);
            adjust(&path).unwrap();
            assert_eq!(mode(&path) & !SET_GID, sub & !SET_GID, "a folder in {folder:o}");
        }
    }

    #[test]
    fn folders_hand_on_what_the_first_one_says() {
        let dir = tempfile::tempdir().unwrap();
        set(dir.path(), 0o2770);
        create_dir_all(&dir.path().join("a/b/c")).unwrap();
        create_dir_all(&dir.path().join("a/b/c")).unwrap();
        assert_eq!(mode(&dir.path().join("a/b/c")), 0o2770);
    }
}
