//! URLs that carry their own permission: the response of `get-signed-download-uri`.
//!
//! Databricks' client fetches such a URL without its token. So the URL names the person, the file and the time until it
//! is valid. It also holds an HMAC-SHA-256 of these under a key that only this process has. The URL opens one file of
//! one version for reading, for a few minutes, and only as long as that person may read the model. The URL is not an
//! access token: it cannot write, list or open anything else, and it expires by itself, or with the process. The log
//! holds paths only, without the query.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::arguments::Args;
use super::error::{ApiError, Code};
use crate::name::UserName;
use crate::time::Timestamp;

/// The path of such URLs, after the prefix.
pub const PATH: &str = "/signed";

/// How long a grant is valid, in milliseconds.
pub const LASTS: i64 = 10 * 60 * 1000;

/// The longest grant that is read, in bytes.
const MAX_TEXT: usize = 8 * 1024;

/// A grant as it is encoded in the URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantText {
    user: String,
    model: String,
    version: u64,
    path: String,
    until: i64,
}

/// The permission for a person to read one file of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The person who requested it.
    pub user: UserName,
    /// The id of the model.
    pub model: String,
    /// The number of the version.
    pub version: u64,
    /// The path of the file.
    pub path: String,
}

/// Makes and verifies grants.
pub struct Grants {
    key: [u8; 32],
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Grants(…)")
    }
}

impl Grants {
    /// Uses a key of random bytes.
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    fn mac(&self, text: &str) -> Result<Hmac<Sha256>, ApiError> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).map_err(|e| ApiError::internal(&e))?;
        Ok(mac.chain_update(text))
    }

    /// Returns the query of a URL that carries the grant.
    ///
    /// # Errors
    ///
    /// An internal error when the grant cannot be encoded.
    pub fn query(&self, grant: &Grant, now: Timestamp) -> Result<String, ApiError> {
        let Grant { user, model, version, path } = grant.clone();
        let until = now.as_millis().saturating_add(LASTS);
        let written = GrantText { user: user.as_str().to_owned(), model, version, path, until };
        let text = BASE64.encode(serde_json::to_vec(&written).map_err(|e| ApiError::internal(&e))?);
        let code = BASE64.encode(self.mac(&text)?.finalize().into_bytes());
        Ok(format!("grant={text}.{code}"))
    }

    /// Verifies the grant in the query of a URL.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED` when the grant is missing, expired or not made by this process.
    pub fn read(&self, query: Option<&str>, now: Timestamp) -> Result<Grant, ApiError> {
        self.of(&Args::new(query, b"")?, now)
    }

    /// Verifies the grant of a request.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED` when the grant is missing, expired or not made by this process.
    pub fn of(&self, args: &Args, now: Timestamp) -> Result<Grant, ApiError> {
        let refused = || {
            let message = "This download URL is invalid or has expired; request a new one.";
            ApiError::new(Code::Unauthenticated, message)
        };
        let given = args.text("grant")?.filter(|g| g.len() <= MAX_TEXT).ok_or_else(refused)?;
        let (text, code) = given.split_once('.').ok_or_else(refused)?;
        let code = BASE64.decode(code).map_err(|_| refused())?;
        // The comparison takes the same time for any wrong code.
        self.mac(text)?.verify_slice(&code).map_err(|_| refused())?;
        let written = BASE64.decode(text).map_err(|_| refused())?;
        let written: GrantText = serde_json::from_slice(&written).map_err(|_| refused())?;
        if written.until <= now.as_millis() {
            return Err(refused());
        }
        let GrantText { user, model, version, path, until: _ } = written;
        Ok(Grant { user: UserName::new(user).map_err(|_| refused())?, model, version, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        let path = "data/größe #1.bin".to_owned();
        Grant { user: "alice".parse().unwrap(), model: "m".to_owned(), version: 3, path }
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000_000)
    }

    #[test]
    fn a_grant_reads_back_until_it_is_over() {
        let grants = Grants::new([7; 32]);
        let query = grants.query(&grant(), now()).unwrap();
        assert!(query.bytes().all(|b| b.is_ascii_alphanumeric() || b"=._-".contains(&b)), "{query}");
        assert_eq!(grants.read(Some(&query), now()).unwrap(), grant());
        assert_eq!(grants.read(Some(&query), now().plus_millis(LASTS - 1)).unwrap(), grant());
        assert_eq!(grants.read(Some(&query), now().plus_millis(LASTS)).unwrap_err().code, Code::Unauthenticated);
    }

    #[test]
    fn nothing_in_a_grant_can_be_changed() {
        let grants = Grants::new([7; 32]);
        let query = grants.query(&grant(), now()).unwrap();
        for at in "grant=".len()..query.len() {
            let mut bytes = query.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(grants.read(Some(&changed), now()).is_err(), "{changed}");
        }
        let other = Grants::new([8; 32]);
        assert!(other.read(Some(&query), now()).is_err(), "of another process");
        for bad in [None, Some(""), Some("grant="), Some("grant=."), Some("grant=e30.e30")] {
            assert!(grants.read(bad, now()).is_err(), "{bad:?}");
        }
    }
}
