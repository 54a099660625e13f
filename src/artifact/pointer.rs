//! Git LFS pointers: small text that the tree holds instead of a file in the content store.
//!
//! Source: <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.

use std::fmt;

use crate::name::Digest;

/// A blob of this many bytes or more is never a pointer (limit of the specification).
pub const MAX_POINTER: usize = 1024;

const VERSION: &str = "version https://git-lfs.github.com/spec/v1";

/// A Git LFS pointer. Its `Display` form is the canonical text of the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// The size of the file in bytes, never 0: an empty file has no pointer.
    pub size: u64,
}

/// The error for a text that git-lfs may take for a pointer and that is not in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it looks like a Git LFS pointer, but is not in canonical form (three lines: version, oid sha256, size; no \
     extensions); check it with `git lfs pointer --check --strict`"
)]
pub struct InvalidPointer;

impl Pointer {
    /// Parses a blob. Returns `None` if the blob is an ordinary file.
    ///
    /// # Errors
    /// [`InvalidPointer`] if it resembles a pointer and is not in canonical form.
    pub fn parse(blob: &[u8]) -> Result<Option<Self>, InvalidPointer> {
        if blob.len() >= MAX_POINTER || !resembles(blob) {
            return Ok(None);
        }
        let text = std::str::from_utf8(blob).map_err(|_| InvalidPointer)?;
        let pointer = Self::read(text).ok_or(InvalidPointer)?;
        // Leading zeros, signs and the like are not canonical.
        if pointer.size > 0 && pointer.to_string() == text { Ok(Some(pointer)) } else { Err(InvalidPointer) }
    }

    /// Parses a pointer in any form that git-lfs writes or wrote, as in a clone without its large files: with other
    /// line ends, with unknown keys. Returns `None` if the blob is an ordinary file. The size is 0 if extensions
    /// changed the file.
    pub fn parse_any(blob: &[u8]) -> Option<Self> {
        if blob.len() >= MAX_POINTER || !resembles(blob) {
            return None;
        }
        let text = std::str::from_utf8(blob).ok()?;
        let (mut oid, mut size, mut is_extended) = (None, None, false);
        for line in text.lines() {
            let (key, value) = line.trim_end().split_once(' ')?;
            match key {
                "oid" => oid = Some(Digest::new(value.strip_prefix("sha256:")?).ok()?),
                "size" => size = Some(value.parse().ok()?),
                // An extension changes the file, so the size of the pointer is not the file's size.
                _ => is_extended |= key.starts_with("ext-"),
            }
        }
        Some(Self { sha256: oid?, size: if is_extended { 0 } else { size? } })
    }

    fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(VERSION)?.strip_prefix("\noid sha256:")?;
        let (oid, size) = rest.strip_suffix('\n')?.split_once("\nsize ")?;
        Some(Self { sha256: Digest::new(oid).ok()?, size: size.parse().ok()? })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}\noid sha256:{}\nsize {}\n", self.sha256, self.size)
    }
}

/// Whether a blob starts like a pointer of any version. git-lfs skips white space before it.
fn resembles(blob: &[u8]) -> bool {
    blob.trim_ascii_start().starts_with(b"version ") && mentions_lfs(blob)
}

/// Whether git-lfs would look at a blob more closely: it searches the start of each blob for these words, which include
/// the oldest forms of a pointer. A file with these words is never committed to the tree.
pub fn mentions_lfs(blob: &[u8]) -> bool {
    let head = blob.get(..MAX_POINTER).unwrap_or(blob);
    [&b"git-lfs"[..], b"git-media", b"hawser"].iter().any(|word| head.windows(word.len()).any(|w| w == *word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    fn text(oid: &str, size: &str) -> String {
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")
    }

    #[test]
    fn a_pointer_reads_back_as_written() {
        let given = text(OID, "12345");
        let parsed = Pointer::parse(given.as_bytes());
        assert_eq!(parsed.clone().map(|p| p.map(|p| p.to_string())), Ok(Some(given)));
        assert_eq!(parsed.map(|p| p.map(|p| (p.sha256.to_string(), p.size))), Ok(Some((OID.to_owned(), 12345))));
    }

    #[test]
    fn what_is_almost_a_pointer_is_refused() {
        let good = text(OID, "12");
        for bad in [
            good.trim_end().to_owned(),
            format!("\n{good}"),
            good.replace('\n', "\r\n"),
            format!("{good}x-path a\n"),
            good.replace("spec/v1\n", "spec/v1\next-0-foo sha256:0\n"),
            good.replace("https://git-lfs.github.com", "http://git-media.io"),
            text(OID, "012"),
            text(OID, "+12"),
            text(OID, "-1"),
            text(OID, "0"),
            text(OID, "99999999999999999999"),
            text(&OID.to_uppercase(), "12"),
            text("abc", "12"),
        ] {
            assert_eq!(Pointer::parse(bad.as_bytes()), Err(InvalidPointer), "{bad:?}");
        }
    }

    #[test]
    fn what_stands_for_a_file_is_known_in_any_form() {
        let good = text(OID, "12");
        for (form, size) in [
            (good.clone(), 12),
            (good.replace('\n', "\r\n"), 12),
            (good.trim_end().to_owned(), 12),
            (good.replace("spec/v1\n", &format!("spec/v1\next-0-foo sha256:{OID}\n")), 0),
        ] {
            let found = Pointer::parse_any(form.as_bytes());
            assert_eq!(found.map(|p| (p.sha256.to_string(), p.size)), Some((OID.to_owned(), size)), "{form}");
        }
        for other in ["", "version 2", "version https://git-lfs.github.com/spec/v1\n", "see git-lfs"] {
            assert_eq!(Pointer::parse_any(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn other_files_are_themselves() {
        let long = format!("{}{}", text(OID, "12"), "#".repeat(MAX_POINTER));
        for other in ["", "version 2 of the model", "see git-lfs", "\0\u{1}", &long] {
            assert_eq!(Pointer::parse(other.as_bytes()), Ok(None), "{other:?}");
        }
        assert!(mentions_lfs(b"# git-media\n") && !mentions_lfs(b"git is used"));
    }

    #[test]
    fn git_lfs_agrees_where_it_is_installed() -> Result<(), std::io::Error> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("pointer");
        let check = |content: &str| -> Result<Option<bool>, std::io::Error> {
            std::fs::write(&file, content)?;
            let mut git = std::process::Command::new("git");
            git.args(["lfs", "pointer", "--check", "--strict", "--file"]).arg(&file).current_dir(dir.path());
            let out = git.output()?;
            Ok(if String::from_utf8_lossy(&out.stderr).contains("not a git command") {
                None
            } else {
                Some(out.status.success())
            })
        };
        let good = text(OID, "12345");
        assert_ne!(check(&good)?, Some(false));
        assert_ne!(check(good.trim_end())?, Some(true));
        Ok(())
    }
}
