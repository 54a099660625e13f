//! Addresses that carry their own permission: what `get-signed-download-uri` gives.
//!
//! Databricks' client fetches such an address without its token. So the address says who asked, for which file, until
//! when, and carries an HMAC-SHA-256 of that under a key that this process made and nobody else has. It opens one file
//! of one version to read, for a few minutes, and only as long as that person may read the model. It is no token of a
//! person's (SEC-31): it cannot write, list or open anything else, and ends by itself, or with the process. The log has
//! paths only, not what is behind the `?`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::name::UserName;
use crate::server::args::Args;
use crate::server::error::{ApiError, Code};
use crate::time::Timestamp;

/// The address, after its prefix.
pub const PATH: &str = "/signed";

/// How long a grant lasts, in milliseconds.
pub const LASTS: i64 = 10 * 60 * 1000;

/// The longest grant, in bytes of its text.
const MAX_TEXT: usize = 8 * 1024;

/// What is granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    user: String,
    model: String,
    version: u64,
    path: String,
    until: i64,
}

/// One file of a version to read, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who asked for it.
    pub user: UserName,
    /// The id of the model.
    pub model: String,
    /// The version.
    pub version: u64,
    /// The file.
    pub path: String,
}

/// Gives grants and knows its own.
pub struct Grants {
    key: [u8; 32],
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Grants(…)")
    }
}

impl Grants {
    /// With a key of random bytes.
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    fn mac(&self, text: &str) -> Result<Hmac<Sha256>, ApiError> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).map_err(|e| ApiError::internal(&e))?;
        Ok(mac.chain_update(text))
    }

    /// The query of an address that carries the grant.
    pub fn query(&self, grant: &Grant, now: Timestamp) -> Result<String, ApiError> {
        let Grant { user, model, version, path } = grant.clone();
        let until = now.as_millis().saturating_add(LASTS);
        let written = Written { user: user.as_str().to_owned(), model, version, path, until };
        let text = BASE64.encode(serde_json::to_vec(&written).map_err(|e| ApiError::internal(&e))?);
        let code = BASE64.encode(self.mac(&text)?.finalize().into_bytes());
        Ok(format!("grant={text}.{code}"))
    }

    /// Reads the grant of an address, if it is one of ours and not over.
    pub fn read(&self, query: Option<&str>, now: Timestamp) -> Result<Grant, ApiError> {
        self.of(&Args::new(query, b"")?, now)
    }

    /// Reads the grant of a request.
    pub fn of(&self, args: &Args, now: Timestamp) -> Result<Grant, ApiError> {
        let refused = || {
            let message = "This address to download from is not valid, or not any more; ask for a new one.";
            ApiError::new(Code::Unauthenticated, message)
        };
        let given = args.text("grant")?.filter(|g| g.len() <= MAX_TEXT).ok_or_else(refused)?;
        let (text, code) = given.split_once('.').ok_or_else(refused)?;
        let code = BASE64.decode(code).map_err(|_| refused())?;
        // Compared in a time that does not tell how much was right.
        self.mac(text)?.verify_slice(&code).map_err(|_| refused())?;
        let written = BASE64.decode(text).map_err(|_| refused())?;
        let written: Written = serde_json::from_slice(&written).map_err(|_| refused())?;
        if written.until <= now.as_millis() {
            return Err(refused());
        }
        let Written { user, model, version, path, until: _ } = written;
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
