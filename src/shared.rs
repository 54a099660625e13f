//! Permissions of files that several accounts share: a new file or folder takes them from the folder it is made in.
//!
//! In a repository with `core.sharedRepository` git gives each folder setgid and lets the group write. A folder of ours
//! that is made in such a folder gets the same permissions, and a file what they mean for a file, whatever the umask says.
//! Everywhere else the umask alone decides. Private files (secrets, tokens, the outbox) are not made with these functions.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The bit that makes the group of a folder that of what is made in it.
const SET_GID: u32 = 0o2000;

/// The bit that lets the group write.
const GROUP_WRITES: u32 = 0o020;

/// Makes a folder and those above it that are missing.
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

/// Gives what was just made the permissions of the folder that it is in, where that folder is shared. What another
/// account made is left as it is.
pub fn adjust(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    adjust_as_in(path, folder)
}

/// As [`adjust`], for what is about to be moved into another folder.
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

/// The mode of a file or folder in a shared folder: who may read there may read it, and who may write there may write it
/// unless not even its owner may.
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
            // Nobody shares these, so what the umask gave stays.
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
