//! Public keys as a person's file holds them, identified by fingerprint.

use super::{openpgp, ssh};
use crate::entity::person::SigningKey;

/// The longest public key that is read, in bytes.
pub const MAX_KEY: usize = 64 * 1024;

/// A public key that can verify signatures.
#[derive(Debug)]
pub enum PublicKey {
    /// An SSH key in OpenSSH's format.
    Ssh(Box<ssh::SshKey>),
    /// An OpenPGP certificate: a primary key with its subkeys.
    OpenPgp(Box<openpgp::Certificate>),
}

/// Why a text is not a key that can verify signatures. No error quotes the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is a private key, which must stay secret.
    #[error("this is a private key, which must not be in a repository; give the public key, and create a new key pair")]
    Private,
    /// The text is longer than [`MAX_KEY`].
    #[error(
        "the key has more than {MAX_KEY} bytes; export it without the signatures of others (gpg --export-options \
         export-minimal)"
    )]
    TooLarge,
    /// The text is neither an SSH key nor an OpenPGP key.
    #[error(
        "this is not a public key: give a line such as `ssh-ed25519 AAAA…` or a block that begins with \
         `-----BEGIN PGP PUBLIC KEY BLOCK-----`"
    )]
    Unreadable,
    /// The kind of key is not trusted or not known.
    #[error("keys of this kind are not accepted; use Ed25519, ECDSA (NIST curves) or RSA")]
    Kind,
    /// The RSA modulus is too short to be safe, or longer than the verifier can use.
    #[error("RSA keys need 2048 to {max} bits; this one has {bits}")]
    Bits {
        /// The size of the key in bits.
        bits: usize,
        /// The largest size that can be used, in bits.
        max: usize,
    },
    /// The block holds several keys.
    #[error("the block holds several keys; give a block of its own for each key")]
    Several,
    /// The primary key has no valid signature of its own on its properties.
    #[error("the OpenPGP key has no self-signature, or only one with SHA-1 or MD5; renew it (gpg --quick-set-expire)")]
    SelfSignature,
    /// Neither the primary key nor a subkey may sign.
    #[error("neither the OpenPGP key nor one of its subkeys may sign")]
    NotForSigning,
}

impl PublicKey {
    /// Reads an SSH public key line or an armored OpenPGP public key block.
    ///
    /// The self-signatures of an OpenPGP key are not verified yet; see [`Self::vet`].
    ///
    /// # Errors
    /// A [`KeyError`] if the text is too long, a private key, unreadable, or a key of a kind or size that is not
    /// accepted.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_KEY {
            return Err(KeyError::TooLarge);
        }
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        let text = text.trim();
        if text.starts_with("-----") {
            openpgp::Certificate::parse(text).map(|k| Self::OpenPgp(Box::new(k)))
        } else {
            ssh::SshKey::parse(text).map(|k| Self::Ssh(Box::new(k)))
        }
    }

    /// Verifies the self-signatures of the key, so that a key that can never sign is refused when it is added.
    ///
    /// # Errors
    /// [`KeyError::SelfSignature`] or [`KeyError::NotForSigning`] for an OpenPGP key; never for an SSH key.
    pub fn vet(&self) -> Result<(), KeyError> {
        match self {
            Self::Ssh(_) => Ok(()),
            Self::OpenPgp(key) => key.vet(),
        }
    }

    /// Returns the fingerprint: `SHA256:…` as `ssh-keygen -l` shows it, or the hexadecimal digits that `gpg` shows.
    pub fn fingerprint(&self) -> &str {
        match self {
            Self::Ssh(key) => key.fingerprint(),
            Self::OpenPgp(key) => key.fingerprint(),
        }
    }

    /// Returns the kind of key: SSH's name of the algorithm, or `openpgp`.
    pub fn kind(&self) -> String {
        match self {
            Self::Ssh(key) => key.kind(),
            Self::OpenPgp(_) => "openpgp".to_owned(),
        }
    }

    /// Returns the key in OpenSSH's format without a comment; `None` for an OpenPGP key.
    pub fn ssh_line(&self) -> Option<String> {
        match self {
            Self::Ssh(key) => key.line(),
            Self::OpenPgp(_) => None,
        }
    }

    /// Returns the identifiers by which a signature can name this key: the SSH fingerprint, or the OpenPGP key ids.
    pub(super) fn marks(&self) -> Vec<String> {
        match self {
            Self::Ssh(key) => vec![key.fingerprint().to_owned()],
            Self::OpenPgp(key) => key.ids(),
        }
    }
}

/// Returns the fingerprint of a person's key; see [`PublicKey::fingerprint`].
///
/// # Errors
/// The errors of [`PublicKey::parse`].
pub fn fingerprint(key: &SigningKey) -> Result<String, KeyError> {
    PublicKey::parse(key.key.as_str()).map(|k| k.fingerprint().to_owned())
}
