//! Tokens: what proves to the server who calls. Only their hashes are kept, in a file that its owner alone may read.
//!
//! A token is `grm_` and 160 random bits. It is shown once, when it is made. The file lies in the repository's git
//! folder and so travels with no clone.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::kept::{Kept, KeptError};
use crate::name::UserName;
use crate::time::Timestamp;

/// What every token begins with.
const PREFIX: &str = "grm_";

/// How many characters of a token are kept to tell it from others.
const SHOWN: usize = 10;

/// The characters of a token: Crockford's base 32 in lower case, five bits each.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How far the clocks of two machines may be apart, in milliseconds.
const SKEW: i64 = 300_000;

/// The largest file of tokens, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// What went wrong with the tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Their file cannot be read or written.
    #[error(transparent)]
    Kept(#[from] KeptError),
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
    /// When the person came whom it stands for, in milliseconds since the epoch: it is void once that person was removed.
    /// None in tokens of an earlier version, and where the history does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// When it ends, in milliseconds since the epoch; none: when it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// Whether it may only read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Whether a service holds it that acts for other persons, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delegate: bool,
    /// The SHA-256 of the token in hexadecimal digits.
    pub hash: String,
}

impl Token {
    /// Whether it has ended.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now.as_millis())
    }

    /// Whether the person for whom it was made was removed since, if only to come back; `arrival` says when the person
    /// came who has the id now.
    pub fn is_void(&self, arrival: Option<Timestamp>) -> bool {
        let Some(arrival) = arrival.map(Timestamp::as_millis) else { return false };
        match self.since {
            Some(since) => since != arrival,
            // Clocks of two machines differ.
            None => self.created.saturating_add(SKEW) < arrival,
        }
    }
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// It may only read.
    pub read_only: bool,
    /// A service holds it that acts for other persons, too.
    pub delegate: bool,
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
    kept: Kept,
}

impl Tokens {
    /// The tokens that are kept in a folder of state ([`crate::registry::Registry::state_dir`]).
    pub fn of(state_dir: &Path) -> Self {
        Self { kept: Kept::new(state_dir, "tokens.toml", "tokens", MAX_FILE) }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        self.kept.path()
    }

    /// Makes a token for a person who came at a time, and gives its text, which cannot be had again.
    pub fn create(
        &self,
        (person, since): (&UserName, Option<Timestamp>),
        now: Timestamp,
        expires: Option<Timestamp>,
        rights: Rights,
    ) -> Result<String, TokenError> {
        let text = fresh()?;
        let token = Token {
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

    /// All tokens that there are, oldest first.
    pub fn list(&self) -> Result<Vec<Token>, TokenError> {
        Ok(self.read(self.kept.read()?)?)
    }

    fn read(&self, text: Option<String>) -> Result<Vec<Token>, KeptError> {
        // The parser's own words would quote the file.
        let stored: Stored = toml::from_str(&text.unwrap_or_default())
            .map_err(|_| self.kept.damaged("it does not read as TOML of tokens"))?;
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

    fn change(&self, change: impl FnOnce(&mut Vec<Token>)) -> Result<(), TokenError> {
        self.kept.change(|text| {
            let mut tokens = self.read(text)?;
            change(&mut tokens);
            let written = toml::to_string(&Stored { token: tokens });
            written.map_err(|e| self.kept.damaged(e.to_string()).into())
        })
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
        let text = tokens.create((&alice, None), now(), None, Rights::default()).unwrap();
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
        let one = tokens.create((&alice, None), now(), Some(now().plus_millis(10)), Rights::default()).unwrap();
        tokens.create((&alice, None), now(), None, Rights { read_only: true, ..Rights::default() }).unwrap();
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
        tokens.create((&alice, Some(came)), now(), None, Rights::default()).unwrap();
        tokens.create((&alice, None), now(), None, Rights::default()).unwrap();
        let [bound, old] = <[Token; 2]>::try_from(tokens.list().unwrap()).unwrap();
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
        tokens.create((&"alice".parse().unwrap(), None), now(), None, Rights::default()).unwrap();
        let path = folder.path().join("tokens.toml");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(tokens.list(), Err(TokenError::Kept(KeptError::Open { mode: 0o644, .. }))));
    }
}
