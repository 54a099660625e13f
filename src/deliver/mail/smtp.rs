//! One mail over SMTP, step by step: what the server says means something else at each step.
//!
//! Only a refusal of the recipient says something about his address. A server that refuses the sender, the login or any
//! connection at all is set up wrongly, or ill: that is for an administrator to mend, and no mail is given up for it.

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

/// How long the server may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How much of what a server says is kept.
const SAID: usize = 300;

/// What came of handing over a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handed {
    /// The server took it.
    Taken,
    /// Not now.
    Later(String),
    /// Not now for this address; others may be served.
    AddressLater(String),
    /// The server takes no mail for this address.
    NoSuchAddress(String),
    /// The server will not take this mail.
    Refused(String),
}

/// Hands a mail over.
pub fn hand_over(server: &Server, password: Option<&Secret>, from: &Address, to: &Address, mail: &[u8]) -> Handed {
    let mut connection = match connect(server, password) {
        Ok(connection) => connection,
        Err(why) => return Handed::Later(why),
    };
    let handed = transaction(&mut connection, from, to, mail);
    if handed == Handed::Taken {
        // The mail is the server's already, whatever it says to a goodbye.
        let _ = connection.quit();
    } else {
        connection.abort();
    }
    handed
}

/// Connects, protects the connection and logs in; why not, without a secret.
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
        connection.starttls(tls, &hello).map_err(|e| failed("does not speak TLS", &e))?;
    }
    if let Some(user) = &server.user {
        let password = password.ok_or_else(|| format!("the secret {SECRET} is missing: the password for {server}"))?;
        let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
        connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).map_err(|e| refused_login(server, &e))?;
    }
    Ok(connection)
}

/// Why a login failed. A server may repeat what it was sent, so its words are left out.
fn refused_login(server: &Server, e: &Error) -> String {
    match e.status() {
        Some(code) => format!("{server} does not accept the user or the secret {SECRET} ({code})"),
        None if e.is_client() => format!("{server} offers no way to log in that is known here (PLAIN, LOGIN)"),
        None => format!("{server} went away while logging in"),
    }
}

fn transaction(connection: &mut SmtpConnection, from: &Address, to: &Address, mail: &[u8]) -> Handed {
    let is_ascii = AsRef::<str>::as_ref(from).is_ascii() && AsRef::<str>::as_ref(to).is_ascii();
    let wide = connection.server_info().supports_feature(Extension::SmtpUtfEight);
    if !is_ascii && !wide {
        return Handed::NoSuchAddress("the server takes no addresses beyond ASCII (SMTPUTF8)".to_owned());
    }
    let options = if is_ascii { Vec::new() } else { vec![MailParameter::SmtpUtfEight] };
    if let Err(e) = connection.command(Mail::new(Some(from.clone()), options)) {
        return Handed::Later(format!("the sender {from} is not accepted: {}", said(&e)));
    }
    if let Err(e) = connection.command(Rcpt::new(to.clone(), Vec::new())) {
        let why = format!("the recipient is not accepted: {}", said(&e));
        return match (e.is_permanent(), e.is_transient()) {
            (true, _) => Handed::NoSuchAddress(why),
            (false, true) => Handed::AddressLater(why),
            // The connection broke.
            (false, false) => Handed::Later(why),
        };
    }
    match connection.command(Data).and_then(|_| connection.message(mail)) {
        Ok(_) => Handed::Taken,
        Err(e) if e.is_permanent() => Handed::Refused(format!("the mail is not accepted: {}", said(&e))),
        Err(e) => Handed::Later(format!("the mail is not accepted now: {}", said(&e))),
    }
}

/// What a server said, or what went wrong on the way to it, in one short line.
fn said(e: &Error) -> String {
    let text = match e.status() {
        // Lettre's own words repeat the code, then the server's.
        Some(code) => {
            let words = std::error::Error::source(e).map(ToString::to_string).unwrap_or_default();
            format!("{code} {words}")
        }
        // Lettre's own words hold the cause's.
        None => e.to_string(),
    };
    let line = one_line(text.trim()).into_owned();
    if line.chars().count() > SAID { format!("{}…", line.chars().take(SAID).collect::<String>()) } else { line }
}
