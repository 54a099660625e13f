//! The mailer's files: in a folder that only its owner can read, changed by one process at a time, and flushed to disk
//! before the process continues.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Returns the mail folder inside the state folder and creates it if necessary.
///
/// # Errors
///
/// When the folder cannot be created.
pub fn folder(state_dir: &Path) -> io::Result<PathBuf> {
    let folder = state_dir.join("mail");
    let mut maker = fs::DirBuilder::new();
    maker.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut maker, 0o700);
    maker.create(&folder)?;
    Ok(folder)
}

/// Opens a file that only its owner can read, and creates it if necessary.
///
/// # Errors
///
/// When the file cannot be opened or created.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Takes the lock of a folder. Other processes wait until the returned file is dropped.
///
/// # Errors
///
/// When the lock file cannot be opened or locked.
pub fn lock(folder: &Path) -> io::Result<File> {
    let file = open(&folder.join("lock"))?;
    file.lock()?;
    Ok(file)
}

/// Replaces a file as a whole. The caller holds the lock.
///
/// # Errors
///
/// When the new file cannot be written, renamed or flushed to disk.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Flushes the names in a folder to disk.
///
/// # Errors
///
/// When the folder cannot be opened or flushed.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
