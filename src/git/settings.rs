//! Settings of greenroom in git's own configuration, and who is who by a `.mailmap`.

use gix::bstr::ByteSlice as _;

use super::{Ident, Repo};

impl Repo {
    /// The last value of a setting such as `greenroom.host`; none if it is not set or not UTF-8.
    pub fn setting(&self, key: &str) -> Option<String> {
        let value = self.inner.config_snapshot().string(key)?;
        value.to_str().ok().map(str::to_owned)
    }

    /// All values of a setting that may be given several times, in their order.
    pub fn settings(&self, key: &str) -> Vec<String> {
        let snapshot = self.inner.config_snapshot();
        let values = snapshot.plumbing().strings(key).unwrap_or_default();
        values.iter().map(|v| v.to_str_lossy().into_owned()).collect()
    }
}

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
