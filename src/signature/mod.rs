//! Signatures as git makes them, verified with the keys of the registry's people.
//!
//! Input is bytes, keys and a time; output is a [`SignatureFinding`]. Nothing is read from disk or run. A signature
//! names the key that made it, so only that key is tried, however many people there are. There are two ways to ask:
//! [`check`] takes a few keys, such as those of the probable signer; a [`KeyRing`] holds the keys of all people and is built once
//! for many questions.

mod allowed;
mod armor;
mod error;
mod key;
mod openpgp;
mod ssh;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

pub use allowed::allowed_signers;
pub use error::{KeyError, MAX_KEY};
pub use key::{PublicKey, fingerprint};

use crate::entity::person::SigningKey;
use crate::name::UserName;
use crate::time::Timestamp;

/// The longest signature that is read, in bytes. A signature by RSA with 8192 bits has about 1.6 KiB.
pub const MAX_SIGNATURE: usize = 16 * 1024;

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureFinding {
    /// The person signed this with a valid key.
    Good {
        /// The signer.
        user: UserName,
        /// The fingerprint of the key, as [`fingerprint`] returns it.
        fingerprint: String,
    },
    /// The person's key made the signature, but the key was not valid at that time.
    Void {
        /// The owner of the key.
        user: UserName,
        /// The fingerprint of the key.
        fingerprint: String,
        /// Why the key is not valid.
        why: KeyInvalidity,
    },
    /// No given person has the key. The signature itself was not verified.
    Unknown {
        /// The key that the signature names: a fingerprint, an OpenPGP key id, or `X.509` for certificates, which
        /// people of a registry cannot have.
        key: String,
    },
    /// The signature proves nothing.
    Bad(BadSignature),
}

/// Why a key was not valid at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyInvalidity {
    /// The key was added to the person later.
    #[error("the key is valid only from {0} on")]
    NotYet(Timestamp),
    /// The registry revoked the key.
    #[error("the key was revoked on {0}")]
    Revoked(Timestamp),
    /// The owner revoked the key in the OpenPGP key itself.
    #[error("the OpenPGP key was revoked by its owner on {0}")]
    RevokedByOwner(Timestamp),
    /// The OpenPGP key expired.
    #[error("the OpenPGP key expired on {0}; renew it and set it again (greenroom person set … --key FILE)")]
    Expired(Timestamp),
    /// The OpenPGP key does not allow this part of it to sign, or has no valid binding signature for it.
    #[error("the OpenPGP key does not certify the subkey that signed, or does not allow it to sign")]
    NotForSigning,
}

/// Why a signature proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The signature is longer than [`MAX_SIGNATURE`].
    #[error("the signature has more than {MAX_SIGNATURE} bytes")]
    TooLarge,
    /// The text is not one signature as git writes it.
    #[error("the signature cannot be read: it is damaged, or there are several")]
    Unreadable,
    /// The SSH signature was made for a namespace other than `git`.
    #[error("the SSH signature was not made for git")]
    Namespace,
    /// The kind of key is not trusted.
    #[error("the signature is made with a kind of key that is not accepted")]
    Kind,
    /// The hash can be forged.
    #[error("the signature uses a weak hash such as SHA-1 or MD5")]
    Hash,
    /// The signature has a critical condition that this program does not know.
    #[error("the signature has critical conditions that greenroom does not know")]
    Conditions,
    /// The signature has an expiry time, which has passed.
    #[error("the signature expired on {0}")]
    Expired(Timestamp),
    /// The content was changed after signing, or another key made the signature.
    #[error(
        "the signature does not match the content: the content was changed after signing, or the signature is forged"
    )]
    Mismatch,
    /// Several people have the key, so the signature identifies no one of them.
    #[error("several people have the key {0}, so it identifies none of them")]
    Shared(String),
}

/// A parsed signature.
enum Signature {
    Ssh(ssh::Signature),
    OpenPgp(openpgp::Signature),
}

/// Why a key's signature is not good.
enum Refusal {
    Bad(BadSignature),
    Void(KeyInvalidity),
}

/// Returns what a signature proves, given keys that may have made it.
///
/// `payload` and `signature` are as git takes them out of a commit or tag. `at` is the time at which the commit or tag
/// reached the branch. Keys that cannot be read are skipped, because they prove nothing.
pub fn check<'k>(
    payload: &[u8],
    signature: &[u8],
    keys: impl IntoIterator<Item = (&'k UserName, &'k SigningKey)>,
    at: Timestamp,
) -> SignatureFinding {
    KeyRing::new(keys).check(payload, signature, at)
}

/// The keys of many people, indexed by the identifiers that signatures use.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: Vec<KeyEntry>,
    by_mark: HashMap<String, Vec<usize>>,
}

/// One key of one person.
#[derive(Debug)]
struct KeyEntry {
    user: UserName,
    key: PublicKey,
    added_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl KeyRing {
    /// Reads and indexes keys. Keys that cannot be read are skipped.
    pub fn new<'k>(keys: impl IntoIterator<Item = (&'k UserName, &'k SigningKey)>) -> Self {
        let mut ring = Self::default();
        for (user, given) in keys {
            let Ok(key) = PublicKey::parse(given.key.as_str()) else { continue };
            for mark in key.marks() {
                ring.by_mark.entry(mark).or_default().push(ring.keys.len());
            }
            let (added_at, revoked_at) = (given.added_at, given.revoked_at);
            ring.keys.push(KeyEntry { user: user.clone(), key, added_at, revoked_at });
        }
        ring
    }

    /// Returns what a signature proves; see [`check`].
    pub fn check(&self, payload: &[u8], signature: &[u8], at: Timestamp) -> SignatureFinding {
        if signature.len() > MAX_SIGNATURE {
            return SignatureFinding::Bad(BadSignature::TooLarge);
        }
        let Ok(text) = std::str::from_utf8(signature).map(str::trim) else {
            return SignatureFinding::Bad(BadSignature::Unreadable);
        };
        // git accepts these signatures too (made by gpgsm), but which certificate authority to trust is not a decision
        // of a repository.
        if text.starts_with("-----BEGIN SIGNED MESSAGE-----") {
            return SignatureFinding::Unknown { key: "X.509".to_owned() };
        }
        let read = if text.starts_with("-----BEGIN SSH SIGNATURE-----") {
            ssh::Signature::parse(text).map(Signature::Ssh)
        } else {
            openpgp::Signature::parse(text).map(Signature::OpenPgp)
        };
        match read {
            Ok(signature) => self.judge(payload, &signature, at),
            Err(bad) => SignatureFinding::Bad(bad),
        }
    }

    fn judge(&self, payload: &[u8], signature: &Signature, at: Timestamp) -> SignatureFinding {
        let (mark, named) = match signature {
            Signature::Ssh(s) => (s.fingerprint(), s.fingerprint()),
            Signature::OpenPgp(s) => (s.key_id().to_owned(), s.issuer().to_owned()),
        };
        let found: Vec<&KeyEntry> =
            self.by_mark.get(&mark).into_iter().flatten().filter_map(|i| self.keys.get(*i)).collect();
        let found: Vec<&KeyEntry> = found.into_iter().filter(|e| e.may_have_made(signature)).collect();
        let Some(first) = found.first() else { return SignatureFinding::Unknown { key: named } };
        if found.iter().map(|e| &e.user).collect::<BTreeSet<_>>().len() > 1 {
            return SignatureFinding::Bad(BadSignature::Shared(first.key.fingerprint().to_owned()));
        }
        let mut worse = SignatureFinding::Bad(BadSignature::Mismatch);
        for entry in found {
            let (user, fingerprint) = (entry.user.clone(), entry.key.fingerprint().to_owned());
            match entry.check(payload, signature, at) {
                Ok(()) => return SignatureFinding::Good { user, fingerprint },
                Err(Refusal::Void(why)) => worse = SignatureFinding::Void { user, fingerprint, why },
                Err(Refusal::Bad(bad)) if matches!(worse, SignatureFinding::Bad(_)) => {
                    worse = SignatureFinding::Bad(bad);
                }
                Err(Refusal::Bad(_)) => {}
            }
        }
        worse
    }
}

impl KeyEntry {
    /// Returns whether the signature names this very key, and not only a key with the same short id.
    fn may_have_made(&self, signature: &Signature) -> bool {
        match (&self.key, signature) {
            (PublicKey::Ssh(_), Signature::Ssh(_)) => true,
            (PublicKey::OpenPgp(key), Signature::OpenPgp(s)) => key.may_have_made(s),
            (PublicKey::Ssh(_), Signature::OpenPgp(_)) | (PublicKey::OpenPgp(_), Signature::Ssh(_)) => false,
        }
    }

    fn check(&self, payload: &[u8], signature: &Signature, at: Timestamp) -> Result<(), Refusal> {
        let own = match (&self.key, signature) {
            (PublicKey::Ssh(key), Signature::Ssh(s)) => s.verify(key, payload).map_err(Refusal::Bad),
            (PublicKey::OpenPgp(key), Signature::OpenPgp(s)) => key.check(s, payload, at),
            (PublicKey::Ssh(_), Signature::OpenPgp(_)) | (PublicKey::OpenPgp(_), Signature::Ssh(_)) => {
                Err(Refusal::Bad(BadSignature::Mismatch))
            }
        };
        // Commits keep whole seconds. A key is valid within the second of its addition, and not within that of its
        // revocation.
        let second = at.as_seconds();
        match (own, self.added_at, self.revoked_at) {
            (Err(Refusal::Bad(bad)), ..) => Err(Refusal::Bad(bad)),
            (_, _, Some(end)) if second >= end.as_seconds() => Err(Refusal::Void(KeyInvalidity::Revoked(end))),
            (_, Some(start), _) if second < start.as_seconds() => Err(Refusal::Void(KeyInvalidity::NotYet(start))),
            (own, ..) => own,
        }
    }
}
