//! Walking a folder without leaving it: everything is opened beneath a handle, and a symbolic link is an error unless a
//! person said that links are followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};

use super::exclude::{self, Exclude};
use super::guarded::{Guarded, refuse_state};
use super::path::{FilePath, InvalidPath};
use super::store::Store;
use super::{ArtifactError, Budget, Limits};
use crate::text::quoted;

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path beneath the root.
    pub path: FilePath,
    /// Its size in bytes when it was found.
    pub size: u64,
    /// Where it really lies, if a link that may be followed led to it.
    pub real: Option<PathBuf>,
}

/// What is done about symbolic links beneath a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Links {
    /// They are errors.
    #[default]
    Refuse,
    /// Those that lead into a folder are taken for what they point to; others are errors.
    Into(PathBuf),
    /// All are taken for what they point to.
    Follow,
}

/// What is taken of a folder.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// What is left out, besides what the folder's own files of patterns name.
    pub exclude: Exclude,
    /// What is done about symbolic links.
    pub links: Links,
    /// What is done about git's own folders.
    pub git: GitFolders,
    /// The folders of which nothing is taken.
    pub guarded: Guarded,
    /// Where the objects of Git LFS pointers are looked for.
    pub objects: Vec<Store>,
}

/// What is done about a `.git` beneath a folder: it may hold credentials, and steers git wherever it is fetched to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GitFolders {
    /// It is left out.
    #[default]
    LeaveOut,
    /// It is taken as any other folder.
    Take,
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
    /// Folders in which nothing is, sorted by path.
    pub empty_folders: Vec<FilePath>,
    /// What is left out, for people: by name, see [`left_out`] and [`GitFolders`].
    pub left_out: Vec<String>,
    /// What is left out, for people: by a pattern. A folder ends in a slash.
    pub excluded: Vec<String>,
}

/// Whether a file is none of the model's: `registered_model_meta` at the top, which MLflow clients write into a
/// folder that they load a registered model from, `.DS_Store`, which macOS writes anywhere, and files of patterns.
pub fn left_out(path: &FilePath) -> bool {
    path.as_str() == "registered_model_meta" || matches!(path.segments().last(), Some(".DS_Store" | exclude::FILE))
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

    /// The open folder.
    pub(super) fn handle(&self) -> &OwnedFd {
        &self.handle
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

    /// Opens a file that a walk found.
    pub fn open_found(&self, found: &Found) -> Result<File, ArtifactError> {
        let Some(real) = &found.real else { return self.file(&found.path) };
        let failed = |e: rustix::io::Errno| ArtifactError::io("open", real)(e.into());
        let file = openat(CWD, real, flags(false), Mode::empty()).map_err(failed)?;
        match refused(&fstat(&file).map_err(failed)?) {
            None => Ok(File::from(file)),
            Some(kind) => Err(ArtifactError::NotAFile { path: self.display(&found.path), kind }),
        }
    }

    /// Finds all files beneath, depth first; sockets, pipes and devices are errors, and symbolic links that may not be
    /// followed.
    pub fn walk(&self, selection: &Selection, limits: &Limits) -> Result<Walked, ArtifactError> {
        selection.guarded.refuse_within(self)?;
        let mut walk = Walk {
            root: self,
            exclude: selection.exclude.clone(),
            selection,
            links: &selection.links,
            budget: Budget::new(limits),
            open: Vec::new(),
            refused: Vec::new(),
            out: Walked::default(),
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

/// A walk under way.
struct Walk<'w> {
    root: &'w Root,
    selection: &'w Selection,
    exclude: Exclude,
    links: &'w Links,
    budget: Budget,
    /// The folders that lead here, so that no link leads back.
    open: Vec<(u64, u64)>,
    /// What may not be in a model folder: all of it is told at once.
    refused: Vec<ArtifactError>,
    out: Walked,
}

impl Walk<'_> {
    /// Walks the folder `at` (none: the root), which really lies at `real` if a link led to it. The depth is bounded by
    /// that of a [`FilePath`].
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

    /// Reads the file of patterns of a folder, if it has one.
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
        // What is left out may be anything and have any name.
        if self.is_excluded(at, name, &stat) {
            return Ok(());
        }
        if is_link {
            let target = self.target(shown)?;
            self.selection.guarded.refuse_real(&target, shown)?;
            stat = statat(CWD, &target, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            real = Some(target);
            // As a folder it may be left out by a pattern that is for folders alone.
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
                false => self.out.files.push(Found { path, size: size(&stat), real }),
            }
            Ok(())
        }
    }

    /// Whether an entry is left out by a pattern, which is noted.
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

    /// Where a link leads, if it may be followed.
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

/// The kind that [`ArtifactError::NotAFile`] gives of a link.
pub(super) const LINK: &str = "symbolic link";

pub(super) fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// What tells a folder from all others.
#[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions, reason = "types vary by system")]
pub(super) fn identity(stat: &Stat) -> (u64, u64) {
    (u64::try_from(stat.st_dev).unwrap_or(0), u64::try_from(stat.st_ino).unwrap_or(0))
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
        FileType::Symlink => Some(LINK),
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
