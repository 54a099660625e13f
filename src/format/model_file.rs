//! Names of model files in the git tree. A name that controls git, or that some file system cannot store, is
//! percent-encoded there; every reader gets the true name.
//!
//! ```text
//! true name          name in the tree
//! MLmodel            MLmodel
//! .gitattributes     %2Egitattributes
//! what?.txt          what%3F.txt
//! 100%.txt           100%25.txt
//! ```
//!
//! The encoding is unique: each true name has exactly one name in the tree. A name in the tree is refused if it is not
//! the encoding of its own decoding. Ordinary names are stored unchanged.

use std::fmt::Write as _;

use unicode_normalization::is_nfc;

use super::path::{MAX_FILE_NAME, is_reserved, percent_decoded};
use crate::name::fold;
use crate::text::is_plain;

/// The name in the tree of the empty file that keeps an empty folder. It is the encoding of no true name.
pub const EMPTY_FOLDER: &str = "%2F";

/// Why a model file cannot have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidFileName {
    /// The empty name.
    Empty,
    /// `.` or `..`.
    Dots,
    /// Longer than file systems can store, as it is or encoded.
    TooLong,
    /// A control or invisible character, `/` or `\`.
    Character(char),
    /// A drive letter of Windows: a program there would write outside of the folder.
    Drive,
    /// A program that decodes URLs once too often would read the name as a path elsewhere.
    Climbs,
}

/// Returns the name in the tree of a file or folder of a model.
///
/// # Errors
/// The reason why a model file cannot have the name.
pub fn encode(name: &str) -> Result<String, InvalidFileName> {
    check(name)?;
    if !is_unusual(name) {
        return Ok(name.to_owned());
    }
    let mut out = escaped(name, !is_nfc(name));
    if !is_nfc(&out) {
        // A combining mark would join the last digit of the escape before it.
        out = escaped(name, true);
    }
    if out.len() > MAX_FILE_NAME { Err(InvalidFileName::TooLong) } else { Ok(out) }
}

/// Returns the name with unusual characters as escapes. `beyond_ascii`: escape every character outside of ASCII too.
fn escaped(name: &str, beyond_ascii: bool) -> String {
    let last = name.len().saturating_sub(1);
    let at_start = steers_git(name) || is_reserved(name);
    let mut out = String::with_capacity(name.len() + 16);
    for (at, c) in name.char_indices() {
        let is_end = at == last && matches!(c, '.' | ' ');
        let unusual = is_special(c) || is_end || (at == 0 && at_start) || (beyond_ascii && !c.is_ascii());
        if !unusual {
            out.push(c);
            continue;
        }
        let mut bytes = [0; 4];
        for byte in c.encode_utf8(&mut bytes).bytes() {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Returns the true name of a name in the tree; `None` unless that name is the encoding of the true name.
pub fn decode(stored: &str) -> Option<String> {
    percent_decoded(stored).filter(|name| encode(name).as_deref() == Ok(stored))
}

/// Returns the path in the tree of a path in the model folder.
///
/// # Errors
/// The reason why a part of the path cannot be the name of a model file.
pub fn encode_path(path: &str) -> Result<String, InvalidFileName> {
    let parts: Vec<String> = path.split('/').map(encode).collect::<Result<_, _>>()?;
    Ok(parts.join("/"))
}

fn check(name: &str) -> Result<(), InvalidFileName> {
    match name {
        "" => return Err(InvalidFileName::Empty),
        "." | ".." => return Err(InvalidFileName::Dots),
        _ => {}
    }
    if name.len() > MAX_FILE_NAME {
        return Err(InvalidFileName::TooLong);
    }
    if let Some(c) = name.chars().find(|&c| !is_plain(c) || matches!(c, '/' | '\\' | '\u{fffd}')) {
        return Err(InvalidFileName::Character(c));
    }
    match name.as_bytes() {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => Err(InvalidFileName::Drive),
        _ if climbs(name) => Err(InvalidFileName::Climbs),
        _ => Ok(()),
    }
}

/// Returns whether a name, percent-decoded any number of times, is `.` or `..`, or contains a slash, a backslash or NUL.
fn climbs(name: &str) -> bool {
    let mut bytes = name.as_bytes().to_vec();
    while bytes.contains(&b'%') {
        let decoded = unescaped(&bytes);
        if decoded == b"." || decoded == b".." || decoded.iter().any(|b| matches!(b, b'/' | b'\\' | 0)) {
            return true;
        }
        // Each decoded escape makes the name shorter, so the loop ends.
        if decoded.len() == bytes.len() {
            return false;
        }
        bytes = decoded;
    }
    false
}

/// Decodes each escape once. A `%` without two hexadecimal digits stays.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail
            .get(..2)
            .and_then(|d| std::str::from_utf8(d).ok())
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// Returns whether a name must be encoded in the tree.
fn is_unusual(name: &str) -> bool {
    name.contains(is_special) || name.ends_with(['.', ' ']) || is_reserved(name) || steers_git(name) || !is_nfc(name)
}

/// Returns whether Windows forbids a character in names, or the encoding uses it.
const fn is_special(c: char) -> bool {
    matches!(c, '%' | ':' | '<' | '>' | '"' | '|' | '?' | '*')
}

/// Returns whether some file system reads the name as a file that git obeys. Windows drops trailing dots and spaces and
/// knows short names; macOS and Windows ignore case.
pub fn steers_git(name: &str) -> bool {
    let name = fold(name.trim_end_matches(['.', ' ']));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_names_stand_as_they_are() {
        for name in ["MLmodel", ".hidden", "#a'b [1]!.txt", "my pkg", "größe", "日本語.txt", "x~", "year=2026", "a@b"]
        {
            assert_eq!(encode(name).as_deref(), Ok(name));
            assert_eq!(decode(name).as_deref(), Some(name));
        }
    }

    #[test]
    fn unusual_names_are_encoded_and_found_again() {
        for (name, stored) in [
            (".gitignore", "%2Egitignore"),
            (".GitAttributes", "%2EGitAttributes"),
            (".git", "%2Egit"),
            ("git~1", "%67it~1"),
            (".git.", "%2Egit%2E"),
            (".lfsconfig", "%2Elfsconfig"),
            ("100%.txt", "100%25.txt"),
            ("%2Egit", "%252Egit"),
            ("what?", "what%3F"),
            ("12:30:00", "12%3A30%3A00"),
            ("a\"b", "a%22b"),
            ("end.", "end%2E"),
            ("end ", "end%20"),
            ("nul.txt", "%6Eul.txt"),
            ("cafe\u{301}.txt", "cafe%CC%81.txt"),
        ] {
            assert_eq!(encode(name).as_deref(), Ok(stored));
            assert_eq!(decode(stored).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_name_in_the_tree_has_one_form() {
        for bad in
            ["%2egit", "%41", "a%", "a%2", "%zz", "%2F", "%2E", "%2E%2E", "%00", ".git", ".GITIGNORE", "a:b", "end."]
        {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_mark_does_not_join_an_escape() {
        assert_eq!(encode("*\u{301}").as_deref(), Ok("%2A%CC%81"));
        assert_eq!(decode("%2A%CC%81").as_deref(), Some("*\u{301}"));
    }

    #[test]
    fn what_no_reader_should_meet_is_refused() {
        let long = "x".repeat(256);
        let grows = "?".repeat(100);
        for (bad, why) in [
            ("", InvalidFileName::Empty),
            ("..", InvalidFileName::Dots),
            ("a/b", InvalidFileName::Character('/')),
            ("a\\b", InvalidFileName::Character('\\')),
            ("a\nb", InvalidFileName::Character('\n')),
            ("\u{202e}gpj", InvalidFileName::Character('\u{202e}')),
            ("C:x", InvalidFileName::Drive),
            ("%2e%2E", InvalidFileName::Climbs),
            ("%252e.", InvalidFileName::Climbs),
            ("a%2Fb", InvalidFileName::Climbs),
            ("a%25255cb", InvalidFileName::Climbs),
            (&long, InvalidFileName::TooLong),
            (&grows, InvalidFileName::TooLong),
        ] {
            assert_eq!(encode(bad), Err(why), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn encoding_is_reversible_and_steers_nothing(name in "[.gitGIT~1a: %?*\"\u{301}é-]{0,14}|\\PC{0,14}") {
            if let Ok(stored) = encode(&name) {
                prop_assert_eq!(decode(&stored), Some(name));
                prop_assert!(!steers_git(&stored) && !is_reserved(&stored) && is_nfc(&stored));
                prop_assert!(!stored.contains([':', '?', '*', '"', '<', '>', '|']) && !stored.ends_with(['.', ' ']));
                prop_assert_eq!(encode(&stored).is_ok_and(|twice| twice == stored), !stored.contains('%'));
            }
        }
    }
}
