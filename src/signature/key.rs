//! Public keys as a person's file holds them, told apart by fingerprint.

use super::{openpgp, ssh};
use crate::entity::person::SigningKey;

/// The longest public key that is looked at, in bytes.
pub const MAX_KEY: usize = 64 * 1024;

/// A public key that can verify signatures.
#[derive(Debug)]
pub enum PublicKey {
    /// As OpenSSH writes it.
    Ssh(Box<ssh::Key>),
    /// An OpenPGP certificate: a primary key with its subkeys.
    OpenPgp(Box<openpgp::Certificate>),
}

/// Why a text is no key that signatures could be verified with. None of them quotes the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It must not be told to anybody.
    #[error("this is a private key, which belongs into no repository; give the public one, and make a new pair")]
    Private,
    /// It is too long.
    #[error(
        "the key has more than {MAX_KEY} bytes; export it without the signatures of others (gpg --export-options export-minimal)"
    )]
    TooLarge,
    /// It is neither an SSH key nor an OpenPGP one.
    #[error(
        "this is no public key: give a line such as `ssh-ed25519 AAAA…` or a block that begins with \
         `-----BEGIN PGP PUBLIC KEY BLOCK-----`"
    )]
    Unreadable,
    /// Its kind is not trusted or not known.
    #[error("keys of this kind are not accepted; use Ed25519, ECDSA (NIST curves) or RSA")]
    Kind,
    /// Its numbers are too short, or longer than can be used.
    #[error("RSA keys need 2048 to {max} bits; this one has {bits}")]
    Bits {
        /// What it has.
        bits: usize,
        /// What can be used.
        max: usize,
    },
    /// A file with several keys.
    #[error("the block holds several keys; give each its own")]
    Several,
    /// The primary key does not vouch for what its certificate says.
    #[error("the OpenPGP key is not signed by itself, or with SHA-1 or MD5; renew it (gpg --quick-set-expire)")]
    SelfSignature,
    /// Neither the primary key nor a subkey may sign.
    #[error("the OpenPGP key has no part that may sign")]
    NotForSigning,
}

impl PublicKey {
    /// Reads an SSH public key line or an armored OpenPGP public key block.
    ///
    /// What an OpenPGP key says of itself is not verified yet; see [`Self::vet`].
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
            ssh::Key::parse(text).map(|k| Self::Ssh(Box::new(k)))
        }
    }

    /// Verifies what the key says of itself, so that a key that can never sign is not taken.
    pub fn vet(&self) -> Result<(), KeyError> {
        match self {
            Self::Ssh(_) => Ok(()),
            Self::OpenPgp(key) => key.vet(),
        }
    }

    /// What people compare: `SHA256:…` as `ssh-keygen -l` shows it, or the hexadecimal digits that gpg shows.
    pub fn fingerprint(&self) -> &str {
        match self {
            Self::Ssh(key) => key.fingerprint(),
            Self::OpenPgp(key) => key.fingerprint(),
        }
    }

    /// What kind it is: SSH's name for it, or `openpgp`.
    pub fn kind(&self) -> String {
        match self {
            Self::Ssh(key) => key.kind(),
            Self::OpenPgp(_) => "openpgp".to_owned(),
        }
    }

    /// The key as OpenSSH writes it, without a comment; none for OpenPGP.
    pub fn ssh_line(&self) -> Option<String> {
        match self {
            Self::Ssh(key) => key.line(),
            Self::OpenPgp(_) => None,
        }
    }

    /// By what a signature names the keys here that may have made it.
    pub(super) fn marks(&self) -> Vec<String> {
        match self {
            Self::Ssh(key) => vec![key.fingerprint().to_owned()],
            Self::OpenPgp(key) => key.ids(),
        }
    }
}

/// The fingerprint of a person's key; see [`PublicKey::fingerprint`].
pub fn fingerprint(key: &SigningKey) -> Result<String, KeyError> {
    PublicKey::parse(key.key.as_str()).map(|k| k.fingerprint().to_owned())
}
