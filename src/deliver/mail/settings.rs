//! The settings of mail: git config of the served repository itself, which no push can change, and one secret.

use std::fmt;
use std::net::IpAddr;

use lettre::Address;
use lettre::message::Mailbox;

use crate::git::Repo;
use crate::name::Key;
use crate::registry::Registry;
use crate::secrets::{Secret, SecretError, Secrets};
use crate::text::{one_line, quoted};

/// The largest length of a person's name in a header, in characters.
const NAME: usize = 100;

/// The config key of the mail server.
pub const SMTP: &str = "greenroom.smtp";

/// The config key of the sender's address.
pub const FROM: &str = "greenroom.mailFrom";

/// The config key of the server's address, for links.
pub const URL: &str = "greenroom.url";

/// The name of the secret that holds the password for the mail server.
pub const SECRET: &str = crate::entity::webhook::MAIL_SECRET;

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Not encrypted: `smtp://`.
    Plain,
    /// TLS from the first byte: `smtps://`.
    Tls,
    /// TLS after a greeting in clear text: `smtp+starttls://`. A server without STARTTLS is not used.
    StartTls,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The host name or IP address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How the connection is encrypted.
    pub protection: Protection,
    /// The user name for the login. `None` means no login.
    pub user: Option<String>,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The settings of mail.
#[derive(Debug, Clone, PartialEq)]
pub struct MailSettings {
    /// The mail server.
    pub server: Server,
    /// The sender.
    pub from: Mailbox,
    /// The server's address for links, without a slash at its end. `None` means that mails hold no links.
    pub url: Option<String>,
}

/// An error in the settings of mail. The value is repeated only if it cannot hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The mail server's URL is wrong.
    #[error(
        "{SMTP} {why}; write smtp://HOST:PORT, smtps://USER@HOST or smtp+starttls://USER@HOST, and store the password \
         as the secret {SECRET}"
    )]
    Smtp {
        /// The reason.
        why: String,
    },
    /// The sender's address is missing.
    #[error("{FROM} is missing: set it to the sender's address, such as 'Greenroom <greenroom@example.org>'")]
    NoFrom,
    /// The sender's address is not a valid e-mail address.
    #[error("{FROM} = {value} is not an e-mail address; write one such as 'Greenroom <greenroom@example.org>'")]
    From {
        /// The value, quoted.
        value: String,
    },
    /// The address for links is not a valid server address.
    #[error("{URL} = {value} is not the URL of a server; write https://HOST")]
    Url {
        /// The value, quoted.
        value: String,
    },
}

impl MailSettings {
    /// Reads the settings of a repository. `None` if no mail server is set; then no mail is sent.
    ///
    /// # Errors
    ///
    /// [`SettingError`] when a setting is missing or wrong.
    pub fn of(repo: &Repo) -> Result<Option<Self>, SettingError> {
        let Some(smtp) = repo.own_setting(SMTP).filter(|s| !s.is_empty()) else { return Ok(None) };
        let server = Server::parse(&smtp)?;
        let from = repo.own_setting(FROM).ok_or(SettingError::NoFrom)?;
        let from = from.parse::<Mailbox>().map_err(|_| SettingError::From { value: quoted(&from) })?;
        let from = mailbox(from.name.as_deref().unwrap_or_default(), &from.email);
        let url = repo.own_setting(URL).map(|url| base(&url)).transpose()?;
        Ok(Some(Self { server, from, url }))
    }

    /// Returns the domain of the sender's address, for message ids.
    pub fn domain(&self) -> &str {
        self.from.email.domain()
    }
}

impl Server {
    /// Parses `smtp://host:port`, `smtps://user@host` or `smtp+starttls://user@host`.
    ///
    /// # Errors
    ///
    /// [`SettingError::Smtp`] when the URL has another form.
    pub fn parse(url: &str) -> Result<Self, SettingError> {
        let wrong = |why: &str| SettingError::Smtp { why: why.to_owned() };
        let (scheme, rest) = url.trim().split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        let (protection, usual) = match scheme {
            "smtp" => (Protection::Plain, 25),
            "smtps" => (Protection::Tls, 465),
            "smtp+starttls" => (Protection::StartTls, 587),
            _ => return Err(wrong("has an unknown scheme")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        if user.is_some_and(|u| u.contains(':')) {
            return Err(wrong("holds a password, which does not belong there"));
        }
        let user = user.map(decode).transpose().map_err(|()| wrong("has a user name that cannot be decoded"))?;
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| wrong("has an invalid port"))?)
            }
            Some(_) | None => (place, usual),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(wrong("has no valid host"));
        }
        let server = Self { host: host.to_owned(), port, protection, user };
        if server.user.is_some() && protection == Protection::Plain && !server.is_here() {
            return Err(wrong("would send the password unencrypted to another machine"));
        }
        Ok(server)
    }

    /// Returns whether the mail server is on this machine.
    fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// Decodes the percent-encoding of a user name, such as `alice%40example.org`.
fn decode(text: &str) -> Result<String, ()> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let pair = [bytes.next().ok_or(())?, bytes.next().ok_or(())?];
        let hex = std::str::from_utf8(&pair).map_err(drop)?;
        out.push(u8::from_str_radix(hex, 16).map_err(drop)?);
    }
    let name = String::from_utf8(out).map_err(drop)?;
    if name.is_empty() || name.chars().any(char::is_control) { Err(()) } else { Ok(name) }
}

/// Checks the server's address for links: `https://host` or `http://host`, optionally with a path.
fn base(url: &str) -> Result<String, SettingError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c);
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(plain) && url.len() <= 300 => {
            Ok(url.trim_end_matches('/').to_owned())
        }
        Some(_) | None => Err(SettingError::Url { value: quoted(url) }),
    }
}

/// Parses an e-mail address. `None` if the text is not a valid address.
pub fn address(text: &str) -> Option<Address> {
    text.trim().parse().ok()
}

/// Returns the password of the mail server. `None` if the secret is not set.
///
/// # Errors
///
/// [`SecretError`] when the secrets cannot be read.
pub fn password(registry: &Registry) -> Result<Option<Secret>, SecretError> {
    match Key::new(SECRET) {
        Ok(name) => Secrets::of(&registry.state_dir())?.get(&name),
        Err(_) => Ok(None),
    }
}

/// Returns an address with the name of its owner, made one line: Lettre fails on a name with a line break.
pub fn mailbox(name: &str, address: &Address) -> Mailbox {
    let name: String = one_line(name.trim()).chars().take(NAME).collect();
    Mailbox::new(Some(name).filter(|n| !n.is_empty()), address.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Result<(String, u16, Protection, Option<String>), String> {
        Server::parse(url).map(|s| (s.host, s.port, s.protection, s.user)).map_err(|e| e.to_string())
    }

    #[test]
    fn a_mail_server_is_named_by_an_address() {
        let of = |host: &str, port, protection, user: Option<&str>| {
            Ok((host.to_owned(), port, protection, user.map(str::to_owned)))
        };
        for (url, want) in [
            ("smtp://mail.example.org", of("mail.example.org", 25, Protection::Plain, None)),
            ("smtp://127.0.0.1:2525/", of("127.0.0.1", 2525, Protection::Plain, None)),
            ("smtp://me@localhost:2525", of("localhost", 2525, Protection::Plain, Some("me"))),
            ("smtp://[::1]:25", of("::1", 25, Protection::Plain, None)),
            ("smtps://bot@mail.example.org", of("mail.example.org", 465, Protection::Tls, Some("bot"))),
            (
                "smtp+starttls://bot%40example.org@mail.example.org",
                of("mail.example.org", 587, Protection::StartTls, Some("bot@example.org")),
            ),
        ] {
            assert_eq!(server(url), want, "{url}");
        }
    }

    #[test]
    fn what_names_no_server_is_refused_and_a_password_is_never_repeated() {
        for url in [
            "mail.example.org",
            "http://mail.example.org",
            "smtp://",
            "smtp://host:port",
            "smtp://a b",
            "smtp://x\r\ny",
            "smtp://%zz@localhost",
            "smtp://a%0d%0ab@localhost",
            "smtps://bot:CANARY@mail.example.org",
            "smtp://bot@mail.example.org",
        ] {
            let why = server(url).unwrap_err();
            assert!(why.starts_with("greenroom.smtp ") && !why.contains("CANARY"), "{url}: {why}");
        }
    }

    #[test]
    fn links_begin_with_the_address_of_a_server() {
        assert_eq!(base("https://models.example.org/"), Ok("https://models.example.org".to_owned()));
        assert_eq!(base("http://127.0.0.1:5050/greenroom"), Ok("http://127.0.0.1:5050/greenroom".to_owned()));
        for bad in ["ftp://x", "https://", "https:///x", "https://a\"b", "https://a b", "javascript:alert(1)"] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }
}
