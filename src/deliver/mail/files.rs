//! The files of the mailer: in a folder for their owner alone, changed by one process at a time, on disk before it goes on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The folder in the folder of state; made on first use.
pub fn folder(state_dir: &Path) -> io::Result<PathBuf> {
    let folder = state_dir.join("mail");
    let mut maker = fs::DirBuilder::new();
    maker.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut maker, 0o700);
    maker.create(&folder)?;
    Ok(folder)
}

/// Opens a file for its owner alone; made if it is not there.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Takes the lock of a folder; other processes wait until the file is dropped.
pub fn lock(folder: &Path) -> io::Result<File> {
    let file = open(&folder.join("lock"))?;
    file.lock()?;
    Ok(file)
}

/// Replaces a file as a whole; the lock must be held.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Brings the names in a folder to the disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
