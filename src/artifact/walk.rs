//! Walks a folder without leaving it: everything is opened relative to a handle, and a symbolic link is an error unless
//! the selection allows it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};

use super::budget::Budget;
use super::entry::ArtifactLimits;
use super::entry::LINK;
use super::error::ArtifactError;
use super::exclude::{self, Exclude};
use super::guarded::{Guarded, refuse_state};
use super::path::{FilePath, InvalidPath};
use super::store::Store;
use crate::text::quoted;

/// A file that a walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkedFile {
    /// The path below the root.
    pub path: FilePath,
    /// Its size in bytes when it was found.
    pub size: u64,
    /// The real path, if a followed link led to the file.
    pub real: Option<PathBuf>,
}

/// How symbolic links below a folder are handled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Links {
    /// Every link is an error.
    #[default]
    Refuse,
    /// Links into this folder are followed; other links are errors.
    Into(PathBuf),
    /// All links are followed.
    Follow,
}

/// Selects the files of a folder.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Exclude patterns, in addition to the folder's own pattern files.
    pub exclude: Exclude,
    /// How symbolic links are handled.
    pub links: Links,
    /// How git's own folders are handled.
    pub git: GitFolders,
    /// Folders from which nothing may be registered.
    pub guarded: Guarded,
    /// Stores that are searched for the objects of Git LFS pointers.
    pub objects: Vec<Store>,
}

/// How a `.git` below a folder is handled: it may hold credentials, and controls git wherever it is fetched to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GitFolders {
    /// Left out.
    #[default]
    LeaveOut,
    /// Treated like any other folder.
    Take,
}

/// An open folder, and its path for messages.
#[derive(Debug)]
pub struct Root {
    handle: OwnedFd,
    path: PathBuf,
}

/// The result of a walk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WalkedFolder {
    /// The files, sorted by path.
    pub files: Vec<WalkedFile>,
    /// The empty folders, sorted by path.
    pub empty_folders: Vec<FilePath>,
    /// Entries that are left out by name, for people: see [`left_out`] and [`GitFolders`].
    pub left_out: Vec<String>,
    /// Entries that are excluded by a pattern, for people. A folder ends in a slash.
    pub excluded: Vec<String>,
}

/// Whether a file is not part of the model. These are: `registered_model_meta` at the top, which MLflow clients write
/// into a folder when they load a registered model; `.DS_Store`, which macOS writes anywhere; and pattern files.
pub fn left_out(path: &FilePath) -> bool {
    path.as_str() == "registered_model_meta" || matches!(path.segments().last(), Some(".DS_Store" | exclude::FILE))
}

impl Root {
    /// Opens a folder. The folder itself must not be a symbolic link; its parents may be.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] if it cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, ArtifactError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle =
            openat(CWD, folder, flags, Mode::empty()).map_err(|e| ArtifactError::io("open", folder)(e.into()))?;
        Ok(Self { handle, path: folder.to_owned() })
    }

    /// Returns the path of a file below the root, for messages.
    pub fn display(&self, path: &FilePath) -> PathBuf {
        self.path.join(path.as_str())
    }

    /// Opens a folder below the root. No symbolic link on the way is followed.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] if it cannot be opened.
    pub fn folder(&self, path: &FilePath) -> Result<Self, ArtifactError> {
        let failed = |e: rustix::io::Errno| ArtifactError::io("open the folder", &self.display(path))(e.into());
        let mut at = self.handle.try_clone().map_err(ArtifactError::io("open", &self.path))?;
        for segment in path.segments() {
            at = openat(&at, segment, flags(true), Mode::empty()).map_err(failed)?;
        }
        Ok(Self { handle: at, path: self.display(path) })
    }

    /// Returns the handle of the open folder.
    pub(super) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Returns the path of the folder, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a regular file below the root. No symbolic link on the way is followed.
    ///
    /// # Errors
    /// [`ArtifactError::NotAFile`] if it is not a regular file; [`ArtifactError::Io`] if it cannot be opened.
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

    /// Opens a file that a walk found.
    ///
    /// # Errors
    /// The same as [`Self::file`].
    pub fn open_found(&self, found: &WalkedFile) -> Result<File, ArtifactError> {
        let Some(real) = &found.real else { return self.file(&found.path) };
        let failed = |e: rustix::io::Errno| ArtifactError::io("open", real)(e.into());
        let file = openat(CWD, real, flags(false), Mode::empty()).map_err(failed)?;
        match refused(&fstat(&file).map_err(failed)?) {
            None => Ok(File::from(file)),
            Some(kind) => Err(ArtifactError::NotAFile { path: self.display(&found.path), kind }),
        }
    }

    /// Finds all files below the root, depth first.
    ///
    /// # Errors
    /// [`ArtifactError::NotAFile`] for sockets, pipes, devices and symbolic links that must not be followed;
    /// [`ArtifactError::Registry`] for guarded folders; other [`ArtifactError`]s for invalid names, limits and I/O
    /// errors.
    pub fn walk(&self, selection: &Selection, limits: &ArtifactLimits) -> Result<WalkedFolder, ArtifactError> {
        selection.guarded.refuse_within(self)?;
        let mut walk = Walk {
            root: self,
            exclude: selection.exclude.clone(),
            selection,
            links: &selection.links,
            budget: Budget::new(limits),
            open: Vec::new(),
            refused: Vec::new(),
            out: WalkedFolder::default(),
        };
        walk.folder(&self.handle, None, None)?;
        match walk.refused.len() {
            0 => {}
            1 => return Err(walk.refused.remove(0)),
            _ => {
                walk.refused.sort_by_cached_key(ToString::to_string);
                return Err(ArtifactError::Several(walk.refused));
            }
        }
        let mut out = walk.out;
        out.files.sort_by(|a, b| a.path.cmp(&b.path));
        out.empty_folders.sort();
        out.left_out.sort();
        out.excluded.sort();
        Ok(out)
    }
}

/// The state of a walk.
struct Walk<'w> {
    root: &'w Root,
    selection: &'w Selection,
    exclude: Exclude,
    links: &'w Links,
    budget: Budget,
    /// The folders on the path to the current one, to detect links that lead back.
    open: Vec<(u64, u64)>,
    /// The entries that may not be in a model folder: all of them are reported at once.
    refused: Vec<ArtifactError>,
    out: WalkedFolder,
}

impl Walk<'_> {
    /// Walks the folder `at` (`None`: the root). `real` is its real path, if a link led to it. [`FilePath`] limits the
    /// depth of the recursion.
    fn folder(&mut self, folder: &OwnedFd, at: Option<&FilePath>, real: Option<&Path>) -> Result<(), ArtifactError> {
        let here = at.map_or_else(|| self.root.path.clone(), |p| self.root.display(p));
        let failed = |e: rustix::io::Errno| ArtifactError::io("read the folder", &here)(e.into());
        let id = identity(&fstat(folder).map_err(failed)?);
        self.selection.guarded.refuse(id, &here)?;
        if self.open.contains(&id) {
            return Err(ArtifactError::NotAFile { path: here, kind: "symbolic link to a folder that it lies in" });
        }
        self.open.push(id);
        self.patterns(folder, at, &here)?;
        let mut is_empty = true;
        for entry in Dir::read_from(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            is_empty = false;
            self.budget.take()?;
            match self.entry(folder, at, real, name, &here.join(name)) {
                Err(e @ (ArtifactError::Path(_) | ArtifactError::NotAFile { .. })) => self.refused.push(e),
                other => other?,
            }
        }
        if let Some(at) = at.filter(|_| is_empty) {
            self.out.empty_folders.push(at.clone());
        }
        self.open.pop();
        Ok(())
    }

    /// Reads the pattern file of a folder, if it has one.
    fn patterns(&mut self, folder: &OwnedFd, at: Option<&FilePath>, here: &Path) -> Result<(), ArtifactError> {
        let Ok(file) = openat(folder, exclude::FILE, flags(false), Mode::empty()) else { return Ok(()) };
        let failed = ArtifactError::io("read the patterns in", here);
        if refused(&fstat(&file).map_err(|e| failed(e.into()))?).is_some() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        File::from(file).take(exclude::MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
        self.exclude.add(at, &bytes)
    }

    fn entry(
        &mut self,
        folder: &OwnedFd,
        at: Option<&FilePath>,
        real: Option<&Path>,
        name: &OsStr,
        shown: &Path,
    ) -> Result<(), ArtifactError> {
        let failed = |e: rustix::io::Errno| ArtifactError::io("open", shown)(e.into());
        let mut stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let mut real = real.map(|folder| folder.join(name));
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        // An excluded entry may have any kind and name.
        if self.is_excluded(at, name, &stat) {
            return Ok(());
        }
        if is_link {
            let target = self.target(shown)?;
            self.selection.guarded.refuse_real(&target, shown)?;
            stat = statat(CWD, &target, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            real = Some(target);
            // The target is a folder, so patterns for folders may exclude it.
            if is_folder(&stat) && self.is_excluded(at, name, &stat) {
                return Ok(());
            }
        }
        if self.selection.git == GitFolders::LeaveOut && name.eq_ignore_ascii_case(".git") {
            let shown = at.map_or_else(|| ".git".to_owned(), |folder| format!("{folder}/.git"));
            self.out.left_out.push(if is_folder(&stat) { format!("{shown}/") } else { shown });
            return Ok(());
        }
        let path = child(at, name)?;
        if is_folder(&stat) {
            refuse_state(folder, &name.to_string_lossy(), shown)?;
            let below = match &real {
                Some(real) => openat(CWD, real, flags(true), Mode::empty()),
                None => openat(folder, name, flags(true), Mode::empty()),
            };
            self.folder(&below.map_err(failed)?, Some(&path), real.as_deref())
        } else if let Some(kind) = refused(&stat) {
            Err(ArtifactError::NotAFile { path: shown.to_owned(), kind })
        } else {
            match left_out(&path) {
                true => self.out.left_out.push(path.to_string()),
                false => self.out.files.push(WalkedFile { path, size: size(&stat), real }),
            }
            Ok(())
        }
    }

    /// Whether a pattern excludes an entry. Records the entry if so.
    fn is_excluded(&mut self, at: Option<&FilePath>, name: &OsStr, stat: &Stat) -> bool {
        let name = name.to_string_lossy();
        let path = at.map_or_else(|| name.clone().into_owned(), |folder| format!("{folder}/{name}"));
        let is_folder = is_folder(stat);
        let is_excluded = self.exclude.leaves_out(&path, is_folder);
        if is_excluded {
            self.out.excluded.push(if is_folder { format!("{path}/") } else { path });
        }
        is_excluded
    }

    /// Returns the target of a link that may be followed.
    fn target(&self, link: &Path) -> Result<PathBuf, ArtifactError> {
        let refused = || ArtifactError::NotAFile { path: link.to_owned(), kind: LINK };
        if *self.links == Links::Refuse {
            return Err(refused());
        }
        let target = link.canonicalize().map_err(ArtifactError::io("follow the symbolic link", link))?;
        match self.links {
            Links::Follow => Ok(target),
            Links::Into(folder) if target.starts_with(folder) => Ok(target),
            Links::Into(_) | Links::Refuse => Err(refused()),
        }
    }
}

pub(super) fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Returns the identity of a folder: device and inode number.
#[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions, reason = "types vary by system")]
pub(super) fn identity(stat: &Stat) -> (u64, u64) {
    (u64::try_from(stat.st_dev).unwrap_or(0), u64::try_from(stat.st_ino).unwrap_or(0))
}

/// Returns the flags to open a file or folder: symbolic links are not followed, and a pipe does not block.
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

/// Returns the kind of an entry that is not a regular file; `None` for a regular file.
fn refused(stat: &Stat) -> Option<&'static str> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("folder"),
        FileType::Symlink => Some(LINK),
        FileType::Fifo => Some("named pipe"),
        FileType::Socket => Some("socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("device"),
        FileType::Unknown => Some("file of an unknown kind"),
    }
}

/// Returns the size of a file in bytes.
fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// The size and the modification and status-change times of a file, which reveal a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteStamp {
    /// The size of the file, in bytes.
    pub size: u64,
    times: [i64; 4],
}

impl WriteStamp {
    /// Reads the stamp of an open file.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn of(file: &impl AsFd) -> io::Result<Self> {
        let s = fstat(file)?;
        #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions, reason = "types vary by system")]
        let nanos = |n| i64::try_from(n).unwrap_or(0);
        Ok(Self { size: size(&s), times: [s.st_mtime, nanos(s.st_mtime_nsec), s.st_ctime, nanos(s.st_ctime_nsec)] })
    }
}
