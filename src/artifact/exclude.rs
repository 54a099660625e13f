//! What of a model folder is left out: patterns as git's ignore files have them, given by a person or standing in a
//! `.greenroomignore`.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::ArtifactError;
use super::path::FilePath;
use crate::text::{one_line, quoted};

/// The name of a file of patterns, in any folder of a model. It is left out itself.
pub const FILE: &str = ".greenroomignore";

/// The largest file of patterns that is read, in bytes.
pub const MAX_FILE: u64 = 64 * 1024;

/// More patterns than this are refused.
const MAX_PATTERNS: usize = 1000;

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// It is no pattern.
    #[error("{0} is no pattern: {1}")]
    Syntax(String, String),
    /// It is blank or a comment, so that nothing would be left out.
    #[error("{0} matches nothing: it is blank or a comment; write \\# for a name that begins with #")]
    Nothing(String),
    /// More than are taken.
    #[error("there are more than {MAX_PATTERNS} patterns")]
    TooMany,
}

/// Patterns of what is left out. The given ones come first, then those of the deepest folder.
#[derive(Debug, Clone)]
pub struct Exclude {
    given: Gitignore,
    /// With the folder that they stand in, empty for the top; deeper folders last.
    files: Vec<(String, Gitignore)>,
}

impl Default for Exclude {
    fn default() -> Self {
        Self { given: Gitignore::empty(), files: Vec::new() }
    }
}

impl Exclude {
    /// What a person names, relative to the model folder.
    pub fn new(patterns: &[String]) -> Result<Self, InvalidPattern> {
        let given = compile(patterns.iter().map(String::as_str))?;
        if let Some(blank) = patterns.iter().find(|p| p.trim().is_empty() || p.starts_with('#')) {
            return Err(InvalidPattern::Nothing(quoted(blank)));
        }
        Ok(Self { given, files: Vec::new() })
    }

    /// Adds what the file of patterns in a folder says (none: the top).
    pub(super) fn add(&mut self, folder: Option<&FilePath>, bytes: &[u8]) -> Result<(), ArtifactError> {
        let at = folder.map_or_else(|| FILE.to_owned(), |f| format!("{f}/{FILE}"));
        let wrong = |why: String| ArtifactError::Patterns { path: at.clone(), why };
        if bytes.len() as u64 > MAX_FILE {
            return Err(wrong(format!("it has more than {MAX_FILE} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let patterns = compile(text.lines()).map_err(|e| wrong(e.to_string()))?;
        let prefix = folder.map(|f| format!("{f}/")).unwrap_or_default();
        self.files.push((prefix, patterns));
        self.files.sort_by_key(|(folder, _)| folder.len());
        Ok(())
    }

    /// Whether a file or folder is left out, by its own name: its folders are not looked at.
    pub(super) fn leaves_out(&self, path: &str, is_folder: bool) -> bool {
        let below = |(folder, patterns): &(String, Gitignore)| match path.strip_prefix(folder.as_str()) {
            Some(rest) => patterns.matched(rest, is_folder).map(|_| ()),
            None => Match::None,
        };
        let mut found = self.given.matched(path, is_folder).map(|_| ());
        for patterns in self.files.iter().rev() {
            found = found.or(below(patterns));
        }
        found.is_ignore()
    }

    /// Whether a file is left out, by its own name or with one of its folders.
    pub(super) fn leaves_out_file(&self, path: &FilePath) -> bool {
        let path = path.as_str();
        let mut folders = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        folders.any(|folder| self.leaves_out(folder, true)) || self.leaves_out(path, false)
    }
}

fn compile<'p>(lines: impl Iterator<Item = &'p str>) -> Result<Gitignore, InvalidPattern> {
    let mut builder = GitignoreBuilder::new("");
    for (count, line) in lines.enumerate() {
        if count >= MAX_PATTERNS {
            return Err(InvalidPattern::TooMany);
        }
        let wrong = |e: ignore::Error| InvalidPattern::Syntax(quoted(line), one_line(&e.to_string()).into_owned());
        builder.add_line(None, line).map_err(wrong)?;
    }
    builder.build().map_err(|e| InvalidPattern::Syntax("the list".to_owned(), one_line(&e.to_string()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FilePath {
        FilePath::new(text).expect("a path")
    }

    #[test]
    fn patterns_are_those_of_git() -> Result<(), Box<dyn std::error::Error>> {
        let exclude = Exclude::new(&["*.ckpt".to_owned(), "/data".to_owned(), ".git/".to_owned(), "\\#x".to_owned()])?;
        for out in ["a.ckpt", "deep/er/a.ckpt", "data/x", "data", ".git/config", "code/.git/hooks/x", "#x"] {
            assert!(exclude.leaves_out_file(&path(out)), "{out}");
        }
        for kept in ["a.ckpt.txt", "code/data/x", ".git", ".gitignore"] {
            assert!(!exclude.leaves_out_file(&path(kept)), "{kept}");
        }
        for bad in ["", "  ", "# a comment", "{a"] {
            assert!(Exclude::new(&[bad.to_owned()]).is_err(), "{bad:?}");
        }
        Ok(())
    }

    #[test]
    fn a_deeper_file_of_patterns_counts_first_and_the_given_ones_before_all() -> Result<(), Box<dyn std::error::Error>>
    {
        let mut exclude = Exclude::new(&["!keep.me".to_owned()])?;
        exclude.add(None, b"# comment\n*.tmp\nkeep.me\n/only-top\n")?;
        exclude.add(Some(&path("code")), b"!needed.tmp\nown/\n")?;
        for out in ["a.tmp", "code/a.tmp", "only-top", "code/own/x"] {
            assert!(exclude.leaves_out_file(&path(out)), "{out}");
        }
        for kept in ["code/needed.tmp", "keep.me", "code/only-top", "own/x"] {
            assert!(!exclude.leaves_out_file(&path(kept)), "{kept}");
        }
        assert!(matches!(exclude.add(None, b"\xff"), Err(ArtifactError::Patterns { .. })));
        assert!(matches!(exclude.add(None, "x\n".repeat(2000).as_bytes()), Err(ArtifactError::Patterns { .. })));
        Ok(())
    }
}
