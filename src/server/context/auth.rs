//! Authenticates callers: by a token (Basic or Bearer), by the header of a trusted proxy, or, on a loopback address
//! only, as the local git user. A service with a delegate token names the person that it acts for in another header.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::catalog::Catalog;
use super::error::{ApiError, Code};
use super::tokens::{self, TokenError, TokenRecord, Tokens};
use crate::entity::Person;
use crate::git::Ident;
use crate::name::UserName;
use crate::time::Timestamp;

/// The number of failed attempts of an address per minute before further ones are rate-limited.
const ATTEMPTS: u32 = 30;

/// The time after which failed attempts are forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// The number of addresses that are kept.
const MAX_PEERS: usize = 10_000;

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The person in the registry.
    pub user: UserName,
    /// The name in commits.
    pub name: String,
    /// The e-mail address in commits.
    pub email: String,
    /// Whether the caller may only read, regardless of the person's permissions.
    pub read_only: bool,
    /// Whether a service acts for the person, who has not authenticated here.
    pub delegated: bool,
}

impl Caller {
    /// Returns a person as a caller. `None` if the person has no e-mail address for commits.
    pub fn of(user: &UserName, person: &Person) -> Option<Self> {
        let email = person.emails.iter().next()?.as_str().to_owned();
        let name = if person.name.is_empty() { user.as_str() } else { person.name.as_str() }.to_owned();
        Some(Self { user: user.clone(), name, email, read_only: false, delegated: false })
    }

    /// Returns the identity in commits at a time.
    pub fn ident(&self, now: Timestamp) -> Ident {
        Ident::new(&self.name, &self.email, now)
    }
}

/// The ways in which callers are authenticated.
pub struct Auth {
    tokens: Tokens,
    known: RwLock<(Option<FileStamp>, Arc<[TokenRecord]>)>,
    /// The caller without credentials. `None` means that credentials are required.
    local: Option<Arc<Caller>>,
    proxy: Option<Proxy>,
    /// The header in which a service names the person that it acts for: an id, login or e-mail address.
    person_header: Option<HeaderName>,
    failed: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

/// A trusted proxy that names the caller.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// The header that names the caller: a person's id, login or e-mail address.
    pub header: HeaderName,
    /// The addresses of the proxy.
    pub from: Vec<IpAddr>,
}

/// The modification time, size and inode of a file, to detect a change.
type FileStamp = (SystemTime, u64, u64);

impl Auth {
    /// Authenticates callers by tokens, by a proxy if there is one, and otherwise as `local`.
    pub fn new(tokens: Tokens, local: Option<Caller>, proxy: Option<Proxy>) -> Self {
        let known = RwLock::new((None, Arc::from([])));
        Self { tokens, known, local: local.map(Arc::new), proxy, person_header: None, failed: Mutex::default() }
    }

    /// Sets the header in which services with a delegate token name the person that they act for.
    pub fn with_person_header(self, header: Option<HeaderName>) -> Self {
        Self { person_header: header, ..self }
    }

    /// Returns the caller of a request from an address with these headers.
    ///
    /// # Errors
    ///
    /// - `UNAUTHENTICATED` when the credentials are missing or wrong.
    /// - `PERMISSION_DENIED` when the named person is not in the registry or has no e-mail address, or the service may
    ///   not act for people.
    /// - `BAD_REQUEST` when a header is given twice or is not plain text.
    /// - `REQUEST_LIMIT_EXCEEDED` after too many failed attempts.
    pub fn caller(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        catalog: &Catalog,
        now: Timestamp,
    ) -> Result<Arc<Caller>, ApiError> {
        let acts_for = self.person_header.as_ref().map_or(Ok(None), |name| only(headers, name))?;
        if let Some(proxy) = self.proxy.as_ref().filter(|p| p.from.contains(&peer))
            && let Some(said) = only(headers, &proxy.header)?
        {
            // A client behind the proxy can send any other header.
            return if acts_for.is_some() { Err(no_delegate()) } else { by_name(said, catalog, "the proxy") };
        }
        let Some(given) = only(headers, &header::AUTHORIZATION)? else {
            if acts_for.is_some() {
                return Err(no_delegate());
            }
            return self.local.clone().ok_or_else(|| {
                unauthenticated(
                    "You are not authenticated. Send a token of this registry as a Bearer token, or as the password of \
                     Basic authentication.",
                )
            });
        };
        let refused = |e: ApiError| self.count(peer).unwrap_or(e);
        let secret = secret(given).ok_or_else(|| {
            refused(unauthenticated("The Authorization header holds neither Basic nor Bearer credentials."))
        })?;
        let list = self.list().map_err(|e| ApiError::internal(&e))?;
        let wrong = || refused(unauthenticated("The token is unknown, has expired or was revoked."));
        let token = tokens::find(&list, &secret).filter(|t| !t.is_over(now)).ok_or_else(wrong)?;
        let user = UserName::new(token.person.as_str()).map_err(|_| wrong())?;
        let person = catalog.people().get(&user).ok_or_else(wrong)?;
        if token.is_void(catalog.arrival(&user)) {
            return Err(wrong());
        }
        let no_address = || ApiError::denied(format!("The person '{user}' has no e-mail address, which commits need."));
        let read_only = token.read_only;
        match acts_for {
            None => {
                let caller = Caller::of(&user, person).ok_or_else(no_address)?;
                Ok(Arc::new(Caller { read_only, ..caller }))
            }
            Some(_) if !token.delegate => Err(no_delegate()),
            Some(name) => {
                let person = by_name(name, catalog, "the service that acts for you")?;
                Ok(Arc::new(Caller { read_only, delegated: true, ..Caller::clone(&person) }))
            }
        }
    }

    /// Returns a person who authenticated before, as a read-only caller.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED` when the person has left the registry since, or has no e-mail address.
    pub fn reader(&self, user: &UserName, catalog: &Catalog) -> Result<Arc<Caller>, ApiError> {
        let local = self.local.as_deref().filter(|local| local.user == *user).cloned();
        let known = || catalog.people().get(user).and_then(|person| Caller::of(user, person));
        let caller =
            local.or_else(known).ok_or_else(|| unauthenticated("You are no longer a person of this registry."))?;
        Ok(Arc::new(Caller { read_only: true, ..caller }))
    }

    /// Returns the tokens as they are in the file now.
    fn list(&self) -> Result<Arc<[TokenRecord]>, TokenError> {
        let stamp = self.tokens.stamp();
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.0 == stamp {
                return Ok(Arc::clone(&known.1));
            }
        }
        let list: Arc<[TokenRecord]> = self.tokens.list()?.into();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = (stamp, Arc::clone(&list));
        Ok(list)
    }

    /// Counts a failed attempt. Returns the error to wait if there were too many.
    fn count(&self, peer: IpAddr) -> Option<ApiError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if failed.len() >= MAX_PEERS {
            failed.retain(|_, (since, _)| now.duration_since(*since) < FORGET);
        }
        if failed.len() >= MAX_PEERS {
            failed.clear();
        }
        let (since, count) = failed.entry(peer).or_insert((now, 0));
        if now.duration_since(*since) >= FORGET {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        (*count > ATTEMPTS).then(|| {
            ApiError::new(Code::RequestLimitExceeded, "Too many attempts with wrong credentials; wait a minute.")
        })
    }
}

impl Tokens {
    /// Returns a stamp of the file, to detect a change. `None` if there is no file.
    fn stamp(&self) -> Option<FileStamp> {
        let meta = std::fs::metadata(self.path()).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&meta);
        #[cfg(not(unix))]
        let inode = 0;
        Some((meta.modified().ok()?, meta.len(), inode))
    }
}

/// Returns the person with this id, or the only person with this login or e-mail address, as a trusted party names
/// them.
fn by_name(said: &str, catalog: &Catalog, by: &str) -> Result<Arc<Caller>, ApiError> {
    let is = |(_, person): &(&UserName, &Person)| {
        let same = |text: &crate::text::Text| text.as_str().eq_ignore_ascii_case(said);
        person.logins.iter().any(same) || person.emails.iter().any(same)
    };
    let mut found = catalog.people().iter().filter(is);
    // An id takes precedence, so no person can take over an id by using it as a login. If several people match, none is
    // chosen.
    let one = catalog.people().get_key_value(said).or_else(|| found.next().filter(|_| found.next().is_none()));
    let caller = one.and_then(|(user, person)| Caller::of(user, person));
    caller.map(Arc::new).ok_or_else(|| {
        ApiError::denied(format!(
            "The name that {by} sent for you does not match exactly one person with an e-mail address in this registry."
        ))
    })
}

/// Returns the error for a header that names a person without a delegate token.
fn no_delegate() -> ApiError {
    ApiError::denied(
        "Only a service whose token was made by `greenroom token create --delegate` may name the person for whom it \
         acts; this request names a person without such a token.",
    )
}

fn unauthenticated(message: &str) -> ApiError {
    ApiError::new(Code::Unauthenticated, message)
}

/// Returns the value of a header. Several values are refused, because other programs may read another one of them.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::new(Code::BadRequest, format!("The header {name} occurs twice.")));
    }
    let bad = |_| ApiError::new(Code::BadRequest, format!("The header {name} is not plain text."));
    first.map(|v| v.to_str().map_err(bad)).transpose()
}

/// Returns the token in an `Authorization` header. In Basic it is the password, or the user name if the password is
/// empty.
fn secret(header: &str) -> Option<String> {
    let (scheme, rest) = header.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(if password.is_empty() { user } else { password }.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn peer() -> IpAddr {
        IpAddr::from([127, 0, 0, 1])
    }

    fn with(header: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(header).unwrap())])
    }

    #[test]
    fn basic_and_bearer_carry_a_token() {
        assert_eq!(secret("Bearer grm_x").as_deref(), Some("grm_x"));
        assert_eq!(secret("bearer  grm_x").as_deref(), Some("grm_x"));
        assert_eq!(secret(&format!("Basic {}", BASE64.encode("alice:grm_x"))).as_deref(), Some("grm_x"));
        assert_eq!(secret(&format!("Basic {}", BASE64.encode("grm_x:"))).as_deref(), Some("grm_x"));
        assert_eq!(secret("Basic !!"), None);
        assert_eq!(secret("Negotiate abc"), None);
    }

    #[test]
    fn nobody_is_let_in_without_credentials_unless_there_is_a_local_user() {
        let folder = tempfile::tempdir().unwrap();
        let (catalog, now) = (Catalog::empty(), Timestamp::from_millis(0));
        let closed = Auth::new(Tokens::of(folder.path()), None, None);
        let refused = closed.caller(&HeaderMap::new(), peer(), &catalog, now).unwrap_err();
        assert_eq!(refused.code, Code::Unauthenticated);
        let local = Caller {
            user: "me".parse().unwrap(),
            name: "Me".to_owned(),
            email: "me@example.org".to_owned(),
            read_only: false,
            delegated: false,
        };
        let open = Auth::new(Tokens::of(folder.path()), Some(local.clone()), None);
        assert_eq!(*open.caller(&HeaderMap::new(), peer(), &catalog, now).unwrap(), local);
        assert_eq!(
            open.caller(&with("Bearer grm_wrong"), peer(), &catalog, now).unwrap_err().code,
            Code::Unauthenticated
        );
    }

    #[test]
    fn many_wrong_attempts_have_to_wait() {
        let folder = tempfile::tempdir().unwrap();
        let auth = Auth::new(Tokens::of(folder.path()), None, None);
        let attempt = || {
            auth.caller(&with("Bearer grm_wrong"), peer(), &Catalog::empty(), Timestamp::from_millis(0))
                .unwrap_err()
                .code
        };
        assert!((0..ATTEMPTS).all(|_| attempt() == Code::Unauthenticated));
        assert_eq!(attempt(), Code::RequestLimitExceeded);
    }

    #[test]
    fn a_header_that_is_there_twice_is_refused() {
        let mut headers = with("Bearer a");
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert_eq!(only(&headers, &header::AUTHORIZATION).unwrap_err().code, Code::BadRequest);
    }
}
