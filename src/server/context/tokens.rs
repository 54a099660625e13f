//! Access tokens of callers. Only their hashes are stored, in a file that only its owner can read.
//!
//! A token is `grm_` and 160 random bits. It is shown once, when it is created. The file lies in the repository's git
//! directory, so it is not cloned.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::name::UserName;
use crate::private_file::{KeptError, StateFile};
use crate::time::Timestamp;

/// The prefix of every token.
const PREFIX: &str = "grm_";

/// The number of characters of a token that are stored to identify it.
const SHOWN: usize = 10;

/// The characters of a token: Crockford's base 32 in lower case, five bits each.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The largest difference between the clocks of two machines, in milliseconds.
const SKEW: i64 = 300_000;

/// The largest file of tokens, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Why tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The operating system provides no random bytes.
    #[error("the operating system provides no random bytes: {0}")]
    Random(String),
}

/// The stored part of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// The beginning of the token, which identifies it.
    pub prefix: String,
    /// The person that the token authenticates.
    pub person: String,
    /// When it was created, in milliseconds since the epoch.
    pub created: i64,
    /// When the person was added to the registry, in milliseconds since the epoch. The token is void once that person
    /// was removed. `None` in tokens of an earlier version, and if the history does not show the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// When it expires, in milliseconds since the epoch. `None` if it is valid until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// Whether it may only read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Whether it belongs to a service that may act for other people.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delegate: bool,
    /// The SHA-256 of the token in hexadecimal digits.
    pub hash: String,
}

impl TokenRecord {
    /// Returns whether the token has expired.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now.as_millis())
    }

    /// Returns whether the token's person was removed since, even if the id was added again. `arrival` is the time when
    /// the current person with the id was added.
    pub fn is_void(&self, arrival: Option<Timestamp>) -> bool {
        let Some(arrival) = arrival.map(Timestamp::as_millis) else { return false };
        match self.since {
            Some(since) => since != arrival,
            // The clocks of two machines differ.
            None => self.created.saturating_add(SKEW) < arrival,
        }
    }
}

/// The rights of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenRights {
    /// It may only read.
    pub read_only: bool,
    /// It belongs to a service that may act for other people.
    pub delegate: bool,
}

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensFile {
    #[serde(default)]
    token: Vec<TokenRecord>,
}

/// The tokens of a repository.
#[derive(Debug, Clone)]
pub struct Tokens {
    file: StateFile,
}

impl Tokens {
    /// Returns the tokens in a state folder ([`crate::registry::Registry::state_dir`]).
    pub fn of(state_dir: &Path) -> Self {
        Self { file: StateFile::new(state_dir, "tokens.toml", "tokens", MAX_FILE) }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Creates a token for a person who was added at a time. Returns its text, which cannot be retrieved later.
    ///
    /// # Errors
    ///
    /// [`TokenError`] when there are no random bytes, or the file cannot be read or written.
    pub fn create(
        &self,
        (person, since): (&UserName, Option<Timestamp>),
        now: Timestamp,
        expires: Option<Timestamp>,
        rights: TokenRights,
    ) -> Result<String, TokenError> {
        let text = fresh()?;
        let token = TokenRecord {
            prefix: text.chars().take(SHOWN).collect(),
            person: person.as_str().to_owned(),
            created: now.as_millis(),
            since: since.map(Timestamp::as_millis),
            expires: expires.map(Timestamp::as_millis),
            read_only: rights.read_only,
            delegate: rights.delegate,
            hash: hash(&text),
        };
        self.change(|tokens| tokens.push(token))?;
        Ok(text)
    }

    /// Returns all tokens, oldest first.
    ///
    /// # Errors
    ///
    /// [`TokenError::Kept`] when the file cannot be read or is damaged.
    pub fn list(&self) -> Result<Vec<TokenRecord>, TokenError> {
        Ok(self.read(self.file.read()?)?)
    }

    fn read(&self, text: Option<String>) -> Result<Vec<TokenRecord>, KeptError> {
        // The parser's own message would quote the file.
        let stored: TokensFile =
            toml::from_str(&text.unwrap_or_default()).map_err(|_| self.file.damaged("it is not TOML of tokens"))?;
        Ok(stored.token)
    }

    /// Deletes the tokens with this prefix. Returns their number.
    ///
    /// # Errors
    ///
    /// [`TokenError::Kept`] when the file cannot be read or written.
    pub fn revoke(&self, prefix: &str) -> Result<usize, TokenError> {
        let mut gone = 0;
        self.change(|tokens| {
            let before = tokens.len();
            tokens.retain(|t| t.prefix != prefix);
            gone = before - tokens.len();
        })?;
        Ok(gone)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<TokenRecord>)) -> Result<(), TokenError> {
        self.file.change(|text| {
            let mut tokens = self.read(text)?;
            change(&mut tokens);
            let written = toml::to_string(&TokensFile { token: tokens });
            written.map_err(|e| self.file.damaged(e.to_string()).into())
        })
    }
}

/// Returns the text of a new token: 160 random bits.
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

/// Returns the hash of a token, as it is stored. A token has too many bits to be guessed, so a fast hash is enough.
pub fn hash(token: &str) -> String {
    Sha256::digest(token).iter().map(|b| format!("{b:02x}")).collect()
}

/// Finds a token by its text. The comparison takes the same time for any wrong hash.
pub fn find<'t>(tokens: &'t [TokenRecord], text: &str) -> Option<&'t TokenRecord> {
    let wanted = hash(text);
    let same = |a: &str| a.len() == wanted.len() && a.bytes().zip(wanted.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0;
    tokens.iter().fold(None, |found, token| if same(&token.hash) { Some(token) } else { found })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000)
    }

    #[test]
    fn a_token_is_found_by_its_text_alone_and_only_its_hash_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(folder.path());
        let alice: UserName = "alice".parse().unwrap();
        let text = tokens.create((&alice, None), now(), None, TokenRights::default()).unwrap();
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
        let one = tokens.create((&alice, None), now(), Some(now().plus_millis(10)), TokenRights::default()).unwrap();
        tokens.create((&alice, None), now(), None, TokenRights { read_only: true, ..TokenRights::default() }).unwrap();
        let list = tokens.list().unwrap();
        assert!(!list[0].is_over(now()) && list[0].is_over(now().plus_millis(10)) && !list[1].is_over(now()));
        assert_eq!(tokens.revoke(&one[..SHOWN]).unwrap(), 1);
        assert_eq!(tokens.revoke(&one[..SHOWN]).unwrap(), 0);
        assert_eq!(tokens.list().unwrap().len(), 1);
    }

    #[test]
    fn a_token_is_void_once_its_person_was_removed() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(folder.path());
        let alice: UserName = "alice".parse().unwrap();
        let came = now().plus_millis(-500);
        tokens.create((&alice, Some(came)), now(), None, TokenRights::default()).unwrap();
        tokens.create((&alice, None), now(), None, TokenRights::default()).unwrap();
        let [bound, old] = <[TokenRecord; 2]>::try_from(tokens.list().unwrap()).unwrap();
        assert!(!bound.is_void(Some(came)) && !old.is_void(Some(came)));
        assert!(bound.is_void(Some(now().plus_millis(1))) && bound.is_void(Some(came.plus_millis(-1))));
        assert!(old.is_void(Some(now().plus_millis(SKEW + 1))));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(folder.path());
        tokens.create((&"alice".parse().unwrap(), None), now(), None, TokenRights::default()).unwrap();
        let path = folder.path().join("tokens.toml");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(tokens.list(), Err(TokenError::Kept(KeptError::Open { mode: 0o644, .. }))));
    }
}
