//! Secrets: texts that must not be in git, under names that may be. A webhook's file says `secret = "release-channel"`;
//! the secret that signs its requests is stored here.
//!
//! They are kept in `secrets.toml` in the repository's folder of state, for its owner alone, or come from the environment
//! (`GREENROOM_SECRET_RELEASE_CHANNEL`), which counts first. With a key ([`KEY`], [`KEY_FILE`]) the file holds them
//! encrypted (AES-256-GCM, bound to their names), so that a copy of the disk gives nothing away. No secret is ever
//! printed: a [`Secret`] shows itself as `…`.
//!
//! Names that begin `webhook-` may be named by who manages a model alone. Such a secret belongs to the webhook that used it
//! first, which is noted beside it, so that nobody has it sent elsewhere by a webhook that takes the place of that one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::entity::webhook::{NEXT_SECRET, OWN_SECRET, base_of};
use crate::name::{Id, Key};
use crate::private_file::{KeptError, StateFile, StateFileStamp};
use crate::time::Timestamp;

/// The prefix of environment variables with secrets.
pub const VARIABLE: &str = "GREENROOM_SECRET_";

/// The variable that holds the key of the file: 64 hexadecimal digits.
pub const KEY: &str = "GREENROOM_SECRETS_KEY";

/// The variable that names a file with the key.
pub const KEY_FILE: &str = "GREENROOM_SECRETS_KEY_FILE";

/// The longest secret, in bytes.
pub const MAX_SECRET: usize = 8 << 10;

/// The largest file of secrets, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// The size of a nonce, in bytes.
const NONCE: usize = 12;

/// Why a secret could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The key is malformed.
    #[error("{from} is not a key: it must hold 64 hexadecimal digits, as `openssl rand -hex 32` prints them")]
    NoKey {
        /// The variable or file of the key.
        from: String,
    },
    /// The file with the key cannot be read.
    #[error("cannot read the key of the secrets in {}", .path.display())]
    KeyFile {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The secret is encrypted, and no key is given.
    #[error("the secret '{name}' is encrypted: give the key in {KEY} or {KEY_FILE}")]
    Sealed {
        /// The name of the secret.
        name: String,
    },
    /// The secret cannot be decrypted with the given key.
    #[error("the secret '{name}' cannot be decrypted with this key: give the right key, or set the secret again")]
    WrongKey {
        /// The name of the secret.
        name: String,
    },
    /// The text cannot be a secret.
    #[error("a secret has from 1 to {MAX_SECRET} bytes and no control characters")]
    Unfit,
    /// The secret belongs to another webhook.
    #[error(
        "the secret '{name}' belongs to the webhook {webhook}, which used it first: set it again (`greenroom secret \
         set {name}`), or release it for another webhook (`greenroom secret release {name}`)"
    )]
    Claimed {
        /// Its name.
        name: String,
        /// The webhook's id.
        webhook: String,
    },
    /// The system gives no random bytes.
    #[error("the operating system provides no random bytes: {0}")]
    Random(String),
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Accepts a text as a secret.
    ///
    /// # Errors
    /// [`SecretError::Unfit`] if the text is empty, too long, or has control characters.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        let fits = !text.is_empty() && text.len() <= MAX_SECRET && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(SecretError::Unfit) }
    }

    /// Generates a secret for signatures in the format of Standard Webhooks: `whsec_` and 32 random bytes in base64.
    ///
    /// # Errors
    /// [`SecretError::Random`] if the system's random number generator fails.
    pub fn random() -> Result<Self, SecretError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| SecretError::Random(e.to_string()))?;
        Ok(Self(format!("whsec_{}", BASE64.encode(bytes))))
    }

    /// Returns the text of the secret. Never print it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret in a list: everything except its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSummary {
    /// The name of the secret; the variable, if only the environment has it.
    pub name: String,
    /// When the secret was set; `None` if the file does not have it.
    pub changed: Option<Timestamp>,
    /// Whether the file holds it encrypted.
    pub sealed: bool,
    /// Whether the environment has it, which takes precedence.
    pub environment: bool,
    /// The webhook that it belongs to, if it is one's own.
    pub webhook: Option<String>,
}

/// A secret in the file: in plain text or encrypted.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
    changed: i64,
}

/// The content of the file.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretsFile {
    #[serde(default)]
    secret: BTreeMap<String, SecretEntry>,
    /// The webhook that each secret belongs to which is one's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    webhook: BTreeMap<String, String>,
}

impl SecretsFile {
    fn put(&mut self, name: &Key, secret: &Secret, now: Timestamp) {
        let entry = SecretEntry { value: Some(secret.reveal().to_owned()), sealed: None, changed: now.as_millis() };
        self.secret.insert(name.as_str().to_owned(), entry);
    }
}

/// What was last read of the file.
type CachedSecrets = Option<(Option<StateFileStamp>, Arc<SecretsFile>)>;

/// The secrets of a repository.
pub struct Secrets {
    kept: StateFile,
    key: Option<Aes256Gcm>,
    known: Mutex<CachedSecrets>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("path", &self.kept.path()).finish_non_exhaustive()
    }
}

impl Secrets {
    /// Opens the secrets in a data folder ([`crate::registry::Registry::state_dir`]), with the key that the environment
    /// gives, if any.
    ///
    /// # Errors
    /// [`SecretError::NoKey`] or [`SecretError::KeyFile`] if the key is malformed or unreadable.
    pub fn of(state_dir: &Path) -> Result<Self, SecretError> {
        Ok(Self::with_key(state_dir, key_of_environment()?.as_ref()))
    }

    /// Opens the secrets in a folder with this key, or in plain text without a key.
    pub fn with_key(state_dir: &Path, key: Option<&[u8; 32]>) -> Self {
        Self {
            kept: StateFile::new(state_dir, "secrets.toml", "secrets", MAX_FILE),
            key: key.map(|key| Aes256Gcm::new(key.into())),
            known: Mutex::default(),
        }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        self.kept.path()
    }

    /// Whether secrets are encrypted when they are written.
    pub fn seals(&self) -> bool {
        self.key.is_some()
    }

    /// Returns a secret; `None` if neither the environment nor the file has it.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read or the secret cannot be decrypted.
    pub fn get(&self, name: &Key) -> Result<Option<Secret>, SecretError> {
        if let Some(text) = std::env::var(variable(name)).ok().filter(|text| !text.is_empty()) {
            return Secret::new(&text).map(Some);
        }
        let stored = self.stored()?;
        stored.secret.get(name.as_str()).map(|entry| self.open(name.as_str(), entry)).transpose()
    }

    /// A secret for a webhook that names it; none where there is none.
    ///
    /// # Errors
    /// [`SecretError::Claimed`] for the own secret of another webhook.
    pub fn get_for(&self, name: &Key, webhook: &Id) -> Result<Option<Secret>, SecretError> {
        let secret = self.get(name)?;
        if secret.is_some() {
            self.claim(name, webhook)?;
        }
        Ok(secret)
    }

    /// Notes that a secret is a webhook's own, if its name says that it is one's and no other webhook used it before.
    ///
    /// # Errors
    /// [`SecretError::Claimed`] where another one did.
    pub fn claim(&self, name: &Key, webhook: &Id) -> Result<(), SecretError> {
        let Some(own) = own(name) else { return Ok(()) };
        let mut owner = self.stored()?.webhook.get(own).cloned();
        if owner.is_none() {
            self.change(|stored| {
                let first = stored.webhook.entry(own.to_owned()).or_insert_with(|| webhook.as_str().to_owned());
                owner = Some(first.clone());
            })?;
        }
        match owner.filter(|owner| owner != webhook.as_str()) {
            Some(webhook) => Err(SecretError::Claimed { name: own.to_owned(), webhook }),
            None => Ok(()),
        }
    }

    /// Frees a secret for the next webhook that uses it. Returns whether a webhook owned it.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read or written.
    pub fn release(&self, name: &Key) -> Result<bool, SecretError> {
        let Some(own) = own(name) else { return Ok(false) };
        if !self.stored()?.webhook.contains_key(own) {
            return Ok(false);
        }
        self.change(|stored| drop(stored.webhook.remove(own)))?;
        Ok(true)
    }

    /// Sets a secret. A base name is then free for the next webhook that uses it; `NAME.next` keeps its owner. If there is
    /// a key, all other secrets of the file are encrypted with it, too.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read or written.
    pub fn set(&self, name: &Key, secret: &Secret, now: Timestamp) -> Result<(), SecretError> {
        self.change(|stored| {
            stored.webhook.remove(name.as_str());
            stored.put(name, secret, now);
        })
    }

    /// Sets a secret, which keeps its owner, and deletes the secret that it was moved from.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read or written.
    pub fn promote(&self, (from, to): (&Key, &Key), secret: &Secret, now: Timestamp) -> Result<(), SecretError> {
        self.change(|stored| {
            stored.put(to, secret, now);
            stored.secret.remove(from.as_str());
        })
    }

    /// Deletes a secret from the file. Returns whether it existed.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read or written.
    pub fn delete(&self, name: &Key) -> Result<bool, SecretError> {
        let mut was_there = false;
        self.change(|stored| {
            stored.webhook.remove(name.as_str());
            was_there = stored.secret.remove(name.as_str()).is_some();
        })?;
        Ok(was_there)
    }

    /// Lists all secrets: those of the file by name, then those that only the environment has.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read.
    pub fn list(&self) -> Result<Vec<SecretSummary>, SecretError> {
        let mut variables: Vec<String> = std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .filter(|name| name.starts_with(VARIABLE))
            .collect();
        let mut out: Vec<SecretSummary> = Vec::new();
        let stored = self.stored()?;
        for (name, entry) in &stored.secret {
            let variable = upper(name);
            let environment = variables.contains(&variable);
            variables.retain(|v| *v != variable);
            out.push(SecretSummary {
                name: name.clone(),
                changed: Some(Timestamp::from_millis(entry.changed)),
                sealed: entry.sealed.is_some(),
                environment,
                webhook: stored.webhook.get(name.strip_suffix(NEXT_SECRET).unwrap_or(name)).cloned(),
            });
        }
        variables.sort();
        let alone = |name| SecretSummary { name, changed: None, sealed: false, environment: true, webhook: None };
        out.extend(variables.into_iter().map(alone));
        Ok(out)
    }

    fn change(&self, change: impl FnOnce(&mut SecretsFile)) -> Result<(), SecretError> {
        self.kept.change(|text| {
            let mut stored = self.parse(text)?;
            change(&mut stored);
            for (name, entry) in &mut stored.secret {
                self.seal(name, entry)?;
            }
            toml::to_string(&stored).map_err(|_| self.kept.damaged("a secret cannot be written").into())
        })
    }

    /// What the file says, read anew when it changed.
    fn stored(&self) -> Result<Arc<SecretsFile>, SecretError> {
        let stamp = self.kept.stamp()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, stored)) = known.as_ref()
            && *at == stamp
        {
            return Ok(Arc::clone(stored));
        }
        let stored = Arc::new(self.parse(self.kept.read()?)?);
        *known = Some((stamp, Arc::clone(&stored)));
        Ok(stored)
    }

    fn parse(&self, text: Option<String>) -> Result<SecretsFile, SecretError> {
        // The parser's own message would quote the file.
        let stored = toml::from_str(&text.unwrap_or_default());
        stored.map_err(|_| self.kept.damaged("it is not TOML of secrets").into())
    }

    fn open(&self, name: &str, entry: &SecretEntry) -> Result<Secret, SecretError> {
        if let Some(text) = &entry.value {
            return Secret::new(text);
        }
        let key = self.key.as_ref().ok_or_else(|| SecretError::Sealed { name: name.to_owned() })?;
        let wrong = || SecretError::WrongKey { name: name.to_owned() };
        let bytes = BASE64.decode(entry.sealed.as_deref().unwrap_or_default()).map_err(|_| wrong())?;
        let (nonce, msg) = bytes.split_at_checked(NONCE).ok_or_else(wrong)?;
        let text = key.decrypt(Nonce::from_slice(nonce), Payload { msg, aad: name.as_bytes() }).map_err(|_| wrong())?;
        Secret::new(&String::from_utf8(text).map_err(|_| wrong())?)
    }

    fn seal(&self, name: &str, entry: &mut SecretEntry) -> Result<(), SecretError> {
        let (Some(key), Some(text)) = (&self.key, &entry.value) else { return Ok(()) };
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|e| SecretError::Random(e.to_string()))?;
        let payload = Payload { msg: text.as_bytes(), aad: name.as_bytes() };
        let sealed = key.encrypt(Nonce::from_slice(&nonce), payload).map_err(|_| SecretError::Unfit)?;
        entry.sealed = Some(BASE64.encode([nonce.as_slice(), &sealed].concat()));
        entry.value = None;
        Ok(())
    }
}

/// The name of a secret that is one webhook's own, as its name says; that of its successor is the same.
fn own(name: &Key) -> Option<&str> {
    Some(base_of(name)).filter(|base| base.starts_with(OWN_SECRET))
}

/// The name under which the next secret lies while receivers are moved to it: `NAME.next`. None where `name` is too long.
pub fn next_of(name: &Key) -> Option<Key> {
    Key::new(format!("{name}{NEXT_SECRET}")).ok()
}

/// Returns the environment variable for a secret: `GREENROOM_SECRET_` and the name in capital letters, with `_` for
/// each character that is not an ASCII letter or digit.
pub fn variable(name: &Key) -> String {
    upper(name.as_str())
}

fn upper(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    VARIABLE.chars().chain(plain).collect()
}

/// Returns the key that the environment gives.
fn key_of_environment() -> Result<Option<[u8; 32]>, SecretError> {
    if let Some(text) = std::env::var_os(KEY) {
        return key(text.to_str().unwrap_or_default(), KEY).map(Some);
    }
    let Some(path) = std::env::var_os(KEY_FILE).map(PathBuf::from) else { return Ok(None) };
    let text = std::fs::read_to_string(&path).map_err(|source| SecretError::KeyFile { path: path.clone(), source })?;
    key(&text, &path.display().to_string()).map(Some)
}

fn key(text: &str, from: &str) -> Result<[u8; 32], SecretError> {
    let none = || SecretError::NoKey { from: from.to_owned() };
    let text = text.trim();
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(none());
    }
    for (byte, at) in key.iter_mut().zip((0..64).step_by(2)) {
        let pair = text.get(at..at + 2).ok_or_else(none)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| none())?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_772_366_400_000;

    fn name(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn set(secrets: &Secrets, of: &str, text: &str) {
        secrets.set(&name(of), &Secret::new(text).unwrap(), Timestamp::from_millis(NOW)).unwrap();
    }

    fn get(secrets: &Secrets, of: &str) -> Option<String> {
        secrets.get(&name(of)).unwrap().map(|s| s.reveal().to_owned())
    }

    #[test]
    fn a_secret_is_set_read_listed_without_its_text_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::with_key(folder.path(), None);
        assert_eq!(get(&secrets, "release-channel"), None);
        set(&secrets, "release-channel", "clé £");
        assert_eq!(get(&secrets, "release-channel").as_deref(), Some("clé £"));
        let list = secrets.list().unwrap();
        assert_eq!(list.len(), 1);
        assert!(!format!("{list:?} {secrets:?} {:?}", secrets.get(&name("release-channel"))).contains("clé"));
        assert!(secrets.delete(&name("release-channel")).unwrap());
        assert!(!secrets.delete(&name("release-channel")).unwrap());
        assert_eq!(get(&secrets, "release-channel"), None);
    }

    #[test]
    fn with_a_key_nothing_of_a_secret_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        set(&Secrets::with_key(folder.path(), None), "old", "plain-canary");
        let sealed = Secrets::with_key(folder.path(), Some(&[7; 32]));
        assert_eq!(get(&sealed, "old").as_deref(), Some("plain-canary"), "what was there before can still be read");
        set(&sealed, "new", "sealed-canary");
        let file = std::fs::read_to_string(sealed.path()).unwrap();
        assert!(!file.contains("canary"), "{file}");
        assert_eq!(
            (get(&sealed, "old"), get(&sealed, "new")),
            (Some("plain-canary".into()), Some("sealed-canary".into()))
        );
        let without = Secrets::with_key(folder.path(), None).get(&name("new"));
        assert!(matches!(without, Err(SecretError::Sealed { .. })));
        let other = Secrets::with_key(folder.path(), Some(&[8; 32])).get(&name("new"));
        assert!(matches!(other, Err(SecretError::WrongKey { .. })));
    }

    #[test]
    fn an_encrypted_secret_opens_under_its_own_name_alone() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::with_key(folder.path(), Some(&[7; 32]));
        set(&secrets, "mine", "a");
        let file = std::fs::read_to_string(secrets.path()).unwrap().replace("mine", "yours");
        std::fs::write(secrets.path(), file).unwrap();
        assert!(matches!(secrets.get(&name("yours")), Err(SecretError::WrongKey { .. })));
    }

    #[test]
    fn an_own_secret_is_the_webhooks_that_used_it_first() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::with_key(folder.path(), None);
        let webhook = |n: u8| Id::from_parts(NOW, [n; 10]);
        set(&secrets, "webhook-a", "canary");
        set(&secrets, "webhook-a.next", "second");
        set(&secrets, "shared", "third");
        let ask = |of: &str, n: u8| secrets.get_for(&name(of), &webhook(n)).map(|s| s.is_some());
        assert!(matches!(ask("webhook-none", 1), Ok(false)));
        assert!(matches!(ask("webhook-a", 1), Ok(true)));
        for other in ["webhook-a", "webhook-a.next"] {
            let said = ask(other, 2).unwrap_err().to_string();
            assert!(said.contains(webhook(1).as_str()) && !said.contains("canary"), "{said}");
            assert!(matches!(ask(other, 1), Ok(true)));
        }
        assert!(matches!((ask("shared", 1), ask("shared", 2)), (Ok(true), Ok(true))));
        assert_eq!(secrets.list().unwrap()[1].webhook.as_deref(), Some(webhook(1).as_str()));
        // The successor takes its place; set anew it is anybody's, and so it is where it is released.
        let next = Secret::new("second").unwrap();
        secrets.promote((&name("webhook-a.next"), &name("webhook-a")), &next, Timestamp::from_millis(NOW)).unwrap();
        assert!(ask("webhook-a", 2).is_err());
        set(&secrets, "webhook-a", "anew");
        assert!(matches!(ask("webhook-a", 2), Ok(true)));
        assert!(secrets.release(&name("webhook-a")).unwrap() && !secrets.release(&name("webhook-a")).unwrap());
        assert!(matches!(ask("webhook-a", 1), Ok(true)));
    }

    #[test]
    fn a_damaged_file_is_an_error_of_a_release_and_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::with_key(folder.path(), None);
        set(&secrets, "webhook-a", "first");
        std::fs::write(secrets.path(), "no TOML").unwrap();
        assert!(secrets.release(&name("webhook-a")).is_err());
        assert!(!secrets.release(&name("shared")).unwrap(), "a shared secret has no owner");
    }

    #[test]
    fn a_change_by_another_process_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Secrets::with_key(folder.path(), None), Secrets::with_key(folder.path(), None));
        set(&one, "a", "1");
        assert_eq!(get(&two, "a").as_deref(), Some("1"));
        set(&one, "a", "23");
        assert_eq!(get(&two, "a").as_deref(), Some("23"));
    }

    #[test]
    fn keys_and_texts_that_are_none_are_refused_without_repeating_them() {
        for text in ["", "abc", &"g".repeat(64), &"ü".repeat(32), &"ab".repeat(33)] {
            let said = key(text, KEY).unwrap_err().to_string();
            assert!(said.contains(KEY) && (text.is_empty() || !said.contains(text)), "{said}");
        }
        assert_eq!(key(&format!("{}\n", "ab".repeat(32)), KEY).unwrap(), [0xab; 32]);
        for text in ["", "a\nb", "a\0", &"x".repeat(MAX_SECRET + 1)] {
            assert!(matches!(Secret::new(text), Err(SecretError::Unfit)));
        }
    }

    #[test]
    fn a_name_has_one_variable_and_one_successor() {
        assert_eq!(variable(&name("release-channel.next")), "GREENROOM_SECRET_RELEASE_CHANNEL_NEXT");
        assert_eq!(next_of(&name("release-channel")), Some(name("release-channel.next")));
        assert_eq!(next_of(&name(&"a".repeat(248))), None);
    }

    #[test]
    fn a_new_secret_is_one_of_standard_webhooks_and_no_other() {
        let (one, two) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_ne!(one, two);
        assert_eq!(BASE64.decode(one.reveal().strip_prefix("whsec_").unwrap()).unwrap().len(), 32);
    }
}
