//! Public keys as a person's file holds them, identified by fingerprint.

use super::error::{KeyError, MAX_KEY};
use super::{openpgp, ssh};
use crate::entity::person::SigningKey;

/// A public key that can verify signatures.
#[derive(Debug)]
pub enum PublicKey {
    /// An SSH key in OpenSSH's format.
    Ssh(Box<ssh::SshKey>),
    /// An OpenPGP certificate: a primary key with its subkeys.
    OpenPgp(Box<openpgp::Certificate>),
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
