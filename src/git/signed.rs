//! Signatures in commits and tags, and the signed bytes: the same bytes that git takes.

use gix::objs::Kind as ObjectKind;

use super::{GitError, Repo};
use crate::tree::{Oid, TreeError};

/// The first lines of signatures that git looks for at the end of a tag.
const BEGINNINGS: [&[u8]; 4] = [
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN SIGNED MESSAGE-----",
    b"-----BEGIN SSH SIGNATURE-----",
];

/// A signature and the bytes that it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The bytes that were signed.
    pub payload: Vec<u8>,
    /// The signature as armored text. Several signatures are concatenated, as in git; they prove nothing.
    pub signature: Vec<u8>,
}

impl Repo {
    /// Returns the signature of a commit or an annotated tag; `None` if it has none.
    ///
    /// # Errors
    /// [`GitError::Object`] if the object is missing, damaged, or neither a commit nor a tag.
    pub fn signature_of(&self, id: &Oid) -> Result<Option<Signed>, GitError> {
        let header = self.signature_header();
        match self.any(id)? {
            (ObjectKind::Commit, bytes) => Ok(of_commit(&bytes, header)),
            (ObjectKind::Tag, bytes) => Ok(of_tag(&bytes)),
            (kind @ (ObjectKind::Tree | ObjectKind::Blob), _) => {
                let why = format!("it is a {kind}, which carries no signature");
                Err(TreeError::Damaged { id: *id, why }.into())
            }
        }
    }
}

impl Repo {
    /// Returns the header of signatures. It has another name in SHA-256 repositories, so that a commit can carry both.
    pub(super) fn signature_header(&self) -> &'static [u8] {
        match self.inner.object_hash() {
            gix::hash::Kind::Sha1 => b"gpgsig",
            _ => b"gpgsig-sha256",
        }
    }
}

/// Extracts a signature like git's `parse_buffer_signed_by_header`: all signatures are removed from the payload, and
/// those in our header are joined.
pub(super) fn of_commit(bytes: &[u8], header: &[u8]) -> Option<Signed> {
    let ours = |line: &'_ [u8]| line.strip_prefix(header).is_some_and(|l| l.starts_with(b" "));
    let signed = split(bytes, ours, |line| line.starts_with(b"gpgsig"));
    Some(signed).filter(|s| !s.signature.is_empty())
}

/// Extracts a signature like git's `parse_signature`: the payload ends at the last line that begins a signature.
fn of_tag(bytes: &[u8]) -> Option<Signed> {
    let (mut at, mut found) = (0, None);
    let mut rest = bytes;
    while let Some(line) = next_line(&mut rest) {
        if BEGINNINGS.iter().any(|b| line.starts_with(b)) {
            found = Some(at);
        }
        at += line.len();
    }
    let (payload, signature) = bytes.split_at_checked(found?)?;
    // Signatures for the other hash are in headers and are not part of the payload.
    let other = |line: &[u8]| line.starts_with(b"gpgsig ") || line.starts_with(b"gpgsig-sha256 ");
    Some(Signed { payload: split(payload, |_| false, other).payload, signature: signature.to_vec() })
}

/// Separates our signature headers from an object and drops signature headers for the other hash.
fn split(bytes: &[u8], ours: impl Fn(&[u8]) -> bool, theirs: impl Fn(&[u8]) -> bool) -> Signed {
    let (mut payload, mut signature) = (Vec::with_capacity(bytes.len()), Vec::new());
    let mut within = HeaderPart::Signed;
    let mut rest = bytes;
    while let Some(line) = next_line(&mut rest) {
        within = match within {
            HeaderPart::Ours | HeaderPart::Theirs if line.starts_with(b" ") => within,
            _ if ours(line) => HeaderPart::Ours,
            _ if theirs(line) => HeaderPart::Theirs,
            _ => HeaderPart::Signed,
        };
        match within {
            // The value after the header's name, or after the space of a continuation line.
            HeaderPart::Ours => signature.extend(line.iter().skip_while(|b| **b != b' ').skip(1)),
            HeaderPart::Theirs => {}
            HeaderPart::Signed => payload.extend_from_slice(line),
        }
        if line == b"\n" {
            // The message follows, which contains no headers.
            payload.extend_from_slice(rest);
            break;
        }
    }
    Signed { payload, signature }
}

/// The part that a line belongs to.
#[derive(Clone, Copy)]
enum HeaderPart {
    /// Our signature.
    Ours,
    /// A signature for the other hash.
    Theirs,
    /// The payload.
    Signed,
}

/// Takes the next line, with its line feed, from the front.
fn next_line<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let all = *rest;
    let end = all.iter().position(|b| *b == b'\n').map_or(all.len(), |i| i + 1);
    let (line, after) = all.split_at_checked(end).filter(|(line, _)| !line.is_empty())?;
    *rest = after;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(signed: &Signed) -> (&str, &str) {
        (std::str::from_utf8(&signed.payload).unwrap(), std::str::from_utf8(&signed.signature).unwrap())
    }

    #[test]
    fn a_commits_signature_is_taken_out_of_its_headers() {
        let commit =
            b"tree 1\nauthor a\ngpgsig one\n two\n \n three\ngpgsig-sha256 x\n y\nmergetag t\n u\n\ngpgsig no\n v\n";
        let signed = of_commit(commit, b"gpgsig").unwrap();
        let payload = "tree 1\nauthor a\nmergetag t\n u\n\ngpgsig no\n v\n";
        assert_eq!(text(&signed), (payload, "one\ntwo\n\nthree\n"));
        let signed = of_commit(commit, b"gpgsig-sha256").unwrap();
        assert_eq!(text(&signed), (payload, "x\ny\n"));
    }

    #[test]
    fn without_a_header_of_ours_there_is_no_signature() {
        for commit in ["tree 1\n\ngpgsig no\n", "tree 1\ngpgsig-sha256 x\n\nm\n", "tree 1\nx y\n gpgsig z\n\n", ""] {
            assert_eq!(of_commit(commit.as_bytes(), b"gpgsig"), None, "{commit:?}");
        }
    }

    #[test]
    fn several_signatures_are_joined_so_that_they_prove_nothing() {
        let signed = of_commit(b"gpgsig a\nx y\ngpgsig b\n\nm", b"gpgsig").unwrap();
        assert_eq!(text(&signed), ("x y\n\nm", "a\nb\n"));
    }

    #[test]
    fn a_tags_signature_ends_it() {
        let tag = "object 1\ngpgsig-sha256 x\n y\ntag v\n\nsay\n-----BEGIN SSH SIGNATURE-----\nno\n\
                   -----BEGIN SSH SIGNATURE-----\nyes\n";
        let signed = of_tag(tag.as_bytes()).unwrap();
        let payload = "object 1\ntag v\n\nsay\n-----BEGIN SSH SIGNATURE-----\nno\n";
        assert_eq!(text(&signed), (payload, "-----BEGIN SSH SIGNATURE-----\nyes\n"));
        assert_eq!(of_tag(b"object 1\n\nsay -----BEGIN SSH SIGNATURE-----\n"), None);
    }
}
