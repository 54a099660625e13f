//! Who is who by a `.mailmap`.

use gix::bstr::ByteSlice as _;

use super::Ident;

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
        let given = who.to_git();
        let mut buf = gix::date::parse::TimeBuf::default();
        let found = self.inner.resolve(given.to_ref(&mut buf));
        found.email.to_str_lossy().into_owned()
    }
}
