//! Paths of files in a model folder: which names may be registered, written and served.
//!
//! Names that have a meaning for git (such as `.gitattributes`) are allowed: they are written only where a person
//! fetches the folder, never into the registry's tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::format::model_file::{self, InvalidFileName};
use crate::name::fold;
use crate::text::quoted;

/// The longest path, in bytes.
pub const MAX_PATH: usize = 1024;
/// The largest depth of a path, in segments.
pub const MAX_DEPTH: usize = 32;

/// Schemes after which Python writes two slashes when it puts an address together again.
const HIERARCHICAL: [&str; 24] = [
    "ftp", "http", "gopher", "nntp", "telnet", "imap", "wais", "file", "mms", "https", "shttp", "snews", "prospero",
    "rtsp", "rtspu", "rsync", "svn", "svn+ssh", "sftp", "nfs", "git", "git+ssh", "ws", "wss",
];

/// Where a file lies in a model folder: its true path, segments joined by `/`, relative, without `.` and `..`, in UTF-8.
///
/// In the registry's tree the file may have another name, see [`model_file`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(String);

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// The path is empty, absolute, or has an empty part.
    #[error("the path {0} has an empty part; write it relative to the model folder, with single slashes")]
    Empty(String),
    /// The path has a part `.` or `..`.
    #[error("the path {0} has a part '.' or '..', which would leave or repeat a folder")]
    Dots(String),
    /// The path has too many bytes or segments.
    #[error(
        "the path {0} is too long: at most 255 bytes a part (three for each of % : < > \" | ? *), {MAX_PATH} bytes and \
         {MAX_DEPTH} parts in all; rename it, or leave it out with `--exclude PATTERN`"
    )]
    TooLong(String),
    /// The path has a character that is not allowed.
    #[error(
        "the path {path} has the character U+{:04X}; control and invisible characters and \\ are not allowed in the \
         names of model files: rename it, or leave it out with `--exclude PATTERN`", *.c as u32
    )]
    Character {
        /// The path, quoted.
        path: String,
        /// The character that is not allowed.
        c: char,
    },
    /// A part is a drive name on Windows.
    #[error(
        "the path {0} has a part that Windows reads as a drive, such as C:, so that a program there would write to \
         another location: rename it, or leave it out with `--exclude PATTERN`"
    )]
    Drive(String),
    /// A part becomes `..` or several parts when it is percent-decoded.
    #[error(
        "the path {0} has a part that becomes '..' or several parts when it is decoded as a URL: rename it, or \
         leave it out with `--exclude PATTERN`"
    )]
    Climbs(String),
    /// The name is not UTF-8.
    #[error("the name {0} is not UTF-8: rename it, or leave it out with `--exclude PATTERN`")]
    Encoding(String),
    /// A name in the registry's tree is not the encoded form of any name.
    #[error(
        "{0} in the registry's tree is not the encoded name of a model's file: names that have a meaning for git, and \
         names that some file systems cannot hold, are percent-encoded there; `greenroom register` writes them in this \
         form"
    )]
    Stored(String),
}

impl FilePath {
    /// Checks a path in a model folder.
    ///
    /// # Errors
    /// [`InvalidPath`] if the path breaks a rule.
    pub fn new(path: &str) -> Result<Self, InvalidPath> {
        if path.len() > MAX_PATH || path.split('/').count() > MAX_DEPTH {
            return Err(InvalidPath::TooLong(quoted(path)));
        }
        path.split('/')
            .try_for_each(|segment| model_file::encode(segment).map(drop))
            .map_err(|why| refused(path, why))?;
        Ok(Self(path.to_owned()))
    }

    /// Returns the path of `name` in the folder `self`.
    ///
    /// # Errors
    /// [`InvalidPath`] if the result breaks a rule.
    pub fn join(&self, name: &str) -> Result<Self, InvalidPath> {
        Self::new(&format!("{}/{name}", self.0))
    }

    /// Returns the path of an entry of the registry's tree: `stored` is its encoded name, `at` its folder (`None`: the
    /// top).
    ///
    /// # Errors
    /// [`InvalidPath`] if the name is not an encoded name, or the path breaks a rule.
    pub fn from_stored(at: Option<&Self>, stored: &str) -> Result<Self, InvalidPath> {
        let name = model_file::decode(stored).ok_or_else(|| match model_file::encode(stored) {
            Ok(_) => InvalidPath::Stored(quoted(stored)),
            Err(why) => refused(stored, why),
        })?;
        at.map_or_else(|| Self::new(&name), |folder| folder.join(&name))
    }

    /// Returns the path in the registry's tree.
    pub fn stored(&self) -> String {
        // Each segment was encoded successfully when the path was made.
        model_file::encode_path(&self.0).unwrap_or_else(|_| self.0.clone())
    }

    /// Whether the encoded path equals the path, so that it needs no encoding anywhere.
    pub fn is_plain(&self) -> bool {
        self.stored() == self.0
    }

    /// Whether MLflow's client can load the file by its name from a plain server. It decodes names until nothing changes and
    /// takes them for addresses: it loses a query, a fragment, empty parameters, spaces at the front and the case of a scheme.
    pub fn is_loadable_by_mlflow(&self) -> bool {
        self.segments().all(|name| {
            let is_escape = |(at, _): (usize, &str)| {
                let digits = name.as_bytes().get(at + 1..at + 3);
                digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            };
            let scheme = crate::text::uri_scheme(name);
            let keeps_scheme = |s: &str| !HIERARCHICAL.contains(&s) && !s.contains(|c: char| c.is_ascii_uppercase());
            !name.contains(['?', '#'])
                && !name.match_indices('%').any(is_escape)
                && !name.starts_with(' ')
                && name.find(';') != Some(name.len() - 1)
                && scheme.is_none_or(keeps_scheme)
        })
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the segments; the last one is the file name.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn refused(path: &str, why: InvalidFileName) -> InvalidPath {
    let path = quoted(path);
    match why {
        InvalidFileName::Empty => InvalidPath::Empty(path),
        InvalidFileName::Dots => InvalidPath::Dots(path),
        InvalidFileName::TooLong => InvalidPath::TooLong(path),
        InvalidFileName::Character(c) => InvalidPath::Character { path, c },
        InvalidFileName::Drive => InvalidPath::Drive(path),
        InvalidFileName::Climbs => InvalidPath::Climbs(path),
    }
}

/// Finds two files or folders whose paths differ only by case or Unicode normalisation. They could not both be checked
/// out on macOS or Windows.
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

/// Finds a path that is both a file and the folder of another path, which is impossible.
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
    fn names_that_mlflow_reads_as_addresses_are_known() {
        // The same names are sent through the real client in tests/it/server/artifacts.rs.
        for (names, wanted) in [
            (include_str!("../../tests/data/names/loadable.txt"), true),
            (include_str!("../../tests/data/names/unloadable.txt"), false),
        ] {
            for name in names.lines() {
                let path = FilePath::new(name).unwrap();
                assert_eq!(path.is_loadable_by_mlflow(), wanted, "{name}");
                let below = FilePath::new(&format!("{name}/x")).unwrap();
                assert_eq!(below.is_loadable_by_mlflow(), wanted, "{name}/x");
            }
        }
    }

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
            "code/pkg/.gitignore",
            ".git/config",
            "GIT~1",
            "x/.GitModules",
            ".lfsconfig",
            "cafe\u{301}",
            "a%2e",
            "what?",
            "a*b",
            "\"quoted\"",
            "end.",
            "end /x",
            "nul.txt",
            "COM1",
            &"x".repeat(255),
        ] {
            assert_eq!(FilePath::new(good).map(|p| p.to_string()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        let long = "x".repeat(256);
        let grows = "?".repeat(86);
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
            "nul\0",
            "new\nline",
            "\u{202e}gpj",
            "zero\u{200b}width",
            ".g\u{200c}it",
            &grows,
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
    fn the_tree_has_one_name_for_each_path() -> Result<(), InvalidPath> {
        let path = FilePath::new("code/.gitignore")?;
        assert_eq!(path.stored(), "code/%2Egitignore");
        let folder = FilePath::from_stored(None, "code")?;
        assert_eq!(FilePath::from_stored(Some(&folder), "%2Egitignore")?, path);
        for bad in [".gitignore", "%2egitignore", "a:b", "%2F", "%2E%2E", "a%2Fb"] {
            assert!(FilePath::from_stored(None, bad).is_err(), "{bad}");
        }
        assert!(folder.is_plain() && !path.is_plain());
        Ok(())
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
