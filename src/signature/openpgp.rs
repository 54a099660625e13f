//! OpenPGP (RFC 4880 and 9580): certificates, and detached signatures as `gpg --detach-sign --armor` makes them.
//!
//! Only properties of a certificate that its primary key signed count: expiry, revocation, and which subkeys may sign.
//! A signing subkey must also have signed that it belongs to the primary key; otherwise anyone could adopt it.
//! Revocations by other keys (designated revokers) are not followed.

use std::sync::OnceLock;

use pgp::composed::{Deserializable as _, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{self, Packet, PacketParser, RevocationCode, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{Fingerprint, KeyDetails as _, KeyVersion, PublicParams, Tag};

use super::error::KeyError;
use super::{BadSignature, KeyInvalidity, Refusal, armor};
use crate::time::Timestamp;

/// The accepted sizes of RSA keys, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// How many packets of a certificate are read at most: keys, user ids, signatures.
const MAX_PACKETS: usize = 1000;

/// A public key with its self-signatures.
#[derive(Debug)]
pub struct Certificate {
    key: SignedPublicKey,
    fingerprint: String,
    makers: OnceLock<Result<Vec<SigningPart>, KeyError>>,
}

/// A primary key or subkey that may sign.
#[derive(Debug)]
struct SigningPart {
    key: Part,
    life: KeyLifetime,
}

#[derive(Debug)]
enum Part {
    Primary(packet::PublicKey),
    Sub(packet::PublicSubkey),
}

/// The validity period of a key.
#[derive(Debug, Clone, Copy)]
struct KeyLifetime {
    created: Timestamp,
    expires: Option<Timestamp>,
    revoked: Option<Timestamp>,
}

impl KeyLifetime {
    /// Limits the period of a subkey to the period of its primary key.
    fn within(self, whole: Self) -> Self {
        let earlier = |a: Option<Timestamp>, b: Option<Timestamp>| a.into_iter().chain(b).min();
        Self {
            created: self.created,
            expires: earlier(self.expires, whole.expires),
            revoked: earlier(self.revoked, whole.revoked),
        }
    }
}

impl Certificate {
    /// Reads an armored block with one public key. [`Self::vet`] verifies its self-signatures.
    pub(super) fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = armor::decode(text, "PGP PUBLIC KEY BLOCK").ok_or(KeyError::Unreadable)?;
        count_keys(&bytes)?;
        let key = SignedPublicKey::from_bytes(bytes.as_slice()).map_err(|_| KeyError::Unreadable)?;
        if !matches!(key.primary_key.version(), KeyVersion::V4 | KeyVersion::V6) {
            return Err(KeyError::Kind);
        }
        accept(key.primary_key.public_params())?;
        let fingerprint = capitals(key.fingerprint());
        Ok(Self { key, fingerprint, makers: OnceLock::new() })
    }

    /// Returns the fingerprint of the primary key in capital hexadecimal digits.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns the key ids of the primary key and of all subkeys.
    pub(super) fn ids(&self) -> Vec<String> {
        let subs = self.key.public_subkeys.iter().map(|s| capitals(s.key.legacy_key_id()));
        std::iter::once(capitals(self.key.legacy_key_id())).chain(subs).collect()
    }

    /// Verifies the self-signature of the primary key, and that the primary key or a subkey may sign.
    pub(super) fn vet(&self) -> Result<(), KeyError> {
        match self.makers() {
            Ok([]) => Err(KeyError::NotForSigning),
            Ok(_) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Returns whether the signature names a key of this certificate.
    pub(super) fn may_have_made(&self, signature: &Signature) -> bool {
        let Some(wanted) = &signature.fingerprint else { return true };
        let subs = self.key.public_subkeys.iter().map(|s| s.key.fingerprint());
        std::iter::once(self.key.fingerprint()).chain(subs).any(|f| f == *wanted)
    }

    /// Verifies that a key of this certificate made the signature over the payload, and could sign at the time `at`.
    pub(super) fn check(&self, signature: &Signature, payload: &[u8], at: Timestamp) -> Result<(), Refusal> {
        let makers = self.makers().unwrap_or_default();
        let Some(maker) = makers.iter().find(|m| m.key.id() == signature.key_id) else {
            return Err(Refusal::Void(KeyInvalidity::NotForSigning));
        };
        let verified = match &maker.key {
            Part::Primary(key) => signature.packet.verify(key, payload),
            Part::Sub(key) => signature.packet.verify(key, payload),
        };
        verified.map_err(|_| Refusal::Bad(BadSignature::Mismatch))?;
        if let Some(end) = signature.expires.filter(|end| at >= *end) {
            return Err(Refusal::Bad(BadSignature::Expired(end)));
        }
        match maker.life {
            KeyLifetime { revoked: Some(when), .. } if at >= when => {
                Err(Refusal::Void(KeyInvalidity::RevokedByOwner(when)))
            }
            KeyLifetime { expires: Some(when), .. } if at >= when => Err(Refusal::Void(KeyInvalidity::Expired(when))),
            KeyLifetime { created, .. } if signature.created < created => {
                Err(Refusal::Void(KeyInvalidity::NotYet(created)))
            }
            KeyLifetime { .. } => Ok(()),
        }
    }

    fn makers(&self) -> Result<&[SigningPart], KeyError> {
        let found = self.makers.get_or_init(|| self.find_makers());
        found.as_ref().map(Vec::as_slice).map_err(|e| *e)
    }

    fn find_makers(&self) -> Result<Vec<SigningPart>, KeyError> {
        let (whole, primary_signs) = self.primary()?;
        let mut makers = Vec::new();
        if primary_signs {
            makers.push(SigningPart { key: Part::Primary(self.key.primary_key.clone()), life: whole });
        }
        for sub in &self.key.public_subkeys {
            if let Some(life) = self.signing_subkey(sub) {
                makers.push(SigningPart { key: Part::Sub(sub.key.clone()), life: life.within(whole) });
            }
        }
        Ok(makers)
    }

    /// Returns the validity period of the primary key and whether it may sign, by its newest self-signature.
    fn primary(&self) -> Result<(KeyLifetime, bool), KeyError> {
        let (key, details) = (&self.key.primary_key, &self.key.details);
        let direct = details
            .direct_signatures
            .iter()
            .filter(|s| s.typ() == Some(SignatureType::Key) && sound(s) && s.verify_key(key).is_ok());
        let names = details.users.iter().filter_map(|user| {
            let own = user.signatures.iter().filter(|s| sound(s));
            let own = own.filter(|s| s.verify_certification(key, Tag::UserId, &user.id).is_ok());
            // A revoked user id says nothing any more.
            newest(own).filter(|s| s.typ() != Some(SignatureType::CertRevocation))
        });
        let word = newest(direct.chain(names)).ok_or(KeyError::SelfSignature)?;
        let revocations = details.revocation_signatures.iter().filter(|s| s.verify_key(key).is_ok());
        let life = KeyLifetime {
            created: time(key.created_at()),
            expires: expiry(key.created_at(), word.key_expiration_time()),
            revoked: revocations.filter_map(revoked_from).min(),
        };
        // Old keys have no key flags; then the primary key may sign.
        let silent =
            word.config().is_none_or(|c| !c.hashed_subpackets().any(|p| matches!(p.data, SubpacketData::KeyFlags(_))));
        Ok((life, silent || word.key_flags().sign()))
    }

    /// Returns the validity period of a subkey that may sign. Both keys must have signed that the subkey belongs to the
    /// primary key.
    fn signing_subkey(&self, sub: &SignedPublicSubKey) -> Option<KeyLifetime> {
        let primary = &self.key.primary_key;
        accept(sub.key.public_params()).ok()?;
        if !sub.signatures.iter().any(|s| s.key_flags().sign()) {
            return None;
        }
        let of = |kind: SignatureType| {
            sub.signatures
                .iter()
                .filter(move |s| s.typ() == Some(kind) && s.verify_subkey_binding(primary, &sub.key).is_ok())
        };
        let word = newest(of(SignatureType::SubkeyBinding).filter(|s| sound(s))).filter(|s| s.key_flags().sign())?;
        let answer = word.embedded_signature().filter(|s| sound(s))?;
        answer.verify_primary_key_binding(&sub.key, primary).ok()?;
        Some(KeyLifetime {
            created: time(sub.key.created_at()),
            expires: expiry(sub.key.created_at(), word.key_expiration_time()),
            revoked: of(SignatureType::SubkeyRevocation).filter_map(revoked_from).min(),
        })
    }
}

impl Part {
    fn id(&self) -> String {
        match self {
            Self::Primary(key) => capitals(key.legacy_key_id()),
            Self::Sub(key) => capitals(key.legacy_key_id()),
        }
    }
}

/// A detached signature.
#[derive(Debug)]
pub(super) struct Signature {
    packet: packet::Signature,
    key_id: String,
    fingerprint: Option<Fingerprint>,
    issuer: String,
    created: Timestamp,
    expires: Option<Timestamp>,
}

impl Signature {
    /// Reads the armored text: one signature over bytes, by one key that it names.
    pub(super) fn parse(text: &str) -> Result<Self, BadSignature> {
        let bytes = armor::decode(text, "PGP SIGNATURE").ok_or(BadSignature::Unreadable)?;
        let mut packets = PacketParser::new(bytes.as_slice());
        let (Some(Ok(Packet::Signature(packet))), None) = (packets.next(), packets.next()) else {
            return Err(BadSignature::Unreadable);
        };
        let config = packet.config().ok_or(BadSignature::Unreadable)?;
        if packet.typ() != Some(SignatureType::Binary) {
            return Err(BadSignature::Unreadable);
        }
        if !is_strong(config.hash_alg) {
            return Err(BadSignature::Hash);
        }
        if !understood(&packet) {
            return Err(BadSignature::Conditions);
        }
        let created = packet.created().ok_or(BadSignature::Unreadable)?;
        let expires = expiry(created, packet.signature_expiration_time());
        // RFC 9580 does not define the meaning of several issuers, so the first one counts.
        let (ids, prints) = (packet.issuer_key_id(), packet.issuer_fingerprint());
        let fingerprint = prints.first().map(|f| (*f).clone());
        let from_print = fingerprint.as_ref().and_then(key_id_in);
        let key_id = match (ids.first(), from_print) {
            (_, Some(id)) => id,
            (Some(id), None) => capitals(id),
            (None, None) => return Err(BadSignature::Unreadable),
        };
        let issuer = fingerprint.as_ref().map_or_else(|| key_id.clone(), capitals);
        Ok(Self { created: time(created), expires, key_id, fingerprint, issuer, packet })
    }

    /// Returns the id of the key that the signature names.
    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns the fingerprint of that key, or its id if the signature has no fingerprint.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// Returns the key id that is part of a fingerprint.
fn key_id_in(fingerprint: &Fingerprint) -> Option<String> {
    let digits = capitals(fingerprint);
    match fingerprint {
        Fingerprint::V4(_) => digits.get(24..).map(str::to_owned),
        Fingerprint::V6(_) => digits.get(..16).map(str::to_owned),
        _ => None,
    }
}

/// Refuses secret keys and blocks of several keys before the block is parsed.
fn count_keys(bytes: &[u8]) -> Result<(), KeyError> {
    let mut packets = PacketParser::new(bytes);
    let mut primaries = 0;
    for _ in 0..MAX_PACKETS {
        let Some(packet) = packets.next_ref() else {
            return match primaries {
                0 => Err(KeyError::Unreadable),
                1 => Ok(()),
                _ => Err(KeyError::Several),
            };
        };
        let mut packet = packet.map_err(|_| KeyError::Unreadable)?;
        match packet.packet_header().tag() {
            Tag::SecretKey | Tag::SecretSubkey => return Err(KeyError::Private),
            Tag::PublicKey => primaries += 1,
            _ => {}
        }
        std::io::copy(&mut packet, &mut std::io::sink()).map_err(|_| KeyError::Unreadable)?;
    }
    Err(KeyError::TooLarge)
}

/// Refuses kinds of keys that are not trusted, such as DSA and short RSA.
fn accept(key: &PublicParams) -> Result<(), KeyError> {
    match key {
        PublicParams::RSA(rsa) => {
            // The modulus comes first, after its bit count.
            let bytes = rsa.to_bytes().unwrap_or_default();
            let bits = bytes.first_chunk::<2>().map_or(0, |b| usize::from(u16::from_be_bytes(*b)));
            if RSA_BITS.contains(&bits) { Ok(()) } else { Err(KeyError::Bits { bits, max: *RSA_BITS.end() }) }
        }
        PublicParams::ECDSA(_) | PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) => {
            Ok(())
        }
        _ => Err(KeyError::Kind),
    }
}

/// Returns whether forging the hash is out of reach.
fn is_strong(hash: HashAlgorithm) -> bool {
    matches!(
        hash,
        HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    )
}

/// Returns whether this program knows all subpackets that the signature marks as critical.
fn understood(signature: &packet::Signature) -> bool {
    signature.config().is_some_and(|c| {
        c.hashed_subpackets().filter(|p| p.is_critical).all(|p| {
            !matches!(p.data, SubpacketData::Experimental(..) | SubpacketData::Other(..) | SubpacketData::Notation(_))
        })
    })
}

/// Returns whether a self-signature may be believed if it verifies.
fn sound(signature: &packet::Signature) -> bool {
    signature.hash_alg().is_some_and(is_strong) && understood(signature)
}

fn newest<'s>(signatures: impl Iterator<Item = &'s packet::Signature>) -> Option<&'s packet::Signature> {
    signatures.filter(|s| s.created().is_some()).max_by_key(|s| s.created())
}

/// Returns from when a revocation holds: from the beginning, or from its date if the key was only superseded or
/// retired.
fn revoked_from(revocation: &packet::Signature) -> Option<Timestamp> {
    match revocation.revocation_reason_code() {
        Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired) => revocation.created().map(time),
        Some(_) | None => Some(Timestamp::from_seconds(0)),
    }
}

fn expiry(created: pgp::types::Timestamp, after: Option<pgp::types::Duration>) -> Option<Timestamp> {
    let seconds = after.map(|d| d.as_secs()).filter(|s| *s > 0)?;
    Some(time(created).plus_millis(i64::from(seconds) * 1000))
}

fn time(t: pgp::types::Timestamp) -> Timestamp {
    Timestamp::from_seconds(i64::from(t.as_secs()))
}

/// Formats ids and fingerprints as `gpg` shows them.
fn capitals(id: impl std::fmt::Display) -> String {
    id.to_string().to_uppercase()
}
