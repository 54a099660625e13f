//! `.mailmap` files: the canonical name and address of a person.

use gix::bstr::ByteSlice as _;

use super::Ident;
use crate::time::Timestamp;

/// The mapping in a `.mailmap`: which names and addresses belong to the same person.
#[derive(Debug, Clone, Default)]
pub struct Mailmap {
    inner: gix::mailmap::Snapshot,
}

impl Mailmap {
    /// Parses the text of a `.mailmap`. Like git, skips lines that it cannot parse.
    pub fn parse(text: &[u8]) -> Self {
        Self { inner: gix::mailmap::Snapshot::from_bytes(text) }
    }

    /// Returns the canonical address of an identity.
    pub fn email(&self, who: &Ident) -> String {
        resolved(&self.inner, who).1
    }
}

/// Returns the canonical name and address of an identity. The identity's time does not matter and may be invalid.
pub(super) fn resolved(mailmap: &gix::mailmap::Snapshot, who: &Ident) -> (String, String) {
    let given = Ident { time: Timestamp::from_seconds(0), offset: 0, ..who.clone() }.to_git();
    let mut buf = gix::date::parse::TimeBuf::default();
    let found = mailmap.resolve(given.to_ref(&mut buf));
    (found.name.to_str_lossy().into_owned(), found.email.to_str_lossy().into_owned())
}
