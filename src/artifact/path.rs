//! Paths of files in a model folder: which names may be registered, written and served (SEC-32).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use unicode_normalization::is_nfc;

use crate::format::path::is_reserved;
use crate::name::fold;
use crate::text::{is_plain, quoted};

/// The longest path, in bytes.
pub const MAX_PATH: usize = 1024;
/// The deepest path, in segments.
pub const MAX_DEPTH: usize = 32;

/// Where a file lies in a model folder: segments joined by `/`, relative, without `.` and `..`, in UTF-8 and NFC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(String);

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// Nothing, or nothing between two slashes, or a path from the root.
    #[error("the path {0} has an empty part; write it relative to the model folder, with single slashes")]
    Empty(String),
    /// `.` or `..`.
    #[error("the path {0} has a part '.' or '..', which would leave or repeat a folder")]
    Dots(String),
    /// Too many bytes or segments.
    #[error("the path {0} is too long: at most 255 bytes a part, {MAX_PATH} bytes and {MAX_DEPTH} parts in all")]
    TooLong(String),
    /// A character that is not allowed.
    #[error(
        "the path {path} has the character U+{:04X}; control and invisible characters and any of \
         \\ : % < > \" | ? * are not allowed in the names of model files: rename it", *.c as u32
    )]
    Character {
        /// The path, quoted.
        path: String,
        /// The character.
        c: char,
    },
    /// A name that is not UTF-8.
    #[error("the name {0} is not UTF-8: rename it")]
    Encoding(String),
    /// A name that is not in Unicode's composed normal form.
    #[error("the path {0} is not in Unicode's composed form (NFC), so other systems would see another name: rename it")]
    Normal(String),
    /// A name that Windows cannot hold.
    #[error(
        "the path {0} has a part that ends in a dot or space, or that Windows keeps for a device (CON, NUL, COM1 …): \
         rename it"
    )]
    Windows(String),
    /// A name by which git is steered.
    #[error(
        "the path {0} has a name that steers git (.git, .gitattributes, .gitignore, .gitmodules, .lfsconfig); a model folder may not hold \
         one: remove it, or register the folder of the model alone"
    )]
    Git(String),
}

impl FilePath {
    /// Takes a path if it follows the rules.
    pub fn new(path: &str) -> Result<Self, InvalidPath> {
        if path.len() > MAX_PATH || path.split('/').count() > MAX_DEPTH {
            return Err(InvalidPath::TooLong(quoted(path)));
        }
        path.split('/').try_for_each(|segment| check_segment(path, segment))?;
        Ok(Self(path.to_owned()))
    }

    /// The path of `name` in the folder `self`.
    pub fn join(&self, name: &str) -> Result<Self, InvalidPath> {
        Self::new(&format!("{}/{name}", self.0))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its parts, the file's own name last.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_segment(path: &str, segment: &str) -> Result<(), InvalidPath> {
    match segment {
        "" => return Err(InvalidPath::Empty(quoted(path))),
        "." | ".." => return Err(InvalidPath::Dots(quoted(path))),
        _ => {}
    }
    if segment.len() > 255 {
        return Err(InvalidPath::TooLong(quoted(path)));
    }
    if let Some(c) =
        segment.chars().find(|&c| !is_plain(c) || matches!(c, '\\' | ':' | '%' | '<' | '>' | '"' | '|' | '?' | '*'))
    {
        return Err(InvalidPath::Character { path: quoted(path), c });
    }
    if segment.ends_with(['.', ' ']) || is_reserved(segment) {
        return Err(InvalidPath::Windows(quoted(path)));
    }
    if !is_nfc(segment) {
        return Err(InvalidPath::Normal(quoted(path)));
    }
    if steers_git(segment) { Err(InvalidPath::Git(quoted(path))) } else { Ok(()) }
}

/// Whether some file system reads the name as one that git obeys: Windows drops trailing dots and spaces and knows
/// short names, macOS and Windows ignore case.
fn steers_git(segment: &str) -> bool {
    let name = fold(segment.trim_end_matches(['.', ' ']));
    matches!(
        name.as_str(),
        ".git"
            | "git~1"
            | ".gitattributes"
            | "gitatt~1"
            | ".gitignore"
            | "gitign~1"
            | ".gitmodules"
            | "gitmod~1"
            | ".lfsconfig"
            | "lfscon~1"
    )
}

/// Finds two files or folders whose paths differ only by case or Unicode normalisation: they could not both be
/// checked out on macOS or Windows.
pub fn clash<'p>(paths: impl IntoIterator<Item = &'p FilePath>) -> Option<(String, String)> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for path in paths {
        let ends = path.0.match_indices('/').map(|(at, _)| at).chain([path.0.len()]);
        for prefix in ends.filter_map(|end| path.0.get(..end)) {
            match seen.insert(fold(prefix), prefix) {
                Some(other) if other != prefix => return Some((other.to_owned(), prefix.to_owned())),
                Some(_) | None => {}
            }
        }
    }
    None
}

/// Finds a path that is a file and, by another path, a folder: both cannot be.
pub fn file_and_folder<'p>(paths: impl IntoIterator<Item = &'p FilePath>) -> Option<&'p str> {
    let all: BTreeSet<&str> = paths.into_iter().map(FilePath::as_str).collect();
    all.iter().find_map(|path| {
        let mut folders = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        folders.find_map(|folder| all.get(folder).copied())
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_real_model_folders_pass() {
        for good in [
            "MLmodel",
            "code/my pkg/__init__.py",
            "data/part-00000 (1).snappy.parquet",
            "a@b+c=d,e;f",
            "größe/日本語.txt",
            ".hidden",
            "checkpoint-10/pytorch_model-00001-of-00002.bin",
            "year=2026/x~",
            "#a'b [1]!.txt",
        ] {
            assert_eq!(FilePath::new(good).map(|p| p.to_string()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        let long = "x".repeat(256);
        let deep = vec!["d"; MAX_DEPTH + 1].join("/");
        for bad in [
            "",
            "/etc/passwd",
            "a//b",
            "a/",
            "../x",
            "a/../b",
            "./a",
            "a\\b",
            "C:x",
            "a%2e",
            "nul\0",
            "new\nline",
            "\u{202e}gpj",
            "zero\u{200b}width",
            "cafe\u{301}",
            ".git/config",
            "a/.GIT",
            ".git.",
            ".git ",
            "GIT~1",
            ".gitattributes",
            "x/.GitModules",
            ".g\u{200c}it",
            ".lfsconfig",
            "a/.gitignore",
            "what?",
            "a*b",
            "\"quoted\"",
            "a<b",
            "end.",
            "end /x",
            "nul.txt",
            "COM1",
            &long,
            &deep,
        ] {
            assert!(FilePath::new(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_path_leaves_its_folder(path in "[a./\\\\: \u{301}~G-]{0,12}|\\PC{0,12}") {
            if let Ok(path) = FilePath::new(&path) {
                let parts: Vec<_> = Path::new(path.as_str()).components().collect();
                prop_assert_eq!(parts.len(), path.segments().count());
                prop_assert!(parts.iter().all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }

    #[test]
    fn paths_that_some_systems_confuse_clash() -> Result<(), InvalidPath> {
        let all = |paths: &[&str]| paths.iter().map(|p| FilePath::new(p)).collect::<Result<Vec<_>, _>>();
        assert_eq!(clash(&all(&["a/b", "a/c", "d"])?), None);
        assert_eq!(clash(&all(&["a/b", "A/c"])?), Some(("a".to_owned(), "A".to_owned())));
        assert!(clash(&all(&["Model.pkl", "model.pkl"])?).is_some());
        assert_eq!(file_and_folder(&all(&["a/b", "a.b", "a/c/d"])?), None);
        assert_eq!(file_and_folder(&all(&["a/b/c", "a.b", "a/b"])?), Some("a/b"));
        Ok(())
    }
}
