//! Who is who by a `.mailmap`.

use gix::bstr::ByteSlice as _;

use super::Ident;
use crate::time::Timestamp;

/// What a `.mailmap` says: which names and addresses are the same person's.
#[derive(Debug, Clone, Default)]
pub struct Mailmap {
    inner: gix::mailmap::Snapshot,
}

impl Mailmap {
    /// Reads the text of a `.mailmap`; lines that say nothing are skipped, as git does.
    pub fn parse(text: &[u8]) -> Self {
        Self { inner: gix::mailmap::Snapshot::from_bytes(text) }
    }

    /// The address that stands for an identity.
    pub fn email(&self, who: &Ident) -> String {
        resolved(&self.inner, who).1
    }
}

/// The name and the address that stand for an identity. Its time has no part in that, and may be any.
pub(super) fn resolved(mailmap: &gix::mailmap::Snapshot, who: &Ident) -> (String, String) {
    let given = Ident { time: Timestamp::from_seconds(0), offset: 0, ..who.clone() }.to_git();
    let mut buf = gix::date::parse::TimeBuf::default();
    let found = mailmap.resolve(given.to_ref(&mut buf));
    (found.name.to_str_lossy().into_owned(), found.email.to_str_lossy().into_owned())
}
