//! Git's description of a push: one line for each reference, `<old> <new> <name>`.

use crate::tree::Oid;

/// A reference that a push would move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The current object; `None` if the reference is to be created.
    pub old: Option<Oid>,
    /// The new object; `None` if the reference is to be deleted. Git asks hooks about the deletion of a reference that does
    /// not exist, too: then both are `None`.
    pub new: Option<Oid>,
    /// The full name: `refs/heads/main`.
    pub name: String,
}

/// The error for a line that git would not write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("git's list of references is malformed: {0}")]
pub struct BadLine(pub &'static str);

/// The longest line that is read, in bytes.
const MAX_LINE: usize = 4096;

impl Update {
    /// Parses `<old> <new> <name>`. An id of zeros means "no object".
    ///
    /// # Errors
    /// [`BadLine`] if the line is too long or malformed.
    pub fn parse(line: &[u8]) -> Result<Self, BadLine> {
        if line.len() > MAX_LINE {
            return Err(BadLine("a line is too long"));
        }
        let text = std::str::from_utf8(line).map_err(|_| BadLine("a name is not UTF-8"))?;
        let mut parts = text.splitn(3, ' ');
        let (Some(old), Some(new), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadLine("a line has fewer than three parts"));
        };
        Self::of(old, new, name)
    }

    /// Parses the three parts, which git passes to an `update` hook as arguments.
    ///
    /// # Errors
    /// [`BadLine`] if an id or the name is malformed.
    pub fn of(old: &str, new: &str, name: &str) -> Result<Self, BadLine> {
        let (old, new) = (id(old)?, id(new)?);
        if !name.starts_with("refs/") || name.chars().any(|c| c.is_control() || c == ' ') {
            return Err(BadLine("a name is not the name of a reference"));
        }
        Ok(Self { old, new, name: name.to_owned() })
    }
}

fn id(hex: &str) -> Result<Option<Oid>, BadLine> {
    if !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(BadLine("an id is not hexadecimal"));
    }
    let oid = Oid::from_hex(hex).ok_or(BadLine("an id has the wrong length"))?;
    Ok(Some(oid).filter(|o| o.as_bytes().iter().any(|b| *b != 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef01234567";
    const ZERO: &str = "0000000000000000000000000000000000000000";

    #[test]
    fn a_line_has_two_ids_and_a_name() {
        let update = Update::parse(format!("{ZERO} {A} refs/heads/main").as_bytes());
        assert_eq!(update, Ok(Update { old: None, new: Oid::from_hex(A), name: "refs/heads/main".to_owned() }));
    }

    #[test]
    fn git_also_asks_about_the_deletion_of_a_reference_that_does_not_exist() {
        let update = Update::parse(format!("{ZERO} {ZERO} refs/heads/gone").as_bytes());
        assert_eq!(update, Ok(Update { old: None, new: None, name: "refs/heads/gone".to_owned() }));
    }

    #[test]
    fn what_git_would_not_write_is_no_line() {
        for bad in [
            String::new(),
            format!("{A} {A}"),
            format!("{A} {} refs/heads/x", A.to_uppercase()),
            format!("{A} {} refs/heads/x", A.replace('a', "+")),
            format!("{A} {A} HEAD"),
            format!("{A} {A} refs/heads/x\u{7}"),
            format!("{A} {A} refs/heads/x y"),
            format!("{A} {A} refs/heads/{}", "x".repeat(5000)),
        ] {
            assert!(Update::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
