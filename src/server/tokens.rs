//! Tokens: what proves to the server who calls. Only their hashes are kept, in a file that its owner alone may read.
//!
//! A token is `grm_` and 160 random bits. It is shown once, when it is made. The file lies in the repository's git
//! folder and so travels with no clone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::name::UserName;
use crate::time::Timestamp;

/// What every token begins with.
const PREFIX: &str = "grm_";

/// How many characters of a token are kept to tell it from others.
const SHOWN: usize = 10;

/// The characters of a token: Crockford's base 32 in lower case, five bits each.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The largest file of tokens that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// How long another process that changes tokens is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// What went wrong with the file of tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file or its folder cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// `read`, `write`…
        action: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not what greenroom wrote.
    #[error("{} is no file of tokens: {why}; mend it, or remove it and make new tokens", .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong, without a word of the file.
        why: String,
    },
    /// Others than its owner may read the file.
    #[error("{} may be read by others (mode {mode:o}); `chmod 600` it", .path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process changes tokens.
    #[error("another process is changing the tokens; try again")]
    Busy,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// How it begins; enough to tell it from others.
    pub prefix: String,
    /// The person that it stands for.
    pub person: String,
    /// When it was made, in milliseconds since the epoch.
    pub created: i64,
    /// When it ends, in milliseconds since the epoch; none: when it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// Whether it may only read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// The SHA-256 of the token in hexadecimal digits.
    pub hash: String,
}

impl Token {
    /// Whether it has ended.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now.as_millis())
    }
}

/// The file as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default)]
    token: Vec<Token>,
}

/// The tokens of a repository.
#[derive(Debug, Clone)]
pub struct Tokens {
    path: PathBuf,
}

impl Tokens {
    /// The tokens that are kept in a folder of state ([`crate::registry::Registry::state_dir`]).
    pub fn of(state_dir: &Path) -> Self {
        Self { path: state_dir.join("tokens.toml") }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a token for a person and gives its text, which cannot be had again.
    pub fn create(
        &self,
        person: &UserName,
        now: Timestamp,
        expires: Option<Timestamp>,
        read_only: bool,
    ) -> Result<String, TokenError> {
        let text = fresh()?;
        let token = Token {
            prefix: text.chars().take(SHOWN).collect(),
            person: person.as_str().to_owned(),
            created: now.as_millis(),
            expires: expires.map(Timestamp::as_millis),
            read_only,
            hash: hash(&text),
        };
        self.change(|tokens| tokens.push(token))?;
        Ok(text)
    }

    /// All tokens that there are, oldest first.
    pub fn list(&self) -> Result<Vec<Token>, TokenError> {
        let failed = |source| TokenError::Io { action: "read", path: self.path.clone(), source };
        let meta = match fs::metadata(&self.path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let damaged = |why: &str| TokenError::Damaged { path: self.path.clone(), why: why.to_owned() };
        if meta.len() > MAX_FILE {
            return Err(damaged("it is too large"));
        }
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777;
            if mode & 0o077 != 0 {
                return Err(TokenError::Open { path: self.path.clone(), mode });
            }
        }
        let text = fs::read_to_string(&self.path).map_err(failed)?;
        // The parser's own words would quote the file.
        let stored: Stored = toml::from_str(&text).map_err(|_| damaged("it does not read as TOML of tokens"))?;
        Ok(stored.token)
    }

    /// Takes away the tokens that begin so; gives how many there were.
    pub fn revoke(&self, prefix: &str) -> Result<usize, TokenError> {
        let mut gone = 0;
        self.change(|tokens| {
            let before = tokens.len();
            tokens.retain(|t| t.prefix != prefix);
            gone = before - tokens.len();
        })?;
        Ok(gone)
    }

    /// Changes the file while no other process does; it is replaced as a whole.
    fn change(&self, change: impl FnOnce(&mut Vec<Token>)) -> Result<(), TokenError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| TokenError::Io { action, path, source }
        };
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        let _held = lock(&folder.join("tokens.lock"))?;
        let mut tokens = self.list()?;
        change(&mut tokens);
        let text = toml::to_string(&Stored { token: tokens }).map_err(|e| TokenError::Io {
            action: "write",
            path: self.path.clone(),
            source: io::Error::other(e.to_string()),
        })?;
        // The library makes the file for its owner alone.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed("write in", folder))?;
        file.write_all(text.as_bytes()).map_err(failed("write", &self.path))?;
        file.as_file().sync_all().map_err(failed("write", &self.path))?;
        file.persist(&self.path).map_err(|e| failed("replace", &self.path)(e.error))?;
        File::open(folder).and_then(|f| f.sync_all()).map_err(failed("flush", folder))
    }
}

/// Takes the lock of who changes tokens.
fn lock(path: &Path) -> Result<File, TokenError> {
    let failed = |source| TokenError::Io { action: "lock", path: path.to_owned(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
    let end = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            Err(fs::TryLockError::WouldBlock) => return Err(TokenError::Busy),
            Err(fs::TryLockError::Error(e)) => return Err(failed(e)),
        }
    }
}

/// The text of a new token: 160 random bits.
fn fresh() -> Result<String, TokenError> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).map_err(|e| TokenError::Random(e.to_string()))?;
    let digit = |n: u64| ALPHABET.get(usize::try_from(n & 31).unwrap_or(0)).map_or('0', |b| char::from(*b));
    let digits = bytes.chunks(5).flat_map(|five| {
        let bits = five.iter().fold(0_u64, |n, b| (n << 8) | u64::from(*b));
        (0..8).rev().map(move |i| digit(bits >> (5 * i)))
    });
    Ok(PREFIX.chars().chain(digits).collect())
}

/// The hash that is kept of a token. A token has too many bits to be guessed, so a fast hash is enough.
pub fn hash(token: &str) -> String {
    Sha256::digest(token).iter().map(|b| format!("{b:02x}")).collect()
}

/// Finds the token of a text, in a time that does not tell how much of a hash was right.
pub fn find<'t>(tokens: &'t [Token], text: &str) -> Option<&'t Token> {
    let wanted = hash(text);
    let same = |a: &str| a.len() == wanted.len() && a.bytes().zip(wanted.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0;
    tokens.iter().fold(None, |found, token| if same(&token.hash) { Some(token) } else { found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000)
    }

    #[test]
    fn a_token_is_found_by_its_text_alone_and_only_its_hash_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(folder.path());
        let alice: UserName = "alice".parse().unwrap();
        let text = tokens.create(&alice, now(), None, false).unwrap();
        assert_eq!(text.len(), 4 + 32);
        let list = tokens.list().unwrap();
        assert_eq!(find(&list, &text).map(|t| t.person.as_str()), Some("alice"));
        assert_eq!(find(&list, &format!("{text}x")), None);
        assert_eq!(find(&list, ""), None);
        let file = fs::read_to_string(folder.path().join("tokens.toml")).unwrap();
        assert!(!file.contains(&text) && !file.contains(&text[12..]), "{file}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(folder.path().join("tokens.toml")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn tokens_end_and_are_revoked_by_their_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(folder.path());
        let alice: UserName = "alice".parse().unwrap();
        let one = tokens.create(&alice, now(), Some(now().plus_millis(10)), false).unwrap();
        tokens.create(&alice, now(), None, true).unwrap();
        let list = tokens.list().unwrap();
        assert!(!list[0].is_over(now()) && list[0].is_over(now().plus_millis(10)) && !list[1].is_over(now()));
        assert_eq!(tokens.revoke(&one[..SHOWN]).unwrap(), 1);
        assert_eq!(tokens.revoke(&one[..SHOWN]).unwrap(), 0);
        assert_eq!(tokens.list().unwrap().len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(folder.path());
        tokens.create(&"alice".parse().unwrap(), now(), None, false).unwrap();
        let path = folder.path().join("tokens.toml");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(tokens.list(), Err(TokenError::Open { mode: 0o644, .. })));
    }
}
