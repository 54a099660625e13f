//! Signatures as `ssh-keygen -Y sign -n git` makes them (OpenSSH's PROTOCOL.sshsig).

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, SshSig};

use super::BadSignature;
use super::error::KeyError;

/// The namespace that git signs for; a signature for another purpose must not count.
const NAMESPACE: &str = "git";

/// The accepted sizes of RSA keys, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A public key in OpenSSH's format.
#[derive(Debug)]
pub struct SshKey {
    key: ssh_key::PublicKey,
    fingerprint: String,
}

impl SshKey {
    /// Reads a public key line as `ssh-keygen` writes it.
    pub(super) fn parse(line: &str) -> Result<Self, KeyError> {
        if line.contains('\n') {
            return Err(KeyError::Unreadable);
        }
        let key = ssh_key::PublicKey::from_openssh(line).map_err(|_| KeyError::Unreadable)?;
        accept(key.key_data())?;
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        Ok(Self { key, fingerprint })
    }

    /// Returns the fingerprint: `SHA256:…`.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns SSH's name of the algorithm.
    pub(super) fn kind(&self) -> String {
        self.key.algorithm().to_string()
    }

    /// Returns the public key line without its comment.
    pub(super) fn line(&self) -> Option<String> {
        ssh_key::PublicKey::new(self.key.key_data().clone(), "").to_openssh().ok().map(|l| l.trim_end().to_owned())
    }
}

/// Refuses kinds of keys that are not trusted: DSA, short RSA, certificates.
fn accept(key: &KeyData) -> Result<(), KeyError> {
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Ok(()),
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384 | EcdsaCurve::NistP521 } => Ok(()),
        Algorithm::Rsa { .. } => {
            let modulus = key.rsa().and_then(|k| k.n.as_positive_bytes()).unwrap_or_default();
            let unused = modulus.first().map_or(0, |b| b.leading_zeros() as usize);
            let bits = (modulus.len() * 8).saturating_sub(unused);
            if RSA_BITS.contains(&bits) { Ok(()) } else { Err(KeyError::Bits { bits, max: *RSA_BITS.end() }) }
        }
        _ => Err(KeyError::Kind),
    }
}

/// An SSH signature.
#[derive(Debug)]
pub(super) struct Signature(SshSig);

impl Signature {
    /// Reads the armored text.
    pub(super) fn parse(text: &str) -> Result<Self, BadSignature> {
        let signature = SshSig::from_pem(text).map_err(|_| BadSignature::Unreadable)?;
        if signature.namespace() != NAMESPACE {
            return Err(BadSignature::Namespace);
        }
        accept(signature.public_key()).map_err(|_| BadSignature::Kind)?;
        match signature.hash_alg() {
            HashAlg::Sha256 | HashAlg::Sha512 => Ok(Self(signature)),
            _ => Err(BadSignature::Hash),
        }
    }

    /// Returns the fingerprint of the key that the signature names.
    pub(super) fn fingerprint(&self) -> String {
        self.0.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// Verifies that the key made the signature over the payload.
    pub(super) fn verify(&self, key: &SshKey, payload: &[u8]) -> Result<(), BadSignature> {
        key.key.verify(NAMESPACE, payload, &self.0).map_err(|_| BadSignature::Mismatch)
    }
}
