//! Walking a folder without ever leaving it: everything is opened beneath a handle, symbolic links are refused.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};

use super::path::{FilePath, InvalidPath};
use super::{ArtifactError, Budget, Limits};
use crate::text::quoted;

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path beneath the root.
    pub path: FilePath,
    /// Its size in bytes when it was found.
    pub size: u64,
}

/// A folder that was opened, and its path for messages.
#[derive(Debug)]
pub struct Root {
    handle: OwnedFd,
    path: PathBuf,
}

/// What a walk found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// The files, sorted by path.
    pub files: Vec<Found>,
    /// Paths of files that are left out, by the names in [`left_out`].
    pub left_out: Vec<FilePath>,
}

/// Whether a file is none of the model's: `registered_model_meta` at the top, which MLflow clients write into a
/// folder that they load a registered model from, and `.DS_Store`, which macOS writes anywhere.
pub fn left_out(path: &FilePath) -> bool {
    path.as_str() == "registered_model_meta" || path.segments().last() == Some(".DS_Store")
}

impl Root {
    /// Opens a folder. The folder itself may not be a symbolic link; its parents may.
    pub fn open(folder: &Path) -> Result<Self, ArtifactError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle =
            openat(CWD, folder, flags, Mode::empty()).map_err(|e| ArtifactError::io("open", folder)(e.into()))?;
        Ok(Self { handle, path: folder.to_owned() })
    }

    /// The path of a file beneath, for messages.
    pub fn display(&self, path: &FilePath) -> PathBuf {
        self.path.join(path.as_str())
    }

    /// Opens a folder beneath, following no symbolic link on the way.
    pub fn folder(&self, path: &FilePath) -> Result<Self, ArtifactError> {
        let failed = |e: rustix::io::Errno| ArtifactError::io("open the folder", &self.display(path))(e.into());
        let mut at = self.handle.try_clone().map_err(ArtifactError::io("open", &self.path))?;
        for segment in path.segments() {
            at = openat(&at, segment, flags(true), Mode::empty()).map_err(failed)?;
        }
        Ok(Self { handle: at, path: self.display(path) })
    }

    /// Its path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a regular file beneath, following no symbolic link on the way.
    pub fn file(&self, path: &FilePath) -> Result<File, ArtifactError> {
        let failed = |e: rustix::io::Errno| ArtifactError::io("open", &self.display(path))(e.into());
        let mut at = self.handle.try_clone().map_err(ArtifactError::io("open", &self.path))?;
        let mut segments = path.segments().peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            at = openat(&at, segment, flags(!last), Mode::empty()).map_err(failed)?;
        }
        let stat = fstat(&at).map_err(failed)?;
        match refused(&stat) {
            None => Ok(File::from(at)),
            Some(kind) => Err(ArtifactError::NotAFile { path: self.display(path), kind }),
        }
    }

    /// Finds all files beneath, depth first; symbolic links, sockets, pipes and devices are errors.
    pub fn walk(&self, limits: &Limits) -> Result<Walked, ArtifactError> {
        let mut walked = Walked::default();
        let mut budget = Budget::new(limits);
        self.walk_folder(&self.handle, None, &mut budget, &mut walked)?;
        walked.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(walked)
    }

    /// The depth is bounded by that of a [`FilePath`].
    fn walk_folder(
        &self,
        folder: &OwnedFd,
        at: Option<&FilePath>,
        budget: &mut Budget,
        walked: &mut Walked,
    ) -> Result<(), ArtifactError> {
        let here = at.map_or_else(|| self.path.clone(), |p| self.display(p));
        let failed = |e: rustix::io::Errno| ArtifactError::io("read the folder", &here)(e.into());
        for entry in Dir::read_from(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            budget.take()?;
            let path = child(at, name)?;
            let failed = |e: rustix::io::Errno| ArtifactError::io("open", &here.join(name))(e.into());
            let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let below = openat(folder, name, flags(true), Mode::empty()).map_err(failed)?;
                self.walk_folder(&below, Some(&path), budget, walked)?;
            } else if let Some(kind) = refused(&stat) {
                return Err(ArtifactError::NotAFile { path: here.join(name), kind });
            } else if left_out(&path) {
                walked.left_out.push(path);
            } else {
                walked.files.push(Found { path, size: size(&stat) });
            }
        }
        Ok(())
    }
}

/// To open a file or folder: never through a symbolic link, never waiting for the other end of a pipe.
fn flags(folder: bool) -> OFlags {
    let always = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    always | if folder { OFlags::DIRECTORY } else { OFlags::NONBLOCK | OFlags::NOCTTY }
}

fn child(folder: Option<&FilePath>, name: &OsStr) -> Result<FilePath, InvalidPath> {
    let name = name.to_str().ok_or_else(|| InvalidPath::Encoding(quoted(&name.to_string_lossy())))?;
    match folder {
        Some(folder) => folder.join(name),
        None => FilePath::new(name),
    }
}

/// What something is that is no regular file.
fn refused(stat: &Stat) -> Option<&'static str> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("folder"),
        FileType::Symlink => Some("symbolic link"),
        FileType::Fifo => Some("named pipe"),
        FileType::Socket => Some("socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("device"),
        FileType::Unknown => Some("file of an unknown kind"),
    }
}

/// The size of a file in bytes.
fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// What shows that a file was written to: its size, and when its bytes and its state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Its size in bytes.
    pub size: u64,
    times: [i64; 4],
}

impl Stamp {
    /// Takes the stamp of an open file.
    pub fn of(file: &impl AsFd) -> io::Result<Self> {
        let s = fstat(file)?;
        #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions, reason = "types vary by system")]
        let nanos = |n| i64::try_from(n).unwrap_or(0);
        Ok(Self { size: size(&s), times: [s.st_mtime, nanos(s.st_mtime_nsec), s.st_ctime, nanos(s.st_ctime_nsec)] })
    }
}
