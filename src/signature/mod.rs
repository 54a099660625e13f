//! Who signed: signatures as git makes them, verified with the keys of the registry's people.
//!
//! Bytes, keys and a time go in, a [`Finding`] comes out; nothing is read or run. A signature names the key that it
//! is made with, so only that key is tried, however many people there are. Two ways to ask: [`check`] with the keys
//! of those who probably signed, and a [`Ring`] of everybody's, which is built once and asked often.

mod allowed;
mod armor;
mod key;
mod openpgp;
mod ssh;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

pub use allowed::allowed_signers;
pub use key::{KeyError, MAX_KEY, PublicKey, fingerprint};

use crate::entity::person::SigningKey;
use crate::name::UserName;
use crate::time::Timestamp;

/// The longest signature that is looked at, in bytes. One of RSA with 8192 bits has about 1.6 KiB.
pub const MAX_SIGNATURE: usize = 16 * 1024;

/// What a signature proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The person signed this with a key that counts.
    Good {
        /// Who signed.
        user: UserName,
        /// The key, as [`fingerprint`] gives it.
        fingerprint: String,
    },
    /// The signature is made by the person's key, but the key did not count at that time.
    Void {
        /// Whose key it is.
        user: UserName,
        /// The key.
        fingerprint: String,
        /// Why it does not count.
        why: Void,
    },
    /// None of the people asked about has the key. Whether the signature is right was not asked.
    Unknown {
        /// What the signature says of its key: a fingerprint, an OpenPGP key id, or `X.509` for certificates, which
        /// people cannot have here.
        key: String,
    },
    /// It proves nothing.
    Bad(BadSignature),
}

/// Why a key did not count at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// It was added to the person later.
    #[error("the key counts from {0} on only")]
    NotYet(Timestamp),
    /// The registry revoked it.
    #[error("the key was revoked on {0}")]
    Revoked(Timestamp),
    /// Its owner revoked it in the OpenPGP key itself.
    #[error("the OpenPGP key says that it was revoked on {0}")]
    RevokedByOwner(Timestamp),
    /// The OpenPGP key ran out.
    #[error("the OpenPGP key expired on {0}; renew it and give it anew (greenroom person set … --key FILE)")]
    Expired(Timestamp),
    /// The OpenPGP key says that this part of it is not for signing, or does not vouch for it.
    #[error("the OpenPGP key does not vouch for the part that signed, or not for signing")]
    NotForSigning,
}

/// Why a signature proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// Too long.
    #[error("the signature has more than {MAX_SIGNATURE} bytes")]
    TooLarge,
    /// Not what git writes.
    #[error("the signature cannot be read: it is damaged, or there are several")]
    Unreadable,
    /// Made for something else than git.
    #[error("the SSH signature was not made for git")]
    Namespace,
    /// A kind of key that is not trusted.
    #[error("the signature is made with a kind of key that is not accepted")]
    Kind,
    /// A hash that can be forged.
    #[error("the signature uses a weak hash such as SHA-1 or MD5")]
    Hash,
    /// Something critical that this program does not know.
    #[error("the signature has conditions that are not understood")]
    Conditions,
    /// It was to hold for some time only.
    #[error("the signature expired on {0}")]
    Expired(Timestamp),
    /// The content was changed, or it was made with another key.
    #[error("the signature does not fit the content: it was changed after it was signed, or the signature is made up")]
    Mismatch,
    /// It would prove several people.
    #[error("several people have the key {0}, so it proves nobody")]
    Shared(String),
}

/// A signature that was read.
enum Signature {
    Ssh(ssh::Signature),
    OpenPgp(openpgp::Signature),
}

/// Why a key's signature is not good.
enum Refusal {
    Bad(BadSignature),
    Void(Void),
}

/// Says what a signature proves, given keys that may have made it.
///
/// `payload` and `signature` are as git takes them out of a commit or tag; `at` is when that landed.
/// Keys that cannot be read are passed over: nothing can be proven with them.
pub fn check<'k>(
    payload: &[u8],
    signature: &[u8],
    keys: impl IntoIterator<Item = (&'k UserName, &'k SigningKey)>,
    at: Timestamp,
) -> Finding {
    Ring::new(keys).check(payload, signature, at)
}

/// The keys of many people, found by what a signature says of its key.
#[derive(Debug, Default)]
pub struct Ring {
    keys: Vec<Entry>,
    by_mark: HashMap<String, Vec<usize>>,
}

/// A key of a person.
#[derive(Debug)]
struct Entry {
    user: UserName,
    key: PublicKey,
    added_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl Ring {
    /// Reads and indexes keys; those that cannot be read are left out.
    pub fn new<'k>(keys: impl IntoIterator<Item = (&'k UserName, &'k SigningKey)>) -> Self {
        let mut ring = Self::default();
        for (user, given) in keys {
            let Ok(key) = PublicKey::parse(given.key.as_str()) else { continue };
            for mark in key.marks() {
                ring.by_mark.entry(mark).or_default().push(ring.keys.len());
            }
            let (added_at, revoked_at) = (given.added_at, given.revoked_at);
            ring.keys.push(Entry { user: user.clone(), key, added_at, revoked_at });
        }
        ring
    }

    /// Says what a signature proves; as [`check`].
    pub fn check(&self, payload: &[u8], signature: &[u8], at: Timestamp) -> Finding {
        if signature.len() > MAX_SIGNATURE {
            return Finding::Bad(BadSignature::TooLarge);
        }
        let Ok(text) = std::str::from_utf8(signature).map(str::trim) else {
            return Finding::Bad(BadSignature::Unreadable);
        };
        // git takes these too, from gpgsm; which authority to trust is not for a repository to say.
        if text.starts_with("-----BEGIN SIGNED MESSAGE-----") {
            return Finding::Unknown { key: "X.509".to_owned() };
        }
        let read = if text.starts_with("-----BEGIN SSH SIGNATURE-----") {
            ssh::Signature::parse(text).map(Signature::Ssh)
        } else {
            openpgp::Signature::parse(text).map(Signature::OpenPgp)
        };
        match read {
            Ok(signature) => self.judge(payload, &signature, at),
            Err(bad) => Finding::Bad(bad),
        }
    }

    fn judge(&self, payload: &[u8], signature: &Signature, at: Timestamp) -> Finding {
        let (mark, named) = match signature {
            Signature::Ssh(s) => (s.fingerprint(), s.fingerprint()),
            Signature::OpenPgp(s) => (s.key_id().to_owned(), s.issuer().to_owned()),
        };
        let found: Vec<&Entry> =
            self.by_mark.get(&mark).into_iter().flatten().filter_map(|i| self.keys.get(*i)).collect();
        let found: Vec<&Entry> = found.into_iter().filter(|e| e.may_have_made(signature)).collect();
        let Some(first) = found.first() else { return Finding::Unknown { key: named } };
        if found.iter().map(|e| &e.user).collect::<BTreeSet<_>>().len() > 1 {
            return Finding::Bad(BadSignature::Shared(first.key.fingerprint().to_owned()));
        }
        let mut worse = Finding::Bad(BadSignature::Mismatch);
        for entry in found {
            let (user, fingerprint) = (entry.user.clone(), entry.key.fingerprint().to_owned());
            match entry.check(payload, signature, at) {
                Ok(()) => return Finding::Good { user, fingerprint },
                Err(Refusal::Void(why)) => worse = Finding::Void { user, fingerprint, why },
                Err(Refusal::Bad(bad)) if matches!(worse, Finding::Bad(_)) => worse = Finding::Bad(bad),
                Err(Refusal::Bad(_)) => {}
            }
        }
        worse
    }
}

impl Entry {
    /// Whether the signature names this very key, and not only one with the same short id.
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
        // Commits keep whole seconds. Within the second in which a key comes it counts; in which it goes, not.
        let second = at.as_seconds();
        match (own, self.added_at, self.revoked_at) {
            (Err(Refusal::Bad(bad)), ..) => Err(Refusal::Bad(bad)),
            (_, _, Some(end)) if second >= end.as_seconds() => Err(Refusal::Void(Void::Revoked(end))),
            (_, Some(start), _) if second < start.as_seconds() => Err(Refusal::Void(Void::NotYet(start))),
            (own, ..) => own,
        }
    }
}
