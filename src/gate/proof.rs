//! What proves who made a commit: its signature, and the record of who pushed it first.

use std::cell::OnceCell;

use super::people::People;
use super::{Gate, GateError, Pusher};
use crate::git::Commit;
use crate::name::UserName;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::Oid;

/// What a signature proves.
#[expect(dead_code, reason = "signatures are verified from the next commits on; until then none proves anything")]
pub(super) enum Proof {
    /// A person signed it.
    Signed(UserName),
    /// A key signed it that nobody has.
    Unknown(String),
    /// It is no proof, and why.
    Bad(String),
}

/// What is read once for many commits.
#[derive(Default)]
pub(super) struct Memo {
    opened: OnceCell<Proofs>,
}

/// Reads proofs of a repository.
pub(super) struct Proofs {}

impl Gate {
    pub(super) fn proofs(&self) -> Result<&Proofs, GateError> {
        Ok(self.proofs.opened.get_or_init(|| Proofs {}))
    }
}

impl Proofs {
    pub(super) fn signature(
        &self,
        _commit: &Commit,
        _before: &Snapshot<'_>,
        _people: &People<'_, '_>,
        _at: Timestamp,
    ) -> Result<Proof, GateError> {
        Ok(Proof::Unknown("a key".to_owned()))
    }

    pub(super) fn first_pusher(&self, _commit: &Oid) -> Result<Option<Pusher>, GateError> {
        Ok(None)
    }
}
