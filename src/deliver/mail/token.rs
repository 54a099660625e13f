//! The token in an unsubscribe link: the person, the scope, and a code that only this machine can make.
//!
//! A holder of the link can turn that one kind of mail off and nothing else. The token does not expire, because mails
//! are read late. It is the same each time, so that a repeated mail is identical.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::name::{Id, UserName};

/// The longest token that is checked, in bytes.
const MAX: usize = 1000;

/// The length of the key in bytes.
const KEY: usize = 32;

/// The mail that a person unsubscribes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Mail about one model, by its id.
    Model(Id),
    /// All mail of the registry.
    Registry,
}

/// The key that makes and checks tokens.
#[derive(Clone)]
pub struct TokenKey([u8; KEY]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

impl TokenKey {
    /// Reads the key in a folder, and creates it on first use.
    ///
    /// # Errors
    ///
    /// When the key cannot be read or created, or the file has a wrong length.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("unsubscribe.key");
        match read(&path)? {
            Some(key) => Ok(key),
            None => {
                make(folder, &path)?;
                read(&path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
            }
        }
    }

    fn code(&self, text: &str) -> Hmac<Sha256> {
        // HMAC accepts a key of this length. The fallback key could only make codes that never match.
        let mut code = Hmac::<Sha256>::new_from_slice(&self.0).unwrap_or_else(|_| Hmac::new(&Default::default()));
        code.update(b"greenroom unsubscribe\n");
        code.update(text.as_bytes());
        code
    }

    /// Makes the token for a person and a scope.
    pub fn token(&self, user: &UserName, scope: &Scope) -> String {
        let text = match scope {
            Scope::Model(id) => format!("{user}\n{id}"),
            Scope::Registry => format!("{user}\n*"),
        };
        format!("{}.{}", BASE64.encode(&text), BASE64.encode(self.code(&text).finalize().into_bytes()))
    }

    /// Returns the person and the scope of a token. `None` if this machine did not make the token. The comparison takes
    /// the same time for any wrong code.
    pub fn read(&self, token: &str) -> Option<(UserName, Scope)> {
        let (text, code) = token.split_once('.').filter(|_| token.len() <= MAX)?;
        let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        self.code(&text).verify_slice(&BASE64.decode(code).ok()?).ok()?;
        let (user, scope) = text.split_once('\n')?;
        let scope = if scope == "*" { Scope::Registry } else { Scope::Model(scope.parse().ok()?) };
        Some((user.parse().ok()?, scope))
    }
}

fn read(path: &Path) -> io::Result<Option<TokenKey>> {
    match fs::read(path) {
        Ok(bytes) => {
            let damaged = |_| io::Error::new(io::ErrorKind::InvalidData, "the key is damaged; remove the file");
            bytes.try_into().map(|key| Some(TokenKey(key))).map_err(damaged)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Creates the key, unless another process has done so. The file appears as a whole or not at all.
fn make(folder: &Path, path: &Path) -> io::Result<()> {
    let mut key = [0; KEY];
    getrandom::fill(&mut key).map_err(|e| io::Error::other(e.to_string()))?;
    let new = folder.join(format!("unsubscribe.key.{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        Ok(()) | Err(_) => super::files::sync_folder(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> UserName {
        "bob".parse().unwrap()
    }

    #[test]
    fn a_token_says_who_and_what_and_cannot_be_made_elsewhere() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (key, other) = (TokenKey::open(here.path()).unwrap(), TokenKey::open(there.path()).unwrap());
        let scope = Scope::Model(Id::from_parts(1_772_366_400_000, [7; 10]));
        let token = key.token(&bob(), &scope);
        assert_eq!(key.read(&token), Some((bob(), scope.clone())));
        assert_eq!(TokenKey::open(here.path()).unwrap().token(&bob(), &scope), token, "the key is kept");
        assert_eq!(other.read(&token), None);
        let all = key.token(&bob(), &Scope::Registry);
        assert_eq!(key.read(&all), Some((bob(), Scope::Registry)));
        // The text of one token with the code of the other.
        let mixed = format!("{}.{}", all.split_once('.').unwrap().0, token.split_once('.').unwrap().1);
        assert_eq!(key.read(&mixed), None);
    }

    #[test]
    fn no_changed_token_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let key = TokenKey::open(folder.path()).unwrap();
        let token = key.token(&bob(), &Scope::Registry);
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.read(&String::from_utf8(bytes).unwrap()), None, "at {at}");
            assert_eq!(key.read(&token[..at]), None);
        }
        assert_eq!(key.read(&format!("{token}A")), None);
        assert_eq!(key.read(&"A".repeat(5000)), None);
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let key = TokenKey::open(folder.path()).unwrap();
        let mode = fs::metadata(folder.path().join("unsubscribe.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(format!("{key:?}"), "TokenKey(…)");
    }
}
