//! Signatures that git makes with `ssh-keygen` and `gpg` prove their signer, and no other signature does.

use greenroom::entity::person::SigningKey;
use greenroom::git::{Repo, Signed};
use greenroom::name::UserName;
use greenroom::signature::{BadSignature, KeyError, KeyInvalidity, KeyRing, PublicKey, SignatureFinding, check};
use greenroom::text::Text;
use greenroom::time::Timestamp;
use greenroom::tree::Oid;

use crate::support::{Sandbox, tools};

/// A time after all actions of the tests; [`BEFORE`] is a time before them.
const LATER: &str = "2100-01-01T00:00:00Z";
const BEFORE: &str = "2020-01-01T00:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn user(name: &str) -> UserName {
    name.parse().expect("a user's name")
}

fn key(text: &str) -> SigningKey {
    SigningKey { key: Text::new(text.trim()).expect("a text"), added_at: None, revoked_at: None }
}

/// The finding about a signature, given the keys of people.
fn ask(signed: &Signed, keys: &[(&str, &SigningKey)], at: &str) -> SignatureFinding {
    let keys: Vec<(UserName, &SigningKey)> = keys.iter().map(|(name, key)| (user(name), *key)).collect();
    check(&signed.payload, &signed.signature, keys.iter().map(|(name, key)| (name, *key)), time(at))
}

fn good(name: &str, key: &SigningKey) -> SignatureFinding {
    let fingerprint = greenroom::signature::fingerprint(key).expect("a key");
    SignatureFinding::Good { user: user(name), fingerprint }
}

fn void(name: &str, key: &SigningKey, why: KeyInvalidity) -> SignatureFinding {
    let fingerprint = greenroom::signature::fingerprint(key).expect("a key");
    SignatureFinding::Void { user: user(name), fingerprint, why }
}

/// The signature of a revision in `r`.
fn signature(sandbox: &Sandbox, rev: &str) -> Option<Signed> {
    let shown = sandbox.alice().within("r").git(["rev-parse", rev]).success();
    let id = Oid::from_hex(shown.stdout().trim()).expect("an id");
    Repo::open(&sandbox.path("r")).expect("a repository").signature_of(&id).expect("it can be read")
}

/// A signature with a changed payload.
fn tampered(signed: &Signed) -> Signed {
    let payload = [signed.payload.as_slice(), b"and more\n"].concat();
    Signed { payload, signature: signed.signature.clone() }
}

/// An SSH key, by the arguments of ssh-keygen.
fn ssh_key(sandbox: &Sandbox, name: &str, args: &[&str]) -> SigningKey {
    let rest = ["-q", "-N", "", "-C", "alice@laptop", "-f", name];
    sandbox.alice().run("ssh-keygen", args.iter().copied().chain(rest)).success();
    key(&sandbox.read(format!("{name}.pub")))
}

/// Signs an empty commit with an SSH key and returns its signature.
fn ssh_signed(sandbox: &Sandbox, name: &str) -> Signed {
    let path = sandbox.path(name);
    let path = path.to_str().expect("UTF-8");
    let settings = ["-c", "gpg.format=ssh", "-c", &format!("user.signingKey={path}")];
    let commit = ["commit", "-q", "-S", "--allow-empty", "-m", "Sign\n\nwith a body\n"];
    sandbox.alice().within("r").git(settings.into_iter().chain(commit)).success();
    signature(sandbox, "HEAD").expect("a signature")
}

#[test]
fn every_kind_of_ssh_key_that_is_taken_proves_its_owner() {
    tools::signing_tools();
    let sandbox = Sandbox::new();
    sandbox.git(["init", "-q", "r"]).success();
    let kinds: [(&str, &[&str]); 6] = [
        ("ed25519", &["-t", "ed25519"]),
        ("p256", &["-t", "ecdsa", "-b", "256"]),
        ("p384", &["-t", "ecdsa", "-b", "384"]),
        ("p521", &["-t", "ecdsa", "-b", "521"]),
        ("rsa2048", &["-t", "rsa", "-b", "2048"]),
        ("rsa3072", &["-t", "rsa", "-b", "3072"]),
    ];
    let keys: Vec<(&str, SigningKey)> = kinds.iter().map(|(n, args)| (*n, ssh_key(&sandbox, n, args))).collect();
    let ring = |at: usize| [("bob", &keys[(at + 1) % keys.len()].1), ("alice", &keys[at].1)];
    for (i, (name, key)) in keys.iter().enumerate() {
        let signed = ssh_signed(&sandbox, name);
        assert_eq!(ask(&signed, &ring(i), LATER), good("alice", key), "{name}");
        assert_eq!(ask(&tampered(&signed), &ring(i), LATER), SignatureFinding::Bad(BadSignature::Mismatch), "{name}");
        let fingerprint = greenroom::signature::fingerprint(key).expect("a key");
        let shown = sandbox.alice().run("ssh-keygen", ["-l", "-f", &format!("{name}.pub")]).success();
        assert!(shown.stdout().contains(&fingerprint), "{fingerprint} is not in {}", shown.stdout());
        assert_eq!(ask(&signed, &ring(i)[..1], LATER), SignatureFinding::Unknown { key: fingerprint }, "{name}");
    }
}

#[test]
fn weak_ssh_keys_are_not_taken() {
    tools::signing_tools();
    let sandbox = Sandbox::new();
    sandbox.git(["init", "-q", "r"]).success();
    for (name, args, want) in [
        ("rsa1024", ["-t", "rsa", "-b", "1024"], KeyError::Bits { bits: 1024, max: 4096 }),
        ("dsa", ["-t", "dsa", "-b", "1024"], KeyError::Kind),
    ] {
        let key = ssh_key(&sandbox, name, &args);
        assert_eq!(PublicKey::parse(key.key.as_str()).expect_err(name), want);
    }
    ssh_key(&sandbox, "rsa1024b", &["-t", "rsa", "-b", "1024"]);
    assert_eq!(ask(&ssh_signed(&sandbox, "rsa1024b"), &[], LATER), SignatureFinding::Bad(BadSignature::Kind));
    let private = PublicKey::parse(&sandbox.read("rsa1024b")).expect_err("a private key");
    assert_eq!(private, KeyError::Private);
}

#[test]
fn an_ssh_signature_for_something_else_is_none_for_git() {
    tools::signing_tools();
    let sandbox = Sandbox::new();
    let key = ssh_key(&sandbox, "key", &["-t", "ed25519"]);
    let sign = |namespace: &str| {
        let args = ["-q", "-Y", "sign", "-n", namespace, "-f", "key"];
        let signature = sandbox.alice().input("hello").run("ssh-keygen", args).success().stdout().as_bytes().to_vec();
        Signed { payload: b"hello".to_vec(), signature }
    };
    assert_eq!(ask(&sign("git"), &[("alice", &key)], LATER), good("alice", &key));
    assert_eq!(ask(&sign("file"), &[("alice", &key)], LATER), SignatureFinding::Bad(BadSignature::Namespace));
}

#[test]
fn a_key_counts_from_when_it_was_added_until_it_is_revoked() {
    tools::signing_tools();
    let sandbox = Sandbox::new();
    sandbox.git(["init", "-q", "r"]).success();
    let mut key = ssh_key(&sandbox, "key", &["-t", "ed25519"]);
    let signed = ssh_signed(&sandbox, "key");
    key.added_at = Some(time("2026-03-01T12:00:00.700Z"));
    key.revoked_at = Some(time("2026-04-01T12:00:00.700Z"));
    let at = |when: &str| ask(&signed, &[("alice", &key)], when);
    // Commits have whole seconds only, but the key's times have milliseconds.
    assert_eq!(
        at("2026-03-01T11:59:59Z"),
        void("alice", &key, KeyInvalidity::NotYet(time("2026-03-01T12:00:00.700Z")))
    );
    assert_eq!(at("2026-03-01T12:00:00Z"), good("alice", &key));
    assert_eq!(at("2026-04-01T11:59:59Z"), good("alice", &key));
    assert_eq!(
        at("2026-04-01T12:00:00Z"),
        void("alice", &key, KeyInvalidity::Revoked(time("2026-04-01T12:00:00.700Z")))
    );
    let again = SigningKey { added_at: Some(time("2026-05-01T00:00:00Z")), revoked_at: None, key: key.key.clone() };
    assert_eq!(ask(&signed, &[("alice", &key), ("alice", &again)], "2026-05-02"), good("alice", &key));
    let shared = SignatureFinding::Bad(BadSignature::Shared(greenroom::signature::fingerprint(&key).expect("a key")));
    assert_eq!(ask(&signed, &[("alice", &key), ("bob", &again)], "2026-05-02"), shared);
}

#[test]
fn a_tag_is_signed_as_a_commit_is() {
    tools::signing_tools();
    let sandbox = Sandbox::new();
    sandbox.git(["init", "-q", "r"]).success();
    let key = ssh_key(&sandbox, "key", &["-t", "ed25519"]);
    let commit = ssh_signed(&sandbox, "key");
    let path = sandbox.path("key");
    let settings = ["-c", "gpg.format=ssh", "-c", &format!("user.signingKey={}", path.to_str().expect("UTF-8"))];
    sandbox.alice().within("r").git(settings.into_iter().chain(["tag", "-s", "-m", "First\n\nof all", "v1"])).success();
    sandbox.alice().within("r").git(["tag", "-a", "-m", "unsigned", "v2"]).success();
    let tag = signature(&sandbox, "v1").expect("a signature");
    assert_eq!(ask(&tag, &[("alice", &key)], LATER), good("alice", &key));
    let mixed = Signed { payload: commit.payload, signature: tag.signature };
    assert_eq!(ask(&mixed, &[("alice", &key)], LATER), SignatureFinding::Bad(BadSignature::Mismatch));
    assert_eq!(signature(&sandbox, "v2"), None);
    let args = ["commit", "-q", "--allow-empty", "-m", "unsigned"];
    sandbox.alice().within("r").git(args).success();
    assert_eq!(signature(&sandbox, "HEAD"), None);
}

#[test]
fn two_signatures_prove_nobody() {
    tools::signing_tools();
    let sandbox = Sandbox::new();
    sandbox.git(["init", "-q", "r"]).success();
    let key = ssh_key(&sandbox, "key", &["-t", "ed25519"]);
    ssh_signed(&sandbox, "key");
    let text = sandbox.alice().within("r").git(["cat-file", "commit", "HEAD"]).success().stdout().to_owned();
    let (head, rest) = text.split_once("gpgsig").expect("a signature");
    let (header, message) = rest.split_once("\n\n").expect("a message");
    let twice = format!("{head}gpgsig{header}\ngpgsig{header}\n\n{message}");
    let shell = sandbox.alice().within("r").input(twice);
    let id = shell.git(["hash-object", "-t", "commit", "-w", "--stdin", "--literally"]).success();
    let signed = signature(&sandbox, id.stdout().trim()).expect("a signature");
    assert_eq!(ask(&signed, &[("alice", &key)], LATER), SignatureFinding::Bad(BadSignature::Unreadable));
}

/// A home of gpg with a short path, as the sockets of its agent need.
struct Gpg<'s> {
    sandbox: &'s Sandbox,
    home: tempfile::TempDir,
}

impl<'s> Gpg<'s> {
    fn new(sandbox: &'s Sandbox) -> Self {
        tools::signing_tools();
        sandbox.git(["init", "-q", "r"]).success();
        Self { sandbox, home: tempfile::Builder::new().prefix("gnupg").tempdir().expect("a temporary folder") }
    }

    fn run(&self, args: &[&str]) -> String {
        let quiet = ["--batch", "--yes", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""];
        let shell = self.sandbox.alice().env("GNUPGHOME", self.home.path());
        shell.run("gpg", quiet.into_iter().chain(args.iter().copied())).success().stdout().to_owned()
    }

    fn make(&self, name: &str, kind: &str, usage: &str) -> String {
        self.run(&["--quick-gen-key", &format!("{name} <{name}@example.org>"), kind, usage, "never"]);
        self.fingerprint(name)
    }

    fn fingerprint(&self, name: &str) -> String {
        let list = self.run(&["--list-keys", "--with-colons", name]);
        let line = list.lines().find(|l| l.starts_with("fpr:")).expect("a fingerprint");
        line.split(':').nth(9).expect("a fingerprint").to_owned()
    }

    fn export(&self, name: &str) -> SigningKey {
        key(&self.run(&["--armor", "--export", name]))
    }

    /// Signs an empty commit; the arguments go to gpg.
    fn signed(&self, name: &str, args: &str) -> Signed {
        let program = format!("#!/bin/sh\nexec gpg --batch --no-tty {args} \"$@\"\n");
        self.sandbox.write("gpg.sh", program);
        self.sandbox.alice().run("chmod", ["+x", "gpg.sh"]).success();
        let program = format!("gpg.program={}", self.sandbox.path("gpg.sh").to_str().expect("UTF-8"));
        let shell = self.sandbox.alice().within("r").env("GNUPGHOME", self.home.path());
        let sign = format!("-S{name}");
        let args = ["-c", &program, "commit", "-q", &sign, "--allow-empty", "-m", "Sign"];
        shell.git(args).success();
        signature(self.sandbox, "HEAD").expect("a signature")
    }
}

impl Drop for Gpg<'_> {
    fn drop(&mut self) {
        let shell = self.sandbox.alice().env("GNUPGHOME", self.home.path());
        let _ = shell.run("gpgconf", ["--kill", "all"]);
    }
}

#[test]
fn every_kind_of_openpgp_key_that_is_taken_proves_its_owner() {
    let sandbox = Sandbox::new();
    let gpg = Gpg::new(&sandbox);
    for kind in ["ed25519", "rsa2048", "nistp256", "nistp384", "nistp521"] {
        let name = format!("key-{kind}");
        let fingerprint = gpg.make(&name, kind, "sign");
        let key = gpg.export(&name);
        let signed = gpg.signed(&fingerprint, "");
        assert_eq!(greenroom::signature::fingerprint(&key), Ok(fingerprint.clone()), "{kind}");
        assert_eq!(ask(&signed, &[("alice", &key)], LATER), good("alice", &key), "{kind}");
        assert_eq!(
            ask(&tampered(&signed), &[("alice", &key)], LATER),
            SignatureFinding::Bad(BadSignature::Mismatch),
            "{kind}"
        );
        assert_eq!(ask(&signed, &[], LATER), SignatureFinding::Unknown { key: fingerprint }, "{kind}");
        assert_eq!(PublicKey::parse(key.key.as_str()).and_then(|k| k.vet()), Ok(()), "{kind}");
    }
    let private = gpg.run(&["--armor", "--export-secret-keys", "key-ed25519"]);
    assert_eq!(PublicKey::parse(&private).expect_err("a private key"), KeyError::Private);
    let disguised = private.replace("PRIVATE KEY", "PUBLIC KEY");
    assert_eq!(PublicKey::parse(&disguised).expect_err("a private key"), KeyError::Private);
    let all = gpg.run(&["--armor", "--export"]);
    assert_eq!(PublicKey::parse(&all).expect_err("several keys"), KeyError::Several);
}

#[test]
fn weak_openpgp_keys_and_hashes_are_not_taken() {
    let sandbox = Sandbox::new();
    let gpg = Gpg::new(&sandbox);
    gpg.make("short", "rsa1024", "sign");
    gpg.make("dsa", "dsa2048", "sign");
    let parse = |name: &str| PublicKey::parse(gpg.export(name).key.as_str());
    assert_eq!(parse("short").expect_err("too short"), KeyError::Bits { bits: 1024, max: 8192 });
    assert_eq!(parse("dsa").expect_err("DSA"), KeyError::Kind);
    let fingerprint = gpg.make("carol", "rsa2048", "sign");
    let key = gpg.export("carol");
    let signed = gpg.signed(&fingerprint, "--digest-algo SHA1");
    assert_eq!(ask(&signed, &[("carol", &key)], LATER), SignatureFinding::Bad(BadSignature::Hash));
    gpg.run(&["--cert-digest-algo", "SHA1", "--quick-gen-key", "old", "rsa2048", "sign", "never"]);
    assert_eq!(parse("old").and_then(|k| k.vet()), Err(KeyError::SelfSignature));
    gpg.make("certifier", "ed25519", "cert");
    assert_eq!(parse("certifier").and_then(|k| k.vet()), Err(KeyError::NotForSigning));
}

/// The bytes of an armored key.
fn bytes(key: &SigningKey) -> Vec<u8> {
    use base64::Engine as _;
    let body: String = key.key.as_str().lines().filter(|l| !l.contains("-----") && !l.starts_with('=')).collect();
    base64::engine::general_purpose::STANDARD.decode(body).expect("base64")
}

/// The first key with the subkeys of the second after it.
fn adopted(key: &SigningKey, from: &SigningKey) -> SigningKey {
    use base64::Engine as _;
    let (mut out, from) = (bytes(key), bytes(from));
    let mut rest = from.as_slice();
    // gpg writes packets with a length of one or two bytes; tag 14 is a subkey.
    while (rest[0] >> 2) & 15 != 14 {
        let (head, length) = match rest[0] & 3 {
            0 => (2, usize::from(rest[1])),
            _ => (3, usize::from(u16::from_be_bytes([rest[1], rest[2]]))),
        };
        rest = &rest[head + length..];
    }
    out.extend_from_slice(rest);
    let body = base64::engine::general_purpose::STANDARD.encode(out);
    key_block(&body)
}

fn key_block(base64: &str) -> SigningKey {
    key(&format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{base64}\n-----END PGP PUBLIC KEY BLOCK-----"))
}

#[test]
fn a_signing_subkey_proves_its_owner_until_it_is_revoked() {
    let sandbox = Sandbox::new();
    let gpg = Gpg::new(&sandbox);
    let primary = gpg.make("alice", "ed25519", "cert");
    gpg.run(&["--quick-add-key", &primary, "ed25519", "sign", "never"]);
    gpg.run(&["--quick-add-key", &primary, "cv25519", "encr", "never"]);
    let key = gpg.export("alice");
    let signed = gpg.signed(&primary, "");
    assert_eq!(ask(&signed, &[("alice", &key)], LATER), good("alice", &key));
    assert!(
        matches!(ask(&signed, &[], LATER), SignatureFinding::Unknown { key } if key != primary),
        "made by the subkey"
    );
    // Mallory adds Alice's subkey to Mallory's key, with her signature that it belongs to hers.
    gpg.make("mallory", "ed25519", "sign");
    let stolen = adopted(&gpg.export("mallory"), &key);
    assert_eq!(ask(&signed, &[("mallory", &stolen)], LATER), void("mallory", &stolen, KeyInvalidity::NotForSigning));
    let commands = "key 1\nrevkey\ny\n1\n\ny\nsave\n";
    let quiet = ["--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", "--command-fd", "0"];
    let edit = sandbox.alice().env("GNUPGHOME", gpg.home.path()).input(commands);
    edit.run("gpg", quiet.into_iter().chain(["--edit-key", &primary])).success();
    let revoked = gpg.export("alice");
    let epoch = KeyInvalidity::RevokedByOwner(Timestamp::from_seconds(0));
    assert_eq!(ask(&signed, &[("alice", &revoked)], LATER), void("alice", &revoked, epoch));
}

#[test]
fn an_openpgp_key_ends_when_it_says() {
    let sandbox = Sandbox::new();
    let gpg = Gpg::new(&sandbox);
    gpg.run(&["--faked-system-time", "20200101T000000!", "--quick-gen-key", "alice", "ed25519", "sign", "1y"]);
    let fingerprint = gpg.fingerprint("alice");
    let key = gpg.export("alice");
    let signed = gpg.signed(&fingerprint, "--faked-system-time 20200601T000000!");
    assert_eq!(ask(&signed, &[("alice", &key)], "2020-06-01"), good("alice", &key));
    let end = KeyInvalidity::Expired(time("2020-12-31T00:00:00Z"));
    assert_eq!(ask(&signed, &[("alice", &key)], "2020-12-31T00:00:00Z"), void("alice", &key, end));
    assert_eq!(ask(&tampered(&signed), &[("alice", &key)], LATER), SignatureFinding::Bad(BadSignature::Mismatch));
    gpg.run(&["--quick-set-expire", &fingerprint, "2100-01-01"]);
    let renewed = gpg.export("alice");
    assert_eq!(ask(&signed, &[("alice", &renewed)], "2030-01-01"), good("alice", &renewed));
    // The older block is still there beside the renewed one: one of the two counts.
    assert_eq!(ask(&signed, &[("alice", &renewed), ("alice", &key)], "2030-01-01"), good("alice", &renewed));
}

#[test]
fn an_openpgp_key_that_its_owner_revoked_proves_nobody() {
    let sandbox = Sandbox::new();
    let gpg = Gpg::new(&sandbox);
    let fingerprint = gpg.make("alice", "ed25519", "sign");
    let signed = gpg.signed(&fingerprint, "");
    let certificate = gpg.home.path().join(format!("openpgp-revocs.d/{fingerprint}.rev"));
    let text = std::fs::read_to_string(certificate).expect("gpg makes one with each key");
    sandbox.write("revoke.asc", text.replace(":-----", "-----"));
    gpg.run(&["--import", "revoke.asc"]);
    let revoked = gpg.export("alice");
    let epoch = KeyInvalidity::RevokedByOwner(Timestamp::from_seconds(0));
    assert_eq!(ask(&signed, &[("alice", &revoked)], BEFORE), void("alice", &revoked, epoch));
}

#[test]
fn among_ten_thousand_keys_only_the_one_that_signed_is_tried() {
    tools::signing_tools();
    let sandbox = Sandbox::new();
    sandbox.git(["init", "-q", "r"]).success();
    let mine = ssh_key(&sandbox, "key", &["-t", "ed25519"]);
    let signed = ssh_signed(&sandbox, "key");
    let others: Vec<(UserName, SigningKey)> =
        (0..10_000u32).map(|i| (user(&format!("user-{i}")), numbered(i))).collect();
    let alice = user("alice");
    let ring = KeyRing::new(others.iter().map(|(u, k)| (u, k)).chain([(&alice, &mine)]));
    let start = std::time::Instant::now();
    for _ in 0..100 {
        assert_eq!(ring.check(&signed.payload, &signed.signature, time(LATER)), good("alice", &mine));
    }
    // A hundred times ten thousand verifications would take a minute.
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

/// A well-formed SSH key without a private key.
fn numbered(i: u32) -> SigningKey {
    use base64::Engine as _;
    let mut bytes = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    bytes.extend(i.to_be_bytes().iter().cycle().take(32));
    key(&format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(bytes)))
}

#[test]
fn git_itself_verifies_with_the_keys_of_the_registry() {
    tools::signing_tools();
    let sandbox = Sandbox::new();
    let at = |when: &str| sandbox.alice().within("r").at(when);
    sandbox.alice().at("2026-03-01T12:00:00Z").greenroom(["init", "r"]).success();
    let key = ssh_key(&sandbox, "key", &["-t", "ed25519"]);
    at("2026-03-01T12:00:00Z").greenroom(["person", "set", "alice", "--key", "../key.pub"]).success();
    let path = sandbox.path("key");
    let sign = |when: &str| {
        let settings = ["-c", "gpg.format=ssh", "-c", &format!("user.signingKey={}", path.to_str().expect("UTF-8"))];
        at(when).git(settings.into_iter().chain(["commit", "-q", "-S", "--allow-empty", "-m", "Sign"])).success();
        let head = at(when).git(["rev-parse", "HEAD"]).success();
        head.stdout().trim().to_owned()
    };
    let commits = ["2026-03-01T11:59:59Z", "2026-03-01T12:00:00Z", "2026-04-01T11:59:59Z", "2026-04-01T12:00:00Z"]
        .map(|when| (when, sign(when)));
    at("2026-04-01T12:00:00Z").greenroom(["person", "set", "alice", "--revoke-key", "laptop"]).success();
    let file = at("2026-04-02").greenroom(["person", "allowed-signers"]).success();
    sandbox.write("signers", file.stdout());
    let setting = format!("gpg.ssh.allowedSignersFile={}", sandbox.path("signers").to_str().expect("UTF-8"));
    let person = at("2026-04-02").greenroom(["person", "show", "alice", "-o", "json"]).success().json();
    let when = |field: &str| Some(time(person["keys"][0][field].as_str().expect("a time")));
    let stored = SigningKey { key: key.key, added_at: when("added_at"), revoked_at: when("revoked_at") };
    for ((when, commit), valid) in commits.iter().zip([false, true, true, false]) {
        at("2026-04-02").git(["-c", &setting, "verify-commit", commit]).code(i32::from(!valid));
        let signed = signature(&sandbox, commit).expect("a signature");
        let found = ask(&signed, &[("alice", &stored)], when);
        assert_eq!(matches!(found, SignatureFinding::Good { .. }), valid, "{when}: {found:?}");
    }
    // As of a time before its revocation the key was valid without an end.
    let file = at("2026-04-02").greenroom(["person", "allowed-signers", "--at", "2026-03-15"]).success();
    sandbox.write("signers", file.stdout());
    at("2026-04-02").git(["-c", &setting, "verify-commit", &commits[3].1]).success();
}
