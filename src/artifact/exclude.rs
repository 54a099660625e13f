//! Patterns that exclude files of a model folder, in the syntax of git's ignore files: from the command line or from a
//! `.greenroomignore`.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::error::ArtifactError;
use super::path::FilePath;
use crate::text::{one_line, quoted};

/// The name of a file of patterns, in any folder of a model. The file itself is excluded too.
pub const FILE: &str = ".greenroomignore";

/// The largest file of patterns that is read, in bytes.
pub const MAX_FILE: u64 = 64 * 1024;

/// The largest number of patterns in one list.
const MAX_PATTERNS: usize = 1000;

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// The pattern has a syntax error: the pattern, and the error.
    #[error("{0} is not a valid pattern: {1}")]
    Syntax(String, String),
    /// The pattern is blank or a comment, so it would exclude nothing.
    #[error("{0} matches nothing: it is blank or a comment; write \\# for a name that begins with #")]
    Nothing(String),
    /// There are more patterns than the limit.
    #[error("there are more than {MAX_PATTERNS} patterns")]
    TooMany,
}

/// Patterns of excluded files. Patterns from the command line take precedence, then those of the deepest folder.
#[derive(Debug, Clone)]
pub struct Exclude {
    given: Gitignore,
    /// Each file's patterns with its folder (empty for the top folder); deeper folders last.
    files: Vec<(String, Gitignore)>,
}

impl Default for Exclude {
    fn default() -> Self {
        Self { given: Gitignore::empty(), files: Vec::new() }
    }
}

impl Exclude {
    /// Compiles the patterns that a person gives, relative to the model folder.
    ///
    /// # Errors
    /// [`InvalidPattern`] if a pattern is invalid, blank or a comment, or if there are too many.
    pub fn new(patterns: &[String]) -> Result<Self, InvalidPattern> {
        let given = compile(patterns.iter().map(String::as_str))?;
        if let Some(blank) = patterns.iter().find(|p| p.trim().is_empty() || p.starts_with('#')) {
            return Err(InvalidPattern::Nothing(quoted(blank)));
        }
        Ok(Self { given, files: Vec::new() })
    }

    /// Adds the patterns of a folder's pattern file. `folder` is `None` for the top folder.
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

    /// Whether a file or folder is excluded by its own path. Patterns that match its parent folders are not considered.
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

    /// Whether a file is excluded, by its own path or because one of its folders is.
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
