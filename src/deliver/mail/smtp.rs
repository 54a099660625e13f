//! Sends one mail over SMTP, step by step, because the meaning of a server's reply depends on the step.
//!
//! Only a refusal of the recipient says something about the recipient's address. A server that refuses the sender, the
//! login or any connection at all is misconfigured or out of order. An administrator has to correct that, and no mail
//! is given up because of it.

use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};

use super::settings::{Protection, SECRET, Server};
use crate::secrets::Secret;
use crate::text::one_line;

/// How long the client waits for a reply of the server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The largest length of a server's message that is kept, in characters.
const SAID: usize = 300;

/// The result of handing a mail to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmtpOutcome {
    /// The server accepted the mail.
    Taken,
    /// The server does not accept mail now.
    Later(String),
    /// The server does not accept mail for this address now. Other addresses may work.
    AddressLater(String),
    /// The server accepts no mail for this address.
    NoSuchAddress(String),
    /// The server will not accept this mail.
    Refused(String),
}

/// Hands a mail to the server.
pub fn hand_over(server: &Server, password: Option<&Secret>, from: &Address, to: &Address, mail: &[u8]) -> SmtpOutcome {
    let mut connection = match connect(server, password) {
        Ok(connection) => connection,
        Err(why) => return SmtpOutcome::Later(why),
    };
    let handed = transaction(&mut connection, from, to, mail);
    if handed == SmtpOutcome::Taken {
        // The server has accepted the mail; its reply to QUIT does not matter.
        let _ = connection.quit();
    } else {
        connection.abort();
    }
    handed
}

/// Connects, starts TLS if set, and logs in.
///
/// # Errors
///
/// When a step fails; the text says why, without a secret.
pub fn connect(server: &Server, password: Option<&Secret>) -> Result<SmtpConnection, String> {
    let hello = ClientId::default();
    let failed = |step: &str, e: &Error| format!("{server} {step}: {}", said(e));
    let tls = match server.protection {
        Protection::Plain => None,
        Protection::Tls | Protection::StartTls => {
            Some(TlsParameters::new(server.host.clone()).map_err(|e| failed("cannot be reached with TLS", &e))?)
        }
    };
    let at_once = tls.as_ref().filter(|_| server.protection == Protection::Tls);
    let place = (server.host.as_str(), server.port);
    let mut connection = SmtpConnection::connect(place, Some(TIMEOUT), &hello, at_once, None)
        .map_err(|e| failed("cannot be reached", &e))?;
    if server.protection == Protection::StartTls
        && let Some(tls) = &tls
    {
        connection.starttls(tls, &hello).map_err(|e| failed("cannot start TLS", &e))?;
    }
    if let Some(user) = &server.user {
        let password = password.ok_or_else(|| format!("the secret {SECRET} is missing: the password for {server}"))?;
        let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
        connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).map_err(|e| refused_login(server, &e))?;
    }
    Ok(connection)
}

/// Describes a failed login. A server may repeat what it received, so its message is left out.
fn refused_login(server: &Server, e: &Error) -> String {
    match e.status() {
        Some(code) => format!("{server} does not accept the user or the secret {SECRET} ({code})"),
        None if e.is_client() => format!("{server} offers no supported login method (PLAIN, LOGIN)"),
        None => format!("{server} closed the connection during the login"),
    }
}

fn transaction(connection: &mut SmtpConnection, from: &Address, to: &Address, mail: &[u8]) -> SmtpOutcome {
    let is_ascii = AsRef::<str>::as_ref(from).is_ascii() && AsRef::<str>::as_ref(to).is_ascii();
    let wide = connection.server_info().supports_feature(Extension::SmtpUtfEight);
    if !is_ascii && !wide {
        return SmtpOutcome::NoSuchAddress("the server accepts only ASCII addresses (it lacks SMTPUTF8)".to_owned());
    }
    let options = if is_ascii { Vec::new() } else { vec![MailParameter::SmtpUtfEight] };
    if let Err(e) = connection.command(Mail::new(Some(from.clone()), options)) {
        return SmtpOutcome::Later(format!("the sender {from} is not accepted: {}", said(&e)));
    }
    if let Err(e) = connection.command(Rcpt::new(to.clone(), Vec::new())) {
        let why = format!("the recipient is not accepted: {}", said(&e));
        return match e.status() {
            Some(code) => refused_recipient(&code.to_string(), &words(&e), why),
            // The connection broke.
            None => SmtpOutcome::Later(why),
        };
    }
    match connection.command(Data).and_then(|_| connection.message(mail)) {
        Ok(_) => SmtpOutcome::Taken,
        Err(e) if e.is_permanent() => SmtpOutcome::Refused(format!("the mail is not accepted: {}", said(&e))),
        Err(e) => SmtpOutcome::Later(format!("the mail is not accepted now: {}", said(&e))),
    }
}

/// Interprets the refusal of a recipient. Servers refuse here for reasons about the sender, too. So an address is given
/// up only if the reply is about the address (RFC 3463: 5.1.x, 5.2.x; RFC 5321 without such a code).
fn refused_recipient(code: &str, words: &str, why: String) -> SmtpOutcome {
    let detail = words.split_whitespace().next().filter(|w| w.starts_with("5.") && w.split('.').count() == 3);
    match (code, detail) {
        // The server demands a login.
        ("530" | "535", _) => SmtpOutcome::Later(why),
        (_, Some(detail)) if detail.starts_with("5.1.") || detail.starts_with("5.2.") => {
            SmtpOutcome::NoSuchAddress(why)
        }
        ("550" | "551" | "553" | "556", None) => SmtpOutcome::NoSuchAddress(why),
        (_, Some(_) | None) => SmtpOutcome::AddressLater(why),
    }
}

/// Returns the server's message without the code. Lettre's error repeats the code; its source holds the server's
/// message.
fn words(e: &Error) -> String {
    std::error::Error::source(e).map(ToString::to_string).unwrap_or_default()
}

/// Returns the server's reply, or the error of the connection, in one short line.
fn said(e: &Error) -> String {
    let text = match e.status() {
        Some(code) => format!("{code} {}", words(e)),
        // Lettre's message already includes the cause.
        None => e.to_string(),
    };
    let line = one_line(text.trim()).into_owned();
    if line.chars().count() > SAID { format!("{}…", line.chars().take(SAID).collect::<String>()) } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_given_up_only_where_the_answer_is_about_the_address() {
        #[rustfmt::skip]
        let table = [
            ("550", "5.1.1 no such user", "gone"), ("550", "no such user", "gone"), ("553", "sorry", "gone"),
            ("552", "5.2.2 mailbox full", "gone"), ("551", "not local", "gone"), ("556", "no mail here", "gone"),
            ("554", "5.7.1 <x>: Relay access denied", "later"), ("550", "5.7.1 blocked by policy", "later"),
            ("554", "Service unavailable; client host blocked", "later"), ("452", "4.5.3 too many", "later"),
            ("450", "4.2.0 greylisted", "later"), ("550", "5.7.26 unauthenticated sender", "later"),
            ("530", "5.7.0 Authentication required", "server"), ("535", "5.7.8 bad credentials", "server"),
        ];
        for (code, words, want) in table {
            let got = match refused_recipient(code, words, String::new()) {
                SmtpOutcome::NoSuchAddress(_) => "gone",
                SmtpOutcome::AddressLater(_) => "later",
                SmtpOutcome::Later(_) => "server",
                SmtpOutcome::Taken | SmtpOutcome::Refused(_) => "wrong",
            };
            assert_eq!(got, want, "{code} {words}");
        }
    }
}
