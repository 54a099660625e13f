//! Secrets: texts that must not be in git, under names that may be. A webhook's file says `secret = "release-channel"`;
//! the secret that signs its requests is stored here.
//!
//! They are kept in `secrets.toml` in the repository's folder of state, for its owner alone, or come from the environment
//! (`GREENROOM_SECRET_RELEASE_CHANNEL`), which counts first. With a key ([`KEY`], [`KEY_FILE`]) the file holds them
//! encrypted (AES-256-GCM, bound to their names), so that a copy of the disk gives nothing away. No secret is ever
//! printed: a [`Secret`] shows itself as `…`.
//!
//! Names that begin `webhook-` may be named by a person who manages a model alone. Such a secret is bound to one webhook,
//! its target and its use ([`Binding`]), which are noted beside it, so that no commit has it sent elsewhere.

mod binding;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

pub use binding::{Binding, SecretUser};
use binding::{Claim, place};

use crate::entity::Webhook;
use crate::entity::webhook::{NEXT_SECRET, OWN_SECRET, base_variable, is_own, variable_of};
use crate::name::Key;
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

/// The random bytes of a generated name.
const GENERATED: usize = 10;

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
        "the secret '{name}' belongs to {webhook}: look at the target of this webhook first; then set it again for this \
         webhook (`greenroom secret set {name}`), or release it for this webhook (`greenroom secret release {name}`)"
    )]
    Claimed {
        /// Its name.
        name: String,
        /// The webhook, in words.
        webhook: String,
    },
    /// The secret belongs to the webhook, but to another target or use.
    #[error(
        "the secret '{name}' was set for another target or use of the webhook {webhook}: look at the webhook; if it is \
         right, let it have the secret (`greenroom secret release {name}`), or set the secret anew (`greenroom secret set \
         {name}`)"
    )]
    Retargeted {
        /// Its name.
        name: String,
        /// The webhook's id.
        webhook: String,
    },
    /// Several webhooks name the secret, and it belongs to none of them.
    #[error(
        "several webhooks name the secret '{name}', and only one may have it: choose it (`greenroom secret release {name} \
         --webhook ID`)"
    )]
    Contested {
        /// Its name.
        name: String,
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
    /// What the secrets of single webhooks are bound to, by the variable of the secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    binding: BTreeMap<String, Binding>,
    /// The old form: webhooks by the name of the secret. Target and use are added when the webhook uses the secret next.
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
    file: StateFile,
    key: Option<Aes256Gcm>,
    known: Mutex<CachedSecrets>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("path", &self.file.path()).finish_non_exhaustive()
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
            file: StateFile::new(state_dir, "secrets.toml", "secrets", MAX_FILE),
            key: key.map(|key| Aes256Gcm::new(key.into())),
            known: Mutex::default(),
        }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        self.file.path()
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
        if let Some(text) = in_environment(name) {
            return Secret::new(&text).map(Some);
        }
        let stored = self.stored()?;
        stored.secret.get(name.as_str()).map(|entry| self.open(name.as_str(), entry)).transpose()
    }

    /// Returns a secret for a webhook that names it; `None` if the secret is not set. If the secret has no binding yet,
    /// binds it to the webhook, its target and its use.
    ///
    /// # Errors
    /// [`SecretError`] if the secret is bound to another webhook, target or use, or cannot be read.
    pub fn get_for(&self, name: &Key, user: &SecretUser) -> Result<Option<Secret>, SecretError> {
        if self.get(name)?.is_none() {
            return Ok(None);
        }
        self.claim(name, user)?;
        // Read after the binding, so that a value that was replaced meanwhile is not sent for the new binding.
        self.get(name)
    }

    /// Binds a secret to a webhook that uses it, if the secret belongs to a single webhook and is not bound.
    ///
    /// # Errors
    /// [`SecretError`] if the secret is bound to another webhook, target or use, or the file cannot be read or written.
    pub fn claim(&self, name: &Key, user: &SecretUser) -> Result<(), SecretError> {
        let (Claim::New(_), Some(variable)) = (self.stored()?.claim(name, user)?, place(name)) else {
            return Ok(());
        };
        let mut judged = Ok(());
        // Another process may have bound it meanwhile.
        self.change(|stored| match stored.claim(name, user) {
            Ok(Claim::New(binding)) => stored.bind(variable, binding),
            Ok(Claim::Held) => {}
            Err(e) => judged = Err(e),
        })?;
        judged
    }

    /// Checks whether a webhook would be given a secret, and changes nothing.
    ///
    /// # Errors
    /// [`SecretError`] if the secret is bound to another webhook, target or use, or the file cannot be read.
    pub fn check(&self, name: &Key, user: &SecretUser) -> Result<(), SecretError> {
        self.stored()?.claim(name, user).map(drop)
    }

    /// Binds a secret anew, with its stored value. Returns whether there is something to bind: not for a secret that
    /// belongs to no single webhook.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read or written.
    pub fn release(&self, name: &Key, binding: Binding) -> Result<bool, SecretError> {
        let Some(variable) = place(name).filter(|_| is_own(name)) else { return Ok(false) };
        self.change(|stored| stored.bind(variable, binding))?;
        Ok(true)
    }

    /// Follows an administrator's change of a webhook: a secret that was bound to the webhook as it was before is bound to
    /// the webhook as it is now. Any other secret stays bound as it is.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read or written.
    pub fn follow(&self, name: &Key, before: &Webhook, after: &Webhook) -> Result<(), SecretError> {
        let Some(variable) = place(name).filter(|_| is_own(name)) else { return Ok(()) };
        let (old, new) = (Binding::of(name, before), Binding::of(name, after));
        let is_bound = |stored: &SecretsFile| stored.binding.get(&variable).is_some_and(|bound| bound.holds(&old));
        if old == new || !is_bound(&*self.stored()?) {
            return Ok(());
        }
        self.change(|stored| {
            if is_bound(stored) {
                stored.bind(variable.clone(), new);
            }
        })
    }

    /// Sets a secret, and leaves its binding as it is. If there is a key, all other secrets of the file are encrypted with
    /// it, too.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read or written.
    pub fn set(&self, name: &Key, secret: &Secret, now: Timestamp) -> Result<(), SecretError> {
        self.change(|stored| stored.put(name, secret, now))
    }

    /// Sets a secret and binds it. If the binding becomes another one, a stored successor is deleted, because it was set
    /// for another target.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read or written.
    pub fn set_for(&self, name: &Key, secret: &Secret, binding: Binding, now: Timestamp) -> Result<(), SecretError> {
        self.change(|stored| {
            if let Some(variable) = place(name) {
                if stored.binding.get(&variable).is_some_and(|bound| !bound.holds(&binding)) {
                    stored.secret.retain(|other, _| other == name.as_str() || !is_successor_of(other, name));
                }
                stored.bind(variable, binding);
            }
            stored.put(name, secret, now);
        })
    }

    /// Returns whether a secret is bound.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read.
    pub fn is_bound(&self, name: &Key) -> Result<bool, SecretError> {
        let Some(variable) = place(name) else { return Ok(false) };
        Ok(self.stored()?.knows(&variable))
    }

    /// Returns whether a secret is bound to a webhook as it is.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read.
    pub fn is_bound_to(&self, name: &Key, webhook: &Webhook) -> Result<bool, SecretError> {
        let Some(variable) = place(name).filter(|_| is_own(name)) else { return Ok(false) };
        Ok(self.stored()?.binding.get(&variable).is_some_and(|bound| bound.holds(&Binding::of(name, webhook))))
    }

    /// Returns whether the file holds a secret.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read.
    pub fn is_stored(&self, name: &Key) -> Result<bool, SecretError> {
        Ok(self.stored()?.secret.contains_key(name.as_str()))
    }

    /// Sets a secret, which keeps its binding, and deletes the secret that it was moved from.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read or written.
    pub fn promote(&self, (from, to): (&Key, &Key), secret: &Secret, now: Timestamp) -> Result<(), SecretError> {
        self.change(|stored| {
            stored.put(to, secret, now);
            stored.secret.remove(from.as_str());
        })
    }

    /// Deletes a secret from the file. Returns whether it existed. Its binding stays, because the environment of another
    /// process may hold a value, or the file a successor. Only the binding of a generated name is deleted, too.
    ///
    /// # Errors
    /// [`SecretError`] if the file cannot be read or written.
    pub fn delete(&self, name: &Key) -> Result<bool, SecretError> {
        let mut was_there = false;
        self.change(|stored| {
            if let Some(variable) = place(name).filter(|_| is_generated(name) && in_environment(name).is_none()) {
                stored.free(&variable);
            }
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
        let webhook = |name: &str| stored.webhook_of(&base_variable(name)).map(str::to_owned);
        for (name, entry) in &stored.secret {
            let variable = format!("{VARIABLE}{}", variable_of(name));
            let environment = variables.contains(&variable);
            variables.retain(|v| *v != variable);
            out.push(SecretSummary {
                name: name.clone(),
                changed: Some(Timestamp::from_millis(entry.changed)),
                sealed: entry.sealed.is_some(),
                environment,
                webhook: webhook(name),
            });
        }
        variables.sort();
        out.extend(variables.into_iter().map(|name| {
            let webhook = webhook(name.strip_prefix(VARIABLE).unwrap_or_default());
            SecretSummary { name, changed: None, sealed: false, environment: true, webhook }
        }));
        Ok(out)
    }

    fn change(&self, change: impl FnOnce(&mut SecretsFile)) -> Result<(), SecretError> {
        self.file.change(|text| {
            let mut stored = self.parse(text)?;
            change(&mut stored);
            for (name, entry) in &mut stored.secret {
                self.seal(name, entry)?;
            }
            toml::to_string(&stored).map_err(|_| self.file.damaged("a secret cannot be written").into())
        })
    }

    /// What the file says, read anew when it changed.
    fn stored(&self) -> Result<Arc<SecretsFile>, SecretError> {
        let stamp = self.file.stamp()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, stored)) = known.as_ref()
            && *at == stamp
        {
            return Ok(Arc::clone(stored));
        }
        let stored = Arc::new(self.parse(self.file.read()?)?);
        *known = Some((stamp, Arc::clone(&stored)));
        Ok(stored)
    }

    fn parse(&self, text: Option<String>) -> Result<SecretsFile, SecretError> {
        // The parser's own message would quote the file.
        let stored = toml::from_str(&text.unwrap_or_default());
        stored.map_err(|_| self.file.damaged("it is not TOML of secrets").into())
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

/// Returns a new name for a secret of a single webhook: `webhook-` and random hexadecimal digits.
///
/// # Errors
/// [`SecretError::Random`] if the system's random number generator fails.
pub fn generated_name() -> Result<Key, SecretError> {
    let mut bytes = [0; GENERATED];
    getrandom::fill(&mut bytes).map_err(|e| SecretError::Random(e.to_string()))?;
    let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Key::new(format!("{OWN_SECRET}{digits}")).map_err(|e| SecretError::Random(e.to_string()))
}

/// Returns the value of a secret in the environment.
fn in_environment(name: &Key) -> Option<String> {
    std::env::var(variable(name)).ok().filter(|text| !text.is_empty())
}

/// Returns whether a name looks like a generated one.
fn is_generated(name: &Key) -> bool {
    let digits = name.as_str().strip_prefix(OWN_SECRET).unwrap_or_default();
    digits.len() == 2 * GENERATED && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns whether a stored name is a successor of a secret.
fn is_successor_of(other: &str, name: &Key) -> bool {
    other.strip_suffix(NEXT_SECRET).is_some_and(|base| base == name.as_str())
}

/// The name under which the next secret lies while receivers are moved to it: `NAME.next`. None where `name` is too long.
pub fn next_of(name: &Key) -> Option<Key> {
    Key::new(format!("{name}{NEXT_SECRET}")).ok()
}

/// Returns the environment variable for a secret: `GREENROOM_SECRET_` and the name in capital letters, with `_` for
/// each character that is not an ASCII letter or digit.
pub fn variable(name: &Key) -> String {
    format!("{VARIABLE}{}", variable_of(name.as_str()))
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
mod tests;
