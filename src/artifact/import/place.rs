//! URLs and paths that administrators and clients write, parsed once.

use std::fmt;

use super::super::path::FilePath;
use crate::text::quoted;

/// Why a text is not a valid location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlace {
    /// It contains a character that has a special meaning in some URLs.
    #[error(
        "{0} has a character that is not allowed in a location: white space, control characters and any of % # ; ? \\ @"
    )]
    Character(String),
    /// It is neither a folder nor a server.
    #[error(
        "{0} is not a location to copy from: give a folder as file:///folder, or the artifacts of a server as \
         https://HOST/api/2.0/mlflow-artifacts/artifacts"
    )]
    Kind(String),
    /// The path contains `..` or a part that no model file may have.
    #[error("{0} has a path that is not allowed")]
    Path(String),
    /// It has no host, or an invalid port.
    #[error("{0} has no host, or an invalid port")]
    Host(String),
}

/// A server: scheme, host and port, and the base path of its API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBase {
    https: bool,
    host: String,
    port: u16,
    /// Empty, or parts that each begin with a slash.
    path: String,
}

/// Refuses characters that another parser could interpret: escapes, queries, fragments, parameters, user names,
/// backslashes.
pub(super) fn check(text: &str) -> Result<(), InvalidPlace> {
    let odd = |c: char| c.is_whitespace() || !crate::text::is_plain(c) || "%#;?\\@".contains(c);
    if text.contains(odd) { Err(InvalidPlace::Character(quoted(text))) } else { Ok(()) }
}

/// Parses a path that every later reader interprets in the same way.
pub(super) fn plain(path: &str) -> Option<FilePath> {
    FilePath::new(path).ok().filter(FilePath::is_plain)
}

impl ServerBase {
    /// Parses an `http` or `https` URL of a host, with an optional port and an optional path.
    ///
    /// # Errors
    /// [`InvalidPlace`] if the text is not such a URL.
    pub fn parse(text: &str) -> Result<Self, InvalidPlace> {
        check(text)?;
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(InvalidPlace::Kind(quoted(text))),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = authority_of(authority).ok_or_else(|| InvalidPlace::Host(quoted(text)))?;
        let path = path.trim_end_matches('/');
        if let Some(parts) = path.strip_prefix('/') {
            plain(parts).ok_or_else(|| InvalidPlace::Path(quoted(text)))?;
        }
        Ok(Self { https, host, port: port.unwrap_or(if https { 443 } else { 80 }), path: path.to_owned() })
    }

    /// Parses a URL below an API of a server. Returns the server with that API, and the rest of the path.
    pub(super) fn parse_with(text: &str, api: &str) -> Result<(Self, Option<FilePath>), InvalidPlace> {
        let whole = Self::parse(text)?;
        let marker = format!("/{api}");
        let cut = whole.path.match_indices(&marker).find(|(at, _)| {
            matches!(whole.path.get(at + marker.len()..), Some(rest) if rest.is_empty() || rest.starts_with('/'))
        });
        let Some((at, _)) = cut else { return Err(InvalidPlace::Kind(quoted(text))) };
        let (root, rest) = whole.path.split_at(at + marker.len());
        let rest = match rest.strip_prefix('/') {
            Some(rest) => Some(plain(rest).ok_or_else(|| InvalidPlace::Path(quoted(text)))?),
            None => None,
        };
        let root = root.to_owned();
        Ok((Self { path: root, ..whole }, rest))
    }

    /// Returns the same server with a longer base path.
    pub(super) fn below(&self, path: &str) -> Self {
        Self { path: format!("{}/{path}", self.path), ..self.clone() }
    }

    /// Whether two values name the same server, whatever the base path.
    pub(super) fn is_same_server(&self, other: &Self) -> bool {
        (self.https, &self.host, self.port) == (other.https, &other.host, other.port)
    }

    /// Whether `host[:port]` names this server.
    pub(super) fn is_at(&self, authority: &str) -> bool {
        let default = if self.https { 443 } else { 80 };
        authority_of(authority).is_some_and(|(host, port)| host == self.host && port.unwrap_or(default) == self.port)
    }

    /// Returns the host, in lower case; an IPv6 address in brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for ServerBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path)
    }
}

/// Splits `host[:port]` or `[v6][:port]` into host and port.
fn authority_of(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, rest) = rest.split_once(']')?;
            let ip: std::net::Ipv6Addr = inner.parse().ok()?;
            (format!("[{ip}]"), rest)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (host, rest) = text.split_at(end);
            let good = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_';
            if host.is_empty() || !host.chars().all(good) {
                return None;
            }
            (host.to_ascii_lowercase(), rest)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
        None if port.is_empty() => None,
        None => return None,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_read_in_one_way() -> Result<(), InvalidPlace> {
        let shown = |text: &str| ServerBase::parse(text).map(|b| b.to_string());
        assert_eq!(shown("http://Host.Example")?, "http://host.example:80");
        assert_eq!(shown("https://host/mlflow/")?, "https://host:443/mlflow");
        assert_eq!(shown("http://127.0.0.1:5000")?, "http://127.0.0.1:5000");
        assert_eq!(shown("http://[::0001]:5000")?, "http://[::1]:5000");
        for bad in [
            "ftp://host",
            "host",
            "http://",
            "http://:80",
            "http://user:secret@host",
            "http://host:0",
            "http://host:80:80",
            "http://host:99999",
            "http://host:+80",
            "http://[::1",
            "http://[::1]x",
            "http://h%6fst",
            "http://host/a/../b",
            "http://host/a?b",
            "http://host/a#b",
            "http://host/a;b",
            "http://host\\@evil",
            "http://host /",
            "http://h\u{f6}st",
        ] {
            assert!(ServerBase::parse(bad).is_err(), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn one_server_is_known_however_it_is_written() -> Result<(), InvalidPlace> {
        let server = ServerBase::parse("http://tracking:5000/x")?;
        assert!(server.is_at("TRACKING:5000") && !server.is_at("tracking") && !server.is_at("tracking:5001"));
        assert!(server.is_same_server(&ServerBase::parse("http://Tracking:5000")?));
        assert!(!server.is_same_server(&ServerBase::parse("https://tracking:5000")?));
        assert!(ServerBase::parse("https://tracking")?.is_at("tracking:443"));
        Ok(())
    }
}
