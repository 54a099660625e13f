//! Tests of what signatures prove: small ones that `ssh-keygen` and `gpg` made, and random or mutated bytes.

use proptest::prelude::*;
use ssh_key::private::Ed25519Keypair;
use ssh_key::public::{Ed25519PublicKey, KeyData, SkEd25519};
use ssh_key::{Algorithm, HashAlg, LineEnding, SshSig};

use super::*;
use crate::text::Text;

const PAYLOAD: &[u8] = b"hello\n";

/// Bob's key and signature of the payload are made by `ssh-keygen`, Carol's by `gpg`.
const BOB: &str = include_str!("../../tests/data/signatures/bob.pub");
const BOBS: &str = include_str!("../../tests/data/signatures/bob.sig");
const CAROL: &str = include_str!("../../tests/data/signatures/carol.asc");
const CAROLS: &str = include_str!("../../tests/data/signatures/carol.sig");

fn key(text: &str) -> SigningKey {
    SigningKey { key: Text::new(text).unwrap(), added_at: None, revoked_at: None }
}

fn people() -> Vec<(UserName, SigningKey)> {
    vec![("bob".parse().unwrap(), key(BOB)), ("carol".parse().unwrap(), key(CAROL))]
}

fn ask(payload: &[u8], signature: &str) -> SignatureFinding {
    let people = people();
    check(payload, signature.as_bytes(), people.iter().map(|(u, k)| (u, k)), "2026-03-01".parse().unwrap())
}

fn good(name: &str, key: &SigningKey) -> SignatureFinding {
    SignatureFinding::Good { user: name.parse().unwrap(), fingerprint: fingerprint(key).unwrap() }
}

#[test]
fn who_signed_is_found_by_the_key_that_the_signature_names() {
    let people = people();
    assert_eq!(ask(PAYLOAD, BOBS), good("bob", &people[0].1));
    assert_eq!(ask(PAYLOAD, CAROLS), good("carol", &people[1].1));
    assert_eq!(fingerprint(&people[1].1).unwrap(), "69ED4182BB6744E72B2083BF2921292E1C1AC5F7");
    let nobody: [(&UserName, &SigningKey); 0] = [];
    let unknown = check(PAYLOAD, BOBS.as_bytes(), nobody, Timestamp::from_seconds(0));
    assert_eq!(unknown, SignatureFinding::Unknown { key: fingerprint(&people[0].1).unwrap() });
}

#[test]
fn what_was_changed_after_it_was_signed_proves_nobody() {
    for signature in [BOBS, CAROLS] {
        assert_eq!(ask(b"hallo\n", signature), SignatureFinding::Bad(BadSignature::Mismatch));
        assert_eq!(ask(b"", signature), SignatureFinding::Bad(BadSignature::Mismatch));
    }
}

#[test]
fn what_is_no_single_signature_proves_nobody() {
    let both = format!("{BOBS}{CAROLS}");
    let twice = format!("{CAROLS}{CAROLS}");
    let message = CAROLS.replace("PGP SIGNATURE", "PGP MESSAGE");
    for text in ["", "x", "-----BEGIN SSH SIGNATURE-----", CAROL, BOB, both.as_str(), &twice, &message] {
        assert_eq!(ask(PAYLOAD, text), SignatureFinding::Bad(BadSignature::Unreadable), "{text}");
    }
    for end in 0..BOBS.trim_end().len() {
        assert_eq!(ask(PAYLOAD, &BOBS[..end]), SignatureFinding::Bad(BadSignature::Unreadable), "{end} bytes");
    }
    for end in 0..CAROLS.trim_end().len() {
        assert_eq!(ask(PAYLOAD, &CAROLS[..end]), SignatureFinding::Bad(BadSignature::Unreadable), "{end} bytes");
    }
    let long = format!("{BOBS}{}", "\n".repeat(MAX_SIGNATURE));
    assert_eq!(ask(PAYLOAD, &long), SignatureFinding::Bad(BadSignature::TooLarge));
}

#[test]
fn certificates_of_authorities_are_nobodys_keys() {
    let text = "-----BEGIN SIGNED MESSAGE-----\nMIAG\n-----END SIGNED MESSAGE-----\n";
    assert_eq!(ask(PAYLOAD, text), SignatureFinding::Unknown { key: "X.509".to_owned() });
}

#[test]
fn keys_that_cannot_sign_are_told_apart() {
    let error = |text: &str| PublicKey::parse(text).and_then(|k| k.vet()).unwrap_err();
    assert_eq!(error("openpgp:69ED4182BB6744E72B2083BF2921292E1C1AC5F7"), KeyError::Unreadable);
    assert_eq!(error(&format!("{BOB}{BOB}")), KeyError::Unreadable);
    assert_eq!(error(&format!("command=\"x\" {BOB}")), KeyError::Unreadable);
    assert_eq!(error(&"x".repeat(MAX_KEY + 1)), KeyError::TooLarge);
    assert_eq!(error(&format!("-----BEGIN OPENSSH PRIVATE {}-----", "KEY")), KeyError::Private);
    assert_eq!(PublicKey::parse(BOB).map(|k| k.kind()), Ok("ssh-ed25519".to_owned()));
    assert_eq!(PublicKey::parse(CAROL).map(|k| k.kind()), Ok("openpgp".to_owned()));
}

/// Signs bytes without any framing.
fn raw(signer: &impl ssh_key::SigningKey, bytes: &[u8]) -> Vec<u8> {
    signer.try_sign(bytes).unwrap().as_bytes().to_vec()
}

#[test]
fn a_security_key_proves_its_owner() {
    // As a security key does: it signs the hash of the application, flags, a counter, and the hash of the challenge.
    let device = Ed25519Keypair::from_seed(&[7; 32]);
    let sha256 = |bytes: &[u8]| <ssh_key::sha2::Sha256 as ssh_key::sha2::Digest>::digest(bytes).to_vec();
    let asked = SshSig::signed_data("git", HashAlg::Sha512, PAYLOAD).unwrap();
    let trailer = [1, 0, 0, 0, 9];
    let signed =
        raw(&ssh_key::PrivateKey::from(device.clone()), &[sha256(b"ssh:"), trailer.to_vec(), sha256(&asked)].concat());
    let public = KeyData::SkEd25519(SkEd25519::from(Ed25519PublicKey::from(&device)));
    let line = ssh_key::PublicKey::new(public.clone(), "").to_openssh().unwrap();
    let signature = ssh_key::Signature::new(Algorithm::SkEd25519, [signed, trailer.to_vec()].concat()).unwrap();
    let text = SshSig::new(public, "git", HashAlg::Sha512, signature).unwrap().to_pem(LineEnding::LF).unwrap();
    let (alice, key) = ("alice".parse().unwrap(), key(&line));
    let at = |payload: &[u8]| check(payload, text.as_bytes(), [(&alice, &key)], Timestamp::from_seconds(0));
    assert_eq!(at(PAYLOAD), good("alice", &key));
    assert_eq!(at(b"else"), SignatureFinding::Bad(BadSignature::Mismatch));
}

/// Returns a text with some characters changed, removed or inserted.
fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..3_u8, "[ -~\n]");
    prop::collection::vec(edit, 1..6).prop_map(move |edits| {
        let mut out: Vec<char> = text.chars().collect();
        for (at, how, new) in edits {
            let (at, new) = (at.index(out.len()), new.chars().next().unwrap());
            match how {
                0 => out[at] = new,
                1 => drop(out.remove(at)),
                _ => out.insert(at, new),
            }
        }
        out.into_iter().collect()
    })
}

/// Returns armored text around the bytes of a real signature or key, with some bytes changed.
fn mutated_bytes(text: &'static str, label: &'static str) -> impl Strategy<Value = String> {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let body: String = text.lines().filter(|l| !l.contains('-') && !l.starts_with('=')).collect();
    let bytes = base64.decode(body).unwrap();
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5);
    (edits, any::<prop::sample::Index>(), any::<bool>()).prop_map(move |(edits, end, cut)| {
        let mut out = bytes.clone();
        for (at, new) in edits {
            let at = at.index(out.len());
            out[at] = new;
        }
        if cut {
            out.truncate(end.index(out.len()) + 1);
        }
        let lines: Vec<String> =
            base64.encode(out).as_bytes().chunks(64).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
        let blank = if label.starts_with("PGP") { "\n" } else { "" };
        format!("-----BEGIN {label}-----\n{blank}{}\n-----END {label}-----\n", lines.join("\n"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic_or_prove_somebody(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let people = people();
        let found = check(PAYLOAD, &bytes, people.iter().map(|(u, k)| (u, k)), Timestamp::from_seconds(0));
        prop_assert_eq!(found, SignatureFinding::Bad(BadSignature::Unreadable));
        let _ = PublicKey::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_signature_that_was_changed_proves_at_most_what_it_did(
        text in prop_oneof![
            mutated(BOBS),
            mutated(CAROLS),
            mutated_bytes(BOBS, "SSH SIGNATURE"),
            mutated_bytes(CAROLS, "PGP SIGNATURE"),
        ],
    ) {
        // Armor allows some variants, such as blank lines. A variant proves the same person, and never another content.
        let people = people();
        match ask(PAYLOAD, &text) {
            SignatureFinding::Good { user, .. } => prop_assert!(people.iter().any(|(u, _)| *u == user)),
            SignatureFinding::Void { .. } | SignatureFinding::Unknown { .. } | SignatureFinding::Bad(_) => {}
        }
        let other = ask(b"else", &text);
        prop_assert!(!matches!(other, SignatureFinding::Good { .. }), "{:?}", other);
    }

    #[test]
    fn a_key_that_was_changed_neither_panics_nor_proves_the_signature(
        text in prop_oneof![mutated(BOB), mutated(CAROL), mutated_bytes(CAROL, "PGP PUBLIC KEY BLOCK")],
    ) {
        if let Ok(key) = PublicKey::parse(&text) {
            let _ = (key.vet(), key.fingerprint().len(), key.kind(), key.ssh_line());
            let (user, given) = ("dave".parse().unwrap(), SigningKey { key: Text::new(&text).unwrap(), ..super::tests::key("") });
            for signature in [BOBS, CAROLS] {
                let found = check(b"else", signature.as_bytes(), [(&user, &given)], Timestamp::from_seconds(1_772_000_000));
                prop_assert!(!matches!(found, SignatureFinding::Good { .. }), "{:?}", found);
            }
        }
    }
}
